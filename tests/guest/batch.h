/* SPDX-License-Identifier: MIT */
/*
 * What the tests of mmu_batch work on: an address space that the vCPU runs on, with tables to change.
 *
 *     L4 --> L3 --> L2 [0] --> L1 0   entries 0-15 map data frames 0-15, writable
 *                      [1] --> L1 1   the same, read-only
 *                      [2] --> L1 2   empty
 *                      [3] --> L1 3   empty
 *
 * All frames are OWNER_TEST's, all tables live, and everything else is absent.
 */
#ifndef PINION_TESTS_GUEST_BATCH_H
#define PINION_TESTS_GUEST_BATCH_H

#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "suite.h"

#define BATCH_VA   UINT64_C(0x0000200000000000)
#define BATCH_L1S  4
#define BATCH_DATA 24
#define BATCH_MAPS 16

/* Leaves of the user's half. */
#define USER_RO (PTE_P | PTE_US | PTE_A | PTE_NX)
#define USER_RW (USER_RO | PTE_RW | PTE_D)

struct batch_tables {
	struct aspace as;
	pfn_t l3, l2, l1[BATCH_L1S];
	pfn_t data[BATCH_DATA];
};

/* False if the test can't go on. */
bool batch_up(struct batch_tables *t);
void batch_down(struct batch_tables *t);

/* Where entry @index of L1 @n maps. */
static inline uint64_t batch_va(unsigned int n, unsigned int index)
{
	return BATCH_VA + n * L2_SPAN + index * PAGE_SIZE;
}

static inline uint64_t batch_leaf(pfn_t pfn, uint64_t flags)
{
	return pte_make(pfn_to_mfn(pfn), flags);
}

static inline uint64_t batch_link(pfn_t table)
{
	return pte_make(pfn_to_mfn(table), PTE_LINK);
}

/* An offline table, empty. */
pfn_t batch_new_table(unsigned int level);

/* A release function, and how often it was called. */
extern unsigned int batch_released;
void batch_release(pfn_t pfn);
/* The same for a frame that stays its owner's. */
void batch_release_kept(pfn_t pfn);

/*
 * All that a section must leave alone if it fails: every entry of every table (A and D aside), the
 * frame table, and how many frames are free. As one number.
 */
uint64_t batch_state(void);

/* Calls of Xen's by nobody's leave: an entry, whatever the tables' own records say; and pins. */
long batch_raw_set(pfn_t table, unsigned int index, uint64_t value);
long batch_raw_ext(unsigned int cmd, pfn_t pfn);

#endif
