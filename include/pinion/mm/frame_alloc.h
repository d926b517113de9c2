/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator: a binary buddy system over all free RAM, from the end of phase 7 on.
 *
 *   order 0: one frame ... order 9: one aligned run of 2 MiB ... order 18: one of 1 GiB
 *
 * A block of order n starts at a PFN that is a multiple of 2^n; its buddy differs in that one bit.
 * Freeing joins a block with its buddy as long as that is free and whole. Free blocks are linked
 * through their first frame's entry in the frame table, so that the memory itself is never touched.
 *
 * Failure is a value. Freeing what is not out is a bug of the caller's, and panics: an allocator
 * that gives one frame to two owners breaks both of them later, somewhere else.
 *
 * The reserve: a few single frames that only unmap and protect may use, to split a shared table when
 * there is no memory: without it *giving memory back* could fail for want of memory. Every free
 * refills it first.
 */
#ifndef PINION_MM_FRAME_ALLOC_H
#define PINION_MM_FRAME_ALLOC_H

#include <pinion/lib/compiler.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/frames.h>

#define FRAME_ORDER_MAX 18
#define FRAME_RESERVE	8

/* Takes over all that the boot allocator has left. => frame_table_init() */
void frame_alloc_init(void);

/*
 * Gives out an aligned block of 2^@order frames, content undefined, writable in the direct map and
 * mapped nowhere else; the lowest-numbered block of the smallest order that does. Returns 0 with its first frame
 * in *@pfn; -ENOMEM; -EINVAL for an order beyond FRAME_ORDER_MAX.
 */
__must_check int frame_alloc(unsigned int order, enum frame_owner owner, pfn_t *pfn);

/*
 * Takes back a block that frame_alloc() gave out with that order, or a part of one that is a block.
 * Returns 0, or -EBUSY if an address space maps it by sharing the direct map's tables: unmap it
 * first. frame_free() is for those who know that nobody does; it panics then.
 */
__must_check int frame_try_free(pfn_t pfn, unsigned int order);
void frame_free(pfn_t pfn, unsigned int order);

/* A single frame for a table, from the allocator or else from the reserve. Returns 0 or -ENOMEM. */
__must_check int frame_alloc_reserved(enum frame_owner owner, pfn_t *pfn);

/*
 * Poison: frames that come back are filled with a pattern, and when they go out again it must still be there; if it
 * isn't, somebody has written to a frame that was not his any more: a panic that says where. Off at the start; what is
 * freed while it is off is not looked at. It costs some 2,500 instructions a frame.
 */
void frame_alloc_set_poison(bool on);
bool frame_alloc_poison(void);

/* Free frames, without the reserve; and what the reserve holds. */
uint64_t frame_alloc_free(void);
unsigned int frame_alloc_reserve(void);

/*
 * Looks the lists and the frame table over: every free frame is in one block, every block aligned, joined with its buddy,
 * and in one list, all counts are right, the reserve's frames are its own. Returns NULL, or what is wrong with the frame in *@where.
 */
const char *frame_alloc_audit(pfn_t *where);

#endif
