/* SPDX-License-Identifier: MIT */
/*
 * Whole tables, and one entry of a live one.
 *
 * Promotion goes through the entries from first to last: each is checked and gets what it names, which promotes the table
 * below first; then it is stored as Xen wants it. What it had stored stays when a later entry fails, only the references go.
 * Demotion goes from last to first and leaves the entries as they are.
 *
 * A live entry changes in the order new in, store, old out, so that nothing is free in between. What an entry of L2 to L4
 * had goes out last, when the call's flush is done: m->old_table.
 */
#include <pinion/lib/panic.h>
#include "internal.h"

/* FASTPATH_FLAG_WHITELIST, the other way round: what makes a change of an entry more than one of rights and marks. */
#define FAST_KEEP (PTE_ADDR_MASK | PTE_P | PTE_RW | PTE_PWT | PTE_PCD | PTE_PAT)

/* Which of Xen's slots has the M2P, and which the table itself. */
#define XEN_M2P	   0
#define XEN_LINEAR 2

/* __PAGE_HYPERVISOR_RW */
#define XEN_RW (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)

static int promote_l1(struct model *m, mfn_t table)
{
	uint64_t *pte = m->ops->page(m, table);
	int rc = 0;
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES && !rc; i++) {
		uint64_t flip = 0;

		if (pte[i] & PTE_P)
			rc = model_get_leaf(m, pte[i], MODEL_GUEST, &flip);
		else if (model_l1tf(m, 1, pte[i]))
			rc = MODEL_CRASHED;
		if (!rc)
			pte[i] = model_adjust(1, pte[i] ^ flip);
	}
	if (rc)
		for (i--; i-- > 0;)
			model_put_leaf(m, pte[i]);
	return rc;
}

uint64_t model_xen_entry(const struct model *m, mfn_t table, unsigned int slot)
{
	return slot == XEN_LINEAR ? pte_make(table, XEN_RW) : m->xen_l4e[slot];
}

/*
 * init_xen_l4_slots(): what Xen's own slots of a new L4 hold. With m2p_strict the M2P is there from now on, and is taken out when
 * the table becomes the user's (ext.c); without, it comes with the first use as a base.
 */
static void fill_xen_slots(struct model *m, mfn_t table)
{
	uint64_t *l4e = (uint64_t *)m->ops->page(m, table) + m->profile.xen_slot;
	const bool strict = m->vm_assist & (UINT64_C(1) << VMASST_TYPE_m2p_strict);

	for (unsigned int i = 0; i < m->profile.xen_slots; i++)
		l4e[i] = i == XEN_M2P && !strict ? 0 : model_xen_entry(m, table, i);
}

/*
 * promote_l2_table() .. l4_table(): the entry @i of @table is bad.
 *
 * Xen preempted in the promotion of an L2 that then fails leaves L3 and L4 half done, each entry on the way with its reference
 * (PTF_partial_set), which get_page_and_type_from_mfn() therefore keeps when the second attempt fails. The L4 drops it as what
 * it has of that entry; but at its first entry it has nothing, and is not taken back: an L3 that failed at its own first
 * entry, and so has nothing either, keeps a reference for good.
 */
static void promotion_failed(struct model *m, mfn_t table, unsigned int i, mfn_t below)
{
	struct model_frame *f = model_frame(m, table);

	if (i == 0) {
		if (f->type == MODEL_L4 && !mfn_eq(m->old_table, INVALID_MFN) &&
		    !mfn_eq(m->old_table, below))
			model_frame(m, below)->may_leak = true;
		return;
	}
	f->nr_validated = (uint16_t)i;
	if (!mfn_eq(m->old_table, INVALID_MFN) && !mfn_eq(m->old_table, below))
		model_frame(m, m->old_table)->leaked++; /* see type.c */
	/* If the table below is half done as well, it is this entry's: its reference is the entry's now. */
	if (mfn_eq(m->old_table, below))
		f->partial_flags = true;
	m->old_table = table;
	m->old_parent = INVALID_MFN;
	m->old_partial = true;
}

static int promote_upper(struct model *m, mfn_t table, unsigned int level)
{
	struct model_frame *f = model_frame(m, table);
	uint64_t *pte = m->ops->page(m, table);

	ASSERT(!f->partial_flags); /* an L2, if half done before: tables below that are never */
	for (unsigned int i = f->nr_validated; i < TABLE_ENTRIES; i++) {
		int rc = 0;

		if (level == 4 && !model_guest_slot(m, i))
			continue;
		if (pte[i] & PTE_P)
			rc = model_get_link(m, level, pte[i], table);
		else if (model_l1tf(m, level, pte[i]))
			rc = MODEL_CRASHED;
		if (rc) {
			promotion_failed(m, table, i, pte_mfn(pte[i]));
			return rc;
		}
		pte[i] = model_adjust(level, pte[i]);
	}
	if (level == 4)
		fill_xen_slots(m, table);
	return 0;
}

int model_promote(struct model *m, mfn_t table, unsigned int level)
{
	return level == 1 ? promote_l1(m, table) : promote_upper(m, table, level);
}

void model_demote(struct model *m, mfn_t table, unsigned int level)
{
	const struct model_frame *f = model_frame(m, table);
	const uint64_t *pte = m->ops->page(m, table);
	bool partial = f->partial_flags;
	unsigned int i = f->nr_validated + partial;

	if (level == 1) {
		for (i = 0; i < TABLE_ENTRIES; i++)
			model_put_leaf(m, pte[i]);
		return;
	}
	for (; i-- > 0; partial = false)
		if (level < 4 || model_guest_slot(m, i))
			model_put_link(m, pte[i], table, partial, false);
}

/* update_intpte(), as in a release build. */
static void store(uint64_t *pte, uint64_t value, bool preserve_ad)
{
	if (preserve_ad)
		value |= *pte & PTE_AD;
	WRITE_ONCE(pte[0], value);
}

static int mod_l1(struct model *m, uint64_t *pte, uint64_t new, enum model_owner pg_owner,
		  bool preserve_ad)
{
	const uint64_t old = *pte;

	if (new &PTE_P) {
		uint64_t flip;
		int rc;

		if (model_bad_bits(m, 1, new))
			return -EINVAL;
		new = model_adjust(1, new);
		if (!((old ^ new) & FAST_KEEP)) {
			store(pte, new, preserve_ad);
			return 0;
		}
		rc = model_get_leaf(m, new, pg_owner, &flip);
		if (rc)
			return rc;
		new ^= flip;
	} else if (model_l1tf(m, 1, new)) {
		return MODEL_CRASHED;
	}
	store(pte, new, preserve_ad);
	model_put_leaf(m, old);
	return 0;
}

static int mod_upper(struct model *m, mfn_t table, uint64_t *pte, unsigned int level, uint64_t new,
		     bool preserve_ad)
{
	const uint64_t old = *pte;

	if (new &PTE_P) {
		int rc;

		if (model_bad_bits(m, level, new))
			return -EINVAL;
		new = model_adjust(level, new);
		if (!((old ^ new) & FAST_KEEP)) {
			store(pte, new, preserve_ad);
			return 0;
		}
		rc = model_get_link(m, level, new, table);
		if (rc)
			return rc;
	} else if (model_l1tf(m, level, new)) {
		return MODEL_CRASHED;
	}
	store(pte, new, preserve_ad);
	model_put_link(m, old, table, false, true);
	return 0;
}

int model_mod_entry(struct model *m, mfn_t table, unsigned int index, unsigned int level,
		    uint64_t pte, enum model_owner pg_owner, bool preserve_ad)
{
	uint64_t *at = (uint64_t *)m->ops->page(m, table) + index;

	if (level == 1)
		return mod_l1(m, at, pte, pg_owner, preserve_ad);
	if (level == 4 && !model_guest_slot(m, index))
		return -EINVAL;
	return mod_upper(m, table, at, level, pte, preserve_ad);
}
