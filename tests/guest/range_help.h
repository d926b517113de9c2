/* SPDX-License-Identifier: MIT */
/*
 * What tests of address spaces and ranges have in common.
 *
 * Every frame that they map carries a tag in its first word: a `ret` and its own number. So whatever an address
 * maps, a load through it says which frame that is, a store whether it can be written, and a call whether
 * it can be executed.
 */
#ifndef PINION_TESTS_GUEST_RANGE_HELP_H
#define PINION_TESTS_GUEST_RANGE_HELP_H

#include <stdint.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frames.h>
#include <pinion/mm/planner.h>
#include "suite.h"

/* An address of nobody's where an L4 slot begins, and with it a piece of every size. */
#define RANGE_VA UINT64_C(0x0000180000000000)

#define PIECE UINT64_C(512) /* pages */

/* What a page should be: one of enum aspace_rights, or a hole. */
#define HOLE 3

/* Tags @nr frames from @first on. => they are writable in the direct map */
void range_tag(pfn_t first, uint64_t nr);

/*
 * Fails the test at the first page of @nr from @va on that is not @want, and if so, page i that of frame @first + i. aspace_query()
 * is asked of each; where the addresses can be reached, they are read, written and called too.
 */
void range_expect(const struct aspace *as, uint64_t va, uint64_t nr, pfn_t first, int want);

/* The same of one page, as a value: NULL, or what is wrong. @reach: by accesses too. */
const char *range_wrong(const struct aspace *as, uint64_t va, pfn_t pfn, int want, bool reach);

/* mm_audit(), and what it leaves open (range_audit.c): fails the test; or as a value, NULL or what is wrong. */
void range_audit(void);
const char *range_audited(void);

/* Page tables that the user's half of @as has to itself. */
uint64_t range_tables(const struct aspace *as);

/*
 * Takes all memory but @left single frames: the first FRAME_RESERVE of them are the reserve, whatever is more is for
 * everybody. The other gives back what it took. Freed frames are filled with a pattern, so that it takes its time to
 * give back much: a test that does it often takes nearly all at first, and may then take more.
 */
void range_hog(unsigned int left);
void range_unhog(void);

/*
 * Makes @pfn a frame that Xen refuses to map writable, of which our frame table knows nothing; and a plain one
 * again, tagged. What is in it is lost.
 */
void range_poison(pfn_t pfn);
void range_cure(pfn_t pfn);

/* A pin that our frame table knows nothing of, on an L1: Xen keeps its type. Returns Xen's result. */
long range_pin(pfn_t table, bool on);

/* A frame block of 2^order pages, tagged; the test has failed if there is none, and false is returned. */
bool range_block(unsigned int order, pfn_t *block);

/* Takes it back: it must be mapped nowhere any more. */
void range_block_back(pfn_t block, unsigned int order);

/* An address space that is created, and with @active, run on; and its end. */
bool range_begin(struct aspace *as, bool active);
void range_end(struct aspace *as);

/* How often the planner took @way since *@before. */
uint64_t range_taken(const struct planner_counters *before, enum planner_way way);

/* An errno's name in a failure says more than its number. */
#define CHECK_RC(got, want)                                                                        \
	({                                                                                         \
		int got_ = (got), want_ = (want);                                                  \
		if (got_ != want_)                                                                 \
			test_fail(__FILE__, __LINE__, "%s: %s, expected %s", #got,                 \
				  got_ ? errno_name(got_) : "0", want_ ? errno_name(want_) : "0"); \
		got_ == want_;                                                                     \
	})

#endif
