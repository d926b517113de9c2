/* SPDX-License-Identifier: MIT */
/*
 * The oracle of fuzz_mm.c: what address spaces map, and what maps hold, as flat as can be. It knows no tables.
 *
 *              SPLIT
 *     | piece 0  |  piece 1  |  piece 2  |     a window of each space: two pieces of 2 MiB behind a place where an L4's slot
 *                                            ends (in the kernel's arena an L3's), one before it
 *
 * From what is mapped and held follows which tables there are: those that have a reason.
 */
#ifndef TESTS_FUZZ_MM_H
#define TESTS_FUZZ_MM_H

#include <pinion/lib/errno.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/mmu_map.h>
#include "fuzz.h"

#define SPACES 4 /* the last is the kernel's */
#define KERNEL (SPACES - 1)
#define PIECE  512u
#define WINDOW (3 * PIECE)
#define ORDER  10
#define POOL   (1u << ORDER) /* frames that are mapped */
#define MAPS   4
#define NOBODY SPACES
#define HOLE   3 /* beside enum aspace_rights */

struct space {
	struct aspace own;
	struct aspace *as;
	uint64_t va; /* of the window */
	bool broken; /* an undo was refused: nobody knows what it maps */
	struct {
		uint16_t frame; /* of the pool */
		uint16_t rights;
	} page[WINDOW];
};

struct holder {
	uint64_t room[MMU_MAP_T_WORDS];
	unsigned int space, page; /* NOBODY: it holds nothing */
};

/* What is to go wrong in the operation under way, and what has. */
struct trouble {
	unsigned int
		calls[2]; /* so many requests on, Xen refuses one; then so many further another */
	unsigned int nr_calls;
	long rc;
	bool short_of_memory;
	unsigned int allocs; /* so many are left */
	unsigned int refused, denied;
};

struct oracle {
	struct space space[SPACES];
	struct holder holder[MAPS];
	unsigned int current; /* the space that is run on */
	pfn_t pool;
};

extern struct oracle oracle;
extern struct trouble trouble;

/* The operations that change ranges, each decoded, carried out, judged and followed (mm_range.c). */
void mm_range(struct fuzz *f, unsigned int kind);

/* Those of address spaces, maps and sections (mm_hold.c). */
void mm_hold(struct fuzz *f);
void mm_release(struct fuzz *f);
void mm_inspect(struct fuzz *f);
void mm_section(struct fuzz *f);
void mm_activate(struct fuzz *f);
void mm_renew(struct fuzz *f);

/* Page @page of a space is as it should be; where it can be reached, by accesses too. */
void mm_check_page(unsigned int space, unsigned int page);
/* A walk to it ends where it should, and all counts of holds are right. */
void mm_check_tables(unsigned int space, unsigned int page);

/* How often each frame of the pool is mapped with @rights. The count is good until the next. */
const uint16_t *mm_count(unsigned int rights);

/* The result is one that what went wrong explains. -EIO marks the space as broken. */
bool mm_excused(unsigned int space, int rc);

/* Forgets what a space maps. */
void mm_forget(unsigned int space);

static inline uint64_t mm_va(unsigned int space, unsigned int page)
{
	return oracle.space[space].va + (uint64_t)page * PAGE_SIZE;
}

static inline pfn_t mm_pfn(unsigned int frame)
{
	return pfn_add(oracle.pool, frame);
}

/* What its frame tells whoever loads from it. */
static inline uint64_t mm_tag(unsigned int frame)
{
	return UINT64_C(0x7461670000000000) | frame;
}

#endif
