/* SPDX-License-Identifier: MIT */
/* Between the files of address spaces. */
#ifndef PINION_MM_ASPACE_INTERNAL_H
#define PINION_MM_ASPACE_INTERNAL_H

#include <pinion/mm/aspace.h>
#include <pinion/mm/tables.h>

/*
 * Executable frames. A frame that any leaf maps executable is read-only in the direct map, and counted
 * (struct frame's execs). Both functions queue the direct map's change in the section under way, if it takes one, and count
 * at once; a caller whose section fails counts back with the other of aspace_exec_count().
 */
__must_check int aspace_exec_queue(pfn_t pfn, int by);
void aspace_exec_count(pfn_t pfn, int by);

/* The last leaf that maps the frame executable is gone, whether its count has been brought down to 0 already or is 1. */
__must_check int aspace_exec_over(pfn_t pfn);

/*
 * The same of the @nr frames @pfns, by sections of their own. It can't fail: a frame that Xen refuses to make writable
 * is marked (FRAME_STUCK), and mmu_batch_retry_quarantine() tries again.
 */
void aspace_exec_release(const uint32_t *pfns, unsigned int nr);

/* Why a frame can't be executable: -EINVAL for one that is no data of ours, -EBUSY if it must stay as it is (text,
 * a frame of a shared block), or 0. */
__must_check int aspace_exec_unfit(pfn_t pfn);

/* Whether any frame is executable at all, but for the kernel's text. */
bool aspace_exec_any(void);

/* The leaves of an offline L1 that goes: frames that were executable through it are writable again. */
void aspace_leaves_gone(pfn_t l1);

#endif
