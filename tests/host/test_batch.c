/* SPDX-License-Identifier: MIT */
/*
 * What the batch says of itself, and how often it asks: the report of a failure, word for word, and the single entry that
 * takes the short way, once and where it insists.
 */
#include "host.h"
#include <xen/xen.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include "guest.h"

static struct {
	unsigned int left; /* calls of update_va_mapping that are refused */
	unsigned int seen;
} refusals;

static long refuse(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	(void)ctx;
	(void)args;
	(void)entry;
	if (nr != __HYPERVISOR_update_va_mapping)
		return 0;
	refusals.seen++;
	if (refusals.left == 0)
		return 0;
	refusals.left--;
	return -EBUSY;
}

static void boot(void)
{
	const struct machine_config config = { .seed = 9 };

	assert_int_equal(machine_start(&config), 0);
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	machine_console_reset();
}

static void run(void (*fn)(void *arg), void *arg)
{
	assert_int_equal(machine_run(fn, arg), MACHINE_RETURNED);
}

/* Before anything has failed there is nothing to tell, and that is told. */
static void tell(void *arg)
{
	(void)arg;
	mmu_batch_print_error();
}

/* A frame that stays as it is, and what was asked for it. */
struct one {
	pfn_t pfn;
	bool insist;
	uint64_t leaf; /* asked for */
	int rc;
	bool plain;
};

static void narrow(void *arg)
{
	struct one *one = arg;
	unsigned int index;
	pfn_t table;

	if (frame_alloc(0, OWNER_TEST, &one->pfn) || !direct_map_leaf(one->pfn, &table, &index))
		return;
	one->leaf = pte_make(pfn_to_mfn(one->pfn), PTE_KERNEL_RO);
	if (one->insist)
		mmu_batch_insist(true);
	one->rc = direct_map_protect(one->pfn, PTE_KERNEL_RO);
	if (one->insist)
		mmu_batch_insist(false);
	one->plain = frame_at(one->pfn)->flags & FRAME_PLAIN;
	mmu_batch_print_error();
}

static void test_report(void **state)
{
	struct one one = { .pfn = INVALID_PFN };
	struct mmu_batch_error e;
	char line[256];

	(void)state;
	boot();
	run(tell, NULL);
	assert_string_equal(machine_console(),
			    "mmu_batch: entry 0, nothing(0, 0) by nobody: 0; 0 undone, 0 stuck\n");
	machine_console_reset();
	refusals.left = 1;
	machine_on_hypercall(refuse, NULL);
	run(narrow, &one);
	machine_on_hypercall(NULL, NULL);
	assert_int_equal(one.rc, -EBUSY);
	assert_true(one.plain);
	e = mmu_batch_error();
	libc_snprintf(line, sizeof(line),
		      "mmu_batch: entry 0, update_va_mapping(%#lx, %#lx) by direct_map_protect: "
		      "-EBUSY; 0 undone, 0 stuck\n",
		      e.ptr, one.leaf);
	assert_string_equal(machine_console(), line);
	machine_stop();
}

/* Asked once, or where what is asked takes something back, a second time; never a third. */
static void test_insist(void **state)
{
	static const struct {
		bool insist;
		unsigned int refused, seen;
		int rc;
	} rows[] = {
		{ false, 0, 1, 0 }, { false, 1, 1, -EBUSY }, { true, 0, 1, 0 },
		{ true, 1, 2, 0 },  { true, 2, 2, -EBUSY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct one one = { .pfn = INVALID_PFN, .insist = rows[i].insist };

		boot();
		refusals.left = rows[i].refused;
		refusals.seen = 0;
		machine_on_hypercall(refuse, NULL);
		run(narrow, &one);
		machine_on_hypercall(NULL, NULL);
		assert_int_equal(one.rc, rows[i].rc);
		assert_int_equal(refusals.seen, rows[i].seen);
		assert_int_equal(one.plain, rows[i].rc != 0);
	}
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_insist),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
