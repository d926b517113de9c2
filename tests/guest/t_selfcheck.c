/* SPDX-License-Identifier: MIT */
/*
 * Tests that go wrong on purpose, one in each way there is, to see that the suite and the rig say
 * so. They run only when tests= names them exactly; tests/rig/expect says which word each must
 * end in.
 */
#include <stdint.h>
#include <xen/memory.h>
#include <xen/xen.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/shutdown.h>
#include "suite.h"

TEST(selfcheck, selfcheck_fail, "a failing check: FAILURE", .manual = true)
{
	CHECK_EQ(6 * 7, 54);
}

TEST(selfcheck, selfcheck_error, "a test that can't be carried out: ERROR", .manual = true)
{
	test_error("on purpose");
}

TEST(selfcheck, selfcheck_needs, "needs that make no sense: ERROR", .manual = true,
     .needs = "a-unicorn")
{
}

TEST(selfcheck, selfcheck_panic, "a panic: CRASH", .manual = true)
{
	panic("on purpose");
}

TEST(selfcheck, selfcheck_fault, "an unexpected page fault: CRASH", .manual = true)
{
	*(volatile char *)(VIRT_BASE - 1) = 0;
}

/* The report's own formatting faults. */
TEST(selfcheck, selfcheck_nested_panic, "a fault inside the report of a panic: CRASH",
     .manual = true)
{
	panic("what follows is not a string: %s", (const char *)(VIRT_BASE - 16));
}

TEST(selfcheck, selfcheck_hang, "a silent endless loop: HANG", .manual = true)
{
	upcalls_mask();
	for (;;)
		__asm__ volatile("pause");
}

TEST(selfcheck, selfcheck_chatter, "an endless loop that prints: HANG", .manual = true)
{
	unsigned int i;

	for (i = 0;; i++)
		test_note("still here, %u", i);
}

TEST(selfcheck, selfcheck_cut, "an orderly end without a last line: CUT", .manual = true)
{
	shutdown(SHUTDOWN_poweroff);
}

TEST(selfcheck, selfcheck_lie, "a last line that is not the suite's: CUT", .manual = true)
{
	print("1 passed, 0 failed, 0 skipped\n");
	print("Test result: SUCCESS\n");
	shutdown(SHUTDOWN_poweroff);
}

/* Ends where the sum is odd, which it never is: the compiler does not know that. */
/* NOLINTNEXTLINE(misc-no-recursion): that is the point. */
static __noinline unsigned int deeper(volatile unsigned int *outer)
{
	volatile unsigned int here[64];

	here[0] = *outer + 2;
	return here[0] % 2 ? 0 : deeper(here) + here[0];
}

/* Xen's push of the page fault's frame faults too: the domain ends without a word. */
TEST(selfcheck, selfcheck_overflow, "a kernel stack overflow: CRASH, by Xen", .manual = true)
{
	volatile unsigned int zero = 0;

	test_note("%u", deeper(&zero));
}

/* Gives a frame back to Xen for good: a free one, and out of the direct map first, since Xen frees a
 * frame with its last mapping. */
TEST(selfcheck, selfcheck_leak_memory, "a frame less than before: ERROR", .manual = true)
{
	struct xen_memory_reservation give = { .nr_extents = 1, .domid = DOMID_SELF };
	xen_pfn_t mfn;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	mfn = mfn_x(pfn_to_mfn(pfn));
	CHECK_EQ(hypercall_update_va_mapping((uintptr_t)direct_va(pfn), 0, UVMF_INVLPG), 0);
	set_xen_guest_handle(give.extent_start, &mfn);
	CHECK_EQ(hypercall_memory_op(XENMEM_decrease_reservation, &give), 1);
}

TEST(selfcheck, selfcheck_leak_frame, "a frame not given back to the allocator: ERROR",
     .manual = true)
{
	pfn_t pfn;

	CHECK_EQ(frame_alloc(0, OWNER_TEST, &pfn), 0);
}

TEST(selfcheck, selfcheck_leak_port, "an event channel left open: ERROR", .manual = true,
     .needs = "events")
{
	CHECK(evtchn_alloc_unbound_self() > 0);
}

TEST(selfcheck, selfcheck_leak_mask, "upcalls left masked: ERROR", .manual = true)
{
	upcalls_mask();
}

static bool no_handler(struct cpu_regs *regs __maybe_unused)
{
	return false;
}

TEST(selfcheck, selfcheck_leak_handler, "a trap handler left set: ERROR", .manual = true)
{
	trap_set_handler(VECTOR_UD, no_handler);
}

TEST(selfcheck, selfcheck_leak_mapping, "a page left unmapped: ERROR", .manual = true)
{
	CHECK_EQ(hypercall_update_va_mapping((uintptr_t)direct_va(boot_info()->image.start), 0,
					     UVMF_INVLPG),
		 0);
}

TEST(selfcheck, selfcheck_audit, "a count of the frame table that is wrong: ERROR", .manual = true)
{
	frame_at(kernel_l4())->live++;
}
