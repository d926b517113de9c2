/* SPDX-License-Identifier: MIT */
/*
 * Address spaces from the first frame to the last: offline, pinned, run on, taken apart; and every way in
 * which that can fail on the way.
 */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

#define VA RANGE_VA

/* The frame of the table of @level on the way to @va. */
static pfn_t table_of(const struct aspace *as, uint64_t va, unsigned int level)
{
	pfn_t table = as->l4;
	unsigned int i;

	for (i = 4; i > level; i--)
		table = table_below(table_read(table, va_index(va, i)));
	return table;
}

/* Its kernel half is the kernel's, entry by entry: who runs on it has the kernel's code under its feet. */
TEST(aspace, aspace_create,
     "a new address space has the kernel's half, nothing else, and is offline")
{
	uint64_t calls = mmu_batch_calls(), free = frame_alloc_free();
	struct aspace as = { .l4 = INVALID_PFN };
	static struct aspace_info info;
	unsigned int slot;

	REQUIRE(range_begin(&as, false));
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(frame_alloc_free(), free - 1);
	for (slot = 0; slot < TABLE_ENTRIES; slot++) {
		uint64_t entry = table_read(as.l4, slot);

		if (slot <= SLOT_XEN_LAST)
			CHECK_EQ(entry, 0);
		else
			CHECK_EQ(entry & ~PTE_AD, table_read(kernel_aspace.l4, slot) & ~PTE_AD);
	}
	CHECK_EQ(frame_at(as.l4)->flags, FRAME_OFFLINE | FRAME_BASE);
	CHECK(aspace_first() == &as && as.next == &kernel_aspace);
	CHECK_RC(aspace_query(&as, (uintptr_t)&info, &info), 0);
	CHECK(info.mapped && info.writable && !info.executable && !info.user && !info.shared);
	range_audit();
	range_end(&as);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(frame_alloc_free(), free);
	CHECK(aspace_first() == &kernel_aspace);
}

/* Until it is activated Xen knows nothing of it: mapping into it costs stores, activating it one validation. */
TEST(aspace, aspace_late_pin,
     "an address space is filled without a hypercall, and pinned when it is first run on",
     .needs = "mem>=16M")
{
	struct aspace_range r = { VA + 100 * PAGE_SIZE, 1000, NULL };
	struct mmu_batch_counters before, after;
	uint64_t calls = mmu_batch_calls();
	struct aspace as;
	pfn_t block, l1;

	REQUIRE(range_block(10, &block));
	REQUIRE(range_begin(&as, false));
	CHECK_RC(aspace_map_block(&as, &r, pfn_add(block, 1), ASPACE_RW), 0);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(range_tables(&as), 5);
	range_expect(&as, r.va, r.nr, pfn_add(block, 1), ASPACE_RW);
	range_audit();
	before = mmu_batch_counters();
	CHECK_RC(aspace_activate(&as), 0);
	after = mmu_batch_counters();
	CHECK(aspace_current() == &as);
	CHECK_EQ(after.ops - before.ops, 2);
	CHECK(frame_at(as.l4)->flags & FRAME_PINNED);
	l1 = table_of(&as, VA, 2);
	CHECK_EQ(probe_store64(direct_va(l1), 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
	range_expect(&as, r.va, r.nr, pfn_add(block, 1), ASPACE_RW);
	range_expect(&as, VA, 100, INVALID_PFN, HOLE);
	range_audit();
	/* Again, and to the kernel's and back: no second pin. */
	CHECK_RC(aspace_activate(&as), 0);
	CHECK_RC(aspace_activate(&kernel_aspace), 0);
	CHECK_RC(aspace_activate(&as), 0);
	CHECK_EQ(mmu_batch_counters().ops - after.ops, 3);
	range_expect(&as, r.va, r.nr, pfn_add(block, 1), ASPACE_RW);
	range_end(&as);
	range_audit();
	range_block_back(block, 10);
}

/* Early unpin: then its tables are memory, and taking them apart takes stores. */
TEST(aspace, aspace_early_unpin,
     "destroying unpins first, and gives every table back as plain memory", .needs = "mem>=16M")
{
	struct aspace_range r = { VA + 100 * PAGE_SIZE, 1000, NULL };
	uint64_t free = frame_alloc_free(), word, i;
	struct mmu_batch_counters before, after;
	pfn_t block, table[5];
	struct aspace as;

	REQUIRE(range_begin(&as, true));
	REQUIRE(range_block(10, &block));
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RX), 0);
	CHECK_EQ(probe_store64(direct_va(block), 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
	for (i = 1; i <= 4; i++)
		table[i] = table_of(&as, r.va, (unsigned int)i);
	CHECK_RC(aspace_activate(&kernel_aspace), 0);
	before = mmu_batch_counters();
	CHECK_RC(aspace_destroy(&as), 0);
	after = mmu_batch_counters();
	CHECK_EQ(after.ops - before.ops, 1);
	for (i = 1; i <= 4; i++) {
		CHECK(frame_at(table[i])->kind != FRAME_TABLE);
		/* It is free: what it holds is the allocator's. */
		word = *(uint64_t *)direct_va(table[i]);
		CHECK_EQ(probe_store64(direct_va(table[i]), word), 0);
	}
	/* The frames are their owner's still, and writable again. */
	for (i = 0; i < 1024; i++)
		CHECK_EQ(probe_store64(direct_va(pfn_add(block, i)), 1), 0);
	range_audit();
	range_block_back(block, 10);
	CHECK_EQ(frame_alloc_free(), free);
}

TEST(aspace, aspace_busy,
     "the kernel's address space, the one in use and a held one can't be destroyed")
{
	struct aspace as;

	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_destroy(&as), -EBUSY);
	CHECK_RC(aspace_destroy(&kernel_aspace), -EBUSY);
	CHECK_RC(aspace_activate(&kernel_aspace), 0);
	CHECK_RC(aspace_destroy(&kernel_aspace), -EBUSY);
	as.holds = 1;
	CHECK_RC(aspace_destroy(&as), -EBUSY);
	CHECK(frame_at(as.l4)->flags & FRAME_PINNED);
	as.holds = 0;
	CHECK_RC(aspace_destroy(&as), 0);
}

/* The reserve is for giving memory back, not for taking more. */
TEST(aspace, aspace_create_nomem,
     "without a free frame nothing is created, and the reserve is not touched")
{
	const struct aspace *first = aspace_first();
	struct aspace as;

	range_hog(FRAME_RESERVE);
	CHECK_EQ(frame_alloc_free(), 0);
	CHECK_RC(aspace_create(&as), -ENOMEM);
	CHECK_EQ(frame_alloc_reserve(), FRAME_RESERVE);
	CHECK(aspace_first() == first);
	range_unhog();
}

/* Xen validates all when the L4 is pinned. If it refuses, there are tables that were made read-only already. */
TEST(aspace, aspace_pin_refused,
     "a pin that Xen refuses leaves the address space offline, and can be tried again")
{
	struct aspace_range r = { VA, 3, NULL };
	struct aspace as;
	pfn_t block;

	REQUIRE(range_block(2, &block));
	REQUIRE(range_begin(&as, false));
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
	range_poison(pfn_add(block, 2));
	CHECK(aspace_activate(&as) < 0);
	CHECK(aspace_current() == &kernel_aspace);
	CHECK(!as.broken);
	CHECK_EQ(frame_at(as.l4)->flags, FRAME_OFFLINE | FRAME_BASE);
	CHECK_EQ(
		probe_store64(direct_va(table_of(&as, VA, 1)), table_read(table_of(&as, VA, 1), 0)),
		0);
	range_cure(pfn_add(block, 2));
	range_audit();
	CHECK_RC(aspace_activate(&as), 0);
	range_expect(&as, VA, 3, block, ASPACE_RW);
	range_end(&as);
	range_block_back(block, 2);
}

/* A table that Xen won't let go: somebody else's reference is on it. */
TEST(aspace, aspace_destroy_refused,
     "if Xen keeps a table, destroying fails with all as before, and can be tried again")
{
	struct aspace_range r = { VA, 3, NULL };
	struct aspace as;
	pfn_t block, l1;

	REQUIRE(range_block(2, &block));
	REQUIRE(range_begin(&as, true));
	CHECK_RC(aspace_map_block(&as, &r, block, ASPACE_RW), 0);
	l1 = table_of(&as, VA, 1);
	CHECK_EQ(range_pin(l1, true), 0);
	CHECK_RC(aspace_activate(&kernel_aspace), 0);
	CHECK(aspace_destroy(&as) < 0);
	CHECK(!as.broken);
	range_audit();
	CHECK_RC(aspace_activate(&as), 0);
	range_expect(&as, VA, 3, block, ASPACE_RW);
	CHECK_RC(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(range_pin(l1, false), 0);
	CHECK_RC(aspace_destroy(&as), 0);
	range_audit();
	range_block_back(block, 2);
}

/*
 * Pages 2 MiB apart, each with a table of its own. Not in the first GiB of an L4 slot: if there Xen refuses another than
 * the first L1 while it pins the L4, it loses the reference that it has on the L2, for good (promote_l3_table
 * leaves old_guest_table to promote_l4_table, which takes it for another one's).
 */
#define APART (VA + L3_SPAN)

static bool map_apart(struct aspace *as, pfn_t block, uint64_t nr)
{
	uint64_t i;

	for (i = 0; i < nr; i++) {
		struct aspace_range r = { APART + i * L2_SPAN, 1, NULL };

		if (!CHECK_EQ(aspace_map_block(as, &r, pfn_add(block, i % 512), ASPACE_RW), 0))
			return false;
	}
	return true;
}

/* More tables than a section holds: pinning and unpinning go in several. */
TEST(aspace, aspace_many_tables, "an address space of 1,100 tables is pinned, run on and destroyed",
     .needs = "mem>=16M")
{
	struct aspace as;
	pfn_t block;
	uint64_t i;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_begin(&as, false));
	REQUIRE(map_apart(&as, block, 1100));
	CHECK_EQ(range_tables(&as), 1100 + 3 + 1);
	CHECK_RC(aspace_activate(&as), 0);
	for (i = 0; i < 1100; i++)
		range_expect(&as, APART + i * L2_SPAN, 1, pfn_add(block, i % 512), ASPACE_RW);
	range_audit();
	range_end(&as);
	range_audit();
	range_block_back(block, 9);
}

/* The refusal comes when earlier sections are done: what they made live must become offline again. */
TEST(aspace, aspace_many_refused, "a refused pin of many tables leaves none of them live",
     .needs = "mem>=16M")
{
	struct aspace_range one = { APART, 1, NULL };
	struct aspace as;
	pfn_t block, l1;

	REQUIRE(range_block(9, &block));
	REQUIRE(range_begin(&as, false));
	REQUIRE(map_apart(&as, block, 1100));
	range_poison(pfn_add(block, 500));
	CHECK(aspace_activate(&as) < 0);
	CHECK(!as.broken);
	range_cure(pfn_add(block, 500));
	range_audit();
	CHECK_RC(aspace_activate(&as), 0);
	/* And the other way: a table in the last section that stays live. What the first have given back stays so. */
	CHECK_RC(aspace_activate(&kernel_aspace), 0);
	l1 = table_of(&as, APART + 1099 * L2_SPAN, 1);
	CHECK_EQ(range_pin(l1, true), 0);
	CHECK_RC(aspace_destroy(&as), -EIO);
	CHECK(as.broken);
	CHECK_RC(aspace_activate(&as), -EIO);
	CHECK_RC(aspace_unmap(&as, &one), -EIO);
	CHECK_EQ(range_pin(l1, false), 0);
	CHECK_RC(aspace_destroy(&as), 0);
	range_audit();
	range_block_back(block, 9);
}

/* The kernel's L4 entries never change, so what the arena maps is everybody's at once. */
TEST(aspace, aspace_vmap_seen,
     "what is mapped in the vmap arena is seen by every address space, old, new and offline")
{
	struct aspace_range r = { VMAP_BASE + (UINT64_C(300) << 30) - 5 * PAGE_SIZE, 10, NULL };
	struct aspace a, b, c;
	pfn_t block;

	REQUIRE(range_block(4, &block));
	REQUIRE(range_begin(&a, true));
	REQUIRE(range_begin(&b, false));
	CHECK_RC(aspace_map_block(&a, &r, block, ASPACE_RW), 0);
	REQUIRE(range_begin(&c, false));
	range_expect(&kernel_aspace, r.va, 10, block, ASPACE_RW);
	range_expect(&b, r.va, 10, block, ASPACE_RW);
	CHECK_RC(aspace_activate(&c), 0);
	range_expect(&c, r.va, 10, block, ASPACE_RW);
	CHECK_RC(aspace_protect(&kernel_aspace, &r, ASPACE_RX), 0);
	CHECK_RC(aspace_activate(&b), 0);
	range_expect(&b, r.va, 10, block, ASPACE_RX);
	range_end(&a);
	CHECK_RC(aspace_unmap(&b, &r), 0);
	range_expect(&c, r.va, 10, block, HOLE);
	range_end(&b);
	range_end(&c);
	range_expect(&kernel_aspace, r.va, 10, block, HOLE);
	range_audit();
	range_block_back(block, 4);
}

/* Address spaces have the same addresses, and nothing else in common. */
TEST(aspace, aspace_apart,
     "the same address is another frame in each address space, also right after a change of them")
{
	struct aspace_range r = { VA, 2, NULL };
	struct aspace a, b;
	pfn_t block;

	REQUIRE(range_block(2, &block));
	REQUIRE(range_begin(&a, true));
	CHECK_RC(aspace_map_block(&a, &r, block, ASPACE_RW), 0);
	REQUIRE(range_begin(&b, true));
	range_expect(&b, VA, 2, block, HOLE);
	CHECK_RC(aspace_map_block(&b, &r, pfn_add(block, 2), ASPACE_R), 0);
	range_expect(&a, VA, 2, block, ASPACE_RW);
	range_expect(&b, VA, 2, pfn_add(block, 2), ASPACE_R);
	/* One is changed while the other is in use. */
	CHECK_RC(aspace_protect(&a, &r, ASPACE_R), 0);
	CHECK_RC(aspace_activate(&a), 0);
	range_expect(&a, VA, 2, block, ASPACE_R);
	CHECK_RC(aspace_unmap(&b, &r), 0);
	CHECK_RC(aspace_activate(&b), 0);
	range_expect(&b, VA, 2, block, HOLE);
	range_end(&a);
	range_end(&b);
	range_audit();
	range_block_back(block, 2);
}
