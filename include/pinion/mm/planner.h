/* SPDX-License-Identifier: MIT */
/*
 * The planner: which of five ways a 2 MiB piece of a range is changed.
 *
 *   share    link the direct map's own L1 a second time: it is valid already. An aligned run of 512
 *            plain frames costs one entry, about 1 instruction a page: PV's answer to superpages
 *   upper    rights of a whole piece: change the entry above its L1, which the CPU combines with it
 *   offline  fill a fresh L1 by plain stores and link it: Xen validates 512 entries in one go
 *   rebuild  the same where an L1 is already: a changed copy replaces it by one entry
 *   entries  request by request
 *
 * Which are possible is for the caller to say; which is cheapest follows from what each
 * costs, guest and Xen together, in instructions. The figures are here and nowhere else; `make bench` measures
 * them again, forces each way on the same work, and fails if the planner's choice was not the best.
 *
 * Source: measured (`make bench`); docs/pv-mmu.md has the points where one way overtakes another.
 */
#ifndef PINION_MM_PLANNER_H
#define PINION_MM_PLANNER_H

#include <stdbool.h>
#include <stdint.h>

enum planner_way { WAY_SHARE, WAY_UPPER, WAY_OFFLINE, WAY_REBUILD, WAY_ENTRIES, WAYS };

/* What is to be done to a piece. */
struct planner_work {
	unsigned int possible;		  /* ways, as 1 << way */
	unsigned int map, unmap;	  /* entries that appear and disappear */
	unsigned int rw;		  /* entries whose RW bit changes */
	unsigned int nx;		  /* entries of which only NX changes */
	unsigned int before, after;	  /* entries of the L1 that are present */
	unsigned int before_ro, after_ro; /* of them those known to be read-only: cheaper for Xen */
	bool upper_rw;			  /* the entry above changes its RW bit */
	bool fresh;			  /* there is no L1 yet */
};

/* The cheapest way that is possible, => one is; that a way is taken; and both in one. */
enum planner_way planner_best(const struct planner_work *work);
void planner_take(enum planner_way way);
enum planner_way planner_choose(const struct planner_work *work);

/* What a way costs by the table, in instructions. */
uint64_t planner_cost(enum planner_way way, const struct planner_work *work);

/* How often each way was taken. */
struct planner_counters {
	uint64_t taken[WAYS];
};

struct planner_counters planner_counters(void);

/* From now on @way wherever it is possible; WAYS: the cheapest again. For benchmarks, and to name the page at
 * which a table is refused. Returns what it was. */
enum planner_way planner_force(enum planner_way way);

const char *planner_name(enum planner_way way);

#endif
