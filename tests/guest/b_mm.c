/* SPDX-License-Identifier: MIT */
/*
 * Benchmarks: instructions of guest and Xen together, under -icount (`make bench`). Each proves outside the
 * timed region that the work was done.
 */
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/arch/io.h>
#include <pinion/arch/pte.h>
#include <pinion/boot/memory.h>
#include <pinion/lib/rand.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/pmap.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/time.h>
#include "suite.h"

#define LOOP	1000000
#define ROUNDS	200
#define LOOKUPS 4096

/* How long dom0 may still be busy with having started this domain. */
#define SETTLE_NS (2 * NS_PER_S)

/*
 * First a pause: the TSC counts dom0's instructions too, as long as it has work on the same CPU; with that the
 * direct map of 128 MiB was seen to cost twice what it does. A loop of two instructions a round: what the clock must show, or nothing below means anything. */
TEST(bench, bench_clock, "the TSC counts instructions, within 1 %", .bench = true,
     .phase = TEST_EARLY)
{
	uint64_t start, took, n = LOOP;

	time_sleep_until(time_now_ns() + SETTLE_NS);
	start = rdtsc();
	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) : : "cc");
	took = rdtsc() - start;
	if (took < 2 * LOOP * 99 / 100 || took > 2 * LOOP * 101 / 100)
		test_error("a loop of %d instructions took %lu: not under icount", 2 * LOOP, took);
}

TEST(bench, bench_pmap, "PMAP: map and unmap, a pair", .bench = true, .phase = TEST_EARLY)
{
	mfn_t mfn = boot_mfn(boot_info(), boot_info()->image.start);
	uint64_t start = rdtsc();
	unsigned int i;

	for (i = 0; i < ROUNDS; i++)
		pmap_unmap(pmap_map(mfn, PMAP_READ_ONLY));
	bench_report("pmap_map_unmap", rdtsc() - start, ROUNDS, "instructions");
}

TEST(bench, bench_boot, "the way up, and the direct map a page", .bench = true)
{
	uint64_t pages = pfn_x(direct_map_end());

	uint64_t early = boot_marked(MARK_EARLY) - boot_marked(MARK_ENTRY);
	uint64_t late = boot_marked(MARK_UP) - boot_marked(MARK_DIRECT_MAP);

	/* Between the two the early tests run, and the pause of bench_clock. */
	bench_report("boot_to_first_test", early + late, 1, "instructions");
	bench_report("boot_early", early, 1, "instructions");
	bench_report("boot_late", late, 1, "instructions");
	bench_report("directmap", boot_marked(MARK_DIRECT_MAP_END) - boot_marked(MARK_DIRECT_MAP),
		     pages, "instructions/page");
}

/* The least of several rounds: now and then one has a timer interrupt of Xen's in it. */
static void keep_least(uint64_t *least, uint64_t took)
{
	if (took < *least)
		*least = took;
}

/* In random order, so that nothing is learned from the pfn before. */
TEST(bench, bench_lookups, "pfn_to_mfn and mfn_to_pfn, a lookup", .bench = true)
{
	static uint64_t pfns[LOOKUPS], mfns[LOOKUPS];
	uint64_t p2m = UINT64_MAX, m2p = UINT64_MAX, start, wrong = 0, i;
	unsigned int round;
	struct rng rng;

	rng_seed(&rng, boot_info()->options.seed);
	for (i = 0; i < LOOKUPS; i++)
		pfns[i] = rng_below(&rng, boot_info()->nr_pages);
	for (round = 0; round < 8; round++) {
		start = rdtsc();
		for (i = 0; i < LOOKUPS; i++)
			mfns[i] = mfn_x(pfn_to_mfn(_pfn(pfns[i])));
		keep_least(&p2m, rdtsc() - start);
		start = rdtsc();
		for (i = 0; i < LOOKUPS; i++)
			wrong += pfn_x(mfn_to_pfn(_mfn(mfns[i]))) != pfns[i];
		keep_least(&m2p, rdtsc() - start);
	}
	/* The loops' own instructions, some five a round, are in the figures. */
	bench_report("pfn_to_mfn", p2m, LOOKUPS, "instructions");
	bench_report("mfn_to_pfn", m2p, LOOKUPS, "instructions");
	CHECK_EQ(wrong, 0);
}

/* The price of Xen: nothing done, one entry changed and changed back. */
TEST(bench, bench_hypercalls, "an empty hypercall, and an entry set and cleared", .bench = true)
{
	pfn_t pfn = INVALID_PFN;
	uint64_t start, i;
	long rc = 0;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	start = rdtsc();
	for (i = 0; i < ROUNDS; i++)
		rc |= hypercall_xen_version(0, NULL) < 0;
	bench_report("hypercall", rdtsc() - start, ROUNDS, "instructions");
	start = rdtsc();
	for (i = 0; i < ROUNDS; i++) {
		rc |= direct_map_protect(pfn, PTE_KERNEL_RO);
		rc |= direct_map_protect(pfn, PTE_KERNEL_RW);
	}
	bench_report("protect_one_pair", rdtsc() - start, ROUNDS, "instructions");
	CHECK_EQ(rc, 0);
	frame_free(pfn, 0);
}
