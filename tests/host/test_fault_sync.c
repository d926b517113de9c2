/* SPDX-License-Identifier: MIT */
/*
 * Errors where the queue says them at once: in sync mode each request goes out when it is made, so that a refusal comes
 * back in the midst of an operation and not at its end. And what becomes of executable pages, tables, pins
 * and frames that are not ours when Xen will not take back what was done.
 */
#include "host.h"
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/planner.h>
#include <pinion/mm/tables.h>
#include "fault.h"

#define VA    STAGE_VA
#define PIECE 512

/* Where the second mapping of a frame is. */
#define OTHER (2 * PIECE)

/* The machine's VGA text: a frame that is nobody's RAM. */
#define VGA 0xb8

static void set_empty(struct stage *s)
{
	MUST(aspace_create(&s->as));
	MUST(aspace_activate(&s->as));
	MUST(frame_alloc(10, OWNER_TEST, &s->block[0]));
}

static void strike(struct stage *s)
{
	mmu_batch_set_sync(false);
	planner_force(WAYS);
	MUST(aspace_activate(&kernel_aspace));
	MUST(aspace_destroy(&s->as));
	frame_free(s->block[0], 10);
}

static int map_vga(struct stage *s, uint64_t at, uint64_t nr)
{
	struct aspace_range range = { VA + at * PAGE_SIZE, nr, NULL };
	mfn_t mfns[4] = { { VGA }, { VGA + 1 }, { VGA + 2 }, { VGA + 3 } };

	return aspace_map_foreign(&s->as, &range, mfns, DOMID_IO, ASPACE_R, PTE_PCD);
}

/* Stages. Those of sync mode end with it on. */
static void set_sync_empty(struct stage *s)
{
	set_empty(s);
	mmu_batch_set_sync(true);
}

static void set_sparse(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, 12, 0, ASPACE_RW));
	MUST(stage_map(s, 20, 6, 20, ASPACE_RX));
}

static void set_sync_sparse(struct stage *s)
{
	set_sparse(s);
	mmu_batch_set_sync(true);
}

static void set_sync_entries(struct stage *s)
{
	set_sync_sparse(s);
	planner_force(WAY_ENTRIES);
}

/* Over the end of a piece: what the first section did is taken back by another. */
static void set_sync_over(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, PIECE - 4, 8, 30, ASPACE_RX));
	planner_force(WAY_ENTRIES);
	mmu_batch_set_sync(true);
}

static void set_sync_rebuild(struct stage *s)
{
	set_sync_sparse(s);
	planner_force(WAY_REBUILD);
}

static void set_sync_shared(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, PIECE, 0, ASPACE_RW));
	mmu_batch_set_sync(true);
}

static void set_exec(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, 12, 0, ASPACE_RX));
	planner_force(WAY_ENTRIES);
}

/* The frames are executable elsewhere, so that of each leaf NX alone changes. */
static void set_exec_elsewhere(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, 12, 0, ASPACE_R));
	MUST(stage_map(s, OTHER, 12, 0, ASPACE_RX));
}

static void set_foreign(struct stage *s)
{
	set_empty(s);
	MUST(map_vga(s, 3, 4));
}

static void set_sync_foreign(struct stage *s)
{
	set_foreign(s);
	mmu_batch_set_sync(true);
}

/* A GiB's table with a shared piece in it and a private one. */
static void set_tree(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, PIECE, 0, ASPACE_RW));
	MUST(stage_map(s, PIECE, 12, PIECE, ASPACE_RX));
}

static int play_offline(struct stage *s)
{
	return stage_map(s, PIECE - 3, 6, 3, ASPACE_R);
}

static int play_exec(struct stage *s)
{
	return stage_map(s, 14, 4, 30, ASPACE_RX);
}

static int play_few(struct stage *s)
{
	return stage_map(s, 100, 6, 40, ASPACE_RW);
}

static int play_unmap_some(struct stage *s)
{
	return stage_unmap(s, 3, 20);
}

static int play_unmap_all(struct stage *s)
{
	return stage_unmap(s, 0, PIECE);
}

static int play_unmap_tree(struct stage *s)
{
	return stage_unmap(s, 0, 2 * PIECE);
}

static int play_all_readable(struct stage *s)
{
	return stage_protect(s, 20, 6, ASPACE_R);
}

static int play_exec_to_rw(struct stage *s)
{
	return stage_protect(s, 20, 5, ASPACE_RW);
}

static int play_over_to_rw(struct stage *s)
{
	return stage_protect(s, PIECE - 4, 8, ASPACE_RW);
}

static int play_first_readable(struct stage *s)
{
	return stage_protect(s, 0, 10, ASPACE_R);
}

static int play_first_exec(struct stage *s)
{
	return stage_protect(s, 0, 12, ASPACE_RX);
}

static int play_foreign_unmap(struct stage *s)
{
	return stage_unmap(s, 0, 10);
}

static const struct story stories[] = {
	{ "sync_offline", set_sync_empty, play_offline, strike, false, false },
	{ "sync_exec_beside", set_sync_sparse, play_exec, strike, false, false },
	{ "sync_rebuild", set_sync_rebuild, play_few, strike, false, false },
	{ "sync_unmap_entries", set_sync_entries, play_unmap_some, strike, false, false },
	{ "sync_unmap_all", set_sync_sparse, play_unmap_all, strike, false, false },
	{ "sync_nx", set_sync_entries, play_all_readable, strike, false, false },
	{ "sync_exec_to_rw", set_sync_entries, play_exec_to_rw, strike, false, false },
	{ "sync_exec_over", set_sync_over, play_over_to_rw, strike, false, false },
	{ "sync_split_unmap", set_sync_shared, play_unmap_some, strike, false, true },
	{ "sync_foreign_unmap", set_sync_foreign, play_foreign_unmap, strike, false, false },
	{ "exec_readable", set_exec, play_first_readable, strike, false, false },
	{ "exec_elsewhere", set_exec_elsewhere, play_first_exec, strike, false, false },
	{ "exec_table", set_exec, play_unmap_all, strike, false, false },
	{ "tree", set_tree, play_unmap_tree, strike, false, false },
};

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(stories)];

	for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
		tests[i] = (struct CMUnitTest)STORY(&stories[i]);
	return cmocka_run_group_tests_name("fault_sync", tests, fault_group_open_dom0,
					   fault_group_close);
}
