/* SPDX-License-Identifier: MIT */
/*
 * vmap: kernel addresses for what the direct map has not, or not so: memory whose frames lie anywhere,
 * stacks with a page under them that faults, and the machine's devices.
 *
 *     VMAP_BASE                                                                    VMAP_END
 *     |guard| stack |guard| block ..... |guard| MMIO |guard|          free ...        |
 *             8            3 frames, any        pfn 0xb8, identity
 *
 * On both sides of whatever is in the arena lies a page that nothing maps: what runs over its end faults there, instead
 * of writing into its neighbour. Two neighbours share the one between them.
 *
 * The arena is one L4 slot, whose L3 every address space has: what is mapped here is mapped in all.
 *
 * Nothing is kept in the memory that is mapped, nor in its frames: addresses are in a table of areas, and the frames of a
 * block are linked through the frame table, as free ones are.
 *
 * All functions are all or nothing. Their errors are those named, and -EBUSY inside a section of the batch; where an
 * undo is refused -EIO, and the addresses then stay taken. => the frame table and kernel_aspace stand; not in a trap
 */
#ifndef PINION_MM_VMAP_H
#define PINION_MM_VMAP_H

#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frames.h>

/* How many areas the arena can have at a time. */
#define VMAP_AREAS 1024

/*
 * Memory of @nr pages, each frame from anywhere, read-write, content undefined. Returns 0 with the address of the first
 * in *@va; -EINVAL for none; -ENOMEM for want of frames or of addresses.
 */
__must_check int vmap_alloc(uint64_t nr, void **va);

/*
 * The @nr frames @pfns side by side; they stay the caller's. Returns 0, as vmap_alloc(), or aspace_map()'s errors:
 * -EINVAL for what is no data frame, -EBUSY for one that can't have @rights.
 */
__must_check int vmap_map(const pfn_t *pfns, uint64_t nr, enum aspace_rights rights, void **va);

/* Ends either. Returns 0, or -EINVAL if @va is not what one of them gave, or was freed before. */
__must_check int vmap_free(void *va);

/* A stack of @nr pages, between guards; *@top is the address behind its last byte, where rsp starts. Errors as
 * vmap_alloc(). */
__must_check int vmap_stack_alloc(uint64_t nr, void **top);

/* Ends it. Errors as vmap_free(). => nothing runs on it */
__must_check int vmap_stack_free(void *top);

/* How a device's pages are cached; Xen's PAT has each of these at one place (ABI: 'Allowed bits'). */
enum mmio_cache {
	MMIO_UC, /* not: registers */
	MMIO_WC, /* writes are combined: frame buffers */
	MMIO_WB, /* as memory. Xen makes it UC, unless it is booted with mmio-relax */
};

/*
 * The @nr pages of the machine that identity PFNs from @pfn on name, read-write. Returns 0 with the address of the first in
 * *@va; without a hypercall -ENOENT if a pfn is missing from the P2M, -EINVAL if one is RAM or foreign, or for no
 * pages, or an unknown @cache; -ENOMEM; or -EPERM: Xen doesn't let this domain.
 */
__must_check int mmio_map(pfn_t pfn, uint64_t nr, enum mmio_cache cache, volatile void **va);

/* Ends it. Errors as vmap_free(). */
__must_check int mmio_unmap(volatile void *va);

/* How many areas there are, and how many pages they map. */
unsigned int vmap_areas(void);
uint64_t vmap_pages(void);

#endif
