/* SPDX-License-Identifier: MIT */
/*
 * The audit, tested by breaking what it checks, one kind of fact after another: each is named, with the frame, what it
 * should be and what it is, and nothing else is; and once it is repaired, all is well again. A check that could not
 * fail would let every test of this suite pass.
 *
 * The playground is an address space with one page mapped: every kind of table, all counts 1.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/xen/hypercall.h>
#include "suite.h"

#define VA UINT64_C(0x0000200000000000)

static struct {
	struct aspace as;
	pfn_t data;	  /* mapped at VA, read-write */
	pfn_t table[5];	  /* by level */
	struct frame *l1; /* the entry of table[1] */
} play;

static struct audit_report report;

static bool set_up(bool live)
{
	pfn_t table;
	unsigned int level;
	struct aspace_range r = { VA, 1, NULL };

	if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &play.data), 0) ||
	    !CHECK_EQ(aspace_create(&play.as), 0) ||
	    (live && !CHECK_EQ(aspace_activate(&play.as), 0)) ||
	    !CHECK_EQ(aspace_map(&play.as, &r, &play.data, ASPACE_RW), 0))
		return false;
	for (table = play.as.l4, level = 4; level > 0; level--) {
		play.table[level] = table;
		if (level > 1)
			table = table_below(table_read(table, va_index(VA, level)));
	}
	play.l1 = frame_at(play.table[1]);
	return true;
}

static void tear_down(void)
{
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&play.as), 0);
	frame_free(play.data, 0);
}

/* One finding, of all that there are. */
static void named(enum audit_fact fact, pfn_t pfn, uint64_t expected, uint64_t found)
{
	const struct audit_finding *f;
	char text[128];
	unsigned int i;

	for (i = 0; i < report.broken && i < AUDIT_FINDINGS; i++) {
		f = &report.first[i];
		if (f->fact == fact && pfn_eq(f->pfn, pfn) && f->expected == expected &&
		    f->found == found)
			return;
	}
	test_fail(__FILE__, __LINE__, "%s, pfn %#lx, %#lx for %#lx: not found",
		  audit_fact_name(fact), pfn_x(pfn), found, expected);
	for (i = 0; i < report.broken && i < AUDIT_FINDINGS; i++) {
		audit_describe(&report.first[i], text, sizeof(text));
		test_note("instead: %s", text);
	}
}

static void broken(uint64_t facts)
{
	CHECK_EQ(mm_audit(boot_info(), &report), facts);
	CHECK_EQ(report.broken, facts);
}

/* The one thing that is wrong. */
static void only(enum audit_fact fact, pfn_t pfn, uint64_t expected, uint64_t found)
{
	broken(1);
	named(fact, pfn, expected, found);
}

/* A leaf of the live tables, past everything that counts. */
static void raw_leaf(uint64_t va, uint64_t value)
{
	CHECK_EQ(hypercall_update_va_mapping(va, value, UVMF_INVLPG), 0);
}

/* An entry of a live upper table, the same way. */
static void raw_entry_of(pfn_t table, unsigned int index, uint64_t value)
{
	struct mmu_update request = {
		.ptr = maddr_x(mfn_to_maddr(pfn_to_mfn(table))) + index * sizeof(uint64_t),
		.val = value,
	};

	CHECK_EQ(hypercall_mmu_update(&request, 1, NULL, DOMID_SELF), 0);
}

/* Counts decide when a table is freed: one too low, and it is freed while it is linked. */
TEST(audit, audit_counts, "wrong live, parents, level and kind of a table are found")
{
	REQUIRE(set_up(true));
	broken(0);
	play.l1->live = 2;
	only(AUDIT_LIVE, play.table[1], 1, 2);
	play.l1->live = 1;
	play.l1->parents = 0;
	only(AUDIT_PARENTS, play.table[1], 1, 0);
	play.l1->parents = 1;
	play.l1->level = 2;
	only(AUDIT_LEVEL, play.table[1], 1, 2);
	play.l1->level = 1;
	play.l1->kind = FRAME_DATA;
	only(AUDIT_NO_TABLE, play.table[1], FRAME_TABLE, FRAME_DATA);
	play.l1->kind = FRAME_TABLE;
	frame_at(play.table[3])->live = 0;
	frame_at(play.table[2])->parents = 2;
	broken(2);
	named(AUDIT_LIVE, play.table[3], 1, 0);
	named(AUDIT_PARENTS, play.table[2], 1, 2);
	frame_at(play.table[3])->live = 1;
	frame_at(play.table[2])->parents = 1;
	broken(0);
	tear_down();
}

/* What was changed behind the kernel's back: a second link of an L1, and a link taken away. */
TEST(audit, audit_links,
     "links that nobody counted are found, and a table that nothing links any more")
{
	unsigned int index = va_index(VA, 2);
	uint64_t link;

	REQUIRE(set_up(true));
	link = table_read(play.table[2], index);
	raw_entry_of(play.table[2], index + 1, link);
	broken(2);
	named(AUDIT_LIVE, play.table[2], 2, 1);
	named(AUDIT_PARENTS, play.table[1], 2, 1);
	raw_entry_of(play.table[2], index + 1, 0);
	raw_entry_of(play.table[2], index, 0);
	broken(3);
	named(AUDIT_LIVE, play.table[2], 0, 1);
	named(AUDIT_PARENTS, play.table[1], 0, 1);
	named(AUDIT_LOST, play.table[1], 0, 1);
	raw_entry_of(play.table[2], index, link);
	broken(0);
	tear_down();
}

/* Xen would refuse these: so they can only be in tables that it does not know yet, and would fail late. */
TEST(audit, audit_offline_tables,
     "in an offline table a bad link, a superpage, a foreign frame are found")
{
	mfn_t beyond = _mfn(UINT64_C(1) << 34);
	uint64_t bad = pte_make(beyond, PTE_LINK), *entry, *leaf, good;

	REQUIRE(set_up(false));
	broken(0);
	entry = &table_entries(play.table[2])[va_index(VA, 2)];
	leaf = &table_entries(play.table[1])[va_index(VA, 1)];
	entry[1] = bad;
	broken(2);
	named(AUDIT_LIVE, play.table[2], 2, 1);
	named(AUDIT_LINK, play.table[2], 0, bad);
	entry[1] = 0;
	good = *entry;
	*entry |= PTE_PSE;
	broken(3);
	named(AUDIT_LINK, play.table[2], 0, good | PTE_PSE);
	named(AUDIT_PARENTS, play.table[1], 0, 1);
	named(AUDIT_LOST, play.table[1], 0, 1);
	*entry = good;
	bad = pte_make(beyond, PTE_P | PTE_NX);
	leaf[1] = bad;
	broken(2);
	named(AUDIT_LIVE, play.table[1], 2, 1);
	named(AUDIT_FOREIGN_FLAG, play.table[1], 0, bad);
	leaf[1] = 0;
	broken(0);
	tear_down();
}

/* A kernel mapping that one address space does not have faults there, and nowhere else. */
TEST(audit, audit_kernel_slots, "an L4 without one of the kernel's entries is found")
{
	uint64_t *entry, good, read;
	pfn_t l3;

	REQUIRE(set_up(false));
	entry = &table_entries(play.as.l4)[SLOT_VMAP];
	good = *entry;
	read = good & (PTE_ADDR_MASK | PTE_P | PTE_RW | PTE_NX);
	l3 = table_below(good);
	*entry = 0;
	broken(3);
	named(AUDIT_SLOT, play.as.l4, read, 0);
	named(AUDIT_LIVE, play.as.l4, 3, 4);
	named(AUDIT_PARENTS, l3, frame_at(l3)->parents - 1U, frame_at(l3)->parents);
	*entry = good;
	broken(0);
	tear_down();
}

TEST(audit, audit_pins, "a pin that is not noted, or noted where there can be none, is found")
{
	struct frame *l4, *data;

	REQUIRE(set_up(true));
	l4 = frame_at(play.as.l4);
	data = frame_at(play.data);
	l4->flags &= (uint8_t)~FRAME_PINNED;
	only(AUDIT_PIN, play.as.l4, FRAME_PINNED, 0);
	l4->flags |= FRAME_PINNED;
	data->flags |= FRAME_PINNED;
	only(AUDIT_PIN, play.data, 0, FRAME_PINNED);
	data->flags &= (uint8_t)~FRAME_PINNED;
	broken(0);
	tear_down();
	REQUIRE(set_up(false));
	frame_at(play.as.l4)->flags |= FRAME_PINNED;
	only(AUDIT_PIN, play.as.l4, 0, FRAME_PINNED);
	frame_at(play.as.l4)->flags &= (uint8_t)~FRAME_PINNED;
	broken(0);
	tear_down();
}

TEST(audit, audit_frames, "a frame's kind, owner and flags are held against what can be")
{
	struct frame *data, was;

	REQUIRE(set_up(true));
	play.l1->flags |= FRAME_OFFLINE;
	broken(2);
	named(AUDIT_OFFLINE, play.table[1], 0, FRAME_OFFLINE);
	play.l1->flags = FRAME_LEAVING;
	only(AUDIT_FLAGS, play.table[1], 0, FRAME_LEAVING);
	play.l1->flags = FRAME_QUEUED;
	only(AUDIT_FLAGS, play.table[1], 0, FRAME_QUEUED);
	play.l1->flags = 0;
	tear_down();
	REQUIRE(frame_alloc(0, OWNER_TEST, &play.data) == 0);
	data = frame_at(play.data);
	was = *data;
	data->flags |= FRAME_EXEC;
	only(AUDIT_FLAGS, play.data, FRAME_PLAIN, FRAME_PLAIN | FRAME_EXEC);
	*data = was;
	data->owner = OWNER_NONE;
	only(AUDIT_OWNER, play.data, OWNER_KERNEL, OWNER_NONE);
	*data = was;
	data->kind = FRAME_NONE;
	broken(2);
	named(AUDIT_KIND, play.data, 1, FRAME_NONE);
	*data = was;
	broken(0);
	frame_free(play.data, 0);
}

/* The M2P is written at our word: any number is accepted. */
TEST(audit, audit_m2p, "an M2P entry that is another frame's is found")
{
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	CHECK_EQ(m2p_set(pfn_to_mfn(pfn), pfn_add(pfn, 1)), 0);
	only(AUDIT_M2P, pfn, pfn_x(pfn), pfn_x(pfn) + 1);
	CHECK_EQ(m2p_set(pfn_to_mfn(pfn), pfn), 0);
	broken(0);
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
	raw_leaf(va, ro);
	only(AUDIT_DIRECT_RIGHTS, pfn, rw, ro);
	raw_leaf(va, other);
	only(AUDIT_DIRECT_MFN, pfn, rw, other);
	raw_leaf(va, 0);
	broken(2);
	named(AUDIT_DIRECT_MFN, pfn, rw, 0);
	named(AUDIT_LIVE, l1, frame_at(l1)->live - 1U, frame_at(l1)->live);
	raw_leaf(va, PTE_KERNEL_RW | rw);
	frame_at(pfn)->flags &= (uint8_t)~FRAME_PLAIN;
	only(AUDIT_DIRECT_RIGHTS, pfn, ro, rw);
	frame_at(pfn)->flags |= FRAME_PLAIN;
	broken(0);
	frame_free(pfn, 1);
}
