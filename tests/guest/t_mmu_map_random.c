/* SPDX-License-Identifier: MIT */
/*
 * Random holds, releases, maps and unmaps against an oracle that knows no tables: only who holds what, and what is mapped. From that
 * it says which tables there must be, and so at which level each inspect ends and how many frames are out:
 *
 *     a table of level n is there  <=>  something in its span is held or mapped
 *
 * Places are few, so that they meet in all levels: two of each of L4 slots, GiBs, 2 MiB pieces and pages.
 */
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "mmu_map_kit.h"
#include "range_help.h"

#define PLACES 16
#define MAPS   8
#define NOBODY PLACES

static struct {
	unsigned int held[MAPS]; /* the place that each map holds, or NOBODY */
	bool mapped[PLACES];
	enum aspace_rights rights[PLACES];
} now;

static map_room rooms[MAPS];
static pfn_t frames[PLACES]; /* what place i maps, when it does */
static uint64_t base;	     /* free frames, the pool's among them, while there is no table */
static struct aspace as;
static struct rng rng;

static unsigned int pick(unsigned int n)
{
	return (unsigned int)rng_below(&rng, n);
}

static mmu_map_t map_at(unsigned int i)
{
	return (mmu_map_t)rooms[i];
}

static uint64_t va_of(unsigned int place)
{
	return KIT_VA + (place & 8 ? L4_SPAN : 0) + (place & 4 ? 511 * L3_SPAN : 0) +
	       (place & 2 ? L2_SPAN : 0) + (place & 1 ? 511 * PAGE_SIZE : 0);
}

static unsigned int holders(unsigned int place)
{
	unsigned int i, n = 0;

	for (i = 0; i < MAPS; i++)
		n += now.held[i] == place;
	return n;
}

/* Holders and mapped pages in the span of the table of @level behind a place. */
static unsigned int reasons(unsigned int place, unsigned int level)
{
	unsigned int first = place >> level << level, i, n = 0;

	for (i = first; i < first + (1U << level); i++)
		n += holders(i) + now.mapped[i];
	return n;
}

/* The level at which a walk to a place ends. */
static unsigned int bottom(unsigned int place)
{
	unsigned int level = 1;

	while (level < 4 && reasons(place, level) == 0)
		level++;
	return level;
}

static unsigned int tables(void)
{
	unsigned int place, level, n = 0;

	for (level = 1; level <= 3; level++)
		for (place = 0; place < PLACES; place += 1U << level)
			n += reasons(place, level) > 0;
	return n;
}

static uint64_t frames_now(void)
{
	return frame_alloc_free() + frame_alloc_reserve() + pool.in;
}

/* Holds that the frame table has for the table of @level behind a place; the map A shows it. */
static unsigned int holds_of(unsigned int level)
{
	const uint64_t *view = level == 1   ? mmu_map_pt(A)
			       : level == 2 ? mmu_map_pdt(A)
					    : mmu_map_pdpt(A);

	return frame_at(direct_va_pfn(view))->holds;
}

static unsigned int holders_in(unsigned int place, unsigned int level)
{
	unsigned int first = place >> level << level, i, n = 0;

	for (i = first; i < first + (1U << level); i++)
		n += holders(i);
	return n;
}

static const char *check_place(unsigned int place)
{
	unsigned int level;
	int rc = mmu_map_inspect_va(&as, A, va_of(place));

	if (rc != (int)bottom(place) || !kit_shows(A, rc))
		return "a walk ends at another level";
	for (level = (unsigned int)rc; level < 4; level++)
		if (holds_of(level) != holders_in(place, level))
			return "a table has another number of holds";
	return range_wrong(&as, va_of(place), frames[place],
			   now.mapped[place] ? (int)now.rights[place] : HOLE,
			   aspace_current() == &as);
}

static const char *check(void)
{
	unsigned int i, held = 0;
	const char *wrong = NULL;

	for (i = 0; i < MAPS; i++)
		held += now.held[i] != NOBODY;
	if (as.holds != held)
		return "the address space has another number of holds";
	if (frames_now() != base - tables())
		return "another number of frames is out";
	for (i = 0; i < PLACES && !wrong; i++)
		wrong = check_place(i);
	return wrong;
}

/* A hold or release by a random map; often one that must be refused. */
static const char *one_hold(void)
{
	unsigned int i = pick(MAPS), place = pick(PLACES), needs = bottom(place) - 1;
	int want, rc;

	if (pick(2)) {
		want = now.held[i] != NOBODY ? -EBUSY : pool.left < needs ? -ENOMEM : 0;
		rc = mmu_map_hold_va(&as, map_at(i), va_of(place));
		if (rc == 0)
			now.held[i] = place;
		return rc == want ? NULL : "a hold gives another result";
	}
	if (pick(4) && now.held[i] != NOBODY)
		place = now.held[i];
	want = now.held[i] == place ? 0 : -EINVAL;
	rc = mmu_map_release_va(&as, map_at(i), va_of(place));
	if (rc == 0)
		now.held[i] = NOBODY;
	return rc == want ? NULL : "a release gives another result";
}

/* A hold at the hypercall of which Xen refuses a frame that the pool gives. */
static const char *one_refused(void)
{
	struct aspace_range alias = { KIT_VA + 4 * L4_SPAN, 1, NULL };
	unsigned int i = pick(MAPS), place = pick(PLACES), needs = bottom(place) - 1;
	int rc;

	if (aspace_current() != &as || needs == 0 || now.held[i] != NOBODY)
		return NULL;
	rc = aspace_map(&kit_as, &alias, &pool.frame[pool.in - 1 - pick(needs)], ASPACE_RW);
	if (rc)
		return "an alias can't be mapped";
	if (mmu_map_hold_va(&as, map_at(i), va_of(place)) != -EINVAL)
		return "a frame with an alias is no obstacle";
	return aspace_unmap(&kit_as, &alias) ? "an alias can't be unmapped" : NULL;
}

static const char *one_section(void)
{
	unsigned int n = 1 + pick(8);
	const char *wrong = NULL;
	int end = pick(3) ? 0 : -ENOENT;
	typeof(now) before = now;

	mmu_batch_begin();
	while (n-- > 0 && !wrong)
		wrong = one_hold();
	if (mmu_batch_end(end) != end)
		return "a section gives another result";
	if (end)
		now = before;
	return wrong;
}

static const char *one_range(void)
{
	unsigned int place = pick(PLACES);
	struct aspace_range r = { va_of(place), 1, NULL };
	enum aspace_rights rights = (enum aspace_rights)pick(2);
	bool mapped = now.mapped[place];

	switch (pick(3)) {
	case 0:
		if (aspace_map(&as, &r, &frames[place], rights) != (mapped ? -EEXIST : 0))
			return "a map gives another result";
		now.mapped[place] = true;
		now.rights[place] = mapped ? now.rights[place] : rights;
		return NULL;
	case 1:
		now.mapped[place] = false;
		return aspace_unmap(&as, &r) ? "an unmap gives another result" : NULL;
	default:
		if (aspace_protect(&as, &r, rights) != (mapped ? 0 : -ENOENT))
			return "a protect gives another result";
		now.rights[place] = mapped ? rights : now.rights[place];
		return NULL;
	}
}

static const char *one(void)
{
	struct audit_report report;
	const char *wrong;

	/* Sections hold in turn what was released in them, so that the pool may need all that it has. */
	pool.left = pick(6) ? UINT32_MAX : pick(4);
	switch (pick(8)) {
	case 0:
		pool.left = UINT32_MAX;
		wrong = one_refused();
		break;
	case 1:
	case 2:
		pool.left = UINT32_MAX;
		wrong = one_section();
		break;
	case 3:
	case 4:
		wrong = one_hold();
		break;
	default:
		wrong = one_range();
	}
	if (!wrong)
		wrong = check();
	if (!wrong && pick(256) == 0 && mm_audit(boot_info(), &report))
		wrong = "the audit finds something";
	return wrong;
}

static const char *run(uint64_t ops, uint64_t *op)
{
	const char *wrong = NULL;
	struct aspace_range r = { 0, 1, NULL };
	unsigned int i;

	/* Offline for a tenth, then live to the end. */
	for (*op = 0; *op < ops && !wrong; ++*op) {
		if (*op == ops / 10 && aspace_activate(&as))
			return "the address space can't be activated";
		wrong = one();
	}
	pool.left = UINT32_MAX;
	for (i = 0; i < MAPS && !wrong; i++)
		if (now.held[i] != NOBODY && mmu_map_release_va(&as, map_at(i), va_of(now.held[i])))
			wrong = "a release in the end fails";
	for (i = 0; i < PLACES && !wrong; i++) {
		r.va = va_of(i);
		if (aspace_unmap(&as, &r))
			wrong = "an unmap in the end fails";
	}
	return wrong;
}

TEST(mmu_map, map_random, "random holds, releases, maps and unmaps do what an oracle says")
{
	uint64_t ops = boot_info()->options.ops ? boot_info()->options.ops : 5000, op = 0;
	uint64_t seed = boot_info()->options.seed;
	struct audit_report report;
	const char *wrong;
	unsigned int i;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(aspace_create(&as) == 0);
	for (i = 0; i < MAPS; i++)
		REQUIRE(mmu_map_t_init(map_at(i), &pool_backend) == 0);
	for (i = 0; i < PLACES; i++) {
		REQUIRE(frame_alloc(0, OWNER_TEST, &frames[i]) == 0);
		range_tag(frames[i], 1);
		now.mapped[i] = false;
	}
	for (i = 0; i < MAPS; i++)
		now.held[i] = NOBODY;
	base = frames_now();
	rng_seed(&rng, seed);
	test_note("seed=%lu ops=%lu", seed, ops);
	wrong = run(ops, &op);
	if (wrong)
		test_fail(__FILE__, __LINE__, "operation %lu of seed %lu: %s", op, seed, wrong);
	CHECK_EQ(frames_now(), base);
	CHECK_EQ(range_tables(&as), 0);
	CHECK_EQ(mm_audit(boot_info(), &report), 0);
	for (i = 0; i < MAPS; i++)
		CHECK_EQ(mmu_map_t_fini(map_at(i)), 0);
	CHECK_EQ(aspace_activate(&kit_as), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
	for (i = 0; i < PLACES; i++)
		frame_free(frames[i], 0);
	kit_end();
}
