/* SPDX-License-Identifier: MIT */
/* Ranges: the plain cases of each way that the planner has. */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/planner.h>
#include "suite.h"

#define VA    UINT64_C(0x0000180000000000)
#define PAGES 4096

static void *at(uint64_t va)
{
	return (void *)va;
}

/* Eight aligned runs, shared: rights changed as a whole, a page alone, and all gone. */
TEST(range, range_share, "an aligned run is mapped by sharing the direct map's own tables",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA, PAGES, NULL }, one = { VA + 5 * PAGE_SIZE, 1, NULL };
	struct planner_counters before = planner_counters(), after;
	uint64_t word = 0, *first;
	struct aspace as;
	pfn_t run = INVALID_PFN;

	REQUIRE(frame_alloc(12, OWNER_TEST, &run) == 0);
	first = direct_va(run);
	REQUIRE(aspace_create(&as) == 0);
	REQUIRE(aspace_activate(&as) == 0);
	CHECK_EQ(aspace_map_block(&as, &r, run, ASPACE_RW), 0);
	after = planner_counters();
	CHECK_EQ(after.taken[WAY_SHARE] - before.taken[WAY_SHARE], 8);
	*(volatile uint64_t *)at(VA + 8) = 0x1234;
	CHECK_EQ(first[1], 0x1234);
	CHECK_EQ(frame_try_free(run, 12), -EBUSY);
	CHECK_EQ(aspace_protect(&as, &r, ASPACE_R), 0);
	CHECK_EQ(probe_store64(at(VA + 8), 1), EXINFO_PF(3));
	CHECK_EQ(probe_load64(at(VA + 8), &word), 0);
	CHECK_EQ(word, 0x1234);
	CHECK_EQ(aspace_protect(&as, &one, ASPACE_RW), 0);
	CHECK_EQ(probe_store64(at(VA + 5 * PAGE_SIZE), 77), 0);
	CHECK_EQ(probe_store64(at(VA + 6 * PAGE_SIZE), 77), EXINFO_PF(3));
	CHECK_EQ(*(uint64_t *)direct_va(pfn_add(run, 5)), 77);
	CHECK_EQ(aspace_map_block(&as, &one, run, ASPACE_RW), -EEXIST);
	CHECK_EQ(aspace_unmap(&as, &one), 0);
	CHECK_EQ(probe_load64(at(one.va), &word), EXINFO_PF(0));
	CHECK_EQ(probe_load64(at(VA + 6 * PAGE_SIZE), &word), 0);
	CHECK_EQ(aspace_unmap(&as, &r), 0);
	CHECK_EQ(probe_load64(at(VA + 6 * PAGE_SIZE), &word), EXINFO_PF(0));
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
	CHECK_EQ(frame_try_free(run, 12), 0);
}
