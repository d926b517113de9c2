/* SPDX-License-Identifier: MIT */
/*
 * The virtual address map.
 *
 *   0xffffffffffffffff +-----------------------------+
 *                      |  PMAP window                |  until the direct map stands
 *   PMAP_BASE          +-----------------------------+ the last 2 MiB
 *                      |  unused                     |
 *   boot region's end  +-----------------------------+ 4 MiB aligned
 *                      |  boot stack (1 page)        |
 *                      |  start-of-day page tables   |  read-only: live tables
 *                      |  xenstore, console rings    |  domU only
 *                      |  start_info                 |
 *                      |  mfn_list (the P2M)         |
 *                      |  boot module, if any        |
 *   __image_end        +-----------------------------+
 *                      |  kernel image               |
 *   IMAGE_BASE         +-----------------------------+ VIRT_BASE + 1 MiB
 *                      |  RAM below the image        |  mapped by Xen like the rest
 *   VIRT_BASE          +-----------------------------+ 0xffffffff80000000, L4 slot 511
 *                      |  unused                     |
 *   VMAP_END           +-----------------------------+ 0xffffff8000000000
 *                      |  vmap arena, 512 GiB        |  stacks, MMIO, scattered blocks
 *   VMAP_BASE          +-----------------------------+ 0xffffff0000000000, L4 slot 510
 *                      |  not used, not the user's   |
 *   DIRECT_MAP_END     +-----------------------------+ 0xffff888000000000
 *                      |  direct map, 512 GiB        |  DIRECT_MAP + pfn * 4096
 *   DIRECT_MAP         +-----------------------------+ 0xffff880000000000, L4 slot 272
 *                      |  Xen's: slots 256-271       |  the M2P is the first 256 GiB of it
 *   XEN_VA_BASE        +-----------------------------+ 0xffff800000000000, L4 slot 256
 *                      |  non-canonical              |
 *                      +-----------------------------+ 0x0000800000000000
 *                      |  user's: slots 0-255        |
 *   0                  +-----------------------------+
 *
 * The boot region ("bootstrap region" in Xen's public/xen.h, 'Start of day') is what the domain
 * builder maps: VIRT_BASE + pfn * 4096 is pfn, for every pfn from 0 to the region's end, the 1 MiB
 * below the image included. From phase 7 on, only the image itself is left of it. The image starts at 1 MiB, not at 0, because a guest that is given the
 * host's memory map has the VGA hole at pfn 0xa0-0xff: whatever the image occupies can't move out
 * of the way of a hole.
 *
 * This header is read by the linker script and by assembly too: numbers only, outside __ASSEMBLY__.
 */
#ifndef PINION_MM_LAYOUT_H
#define PINION_MM_LAYOUT_H

#include <pinion/mm/va_base.h>

#define IMAGE_PADDR 0x100000
#define IMAGE_BASE  (VIRT_BASE + IMAGE_PADDR)

/* Start-of-day builders round the boot region's end to this, and keep this much of it free. */
#define BOOT_REGION_ALIGN 0x400000
#define BOOT_REGION_PAD	  0x80000

#define DIRECT_MAP_END (DIRECT_MAP + 0x8000000000)
#define VMAP_END       (VMAP_BASE + 0x8000000000)

#define SLOT_XEN_FIRST	(XEN_VA_BASE >> 39 & 511)
#define SLOT_XEN_LAST	(SLOT_XEN_FIRST + 15)
#define SLOT_DIRECT_MAP (DIRECT_MAP >> 39 & 511)
#define SLOT_VMAP	(VMAP_BASE >> 39 & 511)
#define SLOT_IMAGE	(VIRT_BASE >> 39 & 511)

#define KERNEL_STACK_PAGES 8

#ifndef __ASSEMBLY__

#include <stddef.h>
#include <stdint.h>
#include <pinion/mm/frames.h>

/* Edges of the image, set by linker.ld. All are page-aligned but __bss_end. */
extern char __image_start[], __text_start[], __text_end[];
extern char __rodata_start[], __rodata_end[];
extern char __data_start[], __data_end[];
extern char __bss_start[], __bss_end[], __image_end[];

/* The first stack, in .bss: KERNEL_STACK_PAGES pages above one guard page, which kmain unmaps. */
extern char boot_stack_guard[], boot_stack[], boot_stack_top[];

/* The page of .bss that shared_info is mapped over (xen/shared_info.c). */
extern char shared_info_page[];

_Static_assert(IMAGE_BASE % PAGE_SIZE == 0, "the image starts on a page");
_Static_assert(VIRT_BASE % BOOT_REGION_ALIGN == 0, "the boot region starts on 4 MiB");
_Static_assert(SLOT_XEN_LAST + 1 == (XEN_VA_END >> 39 & 511), "16 L4 slots are Xen's");
_Static_assert(DIRECT_MAP % (1ULL << 39) == 0, "one slot: as much as the P2M tree holds");
_Static_assert(VMAP_BASE % (1ULL << 39) == 0, "the arena is one slot");
_Static_assert((PMAP_BASE >> 39 & 511) == SLOT_IMAGE, "image and PMAP window share a slot");
_Static_assert(M2P_BASE == XEN_VA_BASE, "the M2P is the first of what is Xen's");

/* The boot region's address of a frame; meaningful only for frames inside the region. */
static inline void *boot_va(pfn_t pfn)
{
	return (void *)(VIRT_BASE + (pfn_x(pfn) << PAGE_SHIFT));
}

/* The frame behind an address of the boot region. => va >= VIRT_BASE */
static inline pfn_t boot_va_pfn(const void *va)
{
	return _pfn(((uintptr_t)va - VIRT_BASE) >> PAGE_SHIFT);
}

#endif /* __ASSEMBLY__ */
#endif
