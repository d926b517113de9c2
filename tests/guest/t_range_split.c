/* SPDX-License-Identifier: MIT */
/*
 * A shared table belongs to the direct map, and is never edited: a change inside a shared piece gives the
 * address space a copy. Without that, whoever unmaps a page of his would unmap it for the kernel.
 */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA RANGE_VA

/* All of the block can be read and written in the direct map. */
static void expect_direct(pfn_t block, uint64_t nr)
{
	uint64_t i, word = 0, wrong = 0;

	for (i = 0; i < nr; i++) {
		uint64_t *at = direct_va(pfn_add(block, i));

		wrong += probe_load64(at, &word) || probe_store64(at, word);
	}
	CHECK_EQ(wrong, 0);
}

/* The first, a middle and the last page of the first, a middle and the last piece. */
static const uint64_t spots[] = { 0, 1, 511, 512, 700, 1023, 1024, 1535 };

TEST(range, range_split_protect, "one page's rights in a shared piece, for any page",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA, 3 * PIECE, NULL };
	enum aspace_rights rights;
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(spots); i++) {
		struct aspace_range one = { VA + spots[i] * PAGE_SIZE, 1, NULL };

		for (rights = ASPACE_R; rights <= ASPACE_RW; rights++) {
			CHECK_RC(aspace_map_block(&as, &r, block, rights), 0);
			CHECK_RC(aspace_protect(&as, &one, ASPACE_RW - rights), 0);
			range_expect(&as, VA, spots[i], block, (int)rights);
			range_expect(&as, one.va, 1, pfn_add(block, spots[i]),
				     (int)(ASPACE_RW - rights));
			range_expect(&as, one.va + PAGE_SIZE, 3 * PIECE - spots[i] - 1,
				     pfn_add(block, spots[i] + 1), (int)rights);
			CHECK_EQ(range_tables(&as), 3);
			range_audit();
			CHECK_RC(aspace_unmap(&as, &r), 0);
			CHECK_EQ(range_tables(&as), 0);
		}
	}
	expect_direct(block, 3 * PIECE);
	range_end(&as);
	range_audit();
	range_block_back(block, 11);
}

TEST(range, range_split_unmap,
     "one page of a shared piece is unmapped, and another frame mapped there, for any page",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA, 3 * PIECE, NULL };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(spots); i++) {
		struct aspace_range one = { VA + spots[i] * PAGE_SIZE, 1, NULL };
		pfn_t other = pfn_add(block, 3 * PIECE + i);

		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		CHECK_RC(aspace_map_block(&as, &one, other, ASPACE_R), -EEXIST);
		CHECK_EQ(range_tables(&as), 2);
		CHECK_RC(aspace_unmap(&as, &one), 0);
		range_expect(&as, VA, spots[i], block, ASPACE_RW);
		range_expect(&as, one.va, 1, block, HOLE);
		CHECK_RC(aspace_map_block(&as, &one, other, ASPACE_R), 0);
		range_expect(&as, one.va, 1, other, ASPACE_R);
		range_expect(&as, one.va + PAGE_SIZE, 3 * PIECE - spots[i] - 1,
			     pfn_add(block, spots[i] + 1), ASPACE_RW);
		CHECK_EQ(range_tables(&as), 3);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &r), 0);
	}
	expect_direct(block, 4 * PIECE);
	range_end(&as);
	range_audit();
	range_block_back(block, 11);
}

/* A range whose two ends lie in shared pieces, the middle being whole: two splits. */
TEST(range, range_split_ends,
     "a range from one shared piece's middle to another's splits both, and no more",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA, 4 * PIECE, NULL };
	struct aspace_range middle = { VA + 200 * PAGE_SIZE, 3 * PIECE + 50, NULL };
	uint64_t end = 3 * PIECE + 250;
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		CHECK_RC(aspace_protect(&as, &middle, ASPACE_R), 0);
		CHECK_EQ(range_tables(&as), 4);
		range_expect(&as, VA, 200, block, ASPACE_RW);
		range_expect(&as, middle.va, middle.nr, pfn_add(block, 200), ASPACE_R);
		range_expect(&as, VA + end * PAGE_SIZE, 4 * PIECE - end, pfn_add(block, end),
			     ASPACE_RW);
		range_audit();
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
		range_expect(&as, VA, 4 * PIECE, block, ASPACE_RW);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
		CHECK_RC(aspace_unmap(&as, &middle), 0);
		CHECK_EQ(range_tables(&as), 4);
		range_expect(&as, VA, 200, block, ASPACE_R);
		range_expect(&as, middle.va, middle.nr, block, HOLE);
		range_expect(&as, VA + end * PAGE_SIZE, 4 * PIECE - end, pfn_add(block, end),
			     ASPACE_R);
		range_audit();
		range_end(&as);
		expect_direct(block, 4 * PIECE);
	}
	range_audit();
	range_block_back(block, 11);
}

/* Giving back must not fail for want of memory: the reserve is for that. */
TEST(range, range_split_reserve, "without free memory a split takes its tables from the reserve",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, 2 * PIECE, NULL },
			    ends = { VA + 8 * PAGE_SIZE, 2 * PIECE - 16, NULL };
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(10, &block));
	range_hog(100);
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		range_hog(FRAME_RESERVE);
		CHECK_RC(aspace_protect(&as, &ends, ASPACE_R), 0);
		CHECK_EQ(frame_alloc_reserve(), FRAME_RESERVE - 2);
		range_expect(&as, VA, 8, block, ASPACE_RW);
		range_expect(&as, ends.va, ends.nr, pfn_add(block, 8), ASPACE_R);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		CHECK_EQ(frame_alloc_reserve(), FRAME_RESERVE);
		range_unhog();
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		range_hog(2);
		CHECK_RC(aspace_unmap(&as, &ends), 0);
		CHECK_EQ(frame_alloc_reserve(), 0);
		range_expect(&as, VA, 8, block, ASPACE_RW);
		range_expect(&as, ends.va, ends.nr, block, HOLE);
		range_unhog();
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_unhog();
	range_block_back(block, 10);
}

/* Neither: nothing is changed, not even the first of the two ends. But a whole piece needs nothing. */
TEST(range, range_split_nomem,
     "without the reserve either, a split is -ENOMEM with nothing changed; whole pieces still go",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, 2 * PIECE, NULL },
			    ends = { VA + 8 * PAGE_SIZE, 2 * PIECE - 16, NULL };
	unsigned int live, left;
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(10, &block));
	range_hog(100);
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		for (left = 0; left < 2; left++) {
			range_hog(left);
			CHECK_RC(aspace_unmap(&as, &ends), -ENOMEM);
			CHECK_RC(aspace_protect(&as, &ends, ASPACE_R), -ENOMEM);
			CHECK(!as.broken);
			CHECK_EQ(frame_alloc_reserve(), left);
			range_expect(&as, VA, 2 * PIECE, block, ASPACE_RW);
			range_unhog();
			range_audit();
		}
		range_hog(0);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
		range_expect(&as, VA, 2 * PIECE, block, ASPACE_R);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		range_expect(&as, VA, 2 * PIECE, block, HOLE);
		range_unhog();
		CHECK_EQ(range_tables(&as), 0);
		range_end(&as);
	}
	range_audit();
	range_unhog();
	range_block_back(block, 10);
}

/* Pages here and there of many shared pieces: as many splits. */
TEST(range, range_split_many, "a bitmap that splits 20 shared pieces takes 20 tables, or none",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, PIECE, NULL };
	static uint64_t some[20 * PIECE / 64];
	struct aspace_range few = { VA, 20 * PIECE, some };
	unsigned int live, i;
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	for (i = 0; i < 20; i++)
		some[i * PIECE / 64] = 0x10;
	range_hog(100);
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		for (i = 0; i < 20; i++) {
			r.va = VA + i * L2_SPAN;
			CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		}
		CHECK_EQ(range_tables(&as), 2);
		range_hog(19);
		CHECK_RC(aspace_unmap(&as, &few), -ENOMEM);
		CHECK_RC(aspace_protect(&as, &few, ASPACE_R), -ENOMEM);
		CHECK(!as.broken);
		range_unhog();
		for (i = 0; i < 20; i++)
			range_expect(&as, VA + i * L2_SPAN, PIECE, block, ASPACE_RW);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &few), 0);
		CHECK_EQ(range_tables(&as), 22);
		for (i = 0; i < 20; i++) {
			range_expect(&as, VA + i * L2_SPAN, 4, block, ASPACE_RW);
			range_expect(&as, VA + i * L2_SPAN + 4 * PAGE_SIZE, 1, block, HOLE);
			range_expect(&as, VA + i * L2_SPAN + 5 * PAGE_SIZE, 507, pfn_add(block, 5),
				     ASPACE_RW);
		}
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_unhog();
	range_block_back(block, 9);
}

/* A frame of a shared block has its rights there from the direct map: it can't get others. */
TEST(range, range_shared_stays,
     "while a block is shared none of its frames can be freed or become a table",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, PIECE, NULL };
	struct aspace a, b;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_begin(&a, true));
	REQUIRE(range_begin(&b, false));
	CHECK_RC(aspace_map_block(&a, &r, block, ASPACE_R), 0);
	CHECK_RC(aspace_map_block(&b, &r, block, ASPACE_RW), 0);
	CHECK_RC(frame_try_free(block, 9), -EBUSY);
	CHECK_RC(frame_try_free(pfn_add(block, 511), 0), -EBUSY);
	CHECK_RC(table_begin(pfn_add(block, 3), 1, true), -EBUSY);
	CHECK_RC(aspace_unmap(&a, &r), 0);
	CHECK_RC(frame_try_free(pfn_add(block, 511), 0), -EBUSY);
	range_end(&b);
	range_end(&a);
	range_audit();
	range_block_back(block, 9);
}
