/* SPDX-License-Identifier: MIT */
/*
 * The audit, tested by breaking what it checks, one kind of fact after another: each is named, with the frame, what it
 * should be and what it is, and nothing else is; and once it is repaired, all is well again. A check that could not
 * fail would let every test of this suite pass.
 *
 * The playground is an address space with one page mapped: every kind of table, all counts 1.
 */
#include <pinion/lib/string.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include "audit_play.h"

/* Counts decide when a table is freed: one too low, and it is freed while it is linked. */
TEST(audit, audit_counts, "wrong live, parents, level and kind of a table are found")
{
	REQUIRE(play_set_up(true));
	play_broken(0);
	play.l1->live = 2;
	play_only(AUDIT_LIVE, play.table[1], 1, 2);
	play.l1->live = 1;
	play.l1->parents = 0;
	play_only(AUDIT_PARENTS, play.table[1], 1, 0);
	play.l1->parents = 1;
	play.l1->level = 2;
	play_only(AUDIT_LEVEL, play.table[1], 1, 2);
	play.l1->level = 1;
	play.l1->kind = FRAME_DATA;
	play_only(AUDIT_NO_TABLE, play.table[1], FRAME_TABLE, FRAME_DATA);
	play.l1->kind = FRAME_TABLE;
	frame_at(play.table[3])->live = 0;
	frame_at(play.table[2])->parents = 2;
	play_broken(2);
	play_named(AUDIT_LIVE, play.table[3], 1, 0);
	play_named(AUDIT_PARENTS, play.table[2], 1, 2);
	frame_at(play.table[3])->live = 1;
	frame_at(play.table[2])->parents = 1;
	play_broken(0);
	play_tear_down();
}

/* What was changed behind the kernel's back: a second link of an L1, and a link taken away. */
TEST(audit, audit_links,
     "links that nobody counted are found, and a table that nothing links any more")
{
	unsigned int index = va_index(PLAY_VA, 2);
	uint64_t link;

	REQUIRE(play_set_up(true));
	link = table_read(play.table[2], index);
	play_raw_entry(play.table[2], index + 1, link);
	play_broken(2);
	play_named(AUDIT_LIVE, play.table[2], 2, 1);
	play_named(AUDIT_PARENTS, play.table[1], 2, 1);
	play_raw_entry(play.table[2], index + 1, 0);
	play_raw_entry(play.table[2], index, 0);
	play_broken(3);
	play_named(AUDIT_LIVE, play.table[2], 0, 1);
	play_named(AUDIT_PARENTS, play.table[1], 0, 1);
	play_named(AUDIT_LOST, play.table[1], 0, 1);
	play_raw_entry(play.table[2], index, link);
	play_broken(0);
	play_tear_down();
}

/* Xen would refuse these: so they can only be in tables that it does not know yet, and would fail late. */
TEST(audit, audit_offline_tables,
     "in an offline table a bad link, a superpage, a foreign frame are found")
{
	mfn_t beyond = _mfn(UINT64_C(1) << 34);
	uint64_t bad = pte_make(beyond, PTE_LINK), *entry, *leaf, good;

	REQUIRE(play_set_up(false));
	play_broken(0);
	entry = &table_entries(play.table[2])[va_index(PLAY_VA, 2)];
	leaf = &table_entries(play.table[1])[va_index(PLAY_VA, 1)];
	entry[1] = bad;
	play_broken(2);
	play_named(AUDIT_LIVE, play.table[2], 2, 1);
	play_named(AUDIT_LINK, play.table[2], 0, bad);
	entry[1] = 0;
	good = *entry;
	*entry |= PTE_PSE;
	play_broken(3);
	play_named(AUDIT_LINK, play.table[2], 0, good | PTE_PSE);
	play_named(AUDIT_PARENTS, play.table[1], 0, 1);
	play_named(AUDIT_LOST, play.table[1], 0, 1);
	*entry = good;
	bad = pte_make(beyond, PTE_P | PTE_NX);
	leaf[1] = bad;
	play_broken(2);
	play_named(AUDIT_LIVE, play.table[1], 2, 1);
	play_named(AUDIT_FOREIGN_FLAG, play.table[1], 0, bad);
	leaf[1] = 0;
	play_broken(0);
	play_tear_down();
}

/* A kernel mapping that one address space does not have faults there, and nowhere else. */
TEST(audit, audit_kernel_slots, "an L4 without one of the kernel's entries is found")
{
	uint64_t *entry, good, read;
	pfn_t l3;

	REQUIRE(play_set_up(false));
	entry = &table_entries(play.as.l4)[SLOT_VMAP];
	good = *entry;
	read = good & (PTE_ADDR_MASK | PTE_P | PTE_RW | PTE_NX);
	l3 = table_below(good);
	*entry = 0;
	play_broken(3);
	play_named(AUDIT_SLOT, play.as.l4, read, 0);
	play_named(AUDIT_LIVE, play.as.l4, 3, 4);
	play_named(AUDIT_PARENTS, l3, frame_at(l3)->parents - 1U, frame_at(l3)->parents);
	*entry = good;
	play_broken(0);
	play_tear_down();
}

TEST(audit, audit_pins, "a pin that is not noted, or noted where there can be none, is found")
{
	struct frame *l4, *data;

	REQUIRE(play_set_up(true));
	l4 = frame_at(play.as.l4);
	data = frame_at(play.data);
	l4->flags &= (uint8_t)~FRAME_PINNED;
	play_only(AUDIT_PIN, play.as.l4, FRAME_PINNED, 0);
	l4->flags |= FRAME_PINNED;
	data->flags |= FRAME_PINNED;
	play_only(AUDIT_PIN, play.data, 0, FRAME_PINNED);
	data->flags &= (uint8_t)~FRAME_PINNED;
	play_broken(0);
	play_tear_down();
	REQUIRE(play_set_up(false));
	frame_at(play.as.l4)->flags |= FRAME_PINNED;
	play_only(AUDIT_PIN, play.as.l4, 0, FRAME_PINNED);
	frame_at(play.as.l4)->flags &= (uint8_t)~FRAME_PINNED;
	play_broken(0);
	play_tear_down();
}

TEST(audit, audit_frames, "a frame's kind, owner and flags are held against what can be")
{
	struct frame *data, was;

	REQUIRE(play_set_up(true));
	play.l1->flags |= FRAME_OFFLINE;
	play_broken(2);
	play_named(AUDIT_OFFLINE, play.table[1], 0, FRAME_OFFLINE);
	play.l1->flags = FRAME_LEAVING;
	play_only(AUDIT_FLAGS, play.table[1], 0, FRAME_LEAVING);
	play.l1->flags = FRAME_QUEUED;
	play_only(AUDIT_FLAGS, play.table[1], 0, FRAME_QUEUED);
	play.l1->flags = 0;
	frame_at(play.as.l4)->flags = FRAME_PINNED;
	play_only(AUDIT_FLAGS, play.as.l4, FRAME_BASE, FRAME_PINNED);
	frame_at(play.as.l4)->flags = FRAME_PINNED | FRAME_BASE;
	play_tear_down();
	REQUIRE(frame_alloc(0, OWNER_TEST, &play.data) == 0);
	data = frame_at(play.data);
	was = *data;
	data->flags |= FRAME_EXEC;
	play_only(AUDIT_FLAGS, play.data, FRAME_PLAIN, FRAME_PLAIN | FRAME_EXEC);
	*data = was;
	data->owner = OWNER_NONE;
	play_only(AUDIT_OWNER, play.data, OWNER_KERNEL, OWNER_NONE);
	*data = was;
	data->kind = FRAME_NONE;
	play_broken(3);
	play_named(AUDIT_KIND, play.data, 1, FRAME_NONE);
	*data = was;
	play_broken(0);
	frame_free(play.data, 0);
}

/* A whole run of plain frames is shared without a look at each: by this count. */
TEST(audit, audit_plain, "a wrong count of a run's plain frames is found")
{
	uint64_t run = pfn_x(kernel_l4()) / TABLE_ENTRIES;
	uint16_t was = frame_plain[run];

	frame_plain[run]++;
	play_only(AUDIT_PLAIN, _pfn(run * TABLE_ENTRIES), was, was + 1U);
	frame_plain[run] = was;
	play_broken(0);
}

/* The M2P is written at our word: any number is accepted. */
TEST(audit, audit_m2p, "an M2P entry that is another frame's is found")
{
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	CHECK_EQ(m2p_set(pfn_to_mfn(pfn), pfn_add(pfn, 1)), 0);
	play_only(AUDIT_M2P, pfn, pfn_x(pfn), pfn_x(pfn) + 1);
	CHECK_EQ(m2p_set(pfn_to_mfn(pfn), pfn), 0);
	play_broken(0);
	frame_free(pfn, 0);
}

/* Whoever reads a frame through the direct map must read that frame. */
TEST(audit, audit_direct_map, "a wrong frame, wrong rights and a hole in the direct map are found")
{
	uint64_t va, rw, ro, other;
	unsigned int index;
	pfn_t pfn = INVALID_PFN, l1;

	REQUIRE(frame_alloc(1, OWNER_TEST, &pfn) == 0);
	REQUIRE(direct_map_leaf(pfn, &l1, &index));
	va = (uint64_t)direct_va(pfn);
	rw = pte_make(pfn_to_mfn(pfn), PTE_P | PTE_RW | PTE_NX);
	ro = rw & ~PTE_RW;
	other = pte_make(pfn_to_mfn(pfn_add(pfn, 1)), PTE_P | PTE_RW | PTE_NX);
	play_raw_leaf(va, ro);
	play_only(AUDIT_DIRECT_RIGHTS, pfn, rw, ro);
	play_raw_leaf(va, other);
	play_only(AUDIT_DIRECT_MFN, pfn, rw, other);
	play_raw_leaf(va, 0);
	play_broken(2);
	play_named(AUDIT_DIRECT_MFN, pfn, rw, 0);
	play_named(AUDIT_LIVE, l1, frame_at(l1)->live - 1U, frame_at(l1)->live);
	play_raw_leaf(va, PTE_KERNEL_RW | rw);
	frame_set_plain(pfn_x(pfn), false);
	play_only(AUDIT_DIRECT_RIGHTS, pfn, ro, rw);
	frame_set_plain(pfn_x(pfn), true);
	play_broken(0);
	frame_free(pfn, 1);
}
