/* SPDX-License-Identifier: MIT */
/* The audit before there is a frame table: what it checks then, broken one by one, as in t_audit.c. */
#include <pinion/arch/cpu.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/pmap.h>
#include "raw.h"

static struct audit_report report;

static pfn_t page_pfn(unsigned int n)
{
	return boot_va_pfn(raw_page(n));
}

/* The one thing that is wrong; what is found is compared but for A, D, and what Xen adds. */
static void only(enum audit_fact fact, pfn_t pfn)
{
	CHECK_EQ(mm_audit(boot_info(), &report), 1);
	CHECK_EQ(report.first[0].fact, fact);
	CHECK_EQ(pfn_x(report.first[0].pfn), pfn_x(pfn));
}

static void clean(void)
{
	CHECK_EQ(mm_audit(boot_info(), &report), 0);
}

RAW_TEST(audit, audit_early_pages, "early: a page with wrong rights, or of another frame, is found")
{
	clean();
	CHECK_EQ(raw_ro(raw_page(0)), 0);
	only(AUDIT_DIRECT_RIGHTS, page_pfn(0));
	CHECK_EQ(raw_uva(raw_page(0), raw_pte(raw_page(1), RAW_RW)), 0);
	only(AUDIT_DIRECT_MFN, page_pfn(0));
	CHECK_EQ(report.first[0].found, mfn_x(raw_mfn(raw_page(1))));
	CHECK_EQ(raw_rw(raw_page(0)), 0);
	clean();
}

RAW_TEST(audit, audit_early_tree, "early: what a test left linked in the L4 is found")
{
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2);

	raw_link_tree(l3, l2, l1);
	CHECK_EQ(mm_audit(boot_info(), &report), 4);
	CHECK_EQ(report.first[0].fact, AUDIT_LINK);
	CHECK_EQ(pfn_x(report.first[0].pfn), pfn_x(boot_info()->l4));
	raw_unlink_tree(l3, l2, l1);
	clean();
}

RAW_TEST(audit, audit_early_m2p, "early: an M2P entry that is another frame's is found")
{
	CHECK_EQ(m2p_set(raw_mfn(raw_page(0)), page_pfn(1)), 0);
	only(AUDIT_M2P, page_pfn(0));
	CHECK_EQ(m2p_set(raw_mfn(raw_page(0)), page_pfn(0)), 0);
	clean();
}

/* The bits say which slots are free; the entries say what would be lost. */
TEST(audit, audit_early_pmap,
     "early: a PMAP slot that is filled and not in use is found, and the other way",
     .phase = TEST_EARLY)
{
	struct cpu *cpu = this_cpu();
	void *va = pmap_map(pfn_to_mfn(_pfn(0)), PMAP_READ_ONLY);
	uint8_t used = cpu->pmap_in_use;

	clean();
	cpu->pmap_in_use = 0;
	only(AUDIT_PMAP, pmap_table(0));
	cpu->pmap_in_use = (uint8_t)(used | 1U << (PMAP_SLOTS - 1));
	only(AUDIT_PMAP, pmap_table(0));
	cpu->pmap_in_use = used;
	pmap_unmap(va);
	clean();
}

/* A page that the allocator gives out is written at once. */
TEST(audit, audit_early_alloc, "early: a free page of the mapped pool that has no mapping is found",
     .phase = TEST_EARLY)
{
	struct frame_run run;
	bool mapped = false;
	unsigned int i;
	uint64_t *va;

	for (i = 0; !mapped || run.nr == 0; i++)
		REQUIRE(boot_alloc_range(i, &run, &mapped));
	va = boot_va(run.start);
	CHECK_EQ(raw_uva(va, 0), 0);
	only(AUDIT_BOOT_ALLOC, run.start);
	CHECK_EQ(raw_uva(va, pte_make(pfn_to_mfn(run.start), PTE_KERNEL_RW)), 0);
	clean();
}

/*
 * A page of the image's among the free ones would be somebody's twice. It is taken out again with all others of
 * the mapped pool, for there is no other way; they go back in the reverse order, each in front of the one before.
 */
RAW_TEST(audit, audit_early_twice, "early: a free range that is the image's is found")
{
	pfn_t bad = page_pfn(5), pfn, last = INVALID_PFN;
	uint64_t *page;

	boot_alloc_give_back(bad);
	only(AUDIT_BOOT_ALLOC, bad);
	do {
		page = boot_alloc_page(&pfn);
		REQUIRE(page != NULL);
		*page = pfn_x(last);
		if (!pfn_eq(pfn, bad))
			last = pfn;
	} while (!pfn_eq(pfn, bad));
	*page = 0;
	while (!pfn_eq(last, INVALID_PFN)) {
		pfn = last;
		last = _pfn(*(uint64_t *)boot_va(pfn));
		boot_alloc_give_back(pfn);
	}
	clean();
}

/* The audit told of another start of day: a boot_info that says so. */
static struct boot_info told;

/* Xen lets no table be written, so this can only be a wrong record; but the direct map is built after it. */
TEST(audit, audit_early_table, "early: a page that is called a table, and lets write, is found",
     .phase = TEST_EARLY)
{
	pfn_t next;

	told = *boot_info();
	next = pfn_add(told.tables.start, told.tables.nr);
	told.tables.nr++;
	CHECK_EQ(mm_audit(&told, &report), 1);
	CHECK_EQ(report.first[0].fact, AUDIT_TABLE_WRITABLE);
	CHECK_EQ(pfn_x(report.first[0].pfn), pfn_x(next));
	CHECK_EQ(report.first[0].found & ~report.first[0].expected, PTE_RW);
	clean();
}

/* Where the way to a leaf is lost, nothing is mapped: each free page of the mapped pool is missed, and nothing else. */
TEST(audit, audit_early_path, "early: free pages that the tables don't lead to are found",
     .phase = TEST_EARLY)
{
	struct frame_run run;
	pfn_t first = INVALID_PFN;
	uint64_t free = 0;
	bool mapped;
	unsigned int i;

	for (i = 0; boot_alloc_range(i, &run, &mapped); i++) {
		if (mapped && run.nr && pfn_eq(first, INVALID_PFN))
			first = run.start;
		free += mapped ? run.nr : 0;
	}
	told = *boot_info();
	told.tables.nr = 1;
	CHECK_EQ(mm_audit(&told, &report), free);
	CHECK_EQ(report.first[0].fact, AUDIT_BOOT_ALLOC);
	CHECK_EQ(pfn_x(report.first[0].pfn), pfn_x(first));
	CHECK_EQ(report.first[0].expected, 1);
	CHECK_EQ(report.first[0].found, 0);
	clean();
}

/*
 * All frames of a page of Xen's list may have moved out of a hole: then the tree has no use for it, and it is free. (A guest
 * with just what it needs has no free page there.)
 */
TEST(audit, audit_early_list_free, "early: a page of the mfn_list that is no leaf may be free",
     .phase = TEST_EARLY, .needs = "mem>=8M")
{
	uint64_t among = 0;
	struct frame_run run;
	bool mapped;
	unsigned int i;

	told = *boot_info();
	told.mfn_list.nr = pfn_x(told.region_end) - pfn_x(told.mfn_list.start);
	for (i = 0; boot_alloc_range(i, &run, &mapped); i++)
		if (mapped && pfn_x(run.start) > pfn_x(told.mfn_list.start))
			among += run.nr;
	CHECK(among > 0);
	CHECK_EQ(mm_audit(&told, &report), 0);
}
