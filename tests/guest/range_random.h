/* SPDX-License-Identifier: MIT */
/*
 * What address spaces should map, as flat as can be: for each of them a window of pages, for each page a frame of
 * a pool and its rights. Operations are drawn, the model says what they may return, and follows them.
 */
#ifndef PINION_TESTS_GUEST_RANGE_RANDOM_H
#define PINION_TESTS_GUEST_RANGE_RANDOM_H

#include <pinion/lib/rand.h>
#include "range_help.h"

#define SPACES	   4 /* the last is the kernel's */
#define WINDOW	   (8 * PIECE)
#define POOL_ORDER 12
#define POOL	   (1U << POOL_ORDER)

/* A page of a window. */
struct model_page {
	uint16_t frame; /* of the pool */
	uint16_t rights;
};

struct model_space {
	struct aspace own;
	struct aspace *as;
	uint64_t va; /* of the window: in its middle an L4's slot ends, or in the arena an L3's */
	struct model_page *pages;
};

/* One operation that is drawn: which pages of which space, and how they shall be. */
struct model_op {
	enum model_kind { MODEL_MAP, MODEL_BLOCK, MODEL_UNMAP, MODEL_PROTECT } kind;
	struct model_space *space;
	unsigned int first, nr;
	bool picked; /* by the bitmap */
	enum aspace_rights rights;
	unsigned int frame; /* MODEL_BLOCK: the first one's number in the pool */
	bool limited;	    /* memory may run out */
	int poisoned;	    /* Xen will refuse this frame of the pool to be written; -1: none */
	uint64_t pick[WINDOW / 64];
	pfn_t pfns[WINDOW];
};

struct model {
	struct model_space space[SPACES];
	pfn_t pool, pages; /* the latter for the windows' tables */
	struct model_op op;
	/* How the operations ended. */
	unsigned int done, exist, noent, busy, nomem, refused;
};

/* Whether an operation takes page i of its range. */
static inline bool model_takes(const struct model_op *op, unsigned int i)
{
	return !op->picked || (op->pick[i / 64] >> i % 64 & 1);
}

/* The frame that page i of its range shall have. */
static inline unsigned int model_frame(const struct model *m, unsigned int i)
{
	if (m->op.kind == MODEL_BLOCK)
		return m->op.frame + i;
	return (unsigned int)(pfn_x(m->op.pfns[i]) - pfn_x(m->pool));
}

/* Draws the next operation, of which no frame will be writable and executable at once. */
void model_draw(struct model *m, struct rng *rng);

/* Carries it out. Returns NULL, or what is wrong with its result; the model has followed it. */
const char *model_do(struct model *m);

/* Compares a window with what it should be: every @step-th page from @from on, by accesses too where they are
 * possible. Returns NULL, or what is wrong with page *@at. */
const char *model_compare(const struct model *m, const struct model_space *space, unsigned int from,
			  unsigned int step, unsigned int *at);

#endif
