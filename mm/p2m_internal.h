/* SPDX-License-Identifier: MIT */
/* Between the files of the P2M: p2m.c has the tree, p2m_publish.c the frame lists beside it. */
#ifndef PINION_MM_P2M_INTERNAL_H
#define PINION_MM_P2M_INTERNAL_H

#include <pinion/mm/p2m.h>

/* The slot of a pfn, and the index of its leaf in the slot's middle page. */
static inline uint64_t p2m_slot(uint64_t pfn)
{
	return pfn >> 2 * P2M_SHIFT;
}

static inline uint64_t p2m_index(uint64_t pfn)
{
	return pfn >> P2M_SHIFT & (P2M_ENTRIES - 1);
}

/* A page of the tree by pfn, and back. */
static inline void *p2m_page(const struct p2m *p2m, pfn_t pfn)
{
	return (void *)(p2m->base + (pfn_x(pfn) << PAGE_SHIFT));
}

static inline pfn_t p2m_page_pfn(const struct p2m *p2m, const void *page)
{
	return _pfn(((uintptr_t)page - p2m->base) >> PAGE_SHIFT);
}

static inline bool p2m_leaf_is_shared(const struct p2m *p2m, const uint64_t *leaf)
{
	return leaf == p2m->shared_leaf[P2M_MISSING] || leaf == p2m->shared_leaf[P2M_IDENTITY];
}

static inline bool p2m_mid_is_shared(const struct p2m *p2m, uint64_t *const *mid)
{
	return mid == p2m->shared_mid[P2M_MISSING] || mid == p2m->shared_mid[P2M_IDENTITY];
}

/* The highest RAM pfn below @pfn, plus one: what max_pfn is if all from @pfn on is no RAM. */
uint64_t p2m_ram_below(const struct p2m *p2m, uint64_t pfn);

/*
 * What the tree tells the lists, after it has changed itself. => it is published
 *
 *   list_leaf   an entry of a middle page has changed
 *   list_split  a slot has a middle page of its own now: it gets @page as list, for a shared one's
 *   list_join   the reverse: its list is given back
 */
static inline bool p2m_published(const struct p2m *p2m)
{
	return p2m->lists != NULL;
}

void p2m_list_leaf(struct p2m *p2m, uint64_t slot, uint64_t index);
void p2m_list_split(struct p2m *p2m, uint64_t slot, pfn_t page);
void p2m_list_join(struct p2m *p2m, uint64_t slot, enum p2m_kind kind);
void p2m_list_max_pfn(struct p2m *p2m);
void p2m_list_rebase(struct p2m *p2m, uintptr_t delta);
const char *p2m_list_audit(const struct p2m *p2m, pfn_t *where);

#endif
