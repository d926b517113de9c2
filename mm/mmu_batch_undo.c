/* SPDX-License-Identifier: MIT */
/*
 * The end of a section, and what it takes back (see <pinion/mm/mmu_batch.h>).
 *
 * Undoing goes one request a call, backwards, so that a refusal is that entry's alone and the others are undone.
 * It is slow, and nobody waits for it. What Xen refuses is tried a second time, for want of memory may pass; what it
 * refuses again stays, counted as it is in the tables.
 *
 * New tables may link each other, and were made in any order: so first all of them lose their links, then
 * those that nothing links are given back.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/m2p.h>
#include <pinion/xen/hypercall.h>
#include "mmu_batch_internal.h"

#define UNDO_TRIES 2

/* @leaf is what is to be seen there now, but for rights: there it is what was asked for. */
static void count_back_bulk(struct frame *table, enum mmu_batch_kind kind, uint64_t leaf)
{
	if (kind == MMU_BATCH_MAP)
		table->live = (uint16_t)(table->live - (leaf & PTE_P));
	else if (kind == MMU_BATCH_UNMAP)
		table->live = (uint16_t)(table->live + 1 - (leaf & PTE_P));
	else if (kind == MMU_BATCH_NX)
		frame_count_execs(table_below(leaf), (leaf & PTE_NX) ? 1 : -1);
}

/* Request @at of @seg won't be done after all, or has been undone. */
static void count_back(const struct mmu_batch *b, const struct seg *seg, unsigned int at)
{
	struct frame *table = frame_at(_pfn(seg->table));

	if (table && seg->kind == SEG_SET) {
		table_count(table, b->requests[at].val, b->old[at]);
		if (seg->exec)
			table->flags &= (uint8_t)~FRAME_EXEC;
	}
	if (table && seg->kind == SEG_BULK)
		count_back_bulk(table, (enum mmu_batch_kind)seg->bulk, b->requests[at].val);
}

/* What undoes the operation of @seg. */
static struct mmuext_op op_undone(const struct mmu_batch *b, const struct seg *seg)
{
	struct mmuext_op op = b->ops[seg->first];

	if (op.cmd == MMUEXT_NEW_BASEPTR)
		op.arg1.mfn = mfn_x(pfn_to_mfn(_pfn(seg->subject)));
	else if (op.cmd == MMUEXT_UNPIN_TABLE)
		op.cmd = MMUEXT_PIN_L1_TABLE + seg->level - 1;
	else
		op.cmd = MMUEXT_UNPIN_TABLE;
	return op;
}

static void undo_op(struct mmu_batch *b, const struct seg *seg)
{
	struct mmuext_op op = op_undone(b, seg);
	unsigned int tries;
	long rc = -EIO;

	for (tries = 0; tries < UNDO_TRIES && rc; tries++)
		rc = hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF);
	if (rc) {
		b->error.stuck++;
		return;
	}
	mmu_batch_op_done(b, seg, true);
	b->error.undone++;
}

/* Whether undoing a request of @seg takes back its value as it is written there; of rights it is derived. */
static bool is_counted(const struct seg *seg)
{
	return seg->kind != SEG_OP && (seg->kind != SEG_BULK || seg->bulk == MMU_BATCH_MAP ||
				       seg->bulk == MMU_BATCH_UNMAP);
}

/* Of rights only the one that changed need be known: A and D are nobody's promise. */
static uint64_t old_value(const struct mmu_batch *b, const struct seg *seg, unsigned int at)
{
	if (seg->kind != SEG_BULK)
		return b->old[at];
	switch ((enum mmu_batch_kind)seg->bulk) {
	case MMU_BATCH_MAP:
		return 0;
	case MMU_BATCH_RW:
		return b->requests[at].val ^ PTE_RW;
	case MMU_BATCH_NX:
		return b->requests[at].val ^ PTE_NX;
	default:
		return b->old[at];
	}
}

static struct frame *executable(uint64_t leaf)
{
	struct frame *frame = NULL;

	if ((leaf & (PTE_P | PTE_NX)) == PTE_P)
		frame = frame_at(mfn_to_pfn(pte_mfn(leaf)));
	return frame && frame->kind == FRAME_DATA ? frame : NULL;
}

/*
 * A leaf stays @kept, and is not @lost again. Whoever counts executable leaves will count this one back; so a frame that
 * stays executable is counted once more, and stays read-only in the direct map; one that does not is read-only for
 * nothing. (Of many leaves that change in NX only the batch itself counts, and has not counted back: what it counted is what
 * stays.)
 */
static void leaf_stuck(const struct seg *seg, uint64_t kept, uint64_t lost)
{
	struct frame *now = executable(kept), *was = executable(lost);
	bool counted = seg->kind == SEG_BULK && seg->bulk == MMU_BATCH_NX;

	if (now == was)
		return;
	if (now && !counted)
		frame_count_execs(table_below(kept), 1);
	if (was && !counted)
		frame_count_execs(table_below(lost), -1);
	if (was && was->execs == 0 && !(was->flags & FRAME_PLAIN))
		was->flags |= FRAME_STUCK;
}

static void quarantine(struct mmu_batch *b, struct frame *frame)
{
	b->counters.quarantined += frame->owner != OWNER_QUARANTINE;
	frame->owner = OWNER_QUARANTINE;
}

/*
 * Xen keeps what request @at wrote. If an earlier request wrote the same entry, then it is this value
 * that undoing that one replaces. A table that was to leave is writable now: none for Xen, whatever links it here.
 */
static void entry_stuck(struct mmu_batch *b, const struct seg *seg, unsigned int at)
{
	const struct frame *table = frame_at(_pfn(seg->table));
	unsigned int i = at;

	if (table && table->owner == OWNER_KERNEL)
		panic("a change of the kernel's own table, pfn %#x, can't be undone", seg->table);
	b->error.stuck++;
	if (seg->kind == SEG_LEAVE) {
		frame_at(_pfn(seg->subject))->flags |= FRAME_OFFLINE;
		quarantine(b, frame_at(_pfn(seg->subject)));
	}
	if (seg->kind == SEG_DIRECT && !(b->requests[at].val & PTE_RW))
		frame_at(_pfn(seg->subject))->flags |= FRAME_STUCK;
	if ((seg->kind == SEG_SET || seg->kind == SEG_BULK) && seg->level == 1)
		leaf_stuck(seg, b->requests[at].val, old_value(b, seg, at));
	while (i > 0 && b->requests[i - 1].ptr != b->requests[at].ptr)
		i--;
	if (i-- == 0)
		return;
	while (seg->kind == SEG_OP || seg->first > i)
		seg--;
	if (is_counted(seg))
		b->requests[i].val = b->requests[at].val;
}

static void undo_entry(struct mmu_batch *b, const struct seg *seg, unsigned int at)
{
	struct mmu_update request = { .ptr = b->requests[at].ptr, .val = old_value(b, seg, at) };
	unsigned int tries;
	long rc = -EIO;

	for (tries = 0; tries < UNDO_TRIES && rc; tries++)
		rc = hypercall_mmu_update(&request, 1, NULL, seg->domid);
	if (rc) {
		entry_stuck(b, seg, at);
		return;
	}
	mmu_batch_entry_done(b, seg, at, true);
	count_back(b, seg, at);
	b->error.undone++;
}

/* Undoes what was sent of the segments from @first on, and counts back what was not. */
static void undo(struct mmu_batch *b, unsigned int first)
{
	const struct seg *seg;
	unsigned int i, at;

	b->error.undone = 0;
	b->error.stuck = 0;
	b->undoing = true;
	for (i = b->n.segs; i-- > first;) {
		seg = &b->segs[i];
		if (seg->kind == SEG_OP && seg->first < b->sent.ops)
			undo_op(b, seg);
		if (seg->kind == SEG_OP)
			continue;
		for (at = seg->first + seg->count; at-- > seg->first;) {
			if (at < b->sent.requests)
				undo_entry(b, seg, at);
			else
				count_back(b, seg, at);
		}
	}
	b->counters.undone += b->error.undone;
	b->counters.stuck += b->error.stuck;
	if (b->error.undone + b->error.stuck > 0) {
		b->flush = true;
		mmu_batch_send_tlb(b);
	}
	b->undoing = false;
}

/* A leaf of a table that no CPU can reach any more: it counts for nothing. */
static void leaf_lost(uint64_t leaf)
{
	struct frame *frame = executable(leaf);

	if (!frame)
		return;
	frame_count_execs(table_below(leaf), -1);
	if (frame->execs == 0)
		frame->flags |= FRAME_STUCK;
}

/* A table that has lost its link, and with it those that are linked by nothing else. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static void quarantine_tree(struct mmu_batch *b, pfn_t table)
{
	struct frame *frame = frame_at(table), *lower;
	unsigned int i, end = frame->level == 4 ? SLOT_XEN_FIRST : TABLE_ENTRIES;
	uint64_t entry;

	quarantine(b, frame);
	for (i = 0; frame->level == 1 && (frame->flags & FRAME_EXEC) && i < end; i++)
		leaf_lost(table_read(table, i));
	for (i = 0; frame->level > 1 && i < end; i++) {
		entry = table_read(table, i);
		if (!(entry & PTE_P))
			continue;
		/* One that is shared has the direct map's link as well. */
		lower = frame_at(table_below(entry));
		if (lower->parents == 1 && !(lower->flags & FRAME_PINNED))
			quarantine_tree(b, table_below(entry));
	}
}

static void drop_links(pfn_t table)
{
	const struct frame *frame = frame_at(table);
	unsigned int i;

	for (i = 0; frame->level > 1 && frame->live > 0 && i < TABLE_ENTRIES; i++)
		if (!(frame->level == 4 && l4_slot_is_xens(i)))
			table_store(table, i, 0);
}

/* The section has failed, and what links the new tables had is gone. */
static void rider_failed(struct mmu_batch *b, const struct rider *rider)
{
	struct frame *frame = frame_at(_pfn(rider->pfn));

	/* A data frame, or a table with a second rider that has been served. */
	if (frame->kind != FRAME_TABLE)
		return;
	if (rider->kind != RIDER_NEW) {
		/* With its link back it is what it was. */
		frame->flags &= (uint8_t)~FRAME_LEAVING;
		if (b->error.stuck && frame->parents == 0 && !(frame->flags & FRAME_PINNED) &&
		    (!(frame->flags & FRAME_OFFLINE) || frame->owner == OWNER_QUARANTINE))
			quarantine_tree(b, _pfn(rider->pfn));
		return;
	}
	/* Else undoing has made it plain memory again. */
	if (!(frame->flags & FRAME_OFFLINE) || frame->parents > 0) {
		quarantine(b, frame);
		return;
	}
	table_forget(_pfn(rider->pfn));
	rider->release(_pfn(rider->pfn));
}

/* In two rounds: tables made in the section may link each other. */
static void riders_failed(struct mmu_batch *b, unsigned int first)
{
	const struct rider *rider;
	unsigned int i;

	for (i = first; i < b->n.riders; i++) {
		rider = &b->riders[i];
		if (rider->kind == RIDER_NEW && (frame_at(_pfn(rider->pfn))->flags & FRAME_OFFLINE))
			drop_links(_pfn(rider->pfn));
	}
	for (i = b->n.riders; i-- > first;)
		rider_failed(b, &b->riders[i]);
}

/* The section is done: a table that leaves is plain memory already, as Xen sees it. */
static void rider_done(const struct rider *rider)
{
	struct frame *frame = frame_at(_pfn(rider->pfn));

	if (rider->kind == RIDER_NEW)
		return;
	if (frame->kind == FRAME_TABLE) {
		frame->flags &= (uint8_t)~FRAME_LEAVING;
		frame->flags |= FRAME_OFFLINE;
	}
	if (rider->kind == RIDER_STAYS)
		return;
	if (frame->kind == FRAME_TABLE) {
		ASSERT(frame->parents == 0);
		table_forget(_pfn(rider->pfn));
	}
	rider->release(_pfn(rider->pfn));
}

/* Whether tables have entries queued, for the segments [@first, @end). */
static void mark_queued(const struct mmu_batch *b, unsigned int first, unsigned int end, bool on)
{
	struct frame *frame;
	unsigned int i;

	for (i = first; i < end; i++) {
		const struct seg *seg = &b->segs[i];
		bool own = seg->kind == SEG_SET || seg->kind == SEG_BULK;

		frame = seg->kind == SEG_OP ? NULL
					    : frame_at(_pfn(own ? seg->table : seg->subject));
		if (frame)
			frame_set_flag(frame, FRAME_QUEUED, on);
	}
}

int mmu_batch_finish(struct mmu_batch *b, const struct mmu_batch_mark *mark, int rc)
{
	unsigned int i;

	if (rc) {
		undo(b, mark->segs);
		if (b->error.stuck)
			rc = -EIO;
	}
	mark_queued(b, mark->segs, b->n.segs, false);
	mark_queued(b, 0, mark->segs, true);
	b->ending = true;
	for (i = mark->riders; !rc && i < b->n.riders; i++)
		rider_done(&b->riders[i]);
	if (rc)
		riders_failed(b, mark->riders);
	for (i = mark->hooks; i < b->n.hooks; i++)
		b->hooks[i].fn(b->hooks[i].ctx, rc);
	b->ending = false;
	b->n = *mark;
	/* A segment of which only a part was sent is not counted in sent.segs. */
	if (b->sent.segs > mark->segs)
		b->sent.segs = mark->segs;
	if (b->sent.requests > mark->requests)
		b->sent.requests = mark->requests;
	if (b->sent.ops > mark->ops)
		b->sent.ops = mark->ops;
	/* What else was to be flushed was not remembered entry by entry. */
	b->invlpgs = 0;
	b->flush = mark->segs > 0;
	return rc;
}

void mmu_batch_quarantine(pfn_t pfn)
{
	quarantine(mmu_batch_this(), frame_at(pfn));
}

bool mmu_batch_widen(pfn_t pfn)
{
	mmu_batch_begin();
	if (mmu_batch_end(mmu_batch_direct(pfn, true)) == 0)
		return true;
	frame_at(pfn)->flags |= FRAME_STUCK;
	return false;
}

/* A stuck data frame is writable again; one that its owner has given back since is free. */
static bool recover_data(pfn_t pfn)
{
	bool given_back = frame_at(pfn)->owner == OWNER_QUARANTINE;

	if (!mmu_batch_widen(pfn))
		return false;
	if (given_back)
		frame_free(pfn, 0);
	return true;
}

/* A table in quarantine that nothing links and nobody holds leaves like any other; an L4 with its address space. */
static bool recover(pfn_t table)
{
	const struct frame *frame = frame_at(table);
	int rc = 0;

	if (frame->kind == FRAME_DATA)
		return (frame->flags & FRAME_STUCK) && recover_data(table);
	if (frame->parents > 0 || frame->holds > 0 || (frame->flags & FRAME_BASE))
		return false;
	mmu_batch_begin();
	if (frame->flags & FRAME_PINNED)
		rc = mmu_batch_unpin(table, frame->level);
	if (!rc)
		rc = mmu_batch_unmake_table(table, table_release);
	return mmu_batch_end(rc) == 0;
}

uint64_t mmu_batch_retry_quarantine(void)
{
	struct mmu_batch *b = mmu_batch_this();
	uint64_t left, recovered, pfn;

	/* One that is recovered may have linked others. */
	do {
		left = 0;
		recovered = 0;
		for (pfn = 0; pfn < pfn_x(frame_table_end()); pfn++) {
			const struct frame *frame = frame_at(_pfn(pfn));

			if (!frame || (frame->owner != OWNER_QUARANTINE &&
				       !(frame->kind == FRAME_DATA && frame->execs == 0 &&
					 (frame->flags & FRAME_STUCK))))
				continue;
			if (recover(_pfn(pfn)))
				recovered++;
			else
				left++;
		}
		b->counters.recovered += recovered;
	} while (left > 0 && recovered > 0);
	return left;
}
