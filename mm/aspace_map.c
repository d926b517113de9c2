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
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

/* Whether the piece's pfns are one aligned run of frames that the direct map's own L1 maps, all plain. */
static bool is_block(const struct range_op *op, const struct piece *p)
{
	uint64_t first, i;

	if (p->selected != TABLE_ENTRIES || op->rights == ASPACE_RX)
		return false;
	first = range_pfn(op, p->page);
	if (first % TABLE_ENTRIES || first + TABLE_ENTRIES > frame_table_nr)
		return false;
	for (i = 0; op->pfns && i < TABLE_ENTRIES; i++)
		if (pfn_x(op->pfns[p->page + i]) != first + i)
			return false;
	return frame_plain[first / TABLE_ENTRIES] == TABLE_ENTRIES;
}

/* The direct map's own table of @level, 1 or 2, of which all frames are plain and so in the direct map. */
static __always_inline int map_shared(struct range_op *op, struct piece *p, unsigned int level)
{
	unsigned int index;
	pfn_t table;
	bool found;
	int rc = range_make_parents(op, p, level + 1);

	if (rc)
		return rc;
	found = direct_map_l2(_pfn(range_pfn(op, p->page)), &table, &index);
	ASSERT(found);
	if (level == 1)
		table = table_below(table_read(table, index));
	else
		p->nr = L3_SPAN >> PAGE_SHIFT;
	return range_link(p->table[level + 1], va_index(p->va, level + 1),
			  pte_make(pfn_to_mfn(table), link_flags(op->rights)));
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
		if (frame_plain[pfn / TABLE_ENTRIES] < TABLE_ENTRIES)
			return false;
	return true;
}

/* All leaves of a piece are in its L1, whose frame that is, or queued. */
static void leaves_written(struct range_op *op, struct frame *frame)
{
	if (op->rights != ASPACE_RX)
		return;
	frame->flags |= FRAME_EXEC;
	range_exec_queued(op, EXEC_ALL);
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
	rc = range_unfit(op, p, range_fill(op, p, table_entries(l1)));
	if (rc) {
		table_forget(l1);
		table_release(l1);
		return rc;
	}
	frame = frame_at(l1);
	frame->live = (uint16_t)p->selected;
	leaves_written(op, frame);
	rc = range_table_ready(op, l1);
	if (rc)
		return rc;
	return range_link(p->table[2], va_index(p->va, 2), pte_make(pfn_to_mfn(l1), PTE_LINK));
}

int range_empty_l1(struct range_op *op, struct piece *p)
{
	pfn_t l1 = INVALID_PFN;
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

/* Xen does not know the table yet, and a range of such tables has been checked as a whole. */
static void map_stores(struct range_op *op, struct piece *p)
{
	struct frame *frame = frame_at(p->table[1]);

	range_fill(op, p, table_entries(p->table[1]));
	frame->live = (uint16_t)(frame->live + p->selected);
	leaves_written(op, frame);
}

static int map_entries(struct range_op *op, struct piece *p)
{
	struct frame *frame = frame_at(p->table[1]);
	struct mmu_batch_room room;
	uint64_t taken = 0;
	uint32_t common;
	int rc;

	if (frame->flags & FRAME_OFFLINE) {
		map_stores(op, p);
		return 0;
	}
	range_open(p, &room);
	common = range_ask(op, p, &room, &taken);
	if (taken & PTE_P)
		return -EEXIST;
	rc = range_unfit(op, p, common);
	if (rc)
		return rc;
	leaves_written(op, frame);
	return mmu_batch_close(p->table[1], p->selected, MMU_BATCH_MAP, range_table_va(op, p));
}

/* All that can be wrong, without a change. */
static int map_check(struct range_op *op, const struct piece *p)
{
	const uint64_t *l1 = p->bottom == 1 ? table_entries(p->table[1]) : NULL;
	uint64_t taken = 0;
	uint32_t common = range_look(op, p, l1, &taken);

	if (taken & PTE_P)
		return -EEXIST;
	return op->rights == ASPACE_RX ? range_unfit_one(op, p) : range_unfit(op, p, common);
}

/* Together with what is mapped already, in a copy. */
static int map_rewrite(struct range_op *op, struct piece *p, enum planner_way way)
{
	uint64_t want[TABLE_ENTRIES];
	/* What is to be executable has been looked at. */
	int rc = op->rights == ASPACE_RX ? 0 : map_check(op, p);

	if (rc)
		return rc;
	range_leaves(op, p, want);
	range_fill(op, p, want);
	return range_rewrite(op, p, want, false, way);
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
		.after_ro = op->rights == ASPACE_RW ? 0 : p->selected,
	};

	if (is_narrowed(op, p->upper) || (frame->flags & FRAME_QUEUED))
		return map_rewrite(op, p, WAYS);
	if (!op->by_entries && !table_is_kept(frame) &&
	    !(frame->flags & (FRAME_OFFLINE | FRAME_FOREIGN)))
		work.possible |= 1U << WAY_REBUILD;
	if (planner_best(&work) == WAY_REBUILD)
		return map_rewrite(op, p, WAY_REBUILD);
	planner_take(WAY_ENTRIES);
	return map_entries(op, p);
}

static int map_fresh(struct range_op *op, struct piece *p)
{
	struct planner_work work = {
		.possible = 1U << WAY_OFFLINE,
		.map = p->selected,
		.after = p->selected,
		.fresh = true,
	};
	int rc;

	if (is_block(op, p))
		work.possible |= 1U << WAY_SHARE;
	if (!op->offline)
		work.possible |= 1U << WAY_ENTRIES;
	if (op->by_entries)
		work.possible = 1U << WAY_ENTRIES;
	switch (planner_choose(&work)) {
	case WAY_SHARE:
		return map_shared(op, p, 1);
	case WAY_OFFLINE:
		return map_offline(op, p);
	default:
		rc = range_empty_l1(op, p);
		return rc ? rc : map_entries(op, p);
	}
}

static int narrow_frames(struct range_op *op, const struct piece *p)
{
	uint32_t pfns[TABLE_ENTRIES];
	unsigned int i, n = 0;

	FOR_SELECTED (i, p)
		pfns[n++] = (uint32_t)range_pfn(op, p->page + i - p->at);
	return range_exec_coming(op, p, pfns, n);
}

static int map_piece(struct range_op *op, struct piece *p)
{
	int rc;

	if (is_giant_block(op, p))
		return map_shared(op, p, 2);
	if (p->bottom == 1 && is_shared(p->table[1]))
		return -EEXIST;
	rc = range_room(op, p, p->bottom > 1 ? 0 : p->selected);
	/* Else whoever writes the entries looks at the frames and the slots, in the same pass. */
	if (!rc && op->rights == ASPACE_RX)
		rc = map_check(op, p);
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

static int map_by(struct aspace *as, const struct aspace_range *range, const pfn_t *pfns,
		  uint64_t first, enum aspace_rights rights, bool by_entries, bool *refused)
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
	int rc = range_run(&op);

	*refused = op.refused;
	return rc;
}

static int map(struct aspace *as, const struct aspace_range *range, const pfn_t *pfns,
	       uint64_t first, enum aspace_rights rights)
{
	bool refused;
	int rc = range_check_args(as, range, rights);

	if (rc)
		return rc;
	rc = map_by(as, range, pfns, first, rights, false, &refused);
	/* Entry by entry the page is found at which Xen refused a whole table. */
	if (rc && refused && rc != -EIO)
		rc = map_by(as, range, pfns, first, rights, true, &refused);
	return rc;
}

int aspace_map(struct aspace *as, const struct aspace_range *range, const pfn_t *pfns,
	       enum aspace_rights rights)
{
	if (is_one_page(range)) {
		int rc = range_map_one(as, range->va, pfn_x(pfns[0]), rights);

		if (likely(rc <= 0))
			return rc;
	}
	return map(as, range, pfns, 0, rights);
}

int aspace_map_block(struct aspace *as, const struct aspace_range *range, pfn_t first,
		     enum aspace_rights rights)
{
	if (is_one_page(range)) {
		int rc = range_map_one(as, range->va, pfn_x(first), rights);

		if (likely(rc <= 0))
			return rc;
	}
	return map(as, range, NULL, pfn_x(first), rights);
}
