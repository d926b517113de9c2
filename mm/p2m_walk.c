/* SPDX-License-Identifier: MIT */
/*
 * Walks over the tree that change nothing in what it says: runs of RAM, the move to another mapping,
 * the audit.
 *
 * A walk over pfns takes a shared page in one step: a step is the largest aligned block around a
 * pfn of which the tree says one thing.
 */
#include "p2m_internal.h"

/* How many pfns share the page that answers for @pfn, if it is a shared one; else 1. */
static uint64_t step(const struct p2m *p2m, uint64_t pfn)
{
	uint64_t **mid = p2m->top[p2m_slot(pfn)];

	if (p2m_mid_is_shared(p2m, mid))
		return P2M_SLOT_PFNS;
	return p2m_leaf_is_shared(p2m, mid[p2m_index(pfn)]) ? P2M_ENTRIES : 1;
}

static bool is_ram(const struct p2m *p2m, uint64_t pfn)
{
	return p2m_kind(p2m, _pfn(pfn)) == P2M_RAM;
}

pfn_t p2m_ram_next(const struct p2m *p2m, pfn_t pfn)
{
	uint64_t n = pfn_x(pfn);

	while (n < P2M_PFNS && !is_ram(p2m, n)) {
		uint64_t size = step(p2m, n);

		n = (n & ~(size - 1)) + size;
	}
	return n < P2M_PFNS ? _pfn(n) : INVALID_PFN;
}

pfn_t p2m_ram_end(const struct p2m *p2m, pfn_t pfn)
{
	while (is_ram(p2m, pfn_x(pfn)))
		pfn = pfn_add(pfn, 1);
	return pfn;
}

uint64_t p2m_ram_below(const struct p2m *p2m, uint64_t pfn)
{
	while (pfn > 0 && !is_ram(p2m, pfn - 1))
		pfn = (pfn - 1) & ~(step(p2m, pfn - 1) - 1);
	return pfn;
}

static void *moved(const void *page, uintptr_t delta)
{
	return (void *)((uintptr_t)page + delta);
}

static void rebase_mid(uint64_t **mid, uintptr_t delta)
{
	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		mid[i] = moved(mid[i], delta);
}

void p2m_rebase(struct p2m *p2m, uintptr_t base)
{
	uintptr_t delta = base - p2m->base;

	/* From the bottom up, while the pointers above still lead there. */
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++) {
		if (!p2m_mid_is_shared(p2m, p2m->top[slot]))
			rebase_mid(p2m->top[slot], delta);
	}
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++)
		rebase_mid(p2m->shared_mid[kind], delta);
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++)
		p2m->top[slot] = moved(p2m->top[slot], delta);
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++) {
		p2m->shared_mid[kind] = moved(p2m->shared_mid[kind], delta);
		p2m->shared_leaf[kind] = moved(p2m->shared_leaf[kind], delta);
	}
	p2m->top = moved(p2m->top, delta);
	p2m->linear = (const uint64_t *)((uintptr_t)p2m->linear + delta);
	if (p2m_published(p2m))
		p2m_list_rebase(p2m, delta);
	p2m->base = base;
}

/* What can be wrong with one entry of a leaf that isn't shared. */
static const char *audit_entry(uint64_t entry, uint64_t pfn)
{
	switch (p2m_entry_kind(entry)) {
	case P2M_IDENTITY:
		return entry == (pfn | IDENTITY_FRAME_BIT) ? NULL
							   : "an identity entry of another pfn";
	case P2M_RAM:
	case P2M_FOREIGN:
		return (entry & ~FOREIGN_FRAME_BIT) < P2M_MFN_END ? NULL : "no MFN";
	default:
		return NULL;
	}
}

static const char *audit_leaf(const uint64_t *leaf, uint64_t first, pfn_t *where)
{
	uint64_t same = 0;
	const char *why;

	for (uint64_t i = 0; i < P2M_ENTRIES; i++) {
		*where = _pfn(first + i);
		why = audit_entry(leaf[i], first + i);
		if (why)
			return why;
		same += p2m_entry_kind(leaf[i]) == p2m_entry_kind(leaf[0]);
	}
	/* Xen's list may have such a page from the start, but then it has no entry to look at. */
	if (same == P2M_ENTRIES && p2m_entry_kind(leaf[0]) < P2M_SHAREABLE)
		return "a leaf of one kind that is not the shared one";
	return NULL;
}

/* The leaves of a slot that has its own middle page. Adds its pages to *@pages. */
static const char *audit_mid(const struct p2m *p2m, uint64_t slot, uint64_t *pages, pfn_t *where)
{
	uint64_t **mid = p2m->top[slot];
	uint64_t first = slot * P2M_SLOT_PFNS, same = 0;
	const char *why;

	++*pages;
	for (uint64_t i = 0; i < P2M_ENTRIES; i++, first += P2M_ENTRIES) {
		*where = _pfn(first);
		if (p2m_leaf_is_shared(p2m, mid[i])) {
			same += mid[i] == mid[0];
			continue;
		}
		++*pages;
		why = audit_leaf(mid[i], first, where);
		if (why)
			return why;
	}
	return same == P2M_ENTRIES ? "a middle page of one kind that is not the shared one" : NULL;
}

static const char *audit_shared(const struct p2m *p2m)
{
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++) {
		for (uint64_t i = 0; i < P2M_ENTRIES; i++) {
			if (p2m->shared_leaf[kind][i] != INVALID_P2M_ENTRY)
				return "a shared leaf was written";
			if (p2m->shared_mid[kind][i] != p2m->shared_leaf[kind])
				return "a shared middle page was written";
		}
	}
	return NULL;
}

const char *p2m_audit(const struct p2m *p2m, pfn_t *where)
{
	uint64_t pages = 1 + 2 * P2M_SHAREABLE;
	const char *why;

	*where = INVALID_PFN;
	why = audit_shared(p2m);
	for (uint64_t slot = 0; !why && slot < P2M_ENTRIES; slot++)
		if (!p2m_mid_is_shared(p2m, p2m->top[slot]))
			why = audit_mid(p2m, slot, &pages, where);
	for (uint64_t pfn = 0; !why && pfn < p2m->linear_end; pfn += P2M_ENTRIES) {
		*where = _pfn(pfn);
		if (p2m->top[p2m_slot(pfn)][p2m_index(pfn)] != p2m->linear + pfn)
			why = "a leaf is not where the linear look has it";
	}
	if (why)
		return why;
	*where = _pfn(p2m->max_pfn);
	if (p2m->max_pfn != p2m_ram_below(p2m, P2M_PFNS))
		return "max_pfn is not the highest RAM pfn plus one";
	if (p2m->pages != pages)
		return "the count of pages is wrong";
	return p2m_published(p2m) ? p2m_list_audit(p2m, where) : NULL;
}
