/* SPDX-License-Identifier: MIT */
/*
 * W^X of frames over all their mappings: who is executable anywhere can be written nowhere, the direct map
 * included; and whoever ceases to be can be written again. A count of executable leaves on each frame says when.
 */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA    RANGE_VA
#define OTHER (VA + 5 * L4_SPAN)

/* The direct map's alias of each of @nr frames is writable, or is not; and it is never executable. */
static void expect_direct(pfn_t first, uint64_t nr, bool writable)
{
	uint64_t i, word = 0, wrong = 0;

	for (i = 0; i < nr; i++) {
		uint64_t *at = direct_va(pfn_add(first, i));

		wrong += probe_load64(at, &word) != 0;
		wrong += probe_store64(at, word) !=
			 (writable ? 0 : EXINFO_PF(PF_PRESENT | PF_WRITE));
		wrong += probe_call(at) != EXINFO_PF(PF_PRESENT | PF_FETCH);
	}
	CHECK_EQ(wrong, 0);
}

static const unsigned int lengths[] = { 1, 2, 100, PIECE, PIECE + 1, 3 * PIECE };

TEST(range, range_exec_map,
     "frames mapped executable are read-only in the direct map, until they are unmapped",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA + 3 * PAGE_SIZE, 0, NULL };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	for (i = 0; i < 2 * ARRAY_SIZE(lengths); i++) {
		r.nr = lengths[i / 2];
		REQUIRE(range_begin(&as, i & 1));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RX), 0);
		range_expect(&as, r.va, r.nr, block, ASPACE_RX);
		expect_direct(block, r.nr, false);
		expect_direct(pfn_add(block, r.nr), 3, true);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &r), 0);
		range_expect(&as, r.va, r.nr, block, HOLE);
		expect_direct(block, r.nr, true);
		range_audit();
		range_end(&as);
	}
	range_block_back(block, 11);
}

/* Through all rights and back, of whole pieces and parts; the direct map follows each time. */
TEST(range, range_exec_protect,
     "protect makes frames executable, writable and neither, and the direct map follows",
     .needs = "mem>=64M")
{
	static const enum aspace_rights steps[] = { ASPACE_RX, ASPACE_RW, ASPACE_RX, ASPACE_R,
						    ASPACE_RX, ASPACE_R,  ASPACE_RW };
	struct aspace_range all = { VA, 3 * PIECE + 9, NULL }, r = { VA, 0, NULL };
	unsigned int i, j, at;
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	for (i = 0; i < 2 * ARRAY_SIZE(lengths); i++) {
		at = i / 2 * 3 % 7;
		r.va = VA + at * PAGE_SIZE;
		r.nr = lengths[i / 2];
		REQUIRE(range_begin(&as, i & 1));
		/* Not an aligned run: private tables. */
		CHECK_RC(aspace_map_block(&as, &all, pfn_add(block, 1), ASPACE_RW), 0);
		for (j = 0; j < ARRAY_SIZE(steps); j++) {
			if (!CHECK_RC(aspace_protect(&as, &r, steps[j]), 0))
				test_note("%lu pages from %u on, step %u", r.nr, at, j);
			range_expect(&as, VA, at, pfn_add(block, 1), ASPACE_RW);
			range_expect(&as, r.va, r.nr, pfn_add(block, at + 1), (int)steps[j]);
			range_expect(&as, r.va + r.nr * PAGE_SIZE, all.nr - r.nr - at,
				     pfn_add(block, 1 + at + r.nr), ASPACE_RW);
			if (steps[j] == ASPACE_RX)
				expect_direct(pfn_add(block, 1 + at), r.nr, false);
			expect_direct(pfn_add(block, 1 + at + r.nr), all.nr - r.nr - at, true);
			range_audit();
		}
		expect_direct(block, all.nr, true);
		range_end(&as);
	}
	range_block_back(block, 11);
}

/* The count is of leaves: the direct map must wait for the last. */
TEST(range, range_exec_twice,
     "a frame executable through several mappings is writable again after the last")
{
	struct aspace_range r = { VA, 20, NULL }, s = { OTHER, 20, NULL };
	struct aspace_range v = { VMAP_BASE + 40 * L3_SPAN, 20, NULL };
	struct aspace a, b;
	pfn_t block;

	REQUIRE(range_block(5, &block));
	REQUIRE(range_begin(&a, true));
	REQUIRE(range_begin(&b, false));
	CHECK_RC(aspace_map_block(&a, &r, block, ASPACE_RX), 0);
	CHECK_RC(aspace_map_block(&a, &s, block, ASPACE_RX), 0);
	CHECK_RC(aspace_map_block(&b, &r, block, ASPACE_RX), 0);
	CHECK_RC(aspace_map_block(&kernel_aspace, &v, block, ASPACE_RX), 0);
	CHECK_EQ(frame_at(block)->execs, 4);
	CHECK_RC(aspace_unmap(&a, &r), 0);
	expect_direct(block, 20, false);
	CHECK_RC(aspace_protect(&a, &s, ASPACE_R), 0);
	expect_direct(block, 20, false);
	range_expect(&a, s.va, 20, block, ASPACE_R);
	CHECK_RC(aspace_protect(&a, &s, ASPACE_RX), 0);
	range_expect(&a, s.va, 20, block, ASPACE_RX);
	CHECK_RC(aspace_protect(&a, &s, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_unmap(&a, &s), 0);
	expect_direct(block, 20, false);
	range_end(&b);
	expect_direct(block, 20, false);
	range_expect(&kernel_aspace, v.va, 20, block, ASPACE_RX);
	range_audit();
	CHECK_RC(aspace_unmap(&kernel_aspace, &v), 0);
	expect_direct(block, 20, true);
	range_end(&a);
	range_audit();
	range_block_back(block, 5);
}

/* Here the direct map does not change, only leaves do: but the table must say that it has executable ones now. */
TEST(range, range_exec_elsewhere,
     "pages whose frames are executable elsewhere become so, cease to, and are counted")
{
	struct aspace_range r = { VA, 20, NULL }, s = { OTHER, 40, NULL };
	struct aspace_range part = { OTHER + 3 * PAGE_SIZE, 5, NULL };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(6, &block));
	for (i = 0; i < 3; i++) {
		REQUIRE(range_begin(&as, i > 0));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RX), 0);
		CHECK_RC(aspace_map_block(&as, &s, block, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &part, ASPACE_RX), 0);
		range_expect(&as, s.va, 3, block, ASPACE_R);
		range_expect(&as, part.va, 5, pfn_add(block, 3), ASPACE_RX);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &r), 0);
		expect_direct(pfn_add(block, 3), 5, false);
		expect_direct(pfn_add(block, 8), 5, true);
		if (i == 2)
			CHECK_RC(aspace_protect(&as, &part, ASPACE_RW), 0);
		range_audit();
		range_end(&as);
		expect_direct(block, 64, true);
		range_audit();
	}
	range_block_back(block, 6);
}

/* What a piece before has done must be counted back with it, also where it was done by plain stores. */
TEST(range, range_exec_undone,
     "a change of rights that fails in its second piece leaves the counts of the first as they "
     "were",
     .needs = "mem>=32M")
{
	struct aspace_range r = { VA, 2 * PIECE, NULL }, one = { VA, PIECE, NULL };
	struct aspace_range elsewhere = { OTHER, 1, NULL },
			    share = { OTHER + L2_SPAN, PIECE, NULL };
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &one, ASPACE_RX), 0);
		CHECK_RC(aspace_map_block(&as, &elsewhere, pfn_add(block, PIECE + 100), ASPACE_RX),
			 0);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), -EBUSY);
		range_expect(&as, VA, PIECE, pfn_add(block, 1), ASPACE_RX);
		range_expect(&as, VA + L2_SPAN, PIECE, pfn_add(block, PIECE + 1), ASPACE_R);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &elsewhere), 0);
		CHECK_RC(aspace_protect(&as, &one, ASPACE_R), 0);
		CHECK_RC(aspace_map_block(&as, &share, pfn_add(block, 2 * PIECE), ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), -EBUSY);
		range_expect(&as, VA, 2 * PIECE, pfn_add(block, 1), ASPACE_R);
		range_audit();
		range_end(&as);
		expect_direct(block, 3 * PIECE, true);
		range_audit();
	}
	range_block_back(block, 11);
}

/* The same frame at two pages of one range. */
TEST(range, range_exec_same, "one frame at many pages of one executable range is counted for each")
{
	struct aspace_range r = { VA, 700, NULL }, half = { VA, 350, NULL },
			    all = { VA, 700, NULL };
	static pfn_t pfns[700];
	struct aspace as;
	pfn_t pfn = INVALID_PFN;
	unsigned int i;

	REQUIRE(range_block(0, &pfn));
	for (i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = pfn;
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_RX), 0);
	CHECK_EQ(frame_at(pfn)->execs, 700);
	range_audit();
	CHECK_RC(aspace_protect(&as, &half, ASPACE_R), 0);
	CHECK_EQ(frame_at(pfn)->execs, 350);
	expect_direct(pfn, 1, false);
	range_audit();
	CHECK_RC(aspace_protect(&as, &half, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_protect(&as, &all, ASPACE_RX), 0);
	CHECK_EQ(frame_at(pfn)->execs, 700);
	CHECK_RC(aspace_unmap(&as, &half), 0);
	CHECK_EQ(frame_at(pfn)->execs, 350);
	expect_direct(pfn, 1, false);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	expect_direct(pfn, 1, true);
	range_audit();
	range_end(&as);
	range_block_back(pfn, 0);
}

TEST(range, range_exec_refused,
     "what is executable can't be mapped or made writable, and W+X is no right at all")
{
	struct aspace_range x = { VA, 2, NULL }, r = { OTHER, 2, NULL }, one = { OTHER, 1, NULL };
	struct aspace_range near = { OTHER + 8 * PAGE_SIZE, 1, NULL };
	enum aspace_rights both = ASPACE_RW | ASPACE_RX;
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(2, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
	CHECK_RC(aspace_map_block(&as, &x, block, ASPACE_RX), 0);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_protect(&as, &one, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_map_block(&as, &near, block, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_map_block(&as, &near, block, ASPACE_R), 0);
	range_expect(&as, near.va, 1, block, ASPACE_R);
	range_expect(&as, r.va, 2, block, ASPACE_R);
	range_expect(&as, x.va, 2, block, ASPACE_RX);
	CHECK_RC(aspace_unmap(&as, &near), 0);
	/* Both at once. */
	CHECK_RC(aspace_map_block(&as, &near, pfn_add(block, 2), both), -EACCES);
	near.nr = 2;
	CHECK_RC(aspace_map_block(&as, &near, pfn_add(block, 2), both), -EACCES);
	CHECK_RC(aspace_protect(&as, &x, both), -EACCES);
	CHECK_RC(aspace_protect(&as, &one, both), -EACCES);
	range_expect(&as, x.va, 2, block, ASPACE_RX);
	range_expect(&as, near.va, 2, block, HOLE);
	/* Frame by frame it is possible to change over. */
	CHECK_RC(aspace_unmap(&as, &x), 0);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
	range_expect(&as, r.va, 2, block, ASPACE_RW);
	range_audit();
	range_end(&as);
	range_block_back(block, 2);
}

/* A shared piece has the direct map's leaves, which are never executable: it must get its own first. */
TEST(range, range_exec_shared,
     "making pages of a shared piece executable splits it; while others share it it can't be",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, 2 * PIECE, NULL }, s = { OTHER, PIECE, NULL };
	struct aspace_range three = { VA + 5 * PAGE_SIZE, 3, NULL }, piece = { VA, PIECE, NULL };
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(10, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
		CHECK_RC(aspace_map_block(&as, &s, block, ASPACE_RW), 0);
		CHECK_RC(aspace_protect(&as, &three, ASPACE_RX), -EBUSY);
		CHECK_RC(aspace_protect(&as, &piece, ASPACE_RX), -EBUSY);
		range_expect(&as, VA, 2 * PIECE, block, ASPACE_R);
		expect_direct(block, PIECE, true);
		CHECK_RC(aspace_unmap(&as, &s), 0);
		CHECK_RC(aspace_protect(&as, &three, ASPACE_RX), 0);
		range_expect(&as, VA, 5, block, ASPACE_R);
		range_expect(&as, three.va, 3, pfn_add(block, 5), ASPACE_RX);
		range_expect(&as, three.va + 3 * PAGE_SIZE, 2 * PIECE - 8, pfn_add(block, 8),
			     ASPACE_R);
		expect_direct(pfn_add(block, 5), 3, false);
		expect_direct(pfn_add(block, 8), 500, true);
		range_audit();
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), 0);
		range_expect(&as, VA, 2 * PIECE, block, ASPACE_RX);
		expect_direct(block, 2 * PIECE, false);
		range_audit();
		CHECK_RC(aspace_protect(&as, &piece, ASPACE_RW), 0);
		range_expect(&as, VA, PIECE, block, ASPACE_RW);
		range_expect(&as, VA + L2_SPAN, PIECE, pfn_add(block, PIECE), ASPACE_RX);
		range_end(&as);
		expect_direct(block, 2 * PIECE, true);
		range_audit();
	}
	range_block_back(block, 10);
}

/*
 * Where only NX has to change the leaves are asked for one by one and their frames counted on the way; the first that can
 * be written shows that it is not so, and what has been counted is counted back.
 */
TEST(range, range_exec_mixed,
     "pages of all rights together become readable, executable, and readable again")
{
	struct aspace_range x = { VA, 8, NULL }, r = { VA + 8 * PAGE_SIZE, 4, NULL };
	struct aspace_range w = { VA + 12 * PAGE_SIZE, 4, NULL }, all = { VA, 16, NULL };
	struct aspace_range elsewhere = { OTHER, 4, NULL };
	struct aspace as;
	unsigned int way;
	pfn_t block;

	REQUIRE(range_block(4, &block));
	REQUIRE(range_begin(&as, true));
	for (way = WAY_REBUILD; way <= WAYS; way++) {
		enum planner_way forced = planner_force((enum planner_way)way);

		CHECK_RC(aspace_map_block(&as, &x, block, ASPACE_RX), 0);
		CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 8), ASPACE_R), 0);
		CHECK_RC(aspace_map_block(&as, &w, pfn_add(block, 12), ASPACE_RW), 0);
		CHECK_RC(aspace_map_block(&as, &elsewhere, block, ASPACE_RX), 0);
		CHECK_RC(aspace_protect(&as, &all, ASPACE_R), 0);
		range_expect(&as, VA, 16, block, ASPACE_R);
		CHECK_EQ(frame_at(block)->execs, 1);
		expect_direct(block, 4, false);
		expect_direct(pfn_add(block, 4), 12, true);
		range_audit();
		/* Four frames are executable elsewhere, and then twelve are not. */
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), 0);
		CHECK_RC(aspace_protect(&as, &all, ASPACE_RX), 0);
		CHECK_EQ(frame_at(block)->execs, 2);
		CHECK_EQ(frame_at(pfn_add(block, 4))->execs, 1);
		range_expect(&as, VA, 16, block, ASPACE_RX);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &all, ASPACE_R), 0);
		range_expect(&as, VA, 16, block, ASPACE_R);
		expect_direct(block, 4, false);
		expect_direct(pfn_add(block, 4), 12, true);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &elsewhere), 0);
		CHECK_RC(aspace_protect(&as, &all, ASPACE_RW), 0);
		range_expect(&as, VA, 16, block, ASPACE_RW);
		CHECK_RC(aspace_unmap(&as, &all), 0);
		planner_force(forced);
	}
	range_end(&as);
	range_audit();
	range_block_back(block, 4);
}

/*
 * The L3 entry takes execution from a whole GiB, of one frame many times: to give it to one page, what it takes comes
 * down into the others.
 */
TEST(range, range_exec_beside, "a page becomes executable in a GiB that is not as a whole",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA, PIECE * PIECE, NULL };
	struct aspace_range one = { VA + 7 * L2_SPAN + 5 * PAGE_SIZE, 1, NULL };
	pfn_t list = INVALID_PFN, data = INVALID_PFN, *pfns;
	struct aspace as;
	uint64_t i, l3e;

	REQUIRE(frame_alloc(9, OWNER_TEST, &list) == 0);
	REQUIRE(range_block(1, &data));
	pfns = direct_va(list);
	for (i = 0; i < r.nr; i++)
		pfns[i] = data;
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_RX), 0);
	CHECK_EQ(frame_at(data)->execs, r.nr);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
	l3e = table_read(table_below(table_read(as.l4, va_index(VA, 4))), va_index(VA, 3));
	CHECK(l3e & PTE_NX);
	CHECK_RC(aspace_unmap(&as, &one), 0);
	CHECK_RC(aspace_map_block(&as, &one, pfn_add(data, 1), ASPACE_RX), 0);
	range_expect(&as, one.va, 1, pfn_add(data, 1), ASPACE_RX);
	for (i = 0; i < r.nr; i += 101)
		range_expect(&as, VA + i * PAGE_SIZE, 1, data, ASPACE_R);
	range_expect(&as, one.va - PAGE_SIZE, 1, data, ASPACE_R);
	range_end(&as);
	range_audit();
	range_block_back(data, 1);
	frame_free(list, 9);
}

/* Whoever maps a frame readable and then makes a table of it has no page there any more. */
TEST(range, range_exec_table, "what has become a table since it was mapped can't be executed")
{
	struct aspace_range r = { VA, 2, NULL };
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(1, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
	CHECK_EQ(table_begin(pfn_add(block, 1), 1, false), 0);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), -EINVAL);
	table_forget(pfn_add(block, 1));
	range_expect(&as, VA, 2, block, ASPACE_R);
	expect_direct(block, 2, true);
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), 0);
	range_end(&as);
	range_audit();
	range_block_back(block, 1);
}

/*
 * Its last mapping is gone, and Xen won't have it written: pinned behind our back it is a table. It waits, given back
 * by its owner or not, and is free when it can be.
 */
TEST(range, range_exec_stuck,
     "a frame that can't be made writable again is not given away before it is")
{
	struct aspace_range r = { VA, 2, NULL };
	uint64_t free, *words;
	struct aspace as;
	unsigned int given_back;
	pfn_t pfn[2];

	REQUIRE(range_begin(&as, true));
	for (given_back = 0; given_back < 2; given_back++) {
		REQUIRE(frame_alloc(0, OWNER_TEST, &pfn[0]) == 0);
		REQUIRE(frame_alloc(0, OWNER_TEST, &pfn[1]) == 0);
		words = direct_va(pfn[1]);
		memset(words, 0, PAGE_SIZE);
		CHECK_RC(aspace_map(&as, &r, pfn, ASPACE_RX), 0);
		CHECK_EQ(range_pin(pfn[1], true), 0);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		expect_direct(pfn[0], 1, true);
		CHECK(!(frame_at(pfn[1])->flags & FRAME_PLAIN));
		free = frame_alloc_free() + frame_alloc_reserve();
		if (given_back)
			frame_free(pfn[1], 0);
		CHECK_EQ(frame_alloc_free() + frame_alloc_reserve(), free);
		CHECK_EQ(mmu_batch_retry_quarantine(), 1);
		CHECK_EQ(range_pin(pfn[1], false), 0);
		CHECK_EQ(mmu_batch_retry_quarantine(), 0);
		CHECK_EQ(frame_alloc_free() + frame_alloc_reserve(), free + given_back);
		expect_direct(pfn[1], !given_back, true);
		frame_free(pfn[0], 0);
		if (!given_back)
			frame_free(pfn[1], 0);
	}
	range_end(&as);
	range_audit();
}
