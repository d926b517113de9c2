/* SPDX-License-Identifier: MIT */
/*
 * Frames: whose they are, and how many references each has.
 *
 *   heap ---- model_alloc ----> the guest's, allocated, count 1 ---- put of the last ----> heap
 *     \------ model_give ----->        one more per mapping, link, pin, CR3 ...           M2P ~0
 *
 * The guest owns a page by one reference ('allocated'), and gives it back by dropping that one: the frame is free when
 * nothing else refers to it either, which may be much later.
 *
 * Stale translations: the TLB may hold a mapping of a frame that no table has any more. Xen does not flush at each change
 * but remembers when a frame was last used as what it was (a stamp), and flushes when it becomes something else and no
 * flush came in between. model_flush_stale() is that rule.
 */
#include <pinion/lib/panic.h>
#include "internal.h"

struct model_frame *model_frame(struct model *m, mfn_t mfn)
{
	return mfn_x(mfn) < m->nr_frames ? &m->frame[mfn_x(mfn)] : NULL;
}

void model_init(struct model *m, const struct model_ops *ops, const struct model_profile *profile,
		struct model_frame *frame, uint64_t *m2p, uint64_t nr_frames)
{
	ASSERT(profile->xen_slots <= MODEL_XEN_SLOTS);
	*m = (struct model){
		.ops = ops,
		.profile = *profile,
		.frame = frame,
		.nr_frames = nr_frames,
		.m2p = m2p,
		.domid = profile->dom0 ? 0 : 1,
		.max_pages = UINT64_MAX,
		.l4 = INVALID_MFN,
		.user_l4 = INVALID_MFN,
		.old_table = INVALID_MFN,
		.old_parent = INVALID_MFN,
		.flush_clock = 1,
	};
	for (unsigned int i = 0; i < MODEL_GDT_FRAMES; i++) {
		m->gdt_frame[i] = INVALID_MFN;
		m->ldt_frame[i] = INVALID_MFN;
	}
	for (uint64_t i = 0; i < nr_frames; i++) {
		frame[i] = (struct model_frame){ .owner = MODEL_NOBODY };
		m2p[i] = UINT64_MAX;
	}
}

/* Whether its owner is a domain that refers to all its pages: dom_io's, too, by assign_io_page(). Xen's own count nothing. */
static bool owner_counts(enum model_owner owner)
{
	return owner == MODEL_GUEST || owner == MODEL_OTHER || owner == MODEL_IO;
}

void model_give(struct model *m, mfn_t mfn, enum model_owner owner, uint64_t pfn)
{
	struct model_frame *f = model_frame(m, mfn);

	ASSERT(f && f->owner == MODEL_NOBODY && owner != MODEL_NOBODY);
	*f = (struct model_frame){ .owner = (uint8_t)owner, .stamp = f->stamp };
	f->allocated = owner_counts(owner);
	f->count = f->allocated;
	if (owner == MODEL_IO) { /* writable for good */
		f->type = MODEL_WRITABLE;
		f->type_count = 1;
		f->validated = true;
	}
	if (owner == MODEL_GUEST)
		m->tot_pages++;
	m->m2p[mfn_x(mfn)] = owner == MODEL_GUEST ? pfn : UINT64_MAX;
}

void model_share(struct model *m, mfn_t mfn)
{
	struct model_frame *f = model_frame(m, mfn);

	ASSERT(f && f->owner == MODEL_NOBODY);
	*f = (struct model_frame){
		.count = 1,
		.type_count = 1,
		.owner = MODEL_GUEST,
		.type = MODEL_WRITABLE,
		.allocated = true,
		.validated = true,
		.xen_heap = true,
		.stamp = f->stamp,
	};
	m->m2p[mfn_x(mfn)] = UINT64_MAX;
}

int model_start(struct model *m, mfn_t l4)
{
	int rc = model_get_page_and_type(m, l4, MODEL_L4);

	if (!rc) { /* the pin's, and the one of CR3 */
		model_frame(m, l4)->pinned = true;
		rc = model_get_page_and_type(m, l4, MODEL_L4);
	}
	model_finish(m);
	if (rc)
		return rc;
	m->l4 = l4;
	model_fill_m2p(m, l4);
	model_flush(m);
	m->ops->load_base(m);
	return 0;
}

mfn_t model_alloc(struct model *m)
{
	if (m->tot_pages >= m->max_pages) /* assign_pages() */
		return INVALID_MFN;
	return model_take_extent(m, 0, m->nr_frames);
}

bool model_get_page_of(struct model *m, mfn_t mfn, enum model_owner owner)
{
	struct model_frame *f = model_frame(m, mfn);

	if (!f || !f->count || f->owner != owner)
		return false;
	f->count++;
	return true;
}

bool model_get_page(struct model *m, mfn_t mfn)
{
	return model_get_page_of(m, mfn, MODEL_GUEST);
}

/* free_domheap_page(), mark_page_free(): the frame is the heap's, and what was known of it is forgotten but the stamp. */
static void free_page(struct model *m, mfn_t mfn)
{
	struct model_frame *f = model_frame(m, mfn);

	ASSERT(f->type_count == 0 && f->owner == MODEL_GUEST && !f->xen_heap && !f->allocated);
	*f = (struct model_frame){ .owner = MODEL_NOBODY, .stamp = m->flush_clock };
	m->m2p[mfn_x(mfn)] = UINT64_MAX;
	m->tot_pages--;
}

void model_put_page(struct model *m, mfn_t mfn)
{
	struct model_frame *f = model_frame(m, mfn);

	ASSERT(f->count > 0);
	if (--f->count == 0 && !f->xen_heap) /* a frame of Xen's own is only lost to the guest */
		free_page(m, mfn);
}

void model_flush(struct model *m)
{
	m->flush_clock++;
	m->ops->flush_all(m);
}

void model_flush_va(struct model *m, uint64_t va)
{
	m->ops->flush_va(m, va);
}

void model_flush_stale(struct model *m, uint64_t stamp)
{
	if (stamp == m->flush_clock)
		model_flush(m);
}

void model_crash(struct model *m, const char *why)
{
	m->crashed = true;
	m->ops->crash(m, why);
}
