/* SPDX-License-Identifier: MIT */
/*
 * Random sections against a model: eight places in an L2, eight frames that are tables or plain memory, and what the
 * tables' first entries map.
 *
 *     place  [0] [1] [2] ... [7]      L2 entries: which table, writable or not
 *             |    \   |
 *     table   2     5  5              plain, live (linked, or pinned, or both), leaving
 *             |
 *     leaf   [0] ... [15]             which data frame, writable or not
 *
 * A section queues some of these changes, sections within it do too or are rolled back, and some sections contain an entry
 * that Xen refuses, or end with their caller's own error: then the model is what it was before. After each section the live
 * tables, the frame table and what the CPU makes of the addresses must be what the model says.
 */
#include "batch.h"
#include <pinion/lib/rand.h>
#include <pinion/mm/direct_map.h>

#define PLACES 8
#define TABLES 8
#define LEAVES 16
#define DATA   16

enum state { PLAIN, LIVE, LEAVING };

struct model {
	uint8_t place[PLACES]; /* table + 1, or 0 */
	bool narrow[PLACES];
	struct {
		enum state state;
		bool pinned;
		uint8_t leaf[LEAVES]; /* 0; else frame * 2 + writable + 1 */
	} table[TABLES];
	bool read_only[DATA]; /* in the direct map */
};

static struct batch_tables t;
static struct model now;
static pfn_t tables[TABLES];
static struct rng rng;
/* The section holds an entry that Xen refuses. */
static bool refused;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rng_below(&rng, n);
}

static uint64_t leaf_value(uint8_t leaf)
{
	if (!leaf)
		return 0;
	return batch_leaf(t.data[(leaf - 1) / 2], ((leaf - 1) & 1) ? USER_RW : USER_RO);
}

static uint64_t place_value(unsigned int place)
{
	if (!now.place[place])
		return 0;
	return batch_link(tables[now.place[place] - 1]) & ~(now.narrow[place] ? PTE_RW : 0);
}

static uint8_t any_leaf(void)
{
	return below(3) ? (uint8_t)(below(DATA * 2) + 1) : 0;
}

static unsigned int links(unsigned int table)
{
	unsigned int i, n = 0;

	for (i = 0; i < PLACES; i++)
		n += now.place[i] == table + 1;
	return n;
}

static unsigned int live(unsigned int table)
{
	unsigned int i, n = 0;

	for (i = 0; i < LEAVES; i++)
		n += now.table[table].leaf[i] != 0;
	return n;
}

/* An address that leaf @index of @table has, if it has one; at times it is kept back. */
static uint64_t leaf_va(unsigned int table, unsigned int index)
{
	unsigned int i;

	for (i = 0; i < PLACES; i++)
		if (now.place[i] == table + 1 && links(table) == 1 && below(4))
			return batch_va(i, index);
	return 0;
}

/* Each of these queues one change, or nothing where there is nothing to change. */
static int change_leaf(void)
{
	unsigned int table = below(TABLES), index = below(LEAVES);
	uint8_t leaf = any_leaf();

	if (now.table[table].state != LIVE)
		return 0;
	now.table[table].leaf[index] = leaf;
	return mmu_batch_set(tables[table], index, leaf_value(leaf), leaf_va(table, index));
}

static unsigned int fill_bulk(unsigned int table, const struct mmu_batch_room *room, bool map)
{
	uint8_t *leaf = now.table[table].leaf;
	unsigned int i, n = 0;

	for (i = 0; i < LEAVES; i++) {
		if ((leaf[i] == 0) != map || below(3) == 0)
			continue;
		leaf[i] = map ? (uint8_t)(below(DATA * 2) + 1) : 0;
		room->requests[n].ptr = room->ptr + i * sizeof(uint64_t);
		room->requests[n].val = leaf_value(leaf[i]);
		room->old[n++] = table_read(tables[table], i);
	}
	return n;
}

static int change_bulk(void)
{
	unsigned int table = below(TABLES), n;
	struct mmu_batch_room room;
	bool map = below(2);
	uint64_t va;
	int rc;

	if (now.table[table].state != LIVE ||
	    (frame_at(tables[table])->flags & (FRAME_QUEUED | FRAME_OFFLINE)))
		return 0;
	va = leaf_va(table, 0);
	rc = mmu_batch_open(tables[table], &room);
	if (rc)
		return rc;
	n = fill_bulk(table, &room, map);
	return n ? mmu_batch_close(tables[table], n, map ? MMU_BATCH_MAP : MMU_BATCH_UNMAP, va) : 0;
}

static int queue_place(unsigned int place)
{
	return mmu_batch_set(t.l2, va_index(BATCH_VA, 2) + place, place_value(place), 0);
}

static int link_new(unsigned int table, unsigned int place)
{
	unsigned int i;
	int rc = table_begin(tables[table], 1, true);

	for (i = 0; i < LEAVES && !rc; i++) {
		now.table[table].leaf[i] = any_leaf();
		table_store(tables[table], i, leaf_value(now.table[table].leaf[i]));
	}
	if (rc)
		return rc;
	rc = mmu_batch_make_table(tables[table], batch_release_kept);
	if (rc)
		table_forget(tables[table]);
	now.table[table].state = LIVE;
	now.place[place] = (uint8_t)(table + 1);
	now.narrow[place] = below(2);
	return rc ? rc : queue_place(place);
}

static int link_any(void)
{
	unsigned int table = below(TABLES), place = below(PLACES);

	if (now.place[place] || now.table[table].state == LEAVING)
		return 0;
	if (now.table[table].state == PLAIN)
		return link_new(table, place);
	now.place[place] = (uint8_t)(table + 1);
	now.narrow[place] = below(2);
	return queue_place(place);
}

/* A table that nothing holds any more leaves. */
static int leave_if_free(unsigned int table)
{
	if (links(table) || now.table[table].pinned)
		return 0;
	now.table[table].state = LEAVING;
	return mmu_batch_unmake_table(tables[table], batch_release_kept);
}

static int unlink_any(void)
{
	unsigned int place = below(PLACES), table;
	int rc;

	if (!now.place[place])
		return 0;
	table = now.place[place] - 1U;
	now.place[place] = 0;
	now.narrow[place] = false;
	rc = queue_place(place);
	return rc ? rc : leave_if_free(table);
}

static int narrow_any(void)
{
	unsigned int place = below(PLACES);

	if (!now.place[place])
		return 0;
	now.narrow[place] = !now.narrow[place];
	return queue_place(place);
}

static int pin_any(void)
{
	unsigned int table = below(TABLES);
	int rc;

	if (now.table[table].state != LIVE)
		return 0;
	now.table[table].pinned = !now.table[table].pinned;
	if (now.table[table].pinned)
		return mmu_batch_pin(tables[table], 1);
	rc = mmu_batch_unpin(tables[table], 1);
	return rc ? rc : leave_if_free(table);
}

static int direct_any(void)
{
	unsigned int frame = below(DATA);

	now.read_only[frame] = !now.read_only[frame];
	return mmu_batch_direct(t.data[frame], !now.read_only[frame]);
}

static int baseptr(void)
{
	return mmu_batch_new_baseptr(t.as.l4, t.as.l4);
}

/* A page table mapped writable, or an unpin of what has no pin. */
static int refused_any(void)
{
	if (below(12))
		return 0;
	refused = true;
	if (below(2))
		return mmu_batch_set(t.l2, 100, batch_link(t.l3), 0);
	return mmu_batch_unpin(t.l2, 2);
}

static int one_change(void)
{
	static int (*const changes[])(void) = {
		change_leaf, change_leaf, change_leaf, change_bulk, link_any, link_any,
		unlink_any,  narrow_any,  pin_any,     direct_any,  baseptr,  refused_any
	};

	return changes[below(ARRAY_SIZE(changes))]();
}

/* Some changes in a section of their own, which may be taken back alone. */
static int inner_section(void)
{
	struct mmu_batch_mark mark = mmu_batch_mark();
	struct model before = now;
	bool was_refused = refused;
	unsigned int n = below(6);
	int rc = 0;

	mmu_batch_begin();
	while (n-- > 0 && !rc)
		rc = one_change();
	if (!rc && below(2)) {
		mmu_batch_rollback(&mark);
		now = before;
		refused = was_refused;
	}
	return mmu_batch_end(rc);
}

static int outer_section(void)
{
	unsigned int n = below(20);
	int rc = 0;

	mmu_batch_begin();
	while (n-- > 0 && !rc)
		rc = below(6) ? one_change() : inner_section();
	if (!rc && below(8) == 0)
		rc = -ENOENT;
	return mmu_batch_end(rc);
}

static const char *check_table(unsigned int table)
{
	const struct frame *frame = frame_at(tables[table]);
	unsigned int i;

	if (now.table[table].state == PLAIN)
		return frame->kind == FRAME_DATA && frame->flags == FRAME_PLAIN
			       ? NULL
			       : "a table that is gone is no plain memory";
	if (frame->kind != FRAME_TABLE ||
	    frame->flags != (now.table[table].pinned ? FRAME_PINNED : 0))
		return "a live table has other flags";
	if (frame->parents != links(table) || frame->live != live(table))
		return "a table's counts are wrong";
	for (i = 0; i < LEAVES; i++)
		if (!pte_reads_as(1, table_read(tables[table], i),
				  leaf_value(now.table[table].leaf[i]), false))
			return "a leaf is another one";
	return NULL;
}

/* What the CPU finds at an address; each data frame holds its number. */
static const char *check_access(unsigned int place, unsigned int index)
{
	uint8_t leaf = now.place[place] ? now.table[now.place[place] - 1].leaf[index] : 0;
	uint64_t va = batch_va(place, index), word = 0;
	bool readable = probe_load64((const void *)va, &word) == 0, writable;

	if (readable != (leaf != 0))
		return leaf ? "a page can't be read" : "a page that is not mapped can be read";
	if (!leaf)
		return NULL;
	if (word != (leaf - 1U) / 2)
		return "an address shows another frame";
	writable = probe_store64((void *)va, word) == 0;
	if (writable != (((leaf - 1) & 1) && !now.narrow[place]))
		return writable ? "a read-only page can be written" : "a page can't be written";
	return NULL;
}

static const char *check_data(unsigned int i)
{
	unsigned int index;
	pfn_t table;

	if (!direct_map_leaf(t.data[i], &table, &index))
		return "a frame is not in the direct map";
	if (!(table_read(table, index) & PTE_RW) != now.read_only[i] ||
	    frame_at(t.data[i])->flags != (now.read_only[i] ? 0 : FRAME_PLAIN))
		return "a frame's rights in the direct map are others";
	return NULL;
}

static const char *check_all(void)
{
	const char *wrong = NULL;
	unsigned int i, n = 0;

	for (i = 0; i < TABLES && !wrong; i++)
		wrong = check_table(i);
	for (i = 0; i < DATA && !wrong; i++)
		wrong = check_data(i);
	for (i = 0; i < PLACES; i++) {
		n += now.place[i] != 0;
		if (!pte_reads_as(2, table_read(t.l2, va_index(BATCH_VA, 2) + i), place_value(i),
				  false))
			return "an L2 entry is another one";
	}
	for (i = 0; i < 24 && !wrong; i++)
		wrong = check_access(below(PLACES), below(LEAVES));
	if (!wrong && (frame_at(t.l2)->live != n || frame_at(t.l2)->flags))
		wrong = "the L2's count is wrong, or a flag is left";
	return wrong;
}

static const char *one_section(void)
{
	struct mmu_batch_counters counters = mmu_batch_counters();
	struct model before = now;
	unsigned int i;
	int rc;

	refused = false;
	mmu_batch_set_sync(below(8) == 0);
	rc = outer_section();
	mmu_batch_set_sync(false);
	if (rc)
		now = before;
	for (i = 0; i < TABLES; i++)
		if (now.table[i].state == LEAVING)
			now.table[i].state = PLAIN;
	if (refused ? !rc : rc && rc != -ENOENT)
		return refused ? "what Xen refuses went through" : "a good section fails";
	if (mmu_batch_counters().failed - counters.failed != (rc != 0) ||
	    mmu_batch_counters().stuck != counters.stuck)
		return "a failure is not counted, or could not be undone";
	return check_all();
}

static bool up(void)
{
	unsigned int i, n;

	if (!batch_up(&t))
		return false;
	now = (struct model){ 0 };
	for (i = 0; i < BATCH_L1S; i++) {
		tables[i] = t.l1[i];
		now.table[i].state = LIVE;
		now.place[i] = (uint8_t)(i + 1);
		for (n = 0; n < LEAVES && i < 2; n++)
			now.table[i].leaf[n] = (uint8_t)(n * 2 + (i == 0) + 1);
	}
	for (; i < TABLES; i++)
		if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &tables[i]), 0))
			return false;
	return true;
}

/* What is live goes with the address space; pins must go before. */
static void down(void)
{
	unsigned int i;
	int rc = 0;

	mmu_batch_begin();
	for (i = 0; i < TABLES && !rc; i++) {
		if (!now.table[i].pinned)
			continue;
		now.table[i].pinned = false;
		rc = mmu_batch_unpin(tables[i], 1);
		if (!rc)
			rc = leave_if_free(i);
		if (now.table[i].state == LEAVING)
			now.table[i].state = PLAIN;
	}
	for (i = 0; i < DATA && !rc; i++)
		rc = mmu_batch_direct(t.data[i], true);
	CHECK_EQ(mmu_batch_end(rc), 0);
	for (i = 0; i < TABLES; i++)
		if (now.table[i].state == PLAIN)
			frame_free(tables[i], 0);
	batch_down(&t);
}

TEST(batch, batch_random, "random sections agree with a model, whatever fails or is rolled back")
{
	const struct boot_options *options = &boot_info()->options;
	uint64_t ops = options->ops ? options->ops : 3000, at, failed;
	const char *wrong = NULL;

	test_note("seed=%lu ops=%lu", options->seed, ops);
	rng_seed(&rng, options->seed);
	REQUIRE(up());
	failed = mmu_batch_counters().failed;
	for (at = 0; at < ops && !wrong; at++)
		wrong = one_section();
	if (wrong)
		test_fail(__FILE__, __LINE__, "section %lu: %s", at - 1, wrong);
	test_note("%lu sections failed as they were to", mmu_batch_counters().failed - failed);
	down();
}
