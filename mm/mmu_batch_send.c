/* SPDX-License-Identifier: MIT */
/*
 * Sending: the calls that a section takes, in its order (see <pinion/mm/mmu_batch.h>).
 *
 * The counts of the frame table (live, parents) are ahead of Xen: they change when an entry is queued, so that
 * whoever looks within a section sees them as they will be, as mmu_batch_peek() shows entries; and they are
 * counted back when the section fails. What Xen knows a frame to be (offline or live, pinned, writable) changes
 * with the call that does it. What a frame *becomes* (plain memory, free) waits for the end.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/limits.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/hypercall.h>
#include "mmu_batch_internal.h"

void mmu_batch_entry_done(const struct mmu_batch *b, const struct seg *seg, unsigned int at,
			  bool back)
{
	struct frame *subject = frame_at(_pfn(seg->subject));
	bool writable = (back ? b->old[at] : b->requests[at].val) & PTE_RW;

	if (seg->kind == SEG_MAKE && subject)
		frame_set_flag(subject, FRAME_OFFLINE, writable);
	if (seg->kind == SEG_DIRECT && subject)
		frame_set_plain(seg->subject, writable);
}

void mmu_batch_op_done(const struct mmu_batch *b, const struct seg *seg, bool back)
{
	struct frame *frame = frame_at(_pfn(seg->table));
	unsigned int cmd = b->ops[seg->first].cmd;

	if (!frame || cmd == MMUEXT_NEW_BASEPTR)
		return;
	frame_set_flag(frame, FRAME_PINNED, (cmd == MMUEXT_UNPIN_TABLE) == back);
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

/*
 * What was to go next has failed with @rc. Returns that; or 0, once for each request and operation, where it is to be asked for again
 * (mmu_batch_insist()): for want of memory it may pass. A flush that rode along came before the change. Nothing is noted then:
 * what the section is to take back keeps its report.
 */
static int not_done(struct mmu_batch *b, int rc, bool uva)
{
	unsigned int at = b->sent.requests + b->sent.ops;

	if (!b->insists || b->refused == at)
		return note_error(b, rc, uva);
	b->refused = at;
	b->flush = true;
	return 0;
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
			mmu_batch_entry_done(b, seg, b->sent.requests + i, false);
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
void mmu_batch_send_tlb(struct mmu_batch *b)
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

/* One entry of a leaf that the current address space maps at a known address, and nothing else. */
static bool fits_uva(const struct mmu_batch *b, const struct seg *seg)
{
	return seg->count == 1 && seg->level == 1 && seg->va && seg->domid == DOMID_SELF &&
	       (b->invlpgs == 0 || (b->invlpgs == 1 && b->invlpg[0] == seg->va));
}

/* Xen gives -EFAULT after the change, of which only the flush is missing then: that is sent by itself. */
static int send_uva(struct mmu_batch *b, const struct seg *seg)
{
	unsigned long flags = b->flush ? UVMF_TLB_FLUSH : b->invlpgs ? UVMF_INVLPG : UVMF_NONE;
	long rc = hypercall_update_va_mapping(seg->va, b->requests[seg->first].val, flags);

	b->counters.update_va_mapping++;
	if (rc && rc != -EFAULT)
		return not_done(b, (int)rc, true);
	requests_done(b, 1);
	if (rc)
		return 0;
	b->counters.flushes += b->flush;
	b->counters.invlpg += b->invlpgs;
	b->flush = false;
	b->invlpgs = 0;
	return 0;
}

/*
 * The updates that come next, as many as can go in one call. TLB work rides behind one upper entry at most: Xen restarts a call
 * after each upper entry that was cleared, and to restart a multicall costs as much as the call that it saves.
 */
static int send_updates(struct mmu_batch *b)
{
	const struct seg *seg = &b->segs[b->sent.segs], *end = &b->segs[b->n.segs], *next;
	unsigned int n = 0, upper = 0, done = 0;
	long rc;

	for (next = seg; next < end && next->kind != SEG_OP && next->domid == seg->domid; next++) {
		n += next->count;
		upper += next->level > 1;
	}
	/* A part of the first may be done. */
	n -= b->sent.requests - seg->first;
	if (next == end && n == 1 && fits_uva(b, seg))
		return send_uva(b, seg);
	if (next == end && upper <= 1 && (b->flush || b->invlpgs)) {
		rc = multicall(b, n, &done, seg->domid);
	} else {
		b->counters.mmu_update++;
		rc = hypercall_mmu_update(&b->requests[b->sent.requests], n, &done, seg->domid);
	}
	requests_done(b, done);
	return rc ? not_done(b, (int)rc, false) : 0;
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
		mmu_batch_op_done(b, &b->segs[b->sent.segs], false);
		b->sent.segs++;
		b->sent.ops++;
	}
	return rc ? not_done(b, (int)rc, false) : 0;
}

static int send_next(struct mmu_batch *b)
{
	return b->segs[b->sent.segs].kind == SEG_OP ? send_ops(b) : send_updates(b);
}

int mmu_batch_send(struct mmu_batch *b)
{
	int rc = 0;

	b->refused = UINT_MAX;
	while (!rc && b->sent.segs < b->n.segs)
		rc = send_next(b);
	if (!rc)
		mmu_batch_send_tlb(b);
	return rc;
}
