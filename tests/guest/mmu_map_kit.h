/* SPDX-License-Identifier: MIT */
/* What tests of mmu_map begin with: an address space that runs, two maps, and a backend of a few frames that runs out
 * when it is told to. */
#ifndef PINION_TESTS_GUEST_MMU_MAP_KIT_H
#define PINION_TESTS_GUEST_MMU_MAP_KIT_H

#include <pinion/mm/mmu_map.h>

#define POOL_FRAMES 32

/* With and without `free`, over the same frames. */
extern const struct mmu_map_mbackend pool_backend, pool_no_free;

struct pool {
	pfn_t frame[POOL_FRAMES]; /* those that are in it come first, the next to be given last */
	unsigned int in;
	unsigned int left; /* so many are given, and then no more */
	unsigned int gave, took;
};

extern struct pool pool;

/* Fills it; takes its frames away again, which must all be in it. Return whether that went well. */
bool pool_start(void);
bool pool_end(void);

/* pool_no_free: what was given and is plain memory again, as the test knows, is in it again. */
void pool_take_all_back(void);

typedef uint64_t map_room[MMU_MAP_T_WORDS];

extern map_room kit_room_a, kit_room_b;
#define A ((mmu_map_t)kit_room_a)
#define B ((mmu_map_t)kit_room_b)

/* Runs until kit_end(), which also checks that the pool has got back what it gave. Its user half is empty. */
extern struct aspace kit_as;

#define KIT_VA UINT64_C(0x0000300000000000)

bool kit_start(const struct mmu_map_mbackend *backend);
void kit_end(void);

bool kit_shows_nothing(mmu_map_t map);
/* Whether the views show the levels from 4 down to @level, and none below. */
bool kit_shows(mmu_map_t map, int level);

#endif
