/* SPDX-License-Identifier: MIT */
/*
 * Undos that Xen refuses. In good order it never does: each undo finds what its entry left. So these tests break the order:
 * in sync mode, behind the batch's back, they give a frame another use between two entries of a section.
 *
 * What can't be undone is left as Xen has it; the frames concerned are nobody's any more until a retry recovers
 * them, and the result is -EIO.
 */
#include "batch.h"
#include <pinion/arch/cpu.h>
#include <pinion/mm/direct_map.h>
#include <pinion/xen/hypercall.h>

static struct batch_tables t;
static struct mmu_batch_counters before;

/* Where these tests put the alias that Xen minds. */
#define ALIAS 200

static void begin(void)
{
	before = mmu_batch_counters();
	mmu_batch_set_sync(true);
	mmu_batch_begin();
}

/* Ends the section by something that Xen refuses: the undo of all the rest has @stuck refusals. */
static void end(unsigned int undone, unsigned int stuck)
{
	struct mmu_batch_counters after;

	CHECK_EQ(mmu_batch_unpin(t.l1[1], 1), -EINVAL);
	CHECK_EQ(mmu_batch_end(-EINVAL), stuck ? -EIO : -EINVAL);
	mmu_batch_set_sync(false);
	after = mmu_batch_counters();
	CHECK_EQ(mmu_batch_error().rc, -EINVAL);
	CHECK_EQ(mmu_batch_error().undone, undone);
	CHECK_EQ(mmu_batch_error().stuck, stuck);
	CHECK_EQ(after.undone - before.undone, undone);
	CHECK_EQ(after.stuck - before.stuck, stuck);
}

static void check_quarantined(unsigned int n)
{
	CHECK_EQ(mmu_batch_counters().quarantined - before.quarantined, n);
}

static void check_recovered(unsigned int left, unsigned int recovered)
{
	before = mmu_batch_counters();
	CHECK_EQ(mmu_batch_retry_quarantine(), left);
	CHECK_EQ(mmu_batch_counters().recovered - before.recovered, recovered);
}

/* Its link is gone, its frame writable by an alias: Xen won't have it back as a table. */
TEST(batch, undo_link_refused,
     "a table whose link can't come back is in quarantine until it can be freed")
{
	uint64_t frames;
	pfn_t table;

	REQUIRE(batch_up(&t));
	table = t.l1[3];
	begin();
	CHECK_EQ(mmu_batch_set(t.l1[0], 1, batch_leaf(t.data[5], USER_RW), batch_va(0, 1)), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 3, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(table, batch_release), 0);
	CHECK_EQ(batch_raw_set(t.l1[2], ALIAS, batch_leaf(table, USER_RW)), 0);
	end(2, 1);
	check_quarantined(1);
	CHECK_EQ(batch_released, 0);
	CHECK_EQ(frame_at(table)->owner, OWNER_QUARANTINE);
	CHECK_EQ(frame_at(table)->parents, 0);
	CHECK(!(frame_at(table)->flags & FRAME_LEAVING));
	CHECK_EQ(frame_at(t.l2)->live, BATCH_L1S - 1);
	CHECK_EQ(table_read(t.l2, 3), 0);
	CHECK_EQ(*(volatile uint64_t *)batch_va(0, 1), 1);
	/* A pin makes it a table again: it can't be made plain memory. */
	CHECK_EQ(batch_raw_set(t.l1[2], ALIAS, 0), 0);
	CHECK_EQ(batch_raw_ext(MMUEXT_PIN_L1_TABLE, table), 0);
	check_recovered(1, 0);
	CHECK_EQ(frame_at(table)->owner, OWNER_QUARANTINE);
	CHECK_EQ(batch_raw_ext(MMUEXT_UNPIN_TABLE, table), 0);
	frames = frame_alloc_free() + frame_alloc_reserve();
	check_recovered(0, 1);
	CHECK_EQ(frame_alloc_free() + frame_alloc_reserve(), frames + 1);
	CHECK_EQ(probe_store64(direct_va(table), table_read(table, 0)), 0);
	check_recovered(0, 0);
	batch_down(&t);
}

/* Linked a second time, it is still a table when its own link is gone: it can't be written. */
TEST(batch, undo_make_refused, "a new table that Xen still has as one is in quarantine")
{
	pfn_t table;

	REQUIRE(batch_up(&t));
	table = batch_new_table(1);
	begin();
	CHECK_EQ(mmu_batch_make_table(table, batch_release), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 9, batch_link(table), 0), 0);
	CHECK_EQ(batch_raw_set(t.l2, 10, batch_link(table)), 0);
	end(1, 1);
	check_quarantined(1);
	CHECK_EQ(batch_released, 0);
	CHECK_EQ(frame_at(table)->owner, OWNER_QUARANTINE);
	CHECK(!(frame_at(table)->flags & FRAME_OFFLINE));
	check_recovered(1, 0);
	CHECK_EQ(batch_raw_set(t.l2, 10, 0), 0);
	check_recovered(0, 1);
	batch_down(&t);
}

/* The same of a pin: taken away behind the batch's back, it can't be undone. */
TEST(batch, undo_pin_refused, "a pin that can't be undone is counted, and frees nothing")
{
	REQUIRE(batch_up(&t));
	begin();
	CHECK_EQ(mmu_batch_pin(t.l1[2], 1), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 3, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(t.l1[3], batch_release), 0);
	CHECK_EQ(batch_raw_ext(MMUEXT_UNPIN_TABLE, t.l1[2]), 0);
	end(2, 1);
	/* L1 3 has its link again: it is what it was. */
	check_quarantined(0);
	CHECK_EQ(frame_at(t.l1[3])->owner, OWNER_TEST);
	CHECK_EQ(frame_at(t.l1[3])->parents, 1);
	CHECK_EQ(batch_raw_ext(MMUEXT_PIN_L1_TABLE, t.l1[2]), 0);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(mmu_batch_unpin(t.l1[2], 1)), 0);
	batch_down(&t);
}

/*
 * Entry 9 of the L2: absent, then table A, then table B. B stays; then undoing A's entry takes B's place. If
 * it counted A as what it replaces, A would have a parent too few, B one too many.
 */
TEST(batch, undo_over_stuck, "an undo below one that was refused counts what is there")
{
	pfn_t a, b;

	REQUIRE(batch_up(&t));
	a = batch_new_table(1);
	b = batch_new_table(1);
	begin();
	CHECK_EQ(mmu_batch_make_table(a, batch_release), 0);
	CHECK_EQ(mmu_batch_make_table(b, batch_release), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 9, batch_link(a), 0), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 9, batch_link(b), 0), 0);
	/* Writable by an alias, A can't be linked again. */
	CHECK_EQ(batch_raw_set(t.l1[2], ALIAS, batch_leaf(a, USER_RW)), 0);
	end(3, 1);
	CHECK_EQ(table_read(t.l2, 9), 0);
	CHECK_EQ(frame_at(t.l2)->live, BATCH_L1S);
	/* In the end nothing of it was left to be kept. */
	check_quarantined(0);
	CHECK_EQ(batch_released, 2);
	CHECK_EQ(batch_raw_set(t.l1[2], ALIAS, 0), 0);
	batch_down(&t);
}

/* The same under a bulk: the leaf that it mapped was cleared by a later entry, which can't be undone. */
TEST(batch, undo_bulk_under_stuck, "a bulk below an undo that was refused counts what is there")
{
	struct mmu_batch_room room;
	unsigned int i;
	pfn_t frame;

	REQUIRE(batch_up(&t));
	frame = t.data[20];
	*(uint64_t *)direct_va(frame) = 0;
	begin();
	CHECK_EQ(mmu_batch_open(t.l1[3], &room), 0);
	for (i = 0; i < 2; i++) {
		room.requests[i].ptr = room.ptr + (i + 1) * sizeof(uint64_t);
		room.requests[i].val = batch_leaf(i ? t.data[1] : frame, USER_RW);
	}
	CHECK_EQ(mmu_batch_close(t.l1[3], 2, MMU_BATCH_MAP, 0), 0);
	CHECK_EQ(mmu_batch_set(t.l1[3], 1, 0, batch_va(3, 1)), 0);
	CHECK_EQ(mmu_batch_direct(frame, false), 0);
	CHECK_EQ(batch_raw_ext(MMUEXT_PIN_L1_TABLE, frame), 0);
	/* The direct map's leaf, and the leaf that was cleared, would both be writable. */
	end(2, 2);
	CHECK_EQ(frame_at(t.l1[3])->live, 0);
	CHECK_EQ(batch_raw_ext(MMUEXT_UNPIN_TABLE, frame), 0);
	CHECK(!(frame_at(frame)->flags & FRAME_PLAIN));
	CHECK_EQ(direct_map_protect(frame, PTE_KERNEL_RW), 0);
	batch_down(&t);
}

/* A tree of new tables, made from the top down: each is linked by one that goes as well. */
TEST(batch, undo_new_tree,
     "new tables that link each other are given back in whatever order they came")
{
	uint64_t state;
	pfn_t l2, l1[2];
	unsigned int way, i;
	int rc;

	REQUIRE(batch_up(&t));
	for (way = 0; way < 2; way++) {
		state = batch_state();
		batch_released = 0;
		before = mmu_batch_counters();
		l2 = batch_new_table(2);
		mmu_batch_begin();
		rc = way ? 0 : mmu_batch_make_table(l2, batch_release);
		for (i = 0; i < 2 && !rc; i++) {
			l1[i] = batch_new_table(1);
			rc = mmu_batch_make_table(l1[i], batch_release);
			table_store(l2, i, batch_link(l1[i]));
		}
		if (!rc && way)
			rc = mmu_batch_make_table(l2, batch_release);
		if (!rc)
			rc = mmu_batch_set(t.l3, 9, batch_link(l2), 0);
		if (!rc)
			rc = mmu_batch_unpin(t.l1[1], 1);
		CHECK_EQ(mmu_batch_end(rc), -EINVAL);
		CHECK_EQ(batch_released, 3);
		check_quarantined(0);
		CHECK(batch_state() == state);
	}
	batch_down(&t);
}

/* The upper of two in quarantine links the lower, which comes first by its number: one retry frees both. */
TEST(batch, undo_quarantined_tree,
     "one retry recovers a table and what it links, in whatever order")
{
	pfn_t l2, l1, swap;

	REQUIRE(batch_up(&t));
	l2 = batch_new_table(2);
	l1 = batch_new_table(1);
	if (pfn_x(l2) < pfn_x(l1)) {
		table_forget(l1);
		table_forget(l2);
		swap = l1;
		l1 = l2;
		l2 = swap;
		CHECK_EQ(table_begin(l1, 1, true), 0);
		CHECK_EQ(table_begin(l2, 2, true), 0);
	}
	table_store(l2, 0, batch_link(l1));
	begin();
	CHECK_EQ(mmu_batch_make_table(l1, batch_release), 0);
	CHECK_EQ(mmu_batch_make_table(l2, batch_release), 0);
	CHECK_EQ(mmu_batch_set(t.l3, 9, batch_link(l2), 0), 0);
	CHECK_EQ(batch_raw_set(t.l3, 10, batch_link(l2)), 0);
	end(1, 2);
	check_quarantined(2);
	CHECK_EQ(frame_at(l1)->parents, 1);
	check_recovered(2, 0);
	CHECK_EQ(batch_raw_set(t.l3, 10, 0), 0);
	check_recovered(0, 2);
	batch_down(&t);
}

/* Made, linked, unlinked and given back in one section that fails: one frame with two riders. */
TEST(batch, undo_come_and_gone,
     "a table that comes and goes in a failing section is given back once")
{
	uint64_t state;
	pfn_t table;
	int rc;

	REQUIRE(batch_up(&t));
	state = batch_state();
	table = batch_new_table(1);
	mmu_batch_begin();
	rc = mmu_batch_make_table(table, batch_release);
	if (!rc)
		rc = mmu_batch_set(t.l2, 9, batch_link(table), 0);
	if (!rc)
		rc = mmu_batch_set(t.l2, 9, 0, 0);
	if (!rc)
		rc = mmu_batch_unmake_table(table, batch_release);
	if (!rc)
		rc = mmu_batch_unpin(t.l1[1], 1);
	CHECK_EQ(mmu_batch_end(rc), -EINVAL);
	CHECK_EQ(batch_released, 1);
	CHECK(batch_state() == state);
	batch_down(&t);
}

/* Of the kernel's own tables every address space's kernel half hangs: there is no going on. */
TEST(batch, undo_of_the_kernels, "where the kernel's own tables can't be put back there is a panic")
{
	unsigned int index = va_index(BATCH_VA, 3) + 5;
	pfn_t table, l3;

	REQUIRE(batch_up(&t));
	l3 = table_below(table_read(kernel_aspace.l4, SLOT_VMAP));
	CHECK_EQ(frame_at(l3)->owner, OWNER_KERNEL);
	CHECK_EQ(table_read(l3, index), 0);
	table = batch_new_table(2);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_make_table(table, NULL), 0);
	CHECK_EQ(mmu_batch_set(l3, index, batch_link(table), 0), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	mmu_batch_set_sync(true);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_set(l3, index, 0, 0), 0);
	CHECK_EQ(direct_map_protect(table, PTE_KERNEL_RW), -EBUSY);
	CHECK_EQ(hypercall_update_va_mapping((uintptr_t)direct_va(table),
					     batch_leaf(table, PTE_KERNEL_RW), UVMF_INVLPG),
		 0);
	CHECK(EXPECT_PANIC((void)!mmu_batch_end(-ENOENT)) != NULL);
	/* What hindered is gone: the same end, once more. */
	CHECK_EQ(hypercall_update_va_mapping((uintptr_t)direct_va(table),
					     batch_leaf(table, PTE_KERNEL_RO), UVMF_INVLPG),
		 0);
	upcalls_mask();
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	mmu_batch_set_sync(false);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_set(l3, index, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(table, batch_release), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	batch_down(&t);
}

static void release_l4(pfn_t pfn)
{
	unsigned int slot;
	uint64_t present = 0;

	CHECK_EQ(table_read(pfn, 3), 0);
	for (slot = SLOT_XEN_FIRST; slot <= SLOT_XEN_LAST; slot++)
		present += table_read(pfn, slot) & PTE_P;
	CHECK(present > 0);
	batch_release(pfn);
}

/* Its own slots Xen fills in when it validates an L4. They are none of what the table counts, and stay when it is given back. */
TEST(batch, undo_new_l4,
     "a new L4 of a failing section is given back, whatever Xen has written in it")
{
	uint64_t state;
	unsigned int slot;
	pfn_t l4;
	int rc;

	REQUIRE(batch_up(&t));
	state = batch_state();
	batch_released = 0;
	l4 = batch_new_table(4);
	for (slot = SLOT_XEN_LAST + 1; slot < TABLE_ENTRIES; slot++)
		table_store(l4, slot, table_read(kernel_aspace.l4, slot));
	table_store(l4, 3, batch_link(t.l3));
	mmu_batch_begin();
	rc = mmu_batch_make_table(l4, release_l4);
	if (!rc)
		rc = mmu_batch_pin(l4, 4);
	if (!rc)
		rc = mmu_batch_unpin(t.l1[1], 1);
	CHECK_EQ(mmu_batch_end(rc), -EINVAL);
	CHECK_EQ(mmu_batch_error().undone, 2);
	CHECK_EQ(batch_released, 1);
	CHECK(batch_state() == state);
	batch_down(&t);
}

/* The same of a table that something else holds: it is not what hangs on the link alone. */
TEST(batch, undo_pinned_below,
     "a pinned table stays what it is when the one that links it is in quarantine")
{
	pfn_t l2, l1;

	REQUIRE(batch_up(&t));
	l2 = batch_new_table(2);
	l1 = batch_new_table(1);
	table_store(l2, 0, batch_link(l1));
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_make_table(l1, NULL), 0);
	CHECK_EQ(mmu_batch_make_table(l2, NULL), 0);
	CHECK_EQ(mmu_batch_set(t.l3, 9, batch_link(l2), 0), 0);
	CHECK_EQ(mmu_batch_pin(l1, 1), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	begin();
	CHECK_EQ(mmu_batch_set(t.l3, 9, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(l2, batch_release), 0);
	CHECK_EQ(batch_raw_set(t.l1[2], ALIAS, batch_leaf(l2, USER_RW)), 0);
	end(1, 1);
	check_quarantined(1);
	CHECK_EQ(frame_at(l2)->owner, OWNER_QUARANTINE);
	CHECK_EQ(frame_at(l1)->owner, OWNER_TEST);
	CHECK_EQ(batch_raw_set(t.l1[2], ALIAS, 0), 0);
	check_recovered(0, 1);
	CHECK_EQ(frame_at(l1)->parents, 0);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_unpin(l1, 1), 0);
	CHECK_EQ(mmu_batch_unmake_table(l1, batch_release), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	batch_down(&t);
}
