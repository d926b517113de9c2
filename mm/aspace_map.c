/* SPDX-License-Identifier: MIT */
/*
 * Mapping a range (see <pinion/mm/aspace.h> and planner.h).
 *
 *     no L1 yet      share    one aligned run of 512 plain frames
 *                    offline  else
 *     a private L1   entries, or rebuild where many are to be added to it
 *     a shared L1    everything is mapped already: -EEXIST
 *
 * Frames are looked at before anything is queued: they must be data, and for writing plain, which
 * rules out tables and whatever is executable somewhere. What only Xen knows (a frame that a
 * raw hypercall made a descriptor table of) it says at the link of the whole table. Then the piece is done again
 * entry by entry, which names the frame.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

static uint64_t op_pfn(const struct range_op *op, uint64_t page)
{
	return op->pfns ? pfn_x(op->pfns[page]) : op->first + page;
}

/* => the frame is data of ours, so the P2M has RAM for it */
static uint64_t ram_mfn(uint64_t pfn)
{
	return kernel_p2m.top[pfn >> 2 * P2M_SHIFT][pfn >> P2M_SHIFT & (P2M_ENTRIES - 1)]
			     [pfn & (P2M_ENTRIES - 1)];
}

/* Why this one frame can't be mapped with these rights, or 0. */
static int frame_unfit(pfn_t pfn, enum aspace_rights rights)
{
	const struct frame *frame = frame_at(pfn);

	if (!frame || (frame->kind != FRAME_DATA && frame->kind != FRAME_TABLE))
		return -EINVAL;
	if (frame->kind == FRAME_TABLE)
		return -EBUSY;
	if (rights == ASPACE_RW)
		return frame->flags & FRAME_PLAIN ? 0 : -EBUSY;
	if (rights == ASPACE_RX)
		return aspace_exec_unfit(pfn);
	return 0;
}

static int frames_unfit(const struct range_op *op, const struct piece *p)
{
	unsigned int i;
	int rc;

	FOR_SELECTED(i, p)
	{
		rc = frame_unfit(_pfn(op_pfn(op, p->page + i - p->at)), op->rights);
		if (rc)
			return rc;
	}
	return 0;
}

/* What all selected frames have in common; 0 if a pfn has no entry. */
static uint32_t frames_common(const struct range_op *op, const struct piece *p)
{
	const struct frame *frames = frame_table;
	uint64_t end = frame_table_nr, pfn;
	uint32_t common = UINT32_MAX;
	unsigned int i;

	FOR_SELECTED(i, p)
	{
		pfn = op_pfn(op, p->page + i - p->at);
		if (pfn >= end)
			return 0;
		common &= frame_word(&frames[pfn]);
	}
	return common;
}

static int frames_check(const struct range_op *op, const struct piece *p)
{
	uint32_t want = op->rights == ASPACE_RW ? FRAME_WORD_PLAIN : FRAME_WORD_DATA;

	if (op->rights != ASPACE_RX && (frames_common(op, p) & want) == want)
		return 0;
	return frames_unfit(op, p);
}

/* The same for 512 frames of a run: one instruction each. => they are in the frame table */
static uint32_t run_common(uint64_t first)
{
	const struct frame *frames = frame_table + first, *end = frames + TABLE_ENTRIES;
	uint32_t common = UINT32_MAX;
	unsigned int i;

	for (; frames < end; frames += 16)
#pragma GCC unroll 16
		for (i = 0; i < 16; i++)
			common &= frame_word(&frames[i]);
	return common;
}

/* Whether the piece's pfns are one aligned run of frames that the direct map's own L1 maps, all plain. */
static bool is_block(const struct range_op *op, const struct piece *p)
{
	uint64_t first, i;

	if (p->selected != TABLE_ENTRIES || op->rights == ASPACE_RX)
		return false;
	first = op_pfn(op, p->page);
	if (first % TABLE_ENTRIES || first + TABLE_ENTRIES > frame_table_nr)
		return false;
	for (i = 0; op->pfns && i < TABLE_ENTRIES; i++)
		if (pfn_x(op->pfns[p->page + i]) != first + i)
			return false;
	return (run_common(first) & FRAME_WORD_PLAIN) == FRAME_WORD_PLAIN;
}

static int map_shared(struct range_op *op, struct piece *p)
{
	unsigned int index;
	pfn_t l2, l1;
	int rc = range_make_parents(op, p, 2);

	if (rc)
		return rc;
	if (!direct_map_l2(_pfn(op_pfn(op, p->page)), &l2, &index))
		return -EINVAL;
	l1 = table_below(table_read(l2, index));
	return range_link(p->table[2], va_index(p->va, 2),
			  pte_make(pfn_to_mfn(l1), link_flags(op->rights)));
}

/* 1 GiB: the direct map's L2, if all of it is RAM. */
static bool is_giant_block(const struct range_op *op, const struct piece *p)
{
	uint64_t pages = L3_SPAN >> PAGE_SHIFT, pfn;

	if (op->pfns || p->bottom < 3 || op->rights == ASPACE_RX || !is_giant(op, p) ||
	    (op->first + p->page) % pages)
		return false;
	pfn = op->first + p->page;
	if (pfn + pages > frame_table_nr)
		return false;
	for (pages += pfn; pfn < pages; pfn += TABLE_ENTRIES)
		if ((run_common(pfn) & FRAME_WORD_PLAIN) != FRAME_WORD_PLAIN)
			return false;
	return true;
}

static int map_giant(struct range_op *op, struct piece *p)
{
	unsigned int index;
	pfn_t l2;
	int rc = range_make_parents(op, p, 3);

	if (rc)
		return rc;
	if (!direct_map_l2(_pfn(op->first + p->page), &l2, &index))
		return -EINVAL;
	p->nr = L3_SPAN >> PAGE_SHIFT;
	return range_link(p->table[3], va_index(p->va, 3),
			  pte_make(pfn_to_mfn(l2), link_flags(op->rights)));
}

/* Writes the selected entries of a table that Xen doesn't know yet. */
static void fill(const struct range_op *op, const struct piece *p, uint64_t *l1)
{
	uint64_t flags = leaf_flags(op->user, op->rights);
	const pfn_t *pfns = op->pfns ? op->pfns + p->page : NULL;
	unsigned int i;

	if (pfns && p->selected == TABLE_ENTRIES) {
		for (i = 0; i < TABLE_ENTRIES; i++)
			l1[i] = ram_mfn(pfn_x(pfns[i])) << PAGE_SHIFT | flags;
		return;
	}
	FOR_SELECTED(i, p)
	l1[i] = ram_mfn(op_pfn(op, p->page + i - p->at)) << PAGE_SHIFT | flags;
}

static int map_offline(struct range_op *op, struct piece *p)
{
	struct frame *frame;
	pfn_t l1;
	int rc = range_make_parents(op, p, 2);

	if (!rc)
		rc = range_new_table(1, p->selected < TABLE_ENTRIES, false, &l1);
	if (rc)
		return rc;
	fill(op, p, table_entries(l1));
	frame = frame_at(l1);
	frame->live = (uint16_t)p->selected;
	frame->flags |= op->rights == ASPACE_RX ? FRAME_EXEC : 0;
	rc = range_table_ready(op, l1);
	if (rc)
		return rc;
	return range_link(p->table[2], va_index(p->va, 2), pte_make(pfn_to_mfn(l1), PTE_LINK));
}

int range_empty_l1(struct range_op *op, struct piece *p)
{
	pfn_t l1;
	int rc = range_make_parents(op, p, 2);

	if (!rc)
		rc = range_new_table(1, true, false, &l1);
	if (!rc)
		rc = range_table_ready(op, l1);
	if (!rc)
		rc = range_link(p->table[2], va_index(p->va, 2),
				pte_make(pfn_to_mfn(l1), PTE_LINK));
	if (!rc)
		rc = range_flush(op, p, false);
	p->table[1] = l1;
	p->bottom = 1;
	return rc;
}

static int map_entries(struct range_op *op, struct piece *p)
{
	uint64_t flags = leaf_flags(op->user, op->rights), *l1 = table_entries(p->table[1]);
	struct frame *frame = frame_at(p->table[1]);
	struct mmu_batch_room room;
	unsigned int i, n = 0;
	int rc;

	if (op->rights == ASPACE_RX)
		frame->flags |= FRAME_EXEC;
	if (frame->flags & FRAME_OFFLINE) {
		fill(op, p, l1);
		frame->live = (uint16_t)(frame->live + p->selected);
		return 0;
	}
	rc = mmu_batch_open(p->table[1], &room);
	if (rc)
		return rc;
	FOR_SELECTED(i, p)
	{
		room.requests[n].ptr = room.ptr + i * sizeof(uint64_t);
		room.requests[n].val =
			ram_mfn(op_pfn(op, p->page + i - p->at)) << PAGE_SHIFT | flags;
		room.old[n++] = 0;
	}
	return mmu_batch_close(p->table[1], n, 1, range_table_va(op, p));
}

/* Together with what is mapped already, in a copy. */
static int map_rewrite(struct range_op *op, struct piece *p)
{
	uint64_t want[TABLE_ENTRIES];

	range_leaves(op, p, want);
	fill(op, p, want);
	return range_rewrite(op, p, want, false);
}

/* The rights wanted are more than the entries above the L1 allow. */
static bool is_narrowed(const struct range_op *op, uint64_t upper)
{
	return (op->rights == ASPACE_RW && !(upper & PTE_RW)) ||
	       (op->rights == ASPACE_RX && (upper & PTE_NX));
}

/* The piece has an L1 of its own. */
static int map_beside(struct range_op *op, struct piece *p)
{
	const struct frame *frame = frame_at(p->table[1]);
	struct planner_work work = {
		.possible = 1U << WAY_ENTRIES,
		.map = p->selected,
		.before = frame->live,
		.after = frame->live + p->selected,
	};

	if (is_narrowed(op, p->upper) || (frame->flags & FRAME_QUEUED))
		return map_rewrite(op, p);
	if (!frame->holds && !(frame->flags & (FRAME_OFFLINE | FRAME_FOREIGN)))
		work.possible |= 1U << WAY_REBUILD;
	return planner_choose(&work) == WAY_REBUILD ? map_rewrite(op, p) : map_entries(op, p);
}

static int map_fresh(struct range_op *op, struct piece *p)
{
	struct planner_work work = {
		.possible = 1U << WAY_OFFLINE,
		.map = p->selected,
		.after = p->selected,
	};
	int rc;

	if (is_block(op, p))
		work.possible |= 1U << WAY_SHARE;
	if (op->by_entries)
		work.possible = 1U << WAY_ENTRIES;
	switch (planner_choose(&work)) {
	case WAY_SHARE:
		return map_shared(op, p);
	case WAY_OFFLINE:
		return map_offline(op, p);
	default:
		rc = range_empty_l1(op, p);
		return rc ? rc : map_entries(op, p);
	}
}

/* Whether something selected is mapped. */
static bool is_taken(const struct piece *p)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	uint64_t taken = 0;
	unsigned int i;

	FOR_SELECTED(i, p)
	taken |= l1[i];
	return taken & PTE_P;
}

static int map_check(struct range_op *op, const struct piece *p)
{
	if (p->bottom == 1 && (is_shared(p->table[1]) || is_taken(p)))
		return -EEXIST;
	return frames_check(op, p);
}

static int narrow_frames(struct range_op *op, const struct piece *p)
{
	uint32_t pfns[TABLE_ENTRIES];
	unsigned int i, n = 0;

	FOR_SELECTED(i, p)
	pfns[n++] = (uint32_t)op_pfn(op, p->page + i - p->at);
	return range_exec_coming(op, p, pfns, n);
}

static int map_piece(struct range_op *op, struct piece *p)
{
	int rc;

	if (is_giant_block(op, p))
		return map_giant(op, p);
	rc = map_check(op, p);
	if (!rc)
		rc = range_room(op, p, p->bottom > 1 ? 0 : p->selected);
	if (!rc && op->rights == ASPACE_RX)
		rc = narrow_frames(op, p);
	if (!rc && p->bottom <= 2 && is_narrowed(op, combine(PTE_RW, p->entry[3])))
		rc = range_split_l2(op, p, false);
	if (rc)
		return rc;
	return p->bottom > 1 ? map_fresh(op, p) : map_beside(op, p);
}

static int map_undo(struct range_op *op, uint64_t pages)
{
	struct aspace_range done = { op->range->va, pages, op->range->select };

	return aspace_unmap(op->as, &done);
}

static int map(struct aspace *as, const struct aspace_range *range, const pfn_t *pfns,
	       uint64_t first, enum aspace_rights rights, bool by_entries)
{
	struct range_op op = {
		.as = as,
		.range = range,
		.piece = map_piece,
		.check = map_check,
		.undo = map_undo,
		.pfns = pfns,
		.first = first,
		.rights = rights,
		.by_entries = by_entries,
	};
	int rc = range_check_args(as, range);

	if (rc)
		return rc;
	rc = range_run(&op);
	/* Entry by entry the page is found at which Xen refused a whole table. */
	if (rc && op.refused && !by_entries && rc != -EIO)
		rc = map(as, range, pfns, first, rights, true);
	return rc;
}

int aspace_map(struct aspace *as, const struct aspace_range *range, const pfn_t *pfns,
	       enum aspace_rights rights)
{
	return map(as, range, pfns, 0, rights, false);
}

int aspace_map_block(struct aspace *as, const struct aspace_range *range, pfn_t first,
		     enum aspace_rights rights)
{
	return map(as, range, NULL, pfn_x(first), rights, false);
}
