/* SPDX-License-Identifier: MIT */
/*
 * The frame table: 16 bytes for every frame of RAM, saying what it is and whose.
 *
 * It is what makes every answer about a frame a look and not a search: is it a page table, of which
 * level, how many entries of it are present, how many link it. Xen keeps the same facts in its own
 * page_info and acts on them; a guest that does not know them learns them as -EBUSY.
 *
 *      kind  owner  level  flags | live  parents | next prev  (free)   or  shares holds
 *      1     1      1      1     | 2     2       | 4    4              or  4      4      bytes
 *
 * Frames beyond the direct map's end, and holes, have no entry or one of kind FRAME_NONE.
 */
#ifndef PINION_MM_FRAME_TABLE_H
#define PINION_MM_FRAME_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

enum frame_kind {
	FRAME_NONE,  /* no RAM of ours */
	FRAME_FREE,  /* the buddy allocator's */
	FRAME_DATA,  /* somebody's memory */
	FRAME_TABLE, /* a page table */
};

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
	OWNER_TEST,	   /* the suite's */
};

/* flags */
#define FRAME_PINNED	0x01 /* has a pin of its own */
#define FRAME_FREE_HEAD 0x02 /* FRAME_FREE: the first of a block, which is in a list */

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
			uint32_t shares;
			uint32_t holds;
		};
	};
};

static_assert(sizeof(struct frame) == 16, "16 bytes a frame: 0.4 % of RAM");

#define FRAME_NIL UINT32_MAX

/*
 * Makes the table and fills it from what is so: the P2M for RAM, the boot record for owners, and
 * the live page tables for the tables. Frames that the boot allocator still has are FRAME_DATA of
 * OWNER_BOOT until it hands them over. Returns 0; -ENOMEM; -EINVAL if a live table is a frame
 * that is no RAM of ours. => the kernel runs on its own tables
 */
__must_check int frame_table_init(const struct boot_info *bi);

/* The entry of @pfn, or NULL if it has none. */
struct frame *frame_at(pfn_t pfn);

/* How many frames the table itself takes. */
uint64_t frame_table_pages(void);

#endif
