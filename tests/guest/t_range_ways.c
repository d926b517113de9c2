/* SPDX-License-Identifier: MIT */
/*
 * The five ways of the planner: for each a case where it is taken, which a counter shows, and what comes of it.
 * That the one taken is the cheapest of those possible is for the benchmarks (b_range.c, b_planner.c).
 */
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/mmu_map.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA RANGE_VA

static pfn_t pfns[2 * PIECE];

/* The frames of a block backwards, so that nothing of it is an aligned run. */
static void backwards(pfn_t block, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		pfns[i] = pfn_add(block, nr - 1 - i);
}

static void expect_list(const struct aspace *as, uint64_t va, unsigned int from, unsigned int to,
			int want)
{
	unsigned int i;

	for (i = from; i < to; i++)
		range_expect(as, va + i * PAGE_SIZE, 1, pfns[i], want);
}

/* Only one way is taken, and so often. */
static void expect_way(const struct planner_counters *before, enum planner_way way, uint64_t times)
{
	enum planner_way i;

	for (i = 0; i < WAYS; i++)
		if (!CHECK_EQ(range_taken(before, i), i == way ? times : 0))
			test_note("way: %s", planner_name(i));
}

/* One entry maps 512 pages; the rights are in that entry. */
TEST(range, range_way_share,
     "an aligned run of plain frames is shared, as a block or as a list, writable or not",
     .needs = "mem>=16M", .together = true)
{
	struct aspace_range r = { VA, 2 * PIECE, NULL };
	struct planner_counters before;
	struct mmu_batch_counters calls;
	enum aspace_rights rights;
	struct aspace_info info;
	struct aspace as;
	unsigned int i;
	pfn_t block = INVALID_PFN;

	REQUIRE(range_block(10, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < 2 * PIECE; i++)
		pfns[i] = pfn_add(block, i);
	for (rights = ASPACE_R; rights <= ASPACE_RW; rights++) {
		for (i = 0; i < 2; i++) {
			before = planner_counters();
			calls = mmu_batch_counters();
			CHECK_RC(i ? aspace_map(&as, &r, pfns, rights)
				   : aspace_map_block(&as, &r, block, rights),
				 0);
			expect_way(&before, WAY_SHARE, 2);
			/* Two links; and an L3 and an L2, each made read-only, and one link. */
			CHECK_EQ(mmu_batch_counters().entries - calls.entries, 4 + 1 - 2);
			CHECK_EQ(range_tables(&as), 2);
			range_expect(&as, VA, 2 * PIECE, block, (int)rights);
			CHECK_RC(aspace_query(&as, VA, &info), 0);
			CHECK(info.shared);
			range_audit();
			CHECK_RC(aspace_unmap(&as, &r), 0);
			range_expect(&as, VA, 2 * PIECE, block, HOLE);
			CHECK_EQ(range_tables(&as), 0);
		}
	}
	/* Not so: one page too few, another alignment of the frames, a frame that is not plain. */
	before = planner_counters();
	r.nr = PIECE - 1;
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	r.nr = PIECE;
	CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_RW), 0);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	expect_way(&before, WAY_OFFLINE, 2);
	before = planner_counters();
	CHECK_RC(aspace_map_block(&as, &(struct aspace_range){ VA - PIECE * PAGE_SIZE, 1, NULL },
				  pfn_add(block, 7), ASPACE_RX),
		 0);
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
	expect_way(&before, WAY_OFFLINE, 2);
	range_expect(&as, VA, PIECE, block, ASPACE_R);
	range_end(&as);
	range_audit();
	range_block_back(block, 10);
}

/* The leaves stay as they are: one request takes a right from 512 pages, one gives it back. */
TEST(range, range_way_upper, "rights of a whole piece change in the entry above its table",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, PIECE, NULL };
	struct planner_counters before;
	struct mmu_batch_counters calls;
	struct aspace as;
	pfn_t block = INVALID_PFN;

	REQUIRE(range_block(9, &block));
	backwards(block, PIECE);
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_RW), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_RW);
	before = planner_counters();
	calls = mmu_batch_counters();
	CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_R);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_RW);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
	expect_way(&before, WAY_UPPER, 2);
	CHECK_EQ(mmu_batch_counters().entries - calls.entries, 2);
	/* Execution likewise, but it can't be given to leaves that never had it. */
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_RX);
	before = planner_counters();
	CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_R);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_RX);
	expect_way(&before, WAY_UPPER, 2);
	range_audit();
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

TEST(range, range_way_offline,
     "where there is no table yet, one is filled by plain stores and linked", .needs = "mem>=16M",
     .together = true)
{
	static const unsigned int lengths[] = { 1, 2, 100, PIECE - 1, PIECE };
	struct aspace_range r = { VA, 0, NULL };
	struct planner_counters before;
	struct mmu_batch_counters calls;
	struct aspace as;
	unsigned int i;
	pfn_t block = INVALID_PFN;

	REQUIRE(range_block(9, &block));
	backwards(block, PIECE);
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		r.nr = lengths[i];
		before = planner_counters();
		calls = mmu_batch_counters();
		CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_RW), 0);
		expect_way(&before, WAY_OFFLINE, 1);
		/* L3, L2 and L1 become read-only, one link. */
		CHECK_EQ(mmu_batch_counters().entries - calls.entries, 4);
		CHECK_EQ(mmu_batch_counters().mmu_update - calls.mmu_update, 1);
		expect_list(&as, VA, 0, lengths[i], ASPACE_RW);
		range_expect(&as, VA + r.nr * PAGE_SIZE, 1, block, HOLE);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &r), 0);
		CHECK_EQ(range_tables(&as), 0);
	}
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

/* A copy in one go, where that is less than so many requests. */
TEST(range, range_way_rebuild, "a table of which much changes is replaced by a changed copy",
     .needs = "mem>=16M")
{
	struct aspace_range few = { VA, 10, NULL }, rest = { VA + 10 * PAGE_SIZE, 502, NULL };
	struct aspace_range most = { VA + 5 * PAGE_SIZE, 500, NULL };
	struct planner_counters before;
	struct aspace as;
	pfn_t block = INVALID_PFN;

	REQUIRE(range_block(9, &block));
	backwards(block, PIECE);
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map(&as, &few, pfns, ASPACE_R), 0);
	before = planner_counters();
	CHECK_RC(aspace_map(&as, &rest, pfns + 10, ASPACE_RW), 0);
	expect_way(&before, WAY_REBUILD, 1);
	expect_list(&as, VA, 0, 10, ASPACE_R);
	expect_list(&as, VA, 10, PIECE, ASPACE_RW);
	CHECK_EQ(range_tables(&as), 3);
	before = planner_counters();
	CHECK_RC(aspace_protect(&as, &most, ASPACE_R), 0);
	expect_way(&before, WAY_REBUILD, 1);
	expect_list(&as, VA, 0, 505, ASPACE_R);
	expect_list(&as, VA, 505, PIECE, ASPACE_RW);
	range_audit();
	before = planner_counters();
	CHECK_RC(aspace_unmap(&as, &most), 0);
	expect_way(&before, WAY_REBUILD, 1);
	expect_list(&as, VA, 0, 5, ASPACE_R);
	expect_list(&as, VA, 5, 505, HOLE);
	expect_list(&as, VA, 505, PIECE, ASPACE_RW);
	range_audit();
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

TEST(range, range_way_entries, "a few pages beside others are changed request by request",
     .needs = "mem>=16M")
{
	struct aspace_range few = { VA, 10, NULL }, beside = { VA + 100 * PAGE_SIZE, 20, NULL };
	struct planner_counters before;
	struct mmu_batch_counters calls;
	struct aspace as;
	pfn_t block = INVALID_PFN;

	REQUIRE(range_block(9, &block));
	backwards(block, PIECE);
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map(&as, &few, pfns, ASPACE_R), 0);
	before = planner_counters();
	calls = mmu_batch_counters();
	CHECK_RC(aspace_map(&as, &beside, pfns + 100, ASPACE_RW), 0);
	CHECK_EQ(mmu_batch_counters().entries - calls.entries, 20);
	expect_list(&as, VA, 100, 120, ASPACE_RW);
	CHECK_RC(aspace_protect(&as, &beside, ASPACE_R), 0);
	expect_list(&as, VA, 100, 120, ASPACE_R);
	CHECK_RC(aspace_protect(&as, &beside, ASPACE_RW), 0);
	expect_list(&as, VA, 100, 120, ASPACE_RW);
	CHECK_RC(aspace_unmap(&as, &beside), 0);
	CHECK_EQ(mmu_batch_counters().entries - calls.entries, 80);
	expect_way(&before, WAY_ENTRIES, 4);
	expect_list(&as, VA, 0, 10, ASPACE_R);
	expect_list(&as, VA, 10, PIECE, HOLE);
	range_audit();
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

/*
 * A new subtree's link is queued when its section ends. The pieces that follow may fill the section up to that one request, and no
 * further: how many leaves that takes depends on the tables that were made, so it is tried with all numbers about.
 */
TEST(range, range_full_section,
     "a section that leaves fill keeps room for the link of a new subtree", .needs = "mem>=64M")
{
	/* The last page of a GiB, and two pieces of the next whose tables are held. */
	const uint64_t first = VA + L3_SPAN;
	struct aspace_range r = { first - PAGE_SIZE, 0, NULL };
	uint64_t room[2][MMU_MAP_T_WORDS] = { { 0 } };
	mmu_map_t map[2];
	struct aspace as;
	unsigned int nr, i;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < 2; i++) {
		map[i] = (mmu_map_t)room[i];
		CHECK_RC(mmu_map_t_init(map[i], &mmu_map_frames), 0);
		CHECK_RC(mmu_map_hold_va(&as, map[i], first + i * L2_SPAN), 0);
	}
	for (nr = PIECE - 16; nr <= PIECE; nr++) {
		r.nr = 1 + PIECE + nr;
		CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_R), 0);
		range_expect(&as, r.va, 2, pfn_add(block, 1), ASPACE_R);
		range_expect(&as, r.va + (r.nr - 1) * PAGE_SIZE, 1, pfn_add(block, r.nr), ASPACE_R);
		CHECK_RC(aspace_unmap(&as, &r), 0);
	}
	for (i = 0; i < 2; i++) {
		CHECK_RC(mmu_map_release_va(&as, map[i], first + i * L2_SPAN), 0);
		CHECK_RC(mmu_map_t_fini(map[i]), 0);
	}
	range_audit();
	range_end(&as);
	range_block_back(block, 11);
}

/* mmu_map's tables are linked by others: they are neither swapped nor given back. */
TEST(range, range_held, "a held table is changed entry by entry, and stays when its last page goes",
     .needs = "mem>=16M")
{
	struct aspace_range few = { VA, 10, NULL }, rest = { VA + 10 * PAGE_SIZE, 502, NULL };
	struct aspace_range all = { VA, PIECE, NULL }, most = { VA, 500, NULL };
	struct planner_counters before;
	uint64_t room[MMU_MAP_T_WORDS] = { 0 };
	mmu_map_t map = (mmu_map_t)room;
	pfn_t block = INVALID_PFN, l3, l2, l1;
	struct aspace as;

	REQUIRE(range_block(9, &block));
	backwards(block, PIECE);
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map(&as, &few, pfns, ASPACE_R), 0);
	l3 = table_below(table_read(as.l4, va_index(VA, 4)));
	l2 = table_below(table_read(l3, va_index(VA, 3)));
	l1 = table_below(table_read(l2, va_index(VA, 2)));
	CHECK_RC(mmu_map_t_init(map, &mmu_map_frames), 0);
	CHECK_RC(mmu_map_hold_va(&as, map, VA), 0);
	before = planner_counters();
	CHECK_RC(aspace_map(&as, &rest, pfns + 10, ASPACE_RW), 0);
	CHECK_RC(aspace_protect(&as, &most, ASPACE_R), 0);
	expect_list(&as, VA, 0, 500, ASPACE_R);
	expect_list(&as, VA, 500, PIECE, ASPACE_RW);
	CHECK_RC(aspace_unmap(&as, &most), 0);
	CHECK_EQ(range_taken(&before, WAY_REBUILD), 0);
	expect_list(&as, VA, 0, 500, HOLE);
	expect_list(&as, VA, 500, PIECE, ASPACE_RW);
	CHECK_RC(aspace_unmap(&as, &all), 0);
	expect_list(&as, VA, 0, PIECE, HOLE);
	CHECK_EQ(range_tables(&as), 3);
	CHECK(pfn_eq(table_below(table_read(l2, va_index(VA, 2))), l1));
	range_audit();
	CHECK_RC(aspace_map(&as, &all, pfns, ASPACE_RX), 0);
	expect_list(&as, VA, 0, PIECE, ASPACE_RX);
	CHECK_RC(aspace_unmap(&as, &all), 0);
	CHECK(pfn_eq(table_below(table_read(l2, va_index(VA, 2))), l1));
	CHECK_RC(mmu_map_release_va(&as, map, VA), 0);
	CHECK_RC(mmu_map_t_fini(map), 0);
	CHECK_EQ(range_tables(&as), 0);
	CHECK_RC(aspace_map(&as, &few, pfns, ASPACE_R), 0);
	CHECK_RC(aspace_unmap(&as, &few), 0);
	CHECK_EQ(range_tables(&as), 0);
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

/* It begins like one: aligned, and in order but for two. */
TEST(range, range_not_a_run, "a list that is no run is not shared, nor one that leaves RAM",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, PIECE, NULL };
	struct planner_counters before;
	struct aspace as;
	unsigned int i;
	pfn_t block = INVALID_PFN;
	int rc;

	REQUIRE(range_block(9, &block));
	for (i = 0; i < PIECE; i++)
		pfns[i] = pfn_add(block, i == 300 ? 301 : i == 301 ? 300 : i);
	REQUIRE(range_begin(&as, true));
	before = planner_counters();
	CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_RW), 0);
	expect_way(&before, WAY_OFFLINE, 1);
	expect_list(&as, VA, 0, PIECE, ASPACE_RW);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	CHECK_RC(aspace_map_block(&as, &r, _pfn(UINT64_C(1) << 38), ASPACE_R), -EINVAL);
	/* What is before its end is somebody's, if it is there at all. */
	rc = aspace_map_block(&as, &r, _pfn((pfn_x(frame_table_end()) - 1) & ~(PIECE - 1)),
			      ASPACE_RW);
	CHECK(rc == -EINVAL || rc == -EBUSY);
	CHECK_EQ(range_tables(&as), 0);
	range_audit();
	range_end(&as);
	range_block_back(block, 9);
}
