/* SPDX-License-Identifier: MIT */
/*
 * Unmapping a range (see <pinion/mm/aspace.h>).
 *
 *     all that an L1 maps         the L1 is unlinked, and each table above that is empty then
 *     a whole shared piece        its one entry
 *     a part of a shared piece    split: a private copy without that part
 *     else                        entries, or a rebuilt copy where few are left
 *
 * Giving memory back must not fail for want of memory: only a split needs some, and may take the reserve's.
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/planner.h>
#include "aspace_range.h"

/* What is left when the selected leaves are gone. */
static int unmap_rewrite(struct range_op *op, struct piece *p, enum planner_way way)
{
	uint64_t want[TABLE_ENTRIES];
	unsigned int i;

	range_leaves(op, p, want);
	FOR_SELECTED (i, p)
		want[i] = 0;
	return range_rewrite(op, p, want, true, way);
}

static unsigned int count_mapped(const struct piece *p)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	unsigned int i, mapped = 0;

	if (p->selected == TABLE_ENTRIES)
		return frame_at(p->table[1])->live;
	FOR_SELECTED (i, p)
		mapped += l1[i] & PTE_P;
	return mapped;
}

/* The requests, not closed yet. */
static unsigned int clear_entries(const struct piece *p, const struct mmu_batch_room *room)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	struct mmu_update *request = room->requests;
	uint64_t *old = room->old, ptr = room->ptr, leaf;

	FOR_MASK_WORDS (word, p) {
		FOR_WORD_BITS (i, p->mask[word]) {
			leaf = l1[i];
			if (!(leaf & PTE_P))
				continue;
			request->ptr = ptr + i * sizeof(uint64_t);
			request->val = 0;
			request++;
			*old++ = leaf;
		}
		l1 += 64;
		ptr += 64 * sizeof(uint64_t);
	}
	return (unsigned int)(request - room->requests);
}

static void clear_stores(const struct piece *p)
{
	unsigned int i;

	FOR_SELECTED (i, p)
		table_store(p->table[1], i, 0);
}

/* All that the L1 maps goes, and with it the L1. */
static int unmap_table(struct range_op *op, struct piece *p)
{
	int rc = range_room(op, p, 0);

	if (!rc && (frame_at(p->table[1])->flags & FRAME_EXEC))
		rc = range_exec_going(op, p);
	return rc ? rc : range_unlink(op, p, 1);
}

/* Whether so many leaves are all that the L1 has, and it may go. */
static bool is_all(const struct frame *frame, unsigned int mapped)
{
	return mapped == frame->live && !table_is_kept(frame) && !(frame->flags & FRAME_FOREIGN);
}

/*
 * Requests are written as the leaves are looked at, and only then it shows whether they are all that the L1 has, or so many that a
 * copy without them is cheaper: then they are not closed.
 */
static int unmap_entries(struct range_op *op, struct piece *p)
{
	const struct frame *frame = frame_at(p->table[1]);
	struct planner_work work = { .possible = 1U << WAY_ENTRIES, .before = frame->live };
	struct mmu_batch_room room;
	int rc = range_room(op, p, p->selected);

	if (rc)
		return rc;
	range_open(p, &room);
	work.unmap = clear_entries(p, &room);
	work.after = work.before - work.unmap;
	if (work.unmap == 0)
		return 0;
	if (is_all(frame, work.unmap))
		return unmap_table(op, p);
	if (!table_is_kept(frame) && !(frame->flags & FRAME_FOREIGN))
		work.possible |= 1U << WAY_REBUILD;
	if (planner_best(&work) == WAY_REBUILD)
		return unmap_rewrite(op, p, WAY_REBUILD);
	planner_take(WAY_ENTRIES);
	return mmu_batch_close(p->table[1], work.unmap, MMU_BATCH_UNMAP, range_table_va(op, p));
}

static int unmap_leaves(struct range_op *op, struct piece *p)
{
	const struct frame *frame = frame_at(p->table[1]);
	unsigned int mapped;

	if (p->selected < TABLE_ENTRIES &&
	    !(frame->flags & (FRAME_EXEC | FRAME_QUEUED | FRAME_OFFLINE)))
		return unmap_entries(op, p);
	mapped = count_mapped(p);
	if (mapped == 0)
		return 0;
	if (is_all(frame, mapped))
		return unmap_table(op, p);
	if ((frame->flags & FRAME_OFFLINE) && !(frame->flags & FRAME_EXEC)) {
		clear_stores(p);
		return 0;
	}
	return unmap_rewrite(op, p, WAYS);
}

/*
 * Entries of frames that are not ours are taken out one by one, so that an undo can put back each of them: a table that has
 * some would not be linked again. Empty, it goes like any other.
 */
static int unmap_private(struct range_op *op, struct piece *p)
{
	const struct frame *frame = frame_at(p->table[1]);
	bool foreign = frame->flags & FRAME_FOREIGN;
	int rc = unmap_leaves(op, p);

	if (rc || !foreign || frame->live > 0 || frame->holds)
		return rc;
	if (!op->offline && mmu_batch_room() < PIECE_REQUESTS)
		rc = range_flush(op, p, true);
	return rc ? rc : range_unlink(op, p, 1);
}

static int unmap_piece(struct range_op *op, struct piece *p)
{
	int rc = 0;

	if (p->bottom > 1)
		return 0;
	if (is_shared(p->table[2]) && is_giant(op, p)) {
		p->nr = L3_SPAN >> PAGE_SHIFT;
		rc = range_room(op, p, 0);
		return rc ? rc : range_unlink(op, p, 2);
	}
	if (is_shared(p->table[2]))
		rc = range_split_l2(op, p, true);
	if (rc)
		return rc;
	if (!is_shared(p->table[1]))
		return unmap_private(op, p);
	rc = range_room(op, p, 0);
	if (rc)
		return rc;
	return p->selected == TABLE_ENTRIES ? range_unlink(op, p, 1) : unmap_rewrite(op, p, WAYS);
}

/* What has been unmapped when memory runs out could not be mapped again. */
static int unmap_check(struct range_op *op, const struct piece *p)
{
	return p->bottom > 1 ? 0 : range_split_check(op, p, false, p->selected < TABLE_ENTRIES);
}

int aspace_unmap(struct aspace *as, const struct aspace_range *range)
{
	struct range_op op = {
		.as = as,
		.range = range,
		.piece = unmap_piece,
		.check = unmap_check,
		.skip_holes = true,
	};
	int rc = is_one_page(range) ? range_unmap_one(as, range->va) : 1;

	if (rc <= 0)
		return rc;
	rc = range_check_args(as, range, ASPACE_R);
	return rc ? rc : range_run(&op);
}
