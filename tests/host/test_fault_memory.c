/* SPDX-License-Identifier: MIT */
/*
 * The rest of mm/ under errors, as dom0: the published P2M, the vmap arena, MMIO, and the batch by itself with many
 * leaves of a table at once.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "fault.h"

#define MMIO UINT64_C(0xb8)
#define BULK 20

static void set_nothing(struct stage *s)
{
	(void)s;
}

/* Identity from the middle of one leaf to that of another, whole ones between. */
static int play_identity(struct stage *s)
{
	(void)s;
	return p2m_set_identity_range(&kernel_p2m, _pfn(STAGE_PFN - 4000 + 7),
				      _pfn(STAGE_PFN - 4000 + 2000));
}

static int play_identity_far(struct stage *s)
{
	(void)s;
	return p2m_set_identity_range(&kernel_p2m, _pfn(STAGE_PFN - 100), _pfn(STAGE_PFN + 700));
}

static void set_identity(struct stage *s)
{
	MUST(play_identity(s));
}

static int play_clear(struct stage *s)
{
	(void)s;
	return p2m_clear_range(&kernel_p2m, _pfn(STAGE_PFN - 4000 + 700),
			       _pfn(STAGE_PFN - 4000 + 1900));
}

static int play_set(struct stage *s)
{
	(void)s;
	return p2m_set(&kernel_p2m, _pfn(STAGE_PFN + 3), _mfn(0x1234));
}

/* Frames of the guest's own: Xen is asked for each. */
#define M2P_FIRST 1000
#define M2P_NR	  6

static int play_m2p_set(struct stage *s)
{
	(void)s;
	return m2p_set(pfn_to_mfn(_pfn(M2P_FIRST)), _pfn(M2P_FIRST));
}

static int play_m2p_sync(struct stage *s)
{
	(void)s;
	return m2p_sync(&kernel_p2m, _pfn(M2P_FIRST), M2P_NR);
}

static int play_foreign(struct stage *s)
{
	(void)s;
	return p2m_set_foreign(&kernel_p2m, _pfn(STAGE_PFN + 5), _mfn(0x1234));
}

static int play_foreign_split(struct stage *s)
{
	(void)s;
	return p2m_set_foreign(&kernel_p2m, _pfn(STAGE_PFN - 4000 + 1000), _mfn(0x1234));
}

static void strike_p2m(struct stage *s)
{
	(void)s;
	MUST(p2m_clear_range(&kernel_p2m, _pfn(STAGE_PFN - 4000), _pfn(STAGE_PFN - 4000 + 3000)));
	MUST(p2m_clear_range(&kernel_p2m, _pfn(STAGE_PFN - 200), _pfn(STAGE_PFN + 1000)));
}

/* What it says is the tools' to read. */
static void set_unpublished(struct stage *s)
{
	set_identity(s);
	s->va[0] = kernel_p2m.shared;
	p2m_unpublish(&kernel_p2m);
}

static int play_publish(struct stage *s)
{
	return p2m_publish(&kernel_p2m, s->va[0]);
}

/* The arena. */
static int play_vmap(struct stage *s)
{
	return vmap_alloc(5, &s->va[0]);
}

static int play_stack(struct stage *s)
{
	return vmap_stack_alloc(3, &s->va[1]);
}

static void set_stack(struct stage *s)
{
	MUST(play_stack(s));
}

static int play_stack_free(struct stage *s)
{
	int rc = vmap_stack_free(s->va[1]);

	if (!rc)
		s->va[1] = NULL;
	return rc;
}

/* In three pieces: what the first ones did is unmapped by a section that insists. */
static int play_vmap_pieces(struct stage *s)
{
	return vmap_alloc(300, &s->va[0]);
}

static void set_vmap_pieces(struct stage *s)
{
	MUST(play_vmap_pieces(s));
}

static void set_pfns(struct stage *s)
{
	for (unsigned int i = 0; i < 6; i++)
		MUST(frame_alloc(0, OWNER_TEST, &s->pfn[i]));
}

static int play_vmap_map(struct stage *s)
{
	return vmap_map(s->pfn, 6, ASPACE_RX, &s->va[0]);
}

static void set_vmap(struct stage *s)
{
	MUST(play_vmap(s));
}

static int play_vmap_free(struct stage *s)
{
	int rc = vmap_free(s->va[0]);

	if (!rc)
		s->va[0] = NULL;
	return rc;
}

/* Write-back: else -EINVAL is told as -EPERM, which it is of a domain without devices. */
static int play_mmio(struct stage *s)
{
	return mmio_map(_pfn(MMIO), 8, MMIO_WB, (volatile void **)&s->va[2]);
}

static void set_mmio(struct stage *s)
{
	MUST(play_mmio(s));
}

static int play_mmio_unmap(struct stage *s)
{
	int rc = mmio_unmap(s->va[2]);

	if (!rc)
		s->va[2] = NULL;
	return rc;
}

static void strike_vmap(struct stage *s)
{
	if (kernel_aspace.broken)
		return;
	if (s->va[0])
		MUST(vmap_free(s->va[0]));
	if (s->va[1])
		MUST(vmap_stack_free(s->va[1]));
	if (s->va[2])
		MUST(mmio_unmap(s->va[2]));
	for (unsigned int i = 0; i < 6; i++)
		if (pfn_x(s->pfn[i]))
			frame_free(s->pfn[i], 0);
}

/* Devices in an address space of a user's: more than a section's entries, over three tables. */
#define FOREIGN_NR 520

static void set_user(struct stage *s)
{
	MUST(aspace_create(&s->as));
	MUST(aspace_activate(&s->as));
}

static const struct aspace_range foreign = { STAGE_VA + 508 * PAGE_SIZE, FOREIGN_NR, NULL };

static int play_map_foreign(struct stage *s)
{
	mfn_t mfns[FOREIGN_NR];

	for (unsigned int i = 0; i < FOREIGN_NR; i++)
		mfns[i] = _mfn(MMIO + i % 8);
	return aspace_map_foreign(&s->as, &foreign, mfns, DOMID_SELF, ASPACE_RW, 0);
}

static void set_map_foreign(struct stage *s)
{
	set_user(s);
	MUST(play_map_foreign(s));
}

static int play_unmap_foreign(struct stage *s)
{
	return aspace_unmap(&s->as, &foreign);
}

static void strike_user(struct stage *s)
{
	MUST(aspace_activate(&kernel_aspace));
	MUST(aspace_destroy(&s->as));
}

/* A held L1, and frames for it. */
static void set_table(struct stage *s)
{
	MUST(aspace_create(&s->as));
	MUST(aspace_activate(&s->as));
	MUST(mmu_map_t_init((mmu_map_t)s->map[0], &mmu_map_frames));
	MUST(mmu_map_hold_va(&s->as, (mmu_map_t)s->map[0], STAGE_VA));
	MUST(frame_alloc(5, OWNER_TEST, &s->block[0]));
}

static pfn_t table_of(struct stage *s)
{
	return direct_va_pfn(mmu_map_pt((mmu_map_t)s->map[0]));
}

static uint64_t leaf_of(struct stage *s, unsigned int i)
{
	return pte_make(pfn_to_mfn(pfn_add(s->block[0], i)), PTE_KERNEL_RW | PTE_US);
}

static int bulk(struct stage *s, enum mmu_batch_kind kind)
{
	struct mmu_batch_room room;
	int rc;

	mmu_batch_begin();
	rc = mmu_batch_open(table_of(s), &room);
	for (unsigned int i = 0; !rc && i < BULK; i++) {
		uint64_t old = table_read(table_of(s), i);

		room.requests[i].ptr = room.ptr + 8UL * i;
		room.requests[i].val = kind == MMU_BATCH_MAP  ? leaf_of(s, i)
				       : kind == MMU_BATCH_RW ? old & ~PTE_RW
							      : 0;
		room.old[i] = old;
	}
	if (!rc)
		rc = mmu_batch_close(table_of(s), BULK, kind, STAGE_VA);
	/* and an entry beside them, by itself */
	if (!rc)
		rc = mmu_batch_set(table_of(s), 100, kind == MMU_BATCH_MAP ? leaf_of(s, 30) : 0,
				   STAGE_VA + 100 * PAGE_SIZE);
	return mmu_batch_end(rc);
}

static int play_bulk_map(struct stage *s)
{
	return bulk(s, MMU_BATCH_MAP);
}

static void set_mapped(struct stage *s)
{
	set_table(s);
	MUST(play_bulk_map(s));
}

static int play_bulk_unmap(struct stage *s)
{
	return bulk(s, MMU_BATCH_UNMAP);
}

static int play_bulk_rw(struct stage *s)
{
	return bulk(s, MMU_BATCH_RW);
}

/* By update_va_mapping: with its flush, and in a section of its own. */
static int play_one(struct stage *s)
{
	return mmu_batch_one(table_of(s), 3, table_read(table_of(s), 3), 0,
			     STAGE_VA + 3 * PAGE_SIZE);
}

static int play_uva(struct stage *s)
{
	mmu_batch_begin();
	return mmu_batch_end(
		mmu_batch_set(table_of(s), 4, leaf_of(s, 20), STAGE_VA + 4 * PAGE_SIZE));
}

static int play_pins(struct stage *s)
{
	int rc;

	mmu_batch_begin();
	rc = mmu_batch_pin(table_of(s), 1);
	if (!rc)
		rc = mmu_batch_set(table_of(s), 5, leaf_of(s, 21), STAGE_VA + 5 * PAGE_SIZE);
	if (!rc)
		rc = mmu_batch_unpin(table_of(s), 1);
	return mmu_batch_end(rc);
}

static void strike_table(struct stage *s)
{
	struct aspace_range all = { STAGE_VA, 512, NULL };

	if (frame_at(table_of(s))->flags & FRAME_PINNED) {
		mmu_batch_begin();
		MUST(mmu_batch_end(mmu_batch_unpin(table_of(s), 1)));
	}
	MUST(aspace_activate(&kernel_aspace));
	MUST(aspace_unmap(&s->as, &all));
	MUST(mmu_map_release_va(&s->as, (mmu_map_t)s->map[0], STAGE_VA));
	MUST(mmu_map_t_fini((mmu_map_t)s->map[0]));
	MUST(aspace_destroy(&s->as));
	frame_free(s->block[0], 5);
}

static const struct story stories[] = {
	{ "p2m_identity", set_nothing, play_identity, strike_p2m, false, false },
	{ "p2m_identity_far", set_nothing, play_identity_far, strike_p2m, false, false },
	{ "p2m_clear", set_identity, play_clear, strike_p2m, false, false },
	{ "p2m_foreign", set_nothing, play_foreign, strike_p2m, false, false },
	{ "p2m_foreign_split", set_identity, play_foreign_split, strike_p2m, false, false },
	{ "p2m_publish", set_unpublished, play_publish, strike_p2m, false, false },
	{ "p2m_set", set_nothing, play_set, strike_p2m, false, false },
	{ "m2p_set", set_nothing, play_m2p_set, set_nothing, false, false },
	{ "m2p_sync", set_nothing, play_m2p_sync, set_nothing, false, false },
	{ "vmap_stack_free", set_stack, play_stack_free, strike_vmap, true, false },
	{ "vmap_pieces", set_nothing, play_vmap_pieces, strike_vmap, true, false },
	{ "vmap_pieces_free", set_vmap_pieces, play_vmap_free, strike_vmap, true, false },
	{ "map_foreign", set_user, play_map_foreign, strike_user, false, false },
	{ "unmap_foreign", set_map_foreign, play_unmap_foreign, strike_user, false, false },
	{ "vmap_alloc", set_nothing, play_vmap, strike_vmap, true, false },
	{ "vmap_stack", set_nothing, play_stack, strike_vmap, true, false },
	{ "vmap_map", set_pfns, play_vmap_map, strike_vmap, true, false },
	{ "vmap_free", set_vmap, play_vmap_free, strike_vmap, true, false },
	{ "mmio_map", set_nothing, play_mmio, strike_vmap, true, false },
	{ "mmio_unmap", set_mmio, play_mmio_unmap, strike_vmap, true, false },
	{ "bulk_map", set_table, play_bulk_map, strike_table, false, false },
	{ "bulk_unmap", set_mapped, play_bulk_unmap, strike_table, false, false },
	{ "bulk_rw", set_mapped, play_bulk_rw, strike_table, false, false },
	{ "one", set_mapped, play_one, strike_table, false, false },
	{ "uva", set_mapped, play_uva, strike_table, false, false },
	{ "pins", set_mapped, play_pins, strike_table, false, false },
};

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(stories)];

	for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
		tests[i] = (struct CMUnitTest)STORY(&stories[i]);
	return cmocka_run_group_tests_name("fault_memory", tests, fault_group_open_dom0,
					   fault_group_close);
}
