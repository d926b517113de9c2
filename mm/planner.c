/* SPDX-License-Identifier: MIT */
/* The planner's figures; see <pinion/mm/planner.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/planner.h>

/*
 * Instructions, guest and Xen, in full batches (`make bench`, plan_*). A rebuilt table costs less an entry than a new
 * one: its frames have references of the old one when Xen counts the new.
 */
static const struct {
	unsigned int share;		 /* link a table that is valid */
	unsigned int upper_rw, upper_nx; /* rights in an L2 entry */
	unsigned int make;		 /* an L1, empty: link it */
	unsigned int fill,
		link; /* its entries: stores, each of 512; and Xen's part, each present one */
	unsigned int rebuild;		  /* a copy of an L1, empty, in its place */
	unsigned int kept, kept_ro;	  /* each present entry of the copy */
	unsigned int dropped, dropped_ro; /* and of the old one */
	unsigned int map, unmap, rw, nx;  /* an entry by request */
} cost = {
	.share = 1500,
	.upper_rw = 1572,
	.upper_nx = 843,
	.make = 11449,
	.fill = 12,
	.link = 224,
	.rebuild = 65000,
	.kept = 179,
	.kept_ro = 136,
	.dropped = 124,
	.dropped_ro = 74,
	.map = 616,
	.unmap = 487,
	.rw = 706,
	.nx = 415,
};

static enum planner_way forced = WAYS;
static struct planner_counters counters;

static uint64_t cost_upper(const struct planner_work *w)
{
	return w->upper_rw ? cost.upper_rw : cost.upper_nx;
}

static uint64_t cost_rebuild(const struct planner_work *w)
{
	return cost.rebuild + (uint64_t)(w->after - w->after_ro) * cost.kept +
	       (uint64_t)w->after_ro * cost.kept_ro +
	       (uint64_t)(w->before - w->before_ro) * cost.dropped +
	       (uint64_t)w->before_ro * cost.dropped_ro;
}

uint64_t planner_cost(enum planner_way way, const struct planner_work *w)
{
	uint64_t made = cost.make + TABLE_ENTRIES * (uint64_t)cost.fill;

	switch (way) {
	case WAY_SHARE:
		return cost.share;
	case WAY_UPPER:
		return cost_upper(w);
	case WAY_OFFLINE:
		return made + (uint64_t)w->after * cost.link;
	case WAY_REBUILD:
		return cost_rebuild(w);
	default:
		return (uint64_t)w->map * cost.map + (uint64_t)w->unmap * cost.unmap +
		       (uint64_t)w->rw * cost.rw + (uint64_t)w->nx * cost.nx +
		       (w->upper_rw ? cost.upper_rw : 0) + (w->fresh ? made : 0);
	}
}

/* Nothing that touches so many entries, or makes a table, can cost less. */
static uint64_t cost_least(const struct planner_work *w)
{
	uint64_t entries = (uint64_t)(w->map + w->unmap + w->rw + w->nx) * cost.nx;

	return entries < cost.make ? entries : cost.make;
}

enum planner_way planner_best(const struct planner_work *work)
{
	unsigned int left = work->possible;
	enum planner_way best, way;
	uint64_t least, figure;

	ASSERT(left != 0);
	if (forced < WAYS && (left & 1U << forced))
		return forced;
	best = (enum planner_way)__builtin_ctz(left);
	left &= left - 1;
	if (!left)
		return best;
	least = planner_cost(best, work);
	if (least <= cost_least(work))
		return best;
	for (; left; left &= left - 1) {
		way = (enum planner_way)__builtin_ctz(left);
		figure = planner_cost(way, work);
		if (figure < least) {
			best = way;
			least = figure;
		}
	}
	return best;
}

void planner_take(enum planner_way way)
{
	counters.taken[way]++;
}

enum planner_way planner_choose(const struct planner_work *work)
{
	enum planner_way way = planner_best(work);

	planner_take(way);
	return way;
}

struct planner_counters planner_counters(void)
{
	return counters;
}

enum planner_way planner_force(enum planner_way way)
{
	enum planner_way old = forced;

	forced = way;
	return old;
}

const char *planner_name(enum planner_way way)
{
	static const char *const names[] = { "share", "upper", "offline", "rebuild", "entries" };

	return way < ARRAY_SIZE(names) ? names[way] : "none";
}
