/* SPDX-License-Identifier: MIT */
/* Between the files of the suite: selection, needs, leaks, audit. Tests include suite.h alone. */
#ifndef PINION_TESTS_GUEST_INTERNAL_H
#define PINION_TESTS_GUEST_INTERNAL_H

#include "suite.h"

/*
 * Whether tests=@spec (NULL: none given) selects @test. @spec is a comma-separated list of terms:
 * a glob over names, @group, and either with a leading '-' to leave out. Without a term that takes in,
 * all are in. With option bench only benchmarks are, without it none. A manual test is in only by its exact name.
 */
bool select_match(const struct guest_test *test, const char *spec);

/*
 * What of test->needs is not met. Returns 0 with @why empty if all is; 1 with the reason in @why; -EINVAL if the
 * needs themselves make no sense.
 */
int needs_unmet(const struct guest_test *test, char *why, size_t n);

/* What is counted: each must be after a test what it was before. */
enum leak_count {
	LEAK_PMAP,	 /* slots of the window in use, a bit each */
	LEAK_DEPTH,	 /* sections of the batch that are open */
	LEAK_SYNC,	 /* its sync mode */
	LEAK_POISON,	 /* the allocator's */
	LEAK_QUARANTINE, /* frames in it */
	LEAK_ASPACES,
	LEAK_CURRENT, /* the address space that is run on, as a number */
	LEAK_TABLES,
	LEAK_PINNED,
	LEAK_HOLDS, /* of tables, by mmu_map */
	LEAK_EXECS, /* executable leaves */
	LEAK_COUNTS
};

/* What a test must leave as it was. */
struct leak_state {
	uint64_t count[LEAK_COUNTS];
	long reservation; /* frames that Xen counts as ours */
	uint64_t frames;  /* free ones, the reserve among them */
	uint64_t p2m_pages;
	unsigned int ports;    /* open event channels */
	unsigned int areas;    /* of the vmap arena */
	unsigned int mapped;   /* pages of the kernel's that can be read */
	unsigned int handlers; /* trap handlers set */
	bool masked;	       /* upcalls */
	unsigned long lost;    /* console bytes, and impossible ring indices */
};

void leak_read(struct leak_state *state);

/* Compares. Returns true, with what differs in @what, if something was left behind. */
bool leak_found(const struct leak_state *before, const struct leak_state *after, char *what,
		size_t n);

/* Puts right what can be, so that the next test is not blamed. */
void leak_mend(const struct leak_state *before);

/* Takes the audit's memory, before the first test of the main phase looks at what is free. */
void audit_init(void);

/*
 * Runs mm_audit(), prints what it finds, and says in @what how much, unless all of it had been found before: a
 * test is not blamed for what an earlier one broke. Returns whether it is.
 */
bool audit_found(const char *test, char *what, size_t n);

/*
 * As oracle= says: asks Xen for a few frames after a test, for all after the @last. Prints what is wrong, says in @what
 * how much. Returns whether anything is.
 */
bool oracle_found(const char *test, bool last, char *what, size_t n);

/* Whether the audit is quick enough here to run after each test, and not just after each group. */
bool audit_each(void);

#endif
