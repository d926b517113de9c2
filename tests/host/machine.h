/* SPDX-License-Identifier: MIT */
/*
 * A guest at start of day on the host, and behind hypercall.h and probe.h as much of Xen as the P2M's
 * boot and the M2P need: MFNs in descending order, an M2P of them, a record of what was unmapped.
 *
 *   pfn 0        IMAGE                                     stack_end        region_end    nr_pages
 *       | RAM    | image | mfn_list | start_info, tables, stack | spare pages | not mapped |
 */
#ifndef TESTS_HOST_MACHINE_H
#define TESTS_HOST_MACHINE_H

#include <pinion/mm/p2m_boot.h>

#define MFN_FIRST UINT64_C(0x10000000) /* no pfn of the tree has such a number, identity or not */
#define IMAGE	  0x100

/* An entry of the map, by pfns. */
#define PAGES(from, to, type)                                         \
	{                                                             \
		(from) * PAGE_SIZE, ((to) - (from)) * PAGE_SIZE, type \
	}

extern struct boot_info bi;
extern struct p2m_boot_report report;

extern struct machine {
	uint64_t *m2p;	/* of the MFNs from MFN_FIRST on */
	bool *unmapped; /* of the boot region's pfns */
	uint64_t updates, unmaps;
	uint64_t refuse; /* the n-th hypercall from now on fails, with -EINVAL */
} xen;

/*
 * A guest of @nr pages with the map @raw (up to an entry of size 0), whose boot region ends with
 * @spare pages: those of them that lie in no hole are the pool's to give.
 */
void start(uint64_t nr, const struct e820_entry *raw, uint64_t spare);

/* kernel_p2m as the kernel makes it: made, grafted, holes moved. Returns the first error. */
int boot(void);

/* Ends what start() began. */
void finish(void);

/* The frame that @pfn has at start of day, and whether the map makes @pfn identity. */
uint64_t first_mfn(uint64_t pfn);
bool in_hole(uint64_t pfn);

#endif
