/* SPDX-License-Identifier: MIT */
/*
 * All or nothing: whatever fails, and wherever, all is as before. Memory runs out at the n-th frame, for every n; Xen
 * refuses the first entry, one in the middle, the last, in one section and in a later of several.
 */
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA RANGE_VA

/* From the middle of one L1 to that of another, over the end of an L4 slot: six tables. */
static const struct aspace_range over = { VA + L4_SPAN - 100 * PAGE_SIZE, 200, NULL };

static int map_all(struct aspace *as, pfn_t block, enum aspace_rights rights)
{
	return aspace_map_block(as, &over, block, rights);
}

/*
 * Without memory for a copy a table that is nearly filled takes its entries one by one. In sync mode they are there at once, in the
 * midst of the piece: what looks for trouble before the first call must not take them for it.
 */
TEST(range, range_sync_entries, "in sync mode a map does not find what it has just mapped itself",
     .needs = "mem>=8M", .together = true)
{
	struct aspace_range one = { VA, 1, NULL }, rest = { VA + PAGE_SIZE, PIECE - 1, NULL };
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &one, block, ASPACE_R), 0);
	range_hog(FRAME_RESERVE);
	mmu_batch_set_sync(true);
	CHECK_RC(aspace_map_block(&as, &rest, pfn_add(block, 1), ASPACE_R), 0);
	mmu_batch_set_sync(false);
	range_unhog();
	range_expect(&as, VA, PIECE, block, ASPACE_R);
	range_end(&as);
	range_block_back(block, 9);
}

/* With n frames and no more, from 0 on until it succeeds. */
TEST(range, range_nomem_map,
     "map fails with -ENOMEM at every frame that it takes, and nothing is changed",
     .needs = "mem>=8M")
{
	enum aspace_rights rights;
	unsigned int live, n;
	struct aspace as;
	pfn_t block;
	int rc;

	REQUIRE(range_block(8, &block));
	range_hog(100);
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		for (rights = ASPACE_R; rights <= ASPACE_RX; rights++) {
			for (n = 0, rc = -ENOMEM; n <= 6 && rc == -ENOMEM; n++) {
				range_hog(FRAME_RESERVE + n);
				rc = map_all(&as, block, rights);
				if (rc)
					CHECK_EQ(frame_alloc_free(), n);
				range_unhog();
				CHECK(!as.broken);
				range_expect(&as, over.va, over.nr, block, rc ? HOLE : (int)rights);
				CHECK_EQ(range_tables(&as), rc ? 0 : 6);
				range_audit();
			}
			CHECK_RC(rc, 0);
			CHECK_EQ(n, 7);
			CHECK_RC(aspace_unmap(&as, &over), 0);
		}
		range_end(&as);
	}
	range_unhog();
	range_block_back(block, 8);
}

/* Pieces of all sorts in one range: share, rebuild, entries, fresh. */
TEST(range, range_nomem_mixed,
     "a range of several pieces fails as a whole, wherever memory runs out in it",
     .needs = "mem>=64M")
{
	struct aspace_range all = { VA, 5 * PIECE, NULL }, some = { VA + 2 * L2_SPAN, 10, NULL };
	struct aspace_range more = { VA + 3 * L2_SPAN, 500, NULL };
	static uint64_t pick[5 * PIECE / 64];
	struct aspace_range rest = { VA, 5 * PIECE, pick };
	unsigned int live, n, i;
	struct aspace as;
	pfn_t block;
	int rc;

	for (i = 0; i < ARRAY_SIZE(pick); i++)
		pick[i] = ~UINT64_C(0);
	pick[2 * PIECE / 64] = ~UINT64_C(0) << 10;
	for (i = 3 * PIECE / 64; i < 4 * PIECE / 64; i++)
		pick[i] = i < 3 * PIECE / 64 + 7 ? 0 : ~UINT64_C(0) << 52;
	REQUIRE(range_block(12, &block));
	range_hog(100);
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_map_block(&as, &some, pfn_add(block, 2 * PIECE), ASPACE_R), 0);
		CHECK_RC(aspace_map_block(&as, &more, pfn_add(block, 3 * PIECE), ASPACE_R), 0);
		for (n = 0, rc = -ENOMEM; n < 9 && rc == -ENOMEM; n++) {
			range_hog(FRAME_RESERVE + n);
			rc = aspace_map_block(&as, &rest, pfn_add(block, live), ASPACE_RX);
			if (rc)
				CHECK_EQ(frame_alloc_free(), n);
			range_unhog();
			range_expect(&as, VA + 2 * L2_SPAN, 10, pfn_add(block, 2 * PIECE),
				     ASPACE_R);
			range_expect(&as, VA + 3 * L2_SPAN, 448, pfn_add(block, 3 * PIECE),
				     ASPACE_R);
			range_expect(&as, VA, 2 * PIECE, pfn_add(block, live),
				     rc ? HOLE : ASPACE_RX);
			range_expect(&as, VA + 4 * L2_SPAN, PIECE, pfn_add(block, 4 * PIECE + live),
				     rc ? HOLE : ASPACE_RX);
			range_audit();
			if (rc == -EEXIST)
				break;
		}
		if (rc == -EEXIST)
			test_note("the bitmap is wrong");
		CHECK_RC(rc, 0);
		CHECK_RC(aspace_unmap(&as, &all), 0);
		CHECK_EQ(range_tables(&as), 0);
		range_audit();
		range_end(&as);
	}
	range_unhog();
	range_block_back(block, 12);
}

/* What a refusal must leave: all as before, the address space whole, and the guilty request named. */
static void expect_refused(const struct aspace *as, int rc, pfn_t culprit)
{
	struct mmu_batch_error error = mmu_batch_error();

	CHECK(rc < 0 && rc != -EIO);
	CHECK(!as->broken);
	if (!CHECK(mfn_eq(pte_mfn(error.val), pfn_to_mfn(culprit))))
		mmu_batch_print_error();
}

/* Into a fresh table, a sparse one, a full one; one page, a few, several pieces. */
TEST(range, range_refused_map,
     "a frame that only Xen knows not to be mappable undoes the map, and is named",
     .needs = "mem>=64M", .together = true)
{
	static const struct {
		uint64_t va, nr;
	} ranges[] = { { VA + L3_SPAN + 7 * PAGE_SIZE, 1 },
		       { VA + L3_SPAN + 7 * PAGE_SIZE, 3 },
		       { VA + L3_SPAN, PIECE },
		       { VA + 5 * PAGE_SIZE, 1 },
		       { VA + 5 * PAGE_SIZE, 20 },
		       { VA + 5 * PAGE_SIZE, 500 },
		       { VA + 100 * PAGE_SIZE, 3 * PIECE },
		       { VMAP_BASE + 77 * L3_SPAN, 5 },
		       { VA + L4_SPAN - 40 * PAGE_SIZE, 80 } };
	struct aspace_range there = { VA, 5, NULL };
	uint64_t tables, where[3];
	struct aspace as;
	unsigned int i, j;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &there, block, ASPACE_RW), 0);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct aspace_range r = { ranges[i].va, ranges[i].nr, NULL };

		where[0] = 0;
		where[1] = r.nr / 2;
		where[2] = r.nr - 1;
		for (j = 0; j < 3; j++) {
			pfn_t bad = pfn_add(block, 5 + where[j]);

			tables = range_tables(&as);
			range_poison(bad);
			expect_refused(&as, aspace_map_block(&as, &r, pfn_add(block, 5), ASPACE_RW),
				       bad);
			range_cure(bad);
			range_expect(&as, r.va, r.nr, block, HOLE);
			range_expect(&as, VA, 5, block, ASPACE_RW);
			CHECK_EQ(range_tables(&as), tables);
			range_audit();
		}
		CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 5), ASPACE_RW), 0);
		range_expect(&as, r.va, r.nr, pfn_add(block, 5), ASPACE_RW);
		CHECK_RC(aspace_unmap(&as, &r), 0);
	}
	range_end(&as);
	range_block_back(block, 11);
}

/* Tables with something in them already, so that it is entries, more than one call can hold. */
static bool beds(struct aspace *as, pfn_t block)
{
	uint64_t i;

	for (i = 0; i < 4; i++) {
		struct aspace_range r = { VA + i * L2_SPAN, 1, NULL };

		if (!CHECK_RC(aspace_map_block(as, &r, block, ASPACE_R), 0))
			return false;
	}
	return true;
}

/* All pages of four pieces but the first of each, which is there. */
static uint64_t but_first[4 * PIECE / 64];

static bool begin_beds(struct aspace *as, pfn_t *block)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(but_first); i++)
		but_first[i] = ((uint64_t)i * 64 % PIECE) ? ~UINT64_C(0) : ~UINT64_C(1);
	return CHECK(range_block(11, block)) && CHECK(range_begin(as, true)) && beds(as, *block);
}

TEST(range, range_refused_sections, "a refusal in a later section undoes the earlier ones too",
     .needs = "mem>=64M")
{
	struct aspace_range r = { VA, 4 * PIECE, but_first };
	enum planner_way forced = planner_force(WAY_ENTRIES);
	struct mmu_batch_counters before;
	struct aspace as;
	unsigned int i;
	uint64_t at;
	pfn_t block = INVALID_PFN;

	REQUIRE(begin_beds(&as, &block));
	for (at = 1; at < 4 * PIECE; at += at % PIECE == 1 ? 254 : 256) {
		pfn_t bad = pfn_add(block, at);

		if (at % PIECE == 0)
			continue;
		range_poison(bad);
		before = mmu_batch_counters();
		expect_refused(&as, aspace_map_block(&as, &r, block, ASPACE_RW), bad);
		if (at > 3 * PIECE)
			CHECK(mmu_batch_counters().sections - before.sections > 1);
		range_cure(bad);
		for (i = 0; i < 4; i++) {
			range_expect(&as, VA + i * L2_SPAN, 1, block, ASPACE_R);
			range_expect(&as, VA + i * L2_SPAN + PAGE_SIZE, PIECE - 1, block, HOLE);
		}
		CHECK_EQ(range_tables(&as), 4 + 2);
		range_audit();
	}
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
	range_expect(&as, VA + PAGE_SIZE, PIECE - 1, pfn_add(block, 1), ASPACE_RW);
	planner_force(forced);
	range_audit();
	range_end(&as);
	range_block_back(block, 11);
}

/* What we know of frames is asked of all of them before anything is sent, of no others: those behind the last may be mapped too. */
TEST(range, range_frame_later,
     "a frame of a later section that can't be mapped is found before the first one is sent",
     .needs = "mem>=64M", .together = true)
{
	static const uint64_t at[] = { PIECE - 1, 3 * PIECE + 1, 3 * PIECE + 64, 4 * PIECE - 9 };
	struct aspace_range r = { VA, 4 * PIECE - 8, but_first };
	enum planner_way forced = planner_force(WAY_ENTRIES);
	struct mmu_batch_counters before;
	struct aspace as;
	unsigned int i;
	pfn_t block = INVALID_PFN;

	REQUIRE(begin_beds(&as, &block));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		pfn_t bad = pfn_add(block, at[i]);

		REQUIRE(table_begin(bad, 1, true) == 0);
		before = mmu_batch_counters();
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), -EBUSY);
		CHECK_EQ(mmu_batch_counters().entries, before.entries);
		table_forget(bad);
	}
	planner_force(forced);
	range_audit();
	range_end(&as);
	range_block_back(block, 11);
}

/* Mapped read-only, then made a table behind our back: Xen refuses to let it be written. */
TEST(range, range_refused_protect,
     "a refusal of rights undoes all that were changed, each page to what it had",
     .needs = "mem>=64M", .together = true)
{
	static uint64_t odd[4 * PIECE / 64];
	struct aspace_range r = { VA, 4 * PIECE, NULL }, some = { VA, 4 * PIECE, odd };
	static const uint64_t at[] = { 0, 1, 700, 1024, 4 * PIECE - 1 };
	unsigned int i, way;
	struct aspace as;
	pfn_t block;
	uint64_t j;

	for (i = 0; i < ARRAY_SIZE(odd); i++)
		odd[i] = UINT64_C(0x00ff00ff00ff00ff);
	REQUIRE(range_block(12, &block));
	REQUIRE(range_begin(&as, true));
	/* No aligned run. Of the pages some can be written already, some executed. */
	CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_R), 0);
	CHECK_RC(aspace_protect(&as, &some, ASPACE_RW), 0);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		pfn_t bad = pfn_add(block, at[i] + 1);
		struct aspace_range one = { VA + at[i] * PAGE_SIZE, 1, NULL };

		CHECK_RC(aspace_protect(&as, &one, ASPACE_R), 0);
		range_poison(bad);
		for (way = WAY_REBUILD; way <= WAYS; way++) {
			enum planner_way forced = planner_force((enum planner_way)way);

			expect_refused(&as, aspace_protect(&as, &r, ASPACE_RW), bad);
			expect_refused(&as, aspace_protect(&as, &one, ASPACE_RW), bad);
			planner_force(forced);
		}
		range_cure(bad);
		for (j = 0; j < 4 * PIECE; j++)
			range_expect(&as, VA + j * PAGE_SIZE, 1, pfn_add(block, j + 1),
				     (odd[j / 64] >> j % 64 & 1) && j != at[i] ? ASPACE_RW
									       : ASPACE_R);
		range_audit();
		if (odd[at[i] / 64] >> at[i] % 64 & 1)
			CHECK_RC(aspace_protect(&as, &one, ASPACE_RW), 0);
	}
	CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
	range_expect(&as, VA, 4 * PIECE, pfn_add(block, 1), ASPACE_RW);
	range_end(&as);
	range_block_back(block, 12);
}

/* A table that Xen has a second reference to can't become plain memory. */
TEST(range, range_refused_unmap,
     "if Xen keeps a table, the unmap that would give it back is undone", .needs = "mem>=64M")
{
	struct aspace_range r = { VA, 3 * PIECE, NULL }, middle = { VA + L2_SPAN, PIECE, NULL };
	struct aspace_info info;
	struct aspace as;
	pfn_t block, l1;

	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_RW), 0);
	CHECK_RC(aspace_query(&as, VA + L2_SPAN, &info), 0);
	l1 = table_below(
		table_read(table_below(table_read(table_below(table_read(as.l4, va_index(VA, 4))),
						  va_index(VA, 3))),
			   va_index(VA + L2_SPAN, 2)));
	CHECK_EQ(range_pin(l1, true), 0);
	CHECK(aspace_unmap(&as, &r) < 0);
	CHECK(aspace_unmap(&as, &middle) < 0);
	CHECK(!as.broken);
	range_expect(&as, VA, 3 * PIECE, pfn_add(block, 1), ASPACE_RW);
	CHECK_EQ(range_pin(l1, false), 0);
	range_audit();
	CHECK_RC(aspace_unmap(&as, &r), 0);
	range_end(&as);
	range_block_back(block, 11);
}

/*
 * The check before a second section, which is sent when the third piece comes, looks at all that is left: also at the fourth, above
 * which another entry narrows.
 */
TEST(range, range_hole_later, "a hole in a later section is found before the first one is sent",
     .needs = "mem>=64M", .together = true)
{
	static uint64_t most[4 * PIECE / 64];
	struct aspace_range r = { VA, 3 * PIECE, NULL }, last = { VA + 3 * L2_SPAN, PIECE, NULL };
	struct aspace_range hole = { last.va, 64, NULL }, some = { VA, 4 * PIECE, most };
	enum planner_way forced;
	uint64_t i, entries;
	struct aspace as;
	pfn_t block;

	for (i = 0; i < ARRAY_SIZE(most); i++)
		most[i] = i % 8 == 7 ? ~UINT64_C(1) : ~UINT64_C(0);
	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_R), 0);
	CHECK_RC(aspace_map_block(&as, &last, pfn_add(block, 1), ASPACE_RW), 0);
	CHECK_RC(aspace_protect(&as, &last, ASPACE_R), 0);
	CHECK_RC(aspace_unmap(&as, &hole), 0);
	forced = planner_force(WAY_ENTRIES);
	entries = mmu_batch_counters().entries;
	CHECK_RC(aspace_protect(&as, &some, ASPACE_RW), -ENOENT);
	CHECK_EQ(mmu_batch_counters().entries, entries);
	planner_force(forced);
	range_expect(&as, VA, 3 * PIECE, pfn_add(block, 1), ASPACE_R);
	range_expect(&as, hole.va, 64, block, HOLE);
	range_expect(&as, hole.va + 64 * PAGE_SIZE, 448, pfn_add(block, 65), ASPACE_R);
	range_audit();
	range_end(&as);
	range_block_back(block, 11);
}
