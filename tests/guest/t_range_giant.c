/* SPDX-License-Identifier: MIT */
/*
 * 1 GiB at a time: the direct map's L2 is linked a second time, one entry for 262,144 pages. It takes 1 GiB of
 * RAM in one aligned block.
 */
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "range_help.h"

#define VA	  RANGE_VA
#define GIB	  (512 * PIECE)
#define GIB_ORDER 18

/* Tags only pages that are looked at: of these pieces, the ends. */
static const unsigned int pieces[] = { 0, 1, 2, 255, 510, 511 };
static const unsigned int pages[] = { 0, 1, 100, 511 };

static bool giant_block(pfn_t *block)
{
	unsigned int i, j;

	if (!CHECK_EQ(frame_alloc(GIB_ORDER, OWNER_TEST, block), 0))
		return false;
	for (i = 0; i < ARRAY_SIZE(pieces); i++)
		for (j = 0; j < ARRAY_SIZE(pages); j++)
			range_tag(pfn_add(*block, pieces[i] * PIECE + pages[j]), 1);
	return true;
}

/* But for the pages of @but. */
static void expect_giant(const struct aspace *as, uint64_t va, pfn_t block, int want,
			 const struct aspace_range *but)
{
	unsigned int i, j;
	uint64_t page;

	for (i = 0; i < ARRAY_SIZE(pieces); i++)
		for (j = 0; j < ARRAY_SIZE(pages); j++) {
			page = pieces[i] * PIECE + pages[j];
			if (but && va + page * PAGE_SIZE - but->va < but->nr * PAGE_SIZE)
				continue;
			range_expect(as, va + page * PAGE_SIZE, 1, pfn_add(block, page), want);
		}
}

TEST(range, range_giant,
     "an aligned GiB is shared by one entry, its rights changed by one, unmapped by one",
     .needs = "mem>=2560M")
{
	struct aspace_range r = { VA, GIB, NULL }, two = { VA, 2 * GIB, NULL };
	struct mmu_batch_counters before;
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(giant_block(&block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		before = mmu_batch_counters();
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		CHECK_EQ(mmu_batch_counters().entries - before.entries, live ? 2 : 0);
		CHECK_EQ(range_tables(&as), 1);
		expect_giant(&as, VA, block, ASPACE_RW, NULL);
		CHECK_RC(frame_try_free(pfn_add(block, 777), 0), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &two, block, ASPACE_RW), -EEXIST);
		before = mmu_batch_counters();
		CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
		expect_giant(&as, VA, block, ASPACE_R, NULL);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
		CHECK_EQ(mmu_batch_counters().entries - before.entries, live ? 2 : 0);
		expect_giant(&as, VA, block, ASPACE_RW, NULL);
		/* The whole, from an empty GiB on into this one. */
		CHECK_RC(aspace_unmap(&as, &(struct aspace_range){ VA - L3_SPAN, 2 * GIB, NULL }),
			 0);
		expect_giant(&as, VA, block, HOLE, NULL);
		CHECK_EQ(range_tables(&as), 0);
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_block_back(block, GIB_ORDER);
}

/* Two tables for each end: the L2's copy, and the L1's. */
TEST(range, range_giant_split,
     "changes inside a shared GiB copy its L2 and one L1, from the reserve if need be",
     .needs = "mem>=2560M")
{
	struct aspace_range r = { VA, GIB, NULL },
			    one = { VA + 255 * L2_SPAN + 100 * PAGE_SIZE, 1, NULL };
	struct aspace_range piece = { VA + 510 * L2_SPAN, PIECE, NULL };
	enum planner_way forced;
	struct aspace as;
	unsigned int live, way;
	pfn_t block;

	REQUIRE(giant_block(&block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		for (way = WAY_REBUILD; way <= WAYS; way++) {
			forced = planner_force((enum planner_way)way);
			CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
			range_hog(1);
			CHECK_RC(aspace_protect(&as, &one, ASPACE_R), -ENOMEM);
			CHECK_RC(aspace_unmap(&as, &one), -ENOMEM);
			expect_giant(&as, VA, block, ASPACE_RW, NULL);
			range_unhog();
			range_hog(2);
			CHECK_RC(aspace_protect(&as, &one, ASPACE_R), 0);
			range_unhog();
			range_expect(&as, one.va, 1, pfn_add(block, 255 * PIECE + 100), ASPACE_R);
			expect_giant(&as, VA, block, ASPACE_RW, &one);
			CHECK_EQ(range_tables(&as), 3);
			CHECK_RC(aspace_unmap(&as, &one), 0);
			CHECK_RC(aspace_protect(&as, &piece, ASPACE_R), 0);
			range_expect(&as, piece.va, 2, pfn_add(block, 510 * PIECE), ASPACE_R);
			CHECK_RC(aspace_protect(&as, &piece, ASPACE_RW), 0);
			CHECK_RC(aspace_protect(&as,
						&(struct aspace_range){ VA, 2 * PIECE + 50, NULL },
						ASPACE_RX),
				 0);
			range_expect(&as, VA + L2_SPAN, 2, pfn_add(block, PIECE), ASPACE_RX);
			range_expect(&as, VA + 2 * L2_SPAN + 100 * PAGE_SIZE, 1,
				     pfn_add(block, 2 * PIECE + 100), ASPACE_RW);
			range_audit();
			CHECK_RC(aspace_unmap(&as, &r), 0);
			expect_giant(&as, VA, block, HOLE, NULL);
			CHECK_EQ(range_tables(&as), 0);
			planner_force(forced);
		}
		range_end(&as);
	}
	range_audit();
	range_block_back(block, GIB_ORDER);
}

TEST(range, range_giant_ends,
     "a range from one shared GiB's middle to another's takes four tables, or none",
     .needs = "mem>=2560M")
{
	struct aspace_range r = { VA, GIB, NULL }, s = { VA + L3_SPAN, GIB, NULL };
	struct aspace_range middle = { VA + L2_SPAN + 50 * PAGE_SIZE, 2 * GIB - 2 * PIECE - 100,
				       NULL };
	struct aspace as;
	unsigned int live, left;
	pfn_t block;

	REQUIRE(giant_block(&block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		CHECK_RC(aspace_map_block(&as, &s, block, ASPACE_RW), 0);
		for (left = 0; left < 4; left++) {
			range_hog(left);
			CHECK_RC(aspace_unmap(&as, &middle), -ENOMEM);
			CHECK(!as.broken);
			CHECK_EQ(frame_alloc_reserve(), left);
			range_unhog();
			expect_giant(&as, VA, block, ASPACE_RW, NULL);
			expect_giant(&as, VA + L3_SPAN, block, ASPACE_RW, NULL);
		}
		range_hog(4);
		CHECK_RC(aspace_unmap(&as, &middle), 0);
		range_unhog();
		range_expect(&as, VA, 2, block, ASPACE_RW);
		range_expect(&as, VA + L2_SPAN, 2, pfn_add(block, PIECE), ASPACE_RW);
		range_expect(&as, middle.va + 50 * PAGE_SIZE, 1, block, HOLE);
		range_expect(&as, VA + 255 * L2_SPAN, 1, block, HOLE);
		range_expect(&as, VA + L3_SPAN, 1, block, HOLE);
		range_expect(&as, VA + L3_SPAN + 510 * L2_SPAN + 511 * PAGE_SIZE, 1,
			     pfn_add(block, 510 * PIECE + 511), ASPACE_RW);
		range_expect(&as, VA + L3_SPAN + 511 * L2_SPAN, 2, pfn_add(block, 511 * PIECE),
			     ASPACE_RW);
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_block_back(block, GIB_ORDER);
}

/* One entry for a GiB wants all of it plain: else it is 512 pieces, or no mapping at all. */
TEST(range, range_giant_not, "a GiB that is not all plain, or not all there, is not shared as one",
     .needs = "mem>=2560M")
{
	struct aspace_range r = { VA, GIB, NULL }, one = { VA + L4_SPAN, 1, NULL };
	struct aspace as;
	pfn_t block;

	REQUIRE(giant_block(&block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &one, pfn_add(block, 77 * PIECE), ASPACE_RX), 0);
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
	expect_giant(&as, VA, block, ASPACE_R, NULL);
	CHECK_EQ(range_tables(&as), 2 + 1 + 3);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	CHECK_RC(aspace_unmap(&as, &one), 0);
	/* No memory for the L3. */
	range_hog(FRAME_RESERVE);
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), -ENOMEM);
	range_unhog();
	CHECK_EQ(range_tables(&as), 0);
	/* The last GiB of pfns is only partly there. */
	CHECK_RC(aspace_map_block(&as, &r, _pfn(pfn_x(frame_table_end()) & ~(GIB - 1)), ASPACE_R),
		 -EINVAL);
	CHECK_EQ(range_tables(&as), 0);
	range_audit();
	range_end(&as);
	range_block_back(block, GIB_ORDER);
}
