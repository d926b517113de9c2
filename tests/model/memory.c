/* SPDX-License-Identifier: MIT */
/*
 * memory_op: frames to the guest and back, and what it may ask about memory.
 *
 * increase, populate and decrease count: the result is how many extents are done when the first one fails, also the bad argument of
 * a call that does nothing at all. A frame is given back by dropping the owner's reference, whoever else has one. An
 * exchange is the other way round: it takes frames to which nothing refers, and fails by an errno.
 *
 * A PV guest has no physmap: add_to_physmap and its brothers are refused, after the arguments are looked at.
 *
 * Source: common/memory.c; arch_memory_op() in arch/x86/mm.c. The exchange is in memory_exchange.c.
 */
#include "internal.h"

/* UINT_MAX >> MEMOP_EXTENT_SHIFT: as many extents as a restarted call can tell. */
#define MAX_EXTENTS (UINT32_MAX >> MODEL_MEMOP_SHIFT)

#define MAX_NODES      64   /* MAX_NUMNODES */
#define NO_NODE	       0xff /* NUMA_NO_NODE */
#define MAX_MAP	       1024 /* E820MAX */
#define M2P_BYTES      (UINT64_C(1) << 38)
#define DOMU_MAX_ORDER 9  /* domu_max_order */
#define CTL_MAX_ORDER  18 /* ctldom_max_order, of a dom0 */

unsigned int model_max_order(const struct model *m)
{
	return m->profile.dom0 ? CTL_MAX_ORDER : DOMU_MAX_ORDER;
}

bool model_any_domain(const struct model *m, domid_t domid, enum model_owner *owner)
{
	*owner = MODEL_GUEST;
	if (domid == DOMID_SELF || domid == m->domid)
		return true;
	*owner = MODEL_OTHER;
	return domid == 0;
}

bool model_node_ok(const struct model *m, uint32_t flags, bool *elsewhere)
{
	const unsigned int node = XENMEMF_get_node(flags);
	const bool exact = flags & XENMEMF_exact_node_request;

	*elsewhere = false;
	if (node == NO_NODE)
		return true;
	if (!m->profile.dom0)
		return !exact;
	*elsewhere = exact && node > 0;
	return node < MAX_NODES;
}

uint64_t model_mfn_limit(const struct model *m, uint32_t flags)
{
	const unsigned int bits = XENMEMF_get_address_bits(flags);

	if (bits == 0 || bits >= 64)
		return m->nr_frames;
	if (bits <= PAGE_SHIFT)
		return 0;
	return UINT64_C(1) << (bits - PAGE_SHIFT) < m->nr_frames
		       ? UINT64_C(1) << (bits - PAGE_SHIFT)
		       : m->nr_frames;
}

mfn_t model_find_extent(const struct model *m, unsigned int order, uint64_t limit, uint64_t from)
{
	const uint64_t size = UINT64_C(1) << order;

	for (uint64_t mfn = from; mfn + size <= limit; mfn += size) {
		uint64_t i = 0;

		while (i < size && m->frame[mfn + i].owner == MODEL_NOBODY)
			i++;
		if (i == size)
			return _mfn(mfn);
	}
	return INVALID_MFN;
}

/* Xen's heap gives what was freed last, or not: here it goes round, so that a frame rests as long as it can. */
mfn_t model_take_extent(struct model *m, unsigned int order, uint64_t limit)
{
	const uint64_t size = UINT64_C(1) << order;
	mfn_t mfn = model_find_extent(m, order, limit, (m->next_free + size - 1) & ~(size - 1));

	if (mfn_eq(mfn, INVALID_MFN))
		mfn = model_find_extent(m, order, limit, 0);
	if (mfn_eq(mfn, INVALID_MFN))
		return mfn;
	m->next_free = mfn_x(mfn) + size;
	for (uint64_t i = 0; i < size; i++) {
		const struct model_frame *f = &m->frame[mfn_x(mfn) + i];

		if (!f->quiet)
			model_flush_stale(m, f->stamp); /* accumulate_tlbflush() */
		model_give(m, mfn_add(mfn, i), MODEL_GUEST, UINT64_MAX);
	}
	return mfn;
}

/* struct memop_args, of one of the three calls that count. */
struct extents {
	uint64_t list; /* VA, or 0 */
	uint64_t from, nr;
	unsigned int order;
	uint64_t limit; /* frames below it */
	bool pod;
};

/* alloc_domheap_pages() for the guest, assign_pages() */
static mfn_t alloc_extent(struct model *m, const struct extents *e)
{
	if (m->tot_pages > m->max_pages || (UINT64_C(1) << e->order) > m->max_pages - m->tot_pages)
		return INVALID_MFN;
	return model_take_extent(m, e->order, e->limit);
}

static uint64_t slot(const struct extents *e, uint64_t i)
{
	return e->list + i * sizeof(xen_pfn_t);
}

static uint64_t increase_reservation(struct model *m, const struct extents *e)
{
	uint64_t i;

	if ((e->list && !model_va_ok(m, slot(e, e->from))) || e->order > model_max_order(m))
		return e->from;
	for (i = e->from; i < e->nr; i++) {
		const mfn_t mfn = alloc_extent(m, e);

		if (mfn_eq(mfn, INVALID_MFN))
			break;
		/* It is the guest's, though the guest is not told. */
		if (e->list && m->ops->copy_to(m, slot(e, i), &mfn, sizeof(mfn)))
			break;
	}
	return i;
}

static uint64_t populate_physmap(struct model *m, const struct extents *e)
{
	uint64_t i;

	if (!model_va_ok(m, slot(e, e->from)) ||
	    e->order > (e->pod ? CTL_MAX_ORDER : model_max_order(m)))
		return e->from;
	for (i = e->from; i < e->nr; i++) {
		xen_pfn_t pfn;
		mfn_t mfn;

		/* Not on oneself, though a domain is asked to be populated on demand. */
		if (m->ops->copy_from(m, &pfn, slot(e, i), sizeof(pfn)) || e->pod)
			break;
		mfn = alloc_extent(m, e);
		if (mfn_eq(mfn, INVALID_MFN))
			break;
		for (uint64_t j = 0; j < UINT64_C(1) << e->order; j++)
			m->m2p[mfn_x(mfn) + j] = pfn + j;
		if (m->ops->copy_to(m, slot(e, i), &mfn, sizeof(mfn)))
			break;
	}
	return i;
}

/* guest_remove_page(): whether the frame is the guest's. Its own reference goes once. */
static bool remove_page(struct model *m, mfn_t mfn)
{
	struct model_frame *f;

	if (!model_get_page(m, mfn))
		return false;
	f = model_frame(m, mfn);
	if (f->allocated) { /* put_page_alloc_ref() */
		f->allocated = false;
		model_put_page(m, mfn);
	}
	model_put_page(m, mfn);
	return true;
}

static uint64_t decrease_reservation(struct model *m, const struct extents *e)
{
	uint64_t i;

	if (!model_va_ok(m, slot(e, e->from)) || e->order > model_max_order(m))
		return e->from;
	for (i = e->from; i < e->nr; i++) {
		xen_pfn_t mfn;

		if (m->ops->copy_from(m, &mfn, slot(e, i), sizeof(mfn)))
			break;
		for (uint64_t j = 0; j < UINT64_C(1) << e->order; j++)
			if (!remove_page(m, _mfn(mfn + j)))
				return i;
	}
	return i;
}

/* The three of do_memory_op() that count. @from: extents done by earlier passes, as the guest says. */
static long adjust_reservation(struct model *m, unsigned int cmd, uint64_t from, uint64_t va)
{
	struct xen_memory_reservation r;
	enum model_owner owner;
	struct extents e;
	bool elsewhere;

	if (m->ops->copy_from(m, &r, va, sizeof(r)) || r.nr_extents > MAX_EXTENTS ||
	    from >= r.nr_extents || !model_any_domain(m, r.domid, &owner))
		return (long)from;
	e = (struct extents){
		.list = (uintptr_t)r.extent_start.p,
		.from = from,
		.nr = r.nr_extents,
		.order = r.extent_order,
		.limit = model_mfn_limit(m, r.mem_flags),
		.pod = r.mem_flags & XENMEMF_populate_on_demand,
	};
	/* construct_memop_from_reservation(); vnode: there is no virtual NUMA here. And for another domain: a domU may not. */
	if (!e.limit || owner != MODEL_GUEST)
		return (long)from;
	if (!(r.mem_flags & XENMEMF_vnode)) {
		if (!model_node_ok(m, r.mem_flags, &elsewhere))
			return (long)from;
		if (elsewhere)
			e.limit = 0;
	}
	switch (cmd) {
	case XENMEM_increase_reservation:
		return (long)increase_reservation(m, &e);
	case XENMEM_decrease_reservation:
		return (long)decrease_reservation(m, &e);
	default:
		return (long)populate_physmap(m, &e);
	}
}

/* 0, or why not: what a guest may ask of domain @domid alone. */
static int find_target(const struct model *m, domid_t domid)
{
	enum model_owner owner;

	if (!model_any_domain(m, domid, &owner))
		return -ESRCH;
	return owner == MODEL_GUEST ? 0 : -EPERM;
}

static long reservation(struct model *m, unsigned int cmd, uint64_t va)
{
	struct xen_memory_domain target;
	int rc;

	if (m->ops->copy_from(m, &target, va, sizeof(target)))
		return -EFAULT;
	rc = find_target(m, target.domid);
	if (rc)
		return rc;
	return (long)(cmd == XENMEM_current_reservation ? m->tot_pages : m->max_pages);
}

/* XENMEM_add_to_physmap, _batch and remove_from_physmap: -EACCES at last, for there is no physmap. */
static long physmap(struct model *m, unsigned int cmd, uint64_t from, uint64_t va)
{
	union {
		struct xen_add_to_physmap add;
		struct xen_add_to_physmap_batch batch;
		struct xen_remove_from_physmap remove;
	} u;
	enum model_owner owner;
	domid_t domid;

	if (cmd == XENMEM_remove_from_physmap ? from != 0 : from != (uint16_t)from)
		return cmd == XENMEM_remove_from_physmap ? -EINVAL : -EDOM;
	switch (cmd) {
	case XENMEM_add_to_physmap:
		if (m->ops->copy_from(m, &u.add, va, sizeof(u.add)))
			return -EFAULT;
		if (u.add.space == XENMAPSPACE_gmfn_foreign)
			return -ENOSYS;
		domid = u.add.domid;
		break;
	case XENMEM_add_to_physmap_batch:
		if (m->ops->copy_from(m, &u.batch, va, sizeof(u.batch)))
			return -EFAULT;
		if (u.batch.space == XENMAPSPACE_gmfn_range)
			return -EOPNOTSUPP;
		domid = u.batch.domid;
		break;
	default:
		if (m->ops->copy_from(m, &u.remove, va, sizeof(u.remove)))
			return -EFAULT;
		domid = u.remove.domid;
		break;
	}
	return model_any_domain(m, domid, &owner) ? -EACCES : -ESRCH;
}

static long set_memory_map(struct model *m, uint64_t va)
{
	struct xen_foreign_memory_map f;
	int rc;

	if (m->ops->copy_from(m, &f, va, sizeof(f)))
		return -EFAULT;
	if (f.map.nr_entries > MAX_MAP)
		return -EINVAL;
	rc = find_target(m, f.domid);
	if (rc)
		return rc;
	if (f.map.nr_entries > MODEL_REGIONS)
		return -ENOMEM;
	if (f.map.nr_entries && m->ops->copy_from(m, m->map, (uintptr_t)f.map.buffer.p,
						  f.map.nr_entries * sizeof(m->map[0])))
		return -EFAULT;
	m->nr_regions = f.map.nr_entries;
	return 0;
}

static long memory_map(struct model *m, uint64_t va)
{
	struct xen_memory_map map;

	if (m->ops->copy_from(m, &map, va, sizeof(map)))
		return -EFAULT;
	if (!m->nr_regions)
		return -ENOSYS;
	if (map.nr_entries > m->nr_regions)
		map.nr_entries = m->nr_regions;
	if (map.nr_entries &&
	    m->ops->copy_to(m, (uintptr_t)map.buffer.p, m->map, map.nr_entries * sizeof(m->map[0])))
		return -EFAULT;
	return m->ops->copy_to(m, va, &map, sizeof(map));
}

/* The embedder's map as it is: Xen puts what a dom0 may not map between its regions as reserved ones. */
static long machine_memory_map(struct model *m, uint64_t va)
{
	struct xen_memory_map map;
	uint64_t buffer;

	if (!m->profile.dom0)
		return -EPERM;
	if (m->ops->copy_from(m, &map, va, sizeof(map)))
		return -EFAULT;
	buffer = (uintptr_t)map.buffer.p;
	if (buffer) {
		if (map.nr_entries < m->nr_machine_regions + 1)
			return -EINVAL;
		if (!model_va_ok(m, buffer) ||
		    m->ops->copy_to(m, buffer, m->machine_map,
				    m->nr_machine_regions * sizeof(m->machine_map[0])))
			return -EFAULT;
	}
	map.nr_entries = m->nr_machine_regions;
	return m->ops->copy_to(m, va, &map, sizeof(map));
}

static long machphys_mapping(struct model *m, uint64_t va)
{
	struct xen_machphys_mapping mapping;

	/* The first of Xen's slots, as an address: bit 47 goes up. */
	mapping.v_start =
		(uint64_t)((int64_t)((uint64_t)m->profile.xen_slot << (L4_SHIFT + 16)) >> 16);
	mapping.v_end = mapping.v_start + M2P_BYTES;
	mapping.max_mfn = m->profile.dom0 ? m->nr_frames - 1 : M2P_BYTES / sizeof(m->m2p[0]) - 1;
	return m->ops->copy_to(m, va, &mapping, sizeof(mapping));
}

/* do_memory_op(), arch_memory_op() */
long model_memory_op(struct model *m, const uint64_t *args)
{
	const uint64_t cmd = args[0], va = args[1], from = cmd >> MODEL_MEMOP_SHIFT;
	const unsigned int op = cmd & MODEL_MEMOP_MASK;

	switch (op) {
	case XENMEM_increase_reservation:
	case XENMEM_decrease_reservation:
	case XENMEM_populate_physmap:
		return adjust_reservation(m, op, from, va);
	case XENMEM_exchange:
		return from ? -EINVAL : model_memory_exchange(m, va);
	case XENMEM_maximum_ram_page:
		return from ? -EINVAL : (long)m->nr_frames;
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
		return from ? -EINVAL : reservation(m, op, va);
	case XENMEM_add_to_physmap:
	case XENMEM_add_to_physmap_batch:
	case XENMEM_remove_from_physmap:
		return physmap(m, op, from, va);
	default: /* what is left knows no restarts */
		break;
	}
	switch (cmd) {
	case XENMEM_set_memory_map:
		return set_memory_map(m, va);
	case XENMEM_memory_map:
		return memory_map(m, va);
	case XENMEM_machine_memory_map:
		return machine_memory_map(m, va);
	case XENMEM_machphys_mapping:
		return machphys_mapping(m, va);
	default:
		return m->ops->other(m, __HYPERVISOR_memory_op, args);
	}
}
