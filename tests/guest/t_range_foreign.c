/* SPDX-License-Identifier: MIT */
/*
 * Frames that are not ours: a dom0 may map the machine's devices. 0xb8000, the VGA's text, is there in every
 * PC and in the rig, and reading it harms nobody.
 */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA  RANGE_VA
#define VGA 0xb8

#define MANY 700U

static const mfn_t vga[8] = { { VGA },	   { VGA + 1 }, { VGA + 2 }, { VGA + 3 },
			      { VGA + 4 }, { VGA + 5 }, { VGA + 6 }, { VGA + 7 } };

/* @nr pages of it can be read, and written if @want says so, but never called. */
static void expect_vga(const struct aspace *as, uint64_t va, unsigned int nr, int want)
{
	struct aspace_info info;
	uint64_t word = 0;
	unsigned int i;

	for (i = 0; i < nr; i++, va += PAGE_SIZE) {
		CHECK_RC(aspace_query(as, va, &info), 0);
		CHECK_EQ(info.mapped, want != HOLE);
		CHECK_EQ(probe_load64((void *)va, &word), want == HOLE ? EXINFO_PF(0) : 0);
		if (want == HOLE)
			continue;
		CHECK_EQ(mfn_x(info.mfn), VGA + i);
		CHECK_EQ(info.writable, want == ASPACE_RW);
		CHECK(!info.executable);
		CHECK_EQ(probe_store64((void *)va, word),
			 want == ASPACE_RW ? 0 : EXINFO_PF(PF_PRESENT | PF_WRITE));
		CHECK_EQ(probe_call((void *)va), EXINFO_PF(PF_PRESENT | PF_FETCH));
	}
}

TEST(range, range_foreign,
     "device pages are mapped uncached, in a fresh table and beside others, and unmapped",
     .needs = "dom0")
{
	static const uint64_t places[] = { VA, VA + L2_SPAN - 3 * PAGE_SIZE,
					   VMAP_BASE + 99 * L3_SPAN - 2 * PAGE_SIZE };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(1, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		struct aspace_range r = { places[i], 8, NULL },
				    two = { places[i] + PAGE_SIZE, 2, NULL };
		struct aspace_range beside = { places[i] - PAGE_SIZE, 1, NULL };
		uint64_t tables = range_tables(&as);
		struct aspace_info info;

		CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_R, PTE_PCD | PTE_PWT),
			 0);
		expect_vga(&as, r.va, 8, ASPACE_R);
		CHECK_RC(aspace_query(&as, r.va, &info), 0);
		CHECK((info.entry & PTE_PCD) && (info.entry & PTE_PWT));
		CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_R, PTE_PCD), -EEXIST);
		CHECK_RC(aspace_unmap(&as, &two), 0);
		expect_vga(&as, r.va, 1, ASPACE_R);
		expect_vga(&as, two.va, 2, HOLE);
		CHECK_RC(aspace_map_block(&as, &two, block, ASPACE_RW), 0);
		range_expect(&as, two.va, 2, block, ASPACE_RW);
		CHECK_RC(aspace_protect(&as, &two, ASPACE_R), 0);
		range_expect(&as, two.va, 2, block, ASPACE_R);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &r), 0);
		expect_vga(&as, r.va, 8, HOLE);
		CHECK_EQ(range_tables(&as), tables);
		CHECK_RC(aspace_map_block(&as, &beside, block, ASPACE_R), 0);
		CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_RW, PTE_PCD | PTE_PWT),
			 0);
		expect_vga(&as, r.va, 8, ASPACE_RW);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		CHECK_RC(aspace_unmap(&as, &beside), 0);
		CHECK_EQ(range_tables(&as), tables);
		range_audit();
	}
	/* And with the address space. */
	CHECK_RC(aspace_map_foreign(&as, &(struct aspace_range){ VA, 8, NULL }, vga, DOMID_IO,
				    ASPACE_RW, PTE_PCD | PTE_PWT),
		 0);
	range_end(&as);
	range_audit();
	range_block_back(block, 1);
}

TEST(range, range_foreign_refused,
     "device pages are never executable, not mapped offline, and Xen is believed", .needs = "dom0")
{
	struct aspace_range r = { VA, 4, NULL }, piece = { VA + L2_SPAN, PIECE, NULL };
	static pfn_t pfns[PIECE];
	struct aspace_range own = { VA + 2 * L2_SPAN, PIECE, NULL }, hole = { own.va, 1, NULL };
	mfn_t wild[8] = { { VGA }, { VGA + 1 }, { UINT64_C(1) << 40 }, { VGA + 3 } };
	struct aspace as;
	uint64_t tables;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_begin(&as, false));
	CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_R, 0), -EINVAL);
	CHECK_RC(aspace_activate(&as), 0);
	CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_RX, 0), -EINVAL);
	CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_R, PTE_RW), -EINVAL);
	CHECK_RC(aspace_map_foreign(&as, &r, wild, DOMID_IO, ASPACE_R, 0), -EINVAL);
	/* Our own RAM, whoever is said to own it. */
	wild[2] = pfn_to_mfn(block);
	CHECK_RC(aspace_map_foreign(&as, &r, wild, DOMID_IO, ASPACE_R, 0), -EINVAL);
	CHECK_RC(aspace_map_foreign(&as, &r, wild, DOMID_SELF, ASPACE_RW, 0), -EINVAL);
	CHECK_EQ(range_tables(&as), 0);
	/* Xen's own frame in the middle; nobody's domain. */
	tables = range_tables(&as);
	wild[2] = _mfn((UINT64_C(1) << 39) - 1);
	CHECK(aspace_map_foreign(&as, &r, wild, DOMID_IO, ASPACE_R, 0) < 0);
	CHECK(aspace_map_foreign(&as, &r, vga, 0x7abc, ASPACE_R, 0) < 0);
	CHECK(!as.broken);
	CHECK_EQ(range_tables(&as), tables);
	expect_vga(&as, VA, 4, HOLE);
	range_audit();
	/* Nor in a piece that is the direct map's own, and what the pages are can't be changed to. */
	CHECK_RC(aspace_map_block(&as, &piece, block, ASPACE_RW), 0);
	CHECK_RC(aspace_map_foreign(&as, &(struct aspace_range){ piece.va, 1, NULL }, vga, DOMID_IO,
				    ASPACE_R, 0),
		 -EEXIST);
	/* In a piece that is read-only as a whole nothing is writable. */
	CHECK_RC(aspace_protect(&as, &piece, ASPACE_R), 0);
	for (i = 0; i < PIECE; i++)
		pfns[i] = block;
	CHECK_RC(aspace_map(&as, &own, pfns, ASPACE_RW), 0);
	CHECK_RC(aspace_protect(&as, &own, ASPACE_R), 0);
	CHECK_RC(aspace_unmap(&as, &hole), 0);
	CHECK_RC(aspace_map_foreign(&as, &hole, vga, DOMID_IO, ASPACE_RW, 0), -EBUSY);
	expect_vga(&as, hole.va, 1, HOLE);
	CHECK_RC(aspace_map_foreign(&as, &hole, vga, DOMID_IO, ASPACE_R, 0), 0);
	expect_vga(&as, hole.va, 1, ASPACE_R);
	/* Whose frames they are nobody here can know, so nobody makes them executable. */
	CHECK_RC(aspace_protect(&as, &hole, ASPACE_RX), -EINVAL);
	expect_vga(&as, hole.va, 1, ASPACE_R);
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

/* More pages than a section has entries: all of the same frame, which nobody minds. */
TEST(range, range_foreign_many,
     "device pages over several sections are all mapped, or none where Xen refuses one of the last",
     .needs = "dom0")
{
	static mfn_t many[MANY];
	struct aspace_range r = { VA + 7 * PAGE_SIZE, MANY, NULL }, one = r;
	struct mmu_batch_counters before;
	struct aspace as;
	unsigned int i;

	for (i = 0; i < MANY; i++)
		many[i] = _mfn(VGA);
	REQUIRE(range_begin(&as, true));
	many[MANY - 2] = _mfn((UINT64_C(1) << 39) - 1);
	before = mmu_batch_counters();
	CHECK(aspace_map_foreign(&as, &r, many, DOMID_IO, ASPACE_R, 0) < 0);
	CHECK(mmu_batch_counters().sections - before.sections > 2);
	CHECK(!as.broken);
	CHECK_EQ(range_tables(&as), 0);
	many[MANY - 2] = _mfn(VGA);
	CHECK_RC(aspace_map_foreign(&as, &r, many, DOMID_IO, ASPACE_R, 0), 0);
	for (one.nr = 1, i = 0; i < MANY; i++, one.va += PAGE_SIZE)
		expect_vga(&as, one.va, 1, ASPACE_R);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	CHECK_EQ(range_tables(&as), 0);
	range_end(&as);
	range_audit();
}
