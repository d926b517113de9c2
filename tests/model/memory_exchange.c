/* SPDX-License-Identifier: MIT */
/*
 * XENMEM_exchange: frames of the guest's for others, chunk by chunk.
 *
 *   in:   order 0   | f | f | f | f |      a chunk is what the larger of the two orders takes
 *   out:  order 2   |       F       |      out[] has the pfn of each new extent and gets its MFN
 *
 * Of each chunk the frames are stolen first: nothing may refer to one but the owner. If one can't be, or there is nothing to give
 * for them, those of the chunk go back to the guest and the call ends; chunks before stay done, and nr_exchanged says how
 * many extents that is. From there on the chunk is exchanged, even if the guest can't be told the new numbers.
 *
 * What was stolen has no owner when it goes to the heap, and what has none is taken to need no flush when it is given
 * anew (mark_page_free()): the guest's stale translations of it last until it gets a type.
 *
 * Source: memory_exchange() in common/memory.c, steal_page() in arch/x86/mm.c.
 */
#include "internal.h"

struct exchange {
	struct xen_memory_exchange x;
	uint64_t in, out; /* VAs of the lists */
	/* log2 of the extents of a chunk, on either side; one of them is 0 */
	unsigned int in_order, out_order;
	uint64_t limit; /* new frames are below it */
};

/* steal_page(): the frame is in nobody's hands, but counts as the guest's. What it was used as is forgotten. */
static int steal(struct model *m, mfn_t mfn)
{
	struct model_frame *f = model_frame(m, mfn);

	if (!f || f->owner != MODEL_GUEST || f->xen_heap || f->count != 1 || !f->allocated)
		return -EINVAL;
	*f = (struct model_frame){ .owner = MODEL_XEN, .stolen = true, .stamp = f->stamp };
	return 0;
}

/* The stolen frames become the guest's again, or the heap's. */
static void end_theft(struct model *m, bool give_back)
{
	for (uint64_t i = 0; i < m->nr_frames; i++) {
		struct model_frame *f = &m->frame[i];

		if (!f->stolen)
			continue;
		*f = (struct model_frame){ .owner = MODEL_NOBODY, .stamp = f->stamp };
		if (give_back) {
			f->owner = MODEL_GUEST;
			f->allocated = true;
			f->count = 1;
		} else {
			f->quiet = true;
			m->m2p[i] = UINT64_MAX;
		}
	}
}

static int steal_chunk(struct model *m, const struct exchange *e, uint64_t chunk)
{
	for (uint64_t j = 0; j < UINT64_C(1) << e->in_order; j++) {
		xen_pfn_t mfn;

		if (m->ops->copy_from(m, &mfn, e->in + ((chunk << e->in_order) + j) * sizeof(mfn),
				      sizeof(mfn)))
			return -EFAULT;
		for (uint64_t k = 0; k < UINT64_C(1) << e->x.in.extent_order; k++) {
			int rc = steal(m, _mfn(mfn + k));

			if (rc)
				return rc;
		}
	}
	return 0;
}

/* Whether the heap has the extents of a chunk. */
static bool enough(const struct model *m, const struct exchange *e)
{
	const unsigned int order = e->x.out.extent_order;
	uint64_t from = 0;

	for (uint64_t j = 0; j < UINT64_C(1) << e->out_order; j++) {
		const mfn_t mfn = model_find_extent(m, order, e->limit, from);

		if (mfn_eq(mfn, INVALID_MFN))
			return false;
		from = mfn_x(mfn) + (UINT64_C(1) << order);
	}
	return true;
}

/* => there are enough */
static int give_chunk(struct model *m, const struct exchange *e, uint64_t chunk)
{
	const unsigned int order = e->x.out.extent_order;
	int rc = 0;

	for (uint64_t j = 0; j < UINT64_C(1) << e->out_order; j++) {
		const uint64_t slot = e->out + ((chunk << e->out_order) + j) * sizeof(xen_pfn_t);
		const mfn_t mfn = model_take_extent(m, order, e->limit);
		xen_pfn_t pfn;

		m->tot_pages -= UINT64_C(1) << order; /* MEMF_no_refcount: the stolen still count */
		if (m->ops->copy_from(m, &pfn, slot, sizeof(pfn))) {
			rc = -EFAULT;
			continue;
		}
		for (uint64_t k = 0; k < UINT64_C(1) << order; k++)
			m->m2p[mfn_x(mfn) + k] = pfn + k;
		if (m->ops->copy_to(m, slot, &mfn, sizeof(mfn)))
			rc = -EFAULT;
	}
	return rc;
}

static int exchange_chunk(struct model *m, const struct exchange *e, uint64_t chunk)
{
	int rc = steal_chunk(m, e, chunk);

	if (!rc && !enough(m, e))
		rc = -ENOMEM;
	if (rc) {
		end_theft(m, true);
		return rc;
	}
	rc = give_chunk(m, e, chunk);
	end_theft(m, false);
	return rc;
}

/* The sanity checks of the two lists. 0 with nothing left to do has nr_exchanged at its end. */
static int check_lists(const struct model *m, const struct xen_memory_exchange *x)
{
	const unsigned int in = x->in.extent_order, out = x->out.extent_order;

	if ((in > out ? in : out) > model_max_order(m))
		return -EPERM;
	if (x->nr_exchanged > x->in.nr_extents || x->in.domid != x->out.domid ||
	    UINT64_MAX >> in < x->in.nr_extents || UINT64_MAX >> out < x->out.nr_extents ||
	    x->in.nr_extents << in != x->out.nr_extents << out)
		return -EINVAL;
	return 0;
}

/* guest_handle_subrange_okay(): from entry @first to the end of a list of @nr. */
static bool list_ok(const struct model *m, uint64_t list, uint64_t first, uint64_t nr)
{
	return nr - first < UINT64_MAX / sizeof(xen_pfn_t) &&
	       model_va_ok(m, list + first * sizeof(xen_pfn_t));
}

/* What is checked of what is left; fills in *@e. */
static int prepare(struct model *m, struct exchange *e)
{
	const unsigned int in = e->x.in.extent_order, out = e->x.out.extent_order;
	const uint64_t done = e->x.nr_exchanged;
	enum model_owner owner;
	bool elsewhere;

	e->in = (uintptr_t)e->x.in.extent_start.p;
	e->out = (uintptr_t)e->x.out.extent_start.p;
	e->in_order = in <= out ? out - in : 0;
	e->out_order = in <= out ? 0 : in - out;
	if (!list_ok(m, e->in, done, e->x.in.nr_extents) ||
	    !list_ok(m, e->out, done >> e->in_order << e->out_order, e->x.out.nr_extents))
		return -EFAULT;
	if (!model_node_ok(m, e->x.out.mem_flags, &elsewhere))
		return -EINVAL;
	if (!model_any_domain(m, e->x.in.domid, &owner))
		return -ESRCH;
	if (owner != MODEL_GUEST)
		return -EPERM;
	e->limit = elsewhere ? 0 : model_mfn_limit(m, e->x.out.mem_flags);
	return 0;
}

long model_memory_exchange(struct model *m, uint64_t va)
{
	struct exchange e;
	uint64_t chunk;
	int rc;

	if (m->ops->copy_from(m, &e.x, va, sizeof(e.x)))
		return -EFAULT;
	rc = check_lists(m, &e.x);
	if (!rc) {
		if (e.x.nr_exchanged == e.x.in.nr_extents)
			return 0;
		rc = prepare(m, &e);
	}
	if (!rc) {
		chunk = e.x.nr_exchanged >> e.in_order;
		while (!rc && chunk < e.x.in.nr_extents >> e.in_order) {
			rc = exchange_chunk(m, &e, chunk);
			chunk += !rc;
		}
		e.x.nr_exchanged = rc ? chunk << e.in_order : e.x.in.nr_extents;
	}
	if (m->ops->copy_to(m, va + offsetof(struct xen_memory_exchange, nr_exchanged),
			    &e.x.nr_exchanged, sizeof(e.x.nr_exchanged)))
		rc = -EFAULT;
	return rc;
}
