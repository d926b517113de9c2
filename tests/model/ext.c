/* SPDX-License-Identifier: MIT */
/*
 * mmuext_op: pins, base pointers, flushes, the LDT, and pages written by Xen's hand.
 *
 * The call goes on to the first error. A pin that fails part-way, or of what is pinned, leaves a table to be taken back when the
 * count has been written: model_finish().
 *
 * A pin is one reference and one use of the table as what it is pinned as, held by a bit; the base pointers hold one each.
 * So a pinned table that is loaded may be unpinned, and the loaded one is as safe as the pinned.
 */
#include <pinion/lib/string.h>
#include "internal.h"

/* MMUEXT_PIN_L1_TABLE .. PIN_L4_TABLE */
static int pin(struct model *m, mfn_t mfn, enum model_type type, enum model_owner owner)
{
	struct model_frame *f;
	int rc;

	if (!model_get_page_of(m, mfn, owner))
		return -EINVAL;
	rc = model_get_type(m, mfn, type);
	if (rc) {
		if (!mfn_eq(mfn, m->old_table))
			model_put_page(m, mfn);
		return rc;
	}
	f = model_frame(m, mfn);
	if (!f->pinned) {
		f->pinned = true;
		return 0;
	}
	if (type == MODEL_L1) {
		model_put_page_and_type(m, mfn);
	} else {
		m->old_table = mfn;
		m->old_parent = INVALID_MFN;
		m->old_partial = false;
	}
	return -EINVAL;
}

/* MMUEXT_UNPIN_TABLE */
static int unpin(struct model *m, mfn_t mfn, enum model_owner owner)
{
	struct model_frame *f;

	if (!model_get_page_of(m, mfn, owner))
		return -EINVAL;
	f = model_frame(m, mfn);
	if (!f->pinned) {
		model_put_page(m, mfn);
		return -EINVAL;
	}
	f->pinned = false;
	model_put_page_and_type(m, mfn);
	model_put_page(m, mfn);
	return 0;
}

static bool m2p_strict(const struct model *m)
{
	return m->vm_assist & (UINT64_C(1) << VMASST_TYPE_m2p_strict);
}

/* The slot of an L4 that shows the M2P. */
static uint64_t *m2p_slot(struct model *m, mfn_t l4)
{
	return (uint64_t *)m->ops->page(m, l4) + m->profile.xen_slot;
}

void model_fill_m2p(struct model *m, mfn_t l4)
{
	if (m->profile.xen_slots && !m2p_strict(m))
		*m2p_slot(m, l4) = m->xen_l4e[0];
}

/* new_guest_cr3() */
static int new_base(struct model *m, mfn_t mfn)
{
	const mfn_t old = m->l4;

	if (!mfn_eq(old, mfn)) {
		int rc = model_get_page_and_type(m, mfn, MODEL_L4);

		if (rc)
			return rc;
		model_drop_ldt(m);
		model_fill_m2p(m, mfn);
		m->l4 = mfn;
	}
	m->ops->load_base(m);
	model_flush(m); /* write_ptbase(), for the same one too */
	if (!mfn_eq(old, mfn) && !mfn_eq(old, INVALID_MFN))
		model_put_page_and_type(m, old);
	return 0;
}

/* MMUEXT_NEW_USER_BASEPTR; number 0 means none. The CPU gets it when the guest next goes to user mode. */
static int new_user_base(struct model *m, uint64_t number)
{
	const mfn_t old = m->user_l4, mfn = number ? _mfn(number) : INVALID_MFN;

	if (number == (mfn_eq(old, INVALID_MFN) ? 0 : mfn_x(old)))
		return 0;
	if (number) {
		int rc = model_get_page_and_type(m, mfn, MODEL_L4);

		if (rc)
			return rc;
		if (m->profile.xen_slots && m2p_strict(m))
			*m2p_slot(m, mfn) = 0; /* zap_ro_mpt() */
	}
	m->user_l4 = mfn;
	if (!mfn_eq(old, INVALID_MFN))
		model_put_page_and_type(m, old);
	return 0;
}

/* MMUEXT_TLB_FLUSH_MULTI and _INVLPG_MULTI */
static int flush_multi(struct model *m, const struct mmuext_op *op)
{
	const uint64_t va = op->arg1.linear_addr;
	bool named;

	if (model_read_vcpus(m, (uintptr_t)op->arg2.vcpumask.p, &named))
		return -EINVAL;
	if (!named)
		return 0;
	if (op->cmd == MMUEXT_TLB_FLUSH_MULTI)
		model_flush(m);
	else if (model_va_ok(m, va))
		model_flush_va(m, va);
	return 0;
}

/* A frame that Xen may write for the guest: one of @owner's that no table uses. dom_io's are no RAM (get_page_from_gfn()). */
static bool get_writable(struct model *m, mfn_t mfn, enum model_owner owner)
{
	if (owner == MODEL_IO || !model_get_page_of(m, mfn, owner))
		return false;
	if (model_get_type(m, mfn, MODEL_WRITABLE) == 0)
		return true;
	model_put_page(m, mfn);
	return false;
}

static int clear_page(struct model *m, mfn_t mfn, enum model_owner owner)
{
	if (!get_writable(m, mfn, owner))
		return -EINVAL;
	memset(m->ops->page(m, mfn), 0, PAGE_SIZE);
	model_put_page_and_type(m, mfn);
	return 0;
}

static int copy_page(struct model *m, mfn_t to, mfn_t from, enum model_owner owner)
{
	if (owner == MODEL_IO || !model_get_page_of(m, from, owner))
		return -EINVAL;
	if (!get_writable(m, to, owner)) {
		model_put_page(m, from);
		return -EINVAL;
	}
	memmove(m->ops->page(m, to), m->ops->page(m, from), PAGE_SIZE);
	model_put_page_and_type(m, to);
	model_put_page(m, from);
	return 0;
}

/* Commands that are about the caller's CPU: not for another domain. */
static int cpu_command(struct model *m, const struct mmuext_op *op)
{
	const uint64_t va = op->arg1.linear_addr;

	switch (op->cmd) {
	case MMUEXT_NEW_BASEPTR:
		return new_base(m, _mfn(op->arg1.mfn));
	case MMUEXT_NEW_USER_BASEPTR:
		return new_user_base(m, op->arg1.mfn);
	case MMUEXT_TLB_FLUSH_LOCAL:
	case MMUEXT_TLB_FLUSH_ALL:
		model_flush(m);
		return 0;
	case MMUEXT_INVLPG_LOCAL: /* paging_invlpg() looks at less than __addr_ok() */
		if (va_canonical(va))
			model_flush_va(m, va);
		return 0;
	case MMUEXT_INVLPG_ALL:
		if (model_va_ok(m, va))
			model_flush_va(m, va);
		return 0;
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_INVLPG_MULTI:
		return flush_multi(m, op);
	case MMUEXT_FLUSH_CACHE: /* cache_flush_permitted(): who has I/O memory */
		return m->profile.dom0 ? 0 : -EACCES;
	case MMUEXT_FLUSH_CACHE_GLOBAL:
		return m->profile.dom0 ? 0 : -EINVAL;
	default: /* MMUEXT_SET_LDT */
		return model_set_ldt(m, op->arg1.linear_addr, op->arg2.nr_ents);
	}
}

static int ext_one(struct model *m, const struct mmuext_op *op, enum model_owner owner)
{
	switch (op->cmd) {
	case MMUEXT_PIN_L1_TABLE:
	case MMUEXT_PIN_L2_TABLE:
	case MMUEXT_PIN_L3_TABLE:
	case MMUEXT_PIN_L4_TABLE:
		return pin(m, _mfn(op->arg1.mfn),
			   (enum model_type)(MODEL_L1 + (op->cmd - MMUEXT_PIN_L1_TABLE)), owner);
	case MMUEXT_UNPIN_TABLE:
		return unpin(m, _mfn(op->arg1.mfn), owner);
	case MMUEXT_NEW_BASEPTR:
	case MMUEXT_NEW_USER_BASEPTR:
	case MMUEXT_TLB_FLUSH_LOCAL:
	case MMUEXT_INVLPG_LOCAL:
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_INVLPG_MULTI:
	case MMUEXT_TLB_FLUSH_ALL:
	case MMUEXT_INVLPG_ALL:
	case MMUEXT_FLUSH_CACHE:
	case MMUEXT_FLUSH_CACHE_GLOBAL:
	case MMUEXT_SET_LDT:
		return owner == MODEL_GUEST ? cpu_command(m, op) : -EPERM;
	case MMUEXT_CLEAR_PAGE:
		return clear_page(m, _mfn(op->arg1.mfn), owner);
	case MMUEXT_COPY_PAGE:
		return copy_page(m, _mfn(op->arg1.mfn), _mfn(op->arg2.src_mfn), owner);
	case MMUEXT_MARK_SUPER:
	case MMUEXT_UNMARK_SUPER:
		return -EOPNOTSUPP;
	default:
		return -ENOSYS;
	}
}

/* The operations, to the first error. *@i: how many were done. */
static int ext_all(struct model *m, uint64_t list, uint32_t count, enum model_owner owner,
		   uint32_t *i)
{
	for (*i = 0; *i < count; ++*i) {
		struct mmuext_op op;
		int rc = m->ops->copy_from(m, &op, list + *i * sizeof(op), sizeof(op));

		if (rc)
			return rc;
		rc = ext_one(m, &op, owner);
		model_answer(m, __HYPERVISOR_mmuext_op, op.cmd, rc);
		if (rc)
			return rc;
	}
	return 0;
}

long model_mmuext_op(struct model *m, const uint64_t *args)
{
	const uint64_t list = args[0], pdone = args[2];
	const uint32_t count = (uint32_t)args[1];
	enum model_owner owner;
	uint32_t done = 0, i;
	int rc;

	/* How Xen hands itself the result over a restart, and how many were done before; open to the guest as well. */
	if (count == MODEL_PREEMPTED && !list)
		return m->answer = (int32_t)args[3];
	if ((count & MODEL_PREEMPTED) && pdone && m->ops->copy_from(m, &done, pdone, sizeof(done)))
		done = 0;
	if (!model_va_ok(m, list))
		return -EFAULT;
	if (!model_pg_owner(m, (domid_t)args[3], &owner))
		return -ESRCH;
	if (!model_may_target(m, owner))
		return -EPERM;

	rc = ext_all(m, list, count & ~MODEL_PREEMPTED, owner, &i);
	done += i;
	if (pdone && m->ops->copy_to(m, pdone, &done, sizeof(done)))
		done = 0; /* nobody hears of it: not the call's error */
	model_finish(m);
	return rc;
}
