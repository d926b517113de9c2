/* SPDX-License-Identifier: MIT */
/* Between the files of address spaces. */
#ifndef PINION_MM_ASPACE_INTERNAL_H
#define PINION_MM_ASPACE_INTERNAL_H

#include <pinion/mm/aspace.h>
#include <pinion/mm/tables.h>

/*
 * Executable frames. A frame that any leaf maps executable is read-only in the direct map, and counted (frame_count_execs).
 * One more leaf is going to: queues the direct map's change in the section under way, if it takes one, and counts
 * at once; a caller whose section fails counts back.
 */
__must_check int aspace_exec_queue(pfn_t pfn);

/*
 * The last leaf that maps each of the @nr frames @pfns executable is gone, whether its count has been brought down to 0
 * already or is 1: writable again, by sections of their own. It can't fail: one that Xen refuses to make writable waits
 * for a retry (mmu_batch_widen).
 */
void aspace_exec_release(const uint32_t *pfns, unsigned int nr);

/* Why a frame can't be executable: -EINVAL for one that is no data of ours, -EBUSY if it must stay as it is (text,
 * a frame of a shared block), or 0. */
__must_check int aspace_exec_unfit(pfn_t pfn);

/* The leaves of an offline L1 that goes: frames that were executable through it are writable again. */
void aspace_leaves_gone(pfn_t l1);

#endif
