/* SPDX-License-Identifier: MIT */
/*
 * Benchmarks of mmu_map, in instructions of guest and Xen together: three tables into an empty L4 slot and
 * out again; and the same where everything is there, which is no work of Xen's at all.
 *
 * The least of several rounds counts: now and then one has a timer interrupt of Xen's in it.
 */
#include <pinion/arch/io.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/mmu_map.h>
#include "suite.h"

#define ROUNDS 20
#define VA     UINT64_C(0x0000200000000000)

static struct aspace as;
static uint64_t rooms[2][MMU_MAP_T_WORDS];

/* The least of one hold, of one release, and of both together; and their hypercalls. */
struct cost {
	uint64_t hold, release, both, calls;
};

static struct cost measure(mmu_map_t map)
{
	struct cost least = { UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 };
	uint64_t calls = mmu_batch_calls(), start, held, end;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		start = rdtsc();
		CHECK_EQ(mmu_map_hold_va(&as, map, VA), 0);
		held = rdtsc();
		CHECK(mmu_map_pt(map) != NULL);
		end = rdtsc();
		CHECK_EQ(mmu_map_release_va(&as, map, VA), 0);
		end = rdtsc() - end;
		held -= start;
		least.hold = held < least.hold ? held : least.hold;
		least.release = end < least.release ? end : least.release;
		least.both = held + end < least.both ? held + end : least.both;
	}
	least.calls = (mmu_batch_calls() - calls) / ROUNDS;
	return least;
}

TEST(bench, bench_hold_release, "three tables held and released; and where they are there",
     .bench = true)
{
	mmu_map_t map = (mmu_map_t)rooms[0], other = (mmu_map_t)rooms[1];
	struct cost cold, warm;

	REQUIRE(aspace_create(&as) == 0);
	REQUIRE(aspace_activate(&as) == 0);
	REQUIRE(mmu_map_t_init(map, &mmu_map_frames) == 0);
	REQUIRE(mmu_map_t_init(other, &mmu_map_frames) == 0);
	cold = measure(map);
	CHECK_EQ(mmu_map_hold_va(&as, other, VA), 0);
	warm = measure(map);
	CHECK_EQ(mmu_map_release_va(&as, other, VA), 0);
	bench_report("hold_cold", cold.hold, 1, "instructions");
	bench_report("release_cold", cold.release, 1, "instructions");
	bench_report("hold_release_cold", cold.both, 1, "instructions");
	bench_report("hold_release_warm", warm.both, 1, "instructions");
	bench_report("hold_release_cold_calls", cold.calls, 1, "hypercalls");
	bench_report("hold_release_warm_calls", warm.calls, 1, "hypercalls");
	CHECK_EQ(cold.calls, 2);
	CHECK_EQ(warm.calls, 0);
	CHECK(cold.both <= 120000);
	CHECK_EQ(mmu_map_t_fini(map), 0);
	CHECK_EQ(mmu_map_t_fini(other), 0);
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
}
