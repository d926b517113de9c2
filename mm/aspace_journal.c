/* SPDX-License-Identifier: MIT */
/*
 * What the rights of a range were, for an undo: a list of runs, the latest first. Most ranges have few, and their
 * journal is on the stack; it needs memory only where rights change more often.
 *
 *     op->journal --> frame [ run ... ] --> frame [ run ... ] --> stack [ run ... ]
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/frame_alloc.h>
#include "aspace_range.h"

static uint64_t room_in(uint64_t bytes)
{
	return (bytes - sizeof(struct journal)) / sizeof(struct journal_run);
}

void range_journal_begin(struct range_op *op, void *first, uint64_t bytes)
{
	op->journal = first;
	*op->journal = (struct journal){ .room = room_in(bytes) };
}

int range_journal_note(struct range_op *op, uint64_t page, enum aspace_rights rights)
{
	struct journal *j = op->journal;
	pfn_t pfn;

	if (j->nr > 0 && j->run[j->nr - 1].rights == (uint64_t)rights)
		return 0;
	if (j->nr == j->room) {
		if (frame_alloc(0, OWNER_ASPACE, &pfn))
			return -ENOMEM;
		j = direct_va(pfn);
		*j = (struct journal){ .next = op->journal, .room = room_in(PAGE_SIZE) };
		op->journal = j;
	}
	j->run[j->nr++] = (struct journal_run){ page, (uint64_t)rights };
	return 0;
}

void range_journal_end(struct range_op *op)
{
	struct journal *j;

	while (op->journal->next) {
		j = op->journal;
		op->journal = j->next;
		frame_free(direct_va_pfn(j), 0);
	}
}
