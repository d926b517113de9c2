/* SPDX-License-Identifier: MIT */
/*
 * Changed copies of tables: how many leaves change at once, how a shared table is split, and how rights
 * that an upper entry had narrowed come down into the leaves.
 *
 *      L2  [ i ] --RO--> L1 (shared or narrowed)        before: one entry narrows 512 pages
 *          [ i ] ------> L1' (a copy)                   after: the pages carry their rights themselves
 *
 * A leaf is written anew from what it means (frame, rights, whose half), never copied: Xen's own bits (GUEST_KERNEL,
 * GLOBAL) belong to the place it was read from. What a leaf may do less than its page's frame is kept in
 * the leaf, what a piece may do less in the entry above: see <pinion/mm/aspace.h>.
 *
 * The split of a shared piece gives the address space a copy; the direct map keeps its own.
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

/* What tells two leaves apart; A and D don't. */
#define LEAF_MEANS (PTE_P | PTE_RW | PTE_PWT | PTE_PCD | PTE_PAT | PTE_NX | PTE_ADDR_MASK)

unsigned int range_leaves(const struct range_op *op, const struct piece *p, uint64_t *leaves)
{
	uint64_t user = op->user ? PTE_US : 0, *l1 = table_entries(p->table[1]), leaf;
	unsigned int i, live = 0;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		leaf = READ_ONCE(l1[i]);
		if (!(leaf & PTE_P)) {
			leaves[i] = 0;
			continue;
		}
		leaf = (leaf & LEAF_KEPT) | user | (p->upper & PTE_NX);
		if (!(p->upper & PTE_RW))
			leaf &= ~(PTE_RW | PTE_D);
		leaves[i] = leaf;
		live++;
	}
	return live;
}

static bool is_exec(uint64_t leaf)
{
	return (leaf & (PTE_P | PTE_NX)) == PTE_P;
}

/* 1 for a leaf that is present and read-only. */
static uint64_t is_read_only(uint64_t leaf)
{
	static_assert(PTE_RW == PTE_P << 1, "neighbours");
	return leaf & ~(leaf >> 1) & PTE_P;
}

/* Counts what is there, and what is to change. */
static void survey(const struct piece *p, const uint64_t *want, struct planner_work *w)
{
	uint64_t before = 0, before_ro = 0, after = 0, after_ro = 0, diff, i;
	const uint64_t *now = table_entries(p->table[1]);

	for (i = 0; i < TABLE_ENTRIES; i++) {
		before += now[i] & PTE_P;
		before_ro += is_read_only(now[i]);
		after += want[i] & PTE_P;
		after_ro += is_read_only(want[i]);
		diff = (now[i] ^ want[i]) & LEAF_MEANS;
		if (!diff)
			continue;
		if ((diff & PTE_P) && (want[i] & PTE_P))
			w->map++;
		else if (diff & PTE_P)
			w->unmap++;
		else if (diff & PTE_RW)
			w->rw++;
		else
			w->nx++;
	}
	w->before = (unsigned int)before;
	w->before_ro = (unsigned int)before_ro;
	w->after = (unsigned int)after;
	w->after_ro = (unsigned int)after_ro;
}

/* The entry above, with nothing narrowed. */
static uint64_t wide_link(pfn_t table)
{
	return pte_make(pfn_to_mfn(table), PTE_LINK);
}

static int by_copy(struct range_op *op, struct piece *p, const uint64_t *want, pfn_t copy)
{
	uint64_t *l1 = table_entries(copy), all = PTE_NX, absent = PTE_NX;
	unsigned int i, live = 0;
	pfn_t old = p->table[1];
	int rc;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		l1[i] = want[i];
		live += want[i] & PTE_P;
		all &= want[i] ? want[i] : absent;
	}
	frame_at(copy)->live = (uint16_t)live;
	frame_at(copy)->flags |= all ? 0 : FRAME_EXEC;
	range_exec_queued(op, EXEC_ALL);
	rc = range_table_ready(op, copy);
	if (!rc)
		rc = range_link(p->table[2], va_index(p->va, 2), wide_link(copy));
	for (i = 0; i < TABLE_ENTRIES && !rc && (frame_at(old)->flags & FRAME_EXEC); i++)
		if (!is_exec(want[i]))
			range_exec_gone(op, table_read(old, i));
	if (!rc && !is_shared(old))
		rc = range_table_leaves(op, old);
	p->table[1] = copy;
	return rc;
}

/* In the order that never shows more rights than before: leaves first, then the entry above. */
static int by_entries(struct range_op *op, struct piece *p, const uint64_t *want)
{
	uint64_t now, va = range_table_va(op, p), link = wide_link(p->table[1]);
	pfn_t l1 = p->table[1];
	unsigned int i;
	int rc = 0;

	for (i = 0; i < TABLE_ENTRIES && !rc; i++) {
		now = table_read(l1, i);
		if (((now ^ want[i]) & LEAF_MEANS) == 0)
			continue;
		if (mmu_batch_room() < PIECE_REQUESTS)
			rc = range_flush(op, p, true);
		if (rc)
			return rc;
		if (!is_exec(want[i]))
			range_exec_gone(op, now);
		else if (!is_exec(now))
			range_exec_queued(op, 1);
		if (frame_at(l1)->flags & FRAME_OFFLINE)
			table_store(l1, i, want[i]);
		else
			rc = mmu_batch_set(l1, i, want[i],
					   va ? va + ((uint64_t)i << PAGE_SHIFT) : 0);
	}
	if (!rc && ((p->entry[2] ^ link) & (PTE_RW | PTE_NX)))
		rc = range_link(p->table[2], va_index(p->va, 2), link);
	return rc;
}

int range_rewrite(struct range_op *op, struct piece *p, const uint64_t *want, bool reserved,
		  enum planner_way way)
{
	const struct frame *frame = frame_at(p->table[1]);
	bool shared = is_shared(p->table[1]), may_copy;
	struct planner_work work = { .possible = 1U << WAY_REBUILD };
	pfn_t copy = INVALID_PFN;
	int rc = 0;

	if (op->gone->nr > 0)
		rc = range_flush(op, p, false);
	if (!rc)
		rc = range_room(op, p, 0);
	if (rc)
		return rc;
	may_copy = !op->by_entries && !table_is_kept(frame) &&
		   !(frame->flags & (FRAME_FOREIGN | FRAME_OFFLINE)) &&
		   frame_alloc_free() > op->splits;
	/* A shared L1 must be copied whatever changes. */
	if (!shared && !(may_copy && way == WAY_REBUILD)) {
		survey(p, want, &work);
		work.upper_rw = (p->entry[2] & PTE_RW) == 0;
		work.possible = 1U << WAY_ENTRIES | (unsigned int)may_copy << WAY_REBUILD;
	}
	if (planner_choose(&work) != WAY_REBUILD)
		return by_entries(op, p, want);
	rc = range_new_table(1, false, reserved && shared, &copy);
	if (rc)
		return shared ? rc : by_entries(op, p, want);
	return by_copy(op, p, want, copy);
}

/* A GiB that the range has all of is changed in its one entry. */
static bool has_all_of_gib(const struct range_op *op, uint64_t gib)
{
	uint64_t first = op->range->va + (op->start << PAGE_SHIFT),
		 end = op->range->va + (op->end << PAGE_SHIFT);

	return !op->range->select && gib << L3_SHIFT >= first && (gib + 1) << L3_SHIFT <= end;
}

int range_split_check(struct range_op *op, const struct piece *p, bool l2, bool l1)
{
	uint64_t gib = p->va >> L3_SHIFT;

	l2 |= is_shared(p->table[2]);
	if (l2 && has_all_of_gib(op, gib))
		return 0;
	if (l2 && gib != op->split_gib) {
		op->splits++;
		op->split_gib = gib;
	}
	op->splits += l1 && is_shared(p->table[1]);
	return op->splits > frame_alloc_free() + frame_alloc_reserve() ? -ENOMEM : 0;
}

/* An entry of p's L2 that does by itself what it does together with the L3 entry. */
static uint64_t narrowed(const struct piece *p, uint64_t entry)
{
	uint64_t upper = combine(PTE_RW, p->entry[3]);

	if (!(entry & PTE_P))
		return 0;
	entry = pte_make(pte_mfn(entry), pte_flags(entry) | (upper & PTE_NX));
	return (upper & PTE_RW) ? entry : entry & ~PTE_RW;
}

void range_copy_l2(const struct piece *p, pfn_t copy)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++)
		table_store(copy, i, narrowed(p, table_read(p->table[2], i)));
}

/* What the L3 entry narrows is narrowed in all entries below first, and only then no longer there. */
static int narrow_l2(struct range_op *op, struct piece *p)
{
	uint64_t now, want;
	unsigned int i;
	int rc = 0;

	for (i = 0; i < TABLE_ENTRIES && !rc; i++) {
		now = table_read(p->table[2], i);
		want = narrowed(p, now);
		if (((now ^ want) & (PTE_RW | PTE_NX)) == 0)
			continue;
		rc = range_room(op, p, 0);
		if (!rc)
			rc = range_link(p->table[2], i, want);
	}
	if (!rc)
		rc = range_room(op, p, 0);
	return rc ? rc : range_link(p->table[3], va_index(p->va, 3), wide_link(p->table[2]));
}

static int copy_l2(struct range_op *op, struct piece *p, bool reserved)
{
	pfn_t old = p->table[2], copy;
	int rc = range_room(op, p, 0);

	if (!rc)
		rc = range_new_table(2, true, reserved, &copy);
	if (rc)
		return rc;
	range_copy_l2(p, copy);
	rc = range_table_ready(op, copy);
	if (!rc)
		rc = range_link(p->table[3], va_index(p->va, 3), wide_link(copy));
	if (!rc && !is_shared(old))
		rc = range_table_leaves(op, old);
	op->split_gib = p->va >> L3_SHIFT;
	p->table[2] = copy;
	return rc;
}

int range_split_l2(struct range_op *op, struct piece *p, bool reserved)
{
	bool kept = !is_shared(p->table[2]) && table_is_kept(frame_at(p->table[2]));
	int rc = kept ? narrow_l2(op, p) : copy_l2(op, p, reserved);

	/* The table is what it is to be before anything in it is changed. */
	if (!rc)
		rc = range_flush(op, p, false);
	p->entry[3] = wide_link(p->table[2]);
	p->entry[2] = table_read(p->table[2], va_index(p->va, 2));
	p->upper = combine(PTE_RW, p->entry[2]);
	return rc;
}
