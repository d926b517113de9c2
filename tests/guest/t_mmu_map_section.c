/* SPDX-License-Identifier: MIT */
/*
 * mmu_map within a section of the batch, and in an address space that Xen does not know. Seed: a second hold
 * under a table whose link was still queued found nothing, made another table, and the first was lost.
 */
#include <pinion/arch/probe.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "mmu_map_kit.h"
#include "suite.h"

#define MAPS 6

static map_room rooms[MAPS];

static mmu_map_t map_at(unsigned int i)
{
	return (mmu_map_t)rooms[i];
}

static bool maps_start(void)
{
	unsigned int i;

	for (i = 0; i < MAPS; i++)
		if (!CHECK_EQ(mmu_map_t_init(map_at(i), &pool_backend), 0))
			return false;
	return true;
}

static void maps_end(void)
{
	unsigned int i;

	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_t_fini(map_at(i)), 0);
}

/* Nothing is left in the user's half. */
static void check_empty(const struct aspace *as)
{
	unsigned int i, present = 0;

	for (i = 0; i < SLOT_XEN_FIRST; i++)
		present += table_read(as->l4, i) != 0;
	CHECK_EQ(present, 0);
	CHECK_EQ(frame_at(as->l4)->live, frame_at(kernel_aspace.l4)->live);
	CHECK_EQ(as->holds, 0);
	CHECK_EQ(pool.in, POOL_FRAMES);
}

/* Addresses that share an L1, an L2, an L3 with the first, and nothing; the tables that each adds. */
static const struct {
	uint64_t va;
	unsigned int adds;
} places[MAPS] = {
	{ KIT_VA, 3 },		 { KIT_VA + PAGE_SIZE, 0 }, { KIT_VA + L2_SPAN, 1 },
	{ KIT_VA + L3_SPAN, 2 }, { KIT_VA + L4_SPAN, 3 },   { KIT_VA + L2_SPAN + PAGE_SIZE, 0 },
};

/* All of places[] in one section, which is left open. */
static void hold_all(struct aspace *as)
{
	unsigned int i, gave;

	for (i = 0; i < MAPS; i++) {
		gave = pool.gave;
		CHECK_EQ(mmu_map_hold_va(as, map_at(i), places[i].va), 0);
		CHECK_EQ(pool.gave - gave, places[i].adds);
		CHECK_EQ(mmu_map_inspect_va(as, A, places[i].va), 1);
		CHECK(mmu_map_pt(A) == mmu_map_pt(map_at(i)));
	}
}

TEST(mmu_map, map_section, "holds of one section find each other's tables, and go out in one call",
     .together = true)
{
	uint64_t calls;
	unsigned int i;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(maps_start());
	calls = mmu_batch_calls();
	mmu_batch_begin();
	hold_all(&kit_as);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(table_read(kit_as.l4, va_index(KIT_VA, 4)), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_inspect_va(&kit_as, A, places[i].va), 1);
	/* All releases in one section too. */
	calls = mmu_batch_calls();
	mmu_batch_begin();
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_release_va(&kit_as, map_at(i), places[i].va), 0);
	CHECK_EQ(pool.took, 0);
	CHECK_EQ(mmu_map_t_fini(map_at(0)), -EBUSY);
	CHECK_EQ(mmu_map_t_fini(map_at(MAPS - 1)), -EBUSY);
	/* One that has nothing in the section may go. */
	CHECK_EQ(mmu_map_t_fini(A), 0);
	CHECK_EQ(mmu_map_t_init(A, &pool_backend), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	/* TLB work for tables that are writable again goes by itself behind more than one upper entry. */
	CHECK_EQ(mmu_batch_calls() - calls, 2);
	check_empty(&kit_as);
	maps_end();
	kit_end();
}

TEST(mmu_map, map_section_fails, "a section that fails undoes each hold of it, whoever says so",
     .together = true)
{
	unsigned int i, refused;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(maps_start());
	for (refused = 0; refused < 2; refused++) {
		mmu_batch_begin();
		hold_all(&kit_as);
		/* Xen's way to fail: a link to what is no table, at the end of all. */
		if (refused)
			CHECK_EQ(mmu_batch_set(
					 direct_va_pfn(mmu_map_pt(map_at(4))), 3,
					 pte_make(pfn_to_mfn(kit_as.l4), PTE_KERNEL_RW | PTE_US),
					 0),
				 0);
		CHECK(mmu_batch_end(refused ? 0 : -ENOENT) < 0);
		check_empty(&kit_as);
		for (i = 0; i < MAPS; i++) {
			CHECK(kit_shows_nothing(map_at(i)));
			CHECK_EQ(mmu_map_release_va(&kit_as, map_at(i), places[i].va), -EINVAL);
		}
	}
	maps_end();
	kit_end();
}

/* A release that fails with its section must leave the holder what it had: tables, views, and the right to release. */
TEST(mmu_map, map_release_fails, "releases of a section that fails are holds as before")
{
	unsigned int i;
	pfn_t l1;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(maps_start());
	mmu_batch_begin();
	hold_all(&kit_as);
	CHECK_EQ(mmu_batch_end(0), 0);
	l1 = direct_va_pfn(mmu_map_pt(map_at(0)));
	mmu_batch_begin();
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_release_va(&kit_as, map_at(i), places[i].va), 0);
	/* The same place again, which is a new one by then. */
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 4);
	CHECK_EQ(mmu_map_hold_va(&kit_as, map_at(0), KIT_VA + 7 * PAGE_SIZE), 0);
	CHECK(direct_va_pfn(mmu_map_pt(map_at(0))).pfn != pfn_x(l1));
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	CHECK_EQ(frame_at(l1)->holds, 2);
	CHECK_EQ(kit_as.holds, MAPS);
	CHECK_EQ(pool.in, POOL_FRAMES - 9);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 1);
	CHECK(mmu_map_pt(A) == table_entries(l1));
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_release_va(&kit_as, map_at(i), places[i].va), 0);
	check_empty(&kit_as);
	maps_end();
	kit_end();
}

/* Both in one section: what was never linked is taken away again, and what was asked for in between is done. */
TEST(mmu_map, map_section_both,
     "hold, use and release in one section leave nothing but the use's tables", .together = true)
{
	struct aspace_range r = { KIT_VA + 5 * PAGE_SIZE, 1, NULL };
	uint64_t word = 0, calls;
	pfn_t data;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	*(uint64_t *)direct_va(data) = 0xabcd;
	mmu_batch_begin();
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L2_SPAN), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, KIT_VA + L2_SPAN), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 4);
	CHECK_EQ(mmu_batch_end(0), 0);
	check_empty(&kit_as);
	/* With a leaf, which is a reason to stay. */
	calls = mmu_batch_calls();
	mmu_batch_begin();
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, r.va), 0);
	CHECK_EQ(mmu_batch_set(direct_va_pfn(mmu_map_pt(A)), 5,
			       pte_make(pfn_to_mfn(data), PTE_KERNEL_RO | PTE_US), r.va),
		 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, r.va), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	CHECK_EQ(probe_load64((const void *)r.va, &word), 0);
	CHECK_EQ(word, 0xabcd);
	CHECK_EQ(aspace_unmap(&kit_as, &r), 0);
	check_empty(&kit_as);
	frame_free(data, 0);
	kit_end();
}

/* One call that can't be done drops what it had queued, not what others did. */
TEST(mmu_map, map_section_part, "a hold that fails within a section leaves the rest of it as it is",
     .together = true)
{
	uint64_t calls;

	REQUIRE(kit_start(&pool_backend));
	mmu_batch_begin();
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	pool.left = 1;
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L3_SPAN), -ENOMEM);
	CHECK(kit_shows_nothing(B));
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA + L3_SPAN), 3);
	CHECK_EQ(kit_as.holds, 1);
	pool.left = 2;
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L3_SPAN), 0);
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 1);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, KIT_VA + L3_SPAN), 0);
	check_empty(&kit_as);
	kit_end();
}

/* The queue and the hooks have an end. What does not fit is refused, and the section can still be sent. */
TEST(mmu_map, map_section_full, "in a full section a hold is refused, and what is queued is done")
{
	unsigned int n = 0, i;
	uint64_t va;

	REQUIRE(kit_start(&pool_backend));
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	mmu_batch_begin();
	while (mmu_batch_room() > 3)
		CHECK_EQ(mmu_batch_set(direct_va_pfn(mmu_map_pt(A)), n++ % TABLE_ENTRIES, 0, 0), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L4_SPAN), -ENOSPC);
	CHECK_EQ(pool.gave - pool.took, 3);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L3_SPAN), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, KIT_VA + L3_SPAN), 0);
	/* A release needs room as well: an entry and the tables. */
	mmu_batch_begin();
	while (mmu_batch_room() > 2)
		CHECK_EQ(mmu_batch_set(kit_as.l4, va_index(KIT_VA, 4) + 1, 0, 0), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), -ENOSPC);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), -EBUSY);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA), 1);
	/* Hooks: one for each hold and release. */
	mmu_batch_begin();
	for (n = 0; n < 1000; n++)
		if (mmu_map_hold_va(&kit_as, B, KIT_VA) || mmu_map_release_va(&kit_as, B, KIT_VA))
			break;
	CHECK_EQ(n, 32);
	va = KIT_VA;
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, va), -ENOSPC);
	CHECK_EQ(mmu_batch_end(0), 0);
	for (i = 0; i < 2; i++)
		CHECK_EQ(mmu_map_release_va(&kit_as, A, va), i ? -EINVAL : 0);
	check_empty(&kit_as);
	kit_end();
}

/* In sync mode each request is sent as it is queued; the rules stay. */
TEST(mmu_map, map_sync, "in sync mode holds, releases and their undoing are the same",
     .together = true)
{
	struct aspace_range alias = { KIT_VA + 2 * L4_SPAN, 1, NULL };
	unsigned int i;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(maps_start());
	/* The second frame that is given can't become a table. */
	CHECK_EQ(aspace_map(&kit_as, &alias, &pool.frame[POOL_FRAMES - 5], ASPACE_RW), 0);
	mmu_batch_set_sync(true);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L3_SPAN), -EINVAL);
	CHECK_EQ(kit_as.holds, 1);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA + L3_SPAN), 3);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(aspace_unmap(&kit_as, &alias), 0);
	mmu_batch_begin();
	hold_all(&kit_as);
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	check_empty(&kit_as);
	mmu_batch_begin();
	hold_all(&kit_as);
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_release_va(&kit_as, map_at(i), places[i].va), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	mmu_batch_set_sync(false);
	check_empty(&kit_as);
	maps_end();
	kit_end();
}

/* Late pin: holding is plain stores there, in a section too, and failing takes the stores back. */
TEST(mmu_map, map_offline,
     "in an address space that Xen does not know holds cost no call, and fail as well",
     .together = true)
{
	struct aspace off;
	uint64_t calls;
	unsigned int i;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(maps_start());
	REQUIRE(aspace_create(&off) == 0);
	calls = mmu_batch_calls();
	pool.left = 2;
	CHECK_EQ(mmu_map_hold_va(&off, A, KIT_VA), -ENOMEM);
	pool.left = UINT32_MAX;
	check_empty(&off);
	mmu_batch_begin();
	hold_all(&off);
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	check_empty(&off);
	for (i = 0; i < MAPS; i++)
		CHECK(kit_shows_nothing(map_at(i)));
	mmu_batch_begin();
	hold_all(&off);
	CHECK_EQ(mmu_batch_end(0), 0);
	/* Releases that are taken back. */
	mmu_batch_begin();
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_release_va(&off, map_at(i), places[i].va), 0);
	CHECK_EQ(mmu_batch_end(-ENOENT), -ENOENT);
	CHECK_EQ(off.holds, MAPS);
	CHECK_EQ(pool.in, POOL_FRAMES - 9);
	mmu_batch_begin();
	for (i = 1; i < MAPS; i++)
		CHECK_EQ(mmu_map_release_va(&off, map_at(i), places[i].va), 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_EQ(pool.in, POOL_FRAMES - 3);
	CHECK_EQ(mmu_batch_calls(), calls);
	/* Held over the first activation, and released by hypercall. */
	CHECK_EQ(aspace_activate(&off), 0);
	CHECK_EQ(mmu_map_inspect_va(&off, A, KIT_VA), 1);
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_release_va(&off, map_at(0), KIT_VA), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	check_empty(&off);
	CHECK_EQ(aspace_activate(&kit_as), 0);
	CHECK_EQ(aspace_destroy(&off), 0);
	maps_end();
	kit_end();
}

/* The arena belongs to the kernel, and is the same in every address space; its L3 is the slot's and stays. */
TEST(mmu_map, map_vmap, "holds in the vmap arena are seen by all, and leave its L3",
     .together = true)
{
	uint64_t va = VMAP_BASE + 511 * L3_SPAN, calls;

	REQUIRE(kit_start(&pool_backend));
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_hold_va(&kernel_aspace, A, va), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	CHECK_EQ(pool.gave, 2);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, va), 1);
	CHECK(mmu_map_pt(B) == mmu_map_pt(A));
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, va + PAGE_SIZE), 0);
	CHECK_EQ(mmu_batch_calls() - calls, 1);
	/* The kernel's hold is not the other address space's to release. */
	CHECK_EQ(mmu_map_release_va(&kit_as, A, va), -EINVAL);
	CHECK_EQ(mmu_map_release_va(&kernel_aspace, A, va), 0);
	CHECK_EQ(mmu_map_inspect_va(&kernel_aspace, A, va), 1);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, va + PAGE_SIZE), 0);
	CHECK_EQ(mmu_map_inspect_va(&kernel_aspace, A, va), 3);
	kit_end();
}
