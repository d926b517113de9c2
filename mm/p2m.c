/* SPDX-License-Identifier: MIT */
/*
 * The tree and all that changes it; its form and its rules are in <pinion/mm/p2m.h>.
 *
 * Every setter is one `struct change`: a range of pfns and what they become. A change goes in two
 * steps. p2m_change() first finds how many pages it takes and gets them all: only the two ends of a
 * range can lie inside a shared page and split it, so that is
 *
 *       slot     |           mid_missing           |    |
 *                          [start ........... end)
 *       leaves   |     |     |     |     |     |   |
 *                        ^^^^                ^         the two leaves that are cut, and
 *                                                      the middle pages of the two slots that are
 *
 * and never more, however long the range is. Then the change is carried out slot by slot and leaf by
 * leaf, and can't fail any more.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include "p2m_internal.h"

/* Two leaves, two middle pages, two lists. */
#define STOCK_MAX 6

struct p2m kernel_p2m;

/* A pfn of [start, end) becomes: */
struct change {
	uint64_t start, end; /* not empty, inside the tree; one pfn if the kind isn't shareable */
	enum p2m_kind kind;
	uint64_t entry; /* of RAM or foreign */
	/* Pages taken and not yet used */
	pfn_t stock[STOCK_MAX];
	unsigned int stocked;
};

static uint64_t change_entry(const struct change *c, uint64_t pfn)
{
	switch (c->kind) {
	case P2M_MISSING:
		return INVALID_P2M_ENTRY;
	case P2M_IDENTITY:
		return pfn | IDENTITY_FRAME_BIT;
	default:
		return c->entry;
	}
}

/* Whether all pfns from @first on, @nr of them, are in the range. */
static bool covered(const struct change *c, uint64_t first, uint64_t nr)
{
	return c->start <= first && first + nr <= c->end;
}

/* The shared pages of a kind, NULL if it has none. */
static uint64_t *shared_leaf(const struct p2m *p2m, enum p2m_kind kind)
{
	return kind < P2M_SHAREABLE ? p2m->shared_leaf[kind] : NULL;
}

static uint64_t **shared_mid(const struct p2m *p2m, enum p2m_kind kind)
{
	return kind < P2M_SHAREABLE ? p2m->shared_mid[kind] : NULL;
}

/* Gives @pages back, the last taken first. */
static void give_back(struct p2m *p2m, const pfn_t *pages, unsigned int nr)
{
	while (nr > 0)
		p2m->source.free(p2m->source.ctx, pages[--nr]);
}

/* Takes @nr pages: all, or -ENOMEM and none. */
static int take(struct p2m *p2m, pfn_t *pages, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		pages[i] = p2m->source.alloc(p2m->source.ctx);
		if (pfn_eq(pages[i], INVALID_PFN)) {
			give_back(p2m, pages, i);
			return -ENOMEM;
		}
	}
	return 0;
}

/* A page of the tree is no longer part of it. */
static void drop(struct p2m *p2m, const void *page)
{
	p2m->pages--;
	p2m->source.free(p2m->source.ctx, p2m_page_pfn(p2m, page));
}

static pfn_t unstock(struct change *c)
{
	ASSERT(c->stocked > 0);
	return c->stock[--c->stocked];
}

static void fill_leaf(uint64_t *leaf, uint64_t value)
{
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		leaf[i] = value;
}

static void fill_mid(uint64_t **mid, uint64_t *leaf)
{
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		mid[i] = leaf;
}

int p2m_init(struct p2m *p2m, const struct p2m_source *source, uintptr_t base)
{
	pfn_t page[1 + 2 * P2M_SHAREABLE];

	*p2m = (struct p2m){ .base = base, .source = *source };
	if (take(p2m, page, ARRAY_SIZE(page)))
		return -ENOMEM;
	p2m->pages = ARRAY_SIZE(page);
	for (size_t kind = 0; kind < P2M_SHAREABLE; kind++) {
		p2m->shared_leaf[kind] = p2m_page(p2m, page[2 * kind]);
		p2m->shared_mid[kind] = p2m_page(p2m, page[2 * kind + 1]);
		fill_leaf(p2m->shared_leaf[kind], INVALID_P2M_ENTRY);
		fill_mid(p2m->shared_mid[kind], p2m->shared_leaf[kind]);
	}
	p2m->top = p2m_page(p2m, page[ARRAY_SIZE(page) - 1]);
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++)
		p2m->top[slot] = p2m->shared_mid[P2M_MISSING];
	return 0;
}

static void drop_mid(struct p2m *p2m, uint64_t **mid)
{
	if (p2m_mid_is_shared(p2m, mid))
		return;
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		if (!p2m_leaf_is_shared(p2m, mid[i]))
			drop(p2m, mid[i]);
	drop(p2m, mid);
}

void p2m_fini(struct p2m *p2m)
{
	p2m_unpublish(p2m);
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++)
		drop_mid(p2m, p2m->top[slot]);
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++) {
		drop(p2m, p2m->shared_mid[kind]);
		drop(p2m, p2m->shared_leaf[kind]);
	}
	drop(p2m, p2m->top);
	ASSERT(p2m->pages == 0);
	*p2m = (struct p2m){ 0 };
}

void p2m_set_source(struct p2m *p2m, const struct p2m_source *source)
{
	p2m->source = *source;
}

int p2m_graft(struct p2m *p2m, pfn_t list, uint64_t nr_pages, pfn_t *bad)
{
	uint64_t *entries = p2m_page(p2m, list), pfn, slot;

	if (nr_pages > P2M_PFNS) {
		*bad = _pfn(P2M_PFNS);
		return -EINVAL;
	}
	for (pfn = 0; pfn < nr_pages; pfn++) {
		if (entries[pfn] < P2M_MFN_END || entries[pfn] == INVALID_P2M_ENTRY)
			continue;
		*bad = _pfn(pfn);
		return -EINVAL;
	}
	for (slot = 0; slot * P2M_SLOT_PFNS < nr_pages; slot++) {
		pfn_t page;

		ASSERT(p2m->top[slot] == p2m->shared_mid[P2M_MISSING]);
		if (take(p2m, &page, 1)) {
			while (slot-- > 0) {
				drop(p2m, p2m->top[slot]);
				p2m->top[slot] = p2m->shared_mid[P2M_MISSING];
			}
			return -ENOMEM;
		}
		p2m->pages++;
		p2m->top[slot] = p2m_page(p2m, page);
		fill_mid(p2m->top[slot], p2m->shared_leaf[P2M_MISSING]);
	}
	for (pfn = nr_pages; pfn % P2M_ENTRIES; pfn++)
		entries[pfn] = INVALID_P2M_ENTRY;
	for (pfn = 0; pfn < nr_pages; pfn += P2M_ENTRIES) {
		p2m->top[p2m_slot(pfn)][p2m_index(pfn)] = entries + pfn;
		p2m->pages++;
	}
	p2m->linear = entries;
	p2m->linear_end = pfn;
	p2m->max_pfn = p2m_ram_below(p2m, nr_pages);
	return 0;
}

/* The leaf of pfn @first is @leaf from now on (NULL: none of its own): where the linear look has it? */
static void linear_cut(struct p2m *p2m, uint64_t first, const uint64_t *leaf)
{
	if (first < p2m->linear_end && leaf != p2m->linear + first)
		p2m->linear_end = first;
}

static void link_leaf(struct p2m *p2m, uint64_t slot, uint64_t index, uint64_t *leaf)
{
	linear_cut(p2m, slot * P2M_SLOT_PFNS + index * P2M_ENTRIES, leaf);
	p2m->top[slot][index] = leaf;
	if (p2m_published(p2m))
		p2m_list_leaf(p2m, slot, index);
}

/* Links @leaf, and gives back the one that was there. */
static void replace_leaf(struct p2m *p2m, uint64_t slot, uint64_t index, uint64_t *leaf)
{
	uint64_t *old = p2m->top[slot][index];

	link_leaf(p2m, slot, index, leaf);
	if (old != leaf && !p2m_leaf_is_shared(p2m, old))
		drop(p2m, old);
}

/* The slot has a shared middle page: it gets one of its own that means the same. */
static void split_mid(struct p2m *p2m, struct change *c, uint64_t slot)
{
	uint64_t **mid = p2m_page(p2m, unstock(c));

	fill_mid(mid, p2m->top[slot][0]);
	p2m->pages++;
	p2m->top[slot] = mid;
	if (p2m_published(p2m))
		p2m_list_split(p2m, slot, unstock(c));
}

/* The same for a shared leaf, the one that @pfn has. */
static void split_leaf(struct p2m *p2m, struct change *c, uint64_t pfn)
{
	uint64_t *leaf = p2m_page(p2m, unstock(c)), first = pfn & ~(P2M_ENTRIES - 1);

	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		leaf[i] = p2m_get(p2m, _pfn(first + i));
	p2m->pages++;
	replace_leaf(p2m, p2m_slot(pfn), p2m_index(pfn), leaf);
}

/* The slot is all of one kind from now on. */
static void join_mid(struct p2m *p2m, uint64_t slot, enum p2m_kind kind)
{
	uint64_t **old = p2m->top[slot];

	if (old == p2m->shared_mid[kind])
		return;
	linear_cut(p2m, slot * P2M_SLOT_PFNS, NULL);
	p2m->top[slot] = p2m->shared_mid[kind];
	if (p2m_published(p2m))
		p2m_list_join(p2m, slot, kind);
	drop_mid(p2m, old);
}

/* Joins the slot if its leaves are all of one kind. */
static void join_if_all(struct p2m *p2m, uint64_t slot, enum p2m_kind kind)
{
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		if (p2m->top[slot][i] != p2m->shared_leaf[kind])
			return;
	join_mid(p2m, slot, kind);
}

/* Whether the leaf of pfn @first now says what @c says throughout. Looks first at what follows @pfn,
 * where the change ended: there something else is most likely. */
static bool leaf_is_all(const struct change *c, const uint64_t *leaf, uint64_t first, uint64_t pfn)
{
	for (uint64_t i = pfn; i < pfn + P2M_ENTRIES; i++) {
		uint64_t at = i & (P2M_ENTRIES - 1);

		if (leaf[at] != change_entry(c, first + at))
			return false;
	}
	return true;
}

/* The part of a change that lies in the leaf of pfn @first. */
static void change_leaf(struct p2m *p2m, struct change *c, uint64_t first)
{
	uint64_t slot = p2m_slot(first), index = p2m_index(first);
	uint64_t *leaf = p2m->top[slot][index], *shared = shared_leaf(p2m, c->kind);
	uint64_t pfn = first > c->start ? first : c->start;
	uint64_t end = first + P2M_ENTRIES < c->end ? first + P2M_ENTRIES : c->end;

	if (leaf == shared)
		return;
	if (shared && covered(c, first, P2M_ENTRIES)) {
		replace_leaf(p2m, slot, index, shared);
		return;
	}
	if (p2m_leaf_is_shared(p2m, leaf)) {
		split_leaf(p2m, c, first);
		leaf = p2m->top[slot][index];
	}
	for (; pfn < end; pfn++)
		leaf[pfn & (P2M_ENTRIES - 1)] = change_entry(c, pfn);
	if (shared && leaf_is_all(c, leaf, first, pfn))
		replace_leaf(p2m, slot, index, shared);
}

/* The part that lies in the slot of pfn @first. */
static void change_slot(struct p2m *p2m, struct change *c, uint64_t first)
{
	uint64_t slot = p2m_slot(first);
	uint64_t pfn = first > c->start ? first : c->start & ~(P2M_ENTRIES - 1);
	uint64_t end = first + P2M_SLOT_PFNS < c->end ? first + P2M_SLOT_PFNS : c->end;

	if (p2m->top[slot] == shared_mid(p2m, c->kind))
		return;
	if (c->kind < P2M_SHAREABLE && covered(c, first, P2M_SLOT_PFNS)) {
		join_mid(p2m, slot, c->kind);
		return;
	}
	if (p2m_mid_is_shared(p2m, p2m->top[slot]))
		split_mid(p2m, c, slot);
	for (; pfn < end; pfn += P2M_ENTRIES)
		change_leaf(p2m, c, pfn);
	if (c->kind < P2M_SHAREABLE)
		join_if_all(p2m, slot, c->kind);
}

/* The pages that a change takes at the leaf of @pfn, one of its ends, and at its middle page. */
static unsigned int needs_leaf(const struct p2m *p2m, const struct change *c, uint64_t pfn)
{
	const uint64_t *leaf = p2m->top[p2m_slot(pfn)][p2m_index(pfn)];

	return p2m_leaf_is_shared(p2m, leaf) && leaf != shared_leaf(p2m, c->kind) &&
	       !covered(c, pfn & ~(P2M_ENTRIES - 1), P2M_ENTRIES);
}

static unsigned int needs_mid(const struct p2m *p2m, const struct change *c, uint64_t pfn)
{
	uint64_t **mid = p2m->top[p2m_slot(pfn)];

	if (!p2m_mid_is_shared(p2m, mid) || mid == shared_mid(p2m, c->kind) ||
	    covered(c, pfn & ~(P2M_SLOT_PFNS - 1), P2M_SLOT_PFNS))
		return 0;
	return p2m_published(p2m) ? 2 : 1;
}

static void set_max_pfn(struct p2m *p2m, uint64_t max_pfn)
{
	p2m->max_pfn = max_pfn;
	if (p2m_published(p2m))
		p2m_list_max_pfn(p2m);
}

/* After the pfns [@start, @end) have become @kind. */
static void update_max_pfn(struct p2m *p2m, uint64_t start, uint64_t end, enum p2m_kind kind)
{
	if (kind == P2M_RAM && p2m->max_pfn < end)
		set_max_pfn(p2m, end);
	else if (kind != P2M_RAM && start < p2m->max_pfn && p2m->max_pfn <= end)
		set_max_pfn(p2m, p2m_ram_below(p2m, start));
}

static int p2m_change(struct p2m *p2m, struct change *c)
{
	uint64_t first = c->start, last = c->end - 1;
	unsigned int n;

	n = needs_leaf(p2m, c, first) + needs_mid(p2m, c, first);
	if (first / P2M_ENTRIES != last / P2M_ENTRIES)
		n += needs_leaf(p2m, c, last);
	if (p2m_slot(first) != p2m_slot(last))
		n += needs_mid(p2m, c, last);
	ASSERT(n <= STOCK_MAX);
	if (take(p2m, c->stock, n))
		return -ENOMEM;
	c->stocked = n;
	for (uint64_t pfn = first & ~(P2M_SLOT_PFNS - 1); pfn <= last; pfn += P2M_SLOT_PFNS)
		change_slot(p2m, c, pfn);
	ASSERT(c->stocked == 0);
	update_max_pfn(p2m, c->start, c->end, c->kind);
	return 0;
}

static int set_one(struct p2m *p2m, pfn_t pfn, mfn_t mfn, enum p2m_kind kind)
{
	struct change c = { .start = pfn_x(pfn), .end = pfn_x(pfn) + 1, .kind = kind };

	if (pfn_x(pfn) >= P2M_PFNS || mfn_x(mfn) >= P2M_MFN_END)
		return -EINVAL;
	c.entry = mfn_x(mfn) | (kind == P2M_FOREIGN ? FOREIGN_FRAME_BIT : 0);
	return p2m_change(p2m, &c);
}

int p2m_set(struct p2m *p2m, pfn_t pfn, mfn_t mfn)
{
	return set_one(p2m, pfn, mfn, P2M_RAM);
}

int p2m_set_foreign(struct p2m *p2m, pfn_t pfn, mfn_t mfn)
{
	return set_one(p2m, pfn, mfn, P2M_FOREIGN);
}

static int set_range(struct p2m *p2m, pfn_t start, pfn_t end, enum p2m_kind kind)
{
	struct change c = { .start = pfn_x(start), .end = pfn_x(end), .kind = kind };

	if (c.end < c.start)
		return -EINVAL;
	if (c.end > P2M_PFNS)
		c.end = P2M_PFNS;
	return c.start < c.end ? p2m_change(p2m, &c) : 0;
}

int p2m_set_identity_range(struct p2m *p2m, pfn_t start, pfn_t end)
{
	return set_range(p2m, start, end, P2M_IDENTITY);
}

int p2m_clear_range(struct p2m *p2m, pfn_t start, pfn_t end)
{
	return set_range(p2m, start, end, P2M_MISSING);
}

int p2m_clear(struct p2m *p2m, pfn_t pfn)
{
	return pfn_x(pfn) < P2M_PFNS ? set_range(p2m, pfn, pfn_add(pfn, 1), P2M_MISSING) : 0;
}

/* Whether a leaf can be another one's: what it says must not depend on where it is. */
static bool movable(const struct p2m *p2m, const uint64_t *leaf)
{
	if (leaf == p2m->shared_leaf[P2M_IDENTITY])
		return false;
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		if (p2m_entry_kind(leaf[i]) == P2M_IDENTITY)
			return false;
	return true;
}

int p2m_move_leaf(struct p2m *p2m, pfn_t from, pfn_t to)
{
	uint64_t src = pfn_x(from), dst = pfn_x(to), end = dst + P2M_ENTRIES, *leaf;
	struct change c = { .kind = P2M_RAM };
	uint64_t **mid;

	if (src % P2M_ENTRIES || dst % P2M_ENTRIES || src >= P2M_PFNS || dst >= P2M_PFNS)
		return -EINVAL;
	leaf = p2m->top[p2m_slot(src)][p2m_index(src)];
	mid = p2m->top[p2m_slot(dst)];
	if (!movable(p2m, leaf))
		return -EINVAL;
	if (mid[p2m_index(dst)] != p2m->shared_leaf[P2M_MISSING])
		return -EEXIST;
	if (leaf == p2m->shared_leaf[P2M_MISSING])
		return 0;
	if (p2m_mid_is_shared(p2m, mid)) {
		c.stocked = p2m_published(p2m) ? 2 : 1;
		if (take(p2m, c.stock, c.stocked))
			return -ENOMEM;
		split_mid(p2m, &c, p2m_slot(dst));
	}
	link_leaf(p2m, p2m_slot(src), p2m_index(src), p2m->shared_leaf[P2M_MISSING]);
	link_leaf(p2m, p2m_slot(dst), p2m_index(dst), leaf);
	join_if_all(p2m, p2m_slot(src), P2M_MISSING);
	set_max_pfn(p2m, p2m_ram_below(p2m, end > p2m->max_pfn ? end : p2m->max_pfn));
	return 0;
}
