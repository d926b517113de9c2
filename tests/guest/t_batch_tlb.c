/* SPDX-License-Identifier: MIT */
/*
 * TLB work of the batch: never too little, which stale reads show, and not too much, which the counters show.
 *
 * A read through an address before its entry changes makes the CPU remember the old translation; Xen
 * flushes nothing for an L1 change that does not ask for it. (On CPU models with XPTI each hypercall reloads CR3, which hides
 * a missing flush: there the counters alone can tell.)
 *
 * Source: ABI, 'Batches, preemption, flushes'; Intel SDM 3A, 'Caching Translation Information'.
 */
#include "batch.h"
#include <pinion/xen/hypercall.h>

static struct batch_tables t;
static struct mmu_batch_counters before;

static uint64_t load(uint64_t va)
{
	return *(volatile uint64_t *)va;
}

/* What has been flushed since the last call of begin(), one by one and as a whole. */
static void check_flushed(uint64_t invlpg, uint64_t flushes)
{
	struct mmu_batch_counters after = mmu_batch_counters();

	CHECK_EQ(after.invlpg - before.invlpg, invlpg);
	CHECK_EQ(after.flushes - before.flushes, flushes);
}

static void begin(void)
{
	before = mmu_batch_counters();
	mmu_batch_begin();
}

/* Leaf @index of L1 0 maps data frame @frame. */
static int remap(unsigned int index, unsigned int frame)
{
	return mmu_batch_set(t.l1[0], index, batch_leaf(t.data[frame], USER_RW),
			     batch_va(0, index));
}

TEST(batch, tlb_control, "what a missing flush looks like here: a note, for both answers are right")
{
	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	CHECK_EQ(batch_raw_set(t.l1[0], 1, batch_leaf(t.data[2], USER_RW)), 0);
	test_note("a stale translation is %s",
		  load(batch_va(0, 1)) == 1 ? "used" : "not used on this CPU model");
	CHECK_EQ(batch_raw_ext(MMUEXT_TLB_FLUSH_LOCAL, t.l2), 0);
	CHECK_EQ(load(batch_va(0, 1)), 2);
	batch_down(&t);
}

/* The CPU remembers no translation that is not present (Intel SDM 3A, 'Details of TLB Use'). */
TEST(batch, tlb_none_for_new, "an entry that was not present needs no flush")
{
	uint64_t word = 0;
	unsigned int i;
	int rc = 0;

	REQUIRE(batch_up(&t));
	CHECK_EQ(probe_load64((const void *)batch_va(0, 100), &word), EXINFO_PF(0));
	begin();
	for (i = 100; i < 120 && !rc; i++)
		rc = remap(i, i - 100);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(0, 0);
	for (i = 100; i < 120; i++)
		if (i - 100 < BATCH_MAPS)
			CHECK_EQ(load(batch_va(0, i)), i - 100);
	batch_down(&t);
}

/* @n pages change their frames, each known to the TLB before. */
static void change_pages(unsigned int n)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < n; i++)
		CHECK_EQ(load(batch_va(0, i)), i);
	begin();
	for (i = 0; i < n && !rc; i++)
		rc = remap(i, (i + 1) % BATCH_MAPS);
	CHECK_EQ(mmu_batch_end(rc), 0);
	for (i = 0; i < n; i++)
		CHECK_EQ(load(batch_va(0, i)), (i + 1) % BATCH_MAPS);
}

TEST(batch, tlb_few_and_many, "up to eight pages are flushed one by one, nine at once")
{
	static const unsigned int sizes[] = { 1, 2, MMU_BATCH_INVLPGS };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		REQUIRE(batch_up(&t));
		change_pages(sizes[i]);
		check_flushed(sizes[i], 0);
		batch_down(&t);
	}
	REQUIRE(batch_up(&t));
	change_pages(MMU_BATCH_INVLPGS + 1);
	check_flushed(0, 1);
	batch_down(&t);
}

/* One way: absent, narrower, wider. Two at once, so that it is no update_va_mapping. */
TEST(batch, tlb_rights, "clearing, fewer rights and more rights are all flushed")
{
	uint64_t word = 0;
	int rc;

	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 0)), 0);
	CHECK_EQ(load(batch_va(1, 2)), 2);
	*(volatile uint64_t *)batch_va(0, 1) = 1;
	begin();
	rc = mmu_batch_set(t.l1[0], 0, 0, batch_va(0, 0));
	if (!rc)
		rc = mmu_batch_set(t.l1[0], 1, batch_leaf(t.data[1], USER_RO), batch_va(0, 1));
	if (!rc)
		rc = mmu_batch_set(t.l1[1], 2, batch_leaf(t.data[2], USER_RW), batch_va(1, 2));
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(3, 0);
	CHECK_EQ(probe_load64((const void *)batch_va(0, 0), &word), EXINFO_PF(0));
	CHECK_EQ(probe_store64((void *)batch_va(0, 1), 1), EXINFO_PF(PF_PRESENT | PF_WRITE));
	CHECK_EQ(probe_store64((void *)batch_va(1, 2), 2), 0);
	batch_down(&t);
}

/* A bulk's own addresses, and what it does where the table's address is not known. */
static void bulk_clears(unsigned int n, uint64_t va)
{
	struct mmu_batch_room room;
	uint64_t word = 0;
	unsigned int i;
	int rc;

	for (i = 0; i < n; i++)
		CHECK_EQ(load(batch_va(0, i)), i);
	begin();
	rc = mmu_batch_open(t.l1[0], &room);
	for (i = 0; i < n && !rc; i++) {
		room.requests[i].ptr = room.ptr + i * sizeof(uint64_t);
		room.requests[i].val = 0;
		room.old[i] = table_read(t.l1[0], i);
	}
	if (!rc)
		rc = mmu_batch_close(t.l1[0], n, MMU_BATCH_UNMAP, va);
	CHECK_EQ(mmu_batch_end(rc), 0);
	for (i = 0; i < n; i++)
		CHECK_EQ(probe_load64((const void *)batch_va(0, i), &word), EXINFO_PF(0));
	CHECK_EQ(frame_at(t.l1[0])->live, BATCH_MAPS - n);
}

TEST(batch, tlb_bulk, "a bulk is flushed page by page, or whole if long or of unknown address")
{
	static const struct {
		unsigned int n;
		uint64_t va, invlpg, flushes;
	} cases[] = {
		{ 1, BATCH_VA, 1, 0 },
		{ MMU_BATCH_INVLPGS, BATCH_VA, MMU_BATCH_INVLPGS, 0 },
		{ MMU_BATCH_INVLPGS + 1, BATCH_VA, 0, 1 },
		{ 3, 0, 0, 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		REQUIRE(batch_up(&t));
		bulk_clears(cases[i].n, cases[i].va);
		check_flushed(cases[i].invlpg, cases[i].flushes);
		batch_down(&t);
	}
}

/* A leaf, and an L2 entry after it: do_mmu_update flushes all when the call ends. */
TEST(batch, tlb_upper_later, "a later change of an L2 flushes for what came before it")
{
	int rc;

	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	CHECK_EQ(load(batch_va(0, 2)), 2);
	begin();
	rc = remap(1, 5);
	if (!rc)
		rc = remap(2, 6);
	if (!rc)
		rc = mmu_batch_set(t.l2, 3, batch_link(t.l1[3]) & ~PTE_RW, 0);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(0, 0);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	CHECK_EQ(load(batch_va(0, 2)), 6);
	batch_down(&t);
}

/*
 * The other way round Xen has flushed before it comes to the leaf: an entry that is cleared restarts the call. What the CPU
 * reads ahead in between would be stale.
 */
TEST(batch, tlb_upper_earlier, "an earlier change of an L2 flushes nothing for what comes after it")
{
	int rc;

	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	begin();
	rc = mmu_batch_set(t.l2, 3, 0, 0);
	if (!rc)
		rc = mmu_batch_unmake_table(t.l1[3], batch_release);
	if (!rc)
		rc = remap(1, 5);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(2, 0);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	CHECK_EQ(batch_released, 1);
	batch_down(&t);
}

/* Each entry is a call of its own then: what one flushes is no help to the next. */
TEST(batch, tlb_sync, "in sync mode every entry is flushed for itself, and at once")
{
	int rc;

	REQUIRE(batch_up(&t));
	mmu_batch_set_sync(true);
	begin();
	rc = mmu_batch_set(t.l2, 3, batch_link(t.l1[3]) & ~PTE_RW, 0);
	CHECK_EQ(load(batch_va(0, 1)), 1);
	if (!rc)
		rc = remap(1, 5);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	if (!rc)
		rc = remap(1, 6);
	CHECK_EQ(load(batch_va(0, 1)), 6);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(2, 0);
	mmu_batch_set_sync(false);
	batch_down(&t);
}

TEST(batch, tlb_baseptr,
     "a new base pointer flushes for what came before it, not for what comes after")
{
	int rc;

	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	begin();
	rc = remap(1, 5);
	if (!rc)
		rc = mmu_batch_new_baseptr(t.as.l4, t.as.l4);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(0, 0);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	begin();
	rc = mmu_batch_new_baseptr(t.as.l4, t.as.l4);
	if (!rc)
		rc = remap(1, 6);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(1, 0);
	CHECK_EQ(load(batch_va(0, 1)), 6);
	batch_down(&t);
}

/* Behind a pin there are no updates to ride with: the flush goes by itself. */
TEST(batch, tlb_before_op, "what is flushed before an operation is flushed at the end")
{
	int rc;

	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	begin();
	rc = remap(1, 5);
	if (!rc)
		rc = mmu_batch_pin(t.l1[1], 1);
	CHECK_EQ(mmu_batch_end(rc), 0);
	check_flushed(1, 0);
	CHECK_EQ(mmu_batch_counters().mmuext_op - before.mmuext_op, 2);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	begin();
	CHECK_EQ(mmu_batch_end(mmu_batch_unpin(t.l1[1], 1)), 0);
	batch_down(&t);
}

/* An undo that is not flushed would leave what the section had set, in the TLB alone. */
TEST(batch, tlb_undo, "what is undone is flushed too")
{
	int rc;

	REQUIRE(batch_up(&t));
	mmu_batch_set_sync(true);
	begin();
	rc = remap(1, 5);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	if (!rc)
		rc = mmu_batch_unpin(t.l1[1], 1);
	CHECK_EQ(mmu_batch_end(rc), -EINVAL);
	CHECK_EQ(load(batch_va(0, 1)), 1);
	mmu_batch_set_sync(false);
	batch_down(&t);
}

TEST(batch, tlb_one, "a section of one leaf flushes it, and only if it was present")
{
	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	before = mmu_batch_counters();
	CHECK_EQ(mmu_batch_one(t.l1[0], 1, table_read(t.l1[0], 1), batch_leaf(t.data[7], USER_RW),
			       batch_va(0, 1)),
		 0);
	check_flushed(1, 0);
	CHECK_EQ(load(batch_va(0, 1)), 7);
	CHECK_EQ(mmu_batch_one(t.l1[0], 70, 0, batch_leaf(t.data[7], USER_RW), batch_va(0, 70)), 0);
	check_flushed(1, 0);
	CHECK_EQ(load(batch_va(0, 70)), 7);
	/* What can only be read is in the TLB too. */
	CHECK_EQ(mmu_batch_one(t.l1[0], 1, table_read(t.l1[0], 1), batch_leaf(t.data[7], USER_RO),
			       batch_va(0, 1)),
		 0);
	CHECK_EQ(load(batch_va(0, 1)), 7);
	CHECK_EQ(mmu_batch_one(t.l1[0], 1, table_read(t.l1[0], 1), batch_leaf(t.data[6], USER_RO),
			       batch_va(0, 1)),
		 0);
	check_flushed(3, 0);
	CHECK_EQ(load(batch_va(0, 1)), 6);
	batch_down(&t);
}

/* The last moment at which a frame may still be reached by its former address. */
static struct {
	uint64_t va[BATCH_MAPS];
	unsigned int nr, readable;
	bool flushed;
} gone;

static void look(pfn_t pfn)
{
	uint64_t word = 0;
	unsigned int i;

	for (i = 0; i < gone.nr; i++)
		gone.readable += probe_load64((const void *)gone.va[i], &word) == 0;
	gone.flushed = mmu_batch_counters().invlpg + mmu_batch_counters().flushes >
		       before.invlpg + before.flushes;
	/* It is plain memory: to us, and to the CPU. */
	CHECK_EQ(frame_at(pfn)->kind, FRAME_DATA);
	CHECK_EQ(probe_store64(direct_va(pfn), 0), 0);
	batch_release_kept(pfn);
}

/* What would be read there if the frame had a new owner: his secrets. */
TEST(batch, free_after_flush, "frames are given back when no address reaches them any more")
{
	unsigned int i;
	int rc = 0;

	REQUIRE(batch_up(&t));
	gone.nr = 3;
	gone.readable = 0;
	gone.flushed = false;
	for (i = 0; i < gone.nr; i++) {
		gone.va[i] = batch_va(0, i);
		CHECK_EQ(load(gone.va[i]), i);
	}
	begin();
	for (i = 0; i < gone.nr && !rc; i++) {
		rc = mmu_batch_free(t.data[i], look);
		if (!rc)
			rc = mmu_batch_set(t.l1[0], i, 0, gone.va[i]);
	}
	CHECK_EQ(batch_released, 0);
	CHECK_EQ(mmu_batch_end(rc), 0);
	CHECK_EQ(batch_released, 3);
	CHECK_EQ(gone.readable, 0);
	CHECK(gone.flushed);
	batch_down(&t);
}

TEST(batch, free_table_after_flush, "a table is given back when nothing is reached through it")
{
	unsigned int i;
	int rc;

	REQUIRE(batch_up(&t));
	gone.nr = BATCH_MAPS;
	gone.readable = 0;
	for (i = 0; i < gone.nr; i++) {
		gone.va[i] = batch_va(0, i);
		CHECK_EQ(load(gone.va[i]), i);
	}
	begin();
	rc = mmu_batch_set(t.l2, 0, 0, 0);
	if (!rc)
		rc = mmu_batch_unmake_table(t.l1[0], look);
	CHECK_EQ(mmu_batch_end(rc), 0);
	CHECK_EQ(batch_released, 1);
	CHECK_EQ(gone.readable, 0);
	frame_free(t.l1[0], 0);
	batch_down(&t);
}
