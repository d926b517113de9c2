/* SPDX-License-Identifier: MIT */
/*
 * mmuext_op, but for pins and base pointers (t_neg_pin.c) and the LDT (t_neg_desc.c).
 *
 * Source: do_mmuext_op, vcpumask_to_pcpumask.
 */
#include "raw.h"
#include <pinion/lib/string.h>

/* An unknown command must not pass for one that did its work. */
RAW_TEST(neg_ext, neg_ext_command,
	 "unknown mmuext commands are -ENOSYS, those of superpages -EOPNOTSUPP")
{
	CHECK_EQ(raw_ext(14, 0, 0), -ENOSYS);
	CHECK_EQ(raw_ext(99, 0, 0), -ENOSYS);
	CHECK_EQ(raw_ext(UINT32_MAX, 0, 0), -ENOSYS);
	CHECK_EQ(raw_ext(MMUEXT_MARK_SUPER, mfn_x(raw_mfn(raw_page(0))), 0), -EOPNOTSUPP);
	CHECK_EQ(raw_ext(MMUEXT_UNMARK_SUPER, mfn_x(raw_mfn(raw_page(0))), 0), -EOPNOTSUPP);
}

/* MULTI flushes take a bitmap of vCPUs from the guest's memory. */
RAW_TEST(neg_ext, neg_ext_bitmap, "a flush by a vCPU bitmap that can't be read is -EINVAL")
{
	static uint64_t vcpus = 1;
	const uint64_t bad[] = { 0, XEN_VA_BASE, RAW_VA, UINT64_C(1) << 63 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(raw_ext(MMUEXT_TLB_FLUSH_MULTI, 0, bad[i]), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_INVLPG_MULTI, RAW_VA, bad[i]), -EINVAL);
	}
	CHECK_EQ(raw_ext(MMUEXT_TLB_FLUSH_MULTI, 0, (uintptr_t)&vcpus), 0);
	CHECK_EQ(raw_ext(MMUEXT_INVLPG_MULTI, RAW_VA, (uintptr_t)&vcpus), 0);
	vcpus = UINT64_MAX; /* vCPUs that there are not are no error */
	CHECK_EQ(raw_ext(MMUEXT_TLB_FLUSH_MULTI, 0, (uintptr_t)&vcpus), 0);
	vcpus = 1;
}

/*
 * After each kind of flush the new mapping is what is seen. (That the old one may be seen before
 * is not asserted: it depends on the CPU, and on whether Xen reloads CR3 on its way out.)
 */
RAW_TEST(neg_ext, neg_ext_flush, "after each kind of flush the CPU uses the entry that was written")
{
	static uint64_t vcpus = 1;
	static const unsigned int kinds[] = {
		MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL,  MMUEXT_TLB_FLUSH_MULTI,
		MMUEXT_INVLPG_MULTI,	MMUEXT_TLB_FLUSH_ALL, MMUEXT_INVLPG_ALL,
	};
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2), word = 0;
	size_t i;

	raw_link_tree(l3, l2, l1);
	raw_page(3)[0] = 3;
	raw_page(4)[0] = 4;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		CHECK_EQ(raw_set(&l1[0], raw_pte(raw_page(3), RAW_RW)), 0);
		CHECK_EQ(raw_ext(kinds[i], RAW_VA, (uintptr_t)&vcpus), 0);
		CHECK(probe_load64(raw_ptr(RAW_VA), &word) == 0 && word == 3);
		CHECK_EQ(raw_set(&l1[0], raw_pte(raw_page(4), RAW_RO)), 0);
		CHECK_EQ(raw_ext(kinds[i], RAW_VA, (uintptr_t)&vcpus), 0);
		CHECK(probe_load64(raw_ptr(RAW_VA), &word) == 0 && word == 4);
		CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 9), EXINFO_PF(PF_PRESENT | PF_WRITE));
		CHECK_EQ(raw_set(&l1[0], 0), 0);
		CHECK_EQ(raw_ext(kinds[i], RAW_VA, (uintptr_t)&vcpus), 0);
		CHECK_EQ(probe_load64(raw_ptr(RAW_VA), &word), EXINFO_PF(0));
	}
	raw_unlink_tree(l3, l2, l1);
}

/* An upper entry's change needs no flush of the guest's: the call makes one at its end. */
RAW_TEST(neg_ext, neg_ext_flush_upper,
	 "a change in an L2, L3 or L4 is seen as soon as the call is done")
{
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2), *page = raw_page(3),
		 word = 0;
	const uint64_t *entry[] = { &l2[0], &l3[0], raw_l4e(RAW_SLOT) };
	struct mmu_update req[2];
	uint64_t was;
	unsigned int i;

	raw_link_tree(l3, l2, l1);
	CHECK_EQ(raw_set(&l1[0], raw_pte(page, RAW_RW)), 0);
	for (i = 0; i < 3; i++) {
		was = READ_ONCE(*entry[i]);
		CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), 0);
		CHECK_EQ(raw_set(entry[i], was & ~PTE_RW), 0);
		CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), EXINFO_PF(PF_PRESENT | PF_WRITE));
		CHECK_EQ(raw_set(entry[i], was), 0);
		CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), 0);
		CHECK_EQ(raw_set(entry[i], was | PTE_NX), 0);
		CHECK_EQ(probe_call(raw_ptr(RAW_VA)), EXINFO_PF(PF_PRESENT | PF_FETCH));
		CHECK_EQ(raw_set(entry[i], was), 0);
	}
	/* The flush is made, too, if the call fails after the change. */
	req[0].ptr = raw_maddr(&l2[0]);
	req[0].val = READ_ONCE(l2[0]) & ~PTE_RW;
	req[1].ptr = UINT64_MAX;
	CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), 0);
	CHECK_EQ(hypercall_mmu_update(req, 2, NULL, DOMID_SELF), -ENOSYS);
	CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), EXINFO_PF(PF_PRESENT | PF_WRITE));
	/* An L1 swapped for an empty one. */
	CHECK_EQ(raw_ro(raw_page(4)), 0);
	CHECK_EQ(raw_set(&l2[0], raw_pte(raw_page(4), RAW_LINK)), 0);
	CHECK_EQ(probe_load64(raw_ptr(RAW_VA), &word), EXINFO_PF(0));
	CHECK_EQ(raw_set(&l2[0], raw_pte(l1, RAW_LINK)), 0);
	CHECK_EQ(probe_load64(raw_ptr(RAW_VA), &word), 0);
	CHECK_EQ(raw_rw(raw_page(4)), 0);
	raw_unlink_tree(l3, l2, l1);
}

/* Only a domain with devices may make everybody wait for WBINVD. */
RAW_TEST(neg_ext, neg_ext_flush_cache, "cache flushes: a dom0 may, a plain domU may not")
{
	bool dom0 = boot_info()->initdomain;
	long rc;

	CHECK_EQ(raw_ext(MMUEXT_FLUSH_CACHE, 0, 0), dom0 ? 0 : -EACCES);
	rc = raw_ext(MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0);
	/* Newer Xens say -EACCES here too. */
	CHECK(dom0 ? rc == 0 : rc == -EINVAL || rc == -EACCES);
}

/* Both write by Xen's hand, so what the guest itself may not write they must refuse. */
RAW_TEST(neg_ext, neg_ext_copy,
	 "CLEAR_PAGE and COPY_PAGE write plain frames of the guest's, nothing else")
{
	uint64_t *table = raw_page(0), *page = raw_page(1), *from = raw_page(2);
	const uint64_t bad[] = { raw_unowned_mfn(), 0, UINT64_C(1) << 39, UINT64_MAX };
	uint64_t page_mfn = mfn_x(raw_mfn(page)), table_mfn = mfn_x(raw_mfn(table));
	size_t i;

	table[7] = raw_pte(page, RAW_RO);
	CHECK_EQ(raw_ro(table), 0);
	CHECK_EQ(raw_pin(1, table), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(raw_ext(MMUEXT_CLEAR_PAGE, bad[i], 0), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_COPY_PAGE, bad[i], page_mfn), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_COPY_PAGE, page_mfn, bad[i]), -EINVAL);
	}
	CHECK_EQ(raw_ext(MMUEXT_CLEAR_PAGE, table_mfn, 0), -EINVAL);
	CHECK_EQ(raw_ext(MMUEXT_COPY_PAGE, table_mfn, page_mfn), -EINVAL);
	raw_check_stored(&table[7], 1, raw_pte(page, RAW_RO));
	/* From a table is fine, and so is a frame that the guest has mapped read-only. */
	CHECK_EQ(raw_ext(MMUEXT_COPY_PAGE, page_mfn, table_mfn), 0);
	CHECK_EQ(memcmp(page, table, PAGE_SIZE), 0);
	CHECK_EQ(raw_ro(page), 0);
	CHECK_EQ(raw_ext(MMUEXT_CLEAR_PAGE, page_mfn, 0), 0);
	CHECK_EQ(memcmp(page, from, PAGE_SIZE), 0);
	CHECK_EQ(raw_unpin(table), 0);
	raw_rw_all(0, 1);
}

/* As for mmu_update, on the way through a list of operations. */
RAW_TEST(neg_ext, neg_ext_pointers,
	 "a bad list is -EFAULT, a bad place for the count is ignored, it stops at the first error")
{
	struct mmuext_op *const bad[] = { NULL, raw_ptr(XEN_VA_BASE), raw_ptr(RAW_VA) };
	uint64_t *page = raw_page(0);
	struct mmuext_op op[3] = { { .cmd = MMUEXT_TLB_FLUSH_LOCAL },
				   { .cmd = 99 },
				   { .cmd = MMUEXT_PIN_L1_TABLE } };
	unsigned int done;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(hypercall_mmuext_op(bad[i], 1, &done, DOMID_SELF), -EFAULT);
		CHECK_EQ(hypercall_mmuext_op(op, 1, (unsigned int *)bad[i], DOMID_SELF), 0);
	}
	done = 99;
	CHECK_EQ(hypercall_mmuext_op(op, 0, &done, DOMID_SELF), 0);
	CHECK_EQ(done, 0);
	CHECK_EQ(raw_ro(page), 0);
	op[2].arg1.mfn = mfn_x(raw_mfn(page));
	CHECK_EQ(hypercall_mmuext_op(op, 3, &done, DOMID_SELF), -ENOSYS);
	CHECK_EQ(done, 1);
	CHECK_EQ(raw_rw(page), 0); /* so the pin was not made */
}
