/* SPDX-License-Identifier: MIT */
/*
 * The model's frames and types: each story ends in counts, for a count that is one off is what later lets a guest write
 * its own page tables, or never get a page back.
 */
#include "model_kit.h"

/*
 * Rule: a frame is free when nothing refers to it, not when its owner gives it up; then its M2P entry is ~0 and it can be given again
 * (put_page(), free_domheap_page()).
 */
static void test_last_reference(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);
	const mfn_t mfn = kit_page(kit);

	(void)state;
	EXPECT_FRAME(kit, mfn, 1, MODEL_NONE, 0);
	assert_int_equal(kit->m.m2p[mfn_x(mfn)], 1000 + mfn_x(mfn));
	assert_int_equal(kit->m.tot_pages, 1);
	assert_int_equal(model_get_page_and_type(&kit->m, mfn, MODEL_WRITABLE), 0);
	EXPECT_FRAME(kit, mfn, 2, MODEL_WRITABLE, 1);

	kit_frame(kit, mfn)->allocated = false; /* as decrease_reservation does */
	model_put_page(&kit->m, mfn);
	assert_int_equal(kit->m.tot_pages, 1);
	assert_int_equal(kit->m.m2p[mfn_x(mfn)], 1000 + mfn_x(mfn));

	model_put_page_and_type(&kit->m, mfn);
	EXPECT_FRAME(kit, mfn, 0, MODEL_NONE, 0);
	assert_int_equal(kit_frame(kit, mfn)->owner, MODEL_NOBODY);
	assert_int_equal(kit->m.tot_pages, 0);
	assert_true(kit->m.m2p[mfn_x(mfn)] == UINT64_MAX);
	assert_false(model_get_page(&kit->m, mfn));
	EXPECT_PANIC(model_put_page(&kit->m, mfn), "count > 0");
	kit_free(kit);
}

/* A guest that gives up the page that Xen shares with it loses it, and Xen does not: no page of the heap (free_domheap_pages()). */
static void test_shared_given_up(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);

	(void)state;
	kit_frame(kit, KIT_SHARED)->allocated = false;
	model_put_page(&kit->m, KIT_SHARED);
	EXPECT_FRAME(kit, KIT_SHARED, 0, MODEL_WRITABLE, 1);
	assert_int_not_equal(kit_frame(kit, KIT_SHARED)->owner, MODEL_NOBODY);
	assert_false(model_get_page(&kit->m, KIT_SHARED));
	kit_free(kit);
}

/* Whose frames a reference can be taken to: the guest's and what Xen shares with it, not others', Xen's, dom_io's or none. */
static void test_owners(void **state)
{
	struct kit *kit = kit_bare(&kit_dom0);
	struct model *m = &kit->m;

	(void)state;
	assert_true(model_get_page(m, KIT_SHARED));
	EXPECT_FRAME(kit, KIT_SHARED, 2, MODEL_WRITABLE, 1);
	assert_true(m->m2p[mfn_x(KIT_SHARED)] == UINT64_MAX);
	assert_int_equal(m->tot_pages, 0);
	assert_false(model_get_page(m, KIT_IO));
	assert_true(model_get_page_of(m, KIT_IO, MODEL_IO));
	EXPECT_FRAME(kit, KIT_IO, 2, MODEL_WRITABLE, 1);
	assert_false(model_get_page(m, KIT_XEN));
	assert_false(model_get_page_of(m, KIT_XEN, MODEL_XEN)); /* not counted, so not to be had */
	assert_false(model_get_page(m, KIT_OTHER));
	assert_false(model_get_page(m, _mfn(KIT_FRAMES)));
	assert_false(model_get_page(m, INVALID_MFN));
	assert_int_equal(model_get_page_and_type(m, KIT_OTHER, MODEL_WRITABLE), -EINVAL);
	EXPECT_FRAME(kit, KIT_OTHER, 1, MODEL_NONE, 0);
	EXPECT_PANIC(model_give(m, KIT_XEN, MODEL_GUEST, 0), "MODEL_NOBODY");
	EXPECT_PANIC(model_share(m, KIT_XEN), "MODEL_NOBODY");
	kit_free(kit);
}

/*
 * The heap: what a guest gets is no more than it may have, is its own, and has a flush before it if it was freed since the last
 * one (accumulate_tlbflush()): else a translation to it might be older than its new owner.
 */
static void test_alloc(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);
	struct model *m = &kit->m;
	const mfn_t first = kit_page(kit);
	mfn_t mfn;

	(void)state;
	m->max_pages = 2;
	mfn = model_alloc(m);
	EXPECT_FRAME(kit, mfn, 1, MODEL_NONE, 0);
	assert_int_equal(kit_frame(kit, mfn)->owner, MODEL_GUEST);
	assert_true(m->m2p[mfn_x(mfn)] == UINT64_MAX);
	assert_int_equal(kit->flushes, 0);
	assert_true(mfn_eq(model_alloc(m), INVALID_MFN));

	kit_frame(kit, first)->allocated = false;
	model_put_page(m, first);
	for (uint64_t i = 0; i < KIT_FRAMES; i++)
		if (kit_frame(kit, _mfn(i))->owner == MODEL_NOBODY && i != mfn_x(first))
			model_give(m, _mfn(i), MODEL_XEN, 0);
	mfn = model_alloc(m); /* the freed one: all that is left */
	assert_true(mfn_eq(mfn, first));
	assert_int_equal(kit->flushes, 1);
	m->max_pages = 3;
	assert_true(mfn_eq(model_alloc(m), INVALID_MFN)); /* none left */

	kit_frame(kit, mfn)->allocated = false;
	model_put_page(m, mfn);
	model_flush(m);
	assert_true(mfn_eq(model_alloc(m), mfn));
	assert_int_equal(kit->flushes, 2); /* the test's own */
	kit_free(kit);
}

/*
 * The rule of rules: one type at a time, and another only at count 0. The type outlives its last use, and what changes it
 * flushes, if nothing did since.
 */
static void test_one_type(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);
	struct model *m = &kit->m;
	const mfn_t mfn = kit_page(kit);

	(void)state;
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), 0);
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), 0);
	EXPECT_FRAME(kit, mfn, 3, MODEL_WRITABLE, 2);
	for (enum model_type t = MODEL_L1; t <= MODEL_SEGDESC; t++) {
		assert_int_equal(model_get_page_and_type(m, mfn, t), -EINVAL);
		EXPECT_FRAME(kit, mfn, 3, MODEL_WRITABLE, 2);
	}
	model_put_page_and_type(m, mfn);
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_L1), -EINVAL);
	model_put_page_and_type(m, mfn);
	EXPECT_FRAME(kit, mfn, 1, MODEL_WRITABLE, 0);

	/* The same again needs nothing; another flushes, once; and back. */
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), 0);
	model_put_page_and_type(m, mfn);
	assert_int_equal(kit->flushes, 0);
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_L1), 0);
	assert_int_equal(kit->flushes, 1);
	EXPECT_FRAME(kit, mfn, 2, MODEL_L1, 1);
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), -EINVAL);
	model_put_page_and_type(m, mfn);
	EXPECT_FRAME(kit, mfn, 1, MODEL_L1, 0);
	model_flush(m);
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), 0);
	assert_int_equal(kit->flushes, 2); /* the test's own was enough */

	/* What counts is when the last use ended. */
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), 0);
	model_put_page_and_type(m, mfn);
	model_flush(m);
	model_put_page_and_type(m, mfn);
	kit->flushes = 0;
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_L1), 0);
	assert_int_equal(kit->flushes, 1);
	model_put_page_and_type(m, mfn);

	/* A promotion that fails forgets when that was, for it has looked at the TLB, or needed not. */
	kit_set(kit, mfn, 0, KIT_XEN, LEAF_RO);
	kit->flushes = 0;
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_L1), -EBUSY);
	EXPECT_FRAME(kit, mfn, 1, MODEL_NONE, 0);
	assert_int_equal(model_get_page_and_type(m, mfn, MODEL_WRITABLE), 0);
	assert_int_equal(kit->flushes, 0);
	model_put_page_and_type(m, mfn);
	EXPECT_PANIC(model_put_type(m, mfn), "type_count");
	kit_free(kit);
}

/* A table of count 0 is validated again, though its type never changed: it may have been written since. */
static void test_validated_anew(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);
	struct model *m = &kit->m;
	const mfn_t l1 = kit_page(kit), data = kit_page(kit);

	(void)state;
	kit_set(kit, l1, 511, data, LEAF_RO);
	assert_int_equal(model_get_page_and_type(m, l1, MODEL_L1), 0);
	EXPECT_FRAME(kit, data, 2, MODEL_NONE, 0);
	model_put_page_and_type(m, l1);
	EXPECT_FRAME(kit, data, 1, MODEL_NONE, 0);
	kit_set(kit, l1, 511, KIT_OTHER, LEAF_RO);
	assert_int_equal(model_get_page_and_type(m, l1, MODEL_L1), -EBUSY);
	EXPECT_FRAME(kit, l1, 1, MODEL_NONE, 0);
	kit_free(kit);
}

/* Promotion goes all the way down, and each entry counts: refs of owner and links, types by links, data by its RW mapping. */
static void test_promotion_recursive(void **state)
{
	struct kit *kit = kit_new(&kit_domu);

	(void)state;
	EXPECT_FRAME(kit, kit->l4, 3, MODEL_L4, 2); /* owner, pin, CR3 */
	EXPECT_FRAME(kit, kit->l3, 2, MODEL_L3, 1);
	EXPECT_FRAME(kit, kit->l2, 2, MODEL_L2, 1);
	EXPECT_FRAME(kit, kit->l1, 2, MODEL_L1, 1);
	EXPECT_FRAME(kit, kit->data, 2, MODEL_WRITABLE, 1);
	assert_true(kit_frame(kit, kit->l4)->pinned);
	assert_true(mfn_eq(kit->m.l4, kit->l4));
	assert_int_equal(kit->loads, 1);
	assert_int_equal(*kit_pte(kit, kit->l4, 0), pte_make(kit->l3, LINK | PTE_A));
	assert_int_equal(*kit_pte(kit, kit->l3, 0), pte_make(kit->l2, LINK));
	assert_int_equal(*kit_pte(kit, kit->l2, 0), pte_make(kit->l1, LINK));
	assert_int_equal(*kit_pte(kit, kit->l1, 0), pte_make(kit->data, LEAF | PTE_G));

	/* CR3's use ends, the pin holds it all; then nothing does, and all is plain again. */
	model_put_page_and_type(&kit->m, kit->l4);
	EXPECT_FRAME(kit, kit->l1, 2, MODEL_L1, 1);
	kit_unpin(kit, kit->l4);
	EXPECT_FRAME(kit, kit->l4, 1, MODEL_L4, 0);
	EXPECT_FRAME(kit, kit->l3, 1, MODEL_L3, 0);
	EXPECT_FRAME(kit, kit->l2, 1, MODEL_L2, 0);
	EXPECT_FRAME(kit, kit->l1, 1, MODEL_L1, 0);
	EXPECT_FRAME(kit, kit->data, 1, MODEL_WRITABLE, 0);
	kit_free(kit);
}

/* A start of day that Xen would refuse: the error, nothing loaded, no reference left. */
static void test_start_refused(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);
	const mfn_t l4 = kit_page(kit), l3 = kit_page(kit);

	(void)state;
	kit_set(kit, l4, 7, l3, LINK);
	kit_set(kit, l3, 9, l4, LINK);
	assert_int_equal(model_start(&kit->m, l4), -EINVAL);
	assert_true(mfn_eq(kit->m.l4, INVALID_MFN));
	assert_int_equal(kit->loads, 0);
	assert_int_equal(kit_frame(kit, l4)->count, 1);
	assert_int_equal(kit_frame(kit, l3)->count, 1);
	assert_int_equal(kit_frame(kit, l3)->type_count, 0);
	kit_free(kit);
}

/* One L2 in two slots of an L3, one L1 in two L2s, one page mapped by three leaves: a use for each. */
static void test_sharing(void **state)
{
	struct kit *kit = kit_bare(&kit_domu);
	const mfn_t l3 = kit_page(kit), l2 = kit_page(kit), other_l2 = kit_page(kit);
	const mfn_t l1 = kit_page(kit), data = kit_page(kit);

	(void)state;
	kit_set(kit, l3, 0, l2, LINK);
	kit_set(kit, l3, 511, l2, LINK_RO);
	kit_set(kit, l3, 5, other_l2, LINK);
	kit_set(kit, l2, 1, l1, LINK);
	kit_set(kit, other_l2, 511, l1, LINK);
	kit_set(kit, l1, 0, data, LEAF);
	kit_set(kit, l1, 1, data, LEAF_RO);
	kit_set(kit, l1, 511, data, LEAF);
	assert_int_equal(kit_pin(kit, l3, MODEL_L3), 0);
	EXPECT_FRAME(kit, l3, 2, MODEL_L3, 1);
	EXPECT_FRAME(kit, l2, 3, MODEL_L2, 2);
	EXPECT_FRAME(kit, other_l2, 2, MODEL_L2, 1);
	EXPECT_FRAME(kit, l1, 3, MODEL_L1, 2);
	EXPECT_FRAME(kit, data, 4, MODEL_WRITABLE, 2);
	kit_unpin(kit, l3);
	EXPECT_FRAME(kit, l2, 1, MODEL_L2, 0);
	EXPECT_FRAME(kit, l1, 1, MODEL_L1, 0);
	EXPECT_FRAME(kit, data, 1, MODEL_WRITABLE, 0);
	kit_free(kit);
}

/* A table stays one while it is pinned, linked, or both, in any order of the ends. */
static void test_pin_and_link(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t l1 = kit_page(kit);

	(void)state;
	assert_int_equal(kit_pin(kit, l1, MODEL_L1), 0);
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l2, 9, pte_make(l1, LINK)), 0);
	EXPECT_FRAME(kit, l1, 3, MODEL_L1, 2);
	kit_unpin(kit, l1);
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l1, 3, pte_make(l1, LEAF)), -EBUSY);
	assert_int_equal(kit_pin(kit, l1, MODEL_L2), -EINVAL);
	assert_int_equal(kit_pin(kit, l1, MODEL_L1), 0);
	assert_int_equal(kit_update(kit, kit->l2, 9, 0), 0);
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l1, 3, pte_make(l1, LEAF)), -EBUSY);
	kit_unpin(kit, l1);
	assert_int_equal(kit_update(kit, kit->l1, 3, pte_make(l1, LEAF)), 0);
	EXPECT_FRAME(kit, l1, 2, MODEL_WRITABLE, 1);
	assert_int_equal(kit_pin(kit, l1, MODEL_L1), -EINVAL);
	kit_free(kit);
}

/* A table that was given up while in use is freed by its last use, with what it held; and its lower table with it. */
static void test_release_of_tables(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t tables[] = { kit->l2, kit->l1, kit->data };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		kit_frame(kit, tables[i])->allocated = false;
		model_put_page(&kit->m, tables[i]);
		assert_int_equal(kit_frame(kit, tables[i])->owner, MODEL_GUEST);
	}
	assert_int_equal(kit_update(kit, kit->l3, 0, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		EXPECT_FRAME(kit, tables[i], 0, MODEL_NONE, 0);
		assert_int_equal(kit_frame(kit, tables[i])->owner, MODEL_NOBODY);
		assert_true(kit->m.m2p[mfn_x(tables[i])] == UINT64_MAX);
	}
	EXPECT_FRAME(kit, kit->l3, 2, MODEL_L3, 1);
	assert_int_equal(kit->m.tot_pages, 2);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_reference),
		cmocka_unit_test(test_shared_given_up),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_one_type),
		cmocka_unit_test(test_validated_anew),
		cmocka_unit_test(test_promotion_recursive),
		cmocka_unit_test(test_start_refused),
		cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_pin_and_link),
		cmocka_unit_test(test_release_of_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
