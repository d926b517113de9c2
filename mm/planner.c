/* SPDX-License-Identifier: MIT */
/* The planner's figures; see <pinion/mm/planner.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/planner.h>

/* Instructions, guest and Xen, in full batches. */
static const struct {
	unsigned int share;		 /* link a table that is valid */
	unsigned int upper_rw, upper_nx; /* rights in an L2 entry */
	unsigned int make, leave;  /* an L1, empty: link it; unlink it, and make it writable */
	unsigned int link, unlink; /* for each entry in it */
	unsigned int fill;	   /* the stores, for each of its 512 entries */
	unsigned int map, unmap, rw, nx; /* an entry by request */
} cost = {
	.share = 1700, /* with the look at 512 frames */
	.upper_rw = 1572,
	.upper_nx = 843,
	.make = 11449,
	.leave = 10844,
	.link = 224,
	.unlink = 171,
	.fill = 12,
	.map = 620,
	.unmap = 500,
	.rw = 700,
	.nx = 400,
};

static enum planner_way forced = WAYS;
static struct planner_counters counters;

static uint64_t cost_upper(const struct planner_work *w)
{
	return w->upper_rw ? cost.upper_rw : cost.upper_nx;
}

uint64_t planner_cost(enum planner_way way, const struct planner_work *w)
{
	uint64_t fresh =
		cost.make + TABLE_ENTRIES * (uint64_t)cost.fill + (uint64_t)w->after * cost.link;

	switch (way) {
	case WAY_SHARE:
		return cost.share;
	case WAY_UPPER:
		return cost_upper(w);
	case WAY_OFFLINE:
		return fresh;
	case WAY_REBUILD:
		return fresh + cost.leave + (uint64_t)w->before * cost.unlink;
	default:
		return (uint64_t)w->map * cost.map + (uint64_t)w->unmap * cost.unmap +
		       (uint64_t)w->rw * cost.rw + (uint64_t)w->nx * cost.nx +
		       (w->upper_rw ? cost.upper_rw : 0);
	}
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
	for (least = planner_cost(best, work); left; left &= left - 1) {
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
