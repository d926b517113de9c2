/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own page tables: phase 7 leaves those of start of day.
 *
 *     L4 [272] -> the direct map's L3, as it is
 *        [510] -> an empty L3: the vmap arena
 *        [511] -> L3 [510] -> L2 -> L1s of the image, page by page with its own rights
 *
 *     text      read, execute       shared_info   Xen's page over a page of .bss
 *     rodata    read                stack guard   nothing
 *     data,bss  read, write         the rest of the boot region: nothing
 *
 * W^X is a rule about frames, not about addresses: text is read-only in the direct map too, and
 * there is nothing else that maps it, once the boot region is gone.
 *
 * Late pin: the tables are filled as ordinary memory through the direct map, made read-only there,
 * and then promoted by one pin of the L4.
 */
#ifndef PINION_MM_KERNEL_MAP_H
#define PINION_MM_KERNEL_MAP_H

#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

/*
 * Builds the tables and runs on them from the return on. Returns 0; -ENOMEM; or Xen's error with
 * start of day's tables still in use. => PMAP is closed; nobody will use the boot region again
 */
__must_check int kernel_map_enter(const struct boot_info *bi);

/*
 * Gives up start of day's tables: unpins the L4, makes their frames ordinary memory, and gives them, and the
 * window's two, to the boot allocator. Returns how many frames that were, or Xen's error.
 * => kernel_map_enter() has returned 0
 */
__must_check long kernel_map_reclaim(const struct boot_info *bi);

/* The frames of the tables that it made. */
struct frame_run kernel_map_tables(void);

/* The kernel's L4. */
pfn_t kernel_l4(void);

#endif
