/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the range operations: aspace_range.c goes over the pieces and keeps the sections,
 * aspace_map.c, aspace_unmap.c and aspace_protect.c queue what is to be done to one, aspace_rewrite.c makes
 * changed copies of tables.
 *
 *     range      |---------------------------------------------------|
 *     pieces        |  2 MiB  |  2 MiB  |  2 MiB  |  2 MiB  |  2 M
 *     sections   [  what one call of Xen's can hold  ][              ]
 *
 * Most ranges fit in one section, which is all or nothing by itself. Where another one is needed, what is left is checked
 * before the first is sent, and if Xen refuses a later one, the pages that are done are taken back by the
 * opposite operation.
 */
#ifndef PINION_MM_ASPACE_RANGE_H
#define PINION_MM_ASPACE_RANGE_H

#include <pinion/lib/bitmap.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/planner.h>
#include "aspace_internal.h"

#define MASK_WORDS (TABLE_ENTRIES / 64)

/* What a piece takes in the queue besides its leaves: three new tables or three that leave, each with its link. */
#define PIECE_REQUESTS 12

/* The part of a range that lies in one 2 MiB piece, and the tables on its way. */
struct piece {
	uint64_t va;		   /* of its first page */
	uint64_t page;		   /* that page's number in the range */
	unsigned int at, nr;	   /* its entry in the L1; pages */
	unsigned int selected;	   /* of them */
	unsigned int bottom;	   /* the lowest level that has a table here */
	uint64_t upper;		   /* RW and NX, as the entries above the L1 combine them */
	pfn_t table[5];		   /* by level */
	uint64_t entry[5];	   /* table[n]'s, where it is present: links table[n - 1] */
	uint64_t mask[MASK_WORDS]; /* the selected entries of the L1 */
};

/* The indices in an L1 of the selected pages of a piece, in order. `break` leaves one word of them only. */
#define FOR_SELECTED(i, p)                                                                      \
	for (uint64_t word_ = 0; word_ < MASK_WORDS; word_++)                                   \
		for (uint64_t bits_ = (p)->mask[word_];                                         \
		     bits_ && ((i) = (__typeof__(i))(word_ * 64 + bitmap_lowest(bits_)), true); \
		     bits_ &= bits_ - 1)

/*
 * The same for loops in which each instruction counts, with the index in its word alone: pointers into the table
 * move once a word.
 *
 *     FOR_MASK_WORDS (word, p) {
 *             const uint64_t *leaves = l1 + word * 64;
 *             FOR_WORD_BITS (i, p->mask[word])
 *                     all |= leaves[i];
 *     }
 */
#define FOR_MASK_WORDS(word, p) for (uint64_t word = 0; word < MASK_WORDS; word++)
#define FOR_WORD_BITS(i, bits)                                                        \
	for (uint64_t left_ = (bits), i; left_ && ((i) = bitmap_lowest(left_), true); \
	     left_ &= left_ - 1)

/* Selected pages that had the same rights, one after another. */
struct journal_run {
	uint64_t page; /* the first one's number in the range */
	uint64_t rights;
};

struct journal {
	struct journal *next; /* with the runs before these */
	uint64_t nr, room;
	struct journal_run run[];
};

struct exec_list {
	unsigned int nr;
	unsigned int queued; /* of those that are to come, in order: their leaves are */
	uint32_t pfn[TABLE_ENTRIES];
};

struct range_op {
	struct aspace *as;
	const struct aspace_range *range;
	/* Queues the work of a piece; looks whether it can be done, changing nothing. */
	int (*piece)(struct range_op *op, struct piece *p);
	int (*check)(struct range_op *op, const struct piece *p);
	/* Takes back the first @pages of the range. */
	int (*undo)(struct range_op *op, uint64_t pages);

	const pfn_t *pfns; /* map: NULL for a run from @first on */
	uint64_t first;
	const mfn_t *mfns; /* map_foreign: whose frames, and how they are cached */
	domid_t domid;
	uint64_t cache;
	uint64_t start, end; /* the pages of the range that it goes over; end 0: all */
	enum aspace_rights rights;
	bool by_entries; /* page by page, to find one that is refused */
	bool user;	 /* in the user's half */
	bool current;	 /* the vCPU runs on these tables */
	bool offline;	 /* Xen does not know the address space yet */
	bool check_all;	 /* the check before a second section begins with the first page */
	bool skip_holes; /* nothing to do where there are no tables */
	bool sent;	 /* a section has been */
	bool insists;	 /* and what it did can't be taken back: all that follow insist */
	bool checked;	 /* all that is left has been checked */
	bool refused;	 /* Xen has refused something */
	bool failed;	 /* a section has, and it has ended */
	uint64_t at;	 /* the piece under way, by its first page */
	uint64_t done;	 /* pages that earlier sections have done */

	/* A new subtree, linked when it is complete: its root, and the entry that will link it. */
	pfn_t root, root_parent;
	unsigned int root_index;

	struct exec_list *gone; /* frames that cease to be executable when the section is done */
	struct exec_list *come; /* frames made executable, for leaves that are not sent yet */

	/* Frames that the splits of the rest take; the last GiB whose L2 is split, as a number. */
	uint64_t splits, split_gib;

	/* protect: what the rights were, run by run, once a second section is needed; the leaf that was last noted, and what
	 * the entries above it allow. */
	struct journal *journal;
	uint64_t noted, noted_upper;
};

/* The piece that page @page of the range is in, from that page on, and its tables. */
void range_piece_at(const struct range_op *op, uint64_t page, struct piece *p);

/* Carries out @op. Its errors are those of <pinion/mm/aspace.h>. */
__must_check int range_run(struct range_op *op);

/* Whether what lies between @va and @last (both in) is an address space's to change: 0, -EINVAL or -EPERM. */
__must_check int range_check_place(const struct aspace *as, uint64_t va, uint64_t last);

/* Checks the arguments that all have; unmap asks for no @rights: ASPACE_R. */
__must_check int range_check_args(struct aspace *as, const struct aspace_range *range,
				  enum aspace_rights rights);

/* Makes room for @n requests for leaves, or for new tables with their riders, by sending what is queued if need be. */
__must_check int range_room(struct range_op *op, const struct piece *p, unsigned int n);

/* Opens a live L1 of its own that has no entries queued, for which there is room: so it can't fail. */
static inline void range_open(const struct piece *p, struct mmu_batch_room *room)
{
	int rc = mmu_batch_open(p->table[1], room);

	ASSERT(rc == 0 && room->room >= p->selected);
}

/* Sends what is queued, and opens the next section. @p is not part of what is sent, or with @within, in part. */
__must_check int range_flush(struct range_op *op, const struct piece *p, bool within);

/* A new table of @level, cleared or to be filled wholly by the caller; range_table_ready() queues that it becomes one.
 * Either gives it back if it fails. */
__must_check int range_new_table(unsigned int level, bool clear, bool reserved, pfn_t *table);
__must_check int range_table_ready(const struct range_op *op, pfn_t table);

/* Makes what is missing on the way of @p, down to a table of @level (2 or 3). */
__must_check int range_make_parents(struct range_op *op, struct piece *p, unsigned int level);

/* The same, and an L1 with nothing in it: for entries that must go one by one. What is queued is sent. */
__must_check int range_empty_l1(struct range_op *op, struct piece *p);

/* An entry of a table of level 2 to 4: by a plain store if it is offline, else queued. */
__must_check int range_link(pfn_t table, unsigned int index, uint64_t value);

/* p->table[@level] goes, whatever it maps (a shared one is only unlinked), and each table above it that is empty then. */
__must_check int range_unlink(const struct range_op *op, const struct piece *p, unsigned int level);

/* A private table that nothing links any more is given back, when the section is done. */
__must_check int range_table_leaves(const struct range_op *op, pfn_t table);

/*
 * Executable frames. range_exec_going() notes those that the selected leaves of @p's L1 map executable: they are
 * widened in the direct map when the section is done; range_exec_gone() notes one leaf, if it is one. range_exec_coming() narrows @n frames, in a section
 * of its own; should a section fail before the one that has a frame's leaf in it is done, it is widened again. Who queues the
 * leaves tells of it, in the order of @pfns: range_exec_queued() of @n more, or of all.
 */
#define EXEC_ALL TABLE_ENTRIES
__must_check int range_exec_going(struct range_op *op, const struct piece *p);
void range_exec_gone(struct range_op *op, uint64_t leaf);
__must_check int range_exec_coming(struct range_op *op, const struct piece *p, const uint32_t *pfns,
				   unsigned int n);
void range_exec_queued(struct range_op *op, unsigned int n);

/* The leaves of p's L1, all 512, as they would be written by themselves: what entries above narrow is narrowed in
 * them, and A, D and cacheability are kept. Returns how many are present. */
unsigned int range_leaves(const struct range_op *op, const struct piece *p, uint64_t *leaves);

/*
 * Makes the piece's leaves @want, with an entry above that allows everything: entry by entry, or by a
 * changed copy, as the planner says, or has said already (@way is WAY_REBUILD, else WAYS); a shared L1 by a copy
 * always. The copy may come from the allocator's reserve if @reserved.
 */
__must_check int range_rewrite(struct range_op *op, struct piece *p, const uint64_t *want,
			       bool reserved, enum planner_way way);

/* Entries of p's L2, with what the L3 entry narrows narrowed in them, into @copy, which is empty and offline. */
void range_copy_l2(const struct piece *p, pfn_t copy);

/*
 * The selected leaves get op->rights by requests. range_rw_entries(): none is executable, and the entries above
 * allow what is asked, so RW bits are all that changes. range_nx_entries(): leaves that become executable, of
 * frames that are so elsewhere, or cease to be; NX bits alone, and the direct map changes only when a frame's last one
 * is gone. It returns 1, with nothing changed, if a leaf or a frame is in the way. => the L1 is live, private, with nothing queued
 */
__must_check int range_rw_entries(struct range_op *op, const struct piece *p);
__must_check int range_nx_entries(struct range_op *op, const struct piece *p);

/*
 * Frames of a mapping (aspace_frames.c). range_fill() writes the selected entries of a table that Xen doesn't know yet,
 * range_ask() requests for those of a live L1, and range_look() does not write. Each returns what the frames have in common, of
 * frame_word(), or 0 if a pfn has no entry in the frame table, and then not all is written; and what the slots hold, ORed,
 * in *@taken. (range_ask() looks at neither once the range has been checked. @l1 of range_look() may be NULL.)
 */
uint32_t range_fill(const struct range_op *op, const struct piece *p, uint64_t *l1);
uint32_t range_ask(const struct range_op *op, const struct piece *p,
		   const struct mmu_batch_room *room, uint64_t *taken);
uint32_t range_look(const struct range_op *op, const struct piece *p, const uint64_t *l1,
		    uint64_t *taken);

/* Why the selected frames can't be mapped so, by what they have in common, or if that is too little, one by one; or 0. */
__must_check int range_unfit(const struct range_op *op, const struct piece *p, uint32_t common);
__must_check int range_unfit_one(const struct range_op *op, const struct piece *p);

/* The frame of a page of the range. */
static inline uint64_t range_pfn(const struct range_op *op, uint64_t page)
{
	return op->pfns ? pfn_x(op->pfns[page]) : op->first + page;
}

/* The L2 of @p gets a private copy, or what narrows the L3 entry is moved down into its own entries, so that what
 * follows may change one of them alone. One that is kept where it is (table_is_kept) is changed entry by entry. */
__must_check int range_split_l2(struct range_op *op, struct piece *p, bool reserved);

/* Whether there is memory for what @p is going to split: the L2 if it is shared or @l2, the L1 if it is shared and @l1.
 * What a range has already done can't wait for memory. Returns 0 or -ENOMEM. */
__must_check int range_split_check(struct range_op *op, const struct piece *p, bool l2, bool l1);

/*
 * The journal of rights. It begins in @bytes of memory at @first; page @page and the selected ones after it had
 * @rights. Returns 0 or -ENOMEM.
 */
void range_journal_begin(struct range_op *op, void *first, uint64_t bytes);
__must_check int range_journal_note(struct range_op *op, uint64_t page, enum aspace_rights rights);
void range_journal_end(struct range_op *op);

/*
 * One page without a section, where nothing but its own leaf changes: see aspace_one.c. Each returns 1 if the page
 * has to go the long way, which also knows what is wrong with it; else as its namesake.
 */
__must_check int range_map_one(const struct aspace *as, uint64_t va, uint64_t pfn,
			       enum aspace_rights rights);
__must_check int range_unmap_one(const struct aspace *as, uint64_t va);
__must_check int range_protect_one(const struct aspace *as, uint64_t va, enum aspace_rights rights);

static inline bool is_one_page(const struct aspace_range *range)
{
	return range->nr == 1 && !range->select;
}

/* A frame with these bits of frame_word() can be mapped so; for RX its frame is looked at by itself before, and
 * then not plain any more. */
static inline uint32_t word_wanted(enum aspace_rights rights)
{
	return rights == ASPACE_RX ? FRAME_WORD_DATA : FRAME_WORD_PLAIN;
}

/* What entry 0 of p's L1 maps, if the vCPU runs on these tables; else 0. */
static inline uint64_t range_table_va(const struct range_op *op, const struct piece *p)
{
	return op->current ? p->va & ~(L2_SPAN - 1) : 0;
}

/* The flags of a leaf with these rights. */
static inline uint64_t leaf_flags(bool user, enum aspace_rights rights)
{
	uint64_t flags = PTE_P | PTE_A | (user ? PTE_US : 0);

	if (rights == ASPACE_RW)
		flags |= PTE_RW | PTE_D;
	return rights == ASPACE_RX ? flags : flags | PTE_NX;
}

/* What entries of all levels combine to, of RW and NX. */
static inline uint64_t combine(uint64_t upper, uint64_t entry)
{
	return (upper & entry & PTE_RW) | ((upper | entry) & PTE_NX);
}

/* A link of level 2 to 4 that narrows what is below it to these rights. */
static inline uint64_t link_flags(enum aspace_rights rights)
{
	if (rights == ASPACE_RX)
		return PTE_LINK;
	return rights == ASPACE_RW ? PTE_LINK | PTE_NX : (PTE_LINK & ~PTE_RW) | PTE_NX;
}

/* What a leaf keeps when it is written again: Xen's own bits belong to the place it was read from. */
#define LEAF_KEPT \
	(PTE_P | PTE_RW | PTE_PWT | PTE_PCD | PTE_A | PTE_D | PTE_PAT | PTE_NX | PTE_ADDR_MASK)

/* The piece is a whole one of 1 GiB's length and alignment, all selected. */
static inline bool is_giant(const struct range_op *op, const struct piece *p)
{
	return p->va % L3_SPAN == 0 && op->end - p->page >= L3_SPAN >> PAGE_SHIFT &&
	       !op->range->select;
}

static inline bool is_shared(pfn_t table)
{
	return frame_at(table)->owner == OWNER_DIRECT_MAP;
}

/* Nothing is in a table, and it may go. L3s of the kernel's own slots stay. */
static inline bool is_empty(pfn_t table, unsigned int level)
{
	const struct frame *frame = frame_at(table);

	return level < 4 && frame->live == 0 && !table_is_kept(frame) &&
	       frame->owner != OWNER_KERNEL;
}

#endif
