/* SPDX-License-Identifier: MIT */
/*
 * PMAP: a window of eight pages on any frame, for the time before there is a direct map.
 *
 *     PMAP_BASE  +----+----+----+----+----+----+----+----+
 *                | 0  | 1  | 2  | 3  | 4  | 5  | 6  | 7  |   one L1, whose entries 8-511 stay empty
 *                +----+----+----+----+----+----+----+----+
 *                             \-- update_va_mapping alone --> any machine frame
 *
 * The rule: mapping must not need memory or another mapping, or it could not be used to make
 * either. So the window's tables are static, linked once in phase 4, and a slot is one
 * update_va_mapping on its L1. Nothing is flushed when a slot is filled (an absent entry is never
 * cached); unmapping flushes its one page.
 *
 * A live page table can only be mapped read-only: Xen answers a writable mapping with -EBUSY.
 * After pmap_close() any use is a bug, and caught; so is any in a trap or an event handler: whom it interrupts may be
 * about to take the same slot.
 *
 * Source: seed pmap-infrastructure-2022 (its last slot could not be unmapped: the bound was one page
 * off; and nothing noticed a second unmap; interrupts were masked where, its review found, none must come).
 */
#ifndef PINION_MM_PMAP_H
#define PINION_MM_PMAP_H

#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

#define PMAP_SLOTS 8

enum pmap_rights { PMAP_READ_ONLY, PMAP_READ_WRITE };

/*
 * Links the window into the start-of-day tables (phase 4). Returns 0, or Xen's error, or -EINVAL
 * if the start-of-day tables are not what they must be; nothing is linked then.
 */
__must_check int pmap_open(const struct boot_info *bi);

/*
 * Maps @mfn in a free slot and returns its address. Panics with 'out of PMAP slots' if all eight
 * are in use, or if Xen refuses the mapping: the caller knows its frames.
 */
void *pmap_map(mfn_t mfn, enum pmap_rights rights);

/* The same, but NULL where pmap_map() panics for a slot or for Xen's answer. */
void *pmap_try_map(mfn_t mfn, enum pmap_rights rights);

/* Unmaps @ptr, any address in a page that pmap_map() gave, and flushes it. Panics if that slot is
 * not in use or @ptr is not in the window. */
void pmap_unmap(const void *ptr);

/*
 * Unlinks the window: all slots must be free. Its two table pages become ordinary memory, writable
 * at their link addresses again. Returns 0 or Xen's error.
 */
__must_check int pmap_close(const struct boot_info *bi);

/* The window's table pages, for those who must know: L1 and L2, two PFNs. */
#define PMAP_TABLES 2
pfn_t pmap_table(unsigned int i);

#endif
