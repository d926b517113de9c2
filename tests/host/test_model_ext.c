/* SPDX-License-Identifier: MIT */
/*
 * tests/model/ext.c: mmuext_op.
 *
 * What these stories say Xen was seen to do, by the in-guest tests neg_ext and neg_pin. After each call all invariants hold.
 */
#include "model_kit.h"

#define DONE (KIT_BYTES - sizeof(uint32_t))

static struct kit *begin(const struct model_profile *profile)
{
	struct kit *kit = kit_new(profile);

	kit->m.check_every = 1;
	return kit;
}

/* Frames that are none of the guest's tables-to-be, and numbers that are none. */
static const uint64_t not_own[] = {
	0, 5, 17, 25, KIT_FRAMES - 2, KIT_FRAMES, UINT64_C(1) << 28, UINT64_C(1) << 39, UINT64_MAX
};

/* A pin is a reference and a use of its own: the table stays one without any mapping. */
static void test_pin(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const mfn_t l1 = kit_page(kit);

	(void)state;
	kit_set(kit, l1, 3, kit->data, LEAF_RO);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn_x(l1), 0), 0);
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_true(kit_frame(kit, l1)->pinned);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn_x(l1), 0), -EINVAL); /* twice */
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L2_TABLE, mfn_x(l1), 0), -EINVAL);
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l1, 9, pte_make(l1, LEAF)), -EBUSY);
	assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn_x(l1), 0), 0);
	EXPECT_FRAME(kit, l1, 1, MODEL_L1, 0);
	assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn_x(l1), 0), -EINVAL); /* twice */
	assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn_x(kit->data), 0), -EINVAL);
	EXPECT_FRAME(kit, l1, 1, MODEL_L1, 0);
	kit_free(kit);
}

/* Of each level; what hangs below gets its type with it and loses it with it. */
static void test_pin_levels(void **state)
{
	struct kit *kit = begin(&kit_domu);
	mfn_t t[5];

	(void)state;
	for (unsigned int level = 1; level <= 4; level++)
		t[level] = kit_page(kit);
	for (unsigned int level = 2; level <= 4; level++)
		kit_set(kit, t[level], 511, t[level - 1], LINK);
	for (unsigned int level = 1; level <= 4; level++) {
		const unsigned int cmd = MMUEXT_PIN_L1_TABLE + level - 1;

		for (unsigned int twice = 0; twice < 2; twice++)
			assert_int_equal(kit_ext(kit, cmd, mfn_x(t[level]), 0),
					 twice ? -EINVAL : 0);
		EXPECT_FRAME(kit, t[level], 2, level, 1);
		EXPECT_FRAME(kit, t[1], 2, MODEL_L1, 1);
		assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn_x(t[level]), 0), 0);
		EXPECT_FRAME(kit, t[level], 1, level, 0);
		EXPECT_FRAME(kit, t[1], 1, MODEL_L1, 0);
	}
	kit_free(kit);
}

/* A pin that is refused changes nothing, also when entries before the bad one were good. */
static void test_pin_refused(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const mfn_t l1 = kit_page(kit), l2 = kit_page(kit), page = kit_page(kit);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(not_own); i++) {
		for (unsigned int cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_UNPIN_TABLE; cmd++)
			assert_int_equal(kit_ext(kit, cmd, not_own[i], 0), -EINVAL);
	}
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn_x(kit->data), 0), -EINVAL);
	kit_set(kit, l1, 0, page, LEAF);
	kit_set(kit, l1, 1, KIT_OTHER, LEAF_RO);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn_x(l1), 0), -EBUSY);
	EXPECT_FRAME(kit, page, 1, MODEL_WRITABLE, 0);
	kit_set(kit, l2, 4, l1, LINK);
	*kit_pte(kit, l1, 1) = 0;
	kit_set(kit, l2, 9, kit->data, LINK);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L2_TABLE, mfn_x(l2), 0), -EINVAL);
	EXPECT_FRAME(kit, l2, 1, MODEL_L2, 0);
	EXPECT_FRAME(kit, l1, 1, MODEL_L1, 0);
	EXPECT_FRAME(kit, page, 1, MODEL_WRITABLE, 0);
	kit_free(kit);
}

/* A page of the heap comes without content; what it held is not for the next owner to trust either. */
static mfn_t new_l4(struct kit *kit)
{
	const mfn_t l4 = kit_page(kit);

	kit_set(kit, l4, 0, kit->l3, LINK);
	return l4;
}

/* The base pointer holds its table as a pin does, so that the live one may be unpinned. */
static void test_base(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const mfn_t old = kit->l4, l4 = new_l4(kit);
	const uint64_t bad[] = {
		mfn_x(kit->l1), mfn_x(kit->data), 0, 5, 25, KIT_FRAMES, UINT64_MAX
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, bad[i], 0), -EINVAL);
	assert_int_equal(kit->loads, 1); /* of the start */
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(l4), 0), 0);
	assert_true(mfn_eq(kit->m.l4, l4));
	assert_int_equal(kit->loads, 2);
	assert_int_equal(kit->flushes, 1);
	EXPECT_FRAME(kit, l4, 2, MODEL_L4, 1);
	EXPECT_FRAME(kit, old, 2, MODEL_L4, 1); /* pinned yet */
	assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn_x(old), 0), 0);
	EXPECT_FRAME(kit, old, 1, MODEL_L4, 0);
	/* the same again: a flush */
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(l4), 0), 0);
	assert_int_equal(kit->loads, 3);
	assert_int_equal(kit->flushes, 2);
	EXPECT_FRAME(kit, l4, 2, MODEL_L4, 1);
	/* the live one, pinned and unpinned */
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L4_TABLE, mfn_x(l4), 0), 0);
	EXPECT_FRAME(kit, l4, 3, MODEL_L4, 2);
	assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn_x(l4), 0), 0);
	EXPECT_FRAME(kit, l4, 2, MODEL_L4, 1);
	kit_free(kit);
}

static void test_user_base(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const mfn_t one = new_l4(kit), two = new_l4(kit);

	(void)state;
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0); /* none yet, none now */
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(kit->l2), 0), -EINVAL);
	for (size_t i = 1; i < ARRAY_SIZE(not_own); i++)
		assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, not_own[i], 0), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(one), 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(one), 0), 0);
	EXPECT_FRAME(kit, one, 2, MODEL_L4, 1);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(two), 0), 0);
	EXPECT_FRAME(kit, one, 1, MODEL_L4, 0);
	EXPECT_FRAME(kit, two, 2, MODEL_L4, 1);
	assert_true(mfn_eq(kit->m.user_l4, two));
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	EXPECT_FRAME(kit, two, 1, MODEL_L4, 0);
	assert_true(mfn_eq(kit->m.user_l4, INVALID_MFN));
	assert_int_equal(kit->flushes, 0);
	kit_free(kit);
}

/*
 * The M2P's slot. With m2p_strict it is filled in every L4 that becomes one, and emptied in one that becomes the user's;
 * without, it is filled in what the kernel loads.
 */
static void test_m2p_strict(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const uint64_t m2p = pte_make(KIT_XEN, PTE_P | PTE_US | PTE_A);
	const mfn_t one = new_l4(kit), two = new_l4(kit), user = new_l4(kit);

	(void)state;
	kit->m.xen_l4e[0] = m2p;
	*kit_pte(kit, kit->l4, 256) = m2p;
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L4_TABLE, mfn_x(two), 0), 0);
	assert_int_equal(*kit_pte(kit, two, 256), 0);
	assert_int_equal(kit_call(kit, __HYPERVISOR_vm_assist, VMASST_CMD_enable,
				  VMASST_TYPE_m2p_strict, 0, 0),
			 0);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L4_TABLE, mfn_x(user), 0), 0);
	assert_int_equal(*kit_pte(kit, user, 256), m2p);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(user), 0), 0);
	assert_int_equal(*kit_pte(kit, user, 256), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(one), 0), 0);
	assert_int_equal(*kit_pte(kit, one, 256), m2p);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(two), 0), 0);
	assert_int_equal(*kit_pte(kit, two, 256), 0);
	assert_int_equal(kit_call(kit, __HYPERVISOR_vm_assist, VMASST_CMD_disable,
				  VMASST_TYPE_m2p_strict, 0, 0),
			 0);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(one), 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(two), 0), 0);
	assert_int_equal(*kit_pte(kit, two, 256), m2p);
	kit_free(kit);
}

/* Each flush is one, of what was asked for; of an address that is not the guest's, none. */
static void test_flushes(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const uint64_t va = UINT64_C(0x7fff12345678), xen = UINT64_C(0xffff800000001000),
		       hole = UINT64_C(0x800000000000), vcpus[] = { 1, 2, UINT64_MAX };

	(void)state;
	assert_int_equal(kit_ext(kit, MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	assert_int_equal(kit->flushes, 2);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_LOCAL, va, 0), 0);
	assert_int_equal(kit->flushed_va, va);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_ALL, va, 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_LOCAL, xen, 0), 0); /* harmless, and done */
	assert_int_equal(kit->flushes_va, 3);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_ALL, xen, 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_ALL, hole, 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_LOCAL, hole, 0), 0);
	assert_int_equal(kit->flushes_va, 3);
	for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++) {
		const uint64_t map = kit_put(kit, 1024, &vcpus[i], sizeof(vcpus[i]));

		kit->flushes = kit->flushes_va = 0;
		assert_int_equal(kit_ext(kit, MMUEXT_TLB_FLUSH_MULTI, 0, map), 0);
		assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_MULTI, va, map), 0);
		assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_MULTI, xen, map), 0);
		assert_int_equal(kit->flushes, vcpus[i] & 1);
		assert_int_equal(kit->flushes_va, vcpus[i] & 1);
	}
	kit->flushes = kit->flushes_va = 0;
	assert_int_equal(kit_ext(kit, MMUEXT_TLB_FLUSH_MULTI, 0, 0), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_INVLPG_MULTI, va, KIT_VA + KIT_BYTES), -EINVAL);
	assert_int_equal(kit->flushes + kit->flushes_va, 0);
	kit_free(kit);
}

static void test_caches(void **state)
{
	struct kit *kit = begin(&kit_domu);

	(void)state;
	assert_int_equal(kit_ext(kit, MMUEXT_FLUSH_CACHE, 0, 0), -EACCES);
	assert_int_equal(kit_ext(kit, MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_MARK_SUPER, mfn_x(kit->data), 0), -EOPNOTSUPP);
	assert_int_equal(kit_ext(kit, MMUEXT_UNMARK_SUPER, mfn_x(kit->data), 0), -EOPNOTSUPP);
	assert_int_equal(kit_ext(kit, 14, 0, 0), -ENOSYS);
	assert_int_equal(kit_ext(kit, UINT32_MAX, 0, 0), -ENOSYS);
	kit_free(kit);
	kit = begin(&kit_dom0);
	assert_int_equal(kit_ext(kit, MMUEXT_FLUSH_CACHE, 0, 0), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0), 0);
	kit_free(kit);
}

/* Xen's hand writes what the guest could write: no table, nobody else's. It reads any of the guest's. */
static void test_copy(void **state)
{
	struct kit *kit = begin(&kit_dom0);
	const mfn_t page = kit_page(kit);

	(void)state;
	memset(kit->page[mfn_x(page)], 0x5a, PAGE_SIZE);
	assert_int_equal(kit_ext(kit, MMUEXT_COPY_PAGE, mfn_x(kit->data), mfn_x(page)), 0);
	assert_memory_equal(kit->page[mfn_x(kit->data)], kit->page[mfn_x(page)], PAGE_SIZE);
	EXPECT_FRAME(kit, page, 1, MODEL_NONE, 0);
	assert_int_equal(kit_ext(kit, MMUEXT_CLEAR_PAGE, mfn_x(page), 0), 0);
	EXPECT_FRAME(kit, page, 1, MODEL_WRITABLE, 0);
	for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
		assert_int_equal(*kit_pte(kit, page, i), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_COPY_PAGE, mfn_x(page), mfn_x(kit->l1)), 0);
	assert_memory_equal(kit->page[mfn_x(kit->l1)], kit->page[mfn_x(page)], PAGE_SIZE);
	assert_int_equal(kit_ext(kit, MMUEXT_COPY_PAGE, mfn_x(page), mfn_x(page)), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_CLEAR_PAGE, mfn_x(kit->l1), 0), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_COPY_PAGE, mfn_x(kit->l1), mfn_x(page)), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(not_own); i++) {
		assert_int_equal(kit_ext(kit, MMUEXT_CLEAR_PAGE, not_own[i], 0), -EINVAL);
		assert_int_equal(kit_ext(kit, MMUEXT_COPY_PAGE, not_own[i], mfn_x(page)), -EINVAL);
		assert_int_equal(kit_ext(kit, MMUEXT_COPY_PAGE, mfn_x(page), not_own[i]), -EINVAL);
	}
	kit_free(kit);
}

/* mmuext_op of the operations at KIT_VA; the count as it is then. */
static long run(struct kit *kit, uint32_t count, uint32_t before, domid_t domid, uint32_t *done)
{
	long rc;

	kit_put(kit, DONE, &before, sizeof(before));
	rc = kit_call(kit, __HYPERVISOR_mmuext_op, KIT_VA, count, KIT_VA + DONE, domid);
	memcpy(done, kit->mem + DONE, sizeof(*done));
	return rc;
}

static void test_list(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const mfn_t l1 = kit_page(kit);
	const struct mmuext_op op[] = { { .cmd = MMUEXT_TLB_FLUSH_LOCAL },
					{ .cmd = 99 },
					{ .cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = mfn_x(l1) } };
	const uint64_t xen = UINT64_C(0xffff800000000000);
	const uint32_t again = UINT32_C(1) << 31;
	uint32_t done;

	(void)state;
	kit_put(kit, 0, op, sizeof(op));
	assert_int_equal(run(kit, 0, 7, DOMID_SELF, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(run(kit, 3, 7, DOMID_SELF, &done), -ENOSYS);
	assert_int_equal(done, 1);
	assert_int_equal(kit->flushes, 1);
	EXPECT_FRAME(kit, l1, 1, MODEL_NONE, 0); /* not reached */
	/* a list that ends in the void; a place for the count that can't be written */
	assert_int_equal(
		kit_call(kit, __HYPERVISOR_mmuext_op, KIT_VA + KIT_BYTES, 1, 0, DOMID_SELF),
		-EFAULT);
	assert_int_equal(kit_call(kit, __HYPERVISOR_mmuext_op, xen, 0, 0, DOMID_SELF), -EFAULT);
	assert_int_equal(kit_call(kit, __HYPERVISOR_mmuext_op, KIT_VA, 1, 8, DOMID_SELF), 0);
	/* what a restarted call looks like: it adds to the count, and may bring its own result */
	assert_int_equal(run(kit, 1 | again, 7, DOMID_SELF, &done), 0);
	assert_int_equal(done, 8);
	assert_int_equal(kit_call(kit, __HYPERVISOR_mmuext_op, KIT_VA, 1 | again, 8, DOMID_SELF),
			 0);
	assert_int_equal(kit_call(kit, __HYPERVISOR_mmuext_op, 0, again, 0, (uint32_t)-EBUSY),
			 -EBUSY);
	kit_free(kit);
}

/* Whose frames are meant. Refused as a whole, the call has not written its count. */
static void test_foreign(void **state)
{
	struct kit *kit = begin(&kit_domu);
	struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_LOCAL };
	static const struct {
		unsigned int cmd;
		long rc;
	} io[] = {
		{ MMUEXT_PIN_L1_TABLE, -EINVAL },
		{ MMUEXT_UNPIN_TABLE, -EINVAL },
		{ MMUEXT_NEW_BASEPTR, -EPERM },
		{ MMUEXT_NEW_USER_BASEPTR, -EPERM },
		{ MMUEXT_TLB_FLUSH_LOCAL, -EPERM },
		{ MMUEXT_SET_LDT, -EPERM },
		{ MMUEXT_FLUSH_CACHE, -EPERM },
		{ MMUEXT_CLEAR_PAGE, -EINVAL },
		{ MMUEXT_COPY_PAGE, -EINVAL },
		{ MMUEXT_MARK_SUPER, -EOPNOTSUPP },
		{ 99, -ENOSYS },
	};
	uint32_t done;

	(void)state;
	kit_put(kit, 0, &op, sizeof(op));
	assert_int_equal(run(kit, 1, 7, kit->m.domid, &done), -ESRCH);
	assert_int_equal(run(kit, 1, 7, 77, &done), -ESRCH);
	assert_int_equal(run(kit, 1, 7, 0, &done), -EPERM);
	assert_int_equal(run(kit, 1, 7, DOMID_IO, &done), -EPERM);
	assert_int_equal(run(kit, 1, 7, DOMID_XEN, &done), -EPERM);
	assert_int_equal(done, 7);
	assert_int_equal(kit->flushes, 0);
	kit_free(kit);

	kit = begin(&kit_dom0);
	for (size_t i = 0; i < ARRAY_SIZE(io); i++) {
		op = (struct mmuext_op){ .cmd = io[i].cmd, .arg1.mfn = mfn_x(KIT_IO) };
		op.arg2.src_mfn = mfn_x(KIT_IO);
		kit_put(kit, 0, &op, sizeof(op));
		assert_int_equal(run(kit, 1, 7, DOMID_IO, &done), io[i].rc);
		assert_int_equal(done, 0);
	}
	assert_int_equal(run(kit, 1, 7, 0, &done), -ESRCH);
	assert_int_equal(run(kit, 1, 7, 5, &done), -ESRCH);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pin),	    cmocka_unit_test(test_pin_levels),
		cmocka_unit_test(test_pin_refused), cmocka_unit_test(test_base),
		cmocka_unit_test(test_user_base),   cmocka_unit_test(test_m2p_strict),
		cmocka_unit_test(test_flushes),	    cmocka_unit_test(test_caches),
		cmocka_unit_test(test_copy),	    cmocka_unit_test(test_list),
		cmocka_unit_test(test_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
