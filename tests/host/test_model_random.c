/* SPDX-License-Identifier: MIT */
/*
 * A guest that did anything, by random calls, and then lets go of everything: each page that it owns has the owner's one reference
 * and no use. What a call keeps or drops too much shows here even where the checker would take it for right
 * (test_model_calls.c has that look on after each call). PINION_SEED gives the seed.
 */
#include "model_kit.h"

#define MACHINES 400
#define STEPS	 250
#define POOL	 24

struct run {
	struct kit *kit;
	struct rng rng;
	mfn_t pool[POOL];
	unsigned int done, refused, ended;
};

/* A pool page mostly; else one that is not the guest's, or none. */
static mfn_t any_frame(struct run *r)
{
	static const mfn_t others[] = {
		{ 5 }, { 17 }, { 25 }, { 250 }, { 255 }, { 300 }, { UINT64_C(1) << 39 }
	};

	if (rng_below(&r->rng, 16) == 0)
		return others[rng_below(&r->rng, ARRAY_SIZE(others))];
	return r->pool[rng_below(&r->rng, POOL)];
}

/* Few slots, so that entries meet again; their edges among them. */
static unsigned int any_slot(struct run *r)
{
	static const unsigned int slots[] = { 0, 1, 2, 3, 255, 256, 271, 272, 511 };

	return slots[rng_below(&r->rng, ARRAY_SIZE(slots))];
}

static uint64_t any_entry(struct run *r)
{
	static const uint64_t odd[] = { PTE_PCD, PTE_PSE, PTE_G, PTE_NX, PTE_GK, PTE_AVL, PTE_PWT };
	uint64_t flags = PTE_P | PTE_US;

	if (rng_below(&r->rng, 5) == 0)
		return 0;
	if (rng_below(&r->rng, 2))
		flags |= PTE_RW;
	if (rng_below(&r->rng, 8) == 0)
		flags |= odd[rng_below(&r->rng, ARRAY_SIZE(odd))];
	return pte_make(any_frame(r), flags);
}

static long count(struct run *r, long rc)
{
	*(rc < 0 ? &r->refused : &r->done) += 1;
	return rc;
}

static void update_some(struct run *r)
{
	const unsigned int n = (unsigned int)rng_below(&r->rng, 6) + 1;
	uint32_t done;
	long rc;

	for (unsigned int i = 0; i < n; i++) {
		const unsigned int cmd =
			rng_below(&r->rng, 30) ? 0 : (unsigned int)rng_below(&r->rng, 8);

		kit_request(r->kit, i, kit_ptr(any_frame(r), any_slot(r)) | cmd, any_entry(r));
	}
	rc = count(r, kit_updates(r->kit, n, DOMID_SELF, &done));
	assert_true(rc ? done < n : done == n);
}

/* An address whose indices are all of those that entries are at. */
static void update_va(struct run *r)
{
	uint64_t va = 0;

	for (unsigned int level = 1; level <= 4; level++)
		va |= (uint64_t)any_slot(r) << level_shift(level);
	va = (uint64_t)((int64_t)(va << 16) >> 16);
	count(r, kit_call(r->kit, __HYPERVISOR_update_va_mapping, va, any_entry(r),
			  rng_below(&r->rng, 8), 0));
}

static void extended_op(struct run *r)
{
	static const unsigned int commands[] = {
		MMUEXT_PIN_L1_TABLE,	 MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE,
		MMUEXT_PIN_L4_TABLE,	 MMUEXT_UNPIN_TABLE,  MMUEXT_UNPIN_TABLE,
		MMUEXT_UNPIN_TABLE,	 MMUEXT_NEW_BASEPTR,  MMUEXT_NEW_USER_BASEPTR,
		MMUEXT_NEW_USER_BASEPTR, MMUEXT_CLEAR_PAGE,   MMUEXT_COPY_PAGE,
		MMUEXT_SET_LDT,
	};
	const unsigned int cmd = commands[rng_below(&r->rng, ARRAY_SIZE(commands))];
	uint64_t arg1 = mfn_x(any_frame(r)), arg2 = mfn_x(any_frame(r));

	if (cmd == MMUEXT_SET_LDT)
		arg1 <<= PAGE_SHIFT;
	if (cmd == MMUEXT_NEW_USER_BASEPTR && rng_below(&r->rng, 2))
		arg1 = 0;
	count(r, kit_ext(r->kit, cmd, arg1, arg2));
}

static void descriptors(struct run *r)
{
	uint64_t mfns[3];

	if (rng_below(&r->rng, 3) == 0) { /* a zero descriptor, or any 8 bytes */
		count(r, kit_call(r->kit, __HYPERVISOR_update_descriptor,
				  kit_ptr(any_frame(r), any_slot(r)),
				  rng_below(&r->rng, 2) ? 0 : any_entry(r), 0, 0));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(mfns); i++)
		mfns[i] = mfn_x(any_frame(r));
	count(r, kit_call(r->kit, __HYPERVISOR_set_gdt, kit_put(r->kit, 0, mfns, sizeof(mfns)),
			  rng_below(&r->rng, 3) * TABLE_ENTRIES, 0, 0));
}

/* The pool page goes back to the heap, at once or later, and another takes its place, if there is one. */
static void give_up(struct run *r)
{
	struct model *m = &r->kit->m;
	const uint64_t i = rng_below(&r->rng, POOL);
	struct xen_memory_reservation res = { .nr_extents = 1, .domid = DOMID_SELF };
	mfn_t next = model_alloc(m);
	uint64_t mfn = mfn_x(r->pool[i]);

	if (mfn_eq(next, INVALID_MFN))
		return;
	memset(r->kit->page[mfn_x(next)], 0, PAGE_SIZE);
	set_xen_guest_handle(res.extent_start,
			     (xen_pfn_t *)kit_put(r->kit, 256, &mfn, sizeof(mfn)));
	count(r, kit_call(r->kit, __HYPERVISOR_memory_op, XENMEM_decrease_reservation,
			  kit_put(r->kit, 0, &res, sizeof(res)), 0, 0));
	r->pool[i] = next;
}

static void assist(struct run *r)
{
	count(r, kit_call(r->kit, __HYPERVISOR_vm_assist,
			  rng_below(&r->rng, 2) ? VMASST_CMD_enable : VMASST_CMD_disable,
			  VMASST_TYPE_m2p_strict, 0, 0));
}

/* Whether Xen's known leak has come: what a half-done L2 holds stays held. */
static bool leaked(struct run *r)
{
	for (uint64_t i = 0; i < KIT_FRAMES; i++)
		if (kit_frame(r->kit, _mfn(i))->partial)
			return true;
	return false;
}

/* Lets go of all but the live L4, which is cleared: nothing is used then, and nothing a table, but that. */
static void let_go(struct run *r)
{
	const mfn_t l4 = r->kit->m.l4;

	assert_int_equal(kit_call(r->kit, __HYPERVISOR_set_gdt, KIT_VA, 0, 0, 0), 0);
	assert_int_equal(kit_ext(r->kit, MMUEXT_SET_LDT, 0, 0), 0);
	assert_int_equal(kit_ext(r->kit, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	for (uint64_t i = KIT_HEAP; i < mfn_x(KIT_SHARED); i++)
		if (kit_frame(r->kit, _mfn(i))->pinned)
			assert_int_equal(kit_ext(r->kit, MMUEXT_UNPIN_TABLE, i, 0), 0);
	for (unsigned int at = 0; at < TABLE_ENTRIES; at++)
		if (at < 256 || at > 271)
			assert_int_equal(kit_update(r->kit, l4, at, 0), 0);
	kit_check(r->kit);
	for (uint64_t i = KIT_HEAP; i < mfn_x(KIT_SHARED); i++) {
		const struct model_frame *f = kit_frame(r->kit, _mfn(i));
		const bool live = i == mfn_x(l4);

		if (f->owner != MODEL_GUEST)
			continue;
		assert_int_equal(f->count, (uint32_t)f->allocated + f->leaked + live);
		assert_int_equal(f->type_count, live);
	}
	r->ended++;
}

static void play(struct run *r)
{
	static void (*const steps[])(struct run *) = {
		update_some, update_some, update_some, update_some, update_some,
		update_some, extended_op, extended_op, extended_op, extended_op,
		update_va,   update_va,	  descriptors, give_up,	    assist,
	};

	for (unsigned int step = 0; step < STEPS; step++)
		steps[rng_below(&r->rng, ARRAY_SIZE(steps))](r);
	kit_check(r->kit);
	if (!leaked(r))
		let_go(r);
}

static void test_random(void **state)
{
	struct run r = { .done = 0 };

	(void)state;
	host_seed(&r.rng);
	for (unsigned int i = 0; i < MACHINES; i++) {
		r.kit = kit_new(i & 1 ? &kit_dom0 : &kit_domu);
		/* The pool has the live tables too, so that they are written, mapped and linked like all others. */
		r.pool[0] = r.kit->l4;
		r.pool[1] = r.kit->l3;
		r.pool[2] = r.kit->l2;
		r.pool[3] = r.kit->l1;
		for (unsigned int p = 4; p < POOL; p++)
			r.pool[p] = kit_page(r.kit);
		play(&r);
		kit_free(r.kit);
	}
	print_message("%u calls done, %u refused; %u machines to their end\n", r.done, r.refused,
		      r.ended);
	assert_true(r.ended > MACHINES / 2);
	assert_true(r.done > MACHINES * STEPS / 10 && r.refused > MACHINES * STEPS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
