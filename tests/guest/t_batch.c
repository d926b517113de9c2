/* SPDX-License-Identifier: MIT */
/* The queue of mmu_batch: order, nesting, what is full, who may not use it. Contract: <pinion/mm/mmu_batch.h>. */
#include "batch.h"
#include <pinion/arch/cpu.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/string.h>

static struct batch_tables t;

static uint64_t load(uint64_t va)
{
	return *(volatile uint64_t *)va;
}

/* A new leaf in L1 2, whose address nobody has used. */
static int new_leaf(unsigned int index, unsigned int frame)
{
	return mmu_batch_set(t.l1[2], index, batch_leaf(t.data[frame], USER_RW), 0);
}

/* One call may unmap a frame, make it a table and link it: do_mmu_update goes entry by entry. */
TEST(batch, batch_order, "entries take effect in the order in which they were queued, in one call")
{
	struct mmu_batch_counters before, after;
	uint64_t state;
	int rc = 0;

	REQUIRE(batch_up(&t));
	memset(direct_va(t.data[0]), 0, PAGE_SIZE);
	state = batch_state();
	before = mmu_batch_counters();
	mmu_batch_begin();
	/* It is mapped writable in L1 0 until its entry goes. */
	rc = mmu_batch_set(t.l1[0], 0, 0, batch_va(0, 0));
	if (!rc)
		rc = table_begin(t.data[0], 1, false);
	if (!rc)
		rc = mmu_batch_set(t.l1[1], 0, 0, batch_va(1, 0));
	if (!rc)
		rc = mmu_batch_make_table(t.data[0], NULL);
	if (!rc)
		rc = mmu_batch_set(t.l2, 9, batch_link(t.data[0]), 0);
	if (!rc)
		rc = mmu_batch_set(t.l2, 9, 0, 0);
	if (!rc)
		rc = mmu_batch_unmake_table(t.data[0], batch_release_kept);
	if (!rc)
		rc = mmu_batch_set(t.l1[0], 0, batch_leaf(t.data[0], USER_RW), batch_va(0, 0));
	if (!rc)
		rc = mmu_batch_set(t.l1[1], 0, batch_leaf(t.data[0], USER_RO), batch_va(1, 0));
	CHECK_EQ(mmu_batch_end(rc), 0);
	after = mmu_batch_counters();
	CHECK_EQ(batch_released, 1);
	/* Behind two upper entries the TLB work goes by itself. */
	CHECK_EQ(after.mmu_update - before.mmu_update, 1);
	CHECK_EQ(after.mmuext_op - before.mmuext_op, 1);
	CHECK_EQ(after.entries - before.entries, 8);
	CHECK_EQ(after.sections - before.sections, 1);
	CHECK(batch_state() == state);
	batch_down(&t);
}

/* The last word counts, in the queue as in the table; and the count of live entries is ahead. */
TEST(batch, batch_peek, "within a section an entry reads as it will be")
{
	uint64_t first, second;
	int rc;

	REQUIRE(batch_up(&t));
	first = batch_leaf(t.data[0], USER_RW);
	second = batch_leaf(t.data[1], USER_RO);
	CHECK(mmu_batch_peek(t.l1[2], 5) == 0);
	mmu_batch_begin();
	rc = mmu_batch_set(t.l1[2], 5, first, 0);
	CHECK(mmu_batch_peek(t.l1[2], 5) == first);
	CHECK(mmu_batch_peek(t.l1[2], 6) == 0);
	CHECK_EQ(frame_at(t.l1[2])->live, 1);
	if (!rc)
		rc = mmu_batch_set(t.l1[2], 5, second, 0);
	CHECK(mmu_batch_peek(t.l1[2], 5) == second);
	CHECK_EQ(frame_at(t.l1[2])->live, 1);
	if (!rc)
		rc = mmu_batch_set(t.l1[2], 5, 0, 0);
	CHECK(mmu_batch_peek(t.l1[2], 5) == 0);
	CHECK_EQ(frame_at(t.l1[2])->live, 0);
	if (!rc)
		rc = mmu_batch_set(t.l1[2], 5, second, 0);
	CHECK(table_read(t.l1[2], 5) == 0);
	CHECK_EQ(mmu_batch_end(rc), 0);
	CHECK(pte_reads_as(1, table_read(t.l1[2], 5), second, false));
	CHECK_EQ(frame_at(t.l1[2])->live, 1);
	CHECK(!(frame_at(t.l1[2])->flags & FRAME_QUEUED));
	batch_down(&t);
}

/* Kinds that alternate cost a call each time; a lone leaf of a known address is cheapest by itself. */
TEST(batch, batch_calls, "one call for what is of one kind, and no more")
{
	struct mmu_batch_counters before, after;
	uint64_t calls;
	int rc;

	REQUIRE(batch_up(&t));
	before = mmu_batch_counters();
	calls = mmu_batch_calls();
	mmu_batch_begin();
	rc = new_leaf(0, 0);
	if (!rc)
		rc = new_leaf(1, 1);
	if (!rc)
		rc = mmu_batch_pin(t.l1[1], 1);
	if (!rc)
		rc = mmu_batch_pin(t.l1[2], 1);
	if (!rc)
		rc = mmu_batch_set(t.l1[0], 70, batch_leaf(t.data[3], USER_RO), batch_va(0, 70));
	CHECK_EQ(mmu_batch_end(rc), 0);
	after = mmu_batch_counters();
	CHECK_EQ(after.mmu_update - before.mmu_update, 1);
	CHECK_EQ(after.mmuext_op - before.mmuext_op, 1);
	CHECK_EQ(after.update_va_mapping - before.update_va_mapping, 1);
	CHECK_EQ(after.entries - before.entries, 3);
	CHECK_EQ(after.ops - before.ops, 2);
	CHECK_EQ(mmu_batch_calls() - calls, 3);
	CHECK_EQ(load(batch_va(0, 70)), 3);
	mmu_batch_begin();
	rc = mmu_batch_unpin(t.l1[1], 1);
	if (!rc)
		rc = mmu_batch_unpin(t.l1[2], 1);
	CHECK_EQ(mmu_batch_end(rc), 0);
	batch_down(&t);
}

TEST(batch, batch_empty, "a section with nothing in it makes no call, and is not counted")
{
	struct mmu_batch_counters before = mmu_batch_counters(), after;

	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(0), 0);
	after = mmu_batch_counters();
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	CHECK_EQ(mmu_batch_error().op, MMU_BATCH_NONE);
	CHECK_EQ(mmu_batch_error().rc, -ENOENT);
	after = mmu_batch_counters();
	CHECK_EQ(after.failed - before.failed, 1);
	CHECK_EQ(after.sections, before.sections);
}

TEST(batch, batch_nested, "only the outermost end sends; upcalls are masked until then")
{
	bool masked;

	REQUIRE(batch_up(&t));
	CHECK_EQ(mmu_batch_depth(), 0);
	mmu_batch_begin();
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_depth(), 2);
	CHECK_EQ(mmu_batch_end(new_leaf(0, 0)), 0);
	CHECK_EQ(mmu_batch_depth(), 1);
	CHECK_EQ(table_read(t.l1[2], 0), 0);
	/* The inner one's error is its caller's business. */
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	CHECK_EQ(mmu_batch_one(t.l1[2], 1, 0, batch_leaf(t.data[1], USER_RW), batch_va(2, 1)),
		 -EBUSY);
	masked = upcalls_mask();
	CHECK(masked);
	upcalls_restore(masked);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(load(batch_va(2, 0)), 0);
	masked = upcalls_mask();
	CHECK(!masked);
	upcalls_restore(masked);
	batch_down(&t);
}

static unsigned int heard[80], nr_heard;
static int heard_rc;

static void hook(void *ctx, int rc)
{
	heard[nr_heard++] = (unsigned int)(uintptr_t)ctx;
	heard_rc = rc;
}

static int add_hook(unsigned int n)
{
	return mmu_batch_on_end(hook, (void *)(uintptr_t)n);
}

TEST(batch, batch_hooks, "hooks are called once, in order, with what the end returns")
{
	REQUIRE(batch_up(&t));
	nr_heard = 0;
	mmu_batch_begin();
	CHECK_EQ(add_hook(1), 0);
	CHECK_EQ(add_hook(2), 0);
	mmu_batch_begin();
	CHECK_EQ(add_hook(3), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(nr_heard, 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK(nr_heard == 3 && heard[0] == 1 && heard[1] == 2 && heard[2] == 3);
	CHECK_EQ(heard_rc, 0);
	nr_heard = 0;
	mmu_batch_begin();
	CHECK_EQ(add_hook(4), 0);
	CHECK_EQ(mmu_batch_end(mmu_batch_unpin(t.l1[1], 1)), -EINVAL);
	CHECK(nr_heard == 1 && heard[0] == 4);
	CHECK_EQ(heard_rc, -EINVAL);
	batch_down(&t);
}

/* What an operation within a larger one has queued goes, what was there before stays. */
static void roll_back(bool sync)
{
	struct mmu_batch_counters before, after;
	struct mmu_batch_mark mark;
	uint64_t state;
	pfn_t table;

	REQUIRE(batch_up(&t));
	nr_heard = 0;
	mmu_batch_set_sync(sync);
	before = mmu_batch_counters();
	mmu_batch_begin();
	CHECK_EQ(add_hook(1), 0);
	CHECK_EQ(new_leaf(0, 0), 0);
	CHECK_EQ(mmu_batch_pin(t.l1[1], 1), 0);
	CHECK_EQ(mmu_batch_set(t.l1[0], 1, batch_leaf(t.data[5], USER_RW), batch_va(0, 1)), 0);
	mark = mmu_batch_mark();
	state = batch_state();
	table = batch_new_table(1);
	CHECK_EQ(add_hook(2), 0);
	CHECK_EQ(new_leaf(1, 1), 0);
	CHECK_EQ(mmu_batch_make_table(table, batch_release), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 9, batch_link(table), 0), 0);
	CHECK_EQ(mmu_batch_set(t.l2, 3, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(t.l1[3], batch_release), 0);
	CHECK_EQ(mmu_batch_pin(t.l1[2], 1), 0);
	CHECK_EQ(mmu_batch_free(t.data[9], batch_release), 0);
	mmu_batch_rollback(&mark);
	CHECK_EQ(batch_released, 1);
	CHECK(nr_heard == 1 && heard[0] == 2);
	CHECK_EQ(heard_rc, -EAGAIN);
	if (!CHECK(batch_state() == state))
		test_note("sync %d", sync);
	CHECK_EQ(new_leaf(2, 2), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	after = mmu_batch_counters();
	CHECK_EQ(after.failed, before.failed);
	CHECK_EQ(after.sections - before.sections, 1);
	CHECK(nr_heard == 2 && heard[1] == 1);
	CHECK_EQ(heard_rc, 0);
	CHECK_EQ(frame_at(t.l1[2])->live, 2);
	CHECK_EQ(load(batch_va(2, 0)), 0);
	CHECK_EQ(load(batch_va(2, 2)), 2);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	CHECK_EQ(table_read(t.l1[2], 1), 0);
	CHECK(frame_at(t.l1[1])->flags & FRAME_PINNED);
	mmu_batch_set_sync(false);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(mmu_batch_unpin(t.l1[1], 1)), 0);
	batch_down(&t);
}

TEST(batch, batch_rollback, "rolling back to a mark leaves what was queued before it")
{
	roll_back(false);
}

TEST(batch, batch_rollback_sync, "the same when it had been sent already")
{
	roll_back(true);
}

/* What is flushed for entries before a mark must not be lost with those after it. */
TEST(batch, batch_rollback_tlb, "a rollback keeps the TLB work of what stays")
{
	struct mmu_batch_mark mark;

	REQUIRE(batch_up(&t));
	CHECK_EQ(load(batch_va(0, 1)), 1);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_set(t.l1[0], 1, batch_leaf(t.data[5], USER_RW), batch_va(0, 1)), 0);
	mark = mmu_batch_mark();
	/* This one would have flushed for both. */
	CHECK_EQ(mmu_batch_set(t.l2, 3, batch_link(t.l1[3]) & ~PTE_RW, 0), 0);
	mmu_batch_rollback(&mark);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(load(batch_va(0, 1)), 5);
	batch_down(&t);
}

/* By then its page may be anybody's: mmu_update writes to plain memory without a word. */
TEST(batch, batch_leaving,
     "an entry queued for a table that leaves, or is none, is a bug, and caught")
{
	pfn_t table;

	REQUIRE(batch_up(&t));
	table = batch_new_table(1);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_set(t.l2, 3, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(t.l1[3], batch_release), 0);
	CHECK(EXPECT_PANIC((void)!mmu_batch_set(t.l1[3], 0, 0, 0)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_open(t.l1[3], &(struct mmu_batch_room){ 0 })) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_unmake_table(t.l1[3], batch_release)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_pin(t.l1[3], 1)) != NULL);
	CHECK_EQ(mmu_batch_set(t.l2, 2, 0, 0), 0);
	CHECK_EQ(mmu_batch_unmake_table(t.l1[2], NULL), 0);
	CHECK(EXPECT_PANIC((void)!mmu_batch_set(t.l1[2], 0, 0, 0)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_set(table, 0, 0, 0)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_set(t.data[0], 0, 0, 0)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_make_table(t.data[0], NULL)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_unmake_table(t.data[0], NULL)) != NULL);
	CHECK_EQ(mmu_batch_direct(t.l1[0], true), -EINVAL);
	CHECK_EQ(mmu_batch_direct(direct_map_end(), true), -EINVAL);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(batch_released, 1);
	CHECK(frame_at(t.l1[2])->kind == FRAME_TABLE && frame_at(t.l1[2])->flags == FRAME_OFFLINE);
	table_forget(t.l1[2]);
	frame_free(t.l1[2], 0);
	table_forget(table);
	frame_free(table, 0);
	batch_down(&t);
}

static unsigned int panics;

/* What interrupts a section finds half of one: nothing may be queued there. */
static bool using_handler(struct cpu_regs *regs)
{
	panics += EXPECT_PANIC(mmu_batch_begin()) != NULL;
	panics += EXPECT_PANIC((void)!mmu_batch_set(t.l1[2], 0, 0, 0)) != NULL;
	panics += EXPECT_PANIC((void)!mmu_batch_free(t.data[0], NULL)) != NULL;
	panics += EXPECT_PANIC((void)!mmu_batch_one(t.l1[2], 0, 0, 0, batch_va(2, 0))) != NULL;
	panics += EXPECT_PANIC((void)!mmu_batch_end(0)) != NULL;
	return regs->vector == VECTOR_BP;
}

TEST(batch, batch_in_trap, "trap and event code that uses the queue panics")
{
	trap_handler_fn *old;

	REQUIRE(batch_up(&t));
	panics = 0;
	old = trap_set_handler(VECTOR_BP, using_handler);
	mmu_batch_begin();
	CHECK_EQ(new_leaf(0, 0), 0);
	__asm__ volatile("int3");
	CHECK_EQ(mmu_batch_end(0), 0);
	trap_set_handler(VECTOR_BP, old);
	CHECK_EQ(panics, 5);
	CHECK_EQ(load(batch_va(2, 0)), 0);
	batch_down(&t);
}

static void using_hook(void *ctx __maybe_unused, int rc __maybe_unused)
{
	panics += EXPECT_PANIC(mmu_batch_begin()) != NULL;
	panics += EXPECT_PANIC((void)!mmu_batch_set(t.l1[2], 0, 0, 0)) != NULL;
	panics += EXPECT_PANIC((void)!mmu_batch_on_end(hook, NULL)) != NULL;
}

static void using_release(pfn_t pfn __maybe_unused)
{
	using_hook(NULL, 0);
}

TEST(batch, batch_in_hook,
     "hooks and release functions may not queue, and no section is open for long")
{
	REQUIRE(batch_up(&t));
	panics = 0;
	CHECK(EXPECT_PANIC((void)!new_leaf(0, 0)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_batch_end(0)) != NULL);
	mmu_batch_begin();
	CHECK(EXPECT_PANIC(mmu_batch_set_sync(true)) != NULL);
	CHECK_EQ(mmu_batch_on_end(using_hook, NULL), 0);
	CHECK_EQ(mmu_batch_free(t.data[0], using_release), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(panics, 6);
	batch_down(&t);
}

/* The short way for one leaf has a queue of none to be undone, and must undo its count. */
TEST(batch, batch_one_refused, "a section of one leaf that is refused leaves nothing behind")
{
	struct mmu_batch_counters before, after;
	struct mmu_batch_error e;
	uint64_t state;

	REQUIRE(batch_up(&t));
	state = batch_state();
	before = mmu_batch_counters();
	CHECK_EQ(mmu_batch_one(t.l1[2], 8, 0, batch_leaf(t.l1[0], USER_RW), batch_va(2, 8)),
		 -EBUSY);
	e = mmu_batch_error();
	after = mmu_batch_counters();
	CHECK(e.op == MMU_BATCH_UVA && e.rc == -EBUSY && e.index == 0);
	CHECK(strcmp(e.who, "test_batch_one_refused") == 0);
	CHECK_EQ(after.failed - before.failed, 1);
	CHECK_EQ(after.update_va_mapping - before.update_va_mapping, 1);
	CHECK_EQ(after.sections, before.sections);
	CHECK_EQ(after.entries, before.entries);
	CHECK(batch_state() == state);
	/* An entry that was present, executable: what it marks its table with goes with it. */
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(mmu_batch_set(t.l1[2], 8, batch_leaf(t.l1[0], USER_RW) & ~PTE_NX,
					     batch_va(2, 8))),
		 -EBUSY);
	e = mmu_batch_error();
	CHECK(e.op == MMU_BATCH_UVA && e.index == 0);
	CHECK(batch_state() == state);
	batch_down(&t);
}
