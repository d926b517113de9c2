/* SPDX-License-Identifier: MIT */
/* The limits of a section of mmu_batch, one past each: -ENOSPC, and all that was queued before is done. */
#include "batch.h"

static struct batch_tables t;
static unsigned int hooks;

static void count(void *ctx __maybe_unused, int rc __maybe_unused)
{
	hooks++;
}

static uint64_t load(uint64_t va)
{
	return *(volatile uint64_t *)va;
}

/* A new leaf in L1 2, whose address nobody has used. */
static int new_leaf(unsigned int index, unsigned int frame)
{
	return mmu_batch_set(t.l1[2], index, batch_leaf(t.data[frame], USER_RW), 0);
}

/* Nothing of what takes @t's tables for another entry is accepted, and nothing of it is left. */
static void check_full(pfn_t table)
{
	struct mmu_batch_room room;
	uint64_t state = batch_state();

	CHECK_EQ(mmu_batch_room(), 0);
	CHECK_EQ(mmu_batch_set(t.l1[0], 100, batch_leaf(t.data[7], USER_RW), 0), -ENOSPC);
	CHECK_EQ(mmu_batch_open(t.l1[0], &room), -ENOSPC);
	CHECK_EQ(mmu_batch_make_table(table, batch_release), -ENOSPC);
	CHECK_EQ(mmu_batch_unmake_table(t.l1[0], batch_release), -ENOSPC);
	CHECK_EQ(mmu_batch_direct(t.data[20], false), -ENOSPC);
	CHECK(batch_state() == state);
}

static void fill_ops(void)
{
	unsigned int i;

	for (i = 0; i < MMU_BATCH_OPS / 2; i++) {
		CHECK_EQ(mmu_batch_pin(t.l1[1], 1), 0);
		CHECK_EQ(mmu_batch_unpin(t.l1[1], 1), 0);
	}
	CHECK_EQ(mmu_batch_pin(t.l1[1], 1), -ENOSPC);
	CHECK_EQ(mmu_batch_new_baseptr(t.as.l4, t.as.l4), -ENOSPC);
}

TEST(batch, batch_full, "a full queue refuses one more and keeps what it has")
{
	unsigned int i;
	pfn_t table;

	REQUIRE(batch_up(&t));
	table = batch_new_table(1);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_room(), MMU_BATCH_SINGLES);
	/* Each of both has its own limit: one more entry fits when no operation does. */
	for (i = 0; i < MMU_BATCH_SINGLES - 1; i++)
		REQUIRE(new_leaf(i, i % BATCH_MAPS) == 0);
	fill_ops();
	REQUIRE(new_leaf(i, i % BATCH_MAPS) == 0);
	check_full(table);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_batch_counters().most_ops, MMU_BATCH_OPS);
	CHECK_EQ(batch_released, 0);
	CHECK_EQ(frame_at(t.l1[2])->live, TABLE_ENTRIES);
	for (i = 0; i < TABLE_ENTRIES; i++)
		REQUIRE(load(batch_va(2, i)) == i % BATCH_MAPS);
	CHECK(!(frame_at(t.l1[1])->flags & FRAME_PINNED));
	table_forget(table);
	frame_free(table, 0);
	batch_down(&t);
}

/* Maps all of L1 @n. */
static void fill_table(unsigned int n, unsigned int room_expected)
{
	struct mmu_batch_room room = { 0 };
	unsigned int i;

	REQUIRE(mmu_batch_open(t.l1[n], &room) == 0);
	CHECK_EQ(room.room, room_expected);
	for (i = 0; i < TABLE_ENTRIES; i++) {
		room.requests[i].ptr = room.ptr + i * sizeof(uint64_t);
		room.requests[i].val = batch_leaf(t.data[i % BATCH_MAPS], USER_RO);
	}
	CHECK_EQ(mmu_batch_close(t.l1[n], TABLE_ENTRIES, MMU_BATCH_MAP, 0), 0);
	/* Of a table that has entries queued no bulk can be told apart. */
	if (mmu_batch_room())
		CHECK_EQ(mmu_batch_open(t.l1[n], &room), -EBUSY);
}

TEST(batch, batch_full_bulk, "two whole tables fit, and then nothing but operations")
{
	unsigned int i;
	pfn_t table;

	REQUIRE(batch_up(&t));
	table = batch_new_table(1);
	mmu_batch_begin();
	fill_table(2, MMU_BATCH_ENTRIES);
	fill_table(3, MMU_BATCH_ENTRIES - TABLE_ENTRIES);
	check_full(table);
	fill_ops();
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_batch_counters().most_entries, MMU_BATCH_ENTRIES);
	for (i = 0; i < TABLE_ENTRIES; i++)
		REQUIRE(load(batch_va(3, i)) == i % BATCH_MAPS);
	table_forget(table);
	frame_free(table, 0);
	batch_down(&t);
}

TEST(batch, batch_full_riders, "riders and hooks have a limit each, and it is no one else's")
{
	unsigned int i;

	REQUIRE(batch_up(&t));
	hooks = 0;
	mmu_batch_begin();
	for (i = 0; i < 64; i++)
		CHECK_EQ(mmu_batch_on_end(count, NULL), 0);
	CHECK_EQ(mmu_batch_on_end(count, NULL), -ENOSPC);
	for (i = 0; i < MMU_BATCH_SINGLES; i++)
		REQUIRE(mmu_batch_free(t.data[20], batch_release_kept) == 0);
	CHECK_EQ(mmu_batch_free(t.data[20], batch_release_kept), -ENOSPC);
	CHECK_EQ(mmu_batch_room(), 0);
	CHECK_EQ(mmu_batch_unmake_table(t.l1[3], batch_release), -ENOSPC);
	CHECK_EQ(new_leaf(0, 0), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(hooks, 64);
	CHECK_EQ(batch_released, MMU_BATCH_SINGLES);
	CHECK_EQ(load(batch_va(2, 0)), 0);
	batch_down(&t);
}
