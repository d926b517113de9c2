/* SPDX-License-Identifier: MIT */
/*
 * One piece of a range: which of its pages are selected, and the tables on the way to them.
 *
 *     select   ...|1011 0110 ...|      a bitmap over the pages of the range
 *     mask     ------|1011 0110 ...|   over the entries of the piece's L1
 */
#include <pinion/mm/p2m.h>
#include "aspace_range.h"

/* 64 bits of a bitmap from bit @first on; of those from @end on nothing is read. */
static uint64_t bits_at(const uint64_t *bitmap, uint64_t first, uint64_t end)
{
	uint64_t low = bitmap[first / 64] >> first % 64;

	if (first % 64 && (first / 64 + 1) * 64 < end)
		low |= bitmap[first / 64 + 1] << (64 - first % 64);
	return low;
}

/* Counts of ones in each four bits. */
static inline uint64_t count_fours(uint64_t v)
{
	v -= v >> 1 & UINT64_C(0x5555555555555555);
	return (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
}

/* The ones in two words: at most 8 in the fours of both. */
static unsigned int count_bits(uint64_t v, uint64_t w)
{
	uint64_t fours = count_fours(v) + count_fours(w);
	uint64_t bytes = (fours & UINT64_C(0x0f0f0f0f0f0f0f0f)) +
			 (fours >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f));

	return (unsigned int)(bytes * UINT64_C(0x0101010101010101) >> 56);
}

/* The bits [@from, @to) of a word, both in 0 to 64. */
static uint64_t bit_range(unsigned int from, unsigned int to)
{
	uint64_t below_to = to >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << to) - 1;

	return from >= 64 ? 0 : below_to & ~((UINT64_C(1) << from) - 1);
}

static void piece_select(struct piece *p, const struct aspace_range *r)
{
	uint64_t word, from, to, end = p->at + p->nr;
	uint64_t bits;

	p->selected = r->select ? 0 : p->nr;
	if (p->selected == TABLE_ENTRIES) {
		for (word = 0; word < MASK_WORDS; word++)
			p->mask[word] = ~UINT64_C(0);
		return;
	}
	/* A bitmap whose words begin where those of the L1 do, as that of any aligned range does. */
	if (r->select && p->nr == TABLE_ENTRIES && p->page % 64 == 0) {
		const uint64_t *select = r->select + p->page / 64;
		unsigned int selected = 0;

		for (word = 0; word < MASK_WORDS; word += 2) {
			p->mask[word] = select[word];
			p->mask[word + 1] = select[word + 1];
			selected += count_bits(select[word], select[word + 1]);
		}
		p->selected = selected;
		return;
	}
	for (word = 0; word < MASK_WORDS; word++) {
		from = p->at > word * 64 ? p->at - word * 64 : 0;
		to = end > word * 64 ? end - word * 64 : 0;
		bits = bit_range(from, to < 64 ? to : 64);
		if (r->select && bits) {
			bits &= bits_at(r->select, p->page + word * 64 + from - p->at, r->nr)
				<< from;
			p->selected += count_bits(bits, 0);
		}
		p->mask[word] = bits;
	}
}

/*
 * An entry as it will be. What this section has queued for the way of an earlier piece is no part of this one's, but for
 * the root of a subtree that is not linked yet.
 */
static uint64_t entry_of(const struct range_op *op, pfn_t table, unsigned int index)
{
	uint64_t entry = table_read(table, index);

	if (!(entry & PTE_P) && pfn_eq(table, op->root_parent) && index == op->root_index)
		return pte_make(pfn_to_mfn(op->root), PTE_LINK);
	return entry;
}

/* The tables on the way to p->va. */
static void piece_walk(const struct range_op *op, struct piece *p)
{
	unsigned int level;
	uint64_t entry, upper = PTE_RW;

	p->table[4] = op->as->l4;
	for (level = 4; level > 1; level--) {
		entry = entry_of(op, p->table[level], va_index(p->va, level));
		p->entry[level] = entry;
		if (!(entry & PTE_P))
			break;
		upper = combine(upper, entry);
		p->table[level - 1] = table_below(entry);
	}
	p->upper = upper;
	p->bottom = level;
}

void range_piece_at(const struct range_op *op, uint64_t page, struct piece *p)
{
	const struct aspace_range *r = op->range;

	p->page = page;
	p->va = r->va + (page << PAGE_SHIFT);
	p->at = va_index(p->va, 1);
	p->nr = TABLE_ENTRIES - p->at;
	if (p->nr > op->end - page)
		p->nr = (unsigned int)(op->end - page);
	piece_select(p, r);
	piece_walk(op, p);
}
