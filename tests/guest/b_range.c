/* SPDX-License-Identifier: MIT */
/*
 * Benchmarks of ranges, in instructions of guest and Xen together. Each times only the call; before and after, the
 * pages are tagged through one mapping and read through the other, so that work not done can't pass for fast work.
 *
 * One page near the range stays mapped, so that an L2 is there: what is counted is the work on pieces, not
 * how an empty address space begins. (bench_32768 has none, and begins with its L3.)
 *
 * The least of several rounds counts: now and then one has a timer interrupt of Xen's in it.
 */
#include <stdint.h>
#include <pinion/arch/io.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/planner.h>
#include "suite.h"

#define PAGES	   UINT64_C(4096)
#define ROUNDS	   8
/* Lists of PFNs, as blocks of frames: 2 * PAGES of them, and 8 * PAGES. */
#define LIST_ORDER 4
#define MANY_ORDER 6
#define VA	   UINT64_C(0x0000200000000000)

static struct aspace as;
static pfn_t block; /* an aligned run of PAGES frames */
static pfn_t *pfns; /* 2 * PAGES: the same frames, scattered, twice */
static pfn_t list;  /* where that is */
static const struct aspace_range near = { VA + (UINT64_C(900) << 20), 1, NULL };
static uint64_t odd[2 * PAGES / 64], even[2 * PAGES / 64];

/* A timed call: its instructions and its hypercalls. */
struct cost {
	uint64_t least, calls;
};

#define TIMED(cost, call)                                   \
	({                                                  \
		uint64_t calls_ = mmu_batch_calls();        \
		uint64_t start_ = rdtsc();                  \
		int rc_ = (call);                           \
		uint64_t took_ = rdtsc() - start_;          \
		if (took_ < (cost)->least)                  \
			(cost)->least = took_;              \
		(cost)->calls = mmu_batch_calls() - calls_; \
		rc_;                                        \
	})

#define COST_START ((struct cost){ .least = UINT64_MAX })

static void report(const char *name, const struct cost *cost, uint64_t pages)
{
	bench_report(name, cost->least, pages, pages == 1 ? "instructions" : "instructions/page");
	test_note("%s: %lu hypercalls for %lu pages", name, cost->calls, pages);
}

static bool set_up(void)
{
	struct rng rng;
	uint64_t i, j;
	pfn_t swap;

	if (!CHECK_EQ(frame_alloc(12, OWNER_TEST, &block), 0) ||
	    !CHECK_EQ(frame_alloc(LIST_ORDER, OWNER_TEST, &list), 0))
		return false;
	pfns = direct_va(list);
	rng_seed(&rng, boot_info()->options.seed);
	for (i = 0; i < PAGES; i++)
		pfns[i] = pfn_add(block, i);
	for (i = PAGES - 1; i > 0; i--) {
		j = rng_below(&rng, i + 1);
		swap = pfns[i];
		pfns[i] = pfns[j];
		pfns[j] = swap;
	}
	for (i = 0; i < PAGES; i++)
		pfns[PAGES + i] = pfns[i];
	memset(odd, 0xaa, sizeof(odd));
	memset(even, 0x55, sizeof(even));
	return CHECK_EQ(aspace_create(&as), 0) && CHECK_EQ(aspace_activate(&as), 0) &&
	       CHECK_EQ(aspace_map(&as, &near, pfns, ASPACE_R), 0);
}

static void tear_down(void)
{
	CHECK_EQ(aspace_unmap(&as, &near), 0);
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
	frame_free(list, LIST_ORDER);
	frame_free(block, 12);
}

static uint64_t *word_at(uint64_t page)
{
	return (uint64_t *)(VA + (page << PAGE_SHIFT));
}

static bool picked(const uint64_t *select, uint64_t page)
{
	return !select || (select[page / 64] >> page % 64 & 1);
}

/* Each selected page is what @list says it is. */
static void prove_mapped(const pfn_t *expected, const uint64_t *select, uint64_t pages)
{
	uint64_t i, wrong = 0;

	for (i = 0; i < pages; i++)
		if (picked(select, i))
			*word_at(i) = i * 3 + 1;
	for (i = 0; i < pages; i++)
		if (picked(select, i))
			wrong += *word_at(i) != *(uint64_t *)direct_va(expected[i]);
	CHECK_EQ(wrong, 0);
}

/* What an access to each selected page gives. */
static void prove_fault(const uint64_t *select, uint64_t pages, bool write, exinfo_t expected)
{
	uint64_t i, wrong = 0, word = 0;

	for (i = 0; i < pages; i++)
		if (picked(select, i))
			wrong += (write ? probe_store64(word_at(i), i)
					: probe_load64(word_at(i), &word)) != expected;
	CHECK_EQ(wrong, 0);
}

TEST(bench, bench_block, "eight aligned runs, by sharing", .bench = true)
{
	struct cost on = COST_START, off = COST_START, ro = COST_START, rw = COST_START;
	struct aspace_range r = { VA, PAGES, NULL };
	unsigned int i;

	REQUIRE(set_up());
	for (i = 0; i < PAGES; i++)
		pfns[i] = pfn_add(block, i);
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(TIMED(&on, aspace_map_block(&as, &r, block, ASPACE_RW)), 0);
		prove_mapped(pfns, NULL, PAGES);
		CHECK_EQ(TIMED(&ro, aspace_protect(&as, &r, ASPACE_R)), 0);
		prove_fault(NULL, PAGES, true, EXINFO_PF(3));
		CHECK_EQ(TIMED(&rw, aspace_protect(&as, &r, ASPACE_RW)), 0);
		prove_mapped(pfns, NULL, PAGES);
		CHECK_EQ(TIMED(&off, aspace_unmap(&as, &r)), 0);
		prove_fault(NULL, PAGES, false, EXINFO_PF(0));
	}
	report("map_block", &on, PAGES);
	report("unmap_block", &off, PAGES);
	report("protect_shared_2m", &ro, PAGES);
	report("protect_shared_2m_back", &rw, PAGES);
	tear_down();
}

TEST(bench, bench_2m, "scattered frames in whole pieces, fresh tables", .bench = true)
{
	struct cost on = COST_START, off = COST_START, ro = COST_START, rw = COST_START;
	struct aspace_range r = { VA, PAGES, NULL };
	unsigned int i;

	REQUIRE(set_up());
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(TIMED(&on, aspace_map(&as, &r, pfns, ASPACE_RW)), 0);
		prove_mapped(pfns, NULL, PAGES);
		CHECK_EQ(TIMED(&ro, aspace_protect(&as, &r, ASPACE_R)), 0);
		prove_fault(NULL, PAGES, true, EXINFO_PF(3));
		CHECK_EQ(TIMED(&rw, aspace_protect(&as, &r, ASPACE_RW)), 0);
		prove_mapped(pfns, NULL, PAGES);
		CHECK_EQ(TIMED(&off, aspace_unmap(&as, &r)), 0);
		prove_fault(NULL, PAGES, false, EXINFO_PF(0));
	}
	report("map_2m_aligned", &on, PAGES);
	report("protect_2m", &ro, PAGES);
	report("protect_2m_back", &rw, PAGES);
	report("unmap_2m_aligned", &off, PAGES);
	tear_down();
}

TEST(bench, bench_2m_nx, "execution of whole pieces taken and given back", .bench = true)
{
	struct cost nx = COST_START, back = COST_START, on = COST_START, off = COST_START;
	struct aspace_range r = { VA, PAGES, NULL };
	unsigned int i;

	REQUIRE(set_up());
	CHECK_EQ(TIMED(&on, aspace_map(&as, &r, pfns, ASPACE_RX)), 0);
	for (i = 0; i < PAGES; i++)
		CHECK_EQ(probe_store64(direct_va(pfns[i]), 0), EXINFO_PF(3));
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(TIMED(&nx, aspace_protect(&as, &r, ASPACE_R)), 0);
		CHECK(probe_call(word_at(0)) != 0);
		CHECK_EQ(TIMED(&back, aspace_protect(&as, &r, ASPACE_RX)), 0);
	}
	CHECK_EQ(TIMED(&off, aspace_unmap(&as, &r)), 0);
	report("map_2m_exec", &on, PAGES);
	report("protect_2m_nx", &nx, PAGES);
	report("protect_2m_x", &back, PAGES);
	report("unmap_2m_exec", &off, PAGES);
	tear_down();
}

TEST(bench, bench_split, "one page's rights changed in a shared piece", .bench = true)
{
	struct aspace_range r = { VA, TABLE_ENTRIES, NULL }, one = { VA + 7 * PAGE_SIZE, 1, NULL };
	struct cost split = COST_START;
	unsigned int i;

	REQUIRE(set_up());
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
		CHECK_EQ(TIMED(&split, aspace_protect(&as, &one, ASPACE_R)), 0);
		CHECK_EQ(probe_store64(word_at(7), 1), EXINFO_PF(3));
		CHECK_EQ(probe_store64(word_at(8), 1), 0);
		CHECK_EQ(aspace_unmap(&as, &r), 0);
	}
	report("split_2m", &split, 1);
	tear_down();
}

TEST(bench, bench_4k_sparse, "every second page, nothing else there", .bench = true)
{
	struct aspace_range r = { VA, 2 * PAGES, odd };
	struct cost on = COST_START, off = COST_START;
	unsigned int i;

	REQUIRE(set_up());
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(TIMED(&on, aspace_map(&as, &r, pfns, ASPACE_RW)), 0);
		prove_mapped(pfns, odd, 2 * PAGES);
		CHECK_EQ(TIMED(&off, aspace_unmap(&as, &r)), 0);
		prove_fault(odd, 2 * PAGES, false, EXINFO_PF(0));
	}
	report("map_4k_sparse", &on, PAGES);
	report("unmap_4k_sparse", &off, PAGES);
	tear_down();
}

TEST(bench, bench_4k_interleaved, "every second page, the others stay mapped", .bench = true)
{
	struct aspace_range r = { VA, 2 * PAGES, odd }, others = { VA, 2 * PAGES, even };
	struct cost on = COST_START, off = COST_START, ro = COST_START, rw = COST_START;
	unsigned int i;

	REQUIRE(set_up());
	CHECK_EQ(aspace_map(&as, &others, pfns, ASPACE_R), 0);
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(TIMED(&on, aspace_map(&as, &r, pfns, ASPACE_RW)), 0);
		prove_mapped(pfns, odd, 2 * PAGES);
		CHECK_EQ(TIMED(&ro, aspace_protect(&as, &r, ASPACE_R)), 0);
		prove_fault(odd, 2 * PAGES, true, EXINFO_PF(3));
		CHECK_EQ(TIMED(&rw, aspace_protect(&as, &r, ASPACE_RW)), 0);
		prove_mapped(pfns, odd, 2 * PAGES);
		CHECK_EQ(TIMED(&off, aspace_unmap(&as, &r)), 0);
		prove_fault(odd, 2 * PAGES, false, EXINFO_PF(0));
	}
	report("map_4k_interleaved", &on, PAGES);
	report("protect_4k_interleaved", &ro, PAGES);
	report("protect_4k_interleaved_back", &rw, PAGES);
	report("unmap_4k_interleaved", &off, PAGES);
	CHECK_EQ(aspace_unmap(&as, &others), 0);
	tear_down();
}

/* The frames are executable elsewhere too, so that the direct map stays as it is. */
TEST(bench, bench_4k_nx, "execution alone, every second page", .bench = true)
{
	struct aspace_range r = { VA, 2 * PAGES, odd }, all = { VA, 2 * PAGES, NULL };
	struct aspace_range elsewhere = { VA + (UINT64_C(1) << 30), PAGES, NULL };
	struct cost nx = COST_START, back = COST_START;
	unsigned int i;

	REQUIRE(set_up());
	CHECK_EQ(aspace_map(&as, &elsewhere, pfns, ASPACE_RX), 0);
	CHECK_EQ(aspace_map(&as, &all, pfns, ASPACE_RX), 0);
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(TIMED(&nx, aspace_protect(&as, &r, ASPACE_R)), 0);
		CHECK(probe_call(word_at(1)) != 0);
		CHECK_EQ(TIMED(&back, aspace_protect(&as, &r, ASPACE_RX)), 0);
	}
	report("nx_4k_interleaved", &nx, PAGES);
	report("nx_4k_interleaved_back", &back, PAGES);
	CHECK_EQ(aspace_unmap(&as, &all), 0);
	CHECK_EQ(aspace_unmap(&as, &elsewhere), 0);
	tear_down();
}

TEST(bench, bench_one, "one page, its table there, a call", .bench = true)
{
	struct aspace_range r = { VA, 1, NULL }, other = { VA + PAGE_SIZE, 1, NULL };
	struct cost on = COST_START, off = COST_START;
	unsigned int i;

	REQUIRE(set_up());
	CHECK_EQ(aspace_map(&as, &other, pfns, ASPACE_R), 0);
	for (i = 0; i < 50; i++) {
		CHECK_EQ(TIMED(&on, aspace_map_block(&as, &r, pfns[i], ASPACE_RW)), 0);
		prove_mapped(pfns + i, NULL, 1);
		CHECK_EQ(TIMED(&off, aspace_unmap(&as, &r)), 0);
		prove_fault(NULL, 1, false, EXINFO_PF(0));
	}
	report("map_one", &on, 1);
	report("unmap_one", &off, 1);
	CHECK_EQ(aspace_unmap(&as, &other), 0);
	tear_down();
}

/* 64 whole pieces of scattered frames: the floor is one call, of 67 entries. */
TEST(bench, bench_32768, "32,768 fresh pages", .bench = true)
{
	struct aspace_range r = { VA, 8 * PAGES, NULL };
	struct cost on = COST_START;
	pfn_t frames, *many;
	uint64_t i;

	REQUIRE(set_up());
	CHECK_EQ(aspace_unmap(&as, &near), 0);
	REQUIRE(frame_alloc(MANY_ORDER, OWNER_TEST, &frames) == 0);
	many = direct_va(frames);
	for (i = 0; i < 8 * PAGES; i++)
		many[i] = pfns[i % PAGES];
	CHECK_EQ(TIMED(&on, aspace_map(&as, &r, many, ASPACE_RW)), 0);
	report("map_32768", &on, 8 * PAGES);
	CHECK(on.calls <= 2);
	CHECK_EQ(aspace_unmap(&as, &r), 0);
	frame_free(frames, MANY_ORDER);
	tear_down();
}
