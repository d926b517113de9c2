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

/* Whether the frame is this guest's yet; if so, the M2P says so afterwards. */
static bool owned(unsigned int n)
{
	struct mmu_update request = {
		.ptr = maddr_x(mfn_to_maddr(trace_mfn(n))) | MMU_MACHPHYS_UPDATE, .val = pool_pfn(n)
	};

	return hypercall_mmu_update(&request, 1, NULL, DOMID_SELF) == 0;
}

static uint64_t take(uint64_t pfn)
{
	struct xen_memory_reservation res = { .nr_extents = 1, .domid = DOMID_SELF };
	uint64_t frame = pfn;

	set_xen_guest_handle(res.extent_start, &frame);
	return hypercall_memory_op(XENMEM_populate_physmap, &res) == 1 ? frame : INVALID_MFN_X;
}

static void give(uint64_t mfn)
{
	struct xen_memory_reservation res = { .nr_extents = 1, .domid = DOMID_SELF };

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
		give(aside[--nr]);
}

/* Pool frame @n has been exchanged for @mfn. */
static void adopt_exchanged(unsigned int n, uint64_t mfn)
{
	if (wanted(mfn)) {
		adopt(n, mfn);
	} else {
		replace(n);
		give(mfn);
	}
}

void trace_own_refresh(void)
{
	unsigned int n;

	for (n = 0; n < TRACE_POOL; n++)
		if (given[n] && !owned(n))
			replace(n);
}

void trace_own_follow(const struct trace_call *call)
{
	const struct trace_op *op = call->op;

	if (op->kind != TRACE_MEMORY || !trace_is_pool(op->frame))
		return;
	if (op->mode == TRACE_EXCHANGE && call->rc == 0)
		adopt_exchanged(op->frame, call->out[0]);
	if (op->mode != TRACE_DECREASE || call->rc <= 0)
		return;
	given[op->frame] = true;
	if (call->rc > 1 && trace_is_pool(op->value))
		given[op->value] = true;
	trace_own_refresh();
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
		give(in);
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
