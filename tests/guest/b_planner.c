/* SPDX-License-Identifier: MIT */
/*
 * The planner against the facts: the same work is done by each way that can do it, and then by the one that the
 * planner takes, which may cost 5 % more than the best at most.
 *
 *                            share  upper  offline  rebuild  entries
 *     an aligned run           x              x                 x
 *     scattered frames                        x                 x
 *     n of 512 mapped,                                 x        x      n below, near and above the point
 *       unmapped, protected                            x        x      where the two cost the same
 *     all 512 protected               x                x        x
 *
 * A way counts as possible if, forced, it was taken for each piece and no other was (planner_counters). Figures
 * are in instructions a page, guest and Xen together; the least of several rounds.
 */
#include <pinion/arch/io.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/printf.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include "range_help.h"

#define VA     (RANGE_VA + (UINT64_C(1) << 38))
#define PIECES 4
#define PAGES  (PIECES * PIECE)
#define ORDER  11 /* PAGES frames */
#define ROUNDS 3

/* Five per cent over the best are one in twenty. */
#define SLACK 20

static struct aspace as;
static pfn_t block;
static pfn_t pfns[PAGES]; /* the block's frames, no two of them neighbours */
static uint64_t some[PAGES / 64], others[PAGES / 64];
static const struct aspace_range all = { VA, PAGES, NULL };
static const struct aspace_range chosen = { VA, PAGES, some }, rest = { VA, PAGES, others };

/* A kind of work: what is there before, the work itself, and the rights that the chosen pages have then. */
struct work {
	const char *name;
	int (*prepare)(void);
	int (*run)(void);
	int want; /* enum aspace_rights, or HOLE */
};

static int nothing(void)
{
	return 0;
}

static int map_run(void)
{
	return aspace_map_block(&as, &all, block, ASPACE_RW);
}

static int map_all(void)
{
	return aspace_map(&as, &all, pfns, ASPACE_RW);
}

static int map_rest(void)
{
	return aspace_map(&as, &rest, pfns, ASPACE_RW);
}

static int map_chosen(void)
{
	return aspace_map(&as, &chosen, pfns, ASPACE_RW);
}

static int unmap_chosen(void)
{
	return aspace_unmap(&as, &chosen);
}

static int protect_chosen(void)
{
	return aspace_protect(&as, &chosen, ASPACE_R);
}

static int protected(void)
{
	int rc = map_all();

	return rc ? rc : protect_chosen();
}

static int widen_chosen(void)
{
	return aspace_protect(&as, &chosen, ASPACE_RW);
}

static int protect_all(void)
{
	return aspace_protect(&as, &all, ASPACE_R);
}

/* The first @n pages of each piece are chosen. */
static void choose(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		uint64_t bit = UINT64_C(1) << i % 64, *word = &some[i / 64];

		*word = i % PIECE < n ? *word | bit : *word & ~bit;
		others[i / 64] = ~*word;
	}
}

/* What was done can be seen. */
static void prove(const struct work *work)
{
	unsigned int i, wrong = 0;
	uint64_t word = 0;

	for (i = 0; i < PAGES; i++) {
		uint64_t *at = (uint64_t *)(VA + i * PAGE_SIZE);
		bool picked = some[i / 64] >> i % 64 & 1;

		if (!picked)
			continue;
		if (work->want == HOLE)
			wrong += probe_load64(at, &word) != EXINFO_PF(0);
		else
			wrong += probe_store64(at, i) !=
				 (work->want == ASPACE_RW ? 0 : EXINFO_PF(3));
	}
	CHECK_EQ(wrong, 0);
}

/* One round by @way, or the planner's (WAYS). Returns its cost, and in *@taken the way that all pieces took; WAYS if more than one. */
static uint64_t once(const struct work *work, enum planner_way way, enum planner_way *taken)
{
	struct planner_counters before;
	uint64_t start, took;
	enum planner_way i;
	int rc;

	CHECK_RC(work->prepare(), 0);
	before = planner_counters();
	planner_force(way);
	start = rdtsc();
	rc = work->run();
	took = rdtsc() - start;
	planner_force(WAYS);
	CHECK_RC(rc, 0);
	*taken = WAYS;
	for (i = 0; i < WAYS; i++)
		if (range_taken(&before, i) == PIECES)
			*taken = i;
	for (i = 0; i < WAYS; i++)
		if (i != *taken && range_taken(&before, i) > 0)
			*taken = WAYS;
	prove(work);
	CHECK_RC(aspace_unmap(&as, &all), 0);
	return took;
}

static uint64_t least(const struct work *work, enum planner_way way, enum planner_way *taken)
{
	uint64_t took, best = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		took = once(work, way, taken);
		if (took < best)
			best = took;
	}
	return best;
}

static void report(const struct work *work, unsigned int n, const char *way, uint64_t cost)
{
	char name[48];

	snprintf(name, sizeof(name), "plan_%s_%u_%s", work->name, n, way);
	bench_report(name, cost, (uint64_t)n * PIECES, "instructions/page");
}

/* All ways for @work on @n pages of each piece, and the planner's. */
static void compare(const struct work *work, unsigned int n)
{
	enum planner_way way, taken, best_way = WAYS;
	uint64_t cost, best = UINT64_MAX;
	unsigned int possible = 0;

	choose(n);
	for (way = 0; way < WAYS; way++) {
		cost = least(work, way, &taken);
		if (taken != way)
			continue;
		possible++;
		report(work, n, planner_name(way), cost);
		if (cost < best) {
			best = cost;
			best_way = way;
		}
	}
	cost = least(work, WAYS, &taken);
	test_note("%s %u: the planner takes %s, the best is %s", work->name, n, planner_name(taken),
		  planner_name(best_way));
	CHECK(possible > 1);
	CHECK(taken != WAYS);
	if (!CHECK(cost * SLACK <= best * (SLACK + 1)))
		test_note("%lu instructions, and by %s %lu", cost, planner_name(best_way), best);
}

static bool set_up(void)
{
	unsigned int i;

	if (!range_block(ORDER, &block))
		return false;
	for (i = 0; i < PAGES; i++)
		pfns[i] = pfn_add(block, i * UINT64_C(577) % PAGES);
	return range_begin(&as, true);
}

static void tear_down(void)
{
	range_end(&as);
	range_block_back(block, ORDER);
}

TEST(bench, bench_planner_whole, "whole pieces: the planner's way is within 5 % of the best",
     .bench = true)
{
	static const struct work works[] = {
		{ "run", nothing, map_run, ASPACE_RW },
		{ "map", nothing, map_all, ASPACE_RW },
		{ "protect", map_all, protect_all, ASPACE_R },
	};
	unsigned int i;

	REQUIRE(set_up());
	for (i = 0; i < ARRAY_SIZE(works); i++)
		compare(&works[i], PIECE);
	tear_down();
}

TEST(bench, bench_planner_part, "parts of pieces: the planner's way is within 5 % of the best",
     .bench = true)
{
	static const struct work works[] = {
		{ "map_part", map_rest, map_chosen, ASPACE_RW },
		{ "unmap_part", map_all, unmap_chosen, HOLE },
		{ "protect_part", map_all, protect_chosen, ASPACE_R },
		{ "widen_part", protected, widen_chosen, ASPACE_RW },
	};
	static const unsigned int parts[] = { 1, 64, 256, 288, 320, 352, 384, 480, 511 };
	unsigned int i, j;

	REQUIRE(set_up());
	for (i = 0; i < ARRAY_SIZE(works); i++)
		for (j = 0; j < ARRAY_SIZE(parts); j++)
			compare(&works[i], parts[j]);
	tear_down();
}
