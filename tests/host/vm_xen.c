/* SPDX-License-Identifier: MIT */
/*
 * What Xen serves besides memory: as much as the kernel needs to come up and its tests to run. Console output
 * is kept for the test to look at; event channels are a table of ports, and of them only the domain's own sends
 * arrive.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/io/console.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include "vm.h"

static char *text;
static size_t text_used, text_room;

void machine_console_reset(void)
{
	text_used = 0;
}

const char *machine_console(void)
{
	return text_used ? text : "";
}

static void console_add(const char *s, size_t n)
{
	if (getenv("PINION_CONSOLE"))
		fwrite(s, 1, n, stdout);
	if (text_used + n + 1 > text_room) {
		text_room = 2 * (text_used + n + 1);
		text = realloc(text, text_room);
		if (!text)
			abort();
	}
	memcpy(text + text_used, s, n);
	text_used += n;
	text[text_used] = '\0';
}

static long console_io(const uint64_t *args)
{
	char line[256];
	uint64_t n = args[1], done, part;

	if (!vm->config.dom0)
		return -EPERM;
	if (args[0] != CONSOLEIO_write)
		return args[0] == CONSOLEIO_read ? 0 : -ENOSYS;
	for (done = 0; done < n; done += part) {
		part = n - done < sizeof(line) ? n - done : sizeof(line);
		if (call_copy_from(&vm->model, line, args[2] + done, part))
			return -EFAULT;
		console_add(line, part);
	}
	return 0;
}

/* xenconsoled's part. */
void xen_drain_ring(void)
{
	uint64_t pfn = (vm->domain.console - VIRT_BASE) >> PAGE_SHIFT;
	struct xencons_interface *ring;

	if (vm->config.dom0)
		return;
	ring = (void *)(vm->mem + vm->mfn_list[pfn] * PAGE_SIZE);
	vm_dirty(vm->mfn_list[pfn]);
	for (; ring->out_cons != ring->out_prod; ring->out_cons++)
		console_add(&ring->out[MASK_XENCONS_IDX(ring->out_cons, ring->out)], 1);
}

static struct shared_info *shared(void)
{
	vm_dirty(mfn_x(vm->domain.shared_info));
	return (void *)(vm->mem + mfn_x(vm->domain.shared_info) * PAGE_SIZE);
}

/* evtchn_port_set_pending() */
static void set_pending(unsigned int port)
{
	struct shared_info *si = shared();
	uint64_t bit = UINT64_C(1) << port % 64;

	si->evtchn_pending[port / 64] |= bit;
	if (si->evtchn_mask[port / 64] & bit)
		return;
	si->vcpu_info[0].evtchn_pending_sel |= UINT64_C(1) << port / 64;
	si->vcpu_info[0].evtchn_upcall_pending = 1;
}

static long new_port(void)
{
	for (unsigned int port = 1; port < VM_PORTS; port++) {
		if (vm->services.port[port].open)
			continue;
		vm->services.port[port].open = true;
		return port;
	}
	return -ENOSPC;
}

static long port_status(uint64_t va)
{
	struct evtchn_status status;

	if (call_copy_from(&vm->model, &status, va, sizeof(status)))
		return -EFAULT;
	if (status.port >= VM_PORTS)
		return -EINVAL;
	status.status =
		vm->services.port[status.port].open ? EVTCHNSTAT_unbound : EVTCHNSTAT_closed;
	return call_copy_to(&vm->model, va, &status, sizeof(status));
}

static long port_open(unsigned int cmd, uint64_t va)
{
	size_t at = cmd == EVTCHNOP_bind_virq ? offsetof(struct evtchn_bind_virq, port)
					      : offsetof(struct evtchn_alloc_unbound, port);
	long port = new_port();
	evtchn_port_t given = (evtchn_port_t)port;

	if (port < 0)
		return port;
	return call_copy_to(&vm->model, va + at, &given, sizeof(given));
}

/* evtchn_bind_interdomain() of a domain with itself, the only one that there is. */
static long port_bind(uint64_t va)
{
	struct evtchn_bind_interdomain bind;
	long port;

	if (call_copy_from(&vm->model, &bind, va, sizeof(bind)))
		return -EFAULT;
	if (bind.remote_port >= VM_PORTS || !vm->services.port[bind.remote_port].open ||
	    vm->services.port[bind.remote_port].peer)
		return -EINVAL;
	port = new_port();
	if (port < 0)
		return port;
	vm->services.port[port].peer = bind.remote_port;
	vm->services.port[bind.remote_port].peer = (unsigned int)port;
	bind.local_port = (evtchn_port_t)port;
	return call_copy_to(&vm->model, va, &bind, sizeof(bind));
}

/* evtchn_close(): the other end is nobody's any more. */
static void port_close(unsigned int port)
{
	vm->services.port[vm->services.port[port].peer].peer = 0;
	vm->services.port[port].peer = 0;
	vm->services.port[port].open = false;
}

/* Of send, close and unmask the argument is the port alone. */
static long port_use(unsigned int cmd, uint64_t va)
{
	evtchn_port_t port;

	if (call_copy_from(&vm->model, &port, va, sizeof(port)))
		return -EFAULT;
	if (port >= VM_PORTS || !vm->services.port[port].open)
		return -EINVAL;
	if (cmd == EVTCHNOP_close) {
		port_close(port);
	} else if (cmd == EVTCHNOP_unmask) {
		struct shared_info *si = shared();

		si->evtchn_mask[port / 64] &= ~(UINT64_C(1) << port % 64);
		if (si->evtchn_pending[port / 64] >> port % 64 & 1)
			set_pending(port);
	} else if (port == CONSOLE_PORT) {
		xen_drain_ring();
	} else if (vm->services.port[port].peer) {
		set_pending(vm->services.port[port].peer);
	}
	return 0;
}

static long event_channel_op(const uint64_t *args)
{
	unsigned int cmd = (unsigned int)args[0];

	switch (cmd) {
	case EVTCHNOP_bind_virq:
	case EVTCHNOP_alloc_unbound:
		return port_open(cmd, args[1]);
	case EVTCHNOP_bind_interdomain:
		return port_bind(args[1]);
	case EVTCHNOP_status:
		return port_status(args[1]);
	case EVTCHNOP_send:
	case EVTCHNOP_close:
	case EVTCHNOP_unmask:
		return port_use(cmd, args[1]);
	default:
		return -ENOSYS;
	}
}

static long sched_op(const uint64_t *args)
{
	struct sched_shutdown how;
	enum machine_end end;

	switch (args[0]) {
	case SCHEDOP_yield:
	case SCHEDOP_poll:
		xen_drain_ring();
		return 0;
	case SCHEDOP_block:
		vm_vcpu_info()->evtchn_upcall_mask = 0;
		return 0;
	case SCHEDOP_shutdown:
		if (call_copy_from(&vm->model, &how, args[1], sizeof(how)))
			return -EFAULT;
		xen_drain_ring();
		end = how.reason == SHUTDOWN_poweroff ? MACHINE_POWEROFF
		      : how.reason == SHUTDOWN_reboot ? MACHINE_REBOOT
						      : MACHINE_CRASH;
		vm_exit(end, "it shut down");
	default:
		return -ENOSYS;
	}
}

static long xen_version(const uint64_t *args)
{
	static const xen_extraversion_t extra = ".model";
	struct xen_feature_info features;

	switch (args[0]) {
	case XENVER_version:
		return 4 << 16 | 17;
	case XENVER_extraversion:
		return call_copy_to(&vm->model, args[1], extra, sizeof(extra));
	case XENVER_get_features:
		if (call_copy_from(&vm->model, &features, args[1], sizeof(features)))
			return -EFAULT;
		if (features.submap_idx >= XENFEAT_NR_SUBMAPS)
			return -EINVAL;
		features.submap = 1U << XENFEAT_mmu_pt_update_preserve_ad |
				  1U << XENFEAT_pae_pgdir_above_4gb | 1U << XENFEAT_highmem_assist |
				  1U << XENFEAT_gnttab_map_avail_bits;
		if (vm->config.dom0)
			features.submap |= 1U << XENFEAT_dom0;
		return call_copy_to(&vm->model, args[1], &features, sizeof(features));
	default:
		return -ENOSYS;
	}
}

/* do_set_trap_table(): up to the first entry without an address. */
static long set_trap_table(const uint64_t *args)
{
	struct trap_info trap;

	if (args[0] == 0)
		return 0;
	for (uint64_t i = 0;; i++) {
		if (call_copy_from(&vm->model, &trap, args[0] + i * sizeof(trap), sizeof(trap)))
			return -EFAULT;
		if (trap.address == 0)
			return 0;
		if (!va_canonical(trap.address))
			return -EINVAL;
		vm->services.trap_entry[trap.vector] = trap.address;
		vm->services.traps_registered = true;
	}
}

static long vcpu_op(const uint64_t *args)
{
	if (args[1] != 0)
		return -ENOENT;
	switch (args[0]) {
	case VCPUOP_stop_periodic_timer:
	case VCPUOP_set_singleshot_timer:
	case VCPUOP_stop_singleshot_timer:
		return 0;
	default:
		return -ENOSYS;
	}
}

long xen_other(struct model *m __maybe_unused, unsigned int nr, const uint64_t *args)
{
	switch (nr) {
	case __HYPERVISOR_console_io:
		return console_io(args);
	case __HYPERVISOR_event_channel_op:
		return event_channel_op(args);
	case __HYPERVISOR_sched_op:
		return sched_op(args);
	case __HYPERVISOR_xen_version:
		return xen_version(args);
	case __HYPERVISOR_set_trap_table:
		return set_trap_table(args);
	case __HYPERVISOR_set_callbacks:
		return 0;
	case __HYPERVISOR_vcpu_op:
		return vcpu_op(args);
	default:
		return -ENOSYS;
	}
}
