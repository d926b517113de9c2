/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the audit and of the oracle play with: an address space with one page mapped, which has
 * every kind of table, all counts 1; and what the audit said of it.
 */
#ifndef PINION_TESTS_GUEST_AUDIT_PLAY_H
#define PINION_TESTS_GUEST_AUDIT_PLAY_H

#include <pinion/arch/pte.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/tables.h>
#include "suite.h"

#define PLAY_VA UINT64_C(0x0000200000000000)

struct play {
	struct aspace as;
	pfn_t data;	  /* mapped at PLAY_VA, read-write */
	pfn_t table[5];	  /* by level */
	struct frame *l1; /* the entry of table[1] */
};

extern struct play play;
extern struct audit_report play_report;

/* Makes it, and runs on it if @live. False: the test has failed. */
bool play_set_up(bool live);
void play_tear_down(void);

/* The audit must find so many facts broken; the one that it names; and that alone. */
void play_broken(uint64_t facts);
void play_named(enum audit_fact fact, pfn_t pfn, uint64_t expected, uint64_t found);
void play_only(enum audit_fact fact, pfn_t pfn, uint64_t expected, uint64_t found);

/* A leaf of the live tables, and an entry of a live upper one, past everything that counts. */
void play_raw_leaf(uint64_t va, uint64_t value);
void play_raw_entry(pfn_t table, unsigned int index, uint64_t value);

#endif
