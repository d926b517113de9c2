/* SPDX-License-Identifier: MIT */
/*
 * Rights of leaves, entry by entry: the loops that write the requests. Of what planner.c has for an entry Xen's part is
 * all but some thirty instructions; each that is saved here is one of these.
 *
 *     RW    mod_l1_entry takes a type reference of the new kind and drops the old one
 *     NX    its fast path: the frame's type does not depend on it, so it just writes the entry
 *
 * Source: mod_l1_entry, FASTPATH_FLAG_WHITELIST in Xen's arch/x86/mm.c.
 */
#include <pinion/lib/errno.h>
#include "aspace_range.h"

/* Requests for the selected leaves that lack RW, or @rw false, have it. Returns where the next would go. */
static __always_inline struct mmu_update *ask_rw(const struct range_op *op, const struct piece *p,
						 const struct mmu_batch_room *room, bool rw)
{
	uint64_t set = (rw ? PTE_RW | PTE_D : 0) | (op->user ? PTE_US : 0), ptr = room->ptr, leaf;
	const uint64_t *l1 = table_entries(p->table[1]);
	struct mmu_update *request = room->requests;

	FOR_MASK_WORDS (word, p) {
		FOR_WORD_BITS (i, p->mask[word]) {
			leaf = l1[i];
			OPAQUE(i);
			if (!(leaf & PTE_RW) != rw)
				continue;
			request->ptr = ptr + i * sizeof(uint64_t);
			request->val = (leaf & LEAF_KEPT & ~(PTE_RW | PTE_D)) | set;
			request++;
		}
		l1 += 64;
		ptr += 64 * sizeof(uint64_t);
	}
	return request;
}

static int close_asked(const struct range_op *op, const struct piece *p,
		       const struct mmu_batch_room *room, const struct mmu_update *end,
		       enum mmu_batch_kind kind)
{
	if (end == room->requests)
		return 0;
	return mmu_batch_close(p->table[1], (unsigned int)(end - room->requests), kind,
			       range_table_va(op, p));
}

int range_rw_entries(struct range_op *op, const struct piece *p)
{
	struct mmu_batch_room room;
	struct mmu_update *end;

	range_open(p, &room);
	end = op->rights == ASPACE_RW ? ask_rw(op, p, &room, true) : ask_rw(op, p, &room, false);
	return close_asked(op, p, &room, end, MMU_BATCH_RW);
}

/* Counts back what requests have counted. */
static void uncount(const struct mmu_batch_room *room, const struct mmu_update *end, int by)
{
	while (end-- > room->requests)
		frame_count_execs(table_below(end->val), by);
}

/*
 * Requests for the selected leaves that are executable, to be so no longer. Their frames' counts go down with them; those that
 * reach 0 are noted, and become writable in the direct map when the section is done. NULL, with nothing changed, if a
 * leaf has RW: then that has to change too. (W^X: none that is executable has it.)
 */
static struct mmu_update *ask_nx(struct range_op *op, const struct piece *p,
				 const struct mmu_batch_room *room)
{
	uint64_t set = PTE_NX | (op->user ? PTE_US : 0), ptr = room->ptr, leaf, pfn;
	const uint64_t *l1 = table_entries(p->table[1]);
	struct mmu_update *request = room->requests;
	struct exec_list *gone = op->gone;
	unsigned int before = gone->nr;
	struct frame *frames = frame_table;

	FOR_MASK_WORDS (word, p) {
		FOR_WORD_BITS (i, p->mask[word]) {
			leaf = l1[i];
			OPAQUE(i);
			if (leaf & PTE_NX) {
				if (!(leaf & PTE_RW))
					continue;
				uncount(room, request, 1);
				gone->nr = before;
				return NULL;
			}
			pfn = pfn_x(table_below(leaf));
			if (unlikely(--frames[pfn].execs == 0)) {
				frame_exec_nr--;
				gone->pfn[gone->nr++] = (uint32_t)pfn;
			}
			request->ptr = ptr + i * sizeof(uint64_t);
			request->val = (leaf & LEAF_KEPT) | set;
			request++;
		}
		l1 += 64;
		ptr += 64 * sizeof(uint64_t);
	}
	return request;
}

/* The other way, for frames that are executable elsewhere. NULL, with nothing changed, if one is not, or a leaf has RW. */
static struct mmu_update *ask_x(const struct range_op *op, const struct piece *p,
				const struct mmu_batch_room *room)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	uint64_t set = op->user ? PTE_US : 0, ptr = room->ptr, leaf;
	struct mmu_update *request = room->requests;
	struct frame *frame, *frames = frame_table;

	FOR_MASK_WORDS (word, p) {
		FOR_WORD_BITS (i, p->mask[word]) {
			leaf = l1[i];
			OPAQUE(i);
			if (!(leaf & (PTE_NX | PTE_RW)))
				continue;
			frame = &frames[pfn_x(table_below(leaf))];
			if ((leaf & PTE_RW) || frame->execs == 0) {
				uncount(room, request, -1);
				return NULL;
			}
			frame->execs++;
			request->ptr = ptr + i * sizeof(uint64_t);
			request->val = (leaf & LEAF_KEPT & ~PTE_NX) | set;
			request++;
		}
		l1 += 64;
		ptr += 64 * sizeof(uint64_t);
	}
	return request;
}

int range_nx_entries(struct range_op *op, const struct piece *p)
{
	struct mmu_batch_room room;
	struct mmu_update *end;
	int rc = range_room(op, p, p->selected);

	if (!rc && op->rights != ASPACE_RX && op->gone->nr + p->selected > TABLE_ENTRIES)
		rc = range_flush(op, p, false);
	if (rc)
		return rc;
	range_open(p, &room);
	if (op->rights == ASPACE_RX)
		frame_at(p->table[1])->flags |= FRAME_EXEC;
	end = op->rights == ASPACE_RX ? ask_x(op, p, &room) : ask_nx(op, p, &room);
	return end ? close_asked(op, p, &room, end, MMU_BATCH_NX) : 1;
}
