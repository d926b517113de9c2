/* SPDX-License-Identifier: MIT */
/*
 * Frames that are not ours: a dom0 may map the machine's devices. 0xb8000, the VGA's text, is there in every
 * PC and in the rig, and reading it harms nobody.
 */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA  RANGE_VA
#define VGA 0xb8

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
	struct aspace_range r = { VA, 4, NULL }, some = { VA + L2_SPAN, 8, NULL };
	mfn_t wild[8] = { { VGA }, { VGA + 1 }, { UINT64_C(1) << 40 }, { VGA + 3 } };
	struct aspace as;
	uint64_t tables;
	pfn_t block;

	REQUIRE(range_block(3, &block));
	REQUIRE(range_begin(&as, false));
	CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_R, 0), -EINVAL);
	CHECK_RC(aspace_activate(&as), 0);
	CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_RX, 0), -EINVAL);
	CHECK_RC(aspace_map_foreign(&as, &r, vga, DOMID_IO, ASPACE_R, PTE_RW), -EINVAL);
	CHECK_RC(aspace_map_foreign(&as, &r, wild, DOMID_IO, ASPACE_R, 0), -EINVAL);
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
	/* In a piece that is read-only as a whole nothing is writable. */
	CHECK_RC(aspace_map_block(&as, &some, block, ASPACE_RW), 0);
	range_end(&as);
	range_audit();
	range_block_back(block, 3);
}
