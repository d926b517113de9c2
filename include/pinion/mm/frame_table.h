/* SPDX-License-Identifier: MIT */
/*
 * The frame table: 16 bytes for every frame of RAM, saying what it is and whose.
 *
 * It is what makes every answer about a frame a look and not a search: is it a page table, of which
 * level, how many entries of it are present, how many link it. Xen keeps the same facts in its own
 * page_info and acts on them; a guest that does not know them learns them as -EBUSY.
 *
 *      kind  owner  level  flags | live  parents | next  prev     a free block
 *      1     1      1      1     | 2     2       | holds backend  a page table
 *                                                | execs sibling  data
 *                                                  4     4        bytes
 *
 * live and parents are kept by those who write tables: by mmu_batch for tables that Xen knows, by
 * table_store() for those that it does not know yet. A frame of a block whose L1 of the direct map is linked a second
 * time is shared: that is to be seen from that L1's parents, and is counted nowhere else.
 *
 * Frames beyond the direct map's end, and holes, have no entry or one of kind FRAME_NONE.
 */
#ifndef PINION_MM_FRAME_TABLE_H
#define PINION_MM_FRAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/arch/pte.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

enum frame_kind {
	FRAME_NONE = 0,	 /* no RAM of ours */
	FRAME_FREE = 1,	 /* the buddy allocator's */
	FRAME_DATA = 2,	 /* somebody's memory */
	FRAME_TABLE = 4, /* a page table */
}; /* one bit each: the AND over many frames' kinds says whether they are all of one */

/* Who answers for a frame. */
enum frame_owner {
	OWNER_NONE,
	OWNER_IMAGE,  /* the kernel */
	OWNER_BOOT,   /* taken before there was a frame table: P2M pages, mfn_list, start_info */
	OWNER_RING,   /* shared with another domain */
	OWNER_MODULE, /* boot module */
	OWNER_P2M,    /* the P2M's pages and lists of later */
	OWNER_FRAME_TABLE, /* this table itself */
	OWNER_DIRECT_MAP,  /* its tables */
	OWNER_KERNEL,	   /* other tables and memory of the kernel's */
	OWNER_RESERVE,	   /* the allocator's reserve of table frames */
	OWNER_ASPACE,	   /* tables of address spaces, the kernel's vmap arena among them */
	OWNER_MAP,	   /* tables that mmu_map's backends gave */
	OWNER_VMAP,	   /* stacks and blocks of the vmap arena */
	OWNER_QUARANTINE,  /* nobody's: Xen refused to undo what was done to it (mmu_batch) */
	OWNER_TEST,	   /* the suite's */
};

/* flags */
#define FRAME_PINNED	0x01 /* has a pin of its own */
#define FRAME_FREE_HEAD 0x02 /* FRAME_FREE: the first of a block, which is in a list */
#define FRAME_BASE	0x02 /* FRAME_TABLE, L4: an address space's, and goes with it alone */
#define FRAME_POISONED	0x80 /* FRAME_FREE: holds the pattern (mm/frame_poison.c) */
#define FRAME_PLAIN	0x04 /* FRAME_DATA: writable in the direct map; may become a table */
#define FRAME_STUCK \
	0x10 /* FRAME_DATA: read-only in the direct map because Xen refused an undo (mmu_batch) */
#define FRAME_OFFLINE \
	0x08 /* FRAME_TABLE: not a table for Xen yet: writable, written by plain stores */
#define FRAME_LEAVING \
	0x10 /* FRAME_TABLE: will be plain memory when the batch under way has ended */
#define FRAME_QUEUED  0x20 /* FRAME_TABLE: entries of it are in the queue of the batch under way */
#define FRAME_EXEC    0x40 /* FRAME_TABLE, L1: has had executable entries since it was made */
#define FRAME_FOREIGN 0x80 /* FRAME_TABLE, L1: has had entries of frames that are not ours */

/* Both, on a table: pending. It becomes a live one with what is queued. */
#define FRAME_PENDING (FRAME_OFFLINE | FRAME_QUEUED)

struct frame {
	uint8_t kind;
	uint8_t owner;
	uint8_t level; /* FRAME_TABLE: 1 to 4. FRAME_FREE_HEAD: the block's order */
	uint8_t flags;
	uint16_t live;	  /* FRAME_TABLE: entries that are present */
	uint16_t parents; /* FRAME_TABLE: entries of other tables that link it */
	union {
		struct {
			uint32_t next, prev; /* FRAME_FREE_HEAD: PFNs, FRAME_NIL at the ends */
		};
		struct {
			uint32_t holds; /* FRAME_TABLE: by mmu_map */
			uint32_t
				backend; /* FRAME_TABLE: who gave it, mmu_map's number; 0: the allocator */
		};
		struct {
			uint32_t
				execs; /* FRAME_DATA: executable entries that map it, over all tables */
			uint32_t
				sibling; /* FRAME_DATA of OWNER_VMAP: PFN of the block's next, FRAME_NIL at its end */
		};
	};
};

static_assert(sizeof(struct frame) == 16, "16 bytes a frame: 0.4 % of RAM");

#define FRAME_NIL UINT32_MAX

/*
 * Kind, owner, level and flags as one word, for those who look at many frames: what all of them have
 * is the AND of their words.
 */
static inline uint32_t frame_word(const struct frame *frame)
{
	return *(const uint32_t *)frame;
}

#define FRAME_WORD_DATA	 ((uint32_t)FRAME_DATA)
#define FRAME_WORD_PLAIN ((uint32_t)FRAME_DATA | (uint32_t)FRAME_PLAIN << 24)

/*
 * Makes the table and fills it from what is so: the P2M for RAM, the boot record for owners, and
 * the live page tables for the tables. Frames that the boot allocator still has are FRAME_DATA of
 * OWNER_BOOT until it hands them over. Returns 0; -ENOMEM; -EINVAL if a live table is a frame
 * that is no RAM of ours. => the kernel runs on its own tables
 */
__must_check int frame_table_init(const struct boot_info *bi);

/* The table, and how many pfns have an entry: 0 to frame_table_nr - 1. For this header's own use, and for those
 * who go over many frames. */
extern struct frame *frame_table;
extern uint64_t frame_table_nr;

/*
 * How many frames of each aligned run of 512 are plain data: whether a whole run is can be seen without a look
 * at each. Whoever makes a frame plain data, or something else, says so with frame_count_plain().
 */
extern uint16_t *frame_plain;

/* @by more (less, if negative) of the frames of @pfn's run are plain data. */
static inline void frame_count_plain(uint64_t pfn, int by)
{
	uint16_t *plain = &frame_plain[pfn / TABLE_ENTRIES];

	*plain = (uint16_t)(*plain + by);
}

/* A data frame is writable in the direct map from now on, or not. */
static inline void frame_set_plain(uint64_t pfn, bool plain)
{
	struct frame *frame = &frame_table[pfn];

	frame_count_plain(pfn, (int)plain - !!(frame->flags & FRAME_PLAIN));
	if (plain)
		frame->flags = (uint8_t)((frame->flags & ~FRAME_STUCK) | FRAME_PLAIN);
	else
		frame->flags = (uint8_t)(frame->flags & ~FRAME_PLAIN);
}

/*
 * How many frames are executable through any leaf, the kernel's own text aside: whether anything is can be seen without
 * a look at each. Whoever counts a frame's execs to 0, or from it, says so here, or counts with frame_count_execs().
 */
extern uint64_t frame_exec_nr;

/* @by more (less, if negative) leaves map the data frame @pfn executable. */
void frame_count_execs(pfn_t pfn, int by);

/* The entry of @pfn, or NULL if it has none. */
static inline struct frame *frame_at(pfn_t pfn)
{
	if (pfn_x(pfn) >= frame_table_nr || frame_table[pfn_x(pfn)].kind == FRAME_NONE)
		return NULL;
	return &frame_table[pfn_x(pfn)];
}

/* pfns from here on have no entry. */
static inline pfn_t frame_table_end(void)
{
	return _pfn(frame_table_nr);
}

/* How many frames the table itself takes. */
uint64_t frame_table_pages(void);

#endif
