/* SPDX-License-Identifier: MIT */
/*
 * The audit in the middle of a test, and what it leaves open, for there are tests to which it is no fault: that an
 * address space is live as a whole or not at all, that no empty table is left linked in it, and that nothing is in quarantine.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/printf.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/tables.h>
#include "range_help.h"

static char text[128];

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static uint64_t visit(pfn_t table, bool offline, const char **wrong)
{
	const struct frame *frame = frame_at(table);
	unsigned int i, end = frame->level == 4 ? SLOT_XEN_FIRST : TABLE_ENTRIES;
	uint64_t count = 1;

	if (frame->owner == OWNER_DIRECT_MAP)
		return 0;
	if (offline != !!(frame->flags & FRAME_OFFLINE))
		*wrong = "a live table in an offline tree, or the other way round";
	if (frame->level < 4 && frame->live == 0 && frame->holds == 0)
		*wrong = "an empty table is still linked";
	for (i = 0; frame->level > 1 && i < end; i++)
		if (table_read(table, i) & PTE_P)
			count += visit(table_below(table_read(table, i)), offline, wrong);
	return count;
}

uint64_t range_tables(const struct aspace *as)
{
	const char *wrong = NULL;

	return visit(as->l4, false, &wrong) - 1;
}

const char *range_audited(void)
{
	const char *wrong = NULL;
	struct audit_report report;
	const struct aspace *as;
	uint64_t i;

	for (as = aspace_first(); as; as = as->next)
		visit(as->l4, frame_at(as->l4)->flags & FRAME_OFFLINE, &wrong);
	for (i = 0; i < frame_table_nr; i++)
		if (frame_table[i].owner == OWNER_QUARANTINE)
			wrong = "a frame is in quarantine";
	if (!mm_audit(boot_info(), &report))
		return wrong;
	audit_describe(&report.first[0], text, sizeof(text));
	return text;
}

void range_audit(void)
{
	const char *wrong = range_audited();

	if (wrong)
		test_fail(__FILE__, __LINE__, "%s", wrong);
}
