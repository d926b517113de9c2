/* SPDX-License-Identifier: MIT */
/*
 * Frames of a mapping: the loops that look at them and write their leaves. Of the five hundred or so in a piece each
 * instruction counts, so that what may be different from page to page is looked at here once, as an AND or an OR over
 * all, and again one by one only to say which was at fault.
 *
 *     frames    kind, flags: AND    data, and for writing plain?
 *     slots     leaves: OR          nothing there yet?
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

/* => the frame has an entry in the frame table, so the P2M has RAM for it */
static uint64_t ram_mfn(uint64_t pfn)
{
	return p2m_get(&kernel_p2m, _pfn(pfn));
}

/* Why this one frame can't be mapped with these rights, or 0. */
static int frame_unfit(pfn_t pfn, enum aspace_rights rights)
{
	const struct frame *frame = frame_at(pfn);

	if (!frame || (frame->kind != FRAME_DATA && frame->kind != FRAME_TABLE))
		return -EINVAL;
	if (frame->kind == FRAME_TABLE)
		return -EBUSY;
	if (rights == ASPACE_RX)
		return aspace_exec_unfit(pfn);
	/* What is neither plain nor executable is text or the like: read-only for good, and protect does not look. */
	if ((frame->flags & FRAME_PLAIN) || (rights == ASPACE_R && frame->execs > 0))
		return 0;
	return -EBUSY;
}

int range_unfit_one(const struct range_op *op, const struct piece *p)
{
	unsigned int i;
	int rc;

	FOR_SELECTED (i, p) {
		rc = frame_unfit(_pfn(range_pfn(op, p->page + i - p->at)), op->rights);
		if (rc)
			return rc;
	}
	return 0;
}

int range_unfit(const struct range_op *op, const struct piece *p, uint32_t common)
{
	uint32_t want = word_wanted(op->rights);

	return likely((common & want) == want) ? 0 : range_unfit_one(op, p);
}

uint32_t range_fill(const struct range_op *op, const struct piece *p, uint64_t *l1)
{
	uint64_t flags = leaf_flags(op->user, op->rights), nr = frame_table_nr, pfn, run, i;
	const pfn_t *pfns = op->pfns ? op->pfns + p->page : NULL;
	const struct frame *frames = frame_table;
	uint32_t common = UINT32_MAX;

	if (pfns && p->selected == TABLE_ENTRIES) {
		for (i = 0; i < TABLE_ENTRIES; i++) {
			pfn = pfn_x(pfns[i]);
			if (pfn >= nr)
				return 0;
			common &= frame_word(&frames[pfn]);
			l1[i] = ram_mfn(pfn) << PAGE_SHIFT | flags;
		}
		return common;
	}
	if (pfns)
		pfns -= p->at;
	run = op->first + p->page - p->at;
	FOR_SELECTED (i, p) {
		pfn = pfns ? pfn_x(pfns[i]) : run + i;
		if (pfn >= nr)
			return 0;
		common &= frame_word(&frames[pfn]);
		l1[i] = ram_mfn(pfn) << PAGE_SHIFT | flags;
	}
	return common;
}

/* Of the pfns below this the frames are in one array, kernel_p2m.linear, and in the frame table. */
static uint64_t linear_end(void)
{
	return kernel_p2m.linear_end < frame_table_nr ? kernel_p2m.linear_end : frame_table_nr;
}

/*
 * Pages of the next word of the mask: lists and tables are kept as numbers in these loops, for one that is not there moves
 * along as well.
 */
#define WORD_PAGES UINT64_C(64)

/*
 * Requests for the selected entries of a live L1, of the frames at @pfns[its index], or if that is NULL of a run that has
 * @run at index 0. With @look frames and slots are looked at in the same pass: *@taken is what the slots hold, ORed,
 * and what the frames have in common is returned, as by range_fill().
 */
static __always_inline uint32_t ask(const struct range_op *op, const struct piece *p,
				    const struct mmu_batch_room *room, const pfn_t *pfns,
				    uint64_t run, bool look, uint64_t *taken)
{
	uint64_t flags = leaf_flags(op->user, op->rights), end = linear_end(), all = 0, pfn, mfn;
	const uint64_t *linear = kernel_p2m.linear, *l1 = table_entries(p->table[1]);
	const struct frame *frames = frame_table;
	struct mmu_update *request = room->requests;
	uint64_t ptr = room->ptr, list = (uintptr_t)pfns;
	uint32_t common = UINT32_MAX;

	FOR_MASK_WORDS (word, p) {
		FOR_WORD_BITS (i, p->mask[word]) {
			pfn = pfns ? pfn_x(((const pfn_t *)list)[i]) : run + i;
			OPAQUE(i);
			if (unlikely(pfn >= end)) {
				if (pfn >= frame_table_nr)
					return 0;
				mfn = ram_mfn(pfn);
			} else {
				mfn = linear[pfn];
			}
			if (look) {
				common &= frame_word(&frames[pfn]);
				all |= l1[i];
			}
			request->ptr = ptr + i * sizeof(uint64_t);
			request->val = mfn << PAGE_SHIFT | flags;
			request++;
		}
		list += WORD_PAGES * sizeof(pfn_t);
		run += WORD_PAGES;
		l1 += WORD_PAGES;
		ptr += WORD_PAGES * sizeof(uint64_t);
	}
	*taken = all;
	return common;
}

/* Each kind of list by a loop of its own. */
uint32_t range_ask(const struct range_op *op, const struct piece *p,
		   const struct mmu_batch_room *room, uint64_t *taken)
{
	const pfn_t *pfns = op->pfns ? op->pfns + p->page - p->at : NULL;
	uint64_t run = op->first + p->page - p->at;

	if (!pfns)
		return ask(op, p, room, NULL, run, true, taken);
	return op->checked ? ask(op, p, room, pfns, 0, false, taken)
			   : ask(op, p, room, pfns, 0, true, taken);
}

static __always_inline uint32_t look_at(const struct piece *p, const pfn_t *pfns, uint64_t run,
					const uint64_t *l1, uint64_t *taken)
{
	uint64_t nr = frame_table_nr, list = (uintptr_t)pfns, table = (uintptr_t)l1, all = 0, pfn;
	const struct frame *frames = frame_table;
	uint32_t common = UINT32_MAX;

	FOR_MASK_WORDS (word, p) {
		FOR_WORD_BITS (i, p->mask[word]) {
			pfn = pfns ? pfn_x(((const pfn_t *)list)[i]) : run + i;
			if (pfn >= nr)
				return 0;
			common &= frame_word(&frames[pfn]);
			if (l1)
				all |= ((const uint64_t *)table)[i];
		}
		list += WORD_PAGES * sizeof(pfn_t);
		table += WORD_PAGES * sizeof(uint64_t);
		run += WORD_PAGES;
	}
	*taken = all;
	return common;
}

uint32_t range_look(const struct range_op *op, const struct piece *p, const uint64_t *l1,
		    uint64_t *taken)
{
	const pfn_t *pfns = op->pfns ? op->pfns + p->page - p->at : NULL;
	uint64_t run = op->first + p->page - p->at;

	if (!pfns)
		return look_at(p, NULL, run, l1, taken);
	/* Two loops, so that neither asks for each page whether there are slots. */
	return l1 ? look_at(p, pfns, 0, table_entries(p->table[1]), taken)
		  : look_at(p, pfns, 0, NULL, taken);
}
