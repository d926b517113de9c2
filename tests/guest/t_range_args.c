/* SPDX-License-Identifier: MIT */
/* What range operations refuse before they do anything, and ranges whose ends lie where tables begin. */
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA RANGE_VA

/* All operations on the same range must give the same error, the one-page ways included. */
static void refused(struct aspace *as, uint64_t va, uint64_t nr, pfn_t pfn, int want)
{
	const pfn_t pfns[2] = { pfn, pfn };
	struct aspace_range r = { va, nr, NULL };
	uint64_t calls = mmu_batch_calls();
	enum aspace_rights rights;

	for (rights = ASPACE_R; rights <= ASPACE_RX; rights++) {
		if (!CHECK_RC(aspace_map_block(as, &r, pfn, rights), want) ||
		    !CHECK_RC(aspace_protect(as, &r, rights), want))
			test_note("va %#lx, %lu pages, rights %u", va, nr, rights);
		if (nr <= 2)
			CHECK_RC(aspace_map(as, &r, pfns, rights), want);
	}
	if (!CHECK_RC(aspace_unmap(as, &r), want))
		test_note("va %#lx, %lu pages", va, nr);
	CHECK_EQ(mmu_batch_calls(), calls);
}

TEST(range, range_arguments,
     "misaligned, empty, wrapping, non-canonical ranges and Xen's are refused")
{
	struct aspace as;
	pfn_t pfn;

	REQUIRE(range_block(0, &pfn));
	REQUIRE(range_begin(&as, true));
	refused(&as, VA + 1, 1, pfn, -EINVAL);
	refused(&as, VA + 8, 2, pfn, -EINVAL);
	refused(&as, VA + PAGE_SIZE - 1, 1, pfn, -EINVAL);
	refused(&as, VA, 0, pfn, -EINVAL);
	refused(&as, VA, UINT64_MAX, pfn, -EINVAL);
	refused(&as, VA, (UINT64_C(1) << 36) + 1, pfn, -EINVAL);
	refused(&as, VA, UINT64_C(1) << 52, pfn, -EINVAL);
	/* The last page that is the user's is; the range must not reach beyond it. */
	refused(&as, USER_END - PAGE_SIZE, 2, pfn, -EINVAL);
	refused(&as, USER_END, 1, pfn, -EINVAL);
	refused(&as, UINT64_C(0xffff7ffffffff000), 1, pfn, -EINVAL);
	refused(&as, XEN_VA_BASE - PAGE_SIZE, 2, pfn, -EINVAL);
	refused(&as, XEN_VA_BASE, 1, pfn, -EINVAL);
	refused(&as, XEN_VA_END - PAGE_SIZE, 1, pfn, -EINVAL);
	refused(&as, XEN_VA_END - PAGE_SIZE, 2, pfn, -EINVAL);
	refused(&as, 0 - PAGE_SIZE, 2, pfn, -EINVAL);
	/* Around the whole of it: from the kernel's half over 0 into the user's. */
	refused(&as, 0 - PAGE_SIZE, 1 + VA / PAGE_SIZE, pfn, -EINVAL);
	range_end(&as);
	range_block_back(pfn, 0);
}

/* Direct map, image, PMAP window: their owners alone change them. */
TEST(range, range_kernel_slots, "in the kernel's half only the vmap arena can be changed")
{
	struct aspace as;
	pfn_t pfn;

	REQUIRE(range_block(0, &pfn));
	REQUIRE(range_begin(&as, true));
	refused(&as, DIRECT_MAP, 1, pfn, -EPERM);
	refused(&as, DIRECT_MAP_END - PAGE_SIZE, 1, pfn, -EPERM);
	refused(&as, DIRECT_MAP_END, 2, pfn, -EPERM);
	refused(&as, VMAP_BASE - PAGE_SIZE, 1, pfn, -EPERM);
	refused(&as, VMAP_BASE - PAGE_SIZE, 2, pfn, -EPERM);
	refused(&as, VMAP_END - PAGE_SIZE, 2, pfn, -EPERM);
	refused(&as, VMAP_END, 1, pfn, -EPERM);
	refused(&as, IMAGE_BASE, 1, pfn, -EPERM);
	refused(&as, PMAP_BASE, 1, pfn, -EPERM);
	refused(&as, 0 - PAGE_SIZE, 1, pfn, -EPERM);
	/* The kernel's own address space has no user's half. */
	refused(&kernel_aspace, VA, 1, pfn, -EPERM);
	refused(&kernel_aspace, VA, 2, pfn, -EPERM);
	range_end(&as);
	refused(&kernel_aspace, VA, 1, pfn, -EPERM);
	range_block_back(pfn, 0);
}

TEST(range, range_in_section, "a range operation inside a section of the batch is refused")
{
	struct aspace_range one = { VA, 1, NULL }, two = { VA + 8 * PAGE_SIZE, 2, NULL };
	struct aspace_range half = { two.va, 1, NULL };
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(2, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &two, block, ASPACE_RW), 0);
	mmu_batch_begin();
	CHECK_RC(aspace_map_block(&as, &one, block, ASPACE_RW), -EBUSY);
	/* One page, where there would be nothing to do or to be said. */
	CHECK_RC(aspace_map_block(&as, &half, block, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_protect(&as, &half, ASPACE_RW), -EBUSY);
	CHECK_RC(aspace_protect(&as, &one, ASPACE_R), -EBUSY);
	CHECK_RC(aspace_unmap(&as, &one), -EBUSY);
	CHECK_RC(aspace_protect(&as, &two, ASPACE_R), -EBUSY);
	CHECK_RC(aspace_unmap(&as, &two), -EBUSY);
	CHECK_RC(mmu_batch_end(0), 0);
	range_expect(&as, two.va, 2, block, ASPACE_RW);
	range_end(&as);
	range_block_back(block, 2);
}

TEST(range, range_ends,
     "the first and the last page of the user's half and of the arena can be mapped")
{
	static const uint64_t ends[] = { 0, USER_END - PAGE_SIZE, VMAP_BASE, VMAP_END - PAGE_SIZE };
	struct aspace_range r = { 0, 1, NULL };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(2, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		r.va = ends[i];
		CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, i), ASPACE_RW), 0);
	}
	for (i = 0; i < ARRAY_SIZE(ends); i++)
		range_expect(&as, ends[i], 1, pfn_add(block, i), ASPACE_RW);
	range_audit();
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		r.va = ends[i];
		CHECK_RC(aspace_unmap(&as, &r), 0);
		range_expect(&as, ends[i], 1, block, HOLE);
	}
	range_end(&as);
	range_audit();
	range_block_back(block, 2);
}

/* Neither more nor less than the range, where an L1, an L2 and an L3 end in the middle of it. */
TEST(range, range_borders,
     "ranges that cross the ends of L1s, L2s and L3s are mapped, changed and unmapped",
     .needs = "mem>=64M")
{
	static const uint64_t borders[] = { VA + L2_SPAN, VA + L3_SPAN, VA + L4_SPAN,
					    VMAP_BASE + 2 * L2_SPAN, VMAP_BASE + 7 * L3_SPAN };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(borders); i++) {
		struct aspace_range r = { borders[i] - 700 * PAGE_SIZE, 1400, NULL };
		struct aspace_range middle = { borders[i] - 3 * PAGE_SIZE, 600, NULL };
		uint64_t tables = range_tables(&as);

		CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 5), ASPACE_RW), 0);
		range_expect(&as, r.va - 3 * PAGE_SIZE, 3, block, HOLE);
		range_expect(&as, r.va, 1400, pfn_add(block, 5), ASPACE_RW);
		range_expect(&as, r.va + 1400 * PAGE_SIZE, 3, block, HOLE);
		CHECK_RC(aspace_protect(&as, &middle, ASPACE_R), 0);
		range_expect(&as, r.va, 697, pfn_add(block, 5), ASPACE_RW);
		range_expect(&as, middle.va, 600, pfn_add(block, 702), ASPACE_R);
		range_expect(&as, middle.va + 600 * PAGE_SIZE, 103, pfn_add(block, 1302),
			     ASPACE_RW);
		CHECK_RC(aspace_unmap(&as, &middle), 0);
		range_expect(&as, r.va, 697, pfn_add(block, 5), ASPACE_RW);
		range_expect(&as, middle.va, 600, block, HOLE);
		range_expect(&as, middle.va + 600 * PAGE_SIZE, 103, pfn_add(block, 1302),
			     ASPACE_RW);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &r), 0);
		CHECK_EQ(range_tables(&as), tables);
	}
	range_end(&as);
	range_audit();
	range_block_back(block, 11);
}

/* Frames that are nobody's to give away. */
TEST(range, range_frames, "free frames, tables, holes and pfns beyond RAM can't be mapped")
{
	struct aspace_range one = { VA + 4 * PAGE_SIZE, 1, NULL },
			    two = { VA + 8 * PAGE_SIZE, 2, NULL };
	static const uint64_t odd[] = { UINT64_MAX, UINT64_C(1) << 52, UINT64_C(1) << 40,
					UINT64_C(1) << 32, 0xa0000 };
	enum aspace_rights rights;
	struct aspace as;
	unsigned int i;
	pfn_t block, pfns[2], l1;
	int rc;

	REQUIRE(range_block(3, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &two, block, ASPACE_RW), 0);
	l1 = table_below(
		table_read(table_below(table_read(table_below(table_read(as.l4, va_index(VA, 4))),
						  va_index(VA, 3))),
			   va_index(VA, 2)));
	for (rights = ASPACE_R; rights <= ASPACE_RX; rights++) {
		for (i = 0; i < ARRAY_SIZE(odd); i++) {
			pfns[0] = block;
			pfns[1] = _pfn(odd[i]);
			CHECK_RC(aspace_map(&as, &(struct aspace_range){ VA, 2, NULL }, pfns,
					    rights),
				 -EINVAL);
			CHECK_RC(aspace_map_block(&as, &one, _pfn(odd[i]), rights), -EINVAL);
			CHECK_RC(aspace_map_block(&as,
						  &(struct aspace_range){ VA + L2_SPAN, 1, NULL },
						  _pfn(odd[i]), rights),
				 -EINVAL);
		}
		/* A run that goes on one beyond the end of RAM, if no table before that says no. */
		rc = aspace_map_block(&as, &(struct aspace_range){ VA + L2_SPAN, 512, NULL },
				      pfn_add(frame_table_end(), (uint64_t)-511), rights);
		CHECK(rc == -EINVAL || rc == -EBUSY);
		CHECK_RC(aspace_map_block(&as, &one, l1, rights), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &one, as.l4, rights), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &one, kernel_l4(), rights), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &one, direct_map_tables().start, rights), -EBUSY);
	}
	for (i = 0; frame_table[i].kind != FRAME_FREE; i++)
		;
	CHECK_RC(aspace_map_block(&as, &one, _pfn(i), ASPACE_R), -EINVAL);
	CHECK_RC(aspace_map_block(&as, &one, _pfn(i), ASPACE_RW), -EINVAL);
	CHECK_RC(aspace_map_block(&as, &one, _pfn(i), ASPACE_RX), -EINVAL);
	range_expect(&as, VA, 8, block, HOLE);
	range_expect(&as, two.va, 2, block, ASPACE_RW);
	range_audit();
	range_end(&as);
	range_block_back(block, 3);
}

/*
 * A list is looked at page by page, by loops of their own for whole tables, for entries and for what is checked ahead: a
 * frame that one of them let pass would be read from beyond the frame table's end.
 */
TEST(range, range_bad_in_list, "a pfn beyond RAM anywhere in a list of three pieces refuses it all",
     .together = true)
{
	static const unsigned int places[] = { 0, 1, 511, 512, 1023, 1024, 3 * PIECE - 1 };
	static const enum planner_way ways[] = { WAY_OFFLINE, WAY_ENTRIES };
	static pfn_t pfns[3 * PIECE];
	const pfn_t bad[] = { frame_table_end(), INVALID_PFN, _pfn(UINT64_C(1) << 40) };
	struct aspace_range r = { VA, 3 * PIECE, NULL };
	uint64_t tables, entries;
	enum planner_way forced;
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(0, &block));
	REQUIRE(range_begin(&as, true));
	tables = range_tables(&as);
	for (i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = block;
	for (i = 0; i < ARRAY_SIZE(places) * ARRAY_SIZE(ways); i++) {
		forced = planner_force(ways[i % ARRAY_SIZE(ways)]);
		pfns[places[i / ARRAY_SIZE(ways)]] = bad[i % ARRAY_SIZE(bad)];
		entries = mmu_batch_counters().entries;
		CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_R), -EINVAL);
		/* No leaf has been sent, at most links of tables that went again. */
		CHECK(mmu_batch_counters().entries - entries < 64);
		pfns[places[i / ARRAY_SIZE(ways)]] = block;
		planner_force(forced);
		CHECK_EQ(range_tables(&as), tables);
	}
	range_expect(&as, VA, 3 * PIECE, block, HOLE);
	CHECK_RC(aspace_map(&as, &r, pfns, ASPACE_R), 0);
	CHECK_RC(aspace_unmap(&as, &r), 0);
	range_audit();
	range_end(&as);
	range_block_back(block, 0);
}

/* The kernel's text and read-only data: read-only in the direct map too, and no way around that. */
TEST(range, range_image,
     "no mapping makes the kernel's text or read-only data writable, or its data executable")
{
	static const char *const pages[] = { __text_start, __rodata_start };
	struct aspace_range one = { VA, 1, NULL }, two = { VA, 2, NULL };
	struct aspace as;
	unsigned int i;
	pfn_t pfn, block;

	REQUIRE(range_block(0, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &(struct aspace_range){ VA + 9 * PAGE_SIZE, 1, NULL }, block,
				  ASPACE_RW),
		 0);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		pfn = boot_va_pfn(pages[i]);
		CHECK_RC(aspace_map_block(&as, &one, pfn, ASPACE_RW), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &two, pfn, ASPACE_RW), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &one, pfn, ASPACE_RX), -EBUSY);
		/* Reading it would be harmless, if it ended there: protect does not look at frames. */
		CHECK_RC(aspace_map_block(&as, &one, pfn, ASPACE_R), -EBUSY);
		CHECK_RC(aspace_map_block(&as, &two, pfn, ASPACE_R), -EBUSY);
	}
	range_audit();
	range_end(&as);
	range_block_back(block, 0);
}

TEST(range, range_holes,
     "mapping over a page is -EEXIST, protecting a hole -ENOENT, and unmapping passes over holes",
     .needs = "mem>=64M")
{
	struct aspace_range five = { VA + 5 * PAGE_SIZE, 1, NULL }, ten = { VA, 10, NULL };
	struct aspace_range words = { VA + 128 * PAGE_SIZE, 128, NULL };
	struct aspace_range wide = { VA - L2_SPAN, 3 * PIECE, NULL },
			    far = { VA + L3_SPAN, 10, NULL };
	struct aspace as;
	unsigned int live;
	pfn_t block;

	REQUIRE(range_block(11, &block));
	for (live = 0; live < 2; live++) {
		REQUIRE(range_begin(&as, live));
		CHECK_RC(aspace_protect(&as, &far, ASPACE_R), -ENOENT);
		CHECK_RC(aspace_unmap(&as, &far), 0);
		CHECK_RC(aspace_map_block(&as, &five, block, ASPACE_R), 0);
		CHECK_RC(aspace_map_block(&as, &five, block, ASPACE_R), -EEXIST);
		CHECK_RC(aspace_map_block(&as, &ten, block, ASPACE_RW), -EEXIST);
		CHECK_RC(aspace_map_block(&as, &ten, block, ASPACE_RX), -EEXIST);
		CHECK_RC(aspace_map_block(&as, &wide, block, ASPACE_RW), -EEXIST);
		CHECK_RC(aspace_map_block(&as, &wide, block, ASPACE_RX), -EEXIST);
		CHECK_RC(aspace_protect(&as, &ten, ASPACE_RW), -ENOENT);
		CHECK_RC(aspace_protect(&as, &ten, ASPACE_RX), -ENOENT);
		CHECK_RC(aspace_protect(&as, &wide, ASPACE_R), -ENOENT);
		/* Holes by the word. */
		CHECK_RC(aspace_protect(&as, &words, ASPACE_R), -ENOENT);
		CHECK_RC(aspace_protect(&as, &words, ASPACE_RW), -ENOENT);
		range_expect(&as, VA, 5, block, HOLE);
		range_expect(&as, five.va, 1, block, ASPACE_R);
		range_expect(&as, VA + 6 * PAGE_SIZE, 506, block, HOLE);
		CHECK_EQ(range_tables(&as), 3);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &wide), 0);
		CHECK_EQ(range_tables(&as), 0);
		CHECK_RC(aspace_unmap(&as, &wide), 0);
		CHECK_RC(aspace_unmap(&as, &five), 0);
		range_end(&as);
	}
	range_audit();
	range_block_back(block, 11);
}

/* Faults and small allocations ask for one page at a time: what is there already must not cost an entry to Xen. */
TEST(range, range_one_as_it_is,
     "one page that is as it is to be costs no hypercall: a hole unmapped, rights that it has",
     .together = true)
{
	struct aspace_range one = { VA, 1, NULL }, hole = { VA + PAGE_SIZE, 1, NULL };
	struct mmu_batch_counters before, after;
	struct aspace as;
	uint64_t calls;
	pfn_t block;

	REQUIRE(range_block(1, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &(struct aspace_range){ VA, 1, NULL }, block, ASPACE_RW), 0);
	before = mmu_batch_counters();
	CHECK_RC(aspace_map_block(&as, &(struct aspace_range){ VA + 2 * PAGE_SIZE, 1, NULL },
				  pfn_add(block, 1), ASPACE_R),
		 0);
	after = mmu_batch_counters();
	CHECK_EQ(after.ones - before.ones, 1);
	CHECK_EQ(after.sections - before.sections, 1);
	CHECK_EQ(after.entries - before.entries, 1);
	calls = mmu_batch_calls();
	CHECK_RC(aspace_unmap(&as, &hole), 0);
	CHECK_RC(aspace_protect(&as, &one, ASPACE_RW), 0);
	one.va += 2 * PAGE_SIZE;
	CHECK_RC(aspace_protect(&as, &one, ASPACE_R), 0);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_RC(aspace_unmap(&as, &(struct aspace_range){ VA, 3, NULL }), 0);
	range_end(&as);
	range_audit();
	range_block_back(block, 1);
}

/* All of the user's half is 2^35 pages: holes cost nothing. */
TEST(range, range_all, "the whole of the user's half is unmapped by one call")
{
	struct aspace_range all = { 0, USER_END >> PAGE_SHIFT, NULL };
	static const uint64_t at[] = { 0, VA, VA + 77 * L3_SPAN, USER_END - 2 * PAGE_SIZE };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	REQUIRE(range_block(1, &block));
	REQUIRE(range_begin(&as, true));
	for (i = 0; i < ARRAY_SIZE(at); i++)
		CHECK_RC(aspace_map_block(&as, &(struct aspace_range){ at[i], 2, NULL }, block,
					  ASPACE_RW),
			 0);
	CHECK_RC(aspace_unmap(&as, &all), 0);
	for (i = 0; i < ARRAY_SIZE(at); i++)
		range_expect(&as, at[i], 2, block, HOLE);
	CHECK_EQ(range_tables(&as), 0);
	range_end(&as);
	range_audit();
	range_block_back(block, 1);
}

#define PICKED 1000

static bool is_picked(const uint64_t *select, uint64_t i)
{
	return select[i / 64] >> i % 64 & 1;
}

/* Of PICKED pages from @va on those that are picked are @on, the others @off; beyond them there is nothing. */
static void expect_picked(const struct aspace *as, uint64_t va, pfn_t block, const uint64_t *select,
			  int on, int off)
{
	uint64_t i;

	for (i = 0; i < PICKED; i++)
		range_expect(as, va + i * PAGE_SIZE, 1, pfn_add(block, i),
			     is_picked(select, i) ? on : off);
	range_expect(as, va + PICKED * PAGE_SIZE, 24, pfn_add(block, PICKED), HOLE);
}

static void invert(uint64_t *select)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		select[i] = ~select[i];
}

/* Bitmaps whose words do and do not lie as the L1's, with bits beyond the range's end that mean nothing. */
TEST(range, range_select, "a bitmap selects pages, and the others stay as they are",
     .needs = "mem>=16M")
{
	static const uint64_t starts[] = { VA, VA + 64 * PAGE_SIZE, VA + 37 * PAGE_SIZE,
					   VA + 511 * PAGE_SIZE, VA - 100 * PAGE_SIZE };
	uint64_t some[16], none[16] = { 0 };
	struct aspace as;
	unsigned int i;
	pfn_t block;

	for (i = 0; i < ARRAY_SIZE(some); i++)
		some[i] = UINT64_C(0x8421f00d8003c001) * (i + 1);
	some[15] |= ~UINT64_C(0) << (PICKED % 64);
	REQUIRE(range_block(10, &block));
	for (i = 0; i < 2 * ARRAY_SIZE(starts); i++) {
		struct aspace_range r = { starts[i / 2], PICKED, some };
		struct aspace_range all = { r.va, PICKED, NULL }, nothing = { r.va, PICKED, none };

		REQUIRE(range_begin(&as, i & 1));
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
		expect_picked(&as, r.va, block, some, ASPACE_R, HOLE);
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), -EEXIST);
		CHECK_RC(aspace_protect(&as, &r, ASPACE_RW), 0);
		CHECK_RC(aspace_protect(&as, &all, ASPACE_RW), -ENOENT);
		expect_picked(&as, r.va, block, some, ASPACE_RW, HOLE);
		invert(some);
		CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_R), 0);
		expect_picked(&as, r.va, block, some, ASPACE_R, ASPACE_RW);
		CHECK_RC(aspace_unmap(&as, &r), 0);
		invert(some);
		expect_picked(&as, r.va, block, some, ASPACE_RW, HOLE);
		/* Nothing selected: nothing is done, and nothing is wrong. */
		CHECK_RC(aspace_map_block(&as, &nothing, block, ASPACE_R), 0);
		CHECK_RC(aspace_protect(&as, &nothing, ASPACE_RX), 0);
		CHECK_RC(aspace_unmap(&as, &nothing), 0);
		range_audit();
		CHECK_RC(aspace_unmap(&as, &all), 0);
		CHECK_EQ(range_tables(&as), 0);
		range_end(&as);
	}
	range_audit();
	range_block_back(block, 10);
}
