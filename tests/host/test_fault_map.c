/* SPDX-License-Identifier: MIT */
/*
 * mmu_map under errors: hold and release, alone and in sections of the batch, in address spaces that Xen knows and in
 * those it does not.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "fault.h"

#define VA STAGE_VA

static mmu_map_t map_of(struct stage *s, unsigned int i)
{
	return (mmu_map_t)s->map[i];
}

static void set_maps(struct stage *s)
{
	MUST(aspace_create(&s->as));
	for (unsigned int i = 0; i < STAGE_MAPS; i++)
		MUST(mmu_map_t_init(map_of(s, i), &mmu_map_frames));
}

/* Pinned, and left. */
static void set_live(struct stage *s)
{
	set_maps(s);
	MUST(aspace_activate(&s->as));
	MUST(aspace_activate(&kernel_aspace));
}

static void set_held(struct stage *s)
{
	set_live(s);
	MUST(mmu_map_hold_va(&s->as, map_of(s, 0), VA));
}

static void strike_maps(struct stage *s)
{
	for (unsigned int i = 0; i < STAGE_MAPS; i++)
		if (mmu_map_t_fini(map_of(s, i))) {
			for (uint64_t va = VA; va < VA + 4 * L3_SPAN; va += L3_SPAN)
				if (mmu_map_release_va(&s->as, map_of(s, i), va) == 0)
					break;
			MUST(mmu_map_t_fini(map_of(s, i)));
		}
	MUST(aspace_destroy(&s->as));
}

static int play_hold(struct stage *s)
{
	return mmu_map_hold_va(&s->as, map_of(s, 0), VA);
}

static int play_release(struct stage *s)
{
	return mmu_map_release_va(&s->as, map_of(s, 0), VA);
}

/* Three addresses, each in a GiB of its own: one L3, three L2s, three L1s. */
static int play_section(struct stage *s)
{
	int rc = 0;

	mmu_batch_begin();
	for (unsigned int i = 0; !rc && i < 3; i++)
		rc = mmu_map_hold_va(&s->as, map_of(s, i), VA + i * L3_SPAN);
	return mmu_batch_end(rc);
}

/* One goes and others come. */
static int play_exchange(struct stage *s)
{
	int rc;

	mmu_batch_begin();
	rc = mmu_map_release_va(&s->as, map_of(s, 0), VA);
	if (!rc)
		rc = mmu_map_hold_va(&s->as, map_of(s, 1), VA + L3_SPAN);
	if (!rc)
		rc = mmu_map_hold_va(&s->as, map_of(s, 2), VA + 2 * L3_SPAN);
	return mmu_batch_end(rc);
}

static const struct story stories[] = {
	{ "hold_offline", set_maps, play_hold, strike_maps, false, false },
	{ "hold", set_live, play_hold, strike_maps, false, false },
	{ "release", set_held, play_release, strike_maps, false, false },
	{ "hold_section", set_live, play_section, strike_maps, false, false },
	{ "hold_exchange", set_held, play_exchange, strike_maps, false, false },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(&stories[0]), STORY(&stories[1]), STORY(&stories[2]),
		STORY(&stories[3]), STORY(&stories[4]),
	};

	return cmocka_run_group_tests_name("fault_map", tests, fault_group_open, fault_group_close);
}
