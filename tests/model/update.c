/* SPDX-License-Identifier: MIT */
/*
 * The two calls that change entries: mmu_update, by the entry's machine address, and update_va_mapping, the leaf of an address.
 *
 * mmu_update goes on to the first error. After each entry of an L2 to L4 that replaces or clears one, Xen leaves the call, flushes,
 * drops what the old entry linked and begins anew with the rest: so such entries flush one by one, and what `pdone` points to is
 * written, and read again, in between. Links into empty slots share one flush at the end. Entries of L1s flush nothing.
 *
 * A page of the guest's that is no table is simply written to: the entry's address may be that of any 8 bytes that the guest could
 * write itself.
 */
#include "internal.h"

bool model_va_ok(const struct model *m, uint64_t va)
{
	return va_canonical(va) && model_guest_slot(m, va_index(va, 4));
}

bool model_pg_owner(const struct model *m, domid_t domid, enum model_owner *owner)
{
	if (domid == m->domid)
		return false;
	switch (domid) {
	case DOMID_SELF:
		*owner = MODEL_GUEST;
		return true;
	case DOMID_IO:
		*owner = MODEL_IO;
		return true;
	case DOMID_XEN:
		*owner = MODEL_XEN;
		return true;
	default: /* a domU has a dom0 beside it, a dom0 is alone */
		*owner = MODEL_OTHER;
		return domid == 0;
	}
}

bool model_may_target(const struct model *m, enum model_owner owner)
{
	return owner == MODEL_GUEST || m->profile.dom0;
}

bool model_walk(struct model *m, uint64_t va, mfn_t *mfn, uint64_t *rights, unsigned int *level)
{
	mfn_t table = m->l4;

	*rights = PTE_RW | PTE_US;
	*mfn = INVALID_MFN;
	for (*level = 4;; --*level) {
		const uint64_t *page;
		uint64_t pte;

		if (!va_canonical(va))
			return false;
		page = m->ops->page(m, table);
		pte = READ_ONCE(page[va_index(va, *level)]);
		if (!(pte & PTE_P))
			return false;
		*rights = (*rights & (pte | PTE_NX)) | (pte & PTE_NX);
		table = pte_mfn(pte);
		if (*level == 1 || (*level < 4 && (pte & PTE_PSE)))
			break;
	}
	/* A superpage, in a slot of Xen's: the frame within it. */
	*mfn = mfn_add(table, (va & ((UINT64_C(1) << level_shift(*level)) - 1)) >> PAGE_SHIFT);
	return true;
}

/* One call of Xen's, from its entry to where it leaves, perhaps to begin anew. */
struct pass {
	uint64_t reqs;	/* the next request */
	uint32_t count; /* how many are left, and MODEL_PREEMPTED when begun anew */
	uint64_t pdone;
	uint32_t foreigndom;
};

/* MMU_NORMAL_PT_UPDATE and its two brothers. *@flush becomes true if an entry of an L2 to L4 has changed. */
static int update_entry(struct model *m, const struct mmu_update *req, enum model_owner pg_owner,
			bool *flush)
{
	const mfn_t mfn = maddr_to_mfn(_maddr(req->ptr));
	const unsigned int index = (unsigned int)(req->ptr & PAGE_OFFSET_MASK) / sizeof(uint64_t);
	const bool preserve_ad = (req->ptr & 7) == MMU_PT_UPDATE_PRESERVE_AD;
	struct model_frame *f;
	int rc = -EINVAL;

	if (!model_get_page(m, mfn))
		return -EINVAL;
	f = model_frame(m, mfn);
	if (f->type_count == 0 || !f->validated || f->type == MODEL_WRITABLE) {
		if (model_get_type(m, mfn, MODEL_WRITABLE) == 0) {
			uint64_t *page = m->ops->page(m, mfn);

			WRITE_ONCE(page[index], req->val);
			model_put_type(m, mfn);
			rc = 0;
		}
	} else if (f->type == MODEL_L1) {
		rc = model_mod_entry(m, mfn, index, 1, req->val, pg_owner, preserve_ad);
	} else if (f->type <= MODEL_L4 && pg_owner == MODEL_GUEST) {
		rc = model_mod_entry(m, mfn, index, f->type, req->val, pg_owner, preserve_ad);
		*flush |= rc == 0;
	}
	model_put_page(m, mfn);
	return rc;
}

/* MMU_MACHPHYS_UPDATE: the number is not looked at. */
static int update_m2p(struct model *m, const struct mmu_update *req, enum model_owner pg_owner)
{
	const mfn_t mfn = maddr_to_mfn(_maddr(req->ptr));

	if (!model_get_page_of(m, mfn, pg_owner))
		return -EINVAL;
	m->m2p[mfn_x(mfn)] = req->val;
	model_put_page(m, mfn);
	return 0;
}

/* @pt_owner: whose tables are meant. What the guest may do to either (xsm_mmu_update()) is asked at each request. */
static int update_one(struct model *m, const struct mmu_update *req, enum model_owner pt_owner,
		      enum model_owner pg_owner, bool *flush)
{
	const bool may = pg_owner == MODEL_IO || model_may_target(m, pg_owner);

	switch (req->ptr & 7) {
	case MMU_NORMAL_PT_UPDATE:
	case MMU_PT_UPDATE_PRESERVE_AD:
	case MMU_PT_UPDATE_NO_TRANSLATE:
		if (!may || !model_may_target(m, pt_owner))
			return -EPERM;
		return update_entry(m, req, pg_owner, flush);
	case MMU_MACHPHYS_UPDATE:
		if (!may || pt_owner != MODEL_GUEST)
			return -EPERM;
		return update_m2p(m, req, pg_owner);
	default:
		return -ENOSYS;
	}
}

/* The domains that foreigndom's halves name: upper, if not 0, that of the tables plus one. 0 or -ESRCH. */
static int find_owners(const struct model *m, uint32_t foreigndom, enum model_owner *pt_owner,
		       enum model_owner *pg_owner, bool *say_done)
{
	const uint32_t pt_dom = foreigndom >> 16;

	*pt_owner = MODEL_GUEST;
	*say_done = false;
	if (pt_dom && pt_dom - 1 != m->domid) {
		/* rcu_lock_domain_by_id(): real domains only, not the special numbers */
		if (pt_dom != 1)
			return -ESRCH;
		*pt_owner = MODEL_OTHER;
	}
	*say_done = true;
	return model_pg_owner(m, (domid_t)foreigndom, pg_owner) ? 0 : -ESRCH;
}

/* The requests of one pass. *@i: how many were done. */
static int update_requests(struct model *m, const struct pass *p, uint32_t count,
			   enum model_owner pt_owner, enum model_owner pg_owner, uint32_t *i)
{
	bool flush = false;
	int rc = 0;

	for (*i = 0; *i < count && mfn_eq(m->old_table, INVALID_MFN); ++*i) {
		struct mmu_update req;

		rc = m->ops->copy_from(m, &req, p->reqs + *i * sizeof(req), sizeof(req));
		if (rc)
			break;
		rc = update_one(m, &req, pt_owner, pg_owner, &flush);
		model_answer(m, __HYPERVISOR_mmu_update, req.ptr & 7, rc);
		if (rc)
			break;
	}
	if (flush)
		model_flush(m);
	return rc;
}

/* Returns the call's result; *@p then has what is left, if the call begins anew. */
static int update_pass(struct model *m, struct pass *p)
{
	const uint32_t count = p->count & ~MODEL_PREEMPTED;
	enum model_owner pt_owner, pg_owner;
	uint32_t done = 0, i = 0;
	bool say_done;
	int rc;

	if ((p->count & MODEL_PREEMPTED) && p->pdone &&
	    m->ops->copy_from(m, &done, p->pdone, sizeof(done)))
		done = 0;
	p->count = 0;
	if (!model_va_ok(m, p->reqs))
		return -EFAULT;

	rc = find_owners(m, p->foreigndom, &pt_owner, &pg_owner, &say_done);
	if (!rc)
		rc = update_requests(m, p, count, pt_owner, pg_owner, &i);
	done += i;
	if (say_done && p->pdone && m->ops->copy_to(m, p->pdone, &done, sizeof(done)))
		done = 0; /* nobody hears of it: not the call's error */
	model_finish(m);
	if (!rc && i < count) {
		p->reqs += i * sizeof(struct mmu_update);
		p->count = (count - i) | MODEL_PREEMPTED;
	}
	return rc;
}

long model_mmu_update(struct model *m, const uint64_t *args)
{
	struct pass p = {
		.reqs = args[0],
		.count = (uint32_t)args[1],
		.pdone = args[2],
		.foreigndom = (uint32_t)args[3],
	};
	int rc;

	/* How Xen hands itself the result over a restart; open to the guest as well. */
	if (p.count == MODEL_PREEMPTED && !p.reqs)
		return m->answer = (int32_t)p.foreigndom;
	do {
		rc = update_pass(m, &p);
	} while (p.count);
	return rc;
}

int model_read_vcpus(struct model *m, uint64_t va, bool *named)
{
	uint64_t bitmap = 0;
	int rc = m->ops->copy_from(m, &bitmap, va, sizeof(bitmap));

	*named = !rc && (bitmap & 1);
	return rc;
}

/* The flush that an update_va_mapping asks for. -EFAULT: whose was not to be read; the entry has changed. */
static int flush_after(struct model *m, uint64_t va, uint64_t flags)
{
	const uint64_t who = flags & ~(uint64_t)UVMF_FLUSHTYPE_MASK;
	const unsigned int what = flags & UVMF_FLUSHTYPE_MASK;
	bool named = true;
	int rc = 0;

	if (what != UVMF_TLB_FLUSH && what != UVMF_INVLPG)
		return 0;
	if (who != UVMF_LOCAL && who != UVMF_ALL)
		rc = model_read_vcpus(m, who, &named);
	if (named && what == UVMF_TLB_FLUSH)
		model_flush(m);
	else if (named)
		model_flush_va(m, va);
	return rc;
}

/* map_guest_l1e(): the L1 table through which m->l4 maps @va, whatever rights its entries give. */
static bool find_l1(struct model *m, uint64_t va, mfn_t *table)
{
	*table = m->l4;
	if (!model_va_ok(m, va))
		return false;
	for (unsigned int level = 4; level > 1; level--) {
		const uint64_t *page = m->ops->page(m, *table);
		const uint64_t pte = READ_ONCE(page[va_index(va, level)]);

		if (!(pte & PTE_P))
			return false;
		*table = pte_mfn(pte);
	}
	return true;
}

/* __do_update_va_mapping() */
static int update_va(struct model *m, const uint64_t *args, enum model_owner pg_owner)
{
	const uint64_t va = args[0];
	const struct model_frame *f;
	mfn_t table;
	int rc;

	if (!model_may_target(m, pg_owner))
		return -EPERM;
	if (!find_l1(m, va, &table))
		return -EINVAL;
	f = model_frame(m, table);
	if (f->type !=
	    MODEL_L1) /* a linear table: what looks like an L1 is one of a higher level */
		return -EINVAL;
	rc = model_mod_entry(m, table, va_index(va, 1), 1, args[1], pg_owner, false);
	return rc ? rc : flush_after(m, va, args[2]);
}

long model_update_va_mapping(struct model *m, const uint64_t *args)
{
	return update_va(m, args, MODEL_GUEST);
}

long model_update_va_mapping_otherdomain(struct model *m, const uint64_t *args)
{
	enum model_owner pg_owner;

	if (!model_pg_owner(m, (domid_t)args[3], &pg_owner))
		return -ESRCH;
	return update_va(m, args, pg_owner);
}
