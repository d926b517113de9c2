/* SPDX-License-Identifier: MIT */
/*
 * The frame table, recounted. Each table that an address space leads to is visited once, and what its entries
 * say is added up by frame:
 *
 *     count[pfn]   parents (16)  |  execs (15)  | visited
 *
 * Then every frame is compared with its entry in the frame table, and with its leaf in the direct map.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

struct count {
	uint16_t parents;
	uint16_t execs : 15, visited : 1;
};

struct audit {
	struct count *count;
	const char *wrong;
	pfn_t where;
	bool offline;	  /* the tables under way should be */
	uint64_t private; /* tables of OWNER_ASPACE that were visited */
};

static void complain(struct audit *a, pfn_t where, const char *wrong)
{
	if (a->wrong)
		return;
	a->wrong = wrong;
	a->where = where;
}

static void visit_leaf(struct audit *a, const struct frame *l1, uint64_t entry)
{
	pfn_t pfn;

	if ((entry & PTE_NX) || l1->owner != OWNER_ASPACE)
		return;
	pfn = mfn_to_pfn(pte_mfn(entry));
	if (!frame_at(pfn))
		complain(a, pfn, "a frame that is not ours is executable");
	else
		a->count[pfn_x(pfn)].execs++;
	if (!(l1->flags & FRAME_EXEC))
		complain(a, pfn, "an L1 has executable leaves and does not say so");
	if (entry & PTE_RW)
		complain(a, pfn, "a leaf is writable and executable");
}

static void check_table(struct audit *a, pfn_t table, const struct frame *frame, unsigned int level,
			unsigned int live)
{
	if (frame->kind != FRAME_TABLE || frame->level != level)
		complain(a, table, "it is a table and the frame table says otherwise");
	if (frame->live != live)
		complain(a, table, "it has another number of live entries");
	if (frame->flags & (FRAME_LEAVING | FRAME_QUEUED))
		complain(a, table, "it is still in a queue");
	if (frame->owner != OWNER_ASPACE)
		return;
	a->private ++;
	if (a->offline != !!(frame->flags & FRAME_OFFLINE))
		complain(a, table, "it is live in an offline tree, or the other way round");
	if (level < 4 && live == 0 && frame->holds == 0)
		complain(a, table, "it is empty, and still linked");
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static void visit(struct audit *a, pfn_t table, unsigned int level)
{
	const struct frame *frame = frame_at(table);
	unsigned int i, live = 0;
	uint64_t entry;
	pfn_t lower;

	if (!frame) {
		complain(a, table, "a table is no frame of ours");
		return;
	}
	if (a->count[pfn_x(table)].visited)
		return;
	a->count[pfn_x(table)].visited = 1;
	for (i = 0; i < TABLE_ENTRIES && !a->wrong; i++) {
		entry = table_read(table, i);
		if (!(entry & PTE_P) || (level == 4 && l4_slot_is_xens(i)))
			continue;
		live++;
		if (level == 1) {
			visit_leaf(a, frame, entry);
			continue;
		}
		lower = table_below(entry);
		a->count[pfn_x(lower)].parents++;
		visit(a, lower, level - 1);
	}
	if (!a->wrong)
		check_table(a, table, frame, level, live);
}

static void check_frame(struct audit *a, pfn_t pfn, const struct frame *frame)
{
	const struct count *count = &a->count[pfn_x(pfn)];
	unsigned int index;
	uint64_t leaf;
	pfn_t l1;

	if (frame->owner == OWNER_QUARANTINE)
		complain(a, pfn, "it is in quarantine");
	if (frame->kind == FRAME_TABLE && frame->parents != count->parents)
		complain(a, pfn, "it has another number of parents");
	if (frame->kind == FRAME_TABLE && frame->owner == OWNER_ASPACE && !count->visited)
		complain(a, pfn, "it is a table that nothing leads to");
	if (frame->kind != FRAME_TABLE && count->visited)
		complain(a, pfn, "it is a table, and not called one");
	if (frame->kind == FRAME_DATA && frame->execs != count->execs)
		complain(a, pfn, "it is executable through another number of leaves");
	if (frame->kind == FRAME_DATA && frame->execs && (frame->flags & FRAME_PLAIN))
		complain(a, pfn, "it is executable, and called plain");
	if (!direct_map_leaf(pfn, &l1, &index)) {
		complain(a, pfn, "the direct map has not got it");
		return;
	}
	leaf = table_read(l1, index);
	if (frame->kind == FRAME_DATA && !(frame->flags & FRAME_PLAIN) != !(leaf & PTE_RW))
		complain(a, pfn, "it is not as writable as it is called");
	if (frame->kind == FRAME_TABLE && !(frame->flags & FRAME_OFFLINE) != !(leaf & PTE_RW))
		complain(a, pfn, "it is a table, and not as writable as it should be");
}

const char *range_audited(pfn_t *where)
{
	uint64_t pfn, end = frame_table_nr, bytes = end * sizeof(struct count);
	struct audit a = { .wrong = NULL };
	const struct aspace *as;
	unsigned int order = 0;
	pfn_t counts;

	while (PAGE_SIZE << order < bytes)
		order++;
	if (frame_alloc(order, OWNER_TEST, &counts))
		return "there is no memory to look";
	a.count = direct_va(counts);
	memset(a.count, 0, bytes);
	for (as = aspace_first(); as; as = as->next) {
		a.offline = frame_at(as->l4)->flags & FRAME_OFFLINE;
		visit(&a, as->l4, 4);
	}
	for (pfn = 0; pfn < end && !a.wrong; pfn++)
		if (frame_at(_pfn(pfn)))
			check_frame(&a, _pfn(pfn), frame_at(_pfn(pfn)));
	frame_free(counts, order);
	*where = a.where;
	return a.wrong;
}

void range_audit(void)
{
	pfn_t where = INVALID_PFN;
	const char *wrong = range_audited(&where);

	if (wrong)
		test_fail(__FILE__, __LINE__, "pfn %#" PRI_pfn ": %s", pfn_x(where), wrong);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static uint64_t count_private(pfn_t table)
{
	const struct frame *frame = frame_at(table);
	unsigned int i, end = frame->level == 4 ? SLOT_XEN_FIRST : TABLE_ENTRIES;
	uint64_t count = 1;

	if (frame->owner == OWNER_DIRECT_MAP)
		return 0;
	for (i = 0; frame->level > 1 && i < end; i++)
		if (table_read(table, i) & PTE_P)
			count += count_private(table_below(table_read(table, i)));
	return count;
}

uint64_t range_tables(const struct aspace *as)
{
	return count_private(as->l4) - 1;
}
