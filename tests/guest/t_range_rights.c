/* SPDX-License-Identifier: MIT */
/*
 * Rights in upper entries: the CPU takes of all levels the least. So what is taken away above is to be given
 * back there, and has to come down into the leaves as soon as one of them is to differ.
 *
 * The GiBs here are one block of 2 MiB shared 512 times: they take no memory.
 */
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA  RANGE_VA
#define GIB (512 * PIECE)

/* Pages of a GiB that are looked at: the ends of its first, second and last piece. */
static void expect_gib(const struct aspace *as, uint64_t va, pfn_t block, int want)
{
	static const unsigned int pieces[] = { 0, 1, 200, 511 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		range_expect(as, va + pieces[i] * L2_SPAN, 1, block, want);
		range_expect(as, va + pieces[i] * L2_SPAN + 100 * PAGE_SIZE, 1, pfn_add(block, 100),
			     want);
		range_expect(as, va + (pieces[i] + 1) * L2_SPAN - PAGE_SIZE, 1, pfn_add(block, 511),
			     want);
	}
}

static bool map_gib(struct aspace *as, uint64_t va, pfn_t block, enum aspace_rights rights)
{
	struct aspace_range r = { va, PIECE, NULL };

	for (; r.va < va + L3_SPAN; r.va += L2_SPAN)
		if (!CHECK_RC(aspace_map_block(as, &r, block, rights), 0))
			return false;
	return true;
}

static uint64_t entry_of(const struct aspace *as, uint64_t va, unsigned int level)
{
	pfn_t table = as->l4;
	unsigned int i;

	for (i = 4; i > level; i--)
		table = table_below(table_read(table, va_index(va, i)));
	return table_read(table, va_index(va, level));
}

TEST(range, range_rights_l3, "rights of a whole GiB are taken and given back in its L3 entry",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, GIB, NULL }, two = { VA, 2 * GIB, NULL };
	struct mmu_batch_counters calls;
	struct planner_counters before;
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		REQUIRE(map_gib(&as, VA, block, ASPACE_RW));
		REQUIRE(map_gib(&as, VA + L3_SPAN, block, ASPACE_RW));
		before = planner_counters();
		calls = mmu_batch_counters();
		CHECK_RC(aspace_protect(&as, &two, ASPACE_R), 0);
		CHECK_EQ(range_taken(&before, WAY_UPPER), 2);
		CHECK_EQ(mmu_batch_counters().entries - calls.entries, live ? 2 : 0);
		CHECK(!(entry_of(&as, VA, 3) & PTE_RW) && (entry_of(&as, VA, 2) & PTE_RW));
		expect_gib(&as, VA, block, ASPACE_R);
		expect_gib(&as, VA + L3_SPAN, block, ASPACE_R);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
		expect_gib(&as, VA, block, ASPACE_RW);
		expect_gib(&as, VA + L3_SPAN, block, ASPACE_R);
		CHECK_RC(aspace_protect(&as, &two, ASPACE_RW), 0);
		expect_gib(&as, VA + L3_SPAN, block, ASPACE_RW);
		CHECK_EQ(range_tables(&as), 3);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RX), -EBUSY);
		expect_gib(&as, VA, block, ASPACE_RW);
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_block_back(block, 9);
}

/* One page in a GiB that its L3 entry narrows: L3 to L2, L2 to L1, the leaf. */
TEST(range, range_rights_down,
     "a page, a piece and a range get rights back inside a GiB that was narrowed as a whole",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, GIB, NULL },
			    one = { VA + 5 * L2_SPAN + 100 * PAGE_SIZE, 1, NULL };
	struct aspace_range piece = { VA + 200 * L2_SPAN, PIECE, NULL };
	struct aspace_range part = { VA + 300 * L2_SPAN + 50 * PAGE_SIZE, 2 * PIECE, NULL };
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		REQUIRE(map_gib(&as, VA, block, ASPACE_RW));
		CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &one, ASPACE_RW), 0);
		range_expect(&as, one.va - 100 * PAGE_SIZE, 100, block, ASPACE_R);
		range_expect(&as, one.va, 1, pfn_add(block, 100), ASPACE_RW);
		range_expect(&as, one.va + PAGE_SIZE, 411, pfn_add(block, 101), ASPACE_R);
		expect_gib(&as, VA, block, ASPACE_R);
		range_audit();
		CHECK_RC(aspace_protect(&as, &one, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &piece, ASPACE_RW), 0);
		range_expect(&as, piece.va - PAGE_SIZE, 1, pfn_add(block, 511), ASPACE_R);
		range_expect(&as, piece.va, PIECE, block, ASPACE_RW);
		range_expect(&as, piece.va + L2_SPAN, 1, block, ASPACE_R);
		CHECK_RC(aspace_protect(&as, &piece, ASPACE_R), 0);
		expect_gib(&as, VA, block, ASPACE_R);
		/* Narrowed as a whole once more, though it is so piece by piece. */
		CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &part, ASPACE_RW), 0);
		range_expect(&as, part.va - 50 * PAGE_SIZE, 50, block, ASPACE_R);
		range_expect(&as, part.va, PIECE - 50, pfn_add(block, 50), ASPACE_RW);
		range_expect(&as, VA + 301 * L2_SPAN, PIECE, block, ASPACE_RW);
		range_expect(&as, VA + 302 * L2_SPAN, 50, block, ASPACE_RW);
		range_expect(&as, VA + 302 * L2_SPAN + 50 * PAGE_SIZE, PIECE - 50,
			     pfn_add(block, 50), ASPACE_R);
		expect_gib(&as, VA, block, ASPACE_R);
		range_audit();
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
		expect_gib(&as, VA, block, ASPACE_RW);
		range_expect(&as, one.va, 1, pfn_add(block, 100), ASPACE_RW);
		range_expect(&as, part.va - 50 * PAGE_SIZE, PIECE, block, ASPACE_RW);
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_block_back(block, 9);
}

/* Something new beside what is narrowed must not inherit that, nor what is there lose it. */
TEST(range, range_rights_beside,
     "pages mapped inside a narrowed piece or GiB have their own rights, the others keep theirs",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, GIB, NULL }, hole = { VA + 7 * L2_SPAN, PIECE, NULL };
	struct aspace_range gap = { VA + 9 * L2_SPAN + 20 * PAGE_SIZE, 30, NULL };
	enum aspace_rights rights;
	pfn_t block, other;
	struct aspace as;
	unsigned int live;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_block(5, &other));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		REQUIRE(map_gib(&as, VA, block, ASPACE_RW));
		for (rights = ASPACE_R; rights <= ASPACE_RX; rights++) {
			struct aspace_range in = { hole.va + 11 * PAGE_SIZE, 30, NULL };

			CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
			CHECK_RC(aspace_unmap(&as, &hole), 0);
			CHECK_RC(aspace_unmap(&as, &gap), 0);
			CHECK_RC(aspace_map_block(&as, &in, other, rights), 0);
			range_expect(&as, in.va, 30, other, (int)rights);
			range_expect(&as, hole.va, 11, other, HOLE);
			range_expect(&as, hole.va - L2_SPAN, PIECE, block, ASPACE_R);
			CHECK_RC(aspace_unmap(&as, &in), 0);
			CHECK_RC(aspace_map_block(&as, &gap, other, rights), 0);
			range_expect(&as, gap.va, 30, other, (int)rights);
			range_expect(&as, gap.va - 20 * PAGE_SIZE, 20, block, ASPACE_R);
			range_expect(&as, gap.va + 30 * PAGE_SIZE, 462, pfn_add(block, 50),
				     ASPACE_R);
			expect_gib(&as, VA, block, ASPACE_R);
			range_audit();
			CHECK_RC(aspace_unmap(&as, &gap), 0);
			CHECK_RC(aspace_map_block(&as, &gap, pfn_add(block, 20), ASPACE_R), 0);
			CHECK_RC(aspace_map_block(&as, &hole, block, ASPACE_RW), 0);
			range_expect(&as, hole.va, PIECE, block, ASPACE_RW);
			CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
			expect_gib(&as, VA, block, ASPACE_RW);
			range_expect(&as, gap.va, 30, pfn_add(block, 20), ASPACE_RW);
			range_audit();
		}
		range_end(&as);
	}
	range_audit();
	range_block_back(other, 5);
	range_block_back(block, 9);
}

/* A table that mmu_map holds must stay where it is, also when rights come down past it. */
TEST(range, range_rights_held, "rights come down from an L3 entry without a held L2 being swapped",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, GIB, NULL }, one = { VA + 5 * L2_SPAN, 1, NULL };
	pfn_t block, l3, l2;
	struct aspace as;
	unsigned int live;

	REQUIRE(range_block(9, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		REQUIRE(map_gib(&as, VA, block, ASPACE_RW));
		l3 = table_below(table_read(as.l4, va_index(VA, 4)));
		l2 = table_below(table_read(l3, va_index(VA, 3)));
		frame_at(l2)->holds = 1;
		CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &one, ASPACE_RW), 0);
		CHECK(pfn_eq(table_below(table_read(l3, va_index(VA, 3))), l2));
		range_expect(&as, one.va, 1, block, ASPACE_RW);
		expect_gib(&as, VA, block, ASPACE_R);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		expect_gib(&as, VA, block, HOLE);
		CHECK(pfn_eq(table_below(table_read(l3, va_index(VA, 3))), l2));
		frame_at(l2)->holds = 0;
		CHECK_RC(aspace_map_block(&as, &one, block, ASPACE_R), 0);
		CHECK_RC(aspace_unmap(&as, &one), 0);
		CHECK_EQ(range_tables(&as), 0);
		range_audit();
		range_end(&as);
	}
	range_audit();
	range_block_back(block, 9);
}

TEST(range, range_query,
     "a query reports the level, the entry, and the rights of all levels together",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA, PIECE, NULL }, one = { VA + 3 * L3_SPAN, 1, NULL };
	struct aspace_info info;
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_query(&as, VA, &info), 0);
	CHECK(!info.mapped && info.level == 4 && info.entry == 0);
	CHECK(pfn_eq(info.pfn, INVALID_PFN) && mfn_eq(info.mfn, INVALID_MFN));
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
	CHECK_RC(aspace_map_block(&as, &one, block, ASPACE_R), 0);
	CHECK_RC(aspace_query(&as, VA + 5 * PAGE_SIZE + 123, &info), 0);
	CHECK(info.mapped && info.level == 1 && info.writable && !info.executable && info.user);
	CHECK(info.shared && pfn_eq(info.pfn, pfn_add(block, 5)));
	CHECK(mfn_eq(info.mfn, pte_mfn(info.entry)));
	CHECK_EQ(info.entry, entry_of(&as, VA + 5 * PAGE_SIZE, 1));
	CHECK_RC(aspace_protect(&as, &r, ASPACE_R), 0);
	CHECK_RC(aspace_query(&as, VA + 5 * PAGE_SIZE, &info), 0);
	CHECK(info.mapped && !info.writable && (info.entry & PTE_RW));
	CHECK_RC(aspace_query(&as, one.va, &info), 0);
	CHECK(info.mapped && !info.shared && !info.writable);
	/* Holes of each level. */
	CHECK_RC(aspace_query(&as, one.va + PAGE_SIZE, &info), 0);
	CHECK(!info.mapped && info.level == 1);
	CHECK_RC(aspace_query(&as, VA + L2_SPAN, &info), 0);
	CHECK(!info.mapped && info.level == 2);
	CHECK_RC(aspace_query(&as, VA + 2 * L3_SPAN, &info), 0);
	CHECK(!info.mapped && info.level == 3);
	/* The kernel's half may be asked everywhere. */
	CHECK_RC(aspace_query(&as, (uintptr_t)direct_va(block), &info), 0);
	CHECK(info.mapped && info.writable && !info.user && !info.shared);
	CHECK_RC(aspace_query(&as, IMAGE_BASE, &info), 0);
	CHECK(info.mapped && !info.writable && info.executable);
	CHECK_RC(aspace_query(&as, PMAP_BASE, &info), 0);
	CHECK(!info.mapped);
	CHECK_RC(aspace_query(&as, USER_END, &info), -EINVAL);
	CHECK_RC(aspace_query(&as, UINT64_C(0xffff7fffffffffff), &info), -EINVAL);
	CHECK_RC(aspace_query(&as, XEN_VA_BASE, &info), -EINVAL);
	CHECK_RC(aspace_query(&as, XEN_VA_END - 1, &info), -EINVAL);
	range_end(&as);
	range_block_back(block, 9);
}
