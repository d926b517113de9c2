/* SPDX-License-Identifier: MIT */
/*
 * The model where an address leads it: update_va_mapping with its flags, and the walk that embedders use.
 */
#include "model_kit.h"

#define XEN_VA	    UINT64_C(0xffff800000000000)
#define HOLE_VA	    UINT64_C(0x0000800000000000)
#define BUF(offset) (KIT_VA + (offset))

static long uva(struct kit *kit, uint64_t va, uint64_t pte, uint64_t flags)
{
	const uint64_t args[6] = { va, pte, flags };

	return model_hypercall(&kit->m, __HYPERVISOR_update_va_mapping, args);
}

/* update_va_mapping finds the leaf by the address, and only in an L1; low bits of the address are nothing. */
static void test_uva_address(void **state)
{
	struct kit *kit = kit_new(&kit_domu);

	(void)state;
	assert_int_equal(uva(kit, 0x5abc, pte_make(kit->data, LEAF_RO), 0), 0);
	assert_true(*kit_pte(kit, kit->l1, 5) == pte_make(kit->data, LEAF_RO | PTE_G));
	assert_int_equal(uva(kit, L2_SPAN, 0, 0), -EINVAL); /* no L1, no L2, no L3 */
	assert_int_equal(uva(kit, L3_SPAN, 0, 0), -EINVAL);
	assert_int_equal(uva(kit, L4_SPAN, 0, 0), -EINVAL);
	assert_int_equal(uva(kit, XEN_VA, 0, 0), -EINVAL);
	assert_int_equal(uva(kit, HOLE_VA, 0, 0), -EINVAL);
	assert_int_equal(uva(kit, 0x5000, pte_make(kit->l1, LEAF), 0), -EBUSY);
	assert_int_equal(uva(kit, 0x5000, pte_make(kit->data, LEAF | PTE_PCD), 0), -EINVAL);
	assert_true(*kit_pte(kit, kit->l1, 5) == pte_make(kit->data, LEAF_RO | PTE_G));
	/* Upper rights do not count: the leaf is found through a read-only link. */
	assert_int_equal(kit_update(kit, kit->l2, 0, pte_make(kit->l1, LINK_RO | PTE_NX)), 0);
	assert_int_equal(uva(kit, 0x5000, 0, 0), 0);
	EXPECT_FRAME(kit, kit->data, 2, MODEL_WRITABLE, 1);
	/* Through a linear entry what looks like a leaf is one of an L2. */
	assert_int_equal(kit_update(kit, kit->l2, 1, pte_make(kit->l2, LINK_RO)), 0);
	assert_int_equal(uva(kit, L2_SPAN, 0, 0), -EINVAL);
	assert_int_equal(kit->flushes_va, 0);
	kit_free(kit);
}

/* Which flush update_va_mapping makes, by its flags; an unreadable bitmap is -EFAULT, without a flush, and the entry has changed. */
static void test_uva_flags(void **state)
{
	static const struct {
		uint64_t flags;
		long want;
		unsigned int all, va;
	} cases[] = {
		{ UVMF_NONE, 0, 0, 0 },
		{ UVMF_TLB_FLUSH | UVMF_LOCAL, 0, 1, 0 },
		{ UVMF_TLB_FLUSH | UVMF_ALL, 0, 1, 0 },
		{ UVMF_INVLPG | UVMF_LOCAL, 0, 0, 1 },
		{ UVMF_INVLPG | UVMF_ALL, 0, 0, 1 },
		{ UVMF_FLUSHTYPE_MASK, 0, 0, 0 },
		{ UVMF_FLUSHTYPE_MASK | UVMF_ALL, 0, 0, 0 },
		{ UVMF_NONE | 0x1230, 0, 0, 0 },
		{ UVMF_INVLPG | UVMF_MULTI | BUF(0), 0, 0, 1 }, /* vCPU 0 among others */
		{ UVMF_TLB_FLUSH | UVMF_MULTI | BUF(0), 0, 1, 0 },
		{ UVMF_INVLPG | UVMF_MULTI | BUF(8), 0, 0, 0 }, /* others alone */
		{ UVMF_TLB_FLUSH | UVMF_MULTI | BUF(8), 0, 0, 0 },
		{ UVMF_INVLPG | UVMF_MULTI | 0x1230, -EFAULT, 0, 0 },
		{ UVMF_TLB_FLUSH | UVMF_MULTI | XEN_VA, -EFAULT, 0, 0 },
	};
	struct kit *kit = kit_new(&kit_domu);

	(void)state;
	kit->mem[0] = 0xff;
	kit->mem[8] = 0xfe;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint64_t want = pte_make(kit->data, LEAF_RO | (i & 1 ? PTE_NX : 0));

		kit->flushes = kit->flushes_va = 0;
		assert_int_equal(uva(kit, 0x7123, want, cases[i].flags), cases[i].want);
		assert_true(*kit_pte(kit, kit->l1, 7) == (want | PTE_G));
		assert_int_equal(kit->flushes, cases[i].all);
		assert_int_equal(kit->flushes_va, cases[i].va);
		if (cases[i].va)
			assert_int_equal(kit->flushed_va, 0x7123);
		/* An entry that is refused is not flushed for, however that goes. */
		assert_int_equal(uva(kit, 0x7000, pte_make(kit->l1, LEAF), cases[i].flags), -EBUSY);
		assert_int_equal(kit->flushes + kit->flushes_va, cases[i].all + cases[i].va);
	}
	kit_free(kit);
}

/* update_va_mapping_otherdomain: whose frame it is; unlike mmu_update, DOMID_IO is not for everybody. */
static void test_uva_other(void **state)
{
	static const struct {
		domid_t domid;
		mfn_t mfn;
		int dom0, domu;
	} cases[] = {
		{ DOMID_SELF, { KIT_HEAP }, 0, 0 },	    { DOMID_IO, { 5 }, 0, -EPERM },
		{ DOMID_IO, { KIT_HEAP }, -EBUSY, -EPERM }, { DOMID_XEN, { 17 }, -EBUSY, -EPERM },
		{ 0, { KIT_HEAP }, -ESRCH, -EPERM },	    { 1, { KIT_HEAP }, -ESRCH, -ESRCH },
		{ 7, { KIT_HEAP }, -ESRCH, -ESRCH },
	};
	static const uint64_t bad_bitmap = UVMF_INVLPG | UVMF_MULTI | 0x1230;

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		struct kit *kit = kit_new(dom0 ? &kit_dom0 : &kit_domu);

		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			const uint64_t args[6] = { 0x3000, pte_make(cases[i].mfn, LEAF_RO),
						   UVMF_INVLPG, cases[i].domid };

			kit->flushes_va = 0;
			assert_int_equal(model_hypercall(&kit->m,
							 __HYPERVISOR_update_va_mapping_otherdomain,
							 args),
					 dom0 ? cases[i].dom0 : cases[i].domu);
			assert_int_equal(kit->flushes_va, !(dom0 ? cases[i].dom0 : cases[i].domu));
			assert_int_equal(uva(kit, 0x3000, 0, 0), 0);
		}
		assert_int_equal(kit_call(kit, __HYPERVISOR_update_va_mapping_otherdomain, 0x3000,
					  0, bad_bitmap, DOMID_SELF),
				 -EFAULT);
		EXPECT_FRAME(kit, kit->l4, 3, MODEL_L4, 2);
		kit_free(kit);
	}
}

/* The walk: rights by AND and OR, the level where it ends, superpages of Xen's. */
static void test_walk(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	struct model *m = &kit->m;
	const mfn_t xen_l3 = kit_page(kit);
	uint64_t rights;
	unsigned int level;
	mfn_t mfn;

	(void)state;
	assert_true(model_walk(m, 0xfff, &mfn, &rights, &level));
	assert_true(mfn_eq(mfn, kit->data));
	assert_int_equal(rights, PTE_RW | PTE_US);
	assert_int_equal(level, 1);
	assert_int_equal(kit_update(kit, kit->l3, 0, pte_make(kit->l2, LINK_RO)), 0);
	assert_true(model_walk(m, 0, &mfn, &rights, &level));
	assert_int_equal(rights, PTE_US);
	assert_int_equal(kit_update(kit, kit->l2, 0, pte_make(kit->l1, LINK | PTE_NX)), 0);
	assert_true(model_walk(m, 0, &mfn, &rights, &level));
	assert_true(rights == (PTE_US | PTE_NX));

	assert_false(model_walk(m, 0x1000, &mfn, &rights, &level));
	assert_int_equal(level, 1);
	assert_false(model_walk(m, L2_SPAN, &mfn, &rights, &level));
	assert_int_equal(level, 2);
	assert_false(model_walk(m, L3_SPAN, &mfn, &rights, &level));
	assert_int_equal(level, 3);
	assert_false(model_walk(m, L4_SPAN, &mfn, &rights, &level));
	assert_int_equal(level, 4);
	assert_false(model_walk(m, HOLE_VA, &mfn, &rights, &level));
	assert_true(mfn_eq(mfn, INVALID_MFN));

	kit_set(kit, kit->l4, 260, xen_l3, PTE_P | PTE_RW);
	kit_set(kit, xen_l3, 1, _mfn(0x40000), PTE_P | PTE_RW | PTE_PSE);
	assert_true(model_walk(m, XEN_VA + 4 * L4_SPAN + L3_SPAN + 0x5000, &mfn, &rights, &level));
	assert_int_equal(mfn_x(mfn), 0x40005);
	assert_int_equal(level, 3);
	assert_int_equal(rights, PTE_RW);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uva_address),
		cmocka_unit_test(test_uva_flags),
		cmocka_unit_test(test_uva_other),
		cmocka_unit_test(test_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
