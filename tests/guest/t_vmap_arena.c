/* SPDX-License-Identifier: MIT */
/* The addresses of the vmap arena: where areas lie, against an oracle, and how many there can be. */
#include <pinion/arch/probe.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/vmap.h>
#include "suite.h"

static uint64_t frames_now(void)
{
	return frame_alloc_free() + frame_alloc_reserve();
}

static exinfo_t load(const void *va)
{
	uint64_t word = 0;

	return probe_load64(va, &word);
}

/* As many areas as there can be, of one frame; then room in the middle is found again. */
TEST(vmap, vmap_areas_full, "the table of areas is used to the last, then -ENOMEM")
{
	uint64_t frames = frames_now();
	void *va = NULL, *middle = NULL, *first = NULL;
	unsigned int i, n = VMAP_AREAS;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(vmap_areas() == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	for (i = 0; i < n; i++) {
		REQUIRE(vmap_map(&pfn, 1, ASPACE_RW, &va) == 0);
		first = i == 0 ? va : first;
		middle = i == n / 2 ? va : middle;
	}
	CHECK_EQ(vmap_map(&pfn, 1, ASPACE_RW, &va), -ENOMEM);
	CHECK_EQ(vmap_free(middle), 0);
	CHECK_EQ(load(middle), EXINFO_PF(0));
	CHECK_EQ(vmap_map(&pfn, 1, ASPACE_RW, &va), 0);
	CHECK(va == middle);
	for (i = 0; i < n; i++)
		REQUIRE(vmap_free((char *)first + UINT64_C(2) * i * PAGE_SIZE) == 0);
	frame_free(pfn, 0);
	CHECK_EQ(vmap_areas(), 0);
	CHECK_EQ(frames_now(), frames);
}

/* The oracle: which pages of the arena's first 1024 are mapped, one byte each. */
#define ORACLE_PAGES 1024
#define ORACLE_MAX   48

static uint8_t oracle[ORACLE_PAGES];

/* Where an area of @nr pages must go: the lowest page with free ones before, in and behind it. */
static uint64_t oracle_fit(uint64_t nr)
{
	uint64_t page, i;

	for (page = 1; page + nr < ORACLE_PAGES; page++) {
		for (i = page - 1; i <= page + nr && !oracle[i]; i++)
			;
		if (i > page + nr)
			return page;
	}
	return 0;
}

static bool oracle_agrees(void)
{
	uint64_t page;

	for (page = 0; page < ORACLE_PAGES; page++)
		if ((load((const void *)(VMAP_BASE + page * PAGE_SIZE)) == 0) != oracle[page])
			return CHECK_EQ(page, UINT64_MAX);
	return true;
}

TEST(vmap, vmap_random, "random areas lie where an oracle has them, never side by side")
{
	uint64_t frames = frames_now();
	uint64_t ops = boot_info()->options.ops ? boot_info()->options.ops : 2000, op;
	uint32_t at[ORACLE_MAX], size[ORACLE_MAX];
	pfn_t list[12], pfn = INVALID_PFN;
	unsigned int n = 0, i;
	struct rng rng;
	void *va = NULL;

	REQUIRE(vmap_areas() == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	for (i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = pfn;
	memset(oracle, 0, sizeof(oracle));
	rng_seed(&rng, boot_info()->options.seed);
	test_note("seed %#lx, %lu operations", boot_info()->options.seed, ops);
	for (op = 0; op < ops; op++) {
		if (n < ORACLE_MAX && (n == 0 || rng_below(&rng, 5) < 3)) {
			size[n] = 1 + (uint32_t)rng_below(&rng, ARRAY_SIZE(list));
			at[n] = (uint32_t)oracle_fit(size[n]);
			REQUIRE(vmap_map(list, size[n], ASPACE_RW, &va) == 0);
			REQUIRE((uintptr_t)va == VMAP_BASE + at[n] * PAGE_SIZE);
			memset(oracle + at[n], 1, size[n]);
			n++;
		} else {
			i = (unsigned int)rng_below(&rng, n);
			REQUIRE(vmap_free((void *)(VMAP_BASE + at[i] * PAGE_SIZE)) == 0);
			memset(oracle + at[i], 0, size[i]);
			n--;
			at[i] = at[n];
			size[i] = size[n];
		}
		if (op % 64 == 0)
			REQUIRE(oracle_agrees());
	}
	CHECK(oracle_agrees());
	while (n-- > 0)
		CHECK_EQ(vmap_free((void *)(VMAP_BASE + at[n] * PAGE_SIZE)), 0);
	frame_free(pfn, 0);
	CHECK_EQ(vmap_areas(), 0);
	CHECK_EQ(frames_now(), frames);
}
