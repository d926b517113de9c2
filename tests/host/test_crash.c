/* SPDX-License-Identifier: MIT */
/*
 * The crash report of a kernel in ruins. What it is made of (the record of the address space in use, the L4, the direct map
 * that tables are read through) may be what broke: a report that faults on it says nothing at all.
 */
#include "host.h"
#include <pinion/arch/cpu.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/ptdump.h>
#include <pinion/xen/hypercall.h>
#include "guest.h"

#define REPORT_LINES 64 /* of tables, in a report */

static struct machine_snapshot *booted;

static int open_machine(void **state)
{
	const struct machine_config config = { .seed = 21 };

	(void)state;
	if (machine_start(&config) || machine_boot() != MACHINE_RETURNED)
		return -1;
	booted = machine_snapshot();
	return 0;
}

static int close_machine(void **state)
{
	(void)state;
	machine_snapshot_free(booted);
	machine_stop();
	return 0;
}

/* The report of the kernel as @ruin leaves it, which panics in the end. */
static const char *report_of(void (*ruin)(void *arg))
{
	machine_restore(booted);
	machine_console_reset();
	assert_int_equal(machine_run(ruin, NULL), MACHINE_CRASH);
	return machine_console();
}

static bool has(const char *report, const char *fmt, uint64_t value)
{
	char want[96];

	libc_snprintf(want, sizeof(want), fmt, (unsigned long)value);
	return libc_strstr(report, want) != NULL;
}

/* The tables of the kernel's own, and the sums, to the last line. */
static void expect_kernels(const char *report)
{
	assert_true(has(report, "panic: tables: L4 is pfn %#lx\n", pfn_x(kernel_l4())));
	assert_non_null(libc_strstr(report, "panic:   --- direct map\n"));
	assert_non_null(libc_strstr(report, "panic:   --- kernel image\n"));
	assert_non_null(libc_strstr(report, "panic:   tables: 1 L4, "));
	assert_non_null(libc_strstr(report, "panic:   frames: "));
}

static void in_order(void *arg)
{
	(void)arg;
	panic("on purpose");
}

static void test_in_order(void **state)
{
	const char *report = report_of(in_order);

	(void)state;
	assert_non_null(libc_strstr(report, ": on purpose\n"));
	expect_kernels(report);
	assert_null(libc_strstr(report, "and more"));
	assert_null(libc_strstr(report, "can't be read"));
}

/* The record is where no memory is. */
static void wild_aspace(void *arg)
{
	(void)arg;
	this_cpu()->aspace = (struct aspace *)(VIRT_BASE - PAGE_SIZE);
	panic("on purpose");
}

static struct aspace as;

/* It is memory, and names an L4 that is none of ours. */
static void wild_l4(void *arg)
{
	(void)arg;
	as.l4 = INVALID_PFN;
	this_cpu()->aspace = &as;
	panic("on purpose");
}

/* Beyond the direct map, counted on, would come the addresses of others. */
static void l4_beyond(void *arg)
{
	(void)arg;
	as.l4 = direct_map_end();
	this_cpu()->aspace = &as;
	panic("on purpose");
}

static void test_no_record(void **state)
{
	(void)state;
	expect_kernels(report_of(wild_aspace));
	expect_kernels(report_of(wild_l4));
	expect_kernels(report_of(l4_beyond));
}

/* Its mapping is gone: the CPU still walks it, the kernel can't read it. */
static void unreadable_l4(void *arg)
{
	(void)arg;
	if (hypercall_update_va_mapping((uintptr_t)direct_va(kernel_l4()), 0, UVMF_INVLPG) == 0)
		panic("on purpose");
}

static void test_unreadable(void **state)
{
	const char *report = report_of(unreadable_l4);

	(void)state;
	assert_true(has(report, "panic: tables: L4 is pfn %#lx\n", pfn_x(kernel_l4())));
	assert_non_null(libc_strstr(report, "panic:   the L4 can't be read\n"));
	assert_null(libc_strstr(report, "---"));
	assert_non_null(libc_strstr(report, "panic:   tables: 1 L4, "));
}

/* Pages with holes between them: a line each. */
static void many_lines(void *arg)
{
	struct aspace_range range = { USER_END - L3_SPAN, 1, NULL };
	pfn_t pfn;

	(void)arg;
	if (frame_alloc(0, OWNER_TEST, &pfn) || aspace_create(&as) || aspace_activate(&as))
		return;
	for (unsigned int i = 0; i < 2 * REPORT_LINES; i++, range.va += 2 * PAGE_SIZE)
		if (aspace_map(&as, &range, &pfn, ASPACE_R))
			return;
	panic("on purpose");
}

/* A report ends, and says that there was more; the sums come all the same. */
static void test_many(void **state)
{
	const char *report = report_of(many_lines), *at;
	unsigned int lines = 0;

	(void)state;
	assert_true(has(report, "panic: tables: L4 is pfn %#lx\n", pfn_x(as.l4)));
	for (at = report; (at = libc_strstr(at, " test\n")); at++)
		lines++;
	/* The heading is one of them. */
	assert_int_equal(lines, REPORT_LINES - 1);
	assert_non_null(libc_strstr(report, "panic:   and more\npanic:   tables: 2 L4, "));
	assert_non_null(libc_strstr(report, "panic:   frames: "));
}

/* Before there are tables of the kernel's own there are none to show. */
static void test_early(void **state)
{
	const struct machine_config config = { .seed = 22 };
	const char *report;

	(void)state;
	assert_int_equal(machine_start(&config), 0);
	assert_int_equal(machine_boot_early(), MACHINE_RETURNED);
	machine_console_reset();
	assert_int_equal(machine_run(in_order, NULL), MACHINE_CRASH);
	report = machine_console();
	assert_non_null(libc_strstr(report, ": on purpose\n"));
	assert_null(libc_strstr(report, "tables"));
}

static void dump_none(void *arg)
{
	(void)arg;
	ptdump(INVALID_PFN);
}

/* Option ptdump, where it can't: a word, and no fault. */
static void test_dump_none(void **state)
{
	(void)state;
	machine_restore(booted);
	machine_console_reset();
	assert_int_equal(machine_run(dump_none, NULL), MACHINE_RETURNED);
	assert_non_null(libc_strstr(machine_console(), "ptdump: the L4, pfn "));
	assert_non_null(libc_strstr(machine_console(), ", can't be read\n"));
}

int main(void)
{
	/* The last one has a machine of its own. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),   cmocka_unit_test(test_no_record),
		cmocka_unit_test(test_unreadable), cmocka_unit_test(test_many),
		cmocka_unit_test(test_dump_none),  cmocka_unit_test(test_early),
	};

	return cmocka_run_group_tests_name("crash", tests, open_machine, close_machine);
}
