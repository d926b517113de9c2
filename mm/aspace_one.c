/* SPDX-License-Identifier: MIT */
/*
 * One page, which is what faults and small allocations ask for: if its L1 is there, live and private, then its leaf is all that
 * changes, one update_va_mapping does it, and a piece, a section and a plan would only cost more than the call.
 *
 * The walk to an L1 is remembered until any entry of an upper table changes.
 */
#include <pinion/arch/cpu.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

static struct {
	uint64_t changes; /* table_upper_changes at the time */
	uint64_t piece;	  /* va / 2 MiB */
	pfn_t l4, l1;
	uint64_t upper; /* RW and NX of the entries above the L1 */
} walk;

static bool walk_to(pfn_t l4, uint64_t va)
{
	uint64_t upper = PTE_RW, entry;
	pfn_t table = l4;
	unsigned int level;

	for (level = 4; level > 1; level--) {
		entry = table_read(table, va_index(va, level));
		if (!(entry & PTE_P))
			return false;
		upper = combine(upper, entry);
		table = table_below(entry);
	}
	walk.changes = table_upper_changes;
	walk.piece = va >> L2_SHIFT;
	walk.l4 = l4;
	walk.l1 = table;
	walk.upper = upper;
	return true;
}

/* Whether the leaf of @va can be changed by itself: then walk.l1 is its table. */
static inline bool find(const struct aspace *as, uint64_t va)
{
	const struct frame *frame;

	if (as->broken || va % PAGE_SIZE ||
	    (va_is_user(va) ? as != this_cpu()->aspace : va < VMAP_BASE || va >= VMAP_END))
		return false;
	if ((walk.changes != table_upper_changes || walk.piece != va >> L2_SHIFT ||
	     !pfn_eq(walk.l4, as->l4)) &&
	    !walk_to(as->l4, va))
		return false;
	frame = &frame_table[pfn_x(walk.l1)];
	return frame->owner != OWNER_DIRECT_MAP && !(frame->flags & (FRAME_EXEC | FRAME_FOREIGN));
}

/* The answer where there is nothing to send. Inside a section it is none: what is queued there may change it. */
static int settled(int rc)
{
	return mmu_batch_depth() ? -EBUSY : rc;
}

int range_map_one(const struct aspace *as, uint64_t va, uint64_t pfn, enum aspace_rights rights)
{
	uint32_t want = word_wanted(rights);

	if (rights >= ASPACE_RX || !find(as, va) ||
	    (rights == ASPACE_RW && !(walk.upper & PTE_RW)) || pfn >= frame_table_nr ||
	    (frame_word(&frame_table[pfn]) & want) != want)
		return 1;
	if (table_read(walk.l1, va_index(va, 1)) & PTE_P)
		return settled(-EEXIST);
	return mmu_batch_one(walk.l1, va_index(va, 1), 0,
			     pte_make(pfn_to_mfn(_pfn(pfn)), leaf_flags(va_is_user(va), rights)),
			     va);
}

int range_unmap_one(const struct aspace *as, uint64_t va)
{
	uint64_t leaf;

	/* With its last leaf a table goes. */
	if (!find(as, va) || frame_table[pfn_x(walk.l1)].live == 1)
		return 1;
	leaf = table_read(walk.l1, va_index(va, 1));
	if (!(leaf & PTE_P))
		return settled(0);
	return mmu_batch_one(walk.l1, va_index(va, 1), leaf, 0, va);
}

int range_protect_one(const struct aspace *as, uint64_t va, enum aspace_rights rights)
{
	uint64_t leaf, flags = leaf_flags(va_is_user(va), rights);

	if (rights >= ASPACE_RX || !find(as, va) || walk.upper != PTE_RW ||
	    (rights == ASPACE_RW && frame_exec_nr > 0))
		return 1;
	leaf = table_read(walk.l1, va_index(va, 1));
	if (!(leaf & PTE_P))
		return settled(-ENOENT);
	if (((leaf ^ flags) & PTE_RW) == 0)
		return settled(0);
	return mmu_batch_one(walk.l1, va_index(va, 1), leaf,
			     (leaf & LEAF_KEPT & ~(PTE_RW | PTE_D)) | flags, va);
}
