/* SPDX-License-Identifier: MIT */
/*
 * The oracle is a flat table of a window, in the middle of which a slot, a middle page and a leaf
 * end; and one word for all that lies on each side of it:
 *
 *     0         slot 1        |  slot 2              P2M_RANDOM_END
 *     |<----- below ----->[ window ]<------ above ------>|
 *
 * A range lies in the window, or it takes a whole side with it; so all levels split and join, and what
 * the tree must say, and with how many pages, can still be said in a few lines.
 */
#include <pinion/lib/errno.h>
#include "p2m_random.h"

#define WINDOW	 4096
#define FIRST	 (2 * P2M_SLOT_PFNS - WINDOW / 2)
#define LAST_END (FIRST + WINDOW)

static struct {
	uint64_t entry[WINDOW];
	enum p2m_kind below, above; /* missing or identity */
} flat;

/* Whether the allocator may run out in this operation. */
static bool limited;

static uint64_t flat_get(uint64_t pfn)
{
	enum p2m_kind side = pfn < FIRST ? flat.below : flat.above;

	if (pfn >= FIRST && pfn < LAST_END)
		return flat.entry[pfn - FIRST];
	return side == P2M_IDENTITY ? pfn | IDENTITY_FRAME_BIT : INVALID_P2M_ENTRY;
}

static void flat_set(uint64_t start, uint64_t end, enum p2m_kind kind, uint64_t entry)
{
	if (start < FIRST)
		flat.below = kind;
	if (end > LAST_END)
		flat.above = kind;
	for (uint64_t pfn = FIRST; pfn < LAST_END; pfn++)
		if (pfn >= start && pfn < end)
			flat.entry[pfn - FIRST] =
				kind == P2M_IDENTITY ? pfn | IDENTITY_FRAME_BIT : entry;
}

/* The kind of [first, first + nr) of the window if it is one that has shared pages, else P2M_RAM. */
static enum p2m_kind flat_kind(uint64_t first, uint64_t nr)
{
	enum p2m_kind kind = p2m_entry_kind(flat_get(first));

	for (uint64_t pfn = first; pfn < first + nr; pfn++)
		if (p2m_entry_kind(flat_get(pfn)) != kind)
			return P2M_RAM;
	return kind < P2M_SHAREABLE ? kind : P2M_RAM;
}

/* Pages of the tree beside those that it has when empty. */
static uint64_t flat_pages(void)
{
	uint64_t pages = 0;

	for (uint64_t pfn = FIRST; pfn < LAST_END; pfn += P2M_ENTRIES)
		pages += flat_kind(pfn, P2M_ENTRIES) == P2M_RAM;
	pages += flat_kind(FIRST, WINDOW / 2) != flat.below;
	pages += flat_kind(FIRST + WINDOW / 2, WINDOW / 2) != flat.above;
	return pages;
}

static uint64_t flat_max_pfn(void)
{
	uint64_t pfn = LAST_END;

	while (pfn > FIRST && p2m_entry_kind(flat_get(pfn - 1)) != P2M_RAM)
		pfn--;
	return pfn > FIRST ? pfn : 0;
}

static const char *compare(const struct p2m *tree, uint64_t offset, uint64_t step)
{
	static const uint64_t sides[] = {
		0,	   1,	     P2M_SLOT_PFNS - 1,	    P2M_SLOT_PFNS,     FIRST - P2M_ENTRIES,
		FIRST - 1, LAST_END, 3 * P2M_SLOT_PFNS - 1, 3 * P2M_SLOT_PFNS, P2M_RANDOM_END - 1
	};

	for (uint64_t pfn = FIRST + offset; pfn < LAST_END; pfn += step)
		if (p2m_get(tree, _pfn(pfn)) != flat_get(pfn))
			return "a pfn of the window is not what it should be";
	for (unsigned int i = 0; i < ARRAY_SIZE(sides); i++)
		if (p2m_get(tree, _pfn(sides[i])) != flat_get(sides[i]))
			return "a pfn beside the window is not what it should be";
	return NULL;
}

/* The walk over runs of RAM, from @pfn of the window on. */
static const char *compare_runs(const struct p2m *tree, uint64_t pfn)
{
	uint64_t next = pfn_x(p2m_ram_next(tree, _pfn(pfn)));

	while (pfn < LAST_END && p2m_entry_kind(flat_get(pfn)) != P2M_RAM)
		pfn++;
	if (pfn < LAST_END ? next != pfn : next < P2M_RANDOM_END)
		return "p2m_ram_next() is another pfn";
	next = pfn_x(p2m_ram_end(tree, _pfn(pfn)));
	while (pfn < LAST_END && p2m_entry_kind(flat_get(pfn)) == P2M_RAM)
		pfn++;
	return next == pfn ? NULL : "p2m_ram_end() is another pfn";
}

/* What p2m_move_leaf() must answer, memory allowing. */
static int flat_move(uint64_t from, uint64_t to)
{
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		if (p2m_entry_kind(flat_get(from + i)) == P2M_IDENTITY)
			return -EINVAL;
	return flat_kind(to, P2M_ENTRIES) == P2M_MISSING ? 0 : -EEXIST;
}

static const char *one_move(struct p2m *tree, struct rng *rng)
{
	uint64_t from = FIRST + rng_below(rng, WINDOW / P2M_ENTRIES) * P2M_ENTRIES;
	uint64_t to = FIRST + rng_below(rng, WINDOW / P2M_ENTRIES) * P2M_ENTRIES;
	int want = flat_move(from, to), rc = p2m_move_leaf(tree, _pfn(from), _pfn(to));

	if (rc == -ENOMEM && want == 0 && limited)
		return NULL;
	if (rc != want)
		return "p2m_move_leaf() gives another result";
	for (uint64_t i = 0; i < P2M_ENTRIES && rc == 0 && from != to; i++) {
		flat.entry[to + i - FIRST] = flat.entry[from + i - FIRST];
		flat.entry[from + i - FIRST] = INVALID_P2M_ENTRY;
	}
	return NULL;
}

/* A range: short, long, or with a side; often with an end where a leaf ends. */
static void pick_range(struct rng *rng, uint64_t *start, uint64_t *end)
{
	uint64_t most = rng_below(rng, 2) ? WINDOW : 600;

	*start = FIRST + rng_below(rng, WINDOW);
	if (rng_below(rng, 3) == 0)
		*start &= ~(P2M_ENTRIES - 1);
	*end = *start + rng_below(rng, most + 1);
	if (rng_below(rng, 3) == 0)
		*end = (*end + P2M_ENTRIES) & ~(P2M_ENTRIES - 1);
	if (*end > LAST_END)
		*end = LAST_END;
	if (rng_below(rng, 16) == 0)
		*start = 0;
	if (rng_below(rng, 16) == 0)
		*end = P2M_RANDOM_END;
}

static const char *one_change(struct p2m *tree, struct rng *rng)
{
	uint64_t start, end, mfn = rng_below(rng, P2M_MFN_END);
	enum p2m_kind kind;
	int rc;

	pick_range(rng, &start, &end);
	switch (rng_below(rng, 4)) {
	case 0:
		kind = P2M_IDENTITY;
		rc = p2m_set_identity_range(tree, _pfn(start), _pfn(end));
		break;
	case 1:
		kind = P2M_MISSING;
		mfn = INVALID_P2M_ENTRY;
		rc = p2m_clear_range(tree, _pfn(start), _pfn(end));
		break;
	default:
		start = FIRST + rng_below(rng, WINDOW);
		end = start + 1;
		kind = P2M_RAM;
		/* Its own number by chance is still no identity. */
		if (rng_below(rng, 4) == 0)
			mfn = start;
		if (rng_below(rng, 4)) {
			rc = p2m_set(tree, _pfn(start), _mfn(mfn));
			break;
		}
		rc = p2m_set_foreign(tree, _pfn(start), _mfn(mfn));
		mfn |= FOREIGN_FRAME_BIT;
	}
	if (rc == -ENOMEM && limited)
		return NULL;
	if (rc)
		return "a change gives another result";
	if (start < end)
		flat_set(start, end, kind, mfn);
	return NULL;
}

/* All that can be said of the tree after operation @at; @pages and @max_pfn are those of the beginning. */
static const char *check(const struct p2m *tree, struct rng *rng, uint64_t at, uint64_t pages,
			 uint64_t max_pfn)
{
	const char *wrong = compare(tree, at % 7, at % 16 ? 7 : 1);
	pfn_t where;

	if (wrong)
		return wrong;
	wrong = compare_runs(tree, FIRST + rng_below(rng, WINDOW));
	if (wrong)
		return wrong;
	if (tree->pages - pages != flat_pages())
		return "the tree has another number of pages";
	if (tree->max_pfn != (flat_max_pfn() > max_pfn ? flat_max_pfn() : max_pfn))
		return "max_pfn is another one";
	return at % 64 ? NULL : p2m_audit(tree, &where);
}

const char *p2m_random(struct p2m *tree, struct rng *rng, uint64_t ops, void (*limit)(uint64_t n),
		       uint64_t *at)
{
	uint64_t pages = tree->pages, max_pfn = tree->max_pfn;
	const char *wrong = NULL;
	pfn_t where;

	flat.below = flat.above = P2M_MISSING;
	flat_set(FIRST, LAST_END, P2M_MISSING, INVALID_P2M_ENTRY);
	for (*at = 0; *at < ops && !wrong; ++*at) {
		limited = rng_below(rng, 8) == 0;
		limit(limited ? rng_below(rng, 4) : UINT64_MAX);
		wrong = rng_below(rng, 12) ? one_change(tree, rng) : one_move(tree, rng);
		if (!wrong)
			wrong = check(tree, rng, *at, pages, max_pfn);
	}
	limit(UINT64_MAX);
	if (wrong)
		return wrong;
	if (p2m_clear_range(tree, _pfn(0), _pfn(P2M_RANDOM_END)))
		return "clearing all in the end fails";
	if (tree->pages != pages)
		return "pages are left in the end";
	return p2m_audit(tree, &where);
}
