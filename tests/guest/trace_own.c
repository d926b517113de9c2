/* SPDX-License-Identifier: MIT */
/*
 * Frames of the pool that a trace gives back to Xen.
 *
 * A frame given back is free at its last reference, which may be much later. Until then it keeps its name. When it is
 * gone the name gets another frame, at once; and never one that has had a name in this trace: entries in plain pages may
 * still have the old number, and must mean nobody's frame to Xen and model alike. So what Xen gives and is not
 * wanted is held until another comes, and then goes back.
 */
#include "trace.h"
#include <xen/memory.h>

#define ASIDE 80

static bool given[TRACE_POOL];

static uint64_t pool_pfn(unsigned int n)
{
	return pfn_x(boot_va_pfn(raw_page(n)));
}

/* Whether the frame is this guest's; if so, the M2P says that it is at @pfn afterwards. */
static bool is_ours(mfn_t mfn, uint64_t pfn)
{
	struct mmu_update request = { .ptr = maddr_x(mfn_to_maddr(mfn)) | MMU_MACHPHYS_UPDATE,
				      .val = pfn };

	return hypercall_mmu_update(&request, 1, NULL, DOMID_SELF) == 0;
}

/* Whether pool frame @n is this guest's yet. */
static bool owned(unsigned int n)
{
	return is_ours(trace_mfn(n), pool_pfn(n));
}

static uint64_t take(uint64_t pfn)
{
	struct xen_memory_reservation res = { .nr_extents = 1, .domid = DOMID_SELF };
	uint64_t frame = pfn;

	set_xen_guest_handle(res.extent_start, &frame);
	return hypercall_memory_op(XENMEM_populate_physmap, &res) == 1 ? frame : INVALID_MFN_X;
}

void trace_own_give(uint64_t mfn, unsigned int order)
{
	struct xen_memory_reservation res = { .nr_extents = 1,
					      .extent_order = order,
					      .domid = DOMID_SELF };

	set_xen_guest_handle(res.extent_start, &mfn);
	CHECK_EQ(hypercall_memory_op(XENMEM_decrease_reservation, &res), 1);
}

static bool wanted(uint64_t mfn)
{
	return trace_name_of(_mfn(mfn)) == TRACE_NAMES && !trace_is_dead(_mfn(mfn));
}

/* Pool frame @n gets the frame @mfn, empty. */
static void adopt(unsigned int n, uint64_t mfn)
{
	uint64_t *mfn_list = boot_va(boot_info()->mfn_list.start);

	given[n] = false;
	trace_names_set(n, _mfn(mfn));
	mfn_list[pool_pfn(n)] = mfn;
	CHECK_EQ(raw_ext(MMUEXT_CLEAR_PAGE, mfn, 0), 0);
	CHECK(owned(n));
}

/* One frame for another: Xen has the new one before it takes the old. 0 or Xen's error. */
static long exchange(uint64_t in, uint64_t *out, uint64_t pfn)
{
	struct xen_memory_exchange exch = {
		.in = { .nr_extents = 1, .domid = DOMID_SELF },
		.out = { .nr_extents = 1, .domid = DOMID_SELF },
	};

	*out = pfn;
	set_xen_guest_handle(exch.in.extent_start, &in);
	set_xen_guest_handle(exch.out.extent_start, out);
	return hypercall_memory_op(XENMEM_exchange, &exch);
}

static void replace(unsigned int n)
{
	uint64_t aside[ASIDE], mfn;
	unsigned int nr = 0;

	for (mfn = take(pool_pfn(n)); nr < ASIDE && mfn != INVALID_MFN_X && !wanted(mfn);
	     mfn = take(pool_pfn(n)))
		aside[nr++] = mfn;
	if (!CHECK(mfn != INVALID_MFN_X))
		return;
	adopt(n, mfn);
	while (nr)
		trace_own_give(aside[--nr], 0);
}

/* Pool frame @n has been exchanged for @mfn. */
static void adopt_exchanged(unsigned int n, uint64_t mfn)
{
	if (wanted(mfn)) {
		adopt(n, mfn);
	} else {
		replace(n);
		trace_own_give(mfn, 0);
	}
}

void trace_own_refresh(void)
{
	unsigned int n;

	for (n = 0; n < TRACE_POOL; n++)
		if (given[n] && !owned(n))
			replace(n);
}

/* The pool frame that is number @i of the list, or TRACE_POOL. */
static unsigned int listed(const struct trace_op *op, unsigned int i)
{
	const unsigned int name = i ? op->value : op->frame;

	return trace_is_pool(name) ? name : TRACE_POOL;
}

/* Those from the first that was left to the last that is done. */
static void follow_decrease(const struct trace_call *call)
{
	const struct trace_op *op = call->op;
	unsigned int i;

	for (i = op->index; i < TRACE_EXTENTS && (long)i < call->rc; i++)
		if (listed(op, i) < TRACE_POOL)
			given[listed(op, i)] = true;
	trace_own_refresh();
}

/*
 * What is done of an exchange, extents of one frame each, has frames of Xen's in its other list. Where it could not be told, or
 * the call failed behind the theft, the frame has gone and there is nothing for it.
 */
static void follow_exchange(const struct trace_call *call)
{
	const struct trace_op *op = call->op;
	const unsigned int order = trace_field(op, TRACE_M_OUT_ORDER);
	const bool told = trace_field(op, TRACE_M_OUT) == TRACE_GOOD;
	unsigned int i;

	for (i = trace_field(op, TRACE_M_DONE); i < TRACE_EXTENTS && i < op->count; i++) {
		const unsigned int n = listed(op, i);

		if (n == TRACE_POOL || given[n] || owned(n))
			continue;
		if (told && i < call->done)
			adopt_exchanged(n, call->out[i >> order] + (i & ((1U << order) - 1)));
		else
			replace(n);
	}
}

/* What Xen gave without telling goes back if it is a frame that has had a name, or nobody's: it has to stay that. */
static void return_untold(void)
{
	mfn_t mfn;
	unsigned int i;

	for (i = 0; trace_dead(i, &mfn); i++)
		if (is_ours(mfn, INVALID_PFN_X))
			trace_own_give(mfn_x(mfn), 0);
	mfn = trace_mfn(TRACE_UNOWNED);
	if (is_ours(mfn, INVALID_PFN_X))
		trace_own_give(mfn_x(mfn), 0);
}

void trace_own_follow(const struct trace_call *call)
{
	if (call->op->kind != TRACE_MEMORY)
		return;
	trace_memory_follow(call);
	if (trace_memory_untold(call->op))
		return_untold();
	if (call->op->mode == XENMEM_exchange)
		follow_exchange(call);
	else if (call->op->mode == XENMEM_decrease_reservation)
		follow_decrease(call);
}

__weak bool trace_own_doubtful(unsigned int n)
{
	(void)n;
	return false;
}

/*
 * Xen can lose a reference: promote_l4_table() fails at a slot after the first, because of an L3 that fails at its
 * first slot, because of an L2 that fails at a later one. The L2 then waits in old_guest_table to have its first
 * entries put; promote_l3_table() does not take it over, and promote_l4_table() puts the L4 in its place ("it's safer
 * to leak a type ref"). Such frames may look plain, and are never free again. That a frame has no reference left is
 * proved by exchanging it.
 */
bool trace_own_renew(unsigned int n)
{
	uint64_t in = mfn_x(trace_mfn(n)), out;
	bool lost;

	CHECK_EQ(raw_unmap(raw_page(n)), 0);
	lost = exchange(in, &out, pool_pfn(n)) != 0;
	if (!lost) {
		adopt_exchanged(n, out);
	} else if (CHECK(owned(n))) {
		trace_own_give(in, 0);
		replace(n);
	}
	CHECK_EQ(raw_rw(raw_page(n)), 0);
	return lost;
}

bool trace_own_settle(unsigned int n)
{
	bool held = given[n] && owned(n);

	if (given[n])
		replace(n);
	CHECK(owned(n));
	return held;
}
