/* SPDX-License-Identifier: MIT */
/*
 * mmu_map, one call at a time. What the seed (FreeBSD's mmu_map of 2012) got wrong or left open has
 * a test each, and says so.
 */
#include <pinion/arch/probe.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "mmu_map_kit.h"
#include "suite.h"

#define VA KIT_VA

/* Seed: inspect could not say where it stopped, and left the pointers of an earlier call below that. */
TEST(mmu_map, map_inspect, "inspect changes nothing, tells the level, and shows no table below it")
{
	static const uint64_t step[] = { 0, L3_SPAN, L2_SPAN, PAGE_SIZE };
	struct aspace_range r = { VA, 1, NULL };
	uint64_t l4[TABLE_ENTRIES], calls;
	unsigned int i;
	pfn_t data;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	for (i = 0; i < ARRAY_SIZE(step); i++) {
		/* Beside what is mapped: the other GiB's, the other 2 MiB's, the other page's tables. */
		if (i > 0)
			CHECK_EQ(aspace_map(&kit_as, &r, &data, ASPACE_R), 0);
		calls = mmu_batch_calls();
		memcpy(l4, table_entries(kit_as.l4), PAGE_SIZE);
		CHECK_EQ(mmu_map_inspect_va(&kit_as, A, VA + step[i]), 4 - (int)i);
		CHECK(kit_shows(A, 4 - (int)i));
		CHECK_EQ(memcmp(l4, table_entries(kit_as.l4), PAGE_SIZE), 0);
		CHECK_EQ(mmu_batch_calls(), calls);
		CHECK_EQ(mmu_map_release_va(&kit_as, A, VA + step[i]), -EINVAL);
		if (i > 0)
			CHECK_EQ(aspace_unmap(&kit_as, &r), 0);
	}
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, VA), 4);
	CHECK(kit_shows(A, 4));
	CHECK(mmu_map_pml4t(A) == table_entries(kit_as.l4));
	/* A page that is mapped, in the kernel's half: the leaf is the direct map's. */
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, (uint64_t)direct_va(data) + 123), 1);
	CHECK(pte_mfn(mmu_map_pt(A)[va_index((uint64_t)direct_va(data), 1)]).mfn ==
	      mfn_x(pfn_to_mfn(data)));
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, (uint64_t)__text_start), 1);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, XEN_VA_BASE), -EINVAL);
	CHECK(kit_shows_nothing(A));
	CHECK_EQ(pool.gave, 0);
	frame_free(data, 0);
	kit_end();
}

/* Seed: hold queued the links and did not flush, so that a caller who went on found no table. */
TEST(mmu_map, map_hold_cold, "three new tables in an empty L4 slot are one hypercall, both ways",
     .together = true)
{
	uint64_t va = VA + 3 * L3_SPAN + 5 * L2_SPAN + 7 * PAGE_SIZE, word = 0;
	struct mmu_batch_counters before, after;
	pfn_t l1, data;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	*(uint64_t *)direct_va(data) = 0x5eed;
	before = mmu_batch_counters();
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, va), 0);
	after = mmu_batch_counters();
	CHECK_EQ(after.mmu_update - before.mmu_update, 1);
	CHECK_EQ(after.entries - before.entries, 4);
	CHECK_EQ(mmu_batch_depth(), 0);
	CHECK_EQ(pool.gave, 3);
	CHECK_EQ(kit_as.holds, 1);
	CHECK(kit_shows(A, 1));
	CHECK(pte_reads_as(4, mmu_map_pml4t(A)[va_index(va, 4)],
			   pte_make(pfn_to_mfn(direct_va_pfn(mmu_map_pdpt(A))), PTE_LINK), false));
	CHECK(pte_reads_as(3, mmu_map_pdpt(A)[3],
			   pte_make(pfn_to_mfn(direct_va_pfn(mmu_map_pdt(A))), PTE_LINK), false));
	l1 = direct_va_pfn(mmu_map_pt(A));
	CHECK(pte_reads_as(2, mmu_map_pdt(A)[5], pte_make(pfn_to_mfn(l1), PTE_LINK), false));
	CHECK_EQ(frame_at(l1)->holds, 1);
	CHECK_EQ(frame_at(l1)->owner, OWNER_MAP);
	/* It is live: a leaf in it maps. */
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(mmu_batch_set(
			 l1, 7, pte_make(pfn_to_mfn(data), PTE_KERNEL_RO | PTE_US), va)),
		 0);
	CHECK_EQ(probe_load64((const void *)va, &word), 0);
	CHECK_EQ(word, 0x5eed);
	CHECK_EQ(mmu_map_pt(A)[7] & PTE_P, 1);
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(mmu_batch_set(l1, 7, 0, va)), 0);
	before = mmu_batch_counters();
	CHECK_EQ(mmu_map_release_va(&kit_as, A, va), 0);
	after = mmu_batch_counters();
	/* In a multicall: that the tables are writable again must be seen by the TLB. */
	CHECK_EQ(after.multicall - before.multicall, 1);
	CHECK_EQ(after.mmu_update - before.mmu_update, 0);
	CHECK_EQ(after.entries - before.entries, 4);
	CHECK(kit_shows_nothing(A));
	CHECK_EQ(table_read(kit_as.l4, va_index(va, 4)), 0);
	CHECK_EQ(frame_at(kit_as.l4)->live, frame_at(kernel_aspace.l4)->live);
	CHECK_EQ(kit_as.holds, 0);
	CHECK_EQ(pool.took, 3);
	frame_free(data, 0);
	kit_end();
}

/* Seed: a table at physical address 0 was one that is not there. What is there says the present bit, and nothing else. */
TEST(mmu_map, map_zero, "address 0 and frame 0 are there like any other")
{
	uint64_t zero = (uint64_t)direct_va(_pfn(0));
	struct aspace_info info;

	REQUIRE(kit_start(&pool_backend));
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, 0), 4);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, 0), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, 0), 1);
	CHECK(kit_shows(B, 1));
	CHECK_EQ(mmu_map_release_va(&kit_as, A, 0), 0);
	CHECK_EQ(pool.took, 3);
	if (p2m_kind(&kernel_p2m, _pfn(0)) == P2M_RAM) {
		CHECK_EQ(pfn_x(mfn_to_pfn(pfn_to_mfn(_pfn(0)))), 0);
		CHECK_EQ(mmu_map_inspect_va(&kit_as, A, zero), 1);
		CHECK(mfn_eq(pte_mfn(mmu_map_pt(A)[0]), pfn_to_mfn(_pfn(0))));
		CHECK_EQ(aspace_query(&kit_as, zero, &info), 0);
		CHECK(info.mapped && pfn_x(info.pfn) == 0);
	}
	kit_end();
}

/* Each release takes away what it alone needed: of the last three tables all, of the L1 beside another only that. */
TEST(mmu_map, map_release_upward, "a release unlinks at the highest level that is empty then",
     .together = true)
{
	static const struct {
		uint64_t other;
		unsigned int took;
		int level;
	} beside[] = { { VA + L2_SPAN, 1, 2 }, { VA + L3_SPAN, 2, 3 }, { VA + L4_SPAN, 3, 4 } };
	uint64_t calls;
	unsigned int i;

	REQUIRE(kit_start(&pool_backend));
	for (i = 0; i < ARRAY_SIZE(beside); i++) {
		CHECK_EQ(mmu_map_hold_va(&kit_as, A, VA), 0);
		CHECK_EQ(mmu_map_hold_va(&kit_as, B, beside[i].other), 0);
		pool.took = 0;
		calls = mmu_batch_calls();
		CHECK_EQ(mmu_map_release_va(&kit_as, A, VA), 0);
		CHECK_EQ(mmu_batch_calls() - calls, 1);
		CHECK_EQ(pool.took, beside[i].took);
		CHECK_EQ(mmu_map_inspect_va(&kit_as, A, VA), beside[i].level);
		CHECK_EQ(mmu_map_inspect_va(&kit_as, A, beside[i].other), 1);
		CHECK_EQ(mmu_map_release_va(&kit_as, B, beside[i].other), 0);
		CHECK_EQ(mmu_map_inspect_va(&kit_as, A, beside[i].other), 4);
		CHECK_EQ(pool.in, POOL_FRAMES);
		pool.gave = pool.took = 0;
	}
	kit_end();
}

TEST(mmu_map, map_two_holders, "an L1 with two holders stays until the second has released it",
     .together = true)
{
	uint64_t calls;
	pfn_t l1;

	REQUIRE(kit_start(&pool_backend));
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, VA), 0);
	l1 = direct_va_pfn(mmu_map_pt(A));
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, VA + 9 * PAGE_SIZE), 0);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK(mmu_map_pt(B) == mmu_map_pt(A));
	CHECK_EQ(frame_at(l1)->holds, 2);
	CHECK_EQ(kit_as.holds, 2);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, VA), 0);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(frame_at(l1)->holds, 1);
	CHECK(mmu_map_pt(B) == table_entries(l1));
	CHECK_EQ(mmu_map_release_va(&kit_as, B, VA + 9 * PAGE_SIZE), 0);
	CHECK_EQ(mmu_batch_calls(), calls + 1);
	CHECK_EQ(pool.took, 3);
	kit_end();
}

/* Without a record of what is held, a second release would take another's hold away, and its tables. */
TEST(mmu_map, map_stolen, "only what a map holds can be released by it, and once")
{
	struct aspace other;
	map_room never = { 0 };

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(aspace_create(&other) == 0);
	CHECK_EQ(mmu_map_t_init(A, &pool_backend), -EBUSY);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, VA), -EINVAL);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, VA), 0);
	CHECK_EQ(mmu_map_t_init(A, &pool_backend), -EBUSY);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, VA), -EBUSY);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, VA + L2_SPAN), -EBUSY);
	CHECK(kit_shows(A, 1));
	CHECK_EQ(mmu_map_t_fini(A), -EBUSY);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, VA), -EINVAL);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, VA + PAGE_SIZE), -EINVAL);
	CHECK_EQ(mmu_map_release_va(&other, A, VA), -EINVAL);
	CHECK_EQ(mmu_map_release_va(NULL, A, VA), -EINVAL);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, VA + L4_SPAN), 4);
	CHECK_EQ(aspace_destroy(&kit_as), -EBUSY);
	CHECK_EQ(frame_at(table_below(table_read(kit_as.l4, va_index(VA, 4))))->holds, 1);
	/* Any byte of the page is the page. */
	CHECK_EQ(mmu_map_release_va(&kit_as, A, VA + 77), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, VA), -EINVAL);
	CHECK(EXPECT_PANIC((void)!mmu_map_hold_va(&kit_as, (mmu_map_t)never, VA)) != NULL);
	CHECK(EXPECT_PANIC(mmu_map_pt((mmu_map_t)never)) != NULL);
	CHECK_EQ(aspace_destroy(&other), 0);
	kit_end();
}

/* Seed: no slot was refused. A link in one of Xen's ends in its -EPERM at best. */
TEST(mmu_map, map_refused, "Xen's slots, the kernel's own, and addresses that are none are refused")
{
	static const struct {
		uint64_t va;
		int rc, inspect;
	} cases[] = {
		{ UINT64_C(0x0000800000000000), -EINVAL, -EINVAL },
		{ UINT64_C(0xffff7fffffffffff), -EINVAL, -EINVAL },
		{ UINT64_C(0x8000000000000000), -EINVAL, -EINVAL },
		{ XEN_VA_BASE, -EINVAL, -EINVAL },
		{ XEN_VA_END - 1, -EINVAL, -EINVAL },
		{ DIRECT_MAP, -EPERM, 1 },
		{ DIRECT_MAP_END, -EPERM, 4 },
		{ VMAP_BASE - 1, -EPERM, 4 },
		{ VMAP_END, -EPERM, 3 },
		{ IMAGE_BASE, -EPERM, 1 },
		{ PMAP_BASE, -EPERM, 3 },
		{ PMAP_BASE + L2_SPAN - 1, -EPERM, 3 },
	};
	unsigned int i;
	uint64_t calls;

	REQUIRE(kit_start(&pool_backend));
	calls = mmu_batch_calls();
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (!CHECK_EQ(mmu_map_hold_va(&kit_as, A, cases[i].va), cases[i].rc) ||
		    !CHECK_EQ(mmu_map_inspect_va(&kit_as, A, cases[i].va), cases[i].inspect))
			test_note("at %#lx", cases[i].va);
		CHECK_EQ(kit_shows_nothing(A), cases[i].inspect < 0);
	}
	/* The user's half of the kernel's own address space is nobody's. */
	CHECK_EQ(mmu_map_hold_va(&kernel_aspace, A, 0), -EPERM);
	CHECK_EQ(mmu_map_hold_va(&kernel_aspace, A, VA), -EPERM);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(pool.gave, 0);
	/* The edges that are in. */
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, 0), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, USER_END - 1), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, 0), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, USER_END - 1), 0);
	CHECK_EQ(mmu_map_hold_va(&kernel_aspace, A, VMAP_BASE), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, VMAP_END - 1), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, VMAP_END - 1), 0);
	CHECK_EQ(mmu_map_release_va(&kernel_aspace, A, VMAP_BASE), 0);
	kit_end();
}

/* An entry of level 2 or 3 with PSE names memory, not a table: what was read there would be data. No PV guest can have
 * one, so it is made in tables that Xen does not know. */
TEST(mmu_map, map_superpage, "a superpage is refused, and not walked through")
{
	struct aspace offline;
	uint64_t *entry;
	unsigned int level;
	pfn_t table;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(aspace_create(&offline) == 0);
	CHECK_EQ(mmu_map_hold_va(&offline, A, VA), 0);
	for (level = 3; level >= 2; level--) {
		table = direct_va_pfn(level == 3 ? mmu_map_pdpt(A) : mmu_map_pdt(A));
		entry = &table_entries(table)[0];
		*entry |= PTE_PSE;
		CHECK_EQ(mmu_map_inspect_va(&offline, B, VA), -EINVAL);
		CHECK(kit_shows_nothing(B));
		CHECK_EQ(mmu_map_hold_va(&offline, B, VA), -EINVAL);
		*entry &= ~PTE_PSE;
	}
	CHECK_EQ(mmu_map_inspect_va(&offline, B, VA), 1);
	CHECK_EQ(mmu_map_release_va(&offline, A, VA), 0);
	CHECK_EQ(aspace_destroy(&offline), 0);
	kit_end();
}

/* The frame table, the direct map and the allocator stand only then. */
TEST(mmu_map, map_too_early, "mmu_map before phase 7 is a bug, and caught", .phase = TEST_EARLY)
{
	map_room room = { 0 };

	CHECK(EXPECT_PANIC((void)!mmu_map_t_init((mmu_map_t)room, &mmu_map_frames)) != NULL);
	CHECK(EXPECT_PANIC((void)!mmu_map_hold_va(NULL, (mmu_map_t)room, VA)) != NULL);
}
