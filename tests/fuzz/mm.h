/* SPDX-License-Identifier: MIT */
/*
 * The oracle of mm.c: what address spaces map, and what maps hold, as flat as can be. It knows no tables.
 *
 *              SPLIT                           + 1 GiB                        + 3 GiB
 *     | piece 0  |  piece 1  |  piece 2  |  ...  | piece 3 | piece 4 |  ...  | piece 5 |
 *
 *     a window of each space, of pieces of 2 MiB: one before and two behind a place where an L4's slot ends (in the kernel's
 *     arena an L3's), one before and one behind the end of an L3's slot, one alone. Between them nothing is mapped
 *
 * From what is mapped and held follows which tables there are: those that have a reason. Beside the window there are areas of
 * vmap's, at addresses that it chooses (mm_area.c).
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
#define PIECES 6
#define WINDOW (PIECES * PIECE)
#define SPAN   (1538 * PIECE) /* pages from the window's first to its last */
#define ORDER  10
#define POOL   (1u << ORDER) /* frames that are mapped */
#define MAPS   4
#define NOBODY SPACES
#define HOLE   3 /* beside enum aspace_rights */

/* From POOL on a page's frame is no frame of ours, but one of the machine's devices. */
#define IO_MFN	  UINT64_C(0xa0)
#define IO_FRAMES 0x60u

struct space {
	struct aspace own;
	struct aspace *as;
	uint64_t va; /* of the window */
	bool broken; /* an undo was refused: nobody knows what it maps */
	struct {
		uint16_t frame; /* of the pool */
		uint16_t rights;
	} page[WINDOW];
	unsigned int mapped[PIECES]; /* pages of each */
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
	unsigned int error; /* which of those that the request can be answered */
	bool short_of_memory;
	unsigned int allocs; /* so many are left */
	unsigned int refused, denied;
};

struct oracle {
	struct space space[SPACES];
	struct holder holder[MAPS];
	unsigned int current; /* the space that is run on */
	pfn_t pool;
	bool dom0;
	uint16_t count[HOLE][POOL]; /* how often each frame is mapped with which rights */
};

/* What a target of mm.c's is: the machine's kind, and the bytes. Returns 0. */
int mm_input(bool dom0, const uint8_t *data, size_t size);

extern struct oracle oracle;
extern struct trouble trouble;

/* The operations that change ranges, each decoded, carried out, judged and followed (mm_range.c). */
void mm_range(struct fuzz *f, unsigned int kind);

/* Unmaps, protects or maps far more than the window. */
void mm_whole(struct fuzz *f);

/* The machine's devices, page by page (mm_foreign.c). */
void mm_foreign(struct fuzz *f);

/* Areas of vmap's (mm_area.c): one comes or goes; all are as they should be; all go. */
void mm_area(struct fuzz *f);
void mm_check_areas(void);
void mm_forget_areas(void);
void mm_end_areas(void);

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

/* A page of the window is mapped to @frame from now on, or a hole. */
void mm_set(unsigned int space, unsigned int page, unsigned int frame, unsigned int rights);
/* A frame of the pool is mapped with @rights once more, or once less. */
void mm_count(unsigned int frame, unsigned int rights, int by);

/* Frame @frame of the pool can't be mapped with @rights, by what the kernel itself knows of it. */
bool mm_is_busy(unsigned int frame, unsigned int rights);

/* It was executable, and Xen has refused to make it writable again: until that is tried again it may be -EBUSY. */
bool mm_is_stuck(unsigned int frame);

/* A load from @va gives @word, if that is not NULL; a store goes by @rights; or there is nothing. */
void mm_check_access(uint64_t va, unsigned int rights, const uint64_t *word);

/* How many pages @page is from the window's first. */
uint64_t mm_page_at(unsigned int page);

/* The result is one that what went wrong explains. -EIO marks the space as broken. */
bool mm_excused(unsigned int space, int rc);

/* Nothing is mapped, held, or known. */
void mm_begin(void);

/* Forgets what a space maps. */
void mm_forget(unsigned int space);

static inline uint64_t mm_va(unsigned int space, unsigned int page)
{
	return oracle.space[space].va + mm_page_at(page) * PAGE_SIZE;
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
