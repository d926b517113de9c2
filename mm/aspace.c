/* SPDX-License-Identifier: MIT */
/* Address spaces come and go; see <pinion/mm/aspace.h>. */
#include <pinion/arch/cpu.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "aspace_internal.h"

/* As many tables as go into a section together, with room for the operations around them. */
#define TABLES_A_SECTION 480

struct aspace kernel_aspace;
static struct aspace *all;

void aspace_init(void)
{
	kernel_aspace = (struct aspace){ .l4 = kernel_l4() };
	frame_at(kernel_aspace.l4)->flags |= FRAME_BASE;
	all = &kernel_aspace;
	this_cpu()->aspace = &kernel_aspace;
}

struct aspace *aspace_current(void)
{
	return this_cpu()->aspace;
}

struct aspace *aspace_first(void)
{
	return all;
}

int aspace_create(struct aspace *as)
{
	unsigned int slot;
	pfn_t l4;
	int rc = frame_alloc(0, OWNER_ASPACE, &l4);

	if (!rc)
		rc = table_begin(l4, 4, true);
	if (rc)
		return rc;
	frame_at(l4)->flags |= FRAME_BASE;
	for (slot = SLOT_XEN_LAST + 1; slot < TABLE_ENTRIES; slot++)
		table_store(l4, slot, table_read(kernel_aspace.l4, slot));
	*as = (struct aspace){ .l4 = l4, .next = all };
	all = as;
	return 0;
}

/* A tree's tables, from the top down or the bottom up. */
struct visit {
	int (*fn)(struct visit *visit, pfn_t table);
	bool bottom_up;
	unsigned int count; /* in the section under way */
	bool insists; /* the first section took tables from Xen, which is not taken back: what follows insists */
};

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static int visit_tree(struct visit *v, pfn_t table)
{
	const struct frame *frame = frame_at(table), *lower;
	unsigned int i, end = frame->level == 4 ? SLOT_XEN_FIRST : TABLE_ENTRIES;
	uint64_t entry;
	int rc = 0;

	if (!v->bottom_up)
		rc = v->fn(v, table);
	for (i = 0; frame->level > 1 && i < end && !rc; i++) {
		entry = table_read(table, i);
		if (!(entry & PTE_P))
			continue;
		lower = frame_at(table_below(entry));
		if (lower->owner != OWNER_DIRECT_MAP)
			rc = visit_tree(v, table_below(entry));
	}
	if (v->bottom_up && !rc)
		rc = v->fn(v, table);
	return rc;
}

/* Sections have an end: this one is sent, and another begun. */
static int next_section(struct visit *v)
{
	int rc;

	if (v->count++ < TABLES_A_SECTION)
		return 0;
	v->count = 0;
	rc = mmu_batch_end(0);
	mmu_batch_begin();
	return rc;
}

static int make_live(struct visit *v, pfn_t table)
{
	int rc;

	if (!(frame_at(table)->flags & FRAME_OFFLINE))
		return 0;
	rc = next_section(v);
	return rc ? rc : mmu_batch_make_table(table, NULL);
}

static int make_offline(struct visit *v, pfn_t table)
{
	int rc;

	/* One that is linked twice is visited twice. */
	if (frame_at(table)->flags & (FRAME_OFFLINE | FRAME_LEAVING))
		return 0;
	rc = next_section(v);
	if (!rc && v->count == 0 && !v->insists) { /* the second begins */
		v->insists = true;
		mmu_batch_insist(true);
	}
	return rc ? rc : mmu_batch_unmake_table(table, NULL);
}

/* Returns 0; Xen's error for the first section, with all as before; or -EIO for a later one. */
static int all_offline(struct aspace *as, bool unpin)
{
	struct visit v = { .fn = make_offline };
	int rc = 0;

	mmu_batch_begin();
	if (unpin)
		rc = mmu_batch_unpin(as->l4, 4);
	if (!rc)
		rc = visit_tree(&v, as->l4);
	rc = mmu_batch_end(rc);
	if (!v.insists)
		return rc;
	mmu_batch_insist(false);
	return rc ? -EIO : 0;
}

/* The same where it is what an earlier section did that is undone. */
static int take_offline(struct aspace *as, bool unpin)
{
	int rc;

	mmu_batch_insist(true);
	rc = all_offline(as, unpin);
	mmu_batch_insist(false);
	return rc;
}

/* Late pin: all tables at once. What a failure leaves live is made offline again. */
static int pin(struct aspace *as)
{
	struct visit v = { .fn = make_live, .bottom_up = true };
	int rc, undo;

	mmu_batch_begin();
	rc = visit_tree(&v, as->l4);
	if (!rc)
		rc = mmu_batch_pin(as->l4, 4);
	rc = mmu_batch_end(rc);
	if (!rc)
		return 0;
	undo = take_offline(as, false);
	as->broken |= undo != 0 || rc == -EIO;
	return undo ? -EIO : rc;
}

int aspace_activate(struct aspace *as)
{
	struct aspace *old = aspace_current();
	int rc = as->broken ? -EIO : mmu_batch_depth() ? -EBUSY : 0;
	bool first = !(frame_at(as->l4)->flags & FRAME_PINNED);

	if (!rc && first)
		rc = pin(as);
	if (rc)
		return rc;
	mmu_batch_begin();
	rc = mmu_batch_end(mmu_batch_new_baseptr(as->l4, old->l4));
	if (!rc)
		this_cpu()->aspace = as;
	else if (first && take_offline(as, true)) {
		as->broken = true;
		rc = -EIO;
	}
	return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static void take_apart(pfn_t table)
{
	const struct frame *frame = frame_at(table);
	unsigned int i, end = frame->level == 4 ? SLOT_XEN_FIRST : TABLE_ENTRIES;
	uint64_t entry;
	pfn_t lower;

	for (i = 0; frame->level > 1 && i < end && frame->live > 0; i++) {
		entry = table_read(table, i);
		if (!(entry & PTE_P))
			continue;
		lower = table_below(entry);
		table_store(table, i, 0);
		if (frame_at(lower)->parents == 0)
			take_apart(lower);
	}
	if (frame->level == 1)
		aspace_leaves_gone(table);
	table_forget(table);
	table_release(table);
}

int aspace_destroy(struct aspace *as)
{
	struct aspace **link = &all;
	int rc;

	if (as == &kernel_aspace || as == aspace_current() || as->holds || mmu_batch_depth())
		return -EBUSY;
	/* If it is broken, other tables may be live still, though the L4 is not. */
	if (!(frame_at(as->l4)->flags & FRAME_OFFLINE) || as->broken) {
		rc = all_offline(as, frame_at(as->l4)->flags & FRAME_PINNED);
		if (rc) {
			as->broken |= rc == -EIO;
			return rc;
		}
	}
	while (*link != as)
		link = &(*link)->next;
	*link = as->next;
	take_apart(as->l4);
	*as = (struct aspace){ .l4 = INVALID_PFN };
	return 0;
}
