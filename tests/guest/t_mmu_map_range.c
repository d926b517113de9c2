/* SPDX-License-Identifier: MIT */
/*
 * mmu_map and the range operations on the same tables: who takes away the last reason of a table takes away the table, and
 * what is held is never swapped for another.
 */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "mmu_map_kit.h"
#include "range_help.h"

#define GIB_PAGES (L3_SPAN >> PAGE_SHIFT)

TEST(mmu_map, map_and_unmap,
     "the last reason may be a leaf or a holder; with it the tables go, in one call",
     .together = true)
{
	struct aspace_range r = { KIT_VA + 9 * PAGE_SIZE, 3, NULL };
	uint64_t calls;
	pfn_t block;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(2, OWNER_TEST, &block) == 0);
	/* The leaves outlive the hold. */
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(aspace_map_block(&kit_as, &r, block, ASPACE_RW), 0);
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 1);
	CHECK_EQ(aspace_unmap(&kit_as, &r), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	CHECK_EQ(pool.took, 3);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 4);
	/* The hold outlives the leaves, whose tables it found. */
	CHECK_EQ(aspace_map_block(&kit_as, &r, block, ASPACE_RW), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(pool.gave, 3);
	CHECK_EQ(aspace_unmap(&kit_as, &r), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA), 1);
	CHECK(mmu_map_pt(A) == mmu_map_pt(B));
	CHECK_EQ(frame_at(direct_va_pfn(mmu_map_pt(A)))->live, 0);
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 4);
	CHECK_EQ(range_tables(&kit_as), 0);
	frame_free(block, 2);
	kit_end();
}

/* Each of these would put a copy in the table's place or unlink it, if nobody held it: the holder would go on with a table that is none any more. */
TEST(mmu_map, map_stays_put,
     "no range operation moves or unlinks a held table, whatever it does to its entries",
     .needs = "mem>=64M")
{
	struct aspace_range all = { KIT_VA, PIECE, NULL },
			    one = { KIT_VA + 8 * PAGE_SIZE, 1, NULL };
	struct aspace_range most = { KIT_VA, PIECE - 1, NULL };
	const uint64_t *l1, *l2, *l3;
	pfn_t block;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(9, OWNER_TEST, &block) == 0);
	range_tag(block, PIECE);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	l1 = mmu_map_pt(A);
	l2 = mmu_map_pdt(A);
	l3 = mmu_map_pdpt(A);
	/* All 512 at once: elsewhere shared, rebuilt or swapped. */
	CHECK_EQ(aspace_map_block(&kit_as, &all, block, ASPACE_RW), 0);
	range_expect(&kit_as, KIT_VA, PIECE, block, ASPACE_RW);
	CHECK_EQ(aspace_protect(&kit_as, &all, ASPACE_R), 0);
	range_expect(&kit_as, KIT_VA, PIECE, block, ASPACE_R);
	CHECK_EQ(aspace_protect(&kit_as, &one, ASPACE_RW), 0);
	range_expect(&kit_as, one.va, 1, pfn_add(block, 8), ASPACE_RW);
	CHECK_EQ(aspace_protect(&kit_as, &most, ASPACE_RX), 0);
	range_expect(&kit_as, KIT_VA, PIECE - 1, block, ASPACE_RX);
	CHECK_EQ(aspace_protect(&kit_as, &all, ASPACE_RW), 0);
	CHECK_EQ(aspace_unmap(&kit_as, &most), 0);
	range_expect(&kit_as, KIT_VA, PIECE - 1, block, HOLE);
	CHECK_EQ(aspace_map_block(&kit_as, &most, block, ASPACE_R), 0);
	CHECK_EQ(aspace_unmap(&kit_as, &all), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA), 1);
	CHECK(mmu_map_pt(B) == l1 && mmu_map_pdt(B) == l2 && mmu_map_pdpt(B) == l3);
	CHECK_EQ(pool.gave, 3);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(range_tables(&kit_as), 0);
	frame_free(block, 9);
	kit_end();
}

/* A table of the direct map's is not the holder's to change, and would not stay. */
static void split(struct aspace *as, pfn_t block, enum aspace_rights rights)
{
	struct aspace_range all = { KIT_VA, PIECE, NULL }, one = { KIT_VA + PAGE_SIZE, 1, NULL };
	struct aspace_info info;
	uint64_t shared, calls;

	range_tag(block, PIECE);
	CHECK_EQ(aspace_map_block(as, &all, block, rights), 0);
	CHECK_EQ(aspace_query(as, KIT_VA, &info), 0);
	CHECK(info.shared);
	CHECK_EQ(mmu_map_inspect_va(as, A, KIT_VA), 1);
	shared = mmu_map_pdt(A)[0];
	/* Failures leave it shared. */
	pool.left = 0;
	CHECK_EQ(mmu_map_hold_va(as, A, KIT_VA), -ENOMEM);
	pool.left = UINT32_MAX;
	mmu_batch_begin();
	CHECK_EQ(mmu_map_hold_va(as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_hold_va(as, B, KIT_VA), 0);
	CHECK(mmu_map_pt(A) == mmu_map_pt(B));
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	CHECK_EQ(mmu_map_inspect_va(as, A, KIT_VA), 1);
	CHECK_EQ(mmu_map_pdt(A)[0], shared);
	CHECK_EQ(pool.in, POOL_FRAMES);
	CHECK(direct_map_shared(block));
	/* And the copy is the same to who uses it. */
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_hold_va(as, A, KIT_VA + 3 * PAGE_SIZE), 0);
	CHECK_EQ(mmu_batch_calls() - calls, as == &kit_as);
	CHECK_EQ(pool.gave - pool.took, 1);
	CHECK(!direct_map_shared(block));
	range_expect(as, KIT_VA, PIECE, block, (int)rights);
	CHECK_EQ(frame_at(direct_va_pfn(mmu_map_pt(A)))->live, PIECE);
	CHECK_EQ(aspace_unmap(as, &one), 0);
	CHECK_EQ(*(uint8_t *)direct_va(pfn_add(block, 1)), 0xc3);
	range_expect(as, one.va, 1, block, HOLE);
	CHECK_EQ(mmu_map_release_va(as, A, KIT_VA + 3 * PAGE_SIZE), 0);
	CHECK_EQ(aspace_unmap(as, &all), 0);
	CHECK_EQ(range_tables(as), 0);
}

TEST(mmu_map, map_split,
     "a hold on a shared piece first makes a private copy, with the same rights",
     .needs = "mem>=64M", .together = true)
{
	struct aspace off = { 0 };
	pfn_t block = INVALID_PFN;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(aspace_create(&off) == 0);
	REQUIRE(frame_alloc(9, OWNER_TEST, &block) == 0);
	split(&kit_as, block, ASPACE_RW);
	split(&kit_as, block, ASPACE_R);
	split(&off, block, ASPACE_RW);
	split(&off, block, ASPACE_R);
	CHECK_EQ(aspace_destroy(&off), 0);
	frame_free(block, 9);
	kit_end();
}

/* Two levels are shared there: the L2 is copied as well, and the rest of the GiB stays shared below it. */
TEST(mmu_map, map_split_giant, "a hold in a shared GiB makes private copies of its L2 and one L1",
     .needs = "mem>=2200M")
{
	struct aspace_range all = { KIT_VA, GIB_PAGES, NULL };
	uint64_t va = KIT_VA + 77 * L2_SPAN + 5 * PAGE_SIZE, piece = PIECE, calls;
	struct aspace_info info;
	unsigned int rights;
	pfn_t block;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(18, OWNER_TEST, &block) == 0);
	for (rights = ASPACE_R; rights <= ASPACE_RW; rights++) {
		range_tag(pfn_add(block, 76 * piece), 3 * piece);
		CHECK_EQ(aspace_map_block(&kit_as, &all, block, (enum aspace_rights)rights), 0);
		CHECK_EQ(aspace_query(&kit_as, va + L2_SPAN, &info), 0);
		CHECK(info.shared);
		calls = mmu_batch_calls();
		CHECK_EQ(mmu_map_hold_va(&kit_as, A, va), 0);
		CHECK_EQ(mmu_batch_calls() - calls, 1);
		CHECK_EQ(pool.gave - pool.took, 2);
		range_expect(&kit_as, va - 5 * PAGE_SIZE - L2_SPAN, 3 * piece,
			     pfn_add(block, 76 * piece), (int)rights);
		CHECK_EQ(aspace_query(&kit_as, va, &info), 0);
		CHECK(!info.shared);
		CHECK_EQ(aspace_query(&kit_as, va + L2_SPAN, &info), 0);
		CHECK(info.shared);
		CHECK_EQ(mmu_map_release_va(&kit_as, A, va), 0);
		CHECK_EQ(aspace_unmap(&kit_as, &all), 0);
		CHECK_EQ(range_tables(&kit_as), 0);
		CHECK_EQ(pool.gave, pool.took);
	}
	frame_free(block, 18);
	kit_end();
}

/* A GiB whose L3 entry narrows all of it: to give one page more rights, what is narrowed comes down into the L2, which
 * is held, and so can't be replaced by a copy. */
TEST(mmu_map, map_narrowed,
     "a held L2 stays when what the entry above it narrows comes down into it", .needs = "mem>=64M")
{
	struct aspace_range all = { KIT_VA, GIB_PAGES, NULL };
	struct aspace_range one = { KIT_VA + 300 * L2_SPAN, 1, NULL };
	struct aspace_range piece = { KIT_VA + 3 * L2_SPAN, PIECE, NULL };
	const uint64_t *l2;
	unsigned int i;
	pfn_t list, *pfns, data;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(9, OWNER_TEST, &list) == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	pfns = direct_va(list);
	for (i = 0; i < GIB_PAGES; i++)
		pfns[i] = data;
	range_tag(data, 1);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, one.va), 0);
	l2 = mmu_map_pdt(A);
	CHECK_EQ(aspace_map(&kit_as, &all, pfns, ASPACE_RW), 0);
	CHECK_EQ(aspace_protect(&kit_as, &piece, ASPACE_R), 0);
	CHECK_EQ(mmu_map_pdt(A)[3] & PTE_RW, 0);
	CHECK_EQ(aspace_protect(&kit_as, &all, ASPACE_R), 0);
	CHECK_EQ(mmu_map_pdpt(A)[va_index(one.va, 3)] & PTE_RW, 0);
	CHECK_EQ(aspace_protect(&kit_as, &one, ASPACE_RW), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA), 1);
	CHECK(mmu_map_pdt(B) == l2);
	CHECK_EQ(mmu_map_pdpt(A)[va_index(one.va, 3)] & PTE_RW, PTE_RW);
	range_expect(&kit_as, one.va, 1, data, ASPACE_RW);
	for (i = 0; i < TABLE_ENTRIES; i++)
		if (!CHECK_EQ(range_wrong(&kit_as, KIT_VA + i * L2_SPAN + 511 * PAGE_SIZE, data,
					  ASPACE_R, true) == NULL,
			      true))
			break;
	CHECK_EQ(mmu_map_release_va(&kit_as, A, one.va), 0);
	CHECK_EQ(aspace_unmap(&kit_as, &all), 0);
	CHECK_EQ(range_tables(&kit_as), 0);
	frame_free(data, 0);
	frame_free(list, 9);
	kit_end();
}

/* Both take the address space away from under what a section still has to do. */
TEST(mmu_map, map_not_in_section,
     "an address space is neither activated nor destroyed within a section")
{
	struct aspace off;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(aspace_create(&off) == 0);
	CHECK_EQ(mmu_map_hold_va(&off, A, KIT_VA), 0);
	mmu_batch_begin();
	CHECK_EQ(mmu_map_release_va(&off, A, KIT_VA), 0);
	CHECK_EQ(aspace_destroy(&off), -EBUSY);
	CHECK_EQ(aspace_activate(&off), -EBUSY);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(aspace_destroy(&off), 0);
	kit_end();
}
