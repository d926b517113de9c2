/* SPDX-License-Identifier: MIT */
/*
 * Sending, counting, undoing: what happens to a section at its end (see <pinion/mm/mmu_batch.h>).
 *
 * The counts of the frame table (live, parents) are ahead of Xen: they change when an entry is queued, so that
 * whoever looks within a section sees them as they will be, as mmu_batch_peek() shows entries; and they are
 * counted back when the section fails. What Xen knows a frame to be (offline or live, pinned, writable) changes
 * with the call that does it. What a frame *becomes* (plain memory, free) waits for the end.
 *
 * Undoing goes one request a call, backwards, so that a refusal is that entry's alone and the others are undone.
 * It is slow, and nobody waits for it.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/hypercall.h>
#include "mmu_batch_internal.h"

static void set_flag(struct frame *frame, unsigned int flag, bool on)
{
	if (on)
		frame->flags |= (uint8_t)flag;
	else
		frame->flags &= (uint8_t)~flag;
}

/* Request @at of @seg has been done, or with @back, undone: what its frame is to us from now on. */
static void entry_done(const struct mmu_batch *b, const struct seg *seg, unsigned int at, bool back)
{
	struct frame *subject = frame_at(_pfn(seg->subject));
	bool writable = (back ? b->old[at] : b->requests[at].val) & PTE_RW;

	if (seg->kind == SEG_MAKE && subject)
		set_flag(subject, FRAME_OFFLINE, writable);
	if (seg->kind == SEG_DIRECT && subject)
		set_flag(subject, FRAME_PLAIN, writable);
}

/* Request @at of @seg won't be done after all, or has been undone. */
static void count_back(const struct mmu_batch *b, const struct seg *seg, unsigned int at)
{
	struct frame *table = frame_at(_pfn(seg->table));

	if (table && seg->kind == SEG_SET)
		table_count(table, b->requests[at].val, b->old[at]);
	if (table && seg->kind == SEG_BULK)
		table->live = (uint16_t)(table->live - seg->live);
}

static void count_op(const struct mmu_batch *b, const struct seg *seg, bool back)
{
	struct frame *frame = frame_at(_pfn(seg->table));
	unsigned int cmd = b->ops[seg->first].cmd;

	if (!frame || cmd == MMUEXT_NEW_BASEPTR)
		return;
	set_flag(frame, FRAME_PINNED, (cmd == MMUEXT_UNPIN_TABLE) == back);
}

/* The segment that goes next has failed with @rc. */
static int note_error(struct mmu_batch *b, int rc, bool uva)
{
	const struct seg *seg = &b->segs[b->sent.segs];
	struct mmu_batch_error *e = &b->error;
	unsigned int i;

	*e = (struct mmu_batch_error){ .rc = rc, .who = seg->who };
	for (i = 0; i < b->sent.segs; i++)
		e->index += b->segs[i].count;
	if (seg->kind == SEG_OP) {
		const struct mmuext_op *op = &b->ops[seg->first];

		e->op = op->cmd == MMUEXT_UNPIN_TABLE	? MMU_BATCH_UNPIN
			: op->cmd == MMUEXT_NEW_BASEPTR ? MMU_BATCH_BASEPTR
							: MMU_BATCH_PIN;
		e->ptr = op->arg1.mfn;
		e->val = seg->level;
	} else {
		e->op = uva ? MMU_BATCH_UVA : MMU_BATCH_UPDATE;
		e->ptr = b->requests[b->sent.requests].ptr;
		e->val = b->requests[b->sent.requests].val;
		e->index += b->sent.requests - seg->first;
	}
	return rc;
}

/* The next @done requests are done. */
static void requests_done(struct mmu_batch *b, unsigned int done)
{
	const struct seg *seg;
	unsigned int n, i;

	b->counters.entries += done;
	while (done > 0) {
		seg = &b->segs[b->sent.segs];
		n = seg->first + seg->count - b->sent.requests;
		if (n > done)
			n = done;
		for (i = 0; i < n && seg->kind != SEG_BULK; i++)
			entry_done(b, seg, b->sent.requests + i, false);
		b->sent.requests = (uint16_t)(b->sent.requests + n);
		if (b->sent.requests == seg->first + seg->count)
			b->sent.segs++;
		done -= n;
	}
}

/* The TLB work that is due, as operations behind the queue's own. Returns how many. */
static unsigned int tlb_ops(struct mmu_batch *b)
{
	struct mmuext_op *op = &b->ops[MMU_BATCH_OPS];
	unsigned int i, n = b->invlpgs;

	if (b->flush) {
		op[0] = (struct mmuext_op){ .cmd = MMUEXT_TLB_FLUSH_LOCAL };
		b->counters.flushes++;
		n = 1;
	} else {
		for (i = 0; i < n; i++)
			op[i] = (struct mmuext_op){ .cmd = MMUEXT_INVLPG_LOCAL,
						    .arg1.linear_addr = b->invlpg[i] };
		b->counters.invlpg += n;
	}
	b->invlpgs = 0;
	b->flush = false;
	return n;
}

/* Nothing but a wrong argument can make Xen refuse it, and there is no way on with a stale TLB. */
static void send_tlb(struct mmu_batch *b)
{
	unsigned int n = tlb_ops(b);

	if (n == 0)
		return;
	b->counters.mmuext_op++;
	if (hypercall_mmuext_op(&b->ops[MMU_BATCH_OPS], n, NULL, DOMID_SELF))
		panic("Xen refuses to flush the TLB");
}

/* Updates with TLB work behind them, in one entry to Xen. */
static long multicall(struct mmu_batch *b, unsigned int n, unsigned int *done, domid_t domid)
{
	struct multicall_entry calls[2];
	unsigned int ops = tlb_ops(b);
	long rc;

	calls[0] = (struct multicall_entry){
		.op = __HYPERVISOR_mmu_update,
		.args = { (uintptr_t)&b->requests[b->sent.requests], n, (uintptr_t)done, domid },
	};
	calls[1] = (struct multicall_entry){
		.op = __HYPERVISOR_mmuext_op,
		.args = { (uintptr_t)&b->ops[MMU_BATCH_OPS], ops, 0, DOMID_SELF },
	};
	b->counters.multicall++;
	rc = hypercall_multicall(calls, 2);
	if (rc)
		return rc;
	if (calls[1].result)
		panic("Xen refuses to flush the TLB");
	return (long)calls[0].result;
}

/*
 * One entry of a leaf that the current address space maps at a known address, and nothing else. No vCPU bitmap
 * is passed, so the -EFAULT that comes after the change can't.
 */
static bool fits_uva(const struct mmu_batch *b, const struct seg *seg)
{
	return seg->count == 1 && seg->level == 1 && seg->va && seg->domid == DOMID_SELF &&
	       (b->invlpgs == 0 || (b->invlpgs == 1 && b->invlpg[0] == seg->va));
}

static int send_uva(struct mmu_batch *b, const struct seg *seg)
{
	unsigned long flags = b->flush ? UVMF_TLB_FLUSH : b->invlpgs ? UVMF_INVLPG : UVMF_NONE;
	long rc = hypercall_update_va_mapping(seg->va, b->requests[seg->first].val, flags);

	b->counters.update_va_mapping++;
	if (rc)
		return note_error(b, (int)rc, true);
	b->counters.flushes += b->flush;
	b->counters.invlpg += b->invlpgs;
	b->flush = false;
	b->invlpgs = 0;
	requests_done(b, 1);
	return 0;
}

/* The updates that come next, as many as can go in one call. */
static int send_updates(struct mmu_batch *b)
{
	const struct seg *seg = &b->segs[b->sent.segs], *end = &b->segs[b->n.segs], *next;
	unsigned int n = 0, done = 0;
	long rc;

	for (next = seg; next < end && next->kind != SEG_OP && next->domid == seg->domid; next++)
		n += next->count;
	if (next == end && n == 1 && fits_uva(b, seg))
		return send_uva(b, seg);
	if (next == end && (b->flush || b->invlpgs)) {
		rc = multicall(b, n, &done, seg->domid);
	} else {
		b->counters.mmu_update++;
		rc = hypercall_mmu_update(&b->requests[b->sent.requests], n, &done, seg->domid);
	}
	requests_done(b, done);
	return rc ? note_error(b, (int)rc, false) : 0;
}

static int send_ops(struct mmu_batch *b)
{
	const struct seg *end = &b->segs[b->n.segs], *next;
	unsigned int n = 0, done = 0;
	long rc;

	for (next = &b->segs[b->sent.segs]; next < end && next->kind == SEG_OP; next++)
		n++;
	b->counters.mmuext_op++;
	rc = hypercall_mmuext_op(&b->ops[b->sent.ops], n, &done, DOMID_SELF);
	b->counters.ops += done;
	for (; done > 0; done--) {
		count_op(b, &b->segs[b->sent.segs], false);
		b->sent.segs++;
		b->sent.ops++;
	}
	return rc ? note_error(b, (int)rc, false) : 0;
}

int mmu_batch_send(struct mmu_batch *b)
{
	int rc = 0;

	while (!rc && b->sent.segs < b->n.segs)
		rc = b->segs[b->sent.segs].kind == SEG_OP ? send_ops(b) : send_updates(b);
	if (!rc)
		send_tlb(b);
	return rc;
}

/* What undoes operation @i. */
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

	if (hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF)) {
		b->error.stuck++;
		return;
	}
	count_op(b, seg, true);
	b->error.undone++;
}

static void undo_entry(struct mmu_batch *b, const struct seg *seg, unsigned int at)
{
	const struct frame *table = frame_at(_pfn(seg->table));
	struct mmu_update request = { .ptr = b->requests[at].ptr, .val = b->old[at] };

	if (hypercall_mmu_update(&request, 1, NULL, seg->domid)) {
		if (table && table->owner == OWNER_KERNEL)
			panic("a change of the kernel's own table, pfn %#x, can't be undone",
			      seg->table);
		b->error.stuck++;
		return;
	}
	entry_done(b, seg, at, true);
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
		send_tlb(b);
	}
}

static void release(const struct rider *rider)
{
	if (rider->release)
		rider->release(_pfn(rider->pfn));
}

static void quarantine(struct mmu_batch *b, struct frame *frame)
{
	frame->owner = OWNER_QUARANTINE;
	frame->flags &= (uint8_t)~FRAME_LEAVING;
	b->counters.quarantined++;
}

/* New tables link each other by plain stores: none does any more when the section has failed. */
static void unlink_new(const struct rider *rider)
{
	const struct frame *frame = frame_at(_pfn(rider->pfn));
	unsigned int i;

	if (!rider->is_new || !frame || frame->kind != FRAME_TABLE ||
	    !(frame->flags & FRAME_OFFLINE))
		return;
	for (i = 0; frame->level > 1 && frame->live > 0 && i < TABLE_ENTRIES; i++)
		table_store(_pfn(rider->pfn), i, 0);
}

/* The section has failed. */
static void rider_failed(struct mmu_batch *b, const struct rider *rider)
{
	struct frame *frame = frame_at(_pfn(rider->pfn));

	if (!frame || frame->kind != FRAME_TABLE)
		return;
	if (!rider->is_new) {
		/* With its link back it is what it was. */
		frame->flags &= (uint8_t)~FRAME_LEAVING;
		if (b->error.stuck && frame->parents == 0 && !(frame->flags & FRAME_PINNED))
			quarantine(b, frame);
		return;
	}
	if (!(frame->flags & FRAME_OFFLINE) || frame->parents > 0) {
		quarantine(b, frame);
		return;
	}
	table_forget(_pfn(rider->pfn));
	release(rider);
}

/* The section is done: a table that leaves is plain memory already, as Xen sees it. */
static void rider_done(const struct rider *rider)
{
	struct frame *frame = frame_at(_pfn(rider->pfn));

	if (rider->is_new)
		return;
	if (frame && frame->kind == FRAME_TABLE) {
		ASSERT(frame->parents == 0);
		frame->flags = FRAME_OFFLINE;
		table_forget(_pfn(rider->pfn));
	}
	release(rider);
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
			set_flag(frame, FRAME_QUEUED, on);
	}
}

static void count_section(struct mmu_batch *b, int rc)
{
	struct mmu_batch_counters *c = &b->counters;

	c->sections += b->sent.segs > 0;
	c->failed += rc != 0;
	if (c->most_entries < b->n.requests)
		c->most_entries = b->n.requests;
	if (c->most_ops < b->n.ops)
		c->most_ops = b->n.ops;
}

int mmu_batch_finish(struct mmu_batch *b, const struct mmu_batch_mark *mark, int rc)
{
	unsigned int i;

	if (rc) {
		undo(b, mark->segs);
		if (b->error.stuck)
			rc = -EIO;
	}
	count_section(b, rc);
	mark_queued(b, mark->segs, b->n.segs, false);
	mark_queued(b, 0, mark->segs, true);
	b->ending = true;
	for (i = mark->riders; !rc && i < b->n.riders; i++)
		rider_done(&b->riders[i]);
	for (i = mark->riders; rc && i < b->n.riders; i++)
		unlink_new(&b->riders[i]);
	for (i = b->n.riders; rc && i-- > mark->riders;)
		rider_failed(b, &b->riders[i]);
	for (i = mark->hooks; i < b->n.hooks; i++)
		b->hooks[i].fn(b->hooks[i].ctx, rc);
	b->ending = false;
	b->n = *mark;
	if (b->sent.segs > mark->segs) {
		b->sent.segs = mark->segs;
		b->sent.requests = mark->requests;
		b->sent.ops = mark->ops;
	}
	/* What else was to be flushed was not remembered entry by entry. */
	b->upper = false;
	b->invlpgs = 0;
	b->flush = mark->segs > 0;
	return rc;
}

uint64_t mmu_batch_retry_quarantine(void)
{
	struct mmu_batch *b = mmu_batch_this();
	uint64_t left = 0, pfn;
	struct frame *frame;

	for (pfn = 0; pfn < pfn_x(frame_table_end()); pfn++) {
		frame = frame_at(_pfn(pfn));
		if (!frame || frame->owner != OWNER_QUARANTINE)
			continue;
		if (frame->parents > 0 || direct_map_protect(_pfn(pfn), PTE_KERNEL_RW)) {
			left++;
			continue;
		}
		frame->flags = FRAME_OFFLINE;
		table_forget(_pfn(pfn));
		table_release(_pfn(pfn));
		b->counters.recovered++;
	}
	return left;
}
