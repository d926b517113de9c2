/* SPDX-License-Identifier: MIT */
/*
 * The boot allocator: frames for the time before the buddy allocator, from two pools.
 *
 *   mapped     frames of the boot region that start of day leaves free: they can be used through a
 *              pointer at once, and have a writable mapping, so can't become tables as they are
 *   unmapped   the rest of RAM: no mapping at all, so good for tables, reached through PMAP alone
 *
 * It keeps a short list of free ranges of PFNs and cuts from it: mapped pages from the low end, runs
 * from the high end, so that what is left stays in one piece. Whatever it has left in the end is
 * handed to the buddy allocator.
 */
#ifndef PINION_MM_BOOT_ALLOC_H
#define PINION_MM_BOOT_ALLOC_H

#include <stdbool.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

/*
 * Starts with the boot region's free frames, those in holes of the memory map left out, because
 * they may move. => bi is complete; nothing has been taken from those frames yet.
 */
void boot_alloc_init(const struct boot_info *bi);

/* Adds [@start, @start + @nr) to the unmapped pool: RAM, free, mapped nowhere. */
void boot_alloc_add_unmapped(pfn_t start, uint64_t nr);

/* Gives out one mapped frame, zeroed: its address in the boot region, its number in *@pfn (may be
 * NULL). NULL if none is left. */
void *boot_alloc_page(pfn_t *pfn);

/* Takes back a page that boot_alloc_page() gave out, in any order. */
void boot_alloc_give_back(pfn_t pfn);

/*
 * Gives out @nr contiguous frames with no mapping anywhere, content undefined: from the unmapped
 * pool, or else from the mapped one, whose start-of-day mappings it then removes. Returns 0, -ENOMEM, or
 * Xen's error; then no frame is lost, but those that have lost their mapping are of the unmapped pool.
 */
__must_check int boot_alloc_run(uint64_t nr, pfn_t *start);

/* Frames left in both pools together. */
uint64_t boot_alloc_free(void);

/* The free range number @i, and whether it is of the mapped pool. Returns false from the last one on. */
bool boot_alloc_range(unsigned int i, struct frame_run *run, bool *mapped);

/* The free ranges, in no order: calls @fn for each. For the hand-over to the buddy allocator, after
 * which the boot allocator is empty. */
void boot_alloc_drain(void (*fn)(pfn_t start, uint64_t nr));

#endif
