/* SPDX-License-Identifier: MIT */
/*
 * Ranges under errors: each way of the planner's, in address spaces that Xen knows: shared, upper entry, offline,
 * rebuilt, entry by entry; splits; frames that become executable; and an address space's own life.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "fault.h"

#define VA    STAGE_VA
#define PIECE 512

static void set_empty(struct stage *s)
{
	MUST(aspace_create(&s->as));
	MUST(aspace_activate(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		MUST(frame_alloc(10, OWNER_TEST, &s->block[i]));
}

static void strike(struct stage *s)
{
	MUST(aspace_activate(&kernel_aspace));
	MUST(aspace_destroy(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		frame_free(s->block[i], 10);
}

/* A shared piece; a private one beside it. */
static void set_shared(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, PIECE, 0, ASPACE_RW));
}

static void set_private(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 1, 500, 3, ASPACE_RW));
}

static void set_sparse(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 0, 30, 0, ASPACE_RW));
}

static int play_one(struct stage *s)
{
	return stage_map(s, 5, 1, 0, ASPACE_RW);
}

static int play_few(struct stage *s)
{
	return stage_map(s, 100, 30, 40, ASPACE_RW);
}

static int play_one_beside(struct stage *s)
{
	return stage_map(s, 511, 1, 100, ASPACE_R);
}

static int play_share(struct stage *s)
{
	return stage_map(s, 0, PIECE, 0, ASPACE_RW);
}

/* Not aligned with the direct map, over three tables. */
static int play_offline(struct stage *s)
{
	return stage_map(s, 7, 2 * PIECE - 20, 3, ASPACE_R);
}

static int play_exec(struct stage *s)
{
	return stage_map(s, 9, 6, 3, ASPACE_RX);
}

static int play_unmap_one(struct stage *s)
{
	return stage_unmap(s, 7, 1);
}

static int play_unmap_some(struct stage *s)
{
	return stage_unmap(s, 3, 20);
}

static int play_unmap_all(struct stage *s)
{
	return stage_unmap(s, 0, PIECE);
}

static int play_protect_one(struct stage *s)
{
	return stage_protect(s, 7, 1, ASPACE_R);
}

static int play_protect_some(struct stage *s)
{
	return stage_protect(s, 3, 20, ASPACE_R);
}

static int play_protect_many(struct stage *s)
{
	return stage_protect(s, 3, 400, ASPACE_R);
}

static int play_protect_all(struct stage *s)
{
	return stage_protect(s, 0, PIECE, ASPACE_R);
}

static void set_exec(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 1, 300, 3, ASPACE_RX));
}

static int play_unexec(struct stage *s)
{
	return stage_protect(s, 3, 12, ASPACE_RW);
}

static int play_protect_exec_all(struct stage *s)
{
	return stage_protect(s, 1, 300, ASPACE_R);
}

static int play_protect_exec(struct stage *s)
{
	return stage_protect(s, 3, 10, ASPACE_RX);
}

/* Read-only, and the first 20 of these frames executable elsewhere: there the direct map has nothing to change. */
static void set_alias(struct stage *s)
{
	set_empty(s);
	MUST(stage_map(s, 1, 30, 3, ASPACE_R));
	MUST(stage_map(s, 3 * PIECE, 20, 3, ASPACE_RX));
}

static int play_alias(struct stage *s)
{
	return stage_protect(s, 1, 20, ASPACE_RX);
}

static int play_alias_partly(struct stage *s)
{
	return stage_protect(s, 1, 30, ASPACE_RX);
}

/* Another one's whole life but its end, and that. */
static void set_two(struct stage *s)
{
	set_sparse(s);
	MUST(aspace_activate(&kernel_aspace));
}

static void set_offline(struct stage *s)
{
	MUST(aspace_create(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		MUST(frame_alloc(10, OWNER_TEST, &s->block[i]));
	MUST(stage_map(s, 500, 30, 0, ASPACE_RW));
	MUST(stage_map(s, 3 * PIECE, 3, 40, ASPACE_RX));
}

static int play_activate(struct stage *s)
{
	return aspace_activate(&s->as);
}

static int play_activate_kernel(struct stage *s)
{
	(void)s;
	return aspace_activate(&kernel_aspace);
}

static int play_map_offline(struct stage *s)
{
	return stage_map(s, 5 * PIECE, 700, 100, ASPACE_RW);
}

static void set_blocks(struct stage *s)
{
	for (unsigned int i = 0; i < 2; i++)
		MUST(frame_alloc(10, OWNER_TEST, &s->block[i]));
}

static int play_create(struct stage *s)
{
	return aspace_create(&s->as);
}

static void strike_destroyed(struct stage *s)
{
	MUST(aspace_activate(&kernel_aspace));
	if (!pfn_eq(s->as.l4, INVALID_PFN))
		MUST(aspace_destroy(&s->as));
	for (unsigned int i = 0; i < 2; i++)
		frame_free(s->block[i], 10);
}

/* Rights of frames in the direct map. */
static int play_narrow(struct stage *s)
{
	return direct_map_protect(pfn_add(s->block[0], 5), PTE_KERNEL_RO);
}

static void set_narrow(struct stage *s)
{
	set_empty(s);
	MUST(play_narrow(s));
}

static int play_widen(struct stage *s)
{
	return direct_map_protect(pfn_add(s->block[0], 5), PTE_KERNEL_RW);
}

static void strike_narrow(struct stage *s)
{
	MUST(play_widen(s));
	strike(s);
}

static const struct story stories[] = {
	{ "map_one", set_empty, play_one, strike, false, false },
	{ "map_few", set_empty, play_few, strike, false, false },
	{ "map_beside", set_private, play_one_beside, strike, false, false },
	{ "map_entries", set_sparse, play_few, strike, false, false },
	{ "map_share", set_empty, play_share, strike, false, false },
	{ "map_offline", set_empty, play_offline, strike, false, false },
	{ "map_exec", set_empty, play_exec, strike, false, false },
	{ "unmap_one", set_private, play_unmap_one, strike, false, false },
	{ "unmap_some", set_private, play_unmap_some, strike, false, false },
	{ "unmap_all", set_private, play_unmap_all, strike, false, false },
	{ "unmap_shared", set_shared, play_unmap_all, strike, false, false },
	{ "protect_one", set_private, play_protect_one, strike, false, false },
	{ "protect_some", set_private, play_protect_some, strike, false, false },
	{ "protect_rebuild", set_private, play_protect_many, strike, false, false },
	{ "protect_upper", set_shared, play_protect_all, strike, false, false },
	{ "protect_exec", set_sparse, play_protect_exec, strike, false, false },
	{ "unmap_exec", set_exec, play_unmap_some, strike, false, false },
	{ "protect_unexec", set_exec, play_unexec, strike, false, false },
	{ "protect_unexec_all", set_exec, play_protect_exec_all, strike, false, false },
	{ "protect_alias", set_alias, play_alias, strike, false, false },
	{ "protect_alias_partly", set_alias, play_alias_partly, strike, false, false },
	{ "split_unmap", set_shared, play_unmap_some, strike, false, true },
	{ "split_protect", set_shared, play_protect_one, strike, false, true },
	{ "split_exec", set_shared, play_protect_exec, strike, false, true },
	{ "activate", set_offline, play_activate, strike, false, false },
	{ "activate_kernel", set_sparse, play_activate_kernel, strike, false, false },
	{ "map_not_live", set_offline, play_map_offline, strike, false, false },
	{ "create", set_blocks, play_create, strike_destroyed, false, false },
	{ "destroy", set_two, stage_destroy, strike_destroyed, false, false },
	{ "direct_narrow", set_empty, play_narrow, strike_narrow, false, false },
	{ "direct_widen", set_narrow, play_widen, strike_narrow, false, false },
};

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(stories)];

	for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
		tests[i] = (struct CMUnitTest)STORY(&stories[i]);
	return cmocka_run_group_tests_name("fault_range", tests, fault_group_open,
					   fault_group_close);
}
