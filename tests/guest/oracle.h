/* SPDX-License-Identifier: MIT */
/*
 * The oracle: Xen, asked whether the frame table is right.
 *
 * The audit compares what the kernel remembers with what its page tables say. What a frame *is* only Xen knows, and
 * it tells nobody; but it answers requests by what it knows:
 *
 *     the frame table says             asked for                 the answer of a true one
 *     plain (free, data, offline)      a writable mapping        0
 *     a live table                     a writable mapping        -EBUSY
 *     ... pinned                       a pin                     -EINVAL
 *     ... not pinned                   a pin of its level        0, and it is unpinned again
 *
 * The mappings go into an L1 that is made for it and unmade. Nothing is read or written through them.
 *
 * Source: get_page_from_l1e, _get_page_type and MMUEXT_PIN_* in Xen's arch/x86/mm.c; ABI: 'What must fail, and how'.
 */
#ifndef PINION_TESTS_GUEST_ORACLE_H
#define PINION_TESTS_GUEST_ORACLE_H

#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/rand.h>
#include <pinion/mm/frames.h>

struct oracle_lie {
	pfn_t pfn;
	const char *claim;
	long expected, answer;
};

#define ORACLE_LIES 8

struct oracle_report {
	uint64_t asked; /* frames */
	uint64_t lies;
	struct oracle_lie first[ORACLE_LIES];
};

/*
 * Asks for the frame at *@pfn, for @n frames drawn by @rng, or for all. Returns 0, or the error for which Xen could not be
 * asked: -ENOMEM for want of five frames. => no section of the batch is open
 */
__must_check int oracle_ask_one(pfn_t pfn, struct oracle_report *report);
__must_check int oracle_ask_some(struct rng *rng, unsigned int n, struct oracle_report *report);
__must_check int oracle_ask_all(struct oracle_report *report);

#endif
