/* SPDX-License-Identifier: MIT */
/*
 * The direct map: every frame of RAM at DIRECT_MAP + pfn * 4096.
 *
 * Writable, but for what must not be: page tables, and the kernel's text and read-only data; never
 * executable. Identity and foreign frames and holes are not in it.
 *
 * How it is made, before there is any mapping to make it through:
 *
 *   1  its tables' frames are set aside first, in one run with no mapping anywhere: so the set of all
 *      frames that must be read-only is known before the first entry is written
 *   2  each L1 is filled through the PMAP window by plain stores, while it is ordinary memory, and
 *      unmapped; then each L2, then the L3
 *   3  one entry in the L4 links the whole; Xen validates it from the top down in that one call
 *
 * So building costs two update_va_mapping for 512 pages, and Xen's validation of each entry, which
 * nobody can save: it gives every frame its type.
 */
#ifndef PINION_MM_DIRECT_MAP_H
#define PINION_MM_DIRECT_MAP_H

#include <stdbool.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>
#include <pinion/mm/layout.h>

/* The address of @pfn in the direct map. => it is RAM, and the direct map stands */
static inline void *direct_va(pfn_t pfn)
{
	return (void *)(DIRECT_MAP + (pfn_x(pfn) << PAGE_SHIFT));
}

/* The frame behind an address of the direct map. => DIRECT_MAP <= va < DIRECT_MAP_END */
static inline pfn_t direct_va_pfn(const void *va)
{
	return _pfn(((uintptr_t)va - DIRECT_MAP) >> PAGE_SHIFT);
}

/*
 * Builds and links it (phase 6). Returns 0; -ENOMEM; or Xen's error, and then the tables' frames are
 * lost to the boot allocator, but nothing is linked. => the P2M and PMAP stand, the boot allocator has all RAM
 */
__must_check int direct_map_build(const struct boot_info *bi);

/* The frames that its tables take, fixed once built. */
struct frame_run direct_map_tables(void);

/* pfns from here on are not in it: RAM beyond the option mem=, and whatever is beyond RAM. */
pfn_t direct_map_end(void);

/*
 * Where it maps @pfn: entry *@index of the L1 *@table. Returns false, with both undefined, if it
 * doesn't. The level above alike: entry *@index of the L2 *@table, which links that L1.
 */
bool direct_map_leaf(pfn_t pfn, pfn_t *table, unsigned int *index);
bool direct_map_l2(pfn_t pfn, pfn_t *table, unsigned int *index);

/* Whether the frame is mapped elsewhere too, by an L1 or L2 that an address space shares. Such a frame can't
 * leave its block: its rights here are its rights there. */
bool direct_map_shared(pfn_t pfn);

/*
 * Changes one page's rights: @flags is PTE_KERNEL_RO or PTE_KERNEL_RW. Returns 0 or Xen's error:
 * -EBUSY for a table that is to become writable. The page is flushed.
 */
__must_check int direct_map_protect(pfn_t pfn, uint64_t flags);

#endif
