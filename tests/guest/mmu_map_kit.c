/* SPDX-License-Identifier: MIT */
/* See mmu_map_kit.h. */
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include "mmu_map_kit.h"
#include "suite.h"

struct pool pool;

static void *pool_alloc(size_t size)
{
	if (size != PAGE_SIZE || pool.left == 0 || pool.in == 0)
		return NULL;
	pool.left--;
	pool.gave++;
	return direct_va(pool.frame[--pool.in]);
}

static void pool_free(void *va)
{
	pool.took++;
	if (CHECK(pool.in < POOL_FRAMES))
		pool.frame[pool.in++] = direct_va_pfn(va);
}

const struct mmu_map_mbackend pool_backend = { pool_alloc, pool_free, direct_va, direct_va_pfn };
const struct mmu_map_mbackend pool_no_free = { pool_alloc, NULL, direct_va, direct_va_pfn };

bool pool_start(void)
{
	pool = (struct pool){ .left = UINT32_MAX };
	while (pool.in < POOL_FRAMES)
		if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &pool.frame[pool.in++]), 0))
			return false;
	return true;
}

void pool_take_all_back(void)
{
	pool.in = POOL_FRAMES;
}

bool pool_end(void)
{
	if (!CHECK_EQ(pool.in, POOL_FRAMES))
		return false;
	while (pool.in > 0)
		frame_free(pool.frame[--pool.in], 0);
	return true;
}

struct aspace kit_as;
map_room kit_room_a, kit_room_b;

bool kit_start(const struct mmu_map_mbackend *backend)
{
	return CHECK(mmu_map_t_size() <= sizeof(map_room)) && pool_start() &&
	       CHECK_EQ(aspace_create(&kit_as), 0) && CHECK_EQ(aspace_activate(&kit_as), 0) &&
	       CHECK_EQ(mmu_map_t_init(A, backend), 0) && CHECK_EQ(mmu_map_t_init(B, backend), 0);
}

void kit_end(void)
{
	CHECK_EQ(mmu_map_t_fini(A), 0);
	CHECK_EQ(mmu_map_t_fini(B), 0);
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&kit_as), 0);
	CHECK_EQ(pool.gave, pool.took);
	pool_end();
}

bool kit_shows_nothing(mmu_map_t map)
{
	return !mmu_map_pml4t(map) && !mmu_map_pdpt(map) && !mmu_map_pdt(map) && !mmu_map_pt(map);
}

bool kit_shows(mmu_map_t map, int level)
{
	return mmu_map_pml4t(map) && !mmu_map_pdpt(map) == (level > 3) &&
	       !mmu_map_pdt(map) == (level > 2) && !mmu_map_pt(map) == (level > 1);
}
