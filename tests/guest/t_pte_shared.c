/* SPDX-License-Identifier: MIT */
/* What a leaf reads as in a table that is linked in two places. */
#include <pinion/lib/string.h>
#include <pinion/mm/p2m.h>
#include "audit_play.h"

#define PAGES TABLE_ENTRIES

/* The entry that maps page @i of the piece, as a user's or as a kernel's. */
static bool reads_as(uint64_t i, pfn_t first, uint64_t flags)
{
	struct aspace_info info = { 0 };

	if (!CHECK_EQ(aspace_query(&play.as, PLAY_VA + L2_SPAN + i * PAGE_SIZE, &info), 0) ||
	    !CHECK(info.mapped && info.user))
		return false;
	return pte_reads_as(1, info.entry, pte_make(pfn_to_mfn(pfn_add(first, i)), flags), false);
}

/*
 * Xen changes an entry by what it says, not by who reaches it: so a piece that shares the direct map's L1 has the
 * kernel's leaves at the user's addresses. Who copied such a leaf when the piece is split would give a user
 * GUEST_KERNEL's bit, and the page no GLOBAL.
 *
 * Source: adjust_guest_l1e in Xen's arch/x86/pv/mm.h.
 */
TEST(range, pte_shared,
     "a shared leaf reads as the kernel's at a user's address, and as the user's when split",
     .needs = "mem>=16M")
{
	struct aspace_range piece = { PLAY_VA + L2_SPAN, PAGES, NULL },
			    one = { PLAY_VA + L2_SPAN + 7 * PAGE_SIZE, 1, NULL };
	uint64_t user_rw = PTE_KERNEL_RW | PTE_US, user_ro = PTE_KERNEL_RO | PTE_US;
	pfn_t block = INVALID_PFN;

	REQUIRE(play_set_up(true));
	REQUIRE(frame_alloc(9, OWNER_TEST, &block) == 0);
	CHECK_EQ(aspace_map_block(&play.as, &piece, block, ASPACE_RW), 0);
	CHECK(direct_map_shared(block));
	CHECK(reads_as(0, block, PTE_KERNEL_RW) && reads_as(PAGES - 1, block, PTE_KERNEL_RW));
	CHECK(!reads_as(0, block, user_rw));
	CHECK_EQ(aspace_protect(&play.as, &one, ASPACE_R), 0);
	CHECK(!direct_map_shared(block));
	CHECK(reads_as(7, block, user_ro) && reads_as(0, block, user_rw) &&
	      reads_as(PAGES - 1, block, user_rw));
	CHECK(!reads_as(0, block, PTE_KERNEL_RW));
	CHECK_EQ(aspace_unmap(&play.as, &piece), 0);
	play_tear_down();
	frame_free(block, 9);
}
