/* SPDX-License-Identifier: MIT */
/*
 * What a hold builds (see <pinion/mm/mmu_map.h>): from the bottom up, in pages that Xen does not know yet, and linked last.
 *
 *     parent [ old ]                  old: nothing, or a table shared with the direct map
 *            [ new ] --> L2' --> L1'       the copies of shared ones have what those had
 *
 * The seed queued each link as it came, top down, into tables that were still in the queue themselves.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/p2m.h>
#include "mmu_map_internal.h"

unsigned int map_to_build(const struct piece *p)
{
	if (p->bottom > 1)
		return p->bottom == 2 && is_shared(p->table[2]) ? 2 : p->bottom - 1;
	if (is_shared(p->table[2]))
		return 2;
	return is_shared(p->table[1]) ? 1 : 0;
}

/* Frames for the levels from @first to @top, which do not ride in the section, go back. From the top down, as they are linked. */
static void unmake(const pfn_t *table, unsigned int first, unsigned int top)
{
	unsigned int level;

	for (level = top; level >= first; level--) {
		table_forget(table[level]);
		table_release(table[level]);
	}
}

static int take_frames(unsigned int number, unsigned int top, pfn_t *table)
{
	unsigned int level;
	int rc;

	for (level = 1; level <= top; level++) {
		rc = backend_table(number, level, &table[level]);
		if (rc) {
			unmake(table, 1, level - 1);
			return rc;
		}
	}
	return 0;
}

/* Offline tables, with what is there already, and linked with each other. */
static void fill(const struct range_op *op, const struct piece *p, unsigned int top,
		 const pfn_t *table)
{
	unsigned int level;

	if (p->bottom == 1)
		frame_at(table[1])->live = (uint16_t)range_leaves(op, p, table_entries(table[1]));
	if (top >= 2 && p->bottom <= 2)
		range_copy_l2(p, table[2]);
	for (level = 2; level <= top; level++)
		table_store(table[level], va_index(p->va, level),
			    pte_make(pfn_to_mfn(table[level - 1]), PTE_LINK));
}

int map_build(const struct range_op *op, unsigned int number, struct piece *p, unsigned int top)
{
	unsigned int level, index = va_index(p->va, top + 1);
	pfn_t table[LEVELS];
	uint64_t link;
	int rc;

	ASSERT(top > 0);
	rc = take_frames(number, top, table);
	if (rc)
		return rc;
	fill(op, p, top, table);
	for (level = 1; level <= top && !op->offline; level++) {
		rc = mmu_batch_make_table(table[level], table_release);
		if (rc) {
			unmake(table, level, top);
			return rc;
		}
	}
	link = pte_make(pfn_to_mfn(table[top]), PTE_LINK);
	if (op->offline)
		table_store(p->table[top + 1], index, link);
	else
		rc = mmu_batch_set(p->table[top + 1], index, link, 0);
	for (level = 1; level <= top; level++)
		p->table[level] = table[level];
	p->bottom = 1;
	return rc;
}
