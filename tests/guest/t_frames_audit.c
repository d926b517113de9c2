/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator's books, broken one by one: its audit has to name each, for on it hangs what the suite says after
 * every test. (More of it, through the audit of all: t_audit_maps.c.) And what it does with frames that Xen keeps.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "suite.h"

static void says(const char *what, pfn_t pfn)
{
	pfn_t where = INVALID_PFN;
	const char *said = frame_alloc_audit(&where);

	if (!CHECK(said && strcmp(said, what) == 0))
		test_note("it says: %s", said ? said : "nothing");
	CHECK_EQ(pfn_x(where), pfn_x(pfn));
}

static void clean(void)
{
	pfn_t where;

	CHECK(frame_alloc_audit(&where) == NULL);
	CHECK(pfn_eq(where, INVALID_PFN));
}

/* All frames of a block of order 3 as if somebody had them, or as they were. */
static void swap_block(pfn_t pfn, struct frame *other)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		struct frame *frame = frame_at(pfn_add(pfn, i)), was = *frame;

		*frame = other[i];
		other[i] = was;
	}
}

/*
 * Two free blocks of order 3 that can't be joined, the second the first in its list: second -> first -> ...
 */
static struct frame taken[8];

static bool blocks_begin(pfn_t *run)
{
	unsigned int i;

	if (!CHECK_EQ(frame_alloc(5, OWNER_TEST, run), 0))
		return false;
	frame_free(*run, 3);
	frame_free(pfn_add(*run, 16), 3);
	for (i = 0; i < 8; i++)
		taken[i] = (struct frame){ .kind = FRAME_DATA, .owner = OWNER_TEST };
	clean();
	return CHECK_EQ(frame_at(pfn_add(*run, 16))->next, pfn_x(*run));
}

static void blocks_end(pfn_t run)
{
	clean();
	frame_free(pfn_add(run, 8), 3);
	frame_free(pfn_add(run, 24), 3);
	clean();
}

/* Of a pair that stays apart the larger block can't be had any more: memory is lost by and by. */
TEST(frames, frame_audit_buddy, "a free block whose buddy is free too is found")
{
	pfn_t run = INVALID_PFN, buddy;
	struct frame was;

	REQUIRE(blocks_begin(&run));
	buddy = pfn_add(run, 8);
	was = *frame_at(buddy);
	*frame_at(buddy) =
		(struct frame){ .kind = FRAME_FREE, .flags = FRAME_FREE_HEAD, .level = 3 };
	says("a free block was not joined with its buddy", run);
	frame_at(buddy)->level = 2;
	says("a frame of a free block is not free", pfn_add(run, 9));
	*frame_at(buddy) = was;
	blocks_end(run);
}

/* It would be given out a second time. */
TEST(frames, frame_audit_listed, "a block that is in a list and somebody's is found")
{
	pfn_t run = INVALID_PFN;

	REQUIRE(blocks_begin(&run));
	swap_block(pfn_add(run, 16), taken);
	says("a block in a list is not free, or of another order", pfn_add(run, 16));
	swap_block(pfn_add(run, 16), taken);
	blocks_end(run);
}

/* Out of its list and out of the frame table, but not out of the count. */
TEST(frames, frame_audit_count, "frames that are counted as free and are not are found")
{
	uint32_t next, prev;
	pfn_t run = INVALID_PFN;

	REQUIRE(blocks_begin(&run));
	next = frame_at(run)->next;
	prev = (uint32_t)pfn_x(pfn_add(run, 16));
	frame_at(pfn_add(run, 16))->next = next;
	if (next != FRAME_NIL)
		frame_at(_pfn(next))->prev = prev;
	swap_block(run, taken);
	says("the count of free frames is wrong", INVALID_PFN);
	swap_block(run, taken);
	frame_at(pfn_add(run, 16))->next = (uint32_t)pfn_x(run);
	if (next != FRAME_NIL)
		frame_at(_pfn(next))->prev = (uint32_t)pfn_x(run);
	blocks_end(run);
}

/* Who needs it has nothing else. */
TEST(frames, frame_audit_reserve, "a frame of the reserve that is somebody's, or none, is found")
{
	struct frame *frame, was;
	uint64_t pfn;

	for (pfn = 0; pfn < frame_table_nr && frame_table[pfn].owner != OWNER_RESERVE; pfn++)
		;
	REQUIRE(pfn < frame_table_nr);
	frame = &frame_table[pfn];
	was = *frame;
	frame->owner = OWNER_TEST;
	says("a frame of the reserve is not the reserve's", _pfn(pfn));
	frame->kind = FRAME_NONE;
	says("a frame of the reserve is not the reserve's", _pfn(pfn));
	*frame = was;
	clean();
}

/*
 * Xen has refused to make a frame writable again, and whoever had its block gives it back without knowing: the frame
 * would be given out as memory, and the first store to it fault. Once Xen lets it, it is memory like any.
 */
TEST(frames, frame_free_stuck,
     "of a block with stuck frames these go into quarantine, the rest is free")
{
	static const unsigned int stuck[] = { 0, 3, 7 };
	uint64_t free = frame_alloc_free(), i;
	pfn_t run = INVALID_PFN, frame;

	REQUIRE(frame_alloc(3, OWNER_TEST, &run) == 0);
	for (i = 0; i < ARRAY_SIZE(stuck); i++) {
		frame = pfn_add(run, stuck[i]);
		CHECK_EQ(direct_map_protect(frame, PTE_KERNEL_RO), 0);
		frame_at(frame)->flags |= FRAME_STUCK;
	}
	frame_free(run, 3);
	CHECK_EQ(frame_alloc_free(), free - ARRAY_SIZE(stuck));
	for (i = 0; i < 8; i++)
		CHECK_EQ(frame_at(pfn_add(run, i))->owner == OWNER_QUARANTINE,
			 i == 0 || i == 3 || i == 7);
	clean();
	CHECK_EQ(mmu_batch_retry_quarantine(), 0);
	CHECK_EQ(frame_alloc_free(), free);
	CHECK_EQ(frame_at(run)->kind, FRAME_FREE);
	clean();
}

/* A frame that is read-only and not stuck is in use: as text, as a table to be. */
TEST(frames, frame_free_read_only,
     "a block with a read-only frame that is not stuck is not taken back")
{
	pfn_t run = INVALID_PFN;

	REQUIRE(frame_alloc(1, OWNER_TEST, &run) == 0);
	CHECK_EQ(direct_map_protect(pfn_add(run, 1), PTE_KERNEL_RO), 0);
	CHECK(EXPECT_PANIC(frame_free(run, 1)) != NULL);
	CHECK_EQ(frame_at(run)->kind, FRAME_DATA);
	CHECK_EQ(direct_map_protect(pfn_add(run, 1), PTE_KERNEL_RW), 0);
	frame_free(run, 1);
	clean();
}

/* The direct map's table maps it for somebody else: what comes next into these frames would be seen there. */
TEST(frames, frame_free_shared, "a block that an address space shares is not taken back",
     .needs = "mem>=32M")
{
	struct aspace_range range = { UINT64_C(0x180000000000), 512, NULL };
	uint64_t free = frame_alloc_free();
	pfn_t run = INVALID_PFN;
	struct aspace as;

	REQUIRE(frame_alloc(9, OWNER_TEST, &run) == 0);
	REQUIRE(aspace_create(&as) == 0);
	CHECK_EQ(aspace_map_block(&as, &range, run, ASPACE_R), 0);
	CHECK_EQ(frame_try_free(run, 9), -EBUSY);
	CHECK_EQ(frame_try_free(pfn_add(run, 511), 0), -EBUSY);
	CHECK(EXPECT_PANIC(frame_free(run, 9)) != NULL);
	CHECK_EQ(frame_at(run)->owner, OWNER_TEST);
	CHECK_EQ(aspace_unmap(&as, &range), 0);
	CHECK_EQ(frame_try_free(run, 9), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
	CHECK_EQ(frame_alloc_free(), free);
}
