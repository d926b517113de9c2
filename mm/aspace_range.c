/* SPDX-License-Identifier: MIT */
/*
 * Going over a range, piece by piece; the drawing is in aspace_range.h.
 *
 * A new L1 is linked as soon as it is queued to become read-only. New L2s and L3s are not: pieces
 * that follow still put entries into them by plain stores, and each L1 below must be read-only before Xen
 * looks. So the root of a new subtree is remembered, and its one link is queued when the
 * range leaves it:
 *
 *     L4 ---x---> L3 (new, root) --> L2 (new) --> L1 L1 L1 ...        x: queued last
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

int range_check_place(const struct aspace *as, uint64_t va, uint64_t last)
{
	if (last < va || !va_canonical(va) || !va_canonical(last) ||
	    va_is_user(va) != va_is_user(last))
		return -EINVAL;
	if (va_is_user(va))
		return as == &kernel_aspace ? -EPERM : 0;
	if (last >= XEN_VA_BASE && va < XEN_VA_END)
		return -EINVAL;
	return va >= VMAP_BASE && last < VMAP_END ? 0 : -EPERM;
}

int range_check_args(struct aspace *as, const struct aspace_range *r, enum aspace_rights rights)
{
	if (rights > ASPACE_RX)
		return -EACCES;
	if (as->broken)
		return -EIO;
	if (mmu_batch_depth() > 0)
		return -EBUSY;
	if (r->va % PAGE_SIZE || r->nr == 0 || r->nr > UINT64_C(1) << 36)
		return -EINVAL;
	return range_check_place(as, r->va, r->va + ((r->nr - 1) << PAGE_SHIFT));
}

int range_link(pfn_t table, unsigned int index, uint64_t value)
{
	if (!(frame_at(table)->flags & FRAME_OFFLINE))
		return mmu_batch_set(table, index, value, 0);
	table_store(table, index, value);
	return 0;
}

static int close_subtree(struct range_op *op)
{
	pfn_t root = op->root, parent = op->root_parent;

	if (pfn_eq(root, INVALID_PFN))
		return 0;
	op->root = INVALID_PFN;
	op->root_parent = INVALID_PFN;
	return range_link(parent, op->root_index, pte_make(pfn_to_mfn(root), PTE_LINK));
}

int range_new_table(unsigned int level, bool clear, bool reserved, pfn_t *table)
{
	int rc = reserved ? frame_alloc_reserved(OWNER_ASPACE, table)
			  : frame_alloc(0, OWNER_ASPACE, table);

	if (rc)
		return rc;
	rc = table_begin(*table, level, clear);
	if (rc)
		frame_free(*table, 0);
	return rc;
}

int range_table_ready(const struct range_op *op, pfn_t table)
{
	int rc;

	if (op->offline)
		return 0;
	rc = mmu_batch_make_table(table, table_release);
	if (rc) {
		table_forget(table);
		table_release(table);
	}
	return rc;
}

int range_make_parents(struct range_op *op, struct piece *p, unsigned int lowest)
{
	unsigned int level, index;
	pfn_t table, parent;
	int rc;

	while (p->bottom > lowest) {
		level = p->bottom - 1;
		parent = p->table[p->bottom];
		index = va_index(p->va, p->bottom);
		rc = range_new_table(level, true, false, &table);
		if (!rc)
			rc = range_table_ready(op, table);
		if (rc)
			return rc;
		p->table[level] = table;
		p->entry[p->bottom] = pte_make(pfn_to_mfn(table), PTE_LINK);
		if (op->offline || pfn_eq(parent, op->root)) {
			rc = range_link(parent, index, p->entry[p->bottom]);
		} else {
			rc = close_subtree(op);
			op->root = table;
			op->root_parent = parent;
			op->root_index = index;
		}
		if (rc)
			return rc;
		p->bottom = level;
	}
	return 0;
}

int range_table_leaves(const struct range_op *op, pfn_t table)
{
	if (!op->offline)
		return mmu_batch_unmake_table(table, table_release);
	table_forget(table);
	table_release(table);
	return 0;
}

/* Whether one entry is all that keeps a table. */
static bool is_nearly_empty(pfn_t table, unsigned int level)
{
	const struct frame *frame = frame_at(table);

	return level < 4 && frame->live == 1 && !table_is_kept(frame) &&
	       frame->owner != OWNER_KERNEL;
}

/* The tables below the one that is unlinked keep their links till they are forgotten, each after what links it. */
int range_unlink(const struct range_op *op, const struct piece *p, unsigned int level)
{
	unsigned int top = level + 1, at;
	int rc = 0;

	while (is_nearly_empty(p->table[top], top))
		top++;
	if (op->offline)
		table_store(p->table[top], va_index(p->va, top), 0);
	else
		rc = mmu_batch_set(p->table[top], va_index(p->va, top), 0, 0);
	for (at = top - 1; at >= level && !rc; at--)
		if (!is_shared(p->table[at]))
			rc = range_table_leaves(op, p->table[at]);
	return rc;
}

void range_exec_gone(struct range_op *op, uint64_t leaf)
{
	if ((leaf & (PTE_P | PTE_NX)) == PTE_P)
		op->gone->pfn[op->gone->nr++] = (uint32_t)pfn_x(mfn_to_pfn(pte_mfn(leaf)));
}

int range_exec_going(struct range_op *op, const struct piece *p)
{
	unsigned int i;
	int rc = 0;

	if (op->gone->nr + p->selected > TABLE_ENTRIES)
		rc = range_flush(op, p, false);
	if (rc)
		return rc;
	FOR_SELECTED (i, p)
		range_exec_gone(op, table_read(p->table[1], i));
	return 0;
}

/*
 * Frames that no longer are executable: writable in the direct map, unless another leaf counts. Those whose count is 0 were
 * counted ahead (aspace_rights.c).
 */
static void leaves_over(struct exec_list *list)
{
	unsigned int i, last = 0;

	for (i = 0; i < list->nr; i++) {
		const struct frame *frame = &frame_table[list->pfn[i]];

		if (frame->execs > 1)
			frame_count_execs(_pfn(list->pfn[i]), -1);
		else
			list->pfn[last++] = list->pfn[i];
	}
	aspace_exec_release(list->pfn, last);
}

int range_exec_coming(struct range_op *op, const struct piece *p, const uint32_t *pfns,
		      unsigned int n)
{
	int rc = range_flush(op, p, false);
	unsigned int i;

	if (rc)
		return rc;
	ASSERT(op->come->nr == 0);
	for (i = 0; i < n && !rc; i++) {
		rc = aspace_exec_queue(_pfn(pfns[i]));
		if (!rc)
			op->come->pfn[op->come->nr++] = pfns[i];
	}
	rc = mmu_batch_end(rc);
	op->failed = rc != 0;
	mmu_batch_begin();
	while (rc && op->come->nr > 0)
		frame_count_execs(_pfn(op->come->pfn[--op->come->nr]), -1);
	return rc;
}

void range_exec_queued(struct range_op *op, unsigned int n)
{
	struct exec_list *come = op->come;

	come->queued = n < come->nr - come->queued ? come->queued + n : come->nr;
}

/* The section is done, and with it what was queued; what its piece has yet to queue stays. */
static void leaves_came(struct exec_list *come)
{
	come->nr -= come->queued;
	memmove(come->pfn, come->pfn + come->queued, come->nr * sizeof(come->pfn[0]));
}

/* Ends the section, with @rc or what comes of it. */
static int end_section(struct range_op *op, int rc)
{
	struct exec_list *over;
	int end;

	if (!rc)
		rc = close_subtree(op);
	end = mmu_batch_end(rc);
	op->refused |= !rc && end;
	op->root = INVALID_PFN;
	op->root_parent = INVALID_PFN;
	over = end ? op->come : op->gone;
	if (over->nr > 0)
		leaves_over(over);
	over->nr = 0;
	if (op->come->nr > 0)
		leaves_came(op->come);
	op->gone->nr = 0;
	op->come->queued = 0;
	return end;
}

/* Where the walk ends above L2 there is nothing for as long as the missing entry reaches. */
static uint64_t next_page(const struct range_op *op, const struct piece *p)
{
	unsigned int level = p->bottom;
	uint64_t next;

	if (!op->skip_holes || level <= 2)
		return p->page + p->nr;
	next = ((p->va >> level_shift(level)) + 1) << level_shift(level);
	return (next - op->range->va) >> PAGE_SHIFT;
}

static int check_from(struct range_op *op, uint64_t page)
{
	struct piece p;
	int rc = 0;

	for (; page < op->end && !rc; page = next_page(op, &p)) {
		range_piece_at(op, page, &p);
		if (p.selected > 0)
			rc = op->check(op, &p);
	}
	return rc;
}

int range_flush(struct range_op *op, const struct piece *p, bool within)
{
	int rc = 0;

	/* Nothing has been sent: what can be found wrong in the rest is found now. */
	if (!op->sent && !op->checked && op->check) {
		rc = check_from(op, op->check_all ? op->start : p->page);
		op->checked = true;
	}
	rc = end_section(op, rc);
	op->failed = rc != 0;
	mmu_batch_begin();
	if (rc)
		return rc;
	op->sent = true;
	if (!op->undo && !op->insists) {
		op->insists = true;
		mmu_batch_insist(true);
	}
	op->done = within ? p->page + p->nr : p->page;
	return 0;
}

int range_room(struct range_op *op, const struct piece *p, unsigned int n)
{
	struct mmu_batch_mark queued = mmu_batch_mark();

	/* The link of the subtree that is open comes at the end. */
	n += !pfn_eq(op->root, INVALID_PFN);
	if (op->offline || queued.segs == 0 ||
	    (mmu_batch_room() >= PIECE_REQUESTS && MMU_BATCH_ENTRIES - queued.requests >= n))
		return 0;
	return range_flush(op, p, false);
}

static int go_over(struct range_op *op)
{
	struct piece p;
	uint64_t page;
	int rc = 0;

	for (page = op->start; page < op->end && !rc; page = next_page(op, &p)) {
		range_piece_at(op, page, &p);
		op->at = page;
		if (p.selected > 0)
			rc = op->piece(op, &p);
		if (rc || !op->offline)
			continue;
		/* Stores are done when they are made, and so is what comes of them. */
		op->done = page + p.nr;
		if (op->gone->nr > 0 || op->come->nr > 0)
			rc = range_flush(op, &p, true);
	}
	return rc;
}

/* Tables that were made for the pieces of the section that failed, and map nothing. */
static int prune(struct range_op *op)
{
	uint64_t page = op->done < op->at ? op->done : op->at;
	struct piece p;
	int rc = 0;

	for (; page <= op->at && !rc; page = next_page(op, &p)) {
		range_piece_at(op, page, &p);
		if (!is_empty(p.table[p.bottom], p.bottom))
			continue;
		mmu_batch_begin();
		rc = mmu_batch_end(range_unlink(op, &p, p.bottom));
	}
	return rc;
}

/* Earlier sections are done, or plain stores: back to where it began. */
static int take_back(struct range_op *op, int rc)
{
	int undo;

	mmu_batch_insist(true);
	undo = prune(op);
	if (!undo && op->done > op->start)
		undo = op->undo ? op->undo(op, op->done) : -EIO;
	mmu_batch_insist(false);
	return undo ? -EIO : rc;
}

int range_run(struct range_op *op)
{
	struct exec_list gone, come;
	int rc = 0, end;

	gone.nr = 0;
	come.nr = 0;
	come.queued = 0;
	op->gone = &gone;
	op->come = &come;
	if (op->end == 0)
		op->end = op->range->nr;
	op->done = op->start;
	op->at = op->start;
	op->split_gib = UINT64_MAX;
	op->user = va_is_user(op->range->va);
	op->current = !op->user || op->as == aspace_current();
	op->offline = op->user && (frame_at(op->as->l4)->flags & FRAME_OFFLINE);
	op->root = INVALID_PFN;
	op->root_parent = INVALID_PFN;
	/* What is done at once, by a store or in sync mode, would be found wrong itself, and not as it was before. */
	if ((op->offline || mmu_batch_sync()) && op->check) {
		rc = check_from(op, op->start);
		op->checked = true;
	}
	if (rc)
		return rc;
	mmu_batch_begin();
	rc = go_over(op);
	/* The report of a section that failed is not to be lost over an empty one. */
	end = end_section(op, op->failed ? 0 : rc);
	rc = end ? end : rc;
	if (rc && (op->sent || op->offline))
		rc = take_back(op, rc);
	if (rc == -EIO)
		op->as->broken = true;
	if (op->insists)
		mmu_batch_insist(false);
	return rc;
}
