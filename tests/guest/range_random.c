/* SPDX-License-Identifier: MIT */
/* The model of what address spaces map, and its operations; see range_random.h. */
#include "range_random.h"
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>

static struct model_page *page_at(const struct model_op *op, unsigned int i)
{
	return &op->space->pages[op->first + i];
}

#define ANY 4

/* How often each frame of the pool is mapped with @rights, or with ANY, without the pages that @but takes. */
static void count(const struct model *m, uint16_t *counts, unsigned int rights,
		  const struct model_op *but)
{
	const struct model_space *space;
	unsigned int s, i;

	memset(counts, 0, POOL * sizeof(*counts));
	for (s = 0; s < SPACES; s++) {
		space = &m->space[s];
		for (i = 0; i < WINDOW; i++) {
			if (space->pages[i].rights != rights &&
			    (rights != ANY || space->pages[i].rights == HOLE))
				continue;
			if (but && but->space == space && i >= but->first &&
			    i < but->first + but->nr && model_takes(but, i - but->first))
				continue;
			counts[space->pages[i].frame]++;
		}
	}
}

static uint16_t counts[POOL];

/* Executable frames must not be writable anywhere else: that is the caller's to see to. */
static bool would_be_both(const struct model *m)
{
	const struct model_op *op = &m->op;
	unsigned int i;

	if (op->kind == MODEL_UNMAP || op->rights != ASPACE_RX)
		return false;
	count(m, counts, ASPACE_RW, op->kind == MODEL_PROTECT ? op : NULL);
	for (i = 0; i < op->nr; i++) {
		if (!model_takes(op, i))
			continue;
		if (op->kind == MODEL_PROTECT && page_at(op, i)->rights == HOLE)
			continue;
		if (counts[op->kind == MODEL_PROTECT ? page_at(op, i)->frame : model_frame(m, i)])
			return true;
	}
	return false;
}

/* One page, few, many, whole pieces; anywhere in the window. */
static void draw_pages(struct model_op *op, struct rng *rng)
{
	static const unsigned int most[] = { 1, 40, 600, WINDOW };
	unsigned int i;

	op->nr = 1 + (unsigned int)rng_below(rng, most[rng_below(rng, 4)]);
	op->first = (unsigned int)rng_below(rng, WINDOW - op->nr + 1);
	if (rng_below(rng, 3) == 0) {
		op->first &= ~(PIECE - 1U);
		op->nr = PIECE * (1 + (unsigned int)rng_below(rng, 2));
		if (op->first + op->nr > WINDOW)
			op->nr = WINDOW - op->first;
	}
	op->picked = rng_below(rng, 4) == 0;
	for (i = 0; op->picked && i < ARRAY_SIZE(op->pick); i++)
		op->pick[i] = rng_next(rng) | (rng_below(rng, 2) ? rng_next(rng) : 0);
}

/* Mostly the bitmap leaves out what the operation would fail at. */
static void draw_fit(struct model_op *op)
{
	bool hole = op->kind <= MODEL_BLOCK;
	unsigned int i, unfit = 0;

	for (i = 0; i < op->nr; i++) {
		if ((page_at(op, i)->rights == HOLE) == hole)
			continue;
		unfit++;
		if (!op->picked)
			memset(op->pick, 0xff, sizeof(op->pick));
		op->picked = true;
		op->pick[i / 64] &= ~(UINT64_C(1) << i % 64);
	}
	/* Nothing of it fits: then let it fail, whole. */
	if (unfit == op->nr)
		op->picked = false;
}

/* An odd step through the pool: each frame once, and never an aligned run. */
static void draw_list(struct model *m, struct rng *rng)
{
	unsigned int frame = (unsigned int)rng_below(rng, POOL), step, i;

	step = 3 + 2 * (unsigned int)rng_below(rng, POOL / 2 - 2);
	for (i = 0; i < m->op.nr; i++, frame = (frame + step) % POOL)
		m->op.pfns[i] = pfn_add(m->pool, frame);
}

/* A frame of the list that nobody maps, and whose block nobody shares. Offline nobody asks Xen. */
static void draw_poison(struct model *m, struct rng *rng)
{
	struct model_op *op = &m->op;
	unsigned int i, tries;

	if (op->kind != MODEL_MAP || op->rights != ASPACE_RW ||
	    (frame_at(op->space->as->l4)->flags & FRAME_OFFLINE))
		return;
	count(m, counts, ANY, NULL);
	for (tries = 0; tries < 20 && op->poisoned < 0; tries++) {
		i = (unsigned int)rng_below(rng, op->nr);
		if (model_takes(op, i) && !direct_map_shared(op->pfns[i]) &&
		    !frame_at(op->pfns[i])->execs && !counts[model_frame(m, i)])
			op->poisoned = (int)model_frame(m, i);
	}
}

void model_draw(struct model *m, struct rng *rng)
{
	struct model_op *op = &m->op;
	unsigned int r = (unsigned int)rng_below(rng, 16);

	op->kind = r < 4 ? MODEL_MAP : r < 7 ? MODEL_BLOCK : r < 11 ? MODEL_PROTECT : MODEL_UNMAP;
	op->space = &m->space[rng_below(rng, SPACES)];
	draw_pages(op, rng);
	/* Much is unmapped at once, so that there are frames that nobody maps. */
	if (op->kind == MODEL_UNMAP && rng_below(rng, 4) == 0) {
		op->first = 0;
		op->nr = WINDOW;
	}
	op->rights = (enum aspace_rights)rng_below(rng, 3);
	op->frame = (unsigned int)rng_below(rng, POOL - op->nr + 1);
	if (rng_below(rng, 2) && (op->frame & ~(PIECE - 1U)) + op->nr <= POOL)
		op->frame = (op->frame & ~(PIECE - 1U)) + op->first % PIECE;
	if (op->frame + op->nr > POOL)
		op->frame = POOL - op->nr;
	draw_list(m, rng);
	if (op->kind != MODEL_UNMAP && rng_below(rng, 4))
		draw_fit(op);
	if (would_be_both(m))
		op->rights = ASPACE_R;
	op->limited = rng_below(rng, 8) == 0;
	op->poisoned = -1;
	if (rng_below(rng, 2) == 0)
		draw_poison(m, rng);
}

/* What an operation may return: errors as bits of what applies, and whether success is out of the question. */
struct expected {
	bool exist, noent, busy;
	bool must_fail;
};

static void expect_map(const struct model *m, struct expected *e)
{
	const struct model_op *op = &m->op;
	unsigned int i;
	pfn_t pfn;

	for (i = 0; i < op->nr; i++) {
		if (!model_takes(op, i))
			continue;
		pfn = pfn_add(m->pool, model_frame(m, i));
		e->exist |= page_at(op, i)->rights != HOLE;
		e->busy |= op->rights == ASPACE_RW && frame_at(pfn)->execs > 0;
		e->busy |= op->rights == ASPACE_RX && direct_map_shared(pfn);
		e->must_fail |= (int)model_frame(m, i) == op->poisoned;
	}
	e->must_fail |= e->exist || e->busy;
}

/*
 * Executable leaves that an upper entry narrows count as well, of which the model knows nothing: these may fail. So may a
 * frame that is executable elsewhere in the same range: that depends on which page's turn is first.
 */
static void expect_protect(const struct model *m, struct expected *e)
{
	const struct model_op *op = &m->op;
	const struct model_page *page;
	unsigned int i;
	pfn_t pfn;

	count(m, counts, ASPACE_RX, op);
	for (i = 0; i < op->nr; i++) {
		page = page_at(op, i);
		if (!model_takes(op, i))
			continue;
		e->noent |= page->rights == HOLE;
		if (page->rights == HOLE)
			continue;
		pfn = pfn_add(m->pool, page->frame);
		e->busy |= op->rights == ASPACE_RW && frame_at(pfn)->execs > 0;
		e->busy |= op->rights == ASPACE_RX && direct_map_shared(pfn);
		e->must_fail |= op->rights == ASPACE_RW && counts[page->frame] > 0;
	}
	e->must_fail |= e->noent;
}

static int carry_out(struct model *m)
{
	struct model_op *op = &m->op;
	struct aspace_range r = { op->space->va + op->first * PAGE_SIZE, op->nr,
				  op->picked ? op->pick : NULL };

	switch (op->kind) {
	case MODEL_MAP:
		return aspace_map(op->space->as, &r, op->pfns, op->rights);
	case MODEL_BLOCK:
		return aspace_map_block(op->space->as, &r, pfn_add(m->pool, op->frame), op->rights);
	case MODEL_PROTECT:
		return aspace_protect(op->space->as, &r, op->rights);
	default:
		return aspace_unmap(op->space->as, &r);
	}
}

static void tally(struct model *m, int rc, bool refused)
{
	m->done += rc == 0;
	m->exist += rc == -EEXIST;
	m->noent += rc == -ENOENT;
	m->nomem += rc == -ENOMEM;
	m->refused += rc && refused;
	m->busy += rc == -EBUSY && !refused;
}

static const char *judge(const struct model_op *op, const struct expected *e, int rc)
{
	if (op->space->as->broken || rc == -EIO)
		return "the address space is broken";
	if (rc == 0)
		return e->must_fail ? "it succeeds, and must not" : NULL;
	if ((rc == -EEXIST && e->exist) || (rc == -ENOENT && e->noent) ||
	    (rc == -EBUSY && e->busy) || (rc == -ENOMEM && op->limited) || op->poisoned >= 0)
		return NULL;
	return "it fails as it must not";
}

static void follow(struct model *m)
{
	const struct model_op *op = &m->op;
	struct model_page *page;
	unsigned int i;

	for (i = 0; i < op->nr; i++) {
		page = page_at(op, i);
		if (!model_takes(op, i) || page->rights == HOLE) {
			if (!model_takes(op, i) || op->kind > MODEL_BLOCK)
				continue;
		}
		if (op->kind <= MODEL_BLOCK)
			page->frame = (uint16_t)model_frame(m, i);
		page->rights = op->kind == MODEL_UNMAP ? HOLE : (uint16_t)op->rights;
	}
}

const char *model_do(struct model *m)
{
	struct expected e = { .exist = false };
	struct model_op *op = &m->op;
	pfn_t bad = INVALID_PFN;
	const char *wrong;
	int rc;

	if (op->kind <= MODEL_BLOCK)
		expect_map(m, &e);
	else if (op->kind == MODEL_PROTECT)
		expect_protect(m, &e);
	if (op->poisoned >= 0) {
		bad = pfn_add(m->pool, (uint64_t)op->poisoned);
		range_poison(bad);
	}
	if (op->limited)
		range_hog((op->first * 7 + op->nr) % 13);
	rc = carry_out(m);
	if (op->limited)
		range_unhog();
	if (op->poisoned >= 0)
		range_cure(bad);
	wrong = judge(op, &e, rc);
	if (wrong)
		test_note("%s", errno_name(rc));
	tally(m, rc, op->poisoned >= 0 && !e.exist && !e.busy && rc != -ENOMEM);
	if (rc == 0)
		follow(m);
	return wrong;
}

const char *model_compare(const struct model *m, const struct model_space *space, unsigned int from,
			  unsigned int step, unsigned int *at)
{
	bool reach = space->as == aspace_current() || space->va >= VMAP_BASE;
	const struct model_page *page;
	const char *wrong;

	for (*at = from; *at < WINDOW; *at += step) {
		page = &space->pages[*at];
		wrong = range_wrong(space->as, space->va + *at * PAGE_SIZE,
				    pfn_add(m->pool, page->frame), page->rights, reach);
		if (wrong)
			return wrong;
	}
	return NULL;
}
