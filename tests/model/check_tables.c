/* SPDX-License-Identifier: MIT */
/*
 * The invariants of tables: each entry that holds something is one that Xen could have stored, and what it holds is counted.
 *
 * A table holds what all of its entries name; one that is half done, what the entries before the bad one name, and the
 * reference, without the use, of the bad one itself if the table below is half done too.
 */
#include "check.h"

#define CACHE_BITS (PTE_PAT | PTE_PCD | PTE_PWT)

/* A mapping of what is no RAM: only for who has I/O memory, and uncached (get_page_from_l1e()). */
static void check_io_leaf(struct check *c, mfn_t table, unsigned int i, uint64_t pte)
{
	const uint64_t cache = pte & CACHE_BITS;

	if (!c->m->profile.dom0)
		check_broken(c, "table %lx[%u] = %lx maps what is no RAM", mfn_x(table), i, pte);
	else if (cache == 0 || cache == PTE_PWT || cache == (PTE_PWT | PTE_PAT))
		check_broken(c, "table %lx[%u] = %lx maps I/O memory cached", mfn_x(table), i, pte);
}

static void check_leaf(struct check *c, mfn_t table, unsigned int i, uint64_t pte)
{
	struct model_frame *f = model_frame(c->m, pte_mfn(pte));

	if (!f || f->owner == MODEL_IO) {
		check_io_leaf(c, table, i, pte);
		return;
	}
	if (f->owner != MODEL_GUEST || (f->xen_heap && (pte & CACHE_BITS)))
		check_broken(c, "table %lx[%u] = %lx maps a frame of owner %u", mfn_x(table), i,
			     pte, f->owner);
	f->seen++;
	if (!(pte & PTE_RW))
		return;
	f->seen_uses++;
	if (f->type != MODEL_WRITABLE)
		check_broken(c, "table %lx[%u] = %lx: a frame of type %u is writable", mfn_x(table),
			     i, pte, f->type);
}

/* @half: the entry at which the promotion of @table stopped. */
static void check_link(struct check *c, mfn_t table, unsigned int i, uint64_t pte, bool half)
{
	struct model_frame *t = model_frame(c->m, table);
	struct model_frame *f = model_frame(c->m, pte_mfn(pte));
	const bool linear = f && f->type == t->type;

	if (linear && ((pte & PTE_RW) || !c->m->profile.linear_pt))
		check_broken(c, "table %lx[%u] = %lx: a linear table that is none", mfn_x(table), i,
			     pte);
	if (f == t)
		return;
	if (!f || f->owner != MODEL_GUEST || (!linear && f->type != t->type - 1) ||
	    (half ? !f->partial : !f->validated)) {
		check_broken(c, "table %lx[%u] = %lx links no table of level %u", mfn_x(table), i,
			     pte, t->type - 1U);
		return;
	}
	f->seen++;
	f->seen_uses += !half;
	if (linear) {
		t->seen_linear++;
		f->seen_linear--;
	}
}

/* init_xen_l4_slots(); the CPU may have marked them, and the first may be left out. */
static void check_xen_slot(struct check *c, mfn_t table, unsigned int i, uint64_t pte)
{
	const unsigned int slot = i - c->m->profile.xen_slot;
	const uint64_t want = model_xen_entry(c->m, table, slot);

	if ((pte | PTE_A) != (want | PTE_A) && !(slot == 0 && pte == 0))
		check_broken(c, "L4 %lx[%u] = %lx, not %lx", mfn_x(table), i, pte, want);
}

static void check_entry(struct check *c, mfn_t table, unsigned int i, uint64_t pte, bool half)
{
	const unsigned int level = model_frame(c->m, table)->type;

	if (level == 4 && !model_guest_slot(c->m, i)) {
		if (model_frame(c->m, table)->validated)
			check_xen_slot(c, table, i, pte);
		return;
	}
	if (!(pte & PTE_P)) {
		if (half || model_l1tf_unsafe(c->m, level, pte))
			check_broken(c, "table %lx[%u] = %lx, not present", mfn_x(table), i, pte);
		return;
	}
	/* Where the promotion stopped nothing was stored. */
	if (!half && (model_bad_bits(c->m, level, pte) || model_adjust(level, pte) != pte))
		check_broken(c, "table %lx[%u] = %lx: no entry of level %u", mfn_x(table), i, pte,
			     level);
	if (level == 1)
		check_leaf(c, table, i, pte);
	else
		check_link(c, table, i, pte, half);
}

void check_table(struct check *c, mfn_t mfn)
{
	const struct model_frame *f = model_frame(c->m, mfn);
	const uint64_t *pte = c->m->ops->page(c->m, mfn);
	unsigned int nr = f->partial ? f->nr_validated : TABLE_ENTRIES;

	if (f->owner != MODEL_GUEST)
		check_broken(c, "table %lx: of owner %u", mfn_x(mfn), f->owner);
	if (nr > TABLE_ENTRIES)
		nr = TABLE_ENTRIES;
	for (unsigned int i = 0; i < nr; i++)
		check_entry(c, mfn, i, READ_ONCE(pte[i]), false);
	if (f->partial && f->partial_flags && nr < TABLE_ENTRIES)
		check_entry(c, mfn, nr, READ_ONCE(pte[nr]), true);
}
