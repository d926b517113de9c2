/* SPDX-License-Identifier: MIT */
/* Between check.c and check_tables.c. */
#ifndef PINION_TESTS_MODEL_CHECK_H
#define PINION_TESTS_MODEL_CHECK_H

#include "internal.h"

/* A check under way: who wants to hear what is wrong (may be NULL), and how much was. */
struct check {
	struct model *m;
	void (*say)(const char *line);
	unsigned int broken;
};

/* One more invariant is broken. */
void check_broken(struct check *c, const char *fmt, ...) __printf(2, 3);

static inline bool check_is_table(const struct model_frame *f)
{
	return f->type >= MODEL_L1 && f->type <= MODEL_L4;
}

/* Looks at the entries of the table @mfn, and counts what they refer to in `seen`. => it is in use */
void check_table(struct check *c, mfn_t mfn);

#endif
