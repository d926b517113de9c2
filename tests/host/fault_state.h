/* SPDX-License-Identifier: MIT */
/*
 * What the guest's memory is, all of it, so that two moments can be compared: `as before` is not asked of the
 * operation, it is seen. All entries of all tables, the frame table, the P2M and what is published of it, the
 * allocator's count, the arena's areas, the model's own record of each frame, and mm_audit() on top.
 *
 * Masked, since nobody promises it:
 *
 *     A and D of entries              the CPU sets them when it likes, and an undo need not put them back
 *     US, G and bit 52 of entries     Xen adds them when it validates a table, and they stay when it is offline again: of
 *                                     offline tables only
 *     FRAME_EXEC of a table           a hint that a failure may leave behind; lost it must not be
 *     FRAME_STUCK of executable data  it has been read-only for nothing meanwhile; when it is not executable any more it
 *                                     becomes writable like any other, and then the flag goes
 *     which frames are free           in what order, and where: how many there are is compared, and that no others are
 */
#ifndef TESTS_HOST_FAULT_STATE_H
#define TESTS_HOST_FAULT_STATE_H

#include <stdint.h>
#include "fault.h"

/* A machine's pages, and what frames may move to from holes. */
#define FAULT_PAGES  8192
#define FAULT_FRAMES (FAULT_PAGES + 512)

struct frame_state {
	uint32_t word; /* frame_word() */
	uint16_t live, parents;
	uint32_t holds; /* or execs */
};

struct fault_state {
	uint64_t tables, p2m, machine;
	struct frame_state frames[FAULT_FRAMES]; /* by pfn; 0: free, or none */
	uint64_t mapped;			 /* what address spaces map, and how */
	uint64_t areas;
	uint64_t free, quarantined, in_tables, data; /* frames; no frame is counted twice */
	uint64_t broken;			     /* what the audit finds */
	char finding[160];
};

/* Fills @state. In the guest (machine_run()). */
void fault_look(struct fault_state *state);

/* All is the same, or the test fails. @what: what was done, for the message. */
void fault_expect_same(const struct fault_state *before, const struct fault_state *now,
		       const char *what);

/* The operation is done, by whatever way: the same is mapped, and no frame but tables is in use that was not. */
void fault_expect_done(const struct fault_state *after, const struct fault_state *now,
		       const char *what);

/*
 * Other tables than before, that map the same: each frame that is not what it was is or was one of them, and data is
 * what it was.
 */
void fault_expect_remapped(const struct fault_state *before, const struct fault_state *now,
			   const char *what);

/*
 * Something could not be undone. Each frame is accounted for: what is not what it was is in quarantine, or is, or was, a
 * table; a data frame is in quarantine only if the operation took it, and else stays its owner's, read-only at worst.
 */
void fault_expect_accounted(const struct fault_state *before, const struct fault_state *now,
			    const char *what);

#endif
