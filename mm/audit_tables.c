/* SPDX-License-Identifier: MIT */
/*
 * Walking all tables, for the audit (see <pinion/mm/audit.h>).
 *
 * Level by level from the top: all L4s before the first L3, and so on. So a table's notes are complete before its entries
 * are looked at (how many link it, and with which rights any of them lets it be used), each is read once
 * however many link it, and there is no recursion.
 *
 * Roots are the L4s of the address spaces; what is pinned for itself; offline tables that nobody links yet; and what
 * is in quarantine, linked by nobody. What is not reached from these is lost.
 *
 * Entries are believed as little as anything else: a link is followed if the M2P and the P2M agree that it is
 * a frame of ours, and the frame table calls that a table.
 *
 * The direct map's L1s are the most of all entries, and what each must be is known: they are compared, pfn by pfn, and
 * not looked up.
 */
#include <pinion/arch/pte.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "audit_internal.h"

#define LEAF_COMPARED (PTE_ADDR_MASK | PTE_P | PTE_RW | PTE_NX)

static void reach(struct audit *a, pfn_t pfn, unsigned int level, uint8_t rights)
{
	struct audit_note *note = &a->notes[pfn_x(pfn)];
	const struct frame *frame = frame_at(pfn);

	/* Where it is linked says what it is. */
	if (note->level == 0 && frame->level != level)
		audit_broken(a, AUDIT_LEVEL, pfn, level, frame->level);
	else if (note->level != 0 && note->level != level)
		audit_broken(a, AUDIT_LEVEL, pfn, note->level, level);
	if (note->level == 0)
		note->level = (uint8_t)level;
	note->rights |= rights;
}

/* One present entry of a table of @level, whose own ways give @rights. */
static void follow(struct audit *a, pfn_t table, unsigned int level, uint64_t entry, uint8_t rights)
{
	pfn_t pfn = mfn_to_pfn(pte_mfn(entry));
	const struct frame *lower = frame_at(pfn);

	if (!lower || (entry & PTE_PSE)) {
		audit_broken(a, AUDIT_LINK, table, 0, entry);
		return;
	}
	if (lower->kind != FRAME_TABLE) {
		audit_broken(a, AUDIT_NO_TABLE, pfn, FRAME_TABLE, lower->kind);
		return;
	}
	/* Xen need not know a table in quarantine as one. */
	if ((lower->flags & FRAME_OFFLINE) && !(frame_at(table)->flags & FRAME_OFFLINE) &&
	    frame_at(table)->owner != OWNER_QUARANTINE)
		audit_broken(a, AUDIT_OFFLINE, pfn, 0, FRAME_OFFLINE);
	if (!(entry & PTE_RW))
		rights &= (uint8_t)~NOTE_W;
	if (entry & PTE_NX)
		rights &= (uint8_t)~NOTE_X;
	a->notes[pfn_x(pfn)].refs++;
	reach(a, pfn, level - 1, rights);
}

static void check_live(struct audit *a, pfn_t table, unsigned int live)
{
	if (frame_at(table)->live != live)
		audit_broken(a, AUDIT_LIVE, table, live, frame_at(table)->live);
}

static void upper_table(struct audit *a, pfn_t table, unsigned int level)
{
	uint8_t rights = a->notes[pfn_x(table)].rights;
	unsigned int i, live = 0;
	uint64_t entry;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		if (level == 4 && l4_slot_is_xens(i))
			continue;
		entry = table_read(table, i);
		if (!(entry & PTE_P))
			continue;
		live++;
		follow(a, table, level, entry, rights);
	}
	check_live(a, table, live);
}

/* A leaf of a frame that is not ours. The kernel has one: shared_info, among its image. */
static void foreign_leaf(struct audit *a, pfn_t table, uint64_t leaf)
{
	const struct frame *frame = frame_at(table);

	if (frame->flags & FRAME_FOREIGN)
		return;
	if (frame->owner != OWNER_KERNEL ||
	    !mfn_eq(pte_mfn(leaf), maddr_to_mfn(a->bi->shared_info)))
		audit_broken(a, AUDIT_FOREIGN_FLAG, table, 0, leaf);
}

/*
 * Text is executable in the kernel's own tables, which count for nothing: it is never anything else. Nor do tables in
 * quarantine, which no CPU can reach.
 */
static void exec_leaf(struct audit *a, pfn_t table, struct audit_note *note)
{
	const struct frame *frame = frame_at(table);

	if (frame->owner == OWNER_KERNEL || frame->owner == OWNER_QUARANTINE)
		return;
	note->refs++;
	if (!(frame->flags & FRAME_EXEC))
		audit_broken(a, AUDIT_EXEC_FLAG, table, FRAME_EXEC, frame->flags);
}

static void leaf_table(struct audit *a, pfn_t table)
{
	uint8_t upper = a->notes[pfn_x(table)].rights;
	unsigned int i, live = 0;
	const struct frame *frame;
	struct audit_note *note;
	uint64_t leaf;
	pfn_t pfn;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		leaf = table_read(table, i);
		if (!(leaf & PTE_P))
			continue;
		live++;
		pfn = mfn_to_pfn(pte_mfn(leaf));
		frame = frame_at(pfn);
		if (!frame) {
			foreign_leaf(a, table, leaf);
			continue;
		}
		note = &a->notes[pfn_x(pfn)];
		if (frame->kind == FRAME_FREE || frame->owner == OWNER_RESERVE)
			audit_broken(a, AUDIT_FREE_MAPPED, pfn, 0, leaf);
		if (frame->kind == FRAME_TABLE && (leaf & PTE_RW))
			audit_broken(a, AUDIT_TABLE_WRITABLE, pfn, leaf & ~PTE_RW, leaf);
		if (leaf & PTE_RW)
			note->rights |= upper & NOTE_W;
		if (leaf & PTE_NX)
			continue;
		note->rights |= upper & NOTE_X;
		if (frame->kind == FRAME_DATA)
			exec_leaf(a, table, note);
	}
	check_live(a, table, live);
}

/* What the direct map must have for @pfn, as far as it is compared. */
static uint64_t direct_leaf(uint64_t pfn)
{
	const struct frame *frame = frame_at(_pfn(pfn));
	bool writable;

	if (!frame)
		return 0;
	writable = frame->kind == FRAME_FREE ||
		   (frame->kind == FRAME_DATA && (frame->flags & FRAME_PLAIN)) ||
		   (frame->kind == FRAME_TABLE && (frame->flags & FRAME_OFFLINE));
	return pte_make(pfn_to_mfn(_pfn(pfn)), PTE_P | PTE_NX | (writable ? PTE_RW : 0));
}

/* The L1 for the 512 pfns from @first on. Its @upper entries must narrow nothing. */
static void direct_l1(struct audit *a, pfn_t table, uint64_t first, uint64_t upper)
{
	unsigned int i, live = 0;
	uint64_t leaf, want;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		leaf = table_read(table, i);
		want = direct_leaf(first + i);
		live += leaf & PTE_P;
		/* A table's note says what its ways allow; an offline one is writable here besides. */
		if ((leaf & PTE_RW) && first + i < frame_table_nr &&
		    frame_table[first + i].kind != FRAME_TABLE)
			a->notes[first + i].rights |= NOTE_W;
		if (!(upper & PTE_RW))
			leaf &= ~PTE_RW;
		if (likely(((leaf ^ want) & LEAF_COMPARED) == 0))
			continue;
		if ((leaf ^ want) & (PTE_ADDR_MASK | PTE_P))
			audit_broken(a, AUDIT_DIRECT_MFN, _pfn(first + i), want,
				     leaf & LEAF_COMPARED);
		else
			audit_broken(a, AUDIT_DIRECT_RIGHTS, _pfn(first + i), want,
				     leaf & LEAF_COMPARED);
	}
	check_live(a, table, live);
	a->notes[pfn_x(table)].direct = 1;
}

/* The table of @level below @entry; INVALID_PFN if there is none, or none that was reached as such. */
static pfn_t direct_below(const struct audit *a, uint64_t entry, unsigned int level)
{
	pfn_t pfn = (entry & PTE_P) ? mfn_to_pfn(pte_mfn(entry)) : INVALID_PFN;

	return frame_at(pfn) && a->notes[pfn_x(pfn)].level == level ? pfn : INVALID_PFN;
}

/* Where there is RAM there must be an L1; where there is none there may be none. */
static void no_l1(struct audit *a, uint64_t first)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++)
		if (direct_leaf(first + i))
			audit_broken(a, AUDIT_DIRECT_MFN, _pfn(first + i), direct_leaf(first + i),
				     0);
}

static void direct_map(struct audit *a)
{
	uint64_t first, l3e, l2e, va;
	pfn_t l2, l1;

	for (first = 0; first < frame_table_nr; first += TABLE_ENTRIES) {
		va = (uintptr_t)direct_va(_pfn(first));
		l3e = table_read(direct_map_tables().start, va_index(va, 3));
		l2 = direct_below(a, l3e, 2);
		l2e = pfn_eq(l2, INVALID_PFN) ? 0 : table_read(l2, va_index(va, 2));
		l1 = direct_below(a, l2e, 1);
		if (pfn_eq(l1, INVALID_PFN))
			no_l1(a, first);
		else
			direct_l1(a, l1, first, l3e & l2e);
	}
}

/* The L4 of an address space: pinned, or offline. Nobody but the first activation makes it a table. */
static void check_l4(struct audit *a, const struct aspace *as)
{
	const struct frame *frame = frame_at(as->l4);
	uint64_t entry, kernels;
	unsigned int slot;

	if (!(frame->flags & (FRAME_PINNED | FRAME_OFFLINE)) && !as->broken)
		audit_broken(a, AUDIT_PIN, as->l4, FRAME_PINNED, 0);
	if (!(frame->flags & FRAME_BASE))
		audit_broken(a, AUDIT_FLAGS, as->l4, FRAME_BASE, frame->flags);
	for (slot = SLOT_XEN_LAST + 1; slot < TABLE_ENTRIES; slot++) {
		entry = table_read(as->l4, slot) & LEAF_COMPARED;
		kernels = table_read(kernel_l4(), slot) & LEAF_COMPARED;
		if (entry != kernels)
			audit_broken(a, AUDIT_SLOT, as->l4, kernels, entry);
	}
}

static void roots(struct audit *a)
{
	const struct aspace *as;
	const struct frame *frame;
	uint64_t n;

	for (as = aspace_first(); as; as = as->next) {
		frame = frame_at(as->l4);
		if (!frame || frame->kind != FRAME_TABLE) {
			audit_broken(a, AUDIT_NO_TABLE, as->l4, FRAME_TABLE,
				     frame ? frame->kind : FRAME_NONE);
			continue;
		}
		reach(a, as->l4, 4, NOTE_W | NOTE_X);
		check_l4(a, as);
	}
	for (n = 0; n < frame_table_nr; n++) {
		frame = &frame_table[n];
		if (frame->kind != FRAME_TABLE || frame->level < 1 || frame->level > 4 ||
		    a->notes[n].level)
			continue;
		if (frame->parents == 0 && frame->owner == OWNER_QUARANTINE)
			reach(a, _pfn(n), frame->level, 0);
		else if ((frame->flags & FRAME_PINNED) ||
			 ((frame->flags & FRAME_OFFLINE) && frame->parents == 0))
			reach(a, _pfn(n), frame->level, NOTE_W | NOTE_X);
	}
}

void audit_tables(struct audit *a)
{
	unsigned int level;
	uint64_t n;

	roots(a);
	for (level = 4; level > 1; level--)
		for (n = 0; n < frame_table_nr; n++)
			if (a->notes[n].level == level)
				upper_table(a, _pfn(n), level);
	direct_map(a);
	for (n = 0; n < frame_table_nr; n++)
		if (a->notes[n].level == 1 && !a->notes[n].direct)
			leaf_table(a, _pfn(n));
}
