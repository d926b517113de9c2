/* SPDX-License-Identifier: MIT */
/*
 * Rights of a range (see <pinion/mm/aspace.h>).
 *
 *     a whole piece      upper: its L2 entry, where the leaves can do what is asked
 *     a whole GiB        upper: its L3 entry, to take rights away, or give back what it took
 *     a part of a piece  the leaves: entries, or a rebuilt copy
 *     of a shared one    split: a private copy
 *
 * What an upper entry had narrowed comes down into the leaves as soon as one of them is to differ.
 *
 * If Xen refuses a later section, the rights of before have to come back: they are noted, run by run, in
 * the check that goes over the whole range before the first section is sent (aspace_journal.c). What was split by then stays
 * so.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include "aspace_range.h"

static enum aspace_rights rights_of(uint64_t combined)
{
	if (combined & PTE_RW)
		return ASPACE_RW;
	return (combined & PTE_NX) ? ASPACE_R : ASPACE_RX;
}

/* RW and NX of a page with these rights. */
static uint64_t bits_of(enum aspace_rights rights)
{
	return leaf_flags(false, rights) & (PTE_RW | PTE_NX);
}

/* The rights that the entries above @level's take away can't be given by it. */
static bool is_narrowed_above(const struct range_op *op, const struct piece *p, unsigned int level)
{
	uint64_t upper = PTE_RW, bits = bits_of(op->rights);
	unsigned int i;

	if (p->upper == PTE_RW)
		return false;
	for (i = 4; i > level; i--)
		upper = combine(upper, p->entry[i]);
	return combine(upper, bits) != bits;
}

/* Leaf by leaf. */
static int note_word(struct range_op *op, const struct piece *p, uint64_t word)
{
	const uint64_t *l1 = table_entries(p->table[1]) + word * 64;
	uint64_t bits;
	int rc;

	FOR_WORD_BITS (i, p->mask[word]) {
		bits = l1[i] & (PTE_P | PTE_RW | PTE_NX);
		if (!(bits & PTE_P))
			return -ENOENT;
		if (bits == op->noted)
			continue;
		op->noted = bits;
		rc = range_journal_note(op, p->page + word * 64 + i - p->at,
					rights_of(combine(p->upper, bits)));
		if (rc)
			return rc;
	}
	return 0;
}

/* What is to be ANDed and ORed to leaves, so that they differ unless all are like the one noted: with none, they always do. */
static inline void like(const struct range_op *op, uint64_t *all, uint64_t *any)
{
	*all = op->noted;
	*any = op->noted ? op->noted : PTE_P;
}

/*
 * Holes are found, and what the rights are is noted: word by word, as long as all leaves have what the ones before them
 * had. And is there memory for what the rest splits?
 */
static int protect_check(struct range_op *op, const struct piece *p)
{
	uint64_t like_all, like_any;
	const uint64_t *l1;
	int rc = 0;

	if (p->bottom > 1)
		return -ENOENT;
	if (p->page >= op->at)
		rc = range_split_check(op, p, is_narrowed_above(op, p, 2),
				       p->selected < TABLE_ENTRIES || op->rights == ASPACE_RX);
	if (rc)
		return rc;
	/* No leaf that is present has none of these bits. */
	if (op->noted_upper != p->upper)
		op->noted = 0;
	op->noted_upper = p->upper;
	like(op, &like_all, &like_any);
	l1 = table_entries(p->table[1]);
	FOR_MASK_WORDS (word, p) {
		uint64_t all = like_all, any = like_any;

		FOR_WORD_BITS (i, p->mask[word]) {
			all &= l1[i];
			any |= l1[i];
		}
		l1 += 64;
		if (((all ^ any) & (PTE_P | PTE_RW | PTE_NX)) == 0)
			continue;
		rc = note_word(op, p, word);
		if (rc)
			return rc;
		like(op, &like_all, &like_any);
	}
	return 0;
}

static int protect_again(const struct range_op *op, uint64_t from, uint64_t to,
			 enum aspace_rights rights);

/* Run by run, the last first. */
static int protect_undo(struct range_op *op, uint64_t pages)
{
	uint64_t end = pages, i;
	struct journal *j;
	int rc = 0;

	for (j = op->journal; j && !rc; j = j->next) {
		for (i = j->nr; i-- > 0 && !rc;) {
			if (j->run[i].page >= end)
				continue;
			rc = protect_again(op, j->run[i].page, end,
					   (enum aspace_rights)j->run[i].rights);
			end = j->run[i].page;
		}
	}
	return rc;
}

/* RW and NX: what all leaves have, and what any has. */
struct leaves {
	uint64_t all, any;
};

static uint64_t all_leaves(const uint64_t *l1)
{
	uint64_t all = ~UINT64_C(0);
	unsigned int i;

#pragma GCC unroll 32
	for (i = 0; i < TABLE_ENTRIES; i++)
		all &= l1[i];
	return all;
}

static uint64_t any_leaf(const uint64_t *l1)
{
	uint64_t any = 0;
	unsigned int i;

#pragma GCC unroll 32
	for (i = 0; i < TABLE_ENTRIES; i++)
		any |= l1[i];
	return any;
}

/*
 * As much as is needed to know whether leaves can do with @rights, one instruction a leaf. Where none has ever been
 * executable all are NX, and to make them read-only nothing else need be known.
 */
static struct leaves look(pfn_t l1, enum aspace_rights rights)
{
	const uint64_t *entries = table_entries(l1);

	if (!(frame_at(l1)->flags & FRAME_EXEC))
		return (struct leaves){
			.all = PTE_NX | (rights == ASPACE_RW ? all_leaves(entries) : 0),
			.any = PTE_NX | PTE_RW,
		};
	return (struct leaves){ all_leaves(entries), any_leaf(entries) };
}

/*
 * The entry above a whole piece, changed as little as gives it the rights. Returns false if it can't: leaves
 * that lack a right would have to change.
 */
static bool narrowed_link(uint64_t entry, const struct leaves *l, enum aspace_rights rights,
			  uint64_t *link)
{
	*link = entry;
	switch (rights) {
	case ASPACE_RW:
		*link |= PTE_RW;
		return (l->all & PTE_RW) != 0;
	case ASPACE_RX:
		*link &= ~PTE_NX;
		return !(l->any & (PTE_NX | PTE_RW));
	default:
		if (l->any & PTE_RW)
			*link &= ~PTE_RW;
		if (!(l->all & PTE_NX))
			*link |= PTE_NX;
		return true;
	}
}

/* Frames that leaves are to write: executable ones must not. */
static int may_write(const struct range_op *op, const struct piece *p)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	const struct frame *frame;
	unsigned int i;

	if (op->rights != ASPACE_RW || frame_exec_nr == 0)
		return 0;
	FOR_SELECTED (i, p) {
		frame = frame_at(mfn_to_pfn(pte_mfn(l1[i])));
		/* One that is executable here and nowhere else is not, once this is done. */
		if (frame && !(frame->flags & FRAME_PLAIN) &&
		    frame->execs > ((l1[i] & PTE_NX) ? 0U : 1U))
			return -EBUSY;
	}
	return 0;
}

/* The frames of selected leaves that are not executable yet. */
static int narrow_leaves(struct range_op *op, const struct piece *p)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	uint32_t pfns[TABLE_ENTRIES];
	unsigned int i, n = 0;
	pfn_t pfn;
	int rc;

	FOR_SELECTED (i, p) {
		if (!(l1[i] & PTE_NX))
			continue;
		pfn = mfn_to_pfn(pte_mfn(l1[i]));
		rc = aspace_exec_unfit(pfn);
		if (rc)
			return rc;
		pfns[n++] = (uint32_t)pfn_x(pfn);
	}
	return n ? range_exec_coming(op, p, pfns, n) : 0;
}

/* Whether all is mapped that a piece selects. */
static bool is_mapped(const struct piece *p)
{
	const uint64_t *l1 = table_entries(p->table[1]);
	uint64_t all = PTE_P;
	unsigned int i;

	if (frame_at(p->table[1])->live == TABLE_ENTRIES)
		return true;
	FOR_SELECTED (i, p)
		all &= l1[i];
	return all & PTE_P;
}

static int protect_rewrite(struct range_op *op, struct piece *p, enum planner_way way)
{
	uint64_t want[TABLE_ENTRIES], bits = bits_of(op->rights);
	unsigned int i;

	range_leaves(op, p, want);
	FOR_SELECTED (i, p)
		want[i] = (want[i] & ~(PTE_RW | PTE_D | PTE_NX)) | bits |
			  ((bits & PTE_RW) ? PTE_D : 0);
	return range_rewrite(op, p, want, true, way);
}

/* The leaves change. */
static int protect_leaves(struct range_op *op, struct piece *p)
{
	const struct frame *frame = frame_at(p->table[1]);
	struct planner_work work = {
		.possible = 1U << WAY_ENTRIES | 1U << WAY_REBUILD,
		.rw = p->selected,
		.before = frame->live,
		.after = frame->live,
		.before_ro = op->rights == ASPACE_RW ? p->selected : 0,
		.after_ro = op->rights == ASPACE_RW ? 0 : p->selected,
	};
	int rc = 1;

	if (op->rights != ASPACE_RW && !is_shared(p->table[1]) && p->upper == PTE_RW &&
	    !(frame->flags & (FRAME_QUEUED | FRAME_OFFLINE | FRAME_FOREIGN)) &&
	    (op->rights == ASPACE_RX || (frame->flags & FRAME_EXEC)))
		rc = range_nx_entries(op, p);
	if (rc <= 0)
		return rc;
	rc = op->rights == ASPACE_RX ? narrow_leaves(op, p) : 0;
	if (rc)
		return rc;
	if (op->rights == ASPACE_RX || is_shared(p->table[1]) || p->upper != PTE_RW ||
	    (frame->flags & (FRAME_EXEC | FRAME_QUEUED | FRAME_OFFLINE)))
		return protect_rewrite(op, p, WAYS);
	if (op->by_entries || table_is_kept(frame) || (frame->flags & FRAME_FOREIGN))
		work.possible = 1U << WAY_ENTRIES;
	if (planner_best(&work) == WAY_REBUILD)
		return protect_rewrite(op, p, WAY_REBUILD);
	planner_take(WAY_ENTRIES);
	rc = range_room(op, p, p->selected);
	return rc ? rc : range_rw_entries(op, p);
}

/* What the leaves below a whole GiB have in common, for as long as it has no holes. */
static bool look_giant(const struct piece *p, enum aspace_rights rights, struct leaves *l)
{
	uint64_t entry;
	struct leaves one;
	unsigned int i;

	*l = (struct leaves){ .all = PTE_RW | PTE_NX };
	for (i = 0; i < TABLE_ENTRIES; i++) {
		entry = table_read(p->table[2], i);
		if (!(entry & PTE_P) || frame_at(table_below(entry))->live != TABLE_ENTRIES)
			return false;
		one = look(table_below(entry), rights);
		l->all &= combine(entry, one.all);
		l->any |= combine(entry, one.any);
	}
	return true;
}

/* Changes the entry of @level that the whole piece goes through. Returns 1 if that was enough. */
static int protect_upper(struct range_op *op, struct piece *p, unsigned int level,
			 const struct leaves *l)
{
	struct planner_work work = { .possible = 1U << WAY_UPPER };
	uint64_t link, entry = p->entry[level];
	int rc;

	if (!narrowed_link(entry, l, op->rights, &link))
		return 0;
	if (link == entry)
		return 1;
	work.upper_rw = (link ^ entry) & PTE_RW;
	if (level == 2 && !is_shared(p->table[1])) {
		work.possible |= 1U << WAY_ENTRIES | 1U << WAY_REBUILD;
		work.rw = TABLE_ENTRIES;
		work.before = work.after = TABLE_ENTRIES;
	}
	if (planner_best(&work) != WAY_UPPER)
		return 0;
	planner_choose(&work);
	rc = range_room(op, p, 0);
	if (!rc)
		rc = range_link(p->table[level], va_index(p->va, level), link);
	return rc ? rc : 1;
}

/* The leaves of a shared piece are the direct map's, where nothing is executable: it gets its own first. */
static int own_leaves(struct range_op *op, struct piece *p)
{
	pfn_t block = table_below(table_read(p->table[1], 0)), l2;
	uint64_t want[TABLE_ENTRIES];
	unsigned int index;
	int rc;

	/* Somebody else's share of the block stays. */
	if (frame_at(p->table[1])->parents > 2 ||
	    (direct_map_l2(block, &l2, &index) && frame_at(l2)->parents > 1))
		return -EBUSY;
	rc = range_flush(op, p, false);
	if (rc)
		return rc;
	range_leaves(op, p, want);
	rc = range_rewrite(op, p, want, true, WAYS);
	if (!rc)
		rc = range_flush(op, p, false);
	p->entry[2] = table_read(p->table[2], va_index(p->va, 2));
	p->upper = combine(PTE_RW, p->entry[2]);
	return rc;
}

static int protect_piece(struct range_op *op, struct piece *p)
{
	struct leaves l;
	int rc = 0;

	if (p->bottom > 1 || (!op->checked && !is_mapped(p)))
		return -ENOENT;
	rc = may_write(op, p);
	if (rc)
		return rc;
	if (is_giant(op, p) && !(op->rights == ASPACE_RW && frame_exec_nr > 0) &&
	    look_giant(p, op->rights, &l)) {
		rc = protect_upper(op, p, 3, &l);
		if (rc > 0)
			p->nr = L3_SPAN >> PAGE_SHIFT;
		if (rc)
			return rc < 0 ? rc : 0;
	}
	if (is_shared(p->table[2]) || is_narrowed_above(op, p, 2))
		rc = range_split_l2(op, p, true);
	if (!rc && op->rights == ASPACE_RX && is_shared(p->table[1]))
		rc = own_leaves(op, p);
	if (!rc && p->selected == TABLE_ENTRIES) {
		l = look(p->table[1], op->rights);
		rc = protect_upper(op, p, 2, &l);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	return rc ? rc : protect_leaves(op, p);
}

static int protect_by(struct aspace *as, const struct aspace_range *range,
		      enum aspace_rights rights, bool by_entries, bool *refused)
{
	_Alignas(struct journal) char first[256];
	struct range_op op = {
		.as = as,
		.range = range,
		.piece = protect_piece,
		.check = protect_check,
		.check_all = true,
		.undo = protect_undo,
		.rights = rights,
		.by_entries = by_entries,
	};
	int rc;

	range_journal_begin(&op, first, sizeof(first));
	rc = range_run(&op);
	range_journal_end(&op);
	*refused = op.refused;
	return rc;
}

int aspace_protect(struct aspace *as, const struct aspace_range *range, enum aspace_rights rights)
{
	int rc = is_one_page(range) ? range_protect_one(as, range->va, rights) : 1;
	bool refused;

	if (rc <= 0)
		return rc;
	rc = range_check_args(as, range, rights);
	if (rc)
		return rc;
	rc = protect_by(as, range, rights, false, &refused);
	/* Entry by entry the page is found at which Xen refused a whole table. */
	if (rc && refused && rc != -EIO)
		rc = protect_by(as, range, rights, true, &refused);
	return rc;
}

static int protect_again(const struct range_op *op, uint64_t from, uint64_t to,
			 enum aspace_rights rights)
{
	struct range_op again = {
		.as = op->as,
		.range = op->range,
		.piece = protect_piece,
		.start = from,
		.end = to,
		.rights = rights,
	};

	return range_run(&again);
}
