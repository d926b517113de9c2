/* SPDX-License-Identifier: MIT */
/* Between the files of mmu_map: mmu_map.c holds and releases, mmu_map_build.c builds, mmu_map_backend.c knows where
 * frames come from. */
#ifndef PINION_MM_MMU_MAP_INTERNAL_H
#define PINION_MM_MMU_MAP_INTERNAL_H

#include <pinion/mm/mmu_map.h>
#include "aspace_range.h"

#define LEVELS 4

/* The highest level behind @p at which a table is missing or must be copied; 0 if none is. */
unsigned int map_to_build(const struct piece *p);

/* Builds the levels up to @top, of backend @number's frames, and links them, in the section under way: p->table is then what
 * will be. On failure the caller drops what has been queued. */
__must_check int map_build(const struct range_op *op, unsigned int number, struct piece *p,
			   unsigned int top);

/* Registers a use of @backend. Returns its number, -EINVAL or -ENOSPC. */
__must_check int backend_get(const struct mmu_map_mbackend *backend);
void backend_put(unsigned int number);

/*
 * A frame of backend @number's as an offline table of @level, empty. Returns 0, -ENOMEM, or -EINVAL for a frame that
 * can't be one, which has then been given back.
 */
__must_check int backend_table(unsigned int number, unsigned int level, pfn_t *table);

/* Whether the backend has a `free`. */
bool backend_takes_back(unsigned int number);

/* The former table @pfn, plain memory now, goes back to its backend. => that is not number 0 */
void backend_table_gone(pfn_t pfn);

/* The address at which its backend shows a table, or any other table in the direct map. */
const uint64_t *backend_view(pfn_t table);

#endif
