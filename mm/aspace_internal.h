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

/* The leaves of an offline L1 that goes: frames that were executable through it are writable again. */
void aspace_leaves_gone(pfn_t l1);

#endif
