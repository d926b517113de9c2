/* SPDX-License-Identifier: MIT */
/*
 * The model's mmu_update: commands, order of checks, what is done when one fails, restarts, and flushes,
 * which come exactly where Xen has them.
 */
#include "model_kit.h"

#define PTR_OF(table, index, cmd) (kit_ptr(table, index) | (cmd))
#define XEN_VA			  UINT64_C(0xffff800000000000)
#define HOLE_VA			  UINT64_C(0x0000800000000000)
#define BUF(offset)		  (KIT_VA + (offset))

/* Every command on every kind of target. */
static void test_commands(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t page = kit_page(kit);
	uint32_t done;

	(void)state;
	for (unsigned int cmd = 0; cmd < 8; cmd++) {
		kit_request(kit, 0, PTR_OF(kit->l1, 8, cmd), pte_make(page, LEAF_RO));
		assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), cmd > 3 ? -ENOSYS : 0);
		assert_int_equal(done, cmd <= 3);
		if (cmd == MMU_MACHPHYS_UPDATE)
			assert_true(kit->m.m2p[mfn_x(kit->l1)] == pte_make(page, LEAF_RO));
		else if (cmd < 4)
			assert_true(*kit_pte(kit, kit->l1, 8) == pte_make(page, LEAF_RO | PTE_G));
		*kit_pte(kit, kit->l1, 8) = 0;
		if (cmd < 4 && cmd != MMU_MACHPHYS_UPDATE)
			model_put_page(&kit->m, page);
	}
	assert_int_equal(kit->flushes, 0);
	EXPECT_FRAME(kit, page, 1, MODEL_NONE, 0);
	kit_free(kit);
}

/* PRESERVE_AD keeps A and D of a live entry, at each level and also in an absent one; NORMAL does not. */
static void test_preserve_ad(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t in[] = { kit->data, kit->l1, kit->l2, kit->l3, kit->l4 };
	uint32_t done;

	(void)state;
	for (unsigned int level = 1; level <= 4; level++) {
		uint64_t *pte = kit_pte(kit, in[level], 0);
		const uint64_t now = *pte & ~PTE_AD;
		const uint64_t always = level == 4 ? PTE_A : 0;

		for (uint64_t ad = 0; ad <= PTE_AD; ad += PTE_A) {
			*pte = now | ad;
			kit_request(kit, 0, PTR_OF(in[level], 0, MMU_PT_UPDATE_PRESERVE_AD), now);
			assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), 0);
			assert_true(*pte == (now | ad | always));
			*pte = now | ad;
			kit_request(kit, 0, PTR_OF(in[level], 0, MMU_PT_UPDATE_NO_TRANSLATE), now);
			assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), 0);
			assert_true(*pte == (now | always));
		}
	}
	*kit_pte(kit, kit->l1, 9) = PTE_D;
	kit_request(kit, 0, PTR_OF(kit->l1, 9, MMU_PT_UPDATE_PRESERVE_AD), PTE_AVL);
	assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), 0);
	assert_true(*kit_pte(kit, kit->l1, 9) == (PTE_AVL | PTE_D));
	kit_free(kit);
}

/*
 * A page of the guest's that is no table is written to, whatever the 8 bytes mean, if it could be mapped writable; a frame of
 * descriptors, or one that is not the guest's, -EINVAL.
 */
static void test_raw_write(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t plain = kit_page(kit), was_table = kit_page(kit), desc = kit_page(kit);
	const uint64_t junk = UINT64_C(0xfedcba9876543210) | PTE_P | PTE_PSE | PTE_PCD;

	(void)state;
	assert_int_equal(kit_update(kit, plain, 511, junk), 0);
	assert_true(*kit_pte(kit, plain, 511) == junk);
	EXPECT_FRAME(kit, plain, 1, MODEL_WRITABLE, 0);
	assert_int_equal(kit_update(kit, kit->data, 0, junk), 0);
	assert_true(*kit_pte(kit, kit->data, 0) == junk);
	EXPECT_FRAME(kit, kit->data, 2, MODEL_WRITABLE, 1);
	assert_int_equal(kit_update(kit, KIT_SHARED, 3, junk), 0);
	assert_true(*kit_pte(kit, KIT_SHARED, 3) == junk);

	/* As a table's frame becomes writable by it, it flushes if need be. */
	assert_int_equal(kit_pin(kit, was_table, MODEL_L1), 0);
	kit_unpin(kit, was_table);
	kit->flushes = 0;
	assert_int_equal(kit_update(kit, was_table, 0, junk), 0);
	EXPECT_FRAME(kit, was_table, 1, MODEL_WRITABLE, 0);
	assert_int_equal(kit->flushes, 1);

	kit_frame(kit, desc)->type = MODEL_SEGDESC;
	kit_frame(kit, desc)->type_count = 1;
	kit_frame(kit, desc)->validated = true;
	assert_int_equal(kit_update(kit, desc, 0, junk), -EINVAL);
	EXPECT_FRAME(kit, desc, 1, MODEL_SEGDESC, 1);
	assert_int_equal(kit_update(kit, KIT_OTHER, 0, 0), -EINVAL);
	assert_int_equal(kit_update(kit, KIT_XEN, 0, 0), -EINVAL);
	assert_int_equal(kit_update(kit, KIT_IO, 0, 0), -EINVAL);
	assert_int_equal(kit_update(kit, _mfn(KIT_FRAMES), 0, 0), -EINVAL);
	assert_int_equal(kit_update(kit, _mfn(UINT64_MAX >> PAGE_SHIFT), 511, 0), -EINVAL);
	kit_free(kit);
}

/* The M2P of any own frame takes any number; of others' none, not even by their numbers; dom_io's has one that anybody may set. */
static void test_m2p(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	uint32_t done;

	(void)state;
	kit_request(kit, 0, PTR_OF(kit->data, 3, MMU_MACHPHYS_UPDATE), UINT64_MAX);
	kit_request(kit, 1, PTR_OF(kit->l4, 0, MMU_MACHPHYS_UPDATE), 77);
	kit_request(kit, 2, PTR_OF(KIT_OTHER, 0, MMU_MACHPHYS_UPDATE), 77);
	assert_int_equal(kit_updates(kit, 3, DOMID_SELF, &done), -EINVAL);
	assert_int_equal(done, 2);
	assert_true(kit->m.m2p[mfn_x(kit->data)] == UINT64_MAX);
	assert_true(kit->m.m2p[mfn_x(kit->l4)] == 77);
	assert_true(kit->m.m2p[mfn_x(KIT_OTHER)] == UINT64_MAX);
	EXPECT_FRAME(kit, kit->data, 2, MODEL_WRITABLE, 1);

	kit_request(kit, 0, PTR_OF(KIT_IO, 0, MMU_MACHPHYS_UPDATE), 78);
	assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), -EINVAL);
	assert_int_equal(kit_updates(kit, 1, DOMID_IO, &done), 0);
	assert_true(kit->m.m2p[mfn_x(KIT_IO)] == 78);
	kit_request(kit, 0, PTR_OF(_mfn(KIT_FRAMES), 0, MMU_MACHPHYS_UPDATE), 78);
	assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), -EINVAL);
	kit_free(kit);
}

/* The first error ends the call: what came before is done and counted, the rest is not looked at. */
static void test_first_error(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t page = kit_page(kit);
	uint32_t done;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		kit_request(kit, i, PTR_OF(kit->l1, 20 + i, 0), pte_make(page, LEAF_RO));
	kit_request(kit, 2, PTR_OF(kit->l1, 22, 0), pte_make(kit->l1, LEAF));
	assert_int_equal(kit_updates(kit, 5, DOMID_SELF, &done), -EBUSY);
	assert_int_equal(done, 2);
	EXPECT_FRAME(kit, page, 3, MODEL_NONE, 0);
	assert_true(*kit_pte(kit, kit->l1, 22) == 0 && *kit_pte(kit, kit->l1, 23) == 0);
	kit_free(kit);
}

/* Requests that can't be read: at once if their address is Xen's or none, else when it is their turn; a bad pdone is ignored. */
static void test_pointers(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	struct model *m = &kit->m;
	const uint64_t slot = sizeof(struct mmu_update);
	uint32_t done;
	struct {
		uint64_t reqs, count;
		long want;
	} cases[] = {
		{ 0, 1, -EFAULT },
		{ 0, 0, 0 },
		{ XEN_VA, 0, -EFAULT },
		{ XEN_VA + (16 * L4_SPAN) - 1, 0, -EFAULT },
		{ XEN_VA + 16 * L4_SPAN, 0, 0 },
		{ HOLE_VA, 0, -EFAULT },
		{ HOLE_VA - 1, 0, 0 },
		{ BUF(KIT_BYTES - 2 * slot), 2, 0 },
		{ BUF(KIT_BYTES - 2 * slot), 3, -EFAULT },
		{ BUF(0), UINT64_C(1) << 32, 0 }, /* 32 bits count */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint64_t args[6] = { cases[i].reqs, cases[i].count, XEN_VA, DOMID_SELF };

		for (unsigned int at = 0; at < 2; at++) {
			kit_request(kit, KIT_BYTES / slot - 2 + at, PTR_OF(kit->l1, 40 + at, 0),
				    pte_make(kit->data, LEAF_RO));
			*kit_pte(kit, kit->l1, 40 + at) = 0;
		}
		kit_frame(kit, kit->data)->count = 2;
		assert_int_equal(model_hypercall(m, __HYPERVISOR_mmu_update, args), cases[i].want);
		assert_int_equal(kit_frame(kit, kit->data)->count,
				 (uint32_t)cases[i].count > 1 ? 4 : 2);
	}

	/* A call of no requests says so; one that Xen turns away at the door says nothing. */
	assert_int_equal(kit_updates(kit, 0, DOMID_SELF, &done), 0);
	assert_int_equal(done, 0);
	kit_free(kit);
}

/* foreigndom: domains that are not there, that the guest may do nothing to, and its own number, which is not to be used. */
static void test_foreign_domains(void **state)
{
	static const struct {
		uint32_t foreigndom;
		int dom0, domu; /* of an entry of an L1; a domU is domain 1, dom0 is beside it */
		bool said;	/* pdone written */
		int empty_dom0, empty_domu; /* of no request at all */
	} cases[] = {
		{ DOMID_SELF, 0, 0, true, 0, 0 },
		{ 0, -ESRCH, -EPERM, true, -ESRCH, 0 },
		{ 1, -ESRCH, -ESRCH, true, -ESRCH, -ESRCH },
		{ 2, -ESRCH, -ESRCH, true, -ESRCH, -ESRCH },
		{ DOMID_XEN, -EBUSY, -EPERM, true, 0, 0 },
		{ DOMID_IO, -EBUSY, -EBUSY, true, 0, 0 }, /* RAM is not dom_io's */
		{ DOMID_INVALID, -ESRCH, -ESRCH, true, -ESRCH, -ESRCH },
		{ 1U << 16 | DOMID_SELF, 0, -EPERM, true, 0, 0 }, /* tables of domain 0 */
		{ 2U << 16 | DOMID_SELF, -ESRCH, 0, false, -ESRCH, 0 },
		{ 3U << 16 | DOMID_SELF, -ESRCH, -ESRCH, false, -ESRCH, -ESRCH },
		{ (DOMID_IO + 1U) << 16 | DOMID_SELF, -ESRCH, -ESRCH, false, -ESRCH, -ESRCH },
	};
	uint32_t done;

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct kit *kit = kit_new(dom0 ? &kit_dom0 : &kit_domu);
			const int want = dom0 ? cases[i].dom0 : cases[i].domu;
			const int empty = dom0 ? cases[i].empty_dom0 : cases[i].empty_domu;
			const bool said = cases[i].said || !want || want == -EPERM;

			kit_request(kit, 0, PTR_OF(kit->l1, 30, 0), pte_make(kit->data, LEAF_RO));
			assert_int_equal(kit_updates(kit, 1, cases[i].foreigndom, &done), want);
			assert_int_equal(done, said ? want == 0 : UINT32_MAX);
			assert_int_equal(kit_updates(kit, 0, cases[i].foreigndom, &done), empty);
			kit_free(kit);
		}
	}
}

/* With DOMID_IO an L1 entry may map MMIO, if the caller may; links and frames of RAM are not dom_io's. */
static void test_domid_io(void **state)
{
	uint32_t done;

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		struct kit *kit = kit_new(dom0 ? &kit_dom0 : &kit_domu);

		kit_request(kit, 0, PTR_OF(kit->l1, 30, 0), pte_make(KIT_IO, LEAF));
		assert_int_equal(kit_updates(kit, 1, DOMID_IO, &done), dom0 ? 0 : -EPERM);
		kit_request(kit, 0, PTR_OF(kit->l1, 31, 0), 0); /* nothing is anybody's */
		assert_int_equal(kit_updates(kit, 1, DOMID_IO, &done), 0);
		kit_request(kit, 0, PTR_OF(kit->l2, 30, 0), 0);
		assert_int_equal(kit_updates(kit, 1, DOMID_IO, &done), -EINVAL);
		kit_request(kit, 0, PTR_OF(kit->data, 30, 0), 12345);
		assert_int_equal(kit_updates(kit, 1, DOMID_IO, &done), 0);
		assert_true(*kit_pte(kit, kit->data, 30) == 12345);
		assert_int_equal(kit->flushes, 0);
		/* Xen's and MMIO */
		kit_request(kit, 0, PTR_OF(kit->l1, 32, 0), pte_make(KIT_IO, LEAF));
		assert_int_equal(kit_updates(kit, 1, DOMID_XEN, &done), -EPERM);
		/* tables of another's, M2P */
		kit_request(kit, 0, PTR_OF(kit->data, 0, MMU_MACHPHYS_UPDATE), 1);
		assert_int_equal(kit_updates(kit, 1, 1U << 16 | DOMID_SELF, &done),
				 dom0 ? 0 : -EPERM);
		assert_int_equal(kit_updates(kit, 1, DOMID_XEN, &done), dom0 ? -EINVAL : -EPERM);
		kit_free(kit);
	}
}

/*
 * Flushes: none for L1s; one for all links into empty slots, at the end, also of a call that then fails; one for each entry of an
 * L2 to L4 that is replaced or cleared, before the next request is looked at.
 */
static void test_flushes(void **state)
{
	static const uint64_t marks[] = { PTE_A, PTE_D, PTE_NX, PTE_AVL, PTE_GK, 0 };
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t a = kit_page(kit), b = kit_page(kit);
	uint32_t done;

	(void)state;
	kit_request(kit, 0, PTR_OF(kit->l1, 0, 0), 0);
	kit_request(kit, 1, PTR_OF(kit->l1, 1, 0), pte_make(kit->data, LEAF));
	assert_int_equal(kit_updates(kit, 2, DOMID_SELF, &done), 0);
	assert_int_equal(kit->flushes, 0);

	kit_request(kit, 0, PTR_OF(kit->l2, 10, 0), pte_make(a, LINK));
	kit_request(kit, 1, PTR_OF(kit->l2, 11, 0), pte_make(b, LINK));
	kit_request(kit, 2, PTR_OF(kit->l2, 12, 0), pte_make(b, LINK));
	assert_int_equal(kit_updates(kit, 3, DOMID_SELF, &done), 0);
	assert_int_equal(kit->flushes, 1);

	kit_request(kit, 0, PTR_OF(kit->l2, 13, 0), pte_make(b, LINK));
	kit_request(kit, 1, PTR_OF(kit->l2, 14, 0), pte_make(KIT_XEN, LINK));
	assert_int_equal(kit_updates(kit, 2, DOMID_SELF, &done), -EINVAL);
	assert_int_equal(done, 1);
	assert_int_equal(kit->flushes, 2);
	kit_request(kit, 0, PTR_OF(kit->l2, 14, 0), pte_make(KIT_XEN, LINK));
	assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), -EINVAL);
	assert_int_equal(kit->flushes, 2); /* nothing has changed */

	/* Cleared, narrowed, linked, replaced: 1, 1, and the link goes with what follows it. */
	kit_request(kit, 0, PTR_OF(kit->l2, 13, 0), 0);
	kit_request(kit, 1, PTR_OF(kit->l2, 12, 0), pte_make(b, LINK_RO));
	kit_request(kit, 2, PTR_OF(kit->l2, 13, 0), pte_make(a, LINK));
	kit_request(kit, 3, PTR_OF(kit->l2, 12, 0), pte_make(a, LINK));
	assert_int_equal(kit_updates(kit, 4, DOMID_SELF, &done), 0);
	assert_int_equal(done, 4);
	assert_int_equal(kit->flushes, 5);

	/* Clearing what was empty replaces nothing: with its neighbour one flush. */
	kit_request(kit, 0, PTR_OF(kit->l2, 400, 0), 0);
	kit_request(kit, 1, PTR_OF(kit->l2, 401, 0), pte_make(a, LINK));
	assert_int_equal(kit_updates(kit, 2, DOMID_SELF, &done), 0);
	assert_int_equal(kit->flushes, 6);

	/* Nor does what only changes marks and NX, each of them: the entry stays what it is. */
	kit->flushes = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(marks); i++)
		kit_request(kit, i, PTR_OF(kit->l2, 401, 0), pte_make(a, LINK | marks[i]));
	assert_int_equal(kit_updates(kit, ARRAY_SIZE(marks), DOMID_SELF, &done), 0);
	assert_int_equal(kit->flushes, 1);
	kit_free(kit);
}

/* An unlinked table is plain for the next request of the same call, which may map it writable or link it at another level. */
static void test_unlinked_is_plain(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t l1 = kit_page(kit);
	uint32_t done;

	(void)state;
	assert_int_equal(kit_update(kit, kit->l2, 10, pte_make(l1, LINK)), 0);
	kit_request(kit, 0, PTR_OF(kit->l2, 10, 0), 0);
	kit_request(kit, 1, PTR_OF(kit->l1, 10, 0), pte_make(l1, LEAF));
	assert_int_equal(kit_updates(kit, 2, DOMID_SELF, &done), 0);
	EXPECT_FRAME(kit, l1, 2, MODEL_WRITABLE, 1);
	kit_request(kit, 0, PTR_OF(kit->l1, 10, 0), pte_make(l1, LEAF_RO));
	kit_request(kit, 1, PTR_OF(kit->l3, 10, 0), pte_make(l1, LINK));
	assert_int_equal(kit_updates(kit, 2, DOMID_SELF, &done), 0);
	EXPECT_FRAME(kit, l1, 3, MODEL_L2, 1);
	kit_free(kit);
}

/*
 * Over a restart Xen keeps its count in the guest's memory: where pdone lies in a request to come, it spoils it; where it can't be
 * written, nothing is lost.
 */
static void test_restart(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t a = kit_page(kit);
	uint64_t args[6] = { KIT_VA, 3, 0, DOMID_SELF };

	(void)state;
	for (int with_pdone = 0; with_pdone < 2; with_pdone++) {
		assert_int_equal(kit_update(kit, kit->l2, 10, pte_make(a, LINK)), 0);
		kit_request(kit, 0, PTR_OF(kit->l2, 10, 0), 0);
		kit_request(kit, 1, PTR_OF(kit->l2, 10, 0), pte_make(a, LINK));
		kit_request(kit, 2, PTR_OF(kit->l2, 10, 0), 0);
		args[2] = with_pdone ? BUF(2 * sizeof(struct mmu_update)) : 0;
		assert_int_equal(model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args),
				 with_pdone ? -EINVAL : 0);
		if (!with_pdone)
			EXPECT_FRAME(kit, a, 1, MODEL_L1, 0);
	}

	/* What Xen would say to itself, the guest may say too. */
	args[0] = 0;
	args[1] = MODEL_PREEMPTED;
	args[3] = UINT32_MAX - 4;
	assert_int_equal(model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args), -5);

	/* A count that is marked as begun anew goes on from what pdone has, if that is to be read. */
	kit_request(kit, 0, PTR_OF(kit->data, 0, 0), 1);
	memset(kit->mem + 1000, 0, 4);
	kit->mem[1000] = 41;
	args[0] = KIT_VA;
	args[1] = MODEL_PREEMPTED | 1;
	args[2] = BUF(1000);
	args[3] = DOMID_SELF;
	assert_int_equal(model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args), 0);
	assert_int_equal(kit->mem[1000], 42);
	args[2] = XEN_VA;
	assert_int_equal(model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args), 0);
	args[2] = 0;
	assert_int_equal(model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args), 0);
	args[1] = MODEL_PREEMPTED;
	args[3] = 1; /* no such domain, and so no result of Xen's own */
	assert_int_equal(model_hypercall(&kit->m, __HYPERVISOR_mmu_update, args), -ESRCH);
	kit_free(kit);
}

/* A guest whose non-present entry crashes it is left in mid-call: what came before is done, nothing after it. */
static void test_crash_in_call(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	uint32_t done;

	(void)state;
	kit->m.profile.l1tf = true;
	kit_request(kit, 0, PTR_OF(kit->l1, 0, 0), 0);
	kit_request(kit, 1, PTR_OF(kit->l1, 1, 0), 0x1000);
	kit_request(kit, 2, PTR_OF(kit->l1, 2, 0), PTE_AVL);
	assert_int_not_equal(kit_updates(kit, 3, DOMID_SELF, &done), 0);
	assert_true(kit->m.crashed);
	assert_int_equal(kit->crashes, 1);
	assert_int_equal(done, 1);
	assert_true(*kit_pte(kit, kit->l1, 2) == 0);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),	cmocka_unit_test(test_preserve_ad),
		cmocka_unit_test(test_raw_write),	cmocka_unit_test(test_m2p),
		cmocka_unit_test(test_first_error),	cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_foreign_domains), cmocka_unit_test(test_domid_io),
		cmocka_unit_test(test_flushes),		cmocka_unit_test(test_unlinked_is_plain),
		cmocka_unit_test(test_restart),		cmocka_unit_test(test_crash_in_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
