/* SPDX-License-Identifier: MIT */
/* The planner by itself: of the possible ways the cheapest by its own table, whatever the work; and what it counts. */
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/planner.h>
#include "suite.h"

/* A number up to @end, and up to @most. */
static unsigned int some(struct rng *rng, unsigned int end, unsigned int most)
{
	return (unsigned int)rng_below(rng, (end < most ? end : most) + 1);
}

/* Work as there is: no more entries change than there are; a share maps, and an upper entry changes rights. */
static struct planner_work draw(struct rng *rng)
{
	struct planner_work work = {
		.possible = 1 + (unsigned int)rng_below(rng, (1U << WAYS) - 1),
		.before = (unsigned int)rng_below(rng, 513),
		.upper_rw = rng_below(rng, 2),
	};
	/* Few entries are where the ways' figures are close. */
	unsigned int most = rng_below(rng, 2) ? 512 : 3;

	if (work.possible & 1U << WAY_SHARE)
		work.possible &= ~(1U << WAY_UPPER);
	work.map = some(rng, 512 - work.before, most);
	work.unmap = some(rng, work.before, most);
	work.rw = some(rng, work.before - work.unmap, most);
	work.nx = some(rng, work.before - work.unmap - work.rw, most);
	work.after = work.before + work.map - work.unmap;
	return work;
}

TEST(planner, planner_cheapest,
     "of the ways that are possible the cheapest is taken, whatever the work")
{
	struct planner_work work;
	enum planner_way best, way;
	struct rng rng;
	unsigned int i;

	rng_seed(&rng, boot_info()->options.seed);
	for (i = 0; i < 5000; i++) {
		work = draw(&rng);
		best = planner_best(&work);
		REQUIRE(best < WAYS && (work.possible & 1U << best));
		for (way = 0; way < WAYS; way++)
			if (work.possible & 1U << way)
				REQUIRE(planner_cost(best, &work) <= planner_cost(way, &work));
	}
}

/* The whole point of it: one entry is cheaper than a table, a table than many requests, and few requests than a table. */
TEST(planner, planner_order,
     "a share beats a table, a table beats many requests, few requests beat a table")
{
	const unsigned int all = (1U << WAYS) - 1;
	struct planner_work work = { .possible = all & ~(1U << WAY_UPPER),
				     .map = 512,
				     .after = 512 };

	CHECK_EQ(planner_best(&work), WAY_SHARE);
	work.possible = 1U << WAY_OFFLINE | 1U << WAY_ENTRIES;
	CHECK_EQ(planner_best(&work), WAY_OFFLINE);
	work = (struct planner_work){ 1U << WAY_REBUILD | 1U << WAY_ENTRIES, .map = 3, .after = 3 };
	CHECK_EQ(planner_best(&work), WAY_ENTRIES);
	work = (struct planner_work){ 1U << WAY_REBUILD | 1U << WAY_ENTRIES, .map = 500,
				      .before = 12, .after = 512 };
	CHECK_EQ(planner_best(&work), WAY_REBUILD);
	work = (struct planner_work){ 1U << WAY_UPPER | 1U << WAY_REBUILD | 1U << WAY_ENTRIES,
				      .rw = 512, .before = 512, .after = 512, .upper_rw = true };
	CHECK_EQ(planner_best(&work), WAY_UPPER);
	work.rw = 1;
	work.upper_rw = false;
	work.possible &= ~(1U << WAY_UPPER);
	CHECK_EQ(planner_best(&work), WAY_ENTRIES);
}

TEST(planner, planner_forced,
     "a forced way is taken where it is possible, and ways are counted when they are taken")
{
	struct planner_work work = { .possible = 1U << WAY_SHARE | 1U << WAY_ENTRIES, .map = 512 };
	struct planner_counters before = planner_counters();
	enum planner_way old = planner_force(WAY_ENTRIES), way;

	CHECK_EQ(planner_best(&work), WAY_ENTRIES);
	CHECK_EQ(planner_counters().taken[WAY_ENTRIES], before.taken[WAY_ENTRIES]);
	CHECK_EQ(planner_choose(&work), WAY_ENTRIES);
	CHECK_EQ(planner_counters().taken[WAY_ENTRIES], before.taken[WAY_ENTRIES] + 1);
	CHECK_EQ(planner_force(WAY_REBUILD), WAY_ENTRIES);
	CHECK_EQ(planner_choose(&work), WAY_SHARE);
	CHECK_EQ(planner_counters().taken[WAY_SHARE], before.taken[WAY_SHARE] + 1);
	CHECK_EQ(planner_force(old), WAY_REBUILD);
	CHECK_EQ(planner_best(&work), WAY_SHARE);
	for (way = 0; way < WAYS; way++)
		CHECK(strcmp(planner_name(way), "none") != 0);
	CHECK(strcmp(planner_name(WAYS), "none") == 0);
	work.possible = 0;
	CHECK(EXPECT_PANIC(planner_best(&work)) != NULL);
}
