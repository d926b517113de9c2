/* SPDX-License-Identifier: MIT */
/* The hypervisor's services: hypercalls and their errors, event channels, time. */
#include <stdint.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/hypercall_raw.h>
#include <pinion/mm/layout.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/shared_info.h>
#include <pinion/xen/time.h>
#include "suite.h"

/* Errors that concern no page table. A wrapper that dropped an error, or
 * a compat call behind a renamed hypercall, would return 0 here. */
TEST(hypercalls, hypercall_errors, "bad numbers, commands and pointers give Xen's errors",
     .phase = TEST_EARLY)
{
	struct trap_info bad_trap[2] = { { .vector = 3, .cs = FLAT_KERNEL_CS }, { .vector = 0 } };

	CHECK_EQ(hypercall_raw(999, 0, 0, 0, 0, 0), -ENOSYS);
	CHECK_EQ(hypercall_raw(55, 0, 0, 0, 0, 0), -ENOSYS);
	CHECK_EQ(hypercall_xen_version(12345, NULL), -ENOSYS);
	CHECK_EQ(hypercall_sched_op(12345, NULL), -ENOSYS);
	CHECK_EQ(hypercall_memory_op(12345, NULL), -ENOSYS);
	CHECK_EQ(hypercall_vcpu_op(12345, 0, NULL), -ENOSYS);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_vm_assist, 5, 0, 0, 0, 0), -ENOSYS);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 100, 0, 0, 0), -EINVAL);
	CHECK_EQ(hypercall_xen_version(XENVER_extraversion, (void *)XEN_VA_BASE), -EFAULT);
	bad_trap[0].address = UINT64_C(0x8000000000000000);
	CHECK_EQ(hypercall_set_trap_table(bad_trap), -EINVAL);
	CHECK_EQ(hypercall_set_trap_table((const struct trap_info *)XEN_VA_BASE), -EFAULT);
}

/* The same for events and vCPUs, which a hypervisor may be without. */
TEST(hypercalls, hypercall_event_errors, "bad commands, ports and vCPUs give Xen's errors",
     .phase = TEST_EARLY, .needs = "events")
{
	struct evtchn_send send = { .port = 1000 };

	CHECK_EQ(hypercall_event_channel_op(12345, NULL), -ENOSYS);
	CHECK_EQ(hypercall_event_channel_op(EVTCHNOP_send, &send), -EINVAL);
	CHECK_EQ(hypercall_event_channel_op(EVTCHNOP_send, NULL), -EFAULT);
	CHECK_EQ(hypercall_vcpu_op(VCPUOP_is_up, 4000, NULL), -ENOENT);
}

/* Xen may change every argument register; the compiler must know, or it goes on with stale values.
 * The registers that a call leaves alone must hold. */
TEST(hypercalls, hypercall_clobbers, "callee-saved registers survive a hypercall",
     .phase = TEST_EARLY)
{
	uint64_t rbx = 0x0b0b, rdx = 0x0d0d, nr = __HYPERVISOR_xen_version, rsi = 0x5151, rdi = 0;
	register uint64_t r12 __asm__("r12") = 12;
	register uint64_t r15 __asm__("r15") = 15;

	__asm__ volatile("syscall"
			 : "+a"(nr), "+b"(rbx), "+d"(rdx), "+S"(rsi), "+D"(rdi), "+r"(r12),
			   "+r"(r15)
			 :
			 : "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
	CHECK_EQ(nr, hypercall_xen_version(XENVER_version, NULL));
	CHECK_EQ(rbx, 0x0b0b);
	CHECK(r12 == 12 && r15 == 15);
}

/* start_info's count, Xen's own, and the limit must fit together. */
TEST(hypercalls, reservation, "Xen counts as many frames of ours as start_info says")
{
	domid_t self = DOMID_SELF;
	long current = hypercall_memory_op(XENMEM_current_reservation, &self);
	long most = hypercall_memory_op(XENMEM_maximum_reservation, &self);

	CHECK_EQ(current, boot_info()->nr_pages);
	CHECK(most >= current);
}

static unsigned int upcalls;
static evtchn_port_t upcall_port;

static void count_upcall(evtchn_port_t port)
{
	upcalls++;
	upcall_port = port;
}

/* A channel of ours to ourselves: what is sent on one port arrives at the other, once each. */
TEST(events, evtchn_loopback, "an event is delivered by an upcall, and held back while masked",
     .needs = "events")
{
	long port = evtchn_alloc_unbound_self();
	struct evtchn_bind_interdomain bind = { .remote_dom = DOMID_SELF,
						.remote_port = (evtchn_port_t)port };
	bool masked;

	REQUIRE(port > 0);
	REQUIRE(hypercall_event_channel_op(EVTCHNOP_bind_interdomain, &bind) == 0);
	upcalls = 0;
	CHECK_EQ(evtchn_set_handler((evtchn_port_t)port, count_upcall), 0);
	CHECK_EQ(evtchn_set_handler((evtchn_port_t)port, count_upcall), -EBUSY);
	/* Binding makes both ends pending once, so that no event sent before is lost. */
	CHECK(upcalls <= 1);
	upcalls = 0;

	evtchn_notify(bind.local_port);
	CHECK_EQ(upcalls, 1);
	CHECK_EQ(upcall_port, port);
	masked = upcalls_mask();
	CHECK(!masked);
	evtchn_notify(bind.local_port);
	CHECK_EQ(upcalls, 1);
	upcalls_restore(true);
	CHECK_EQ(upcalls, 1);
	/* Unmasking looks: the event does not wait for the next hypercall that happens by. */
	upcalls_restore(false);
	CHECK_EQ(upcalls, 2);

	CHECK_EQ(evtchn_close(bind.local_port), 0);
	CHECK_EQ(evtchn_close((evtchn_port_t)port), 0);
	CHECK_EQ(evtchn_close((evtchn_port_t)port), -EINVAL);
	CHECK_EQ(evtchn_set_handler(0, count_upcall), -EINVAL);
	CHECK_EQ(evtchn_set_handler(4096, count_upcall), -EINVAL);
}

/* Time moves forward, a sleep ends no earlier than asked, and one into the past ends at once. The
 * test bounds nothing from above: the machine may be busy. */
TEST(events, time, "system time never goes back, and sleeping reaches the deadline")
{
	uint64_t start = time_now_ns(), before = start, now;
	unsigned int i;

	REQUIRE(start > 0);
	for (i = 0; i < 1000; i++, before = now) {
		now = time_now_ns();
		REQUIRE(now >= before);
	}
	time_sleep_until(start);
	time_sleep_until(0);
	now = time_now_ns();
	time_sleep_until(now + 3 * NS_PER_MS);
	CHECK(time_now_ns() >= now + 3 * NS_PER_MS);
}

/* The formula by its edges; the clock page of a live Xen takes only one shift. */
TEST(events, time_formula, "tsc to nanoseconds, with shifts both ways and a full-width product")
{
	struct vcpu_time_info t = { .tsc_timestamp = 1000, .system_time = 5 };

	t.tsc_to_system_mul = 0x80000000; /* one half */
	CHECK_EQ(time_from_tsc(&t, 1000), 5);
	CHECK_EQ(time_from_tsc(&t, 1100), 55);
	t.tsc_shift = 1;
	CHECK_EQ(time_from_tsc(&t, 1100), 105);
	t.tsc_shift = -1;
	CHECK_EQ(time_from_tsc(&t, 1100), 30);
	t.tsc_shift = 0;
	/* 2^62 ticks: the product needs more than 64 bits. */
	CHECK_EQ(time_from_tsc(&t, 1000 + (UINT64_C(1) << 62)), 5 + (UINT64_C(1) << 61));
}
