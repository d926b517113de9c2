/* SPDX-License-Identifier: MIT */
/*
 * Queuing; the rules stand in <pinion/mm/mmu_batch.h>, the parts in mmu_batch_internal.h.
 *
 * Every entry is queued with its old value beside it (of many leaves of a kind: where it can't be worked out).
 * That is what is in memory, unless an entry queued earlier will change it: FRAME_QUEUED on a table says that it has such entries, so that
 * the queue is searched only then. A frame's leaf in the direct map is queued under the frame itself
 * (its own FRAME_QUEUED): the direct map's tables would else be searched for every table made.
 */
#include <pinion/arch/cpu.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/p2m.h>
#include "mmu_batch_internal.h"

struct mmu_batch *mmu_batch_this(void)
{
	static struct mmu_batch first;
	struct cpu *cpu = this_cpu();

	if (unlikely(!cpu->batch))
		cpu->batch = &first;
	return cpu->batch;
}

void mmu_batch_begin(void)
{
	struct mmu_batch *b = mmu_batch_this();

	ASSERT(this_cpu()->traps == 0);
	ASSERT(!b->ending);
	if (b->depth++ == 0)
		b->masked = upcalls_mask();
}

static void count_section(struct mmu_batch *b, int rc)
{
	struct mmu_batch_counters *c = &b->counters;

	c->sections += !rc && b->n.segs > 0;
	c->failed += rc != 0;
	if (c->most_entries < b->n.requests)
		c->most_entries = b->n.requests;
	if (c->most_ops < b->n.ops)
		c->most_ops = b->n.ops;
}

int mmu_batch_end(int rc)
{
	static const struct mmu_batch_mark start;
	struct mmu_batch *b = mmu_batch_this();

	ASSERT(this_cpu()->traps == 0);
	ASSERT(b->depth > 0 && !b->ending);
	if (b->depth > 1) {
		b->depth--;
		return rc;
	}
	if (b->failed)
		rc = b->failed;
	else if (rc)
		b->error = (struct mmu_batch_error){ .rc = rc };
	else
		rc = mmu_batch_send(b);
	count_section(b, rc);
	rc = mmu_batch_finish(b, &start, rc);
	b->failed = 0;
	b->depth = 0;
	upcalls_restore(b->masked);
	return rc;
}

void mmu_batch_insist(bool on)
{
	struct mmu_batch *b = mmu_batch_this();

	ASSERT(on || b->insists > 0);
	b->insists += on ? 1U : -1U;
}

unsigned int mmu_batch_depth(void)
{
	return mmu_batch_this()->depth;
}

struct mmu_batch_mark mmu_batch_mark(void)
{
	return mmu_batch_this()->n;
}

void mmu_batch_rollback(const struct mmu_batch_mark *mark)
{
	struct mmu_batch *b = mmu_batch_this();

	ASSERT(this_cpu()->traps == 0);
	ASSERT(b->depth > 0 && !b->ending);
	ASSERT(mark->segs <= b->n.segs && mark->riders <= b->n.riders && mark->hooks <= b->n.hooks);
	if (mmu_batch_finish(b, mark, -EAGAIN) == -EIO)
		b->failed = -EIO;
}

/* Segments that are no operations. */
static unsigned int singles(const struct mmu_batch *b)
{
	return b->n.segs - b->n.ops;
}

/* Room for one segment with @requests (0 or 1) and @ops in it. Every way into the queue comes through here. */
static int room_for(const struct mmu_batch *b, unsigned int requests, unsigned int ops,
		    unsigned int riders)
{
	ASSERT(this_cpu()->traps == 0);
	ASSERT(b->depth > 0 && !b->ending);
	if (b->failed)
		return b->failed;
	if (singles(b) + requests > MMU_BATCH_SINGLES ||
	    b->n.requests + requests > MMU_BATCH_ENTRIES || b->n.ops + ops > MMU_BATCH_OPS ||
	    b->n.riders + riders > RIDERS_MAX)
		return -ENOSPC;
	return 0;
}

/* In sync mode what was just queued goes out at once. */
static int queued(struct mmu_batch *b)
{
	if (unlikely(b->sync))
		b->failed = mmu_batch_send(b);
	return b->failed;
}

static void tlb_none(struct mmu_batch *b)
{
	b->invlpgs = 0;
	b->flush = false;
}

/* One translation is stale once the entry is changed. */
static void tlb_page(struct mmu_batch *b, uint64_t va)
{
	if (b->flush)
		return;
	if (va == 0 || b->invlpgs == MMU_BATCH_INVLPGS)
		b->flush = true;
	else
		b->invlpg[b->invlpgs++] = va;
}

/*
 * What a change of one entry of a table of @level leaves in the TLB. Xen flushes after a change of an L2-L4, and so
 * after all that came before. What comes after it in the same call is not covered: the call is restarted where it is
 * preempted, and after every upper entry that was replaced or cleared, and each part flushes for itself.
 */
static void tlb_entry(struct mmu_batch *b, unsigned int level, uint64_t old, uint64_t va)
{
	if (level > 1)
		tlb_none(b);
	else if (old & PTE_P)
		tlb_page(b, va);
}

static struct seg *add_seg(struct mmu_batch *b, enum seg_kind kind, const char *who)
{
	struct seg *seg = &b->segs[b->n.segs++];

	*seg = (struct seg){ .who = who, .kind = (uint8_t)kind, .domid = DOMID_SELF };
	return seg;
}

/* => room for it */
static void add_request(struct mmu_batch *b, struct seg *seg, uint64_t ptr, uint64_t old,
			uint64_t val)
{
	unsigned int i = b->n.requests++;

	seg->first = (uint16_t)i;
	seg->count = 1;
	b->requests[i] = (struct mmu_update){ .ptr = ptr, .val = val };
	b->old[i] = old;
}

/* The frame's pfn is the kernel's own, so the P2M knows it. */
static uint64_t entry_ptr(pfn_t table, unsigned int index)
{
	return maddr_x(mfn_to_maddr(pfn_to_mfn(table))) + index * sizeof(uint64_t);
}

/* Tables are reached at the boot region's addresses until the direct map stands. */
static uint64_t entry_now(pfn_t table, unsigned int index)
{
	const uint64_t *entries = pfn_x(direct_map_end()) ? direct_va(table) : boot_va(table);

	return READ_ONCE(entries[index]);
}

/* What the queue has for the entry at @ptr, the latest; else what is in memory. */
static uint64_t search(const struct mmu_batch *b, uint64_t ptr, pfn_t table, unsigned int index)
{
	unsigned int i = b->n.requests;

	while (i-- > 0)
		if (b->requests[i].ptr == ptr)
			return b->requests[i].val;
	return entry_now(table, index);
}

uint64_t mmu_batch_peek(pfn_t table, unsigned int index)
{
	const struct frame *frame = frame_at(table);

	if (frame && !(frame->flags & FRAME_QUEUED))
		return entry_now(table, index);
	return search(mmu_batch_this(), entry_ptr(table, index), table, index);
}

int mmu_batch_set_foreign_for(const char *who, pfn_t table, unsigned int index, uint64_t value,
			      uint64_t va, domid_t domid)
{
	struct mmu_batch *b = mmu_batch_this();
	struct frame *frame = frame_at(table);
	int rc = room_for(b, 1, 0, 0);
	struct seg *seg;
	uint64_t old;

	if (rc)
		return rc;
	if (frame && (frame->kind != FRAME_TABLE || (frame->flags & FRAME_LEAVING) ||
		      (frame->flags & FRAME_PENDING) == FRAME_OFFLINE))
		panic("%s queues an entry of pfn %#" PRI_pfn ", which is no live table", who,
		      pfn_x(table));
	old = mmu_batch_peek(table, index);
	seg = add_seg(b, SEG_SET, who);
	seg->table = (uint32_t)pfn_x(table);
	seg->level = frame ? frame->level : 0;
	seg->va = va;
	seg->domid = domid;
	add_request(b, seg, entry_ptr(table, index), old, value);
	if (frame) {
		seg->exec = !(frame->flags & FRAME_EXEC);
		frame->flags |= FRAME_QUEUED;
		table_count(frame, old, value);
	}
	/* Before there is a frame table nobody knows the level: flush. */
	tlb_entry(b, frame ? frame->level : 1, old, va);
	return queued(b);
}

int mmu_batch_set_for(const char *who, pfn_t table, unsigned int index, uint64_t value, uint64_t va)
{
	return mmu_batch_set_foreign_for(who, table, index, value, va, DOMID_SELF);
}

/* A frame's own leaf in the direct map. */
static int queue_direct(struct mmu_batch *b, enum seg_kind kind, const char *who, pfn_t pfn,
			uint64_t flags)
{
	uint64_t va = (uintptr_t)direct_va(pfn), ptr, old, value;
	struct frame *frame = frame_at(pfn);
	struct seg *seg;
	unsigned int index;
	pfn_t table;

	if (!direct_map_leaf(pfn, &table, &index))
		return -EINVAL;
	ptr = entry_ptr(table, index);
	if (frame && !(frame->flags & FRAME_QUEUED))
		old = entry_now(table, index);
	else
		old = search(b, ptr, table, index);
	value = pte_make(pfn_to_mfn(pfn), flags);
	seg = add_seg(b, kind, who);
	seg->table = (uint32_t)pfn_x(table);
	seg->subject = (uint32_t)pfn_x(pfn);
	seg->level = 1;
	seg->va = va;
	add_request(b, seg, ptr, old, value);
	if (frame)
		frame->flags |= FRAME_QUEUED;
	tlb_entry(b, 1, old, va);
	return 0;
}

/* => room for it. What sync mode has already seen refused takes no rider with it: the frame is still its caller's. */
static void add_rider(struct mmu_batch *b, pfn_t pfn, mmu_release_fn *release, enum rider_kind kind)
{
	ASSERT(frame_at(pfn) && (release || kind == RIDER_STAYS));
	b->riders[b->n.riders++] = (struct rider){
		.pfn = (uint32_t)pfn_x(pfn),
		.release = release,
		.kind = (uint8_t)kind,
	};
}

int mmu_batch_make_table_for(const char *who, pfn_t table, mmu_release_fn *release)
{
	struct mmu_batch *b = mmu_batch_this();
	const struct frame *frame = frame_at(table);
	int rc = room_for(b, 1, 0, 1);

	if (rc)
		return rc;
	ASSERT(!frame || (frame->kind == FRAME_TABLE && (frame->flags & FRAME_OFFLINE)));
	rc = queue_direct(b, SEG_MAKE, who, table, PTE_KERNEL_RO);
	if (!rc)
		rc = queued(b);
	if (!rc && release)
		add_rider(b, table, release, RIDER_NEW);
	return rc;
}

int mmu_batch_unmake_table_for(const char *who, pfn_t table, mmu_release_fn *release)
{
	struct mmu_batch *b = mmu_batch_this();
	struct frame *frame = frame_at(table);
	int rc = room_for(b, 1, 0, 1);

	if (rc)
		return rc;
	if (!frame || frame->kind != FRAME_TABLE || (frame->flags & FRAME_LEAVING))
		panic("%s: pfn %#" PRI_pfn " is no table that could leave", who, pfn_x(table));
	rc = queue_direct(b, SEG_LEAVE, who, table, PTE_KERNEL_RW);
	if (rc)
		return rc;
	/* Also where sync mode is refused at once: its link may be gone, and not come back. */
	frame->flags |= FRAME_LEAVING;
	add_rider(b, table, release, release ? RIDER_GOES : RIDER_STAYS);
	return queued(b);
}

int mmu_batch_direct_for(const char *who, pfn_t pfn, bool writable)
{
	struct mmu_batch *b = mmu_batch_this();
	const struct frame *frame = frame_at(pfn);
	int rc = room_for(b, 1, 0, 0);

	if (!rc && frame && frame->kind != FRAME_DATA)
		rc = -EINVAL;
	if (!rc)
		rc = queue_direct(b, SEG_DIRECT, who, pfn,
				  writable ? PTE_KERNEL_RW : PTE_KERNEL_RO);
	return rc ? rc : queued(b);
}

int mmu_batch_free(pfn_t pfn, mmu_release_fn *release)
{
	struct mmu_batch *b = mmu_batch_this();
	int rc = room_for(b, 0, 0, 1);

	if (rc)
		return rc;
	add_rider(b, pfn, release, RIDER_GOES);
	return 0;
}

int mmu_batch_on_end(mmu_end_fn *fn, void *ctx)
{
	struct mmu_batch *b = mmu_batch_this();
	int rc = room_for(b, 0, 0, 0);

	if (rc)
		return rc;
	if (b->n.hooks == HOOKS_MAX)
		return -ENOSPC;
	b->hooks[b->n.hooks++] = (struct hook){ fn, ctx };
	return 0;
}

static int queue_op(const char *who, unsigned int cmd, pfn_t table, pfn_t old, unsigned int level)
{
	struct mmu_batch *b = mmu_batch_this();
	int rc = room_for(b, 0, 1, 0);
	struct seg *seg;

	if (rc)
		return rc;
	seg = add_seg(b, SEG_OP, who);
	seg->first = b->n.ops;
	seg->count = 1;
	seg->table = (uint32_t)pfn_x(table);
	seg->subject = (uint32_t)pfn_x(old);
	seg->level = (uint8_t)level;
	b->ops[b->n.ops++] = (struct mmuext_op){ .cmd = cmd, .arg1.mfn = mfn_x(pfn_to_mfn(table)) };
	/* NEW_BASEPTR flushes all of this vCPU. */
	if (cmd == MMUEXT_NEW_BASEPTR)
		tlb_none(b);
	return queued(b);
}

int mmu_batch_pin_for(const char *who, pfn_t table, unsigned int level)
{
	const struct frame *frame = frame_at(table);

	ASSERT(level >= 1 && level <= 4);
	ASSERT(!frame || !(frame->flags & FRAME_LEAVING));
	return queue_op(who, MMUEXT_PIN_L1_TABLE + level - 1, table, table, level);
}

int mmu_batch_unpin_for(const char *who, pfn_t table, unsigned int level)
{
	return queue_op(who, MMUEXT_UNPIN_TABLE, table, table, level);
}

int mmu_batch_new_baseptr_for(const char *who, pfn_t l4, pfn_t old)
{
	return queue_op(who, MMUEXT_NEW_BASEPTR, l4, old, 4);
}

int mmu_batch_open(pfn_t table, struct mmu_batch_room *room)
{
	struct mmu_batch *b = mmu_batch_this();
	const struct frame *frame = frame_at(table);
	int rc = room_for(b, 1, 0, 0);

	if (rc)
		return rc;
	ASSERT(frame && frame->kind == FRAME_TABLE && frame->level == 1);
	ASSERT(!(frame->flags & (FRAME_LEAVING | FRAME_OFFLINE)));
	if (frame->flags & FRAME_QUEUED)
		return -EBUSY;
	room->requests = &b->requests[b->n.requests];
	room->old = &b->old[b->n.requests];
	room->room = MMU_BATCH_ENTRIES - b->n.requests;
	room->ptr = entry_ptr(table, 0);
	return 0;
}

/* How far into its L1's 2 MiB an entry maps. */
static uint64_t leaf_offset(const struct mmu_update *request)
{
	return (request->ptr & PAGE_OFFSET_MASK) / sizeof(uint64_t) << PAGE_SHIFT;
}

int mmu_batch_close_for(const char *who, pfn_t table, unsigned int count, enum mmu_batch_kind kind,
			uint64_t va)
{
	struct mmu_batch *b = mmu_batch_this();
	struct frame *frame = frame_at(table);
	struct seg *seg;
	unsigned int i;

	ASSERT(count >= 1 && b->n.requests + count <= MMU_BATCH_ENTRIES);
	seg = add_seg(b, SEG_BULK, who);
	seg->table = (uint32_t)pfn_x(table);
	seg->level = 1;
	seg->bulk = (uint8_t)kind;
	seg->first = b->n.requests;
	seg->count = (uint16_t)count;
	if (count == 1 && va)
		seg->va = va + leaf_offset(&b->requests[seg->first]);
	b->n.requests = (uint16_t)(b->n.requests + count);
	frame->flags |= FRAME_QUEUED;
	if (kind == MMU_BATCH_MAP) {
		frame->live = (uint16_t)(frame->live + count);
		return queued(b);
	}
	if (kind == MMU_BATCH_UNMAP)
		frame->live = (uint16_t)(frame->live - count);
	if (b->invlpgs + count > MMU_BATCH_INVLPGS)
		va = 0;
	for (i = 0; i < count && !b->flush; i++)
		tlb_page(b, va ? va + leaf_offset(&b->requests[seg->first + i]) : 0);
	return queued(b);
}

unsigned int mmu_batch_room(void)
{
	const struct mmu_batch *b = mmu_batch_this();
	unsigned int requests = MMU_BATCH_ENTRIES - b->n.requests,
		     segs = MMU_BATCH_SINGLES - singles(b), riders = RIDERS_MAX - b->n.riders;
	unsigned int least = riders < segs ? riders : segs;

	return least < requests ? least : requests;
}
