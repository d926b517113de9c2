/* SPDX-License-Identifier: MIT */
/* Between the files of the audit: audit.c frames and the whole, audit_tables.c tables, audit_early.c before phase 6. */
#ifndef PINION_MM_AUDIT_INTERNAL_H
#define PINION_MM_AUDIT_INTERNAL_H

#include <pinion/mm/audit.h>

/* What was seen of one frame. */
struct audit_note {
	uint32_t refs;	/* a table: entries that link it; data: executable leaves that count */
	uint8_t level;	/* a table: reached at this level; 0: not at all */
	uint8_t rights; /* NOTE_W, NOTE_X, over all ways to it */
	uint8_t direct; /* an L1 of the direct map */
};

#define NOTE_W 1
#define NOTE_X 2

struct audit {
	const struct boot_info *bi;
	struct audit_report *report;
	struct audit_note *notes; /* one for each frame of the frame table */
};

/* Notes a broken fact. */
void audit_broken(struct audit *a, enum audit_fact fact, pfn_t pfn, uint64_t expected,
		  uint64_t found);

/* Walks all tables: fills the notes, and checks what can be seen at an entry. */
void audit_tables(struct audit *a);

/* What there is before the frame table. */
void audit_early(struct audit *a);

#endif
