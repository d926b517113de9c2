/* SPDX-License-Identifier: MIT */
/* Offline tables, and the counts of all; see <pinion/mm/tables.h>. */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/tables.h>
#include "mmu_map_internal.h"

/* One more (@by 1) or less (-1) entry that links the table behind @entry. */
static void count_parent(uint64_t entry, int by)
{
	struct frame *lower = frame_at(table_below(entry));

	ASSERT(lower != NULL && lower->kind == FRAME_TABLE);
	ASSERT(by > 0 || lower->parents > 0);
	lower->parents = (uint16_t)(lower->parents + by);
}

uint64_t table_upper_changes = 1;

void table_count_upper(uint64_t old, uint64_t new)
{
	table_upper_changes++;
	if (new &PTE_P)
		count_parent(new, 1);
	if (old & PTE_P)
		count_parent(old, -1);
}

int table_begin(pfn_t pfn, unsigned int level, bool clear)
{
	struct frame *frame = frame_at(pfn);

	if (!frame || frame->kind != FRAME_DATA)
		return -EINVAL;
	if (!(frame->flags & FRAME_PLAIN) || direct_map_shared(pfn))
		return -EBUSY;
	if (clear)
		memset(table_entries(pfn), 0, PAGE_SIZE);
	*frame = (struct frame){
		.kind = FRAME_TABLE,
		.owner = frame->owner,
		.level = (uint8_t)level,
		.flags = FRAME_OFFLINE,
	};
	frame_count_plain(pfn_x(pfn), -1);
	return 0;
}

void table_forget(pfn_t pfn)
{
	struct frame *frame = frame_at(pfn);
	unsigned int i;

	ASSERT(frame->kind == FRAME_TABLE && (frame->flags & FRAME_OFFLINE));
	for (i = 0; frame->level > 1 && frame->live > 0 && i < TABLE_ENTRIES; i++)
		if ((table_read(pfn, i) & PTE_P) && !(frame->level == 4 && l4_slot_is_xens(i)))
			table_store(pfn, i, 0);
	*frame = (struct frame){
		.kind = FRAME_DATA,
		.owner = frame->owner,
		.flags = FRAME_PLAIN,
		.backend = frame->backend,
	};
	frame_count_plain(pfn_x(pfn), 1);
}

void table_release(pfn_t pfn)
{
	if (frame_at(pfn)->backend)
		backend_table_gone(pfn);
	else
		frame_free(pfn, 0);
}

bool table_is_kept(const struct frame *table)
{
	return table->holds || (table->backend && !backend_takes_back(table->backend));
}

void table_store(pfn_t table, unsigned int index, uint64_t value)
{
	struct frame *frame = frame_at(table);
	uint64_t *entry = &table_entries(table)[index];

	ASSERT(frame->kind == FRAME_TABLE && (frame->flags & FRAME_OFFLINE));
	table_count(frame, *entry, value);
	*entry = value;
}
