/* SPDX-License-Identifier: MIT */
/* Event channels; the picture stands in <pinion/xen/evtchn.h>. */
#include <stdint.h>
#include <xen/sched.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/shared_info.h>

#define WORD_BITS 64

/* Xen gives out the lowest free port, and this kernel opens few. */
#define HANDLED_PORTS 256

/* Ports looked at by evtchn_count_open(): a leak opens the lowest free ones. */
#define COUNTED_PORTS 128

static evtchn_handler_fn *handlers[HANDLED_PORTS];
static bool present;

static xen_ulong_t port_bit(evtchn_port_t port)
{
	return (xen_ulong_t)1 << (port % WORD_BITS);
}

void evtchn_clear(evtchn_port_t port)
{
	struct shared_info *si = shared_info();

	if (si)
		__atomic_fetch_and(&si->evtchn_pending[port / WORD_BITS], ~port_bit(port),
				   __ATOMIC_SEQ_CST);
}

static void call_handler(evtchn_port_t port)
{
	evtchn_clear(port);
	if (port < HANDLED_PORTS && handlers[port])
		handlers[port](port);
}

/*
 * The upcall. Clear the flag before the selector and the selector before the scan, so that an event
 * that arrives meanwhile sets them again and is seen in the next round.
 */
static bool upcall(struct cpu_regs *regs __maybe_unused)
{
	struct shared_info *si = shared_info();
	struct vcpu_info *vcpu = this_cpu()->vcpu_info;
	xen_ulong_t selector, ports;
	unsigned int word;

	while (READ_ONCE(vcpu->evtchn_upcall_pending)) {
		WRITE_ONCE(vcpu->evtchn_upcall_pending, 0);
		selector = __atomic_exchange_n(&vcpu->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
		while (selector) {
			word = (unsigned int)__builtin_ctzl(selector);
			selector &= selector - 1;
			ports = READ_ONCE(si->evtchn_pending[word]) &
				~READ_ONCE(si->evtchn_mask[word]);
			for (; ports; ports &= ports - 1)
				call_handler(word * WORD_BITS +
					     (unsigned int)__builtin_ctzl(ports));
		}
	}
	return true;
}

void evtchn_init(void)
{
	struct evtchn_status any = { .dom = DOMID_SELF, .port = 0 };
	struct shared_info *si = shared_info();
	unsigned int word;

	ASSERT(si != NULL);
	for (word = 0; word < ARRAY_SIZE(si->evtchn_mask); word++)
		si->evtchn_mask[word] = ~(xen_ulong_t)0;
	trap_set_handler(TRAP_UPCALL, upcall);
	present = hypercall_event_channel_op(EVTCHNOP_status, &any) != -ENOSYS;
	if (!present)
		print("events: no event channels (-ENOSYS), none will come\n");
}

bool evtchn_present(void)
{
	return present;
}

int evtchn_set_handler(evtchn_port_t port, evtchn_handler_fn *fn)
{
	struct evtchn_unmask unmask = { .port = port };

	if (port == 0 || port >= HANDLED_PORTS || !fn)
		return -EINVAL;
	if (handlers[port])
		return -EBUSY;
	handlers[port] = fn;
	/* By hypercall: an event that came while the port was masked is then delivered. */
	return (int)hypercall_event_channel_op(EVTCHNOP_unmask, &unmask);
}

long evtchn_bind_virq(unsigned int virq)
{
	struct evtchn_bind_virq bind = { .virq = virq, .vcpu = 0 };
	long rc = hypercall_event_channel_op(EVTCHNOP_bind_virq, &bind);

	return rc ? rc : (long)bind.port;
}

long evtchn_alloc_unbound_self(void)
{
	struct evtchn_alloc_unbound alloc = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
	long rc = hypercall_event_channel_op(EVTCHNOP_alloc_unbound, &alloc);

	return rc ? rc : (long)alloc.port;
}

int evtchn_close(evtchn_port_t port)
{
	struct evtchn_close close = { .port = port };
	struct shared_info *si = shared_info();

	if (port < HANDLED_PORTS)
		handlers[port] = NULL;
	if (si && port / WORD_BITS < ARRAY_SIZE(si->evtchn_mask))
		__atomic_fetch_or(&si->evtchn_mask[port / WORD_BITS], port_bit(port),
				  __ATOMIC_SEQ_CST);
	return (int)hypercall_event_channel_op(EVTCHNOP_close, &close);
}

void evtchn_notify(evtchn_port_t port)
{
	struct evtchn_send send = { .port = port };

	if (hypercall_event_channel_op(EVTCHNOP_send, &send))
		return;
}

void evtchn_poll(evtchn_port_t port, uint64_t deadline_ns)
{
	evtchn_port_t ports[1] = { port };
	struct sched_poll poll = { .nr_ports = 1, .timeout = deadline_ns };
	long rc;

	if (!shared_info()) {
		rc = hypercall_sched_op(SCHEDOP_yield, NULL);
	} else {
		set_xen_guest_handle(poll.ports, ports);
		rc = hypercall_sched_op(SCHEDOP_poll, &poll);
	}
	/* Whatever it says, the caller looks for itself what it waited for. */
	(void)rc;
}

unsigned int evtchn_count_open(void)
{
	struct evtchn_status status;
	unsigned int open = 0;
	evtchn_port_t port;

	for (port = 1; port < COUNTED_PORTS; port++) {
		status = (struct evtchn_status){ .dom = DOMID_SELF, .port = port };
		if (hypercall_event_channel_op(EVTCHNOP_status, &status))
			break; /* -EINVAL: beyond the last port that exists */
		open += status.status != EVTCHNSTAT_closed;
	}
	return open;
}
