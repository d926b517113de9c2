/* SPDX-License-Identifier: MIT */
/*
 * The frame lists: the tree once more, in machine frame numbers, for a toolstack that reads a
 * domain's memory from outside.
 *
 *      top  [slot] --> mid  [index] --> leaf          what the kernel walks (pointers)
 *                       |                 :
 *    lists  [slot] --> list [index]:  MFN of it       pointers to the lists, for the kernel
 * list_list [slot]:  MFN of it                        what shared_info names
 *
 * There is a list beside each middle page, the shared ones included, so the rule is one sentence:
 * each entry of a list is the MFN of the page that the same entry of the middle page points to.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/xen/hypercall.h>
#include "p2m_internal.h"

/* The MFN of a page of the tree or the lists. */
static uint64_t page_mfn(const struct p2m *p2m, const void *page)
{
	return p2m_get(p2m, p2m_page_pfn(p2m, page));
}

/* The same, for a page that has just been taken: an allocator that hands out what is no RAM by
 * this very tree is broken. */
static uint64_t sure_mfn(const struct p2m *p2m, const void *page)
{
	uint64_t mfn = page_mfn(p2m, page);

	ASSERT(p2m_entry_kind(mfn) == P2M_RAM);
	return mfn;
}

static bool list_is_shared(const struct p2m *p2m, const uint64_t *list)
{
	return list == p2m->shared_list[P2M_MISSING] || list == p2m->shared_list[P2M_IDENTITY];
}

void p2m_list_leaf(struct p2m *p2m, uint64_t slot, uint64_t index)
{
	WRITE_ONCE(p2m->lists[slot][index], sure_mfn(p2m, p2m->top[slot][index]));
}

static void set_list(struct p2m *p2m, uint64_t slot, uint64_t *list)
{
	p2m->lists[slot] = list;
	/* Whoever looks from outside must find the list filled. */
	barrier();
	WRITE_ONCE(p2m->list_list[slot], sure_mfn(p2m, list));
}

void p2m_list_split(struct p2m *p2m, uint64_t slot, pfn_t page)
{
	uint64_t *list = p2m_page(p2m, page);

	for (uint64_t i = 0; i < P2M_ENTRIES; i++)
		list[i] = p2m->lists[slot][i];
	p2m->list_pages++;
	set_list(p2m, slot, list);
}

static void drop_list(struct p2m *p2m, const void *list)
{
	p2m->list_pages--;
	p2m->source.free(p2m->source.ctx, p2m_page_pfn(p2m, list));
}

void p2m_list_join(struct p2m *p2m, uint64_t slot, enum p2m_kind kind)
{
	uint64_t *old = p2m->lists[slot];

	set_list(p2m, slot, p2m->shared_list[kind]);
	if (!list_is_shared(p2m, old))
		drop_list(p2m, old);
}

void p2m_list_max_pfn(struct p2m *p2m)
{
	WRITE_ONCE(p2m->shared->arch.max_pfn, p2m->max_pfn);
}

void p2m_list_rebase(struct p2m *p2m, uintptr_t delta)
{
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++)
		p2m->lists[slot] = (uint64_t *)((uintptr_t)p2m->lists[slot] + delta);
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++)
		p2m->shared_list[kind] = (uint64_t *)((uintptr_t)p2m->shared_list[kind] + delta);
	p2m->lists = (uint64_t **)((uintptr_t)p2m->lists + delta);
	p2m->list_list = (uint64_t *)((uintptr_t)p2m->list_list + delta);
}

static void *take_list(struct p2m *p2m)
{
	pfn_t page = p2m->source.alloc(p2m->source.ctx);

	if (pfn_eq(page, INVALID_PFN))
		return NULL;
	p2m->list_pages++;
	return p2m_page(p2m, page);
}

/* Gives back all that take_lists() has taken. */
static void drop_lists(struct p2m *p2m)
{
	for (uint64_t slot = P2M_ENTRIES; p2m->lists && slot-- > 0;)
		if (p2m->lists[slot] && !list_is_shared(p2m, p2m->lists[slot]))
			drop_list(p2m, p2m->lists[slot]);
	for (unsigned int kind = P2M_SHAREABLE; kind-- > 0;) {
		if (p2m->shared_list[kind])
			drop_list(p2m, p2m->shared_list[kind]);
		p2m->shared_list[kind] = NULL;
	}
	if (p2m->list_list)
		drop_list(p2m, p2m->list_list);
	if (p2m->lists)
		drop_list(p2m, p2m->lists);
	p2m->list_list = NULL;
	p2m->lists = NULL;
	ASSERT(p2m->list_pages == 0);
}

static int take_lists(struct p2m *p2m)
{
	uint64_t **lists = take_list(p2m);

	if (!lists)
		return -ENOMEM;
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++)
		lists[slot] = NULL;
	p2m->lists = lists;
	p2m->list_list = take_list(p2m);
	if (!p2m->list_list)
		return -ENOMEM;
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++) {
		p2m->shared_list[kind] = take_list(p2m);
		if (!p2m->shared_list[kind])
			return -ENOMEM;
	}
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++) {
		if (p2m->top[slot] == p2m->shared_mid[P2M_MISSING])
			lists[slot] = p2m->shared_list[P2M_MISSING];
		else if (p2m->top[slot] == p2m->shared_mid[P2M_IDENTITY])
			lists[slot] = p2m->shared_list[P2M_IDENTITY];
		else
			lists[slot] = take_list(p2m);
		if (!lists[slot])
			return -ENOMEM;
	}
	return 0;
}

/* Whether @list says what @mid says; with @fill it is made so first. False: @mid has a page that is
 * no RAM by the tree, or the list is not what it should be. */
static bool list_matches(const struct p2m *p2m, uint64_t *list, uint64_t *const *mid, bool fill)
{
	for (uint64_t i = 0; i < P2M_ENTRIES; i++) {
		uint64_t mfn = page_mfn(p2m, mid[i]);

		if (fill)
			list[i] = mfn;
		if (list[i] != mfn || p2m_entry_kind(mfn) != P2M_RAM)
			return false;
	}
	return true;
}

/* All lists, in the same manner; where it stopped is in *@where. */
static bool lists_match(const struct p2m *p2m, bool fill, pfn_t *where)
{
	for (unsigned int kind = 0; kind < P2M_SHAREABLE; kind++) {
		*where = INVALID_PFN;
		if (!list_matches(p2m, p2m->shared_list[kind], p2m->shared_mid[kind], fill))
			return false;
	}
	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++) {
		uint64_t mfn = page_mfn(p2m, p2m->lists[slot]);

		*where = _pfn(slot * P2M_SLOT_PFNS);
		if (fill)
			p2m->list_list[slot] = mfn;
		if (p2m->list_list[slot] != mfn || p2m_entry_kind(mfn) != P2M_RAM)
			return false;
		if (!list_is_shared(p2m, p2m->lists[slot]) &&
		    !list_matches(p2m, p2m->lists[slot], p2m->top[slot], fill))
			return false;
	}
	*where = p2m_page_pfn(p2m, p2m->list_list);
	return p2m_entry_kind(page_mfn(p2m, p2m->list_list)) == P2M_RAM;
}

int p2m_publish(struct p2m *p2m, struct shared_info *shared)
{
	bool first = !p2m_published(p2m);
	pfn_t where;
	int rc = 0;

	if (first)
		rc = take_lists(p2m);
	if (!rc && !lists_match(p2m, true, &where))
		rc = -EINVAL;
	if (rc) {
		if (first)
			drop_lists(p2m);
		return rc;
	}
	p2m->shared = shared;
	barrier();
	WRITE_ONCE(shared->arch.pfn_to_mfn_frame_list_list, page_mfn(p2m, p2m->list_list));
	p2m_list_max_pfn(p2m);
	return 0;
}

void p2m_unpublish(struct p2m *p2m)
{
	if (!p2m_published(p2m))
		return;
	WRITE_ONCE(p2m->shared->arch.max_pfn, 0);
	WRITE_ONCE(p2m->shared->arch.pfn_to_mfn_frame_list_list, 0);
	barrier();
	drop_lists(p2m);
	p2m->shared = NULL;
}

const char *p2m_list_audit(const struct p2m *p2m, pfn_t *where)
{
	uint64_t pages = 2 + P2M_SHAREABLE;

	for (uint64_t slot = 0; slot < P2M_ENTRIES; slot++) {
		bool shared = p2m_mid_is_shared(p2m, p2m->top[slot]);

		*where = _pfn(slot * P2M_SLOT_PFNS);
		if (shared != list_is_shared(p2m, p2m->lists[slot]))
			return "a slot and its frame list are not of one kind";
		if (shared && p2m->lists[slot] != p2m->shared_list[p2m_kind(p2m, *where)])
			return "a slot has the frame list of another kind";
		pages += !shared;
	}
	if (!lists_match(p2m, false, where))
		return "a frame list does not name the page that the tree has";
	*where = INVALID_PFN;
	if (p2m->shared->arch.pfn_to_mfn_frame_list_list != page_mfn(p2m, p2m->list_list))
		return "shared_info names another list of lists";
	if (p2m->shared->arch.max_pfn != p2m->max_pfn)
		return "shared_info has another max_pfn";
	return p2m->list_pages == pages ? NULL : "the count of list pages is wrong";
}
