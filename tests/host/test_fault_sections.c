/* SPDX-License-Identifier: MIT */
/*
 * Operations of more than one section under errors. Each section is all or nothing by itself; when a later one is
 * refused, what the earlier ones did is taken back by sections of their own (range_run()), which insist. And an unmapping can't be
 * taken back at all: what follows its first section insists.
 *
 *     several sections    frames that become executable: one for the direct map, one for the leaves
 *                         a table that is held: its entries one by one, 1024 a section
 *                         an L2 that is held below an L3 entry that narrows: each of its entries, then that one
 *                         many tables: 480 a section
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/planner.h>
#include "fault.h"

#define PIECE 512U
#define GIB   (512U * PIECE)
#define VA    STAGE_VA

/* Pieces of a pair of 2 MiB blocks: 2 each. */
#define BLOCK_ORDER 10

static void set_empty(struct stage *s)
{
	MUST(aspace_create(&s->as));
	MUST(aspace_activate(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		MUST(frame_alloc(BLOCK_ORDER, OWNER_TEST, &s->block[i]));
}

static mmu_map_t map_of(struct stage *s, unsigned int i)
{
	return (mmu_map_t)s->map[i];
}

/* The L1s of the first pieces are held. */
static void hold(struct stage *s, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		MUST(mmu_map_t_init(map_of(s, i), &mmu_map_frames));
		MUST(mmu_map_hold_va(&s->as, map_of(s, i), VA + i * L2_SPAN));
	}
}

static void strike(struct stage *s)
{
	planner_force(WAYS);
	MUST(aspace_activate(&kernel_aspace));
	for (unsigned int i = 0; i < STAGE_MAPS && s->map[i][0]; i++) {
		MUST(mmu_map_release_va(&s->as, map_of(s, i), VA + i * L2_SPAN));
		MUST(mmu_map_t_fini(map_of(s, i)));
	}
	if (!pfn_eq(s->as.l4, INVALID_PFN))
		MUST(aspace_destroy(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		frame_free(s->block[i], BLOCK_ORDER);
}

static int map_some(struct stage *s, const struct aspace_range *r, unsigned int from,
		    enum aspace_rights rights)
{
	return aspace_map_block(&s->as, r, pfn_add(s->block[0], from), rights);
}

/* The last two pages of a piece, three in the middle of the next, the first of the one behind. */
#define FEW_AT 510
#define FEW_NR (2 + PIECE + 1)
static const uint64_t few_pages[FEW_NR / 64 + 1] = {
	[0] = 3,
	[4] = UINT64_C(7) << 20,
	[(FEW_NR - 1) / 64] = UINT64_C(1) << (FEW_NR - 1) % 64,
};
static const struct aspace_range few = { VA + FEW_AT * PAGE_SIZE, FEW_NR, few_pages };

static int play_map_exec(struct stage *s)
{
	return map_some(s, &few, 300, ASPACE_RX);
}

static void set_few(struct stage *s)
{
	set_empty(s);
	MUST(map_some(s, &few, 300, ASPACE_RW));
}

static int play_exec(struct stage *s)
{
	return aspace_protect(&s->as, &few, ASPACE_RX);
}

static void set_exec(struct stage *s)
{
	set_few(s);
	MUST(play_exec(s));
}

static int play_unexec(struct stage *s)
{
	return aspace_protect(&s->as, &few, ASPACE_RW);
}

static int play_unmap_exec(struct stage *s)
{
	return aspace_unmap(&s->as, &few);
}

/*
 * A mixture: a part of a shared piece of 2 MiB, a whole one, a whole GiB of them, another one, 4 KiB pages of a private
 * piece. What has to be split comes first: for splits that come later memory is looked for before the first section is
 * sent, and it is not that the allocator would lie.
 */
static const struct aspace_range mixed = { VA + (GIB - PIECE - 10) * PAGE_SIZE,
					   10 + PIECE + GIB + PIECE + 20, NULL };

static void set_mixed(struct stage *s)
{
	set_empty(s);
	for (uint64_t at = GIB - 2 * PIECE; at < 2 * GIB + PIECE; at += PIECE)
		MUST(stage_map(s, at, PIECE, 0, ASPACE_RW));
	MUST(stage_map(s, 2 * GIB + PIECE, PIECE - 3, 3, ASPACE_RW));
}

static int play_unmap_mixed(struct stage *s)
{
	return aspace_unmap(&s->as, &mixed);
}

static int play_protect_mixed(struct stage *s)
{
	return aspace_protect(&s->as, &mixed, ASPACE_R);
}

/* Frames of a shared piece get leaves of their own before they are executable; the piece before is private. */
static void set_beside(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 3, PIECE - 3, PIECE + 3, ASPACE_RW));
	MUST(stage_map(s, PIECE, PIECE, 0, ASPACE_RW));
}

static int play_exec_beside(struct stage *s)
{
	struct aspace_range r = { VA + (PIECE - 3) * PAGE_SIZE, 6, NULL };

	return aspace_protect(&s->as, &r, ASPACE_RX);
}

/* The GiB is narrowed by its L3 entry; a few pages in it are to write again. */
static void set_narrowed(struct stage *s)
{
	set_mixed(s);
	MUST(play_protect_mixed(s));
}

static int play_widen_some(struct stage *s)
{
	struct aspace_range r = { VA + (GIB + PIECE + 5) * PAGE_SIZE, 2 * PIECE, NULL };

	return aspace_protect(&s->as, &r, ASPACE_RW);
}

/* Page by page where there are no tables: they come between the frames' section and that of the leaves. */
static void set_entries(struct stage *s)
{
	set_empty(s);
	planner_force(WAY_ENTRIES);
}

static int play_exec_fresh(struct stage *s)
{
	return stage_map(s, 7, 3, 90, ASPACE_RX);
}

/* Tables that are held keep their place: entry by entry. */
static void set_held(struct stage *s)
{
	set_empty(s);
	hold(s, 3);
}

static int play_map_held(struct stage *s)
{
	struct aspace_range r = { VA + 100 * PAGE_SIZE, 2 * PIECE + 50, NULL };
	pfn_t pfns[2 * PIECE + 50];

	for (unsigned int i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = pfn_add(s->block[i / 1024], i % 1024);
	return aspace_map(&s->as, &r, pfns, ASPACE_RW);
}

static void set_held_full(struct stage *s)
{
	set_held(s);
	MUST(play_map_held(s));
}

static const struct aspace_range held = { VA + 101 * PAGE_SIZE, 2 * PIECE + 40, NULL };

static int play_protect_held(struct stage *s)
{
	return aspace_protect(&s->as, &held, ASPACE_R);
}

static int play_exec_held(struct stage *s)
{
	return aspace_protect(&s->as, &held, ASPACE_RX);
}

static int play_unmap_held(struct stage *s)
{
	return aspace_unmap(&s->as, &held);
}

/* As many tables as take two sections, when they become Xen's and when they cease to be. */
#define MANY 482

static void set_many(struct stage *s)
{
	MUST(aspace_create(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		MUST(frame_alloc(BLOCK_ORDER, OWNER_TEST, &s->block[i]));
	for (uint64_t i = 0; i < MANY; i++)
		MUST(stage_map(s, i * PIECE + 7, 1, (unsigned int)i, ASPACE_RW));
}

static int play_activate(struct stage *s)
{
	return aspace_activate(&s->as);
}

/* They cease to be: the first section unpins the L4, and the second has the last tables. */
static void set_pinned(struct stage *s)
{
	set_many(s);
	MUST(aspace_activate(&s->as));
	MUST(aspace_activate(&kernel_aspace));
}

/* Not active: plain stores, taken back when there is no memory. */
static int play_map_offline(struct stage *s)
{
	struct aspace_range r = { VA + 3 * L3_SPAN + 100 * PAGE_SIZE, 2 * PIECE, NULL };

	return map_some(s, &r, 0, ASPACE_RX);
}

static void set_offline(struct stage *s)
{
	MUST(aspace_create(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		MUST(frame_alloc(BLOCK_ORDER, OWNER_TEST, &s->block[i]));
}

static const struct story stories[] = {
	{ "map_exec", set_empty, play_map_exec, strike, false, false },
	{ "protect_exec", set_few, play_exec, strike, false, false },
	{ "protect_unexec", set_exec, play_unexec, strike, false, false },
	{ "unmap_exec", set_exec, play_unmap_exec, strike, false, false },
	{ "unmap_mixed", set_mixed, play_unmap_mixed, strike, false, true },
	{ "protect_mixed", set_mixed, play_protect_mixed, strike, false, true },
	{ "exec_beside", set_beside, play_exec_beside, strike, false, true },
	{ "widen_some", set_narrowed, play_widen_some, strike, false, true },
	{ "map_held", set_held, play_map_held, strike, false, false },
	{ "protect_held", set_held_full, play_protect_held, strike, false, false },
	{ "exec_fresh", set_entries, play_exec_fresh, strike, false, false },
	{ "exec_held", set_held_full, play_exec_held, strike, false, false },
	{ "unmap_held", set_held_full, play_unmap_held, strike, false, false },
	{ "activate_many", set_many, play_activate, strike, false, false },
	{ "destroy_many", set_pinned, stage_destroy, strike, false, false },
	{ "map_offline", set_offline, play_map_offline, strike, false, false },
};

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(stories)];

	for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
		tests[i] = (struct CMUnitTest)STORY(&stories[i]);
	return cmocka_run_group_tests_name("fault_sections", tests, fault_group_open,
					   fault_group_close);
}
