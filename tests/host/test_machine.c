/* SPDX-License-Identifier: MIT */
/*
 * The machine itself (guest.h), and the kernel's way up on it: what is flushed is gone and what is not is used,
 * tables can't be stored into, snapshots bring all back; and a boot that meets a refusal of Xen's, or no
 * memory, at any point ends in one sentence.
 */
#include "host.h"
#include <xen/xen.h>
#include "guest.h"
#include <pinion/arch/regs.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/xen/hypercall.h>

static void start(bool dom0, const char *cmdline)
{
	struct machine_config config = { .dom0 = dom0, .seed = 1, .cmdline = cmdline };

	assert_int_equal(machine_start(&config), 0);
}

static void boot(bool dom0)
{
	start(dom0, "");
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	machine_check();
}

static void test_boot(void **state)
{
	(void)state;
	boot(true);
	boot(false);
	machine_stop();
	assert_null(machine_model());
}

/* exit= leads to each of Xen's ways to end; what the console has is complete. */
static void test_ends(void **state)
{
	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		start(dom0, "exit=poweroff ptdump");
		assert_int_equal(machine_boot_whole(), MACHINE_POWEROFF);
		assert_non_null(libc_strstr(machine_console(), "--- direct map"));
		start(dom0, "exit=reboot sync");
		assert_int_equal(machine_boot_whole(), MACHINE_REBOOT);
		start(dom0, "exit=crash poison mem=12M");
		assert_int_equal(machine_boot_whole(), MACHINE_CRASH);
	}
	machine_stop();
}

static uint64_t read_once(const volatile uint64_t *word)
{
	return *word;
}

static uint64_t test_va = UINT64_C(0x200000000000);
static uint64_t seen[2];
static pfn_t first, second;
static struct aspace as;

/*
 * A page of the user's is mapped, looked at, and mapped to another frame by a raw call that flushes nothing, or
 * that page.
 */
static void stale(void *arg)
{
	unsigned long flags = *(unsigned long *)arg;
	struct aspace_range range = { test_va, 1, NULL };

	if (frame_alloc(0, OWNER_TEST, &first) || frame_alloc(0, OWNER_TEST, &second) ||
	    aspace_create(&as) || aspace_map(&as, &range, &first, ASPACE_RW) ||
	    aspace_activate(&as))
		return;
	*(uint64_t *)direct_va(first) = 1;
	*(uint64_t *)direct_va(second) = 2;
	seen[0] = read_once((uint64_t *)test_va);
	if (hypercall_update_va_mapping(
		    test_va, pte_make(pfn_to_mfn(second), PTE_KERNEL_RW | PTE_US), flags))
		return;
	seen[1] = read_once((uint64_t *)test_va);
}

static void test_stale(void **state)
{
	unsigned long none = UVMF_NONE, invlpg = UVMF_INVLPG;

	(void)state;
	boot(false);
	assert_int_equal(machine_run(stale, &none), MACHINE_RETURNED);
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], 1);
	boot(false);
	assert_int_equal(machine_run(stale, &invlpg), MACHINE_RETURNED);
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], 2);
	machine_stop();
}

/* The host sees a guest's memory as the guest does. */
static void test_access(void **state)
{
	uint64_t l4, word = 0, va;
	unsigned int error = 99;

	(void)state;
	boot(false);
	l4 = (uint64_t)direct_va(kernel_l4());
	assert_int_equal(guest_load(l4 + SLOT_IMAGE * 8, &word, 8, &error), 0);
	assert_true(word & PTE_P);
	assert_int_equal(guest_store(l4, &word, 8, &error), -EFAULT);
	assert_int_equal(error, PF_PRESENT | PF_WRITE);
	assert_int_equal(guest_load(VMAP_BASE, &word, 8, &error), -EFAULT);
	assert_int_equal(error, 0);
	assert_int_equal(guest_store(VMAP_BASE, &word, 8, &error), -EFAULT);
	assert_int_equal(error, PF_WRITE);
	va = (uint64_t)__text_start;
	assert_int_equal(guest_store(va, &word, 8, NULL), -EFAULT);
	machine_stop();
}

static void take_frames(void *arg)
{
	pfn_t pfn;

	for (int i = 0; i < *(int *)arg; i++)
		if (frame_alloc(0, OWNER_TEST, &pfn) == 0)
			*(uint64_t *)direct_va(pfn) = 0x1234;
}

static void test_snapshot(void **state)
{
	struct machine_snapshot *snap, *other;
	uint64_t free, m2p;
	int n = 100;

	(void)state;
	boot(true);
	snap = machine_snapshot();
	free = frame_alloc_free();
	m2p = machine_model()->m2p[0x1234];
	for (int i = 0; i < 3; i++) {
		assert_int_equal(machine_run(take_frames, &n), MACHINE_RETURNED);
		assert_int_equal(frame_alloc_free(), free - 100);
		machine_model()->m2p[0x1234]++;
		machine_restore(snap);
		assert_int_equal(frame_alloc_free(), free);
		assert_int_equal(machine_model()->m2p[0x1234], m2p);
	}
	/* To and fro between two. */
	assert_int_equal(machine_run(take_frames, &n), MACHINE_RETURNED);
	other = machine_snapshot();
	machine_restore(snap);
	assert_int_equal(frame_alloc_free(), free);
	machine_restore(other);
	assert_int_equal(frame_alloc_free(), free - 100);
	machine_check();
	machine_snapshot_free(snap);
	machine_snapshot_free(other);
	machine_stop();
}

/* A wild access of the kernel's ends in its own report, an impossible state of the model's in Xen's verdict. */
static void wild(void *arg)
{
	(void)arg;
	read_once((const uint64_t *)(VMAP_BASE + 0x123000));
}

static void test_wild(void **state)
{
	(void)state;
	boot(false);
	assert_int_equal(machine_run(wild, NULL), MACHINE_CRASH);
	assert_non_null(libc_strstr(machine_console(), "unexpected #PF"));
	assert_non_null(libc_strstr(machine_console(), "address 00004c0000123000"));
	machine_stop();
}

struct nth {
	uint64_t n, count;
	long error;
};

static long fail_nth_call(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	struct nth *nth = ctx;

	(void)args;
	(void)entry;
	if (nr != __HYPERVISOR_mmu_update && nr != __HYPERVISOR_mmuext_op &&
	    nr != __HYPERVISOR_update_va_mapping && nr != __HYPERVISOR_memory_op &&
	    nr != __HYPERVISOR_xen_version && nr != __HYPERVISOR_set_trap_table &&
	    nr != __HYPERVISOR_vcpu_op)
		return 0;
	return nth->count++ == nth->n ? nth->error : 0;
}

static bool fail_nth_alloc(void *ctx)
{
	struct nth *nth = ctx;

	return nth->count++ == nth->n;
}

/* It came up all the same, or said why not; a domU can't before it has found its ring. */
static void check_end(enum machine_end end, uint64_t n)
{
	if (end != MACHINE_RETURNED && end != MACHINE_CRASH)
		printf("# request or allocation %lu: %s\n%s", n, machine_why(), machine_console());
	assert_true(end == MACHINE_RETURNED || end == MACHINE_CRASH);
	if (end == MACHINE_CRASH && *machine_console())
		assert_non_null(libc_strstr(machine_console(), "panic: "));
	assert_true(end == MACHINE_RETURNED || *machine_console() || n < 5);
	machine_check();
}

/* Whatever is refused, the n-th request for every n. */
static void test_refusals(void **state)
{
	struct nth nth = { .error = -EINVAL };
	struct machine_snapshot *day;

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		start(dom0, "");
		day = machine_snapshot();
		for (nth.n = 0;; nth.n++) {
			machine_restore(day);
			machine_console_reset();
			nth.count = 0;
			machine_on_hypercall(fail_nth_call, &nth);
			check_end(machine_boot(), nth.n);
			machine_on_hypercall(NULL, NULL);
			if (nth.count <= nth.n)
				break;
		}
		printf("# a boot has %llu requests\n", (unsigned long long)nth.count);
		assert_true(nth.n > 40);
		machine_snapshot_free(day);
	}
	machine_stop();
}

static void test_no_memory(void **state)
{
	struct nth nth = { 0 };
	struct machine_snapshot *day;

	(void)state;
	start(true, "");
	day = machine_snapshot();
	for (nth.n = 0;; nth.n++) {
		machine_restore(day);
		machine_console_reset();
		nth.count = 0;
		machine_on_alloc(fail_nth_alloc, &nth);
		check_end(machine_boot(), nth.n);
		machine_on_alloc(NULL, NULL);
		if (nth.count <= nth.n)
			break;
	}
	assert_true(nth.n > 10);
	machine_snapshot_free(day);
	machine_stop();
}

static bool no_memory(void *ctx __maybe_unused)
{
	return true;
}

static void set_audit_up(void *arg)
{
	*(int *)arg = mm_audit_init();
}

/* The audit's notes are in whole frames, and what the block that they came in has more is given back. */
static void test_audit_memory(void **state)
{
	uint64_t free;
	int rc = 1;

	(void)state;
	boot(false);
	free = frame_alloc_free();
	machine_on_alloc(no_memory, NULL);
	assert_int_equal(machine_run(set_audit_up, &rc), MACHINE_RETURNED);
	machine_on_alloc(NULL, NULL);
	assert_int_equal(rc, -ENOMEM);
	assert_int_equal(frame_alloc_free(), free);
	assert_int_equal(machine_run(set_audit_up, &rc), MACHINE_RETURNED);
	assert_int_equal(rc, 0);
	assert_int_equal(frame_alloc_free(), free - frames_up(pfn_x(frame_table_end()) * 8));
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot),	     cmocka_unit_test(test_ends),
		cmocka_unit_test(test_stale),	     cmocka_unit_test(test_access),
		cmocka_unit_test(test_snapshot),     cmocka_unit_test(test_wild),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_audit_memory),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
