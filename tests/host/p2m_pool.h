/* SPDX-License-Identifier: MIT */
/*
 * Pages for P2M trees on the host: a run of pseudo-physical frames in a memory file, so that it can be
 * mapped at a second address, as the direct map has the boot region's frames. What is given out holds
 * junk, what was given back holds other junk; a double free is caught; and it runs out when told.
 */
#ifndef TESTS_HOST_P2M_POOL_H
#define TESTS_HOST_P2M_POOL_H

#include <stdint.h>
#include <pinion/mm/p2m.h>

/* Makes the pool of the pfns [@first, @first + @nr), all free. */
void pool_open(uint64_t first, uint64_t nr);
void pool_close(void);

/* The source of trees, and the base at which pfn n is base + n * 4096. */
extern const struct p2m_source pool_source;
uintptr_t pool_base(void);

/* The page of a pfn of the pool. */
void *pool_page(uint64_t pfn);

/* Takes a pfn of the pool out of the allocator's hands, or puts it back there. */
void pool_reserve(uint64_t pfn);
void pool_unreserve(uint64_t pfn);

/* Gives n pages more and then none. */
void pool_limit(uint64_t n);

/* Pages that are given out, and the most there ever were. */
uint64_t pool_used(void);
uint64_t pool_most(void);

/* Maps the pool at a second address and returns its base; pool_forget_first() unmaps the first. */
uintptr_t pool_map_again(void);
void pool_forget_first(void);

#endif
