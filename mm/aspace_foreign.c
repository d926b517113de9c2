/* SPDX-License-Identifier: MIT */
/*
 * Mapping frames that are not ours: another domain's, or the machine's devices (see <pinion/mm/aspace.h>).
 *
 * Xen grants such a mapping to the hypercall that asks for it and names the owner, and to nothing else: a table
 * with such an entry would not pass validation as a whole. So these go entry by entry into a table
 * that Xen knows already, and the table is marked: it is never rebuilt.
 *
 * Source: do_mmu_update (pg_owner) and get_page_from_l1e in Xen's arch/x86/mm.c.
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/m2p.h>
#include "aspace_range.h"

#define CACHE_BITS (PTE_PWT | PTE_PCD | PTE_PAT)

/* An MFN that no page table can hold. */
#define MFN_LIMIT (UINT64_C(1) << 40)

/* Xen would map it, and the counts of who writes and who executes it would not know. */
static bool is_ours(mfn_t mfn)
{
	const struct frame *frame = frame_at(mfn_to_pfn(mfn));

	return frame && frame->kind != FRAME_NONE;
}

static int foreign_check(struct range_op *op, const struct piece *p)
{
	/* Of a table of the direct map's nothing is absent. */
	const uint64_t *l1 = p->bottom == 1 ? table_entries(p->table[1]) : NULL;
	unsigned int i;
	mfn_t mfn;

	FOR_SELECTED (i, p) {
		if (l1 && (l1[i] & PTE_P))
			return -EEXIST;
		mfn = op->mfns[p->page + i - p->at];
		if (mfn_x(mfn) >= MFN_LIMIT || is_ours(mfn))
			return -EINVAL;
	}
	return 0;
}

static int foreign_entries(struct range_op *op, struct piece *p)
{
	uint64_t flags = leaf_flags(op->user, op->rights) | op->cache;
	uint64_t va = range_table_va(op, p);
	unsigned int i;
	int rc;

	frame_at(p->table[1])->flags |= FRAME_FOREIGN;
	FOR_SELECTED (i, p) {
		rc = 0;
		if (mmu_batch_room() < PIECE_REQUESTS)
			rc = range_flush(op, p, true);
		if (!rc)
			rc = mmu_batch_set_foreign(
				p->table[1], i, pte_make(op->mfns[p->page + i - p->at], flags),
				va ? va + ((uint64_t)i << PAGE_SHIFT) : 0, op->domid);
		if (rc)
			return rc;
	}
	return 0;
}

static int foreign_piece(struct range_op *op, struct piece *p)
{
	int rc = foreign_check(op, p);

	if (!rc)
		rc = range_room(op, p, 0);
	if (!rc && p->bottom > 1)
		rc = range_empty_l1(op, p);
	if (!rc && op->rights == ASPACE_RW && !(p->upper & PTE_RW))
		rc = -EBUSY;
	return rc ? rc : foreign_entries(op, p);
}

static int foreign_undo(struct range_op *op, uint64_t pages)
{
	struct aspace_range done = { op->range->va, pages, op->range->select };

	return aspace_unmap(op->as, &done);
}

int aspace_map_foreign(struct aspace *as, const struct aspace_range *range, const mfn_t *mfns,
		       domid_t domid, enum aspace_rights rights, uint64_t cache)
{
	struct range_op op = {
		.as = as,
		.range = range,
		.piece = foreign_piece,
		.check = foreign_check,
		.undo = foreign_undo,
		.mfns = mfns,
		.domid = domid,
		.rights = rights,
		.cache = cache,
	};
	int rc = range_check_args(as, range, rights);

	if (!rc && (rights == ASPACE_RX || (cache & ~CACHE_BITS)))
		rc = -EINVAL;
	/* Xen's leave is given entry by entry: a table that it does not know yet can't ask. */
	if (!rc && va_is_user(range->va) && (frame_at(as->l4)->flags & FRAME_OFFLINE))
		rc = -EINVAL;
	return rc ? rc : range_run(&op);
}
