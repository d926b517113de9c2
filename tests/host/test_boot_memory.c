/* SPDX-License-Identifier: MIT */
/*
 * Memory before everything stands: starts of day that no Xen in the rig makes, and that some Xen might. A guest that
 * is mapped as a whole, memory in pieces far apart, more pieces than there is room for; and records that are wrong.
 *
 * What is done to a machine here it does not survive, so each story has one of its own.
 */
#include "host.h"
#include <xen/xen.h>
#include <pinion/arch/pte.h>
#include <pinion/boot/boot_info.h>
#include <pinion/boot/memory.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/boot_tables.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/hypercall.h>
#include "guest.h"

static struct audit_report report;

/* A machine between phases 4 and 6. */
static void start(const struct machine_config *config)
{
	assert_int_equal(machine_start(config), 0);
	assert_int_equal(machine_boot_early(), MACHINE_RETURNED);
}

static void in_guest(void (*fn)(void *arg), void *arg)
{
	assert_int_equal(machine_run(fn, arg), MACHINE_RETURNED);
}

/* The story @fn of a 16 MiB domU, of which the guest's part asserts for itself. */
static void play(void (*fn)(void *arg), void *arg)
{
	const struct machine_config config = { .seed = 11 };

	start(&config);
	in_guest(fn, arg);
	machine_check();
	machine_stop();
}

static unsigned int count_ranges(void)
{
	struct frame_run run;
	unsigned int n = 0;
	bool mapped;

	while (boot_alloc_range(n, &run, &mapped))
		n++;
	return n;
}

/* The largest range of a pool. */
static struct frame_run largest(bool of_mapped)
{
	struct frame_run run, best = { .nr = 0 };
	bool mapped;

	for (unsigned int i = 0; boot_alloc_range(i, &run, &mapped); i++)
		if (mapped == of_mapped && run.nr > best.nr)
			best = run;
	return best;
}

static bool is_mapped(pfn_t pfn)
{
	uint64_t leaf = 0;

	assert_int_equal(boot_table_entry(boot_info(), (uintptr_t)boot_va(pfn), 1, NULL, &leaf), 0);
	return leaf & PTE_P;
}

/* A memory map may have more ranges than the allocator has room for; what does not fit is lost, and that is said. */
static void add_too_many(void *arg __maybe_unused)
{
	uint64_t far = UINT64_C(1) << 20, free;
	unsigned int n = count_ranges();

	boot_alloc_add_unmapped(_pfn(far), 0);
	assert_int_equal(count_ranges(), n);
	do {
		free = boot_alloc_free();
		boot_alloc_add_unmapped(_pfn(far += 2), 1);
		n++;
	} while (boot_alloc_free() == free + 1);
	assert_int_equal(count_ranges(), n - 1);
	assert_true(n > MEMORY_MAP_MAX);
	assert_int_equal(boot_alloc_free(), free);
}

static void test_too_many(void **state)
{
	(void)state;
	machine_console_reset();
	play(add_too_many, NULL);
	assert_non_null(libc_strstr(machine_console(), "boot_alloc: no room for pfns [0x10"));
}

/* What mem= takes away is not used, wherever it is mapped. */
static void limit_ram(void *arg __maybe_unused)
{
	struct boot_info told = *boot_info();
	struct frame_run above;

	boot_alloc_init(&told);
	above = largest(true);
	told.ram_pages = pfn_x(above.start) + 7;
	boot_alloc_init(&told);
	assert_int_equal(largest(true).nr + pfn_x(largest(true).start) <= told.ram_pages, true);
	told.ram_pages = pfn_x(above.start) + 1;
	boot_alloc_init(&told);
	for (void *page = boot_alloc_page(NULL); page; page = boot_alloc_page(NULL))
		assert_true(pfn_x(boot_va_pfn(page)) < told.ram_pages);
	told.ram_pages = 0;
	boot_alloc_init(&told);
	assert_int_equal(count_ranges(), 0);
	assert_null(boot_alloc_page(NULL));
}

static void test_limit(void **state)
{
	(void)state;
	play(limit_ram, NULL);
}

/* To the last page and back, in an order in which they join the ranges in front, behind and not at all. */
static void take_all_pages(void *arg __maybe_unused)
{
	uint64_t free = boot_alloc_free(), taken = 0;
	uint64_t *page;
	pfn_t pfn, last = INVALID_PFN;
	unsigned int ranges;

	while ((page = boot_alloc_page(&pfn))) {
		assert_ptr_equal(page, boot_va(pfn));
		for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
			assert_int_equal(page[i], 0);
		page[511] = ~UINT64_C(0);
		last = pfn;
		taken++;
	}
	assert_int_equal(boot_alloc_free(), free - taken);
	assert_null(boot_alloc_page(NULL));
	ranges = count_ranges();
	boot_alloc_give_back(_pfn(pfn_x(last) - 2));
	boot_alloc_give_back(_pfn(pfn_x(last) - 1));
	boot_alloc_give_back(last);
	assert_int_equal(boot_alloc_free(), free - taken + 3);
	assert_int_equal(count_ranges(), ranges + 1);
	for (unsigned int i = 0; i < 3; i++) {
		page = boot_alloc_page(&pfn);
		assert_non_null(page);
		assert_int_equal(page[511], 0);
		page[511] = 1;
	}
	assert_null(boot_alloc_page(NULL));
	boot_alloc_give_back(last);
	assert_int_equal(mm_audit(boot_info(), &report), 0);
	boot_alloc_give_back(last);
}

static void test_pages(void **state)
{
	const struct machine_config config = { .seed = 12 };

	(void)state;
	start(&config);
	assert_int_equal(machine_run(take_all_pages, NULL), MACHINE_CRASH);
	assert_non_null(libc_strstr(machine_console(), "is given back twice"));
	machine_stop();
}

/* So that there is memory that is mapped, and none that is not: a small guest's is mapped to its end. */
static void use_up_unmapped(void)
{
	pfn_t pfn;

	while (largest(false).nr > 0)
		assert_int_equal(boot_alloc_run(largest(false).nr, &pfn), 0);
}

/* Frames for tables must have no mapping: where there are no others, they lose theirs. */
static void run_of_mapped(void *arg __maybe_unused)
{
	struct frame_run pool;
	uint64_t free;
	pfn_t pfn = INVALID_PFN;

	/* As long as there is one without, it is that, however small. */
	assert_int_equal(boot_alloc_run(largest(false).nr - 1, &pfn), 0);
	assert_int_equal(boot_alloc_run(1, &pfn), 0);
	assert_true(pfn_x(pfn) >= pfn_x(boot_info()->region_end));
	use_up_unmapped();
	pool = largest(true);
	free = boot_alloc_free();
	assert_int_equal(boot_alloc_run(5, &pfn), 0);
	assert_int_equal(pfn_x(pfn), pfn_x(pool.start) + pool.nr - 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_false(is_mapped(pfn_add(pfn, i)));
	assert_true(is_mapped(_pfn(pfn_x(pfn) - 1)));
	assert_int_equal(boot_alloc_free(), free - 5);
	assert_int_equal(mm_audit(boot_info(), &report), 0);
	assert_int_equal(boot_alloc_run(free, &pfn), -ENOMEM);
	assert_int_equal(boot_alloc_free(), free - 5);
}

static void test_run(void **state)
{
	(void)state;
	play(run_of_mapped, NULL);
}

struct refusal {
	unsigned int at, count;
	long error;
};

static long refuse(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	struct refusal *r = ctx;

	(void)args;
	(void)entry;
	return nr == __HYPERVISOR_update_va_mapping && r->count++ == r->at ? r->error : 0;
}

/* Whichever of them Xen refuses: no frame is lost, and each is in the pool that its mapping says. */
static void run_refused(void *arg)
{
	struct refusal *r = arg;
	uint64_t free;
	pfn_t pfn = INVALID_PFN;

	use_up_unmapped();
	free = boot_alloc_free();
	machine_on_hypercall(refuse, r);
	assert_int_equal(boot_alloc_run(5, &pfn), r->error);
	machine_on_hypercall(NULL, NULL);
	assert_int_equal(r->count, r->at + 1);
	assert_true(pfn_eq(pfn, INVALID_PFN));
	assert_int_equal(boot_alloc_free(), free);
	assert_int_equal(largest(false).nr, r->at + (r->error == -EFAULT));
	assert_int_equal(mm_audit(boot_info(), &report), 0);
	assert_int_equal(boot_alloc_run(5, &pfn), 0);
	assert_int_equal(boot_alloc_free(), free - 5);
	assert_int_equal(mm_audit(boot_info(), &report), 0);
	assert_non_null(boot_alloc_page(NULL));
}

static void test_run_refused(void **state)
{
	static const long errors[] = { -ENOMEM, -EFAULT };

	(void)state;
	for (unsigned int at = 0; at < 5; at++)
		for (unsigned int e = 0; e < ARRAY_SIZE(errors); e++) {
			struct refusal r = { .at = at, .error = errors[e] };

			play(run_refused, &r);
		}
}

/* The audit finds that @pfn is not free, and nothing else. */
static void expect_not_free(pfn_t pfn)
{
	assert_int_equal(mm_audit(boot_info(), &report), 1);
	assert_int_equal(report.first[0].fact, AUDIT_BOOT_ALLOC);
	assert_int_equal(pfn_x(report.first[0].pfn), pfn_x(pfn));
}

/* What must not be among the free frames. */
static void give_wrong(void *arg)
{
	const struct boot_info *bi = boot_info();
	const pfn_t wrong[] = { bi->tables.start, pfn_add(bi->tables.start, bi->tables.nr - 1),
				bi->image.start, bi->start_info, bi->mfn_list.start };
	pfn_t pfn = wrong[*(unsigned int *)arg];

	boot_alloc_give_back(pfn);
	expect_not_free(pfn);
}

static void add_beyond_ram(void *arg __maybe_unused)
{
	pfn_t beyond = _pfn(kernel_p2m.max_pfn);

	boot_alloc_add_unmapped(beyond, 1);
	expect_not_free(beyond);
}

/* A frame in two ranges, at either end of the larger one. */
static void add_twice(void *arg __maybe_unused)
{
	struct frame_run run = largest(false);
	pfn_t last = pfn_add(run.start, run.nr - 1);

	boot_alloc_add_unmapped(last, 1);
	expect_not_free(last);
	assert_int_equal(report.first[0].expected, 1);
	assert_int_equal(report.first[0].found, 2);
	boot_alloc_add_unmapped(run.start, 1);
	assert_int_equal(mm_audit(boot_info(), &report), 2);
	assert_int_equal(pfn_x(report.first[1].pfn), pfn_x(run.start));
}

static void test_wrong_free(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		play(give_wrong, &i);
	play(add_beyond_ram, NULL);
	play(add_twice, NULL);
}

/* The walk of start of day's tables does not take a superpage for a table: its frame is data, whatever it holds. */
static void test_superpage(void **state)
{
	const struct machine_config config = { .seed = 13 };
	struct model *m;
	maddr_t where = _maddr(0);
	uint64_t *entry, value = 0;

	(void)state;
	start(&config);
	m = machine_model();
	for (unsigned int level = 2; level <= 3; level++) {
		assert_int_equal(boot_table_entry(boot_info(), VIRT_BASE, level, &where, &value),
				 0);
		entry = (uint64_t *)m->ops->page(m, maddr_to_mfn(where)) +
			(maddr_x(where) & PAGE_OFFSET_MASK) / 8;
		assert_int_equal(*entry, value);
		*entry |= PTE_PSE;
		assert_int_equal(boot_table_entry(boot_info(), VIRT_BASE, level, NULL, &value), 0);
		assert_int_equal(boot_table_entry(boot_info(), VIRT_BASE, 1, NULL, &value),
				 -EINVAL);
		*entry &= ~PTE_PSE;
		assert_int_equal(boot_table_entry(boot_info(), VIRT_BASE, 1, NULL, &value), 0);
	}
	machine_stop();
}

/*
 * A frame moves to @far, as frames do that the memory map calls a hole: the P2M and Xen's table say so, and its mapping
 * of start of day is gone.
 */
static void move_frame(pfn_t far)
{
	pfn_t near = INVALID_PFN;
	mfn_t mfn;

	assert_non_null(boot_alloc_page(&near));
	mfn = pfn_to_mfn(near);
	assert_int_equal(hypercall_update_va_mapping((uintptr_t)boot_va(near), 0, UVMF_INVLPG), 0);
	assert_int_equal(p2m_clear(&kernel_p2m, near), 0);
	assert_int_equal(p2m_set(&kernel_p2m, far, mfn), 0);
	assert_int_equal(m2p_set(mfn, far), 0);
	boot_alloc_add_unmapped(far, 1);
}

#define GIB_PFNS (UINT64_C(1) << 18)

/* In the third GiB and in the fourth, with nothing in the second, and not in the first piece of its own. */
#define FAR_PFN	 (2 * GIB_PFNS + 3 * TABLE_ENTRIES + 5)
#define LAST_PFN (3 * GIB_PFNS + 511)

static void come_up(void *arg __maybe_unused)
{
	move_frame(_pfn(FAR_PFN));
	move_frame(_pfn(LAST_PFN));
	memory_late(boot_info());
	assert_int_equal(mm_audit_init(), 0);
	assert_int_equal(mm_audit(boot_info(), &report), 0);
}

static void check_no_leaf(uint64_t pfn)
{
	unsigned int index = 0;
	pfn_t table;

	assert_false(direct_map_leaf(_pfn(pfn), &table, &index));
	assert_false(direct_map_shared(_pfn(pfn)));
	assert_int_equal(direct_map_protect(_pfn(pfn), PTE_KERNEL_RO), -EINVAL);
}

/* Where there is RAM there is a mapping, and where there is none there is no table: neither of a GiB nor of 2 MiB. */
static void look_at_holes(void *arg __maybe_unused)
{
	unsigned int index = 0;
	pfn_t table;

	assert_int_equal(pfn_x(direct_map_end()), LAST_PFN + 1);
	/* An L3; an L2 and 16 L1s of the first GiB, as there are 32 MiB of it; an L2 and an L1 of the two others each. */
	assert_int_equal(direct_map_tables().nr, 1 + 1 + 16 + 2 + 2);
	assert_true(direct_map_leaf(_pfn(FAR_PFN), &table, &index));
	assert_int_equal(index, FAR_PFN % TABLE_ENTRIES);
	assert_int_equal(frame_at(table)->live, 1);
	assert_false(direct_map_l2(_pfn(GIB_PFNS), &table, &index));
	check_no_leaf(GIB_PFNS);
	check_no_leaf(2 * GIB_PFNS - 1);
	assert_true(direct_map_l2(_pfn(2 * GIB_PFNS), &table, &index));
	check_no_leaf(2 * GIB_PFNS);
	check_no_leaf(FAR_PFN + TABLE_ENTRIES);
	check_no_leaf(LAST_PFN + 1);
	check_no_leaf(INVALID_PFN_X);
	*(uint64_t *)direct_va(_pfn(FAR_PFN)) = 77;
}

static void test_far_apart(void **state)
{
	const struct machine_config config = { .seed = 14, .nr_pages = 8192 };
	uint64_t word = 0;

	(void)state;
	start(&config);
	in_guest(come_up, NULL);
	in_guest(look_at_holes, NULL);
	assert_int_equal(guest_load((uint64_t)direct_va(_pfn(FAR_PFN)), &word, 8, NULL), 0);
	assert_int_equal(word, 77);
	assert_int_equal(guest_load((uint64_t)direct_va(_pfn(FAR_PFN - 1)), &word, 8, NULL),
			 -EFAULT);
	machine_check();
	machine_stop();
}

/* The M2P's word for the frame of a table of the direct map's, while the kernel goes over to its own tables. */
static long break_m2p(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	struct frame_run tables = direct_map_tables();
	bool *done = ctx;

	(void)args;
	(void)entry;
	if (*done || nr != __HYPERVISOR_mmuext_op || tables.nr == 0)
		return 0;
	*done = true;
	machine_model()->m2p[mfn_x(pfn_to_mfn(pfn_add(tables.start, tables.nr - 1)))] = 1;
	return 0;
}

/* A link of a live table to a frame that is none of ours: the kernel does not build on what it can't account for. */
static void test_strange_link(void **state)
{
	const struct machine_config config = { .seed = 15 };
	bool done = false;

	(void)state;
	assert_int_equal(machine_start(&config), 0);
	machine_on_hypercall(break_m2p, &done);
	assert_int_equal(machine_boot(), MACHINE_CRASH);
	machine_on_hypercall(NULL, NULL);
	assert_true(done);
	assert_non_null(libc_strstr(machine_console(), "cannot boot: frame table: -EINVAL"));
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many),     cmocka_unit_test(test_limit),
		cmocka_unit_test(test_pages),	     cmocka_unit_test(test_run),
		cmocka_unit_test(test_run_refused),  cmocka_unit_test(test_wrong_free),
		cmocka_unit_test(test_superpage),    cmocka_unit_test(test_far_apart),
		cmocka_unit_test(test_strange_link),
	};

	return cmocka_run_group_tests_name("boot_memory", tests, NULL, NULL);
}
