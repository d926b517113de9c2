/* SPDX-License-Identifier: MIT */
/*
 * Which mappings Xen lets a guest make. Every frame has one type at a time (table of a level,
 * descriptor page, writable) and a count of the references to it as that; a mapping with RW is a
 * reference as writable, so that a table is never writable by the guest that it binds. And a
 * guest maps its own frames only.
 *
 * Source: get_page_from_l1e, mod_l1_entry, __do_update_va_mapping; ABI: 'What must fail, and how'.
 */
#include "raw.h"

/* What the tests map besides a page's own address: entry 3 of the tree's L1. */
#define ALIAS (RAW_VA + 3 * PAGE_SIZE)

/* Device memory of any PC: the VGA's text page, and a page of the PCI hole below 4 GiB. */
#define VGA_MFN	       0xb8
#define PCI_HOLE_MFN   0xfd000
#define LOCAL_APIC_MFN 0xfee00

/* Beyond what any CPU addresses, but not the highest number. */
#define HUGE_MFN     (UINT64_C(1) << 39)
#define ALL_ONES_MFN ((UINT64_C(1) << 40) - 1)

static bool dom0(void)
{
	return boot_info()->initdomain;
}

/* mmu_update through the live L1 that maps @va. */
static long set_leaf(const void *va, uint64_t val)
{
	return raw_set(raw_entry(va, 1), val);
}

/* Both calls refuse @val for page 4's own address with @want, and what is mapped there stays. */
static void refuse_both(uint64_t val, long want)
{
	const uint64_t *page = raw_page(4);
	uint64_t before = *raw_entry(page, 1);

	CHECK_EQ(raw_uva(page, val), want);
	CHECK_EQ(set_leaf(page, val), want);
	CHECK_EQ(*raw_entry(page, 1) & ~PTE_AD, before & ~PTE_AD);
}

/*
 * Tables of each level, all in use and one of them pinned too. If one could be made writable, by
 * its own mapping or by another, the guest would write its own page tables.
 */
RAW_TEST(neg_map, neg_map_table_writable,
	 "a table, in use or pinned, can't be mapped writable at its own address or at another")
{
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2), *table;
	pfn_t l4 = boot_info()->l4;
	unsigned int i;

	raw_link_tree(l3, l2, l1);
	CHECK_EQ(raw_pin(2, l2), 0);
	for (i = 0; i < 3; i++) {
		table = raw_page(i);
		CHECK_EQ(raw_rw(table), -EBUSY);
		CHECK_EQ(set_leaf(table, raw_pte(table, RAW_RW)), -EBUSY);
		CHECK_EQ(raw_uva(raw_ptr(ALIAS), raw_pte(table, RAW_RW)), -EBUSY);
		CHECK_EQ(set_leaf(raw_ptr(ALIAS), raw_pte(table, RAW_RW)), -EBUSY);
		CHECK_EQ(raw_uva(raw_ptr(ALIAS), raw_pte(table, RAW_RO)), 0);
		raw_check_stored(&l1[3], 1, raw_pte(table, RAW_RO));
		CHECK_EQ(set_leaf(raw_ptr(ALIAS), raw_pte(table, RAW_RW)), -EBUSY);
		CHECK_EQ(raw_uva(raw_ptr(ALIAS), 0), 0);
	}
	CHECK_EQ(raw_uva(boot_va(l4), raw_pte(boot_va(l4), RAW_RW)), -EBUSY);
	/* Unlinked, the L2 is held by its pin alone. */
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT), 0), 0);
	CHECK_EQ(raw_rw(l2), -EBUSY);
	CHECK_EQ(raw_unpin(l2), 0);
	raw_rw_all(0, 2);
}

/*
 * The guest's own hand is stopped by the CPU; only stores to an L1 can be taken over by Xen,
 * which then does what mmu_update would: for a dom0 always, for another domain if it asks for
 * writable_pagetables.
 */
RAW_TEST(neg_map, neg_map_table_store,
	 "a store to an L2 or L3 faults; to an L1 it faults for a domU")
{
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2);
	uint64_t val = raw_pte(raw_page(4), RAW_RO),
		 unowned = pte_make(_mfn(raw_unowned_mfn()), RAW_RO);
	exinfo_t fault = EXINFO_PF(PF_PRESENT | PF_WRITE);

	raw_link_tree(l3, l2, l1);
	CHECK_EQ(probe_store64(&l3[3], 0), fault);
	CHECK_EQ(probe_store64(&l2[3], 0), fault);
	CHECK_EQ(probe_store64(&l1[3], val), dom0() ? 0 : fault);
	if (dom0())
		raw_check_stored(&l1[3], 1, val);
	else
		CHECK_EQ(READ_ONCE(l1[3]), 0);
	/* What Xen would not take otherwise it does not take so. */
	CHECK_EQ(raw_set(&l1[3], 0), 0);
	CHECK_EQ(probe_store64(&l1[3], unowned), fault);
	CHECK_EQ(READ_ONCE(l1[3]), 0);
	raw_unlink_tree(l3, l2, l1);
}

/*
 * The bits that the CPU ignores are the guest's, in the leaf and above; bit 62 is Xen's in debug
 * builds, and bit 52 means something in a leaf. Xen adds what pte_as_stored() says, and nothing
 * else.
 */
RAW_TEST(neg_map, neg_map_available,
	 "available bits of present entries are kept, and Xen's are added")
{
	static const uint64_t bits[] = { UINT64_C(1) << 9,
					 UINT64_C(1) << 10,
					 UINT64_C(1) << 11,
					 UINT64_C(1) << 53,
					 UINT64_C(1) << 58,
					 UINT64_C(1) << 61,
					 PTE_AVL | UINT64_C(0x1ff) << 53 };
	static const uint64_t flags[] = {
		0, PTE_US, PTE_G, PTE_GK, PTE_GK | PTE_US, PTE_US | PTE_G
	};
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2);
	const uint64_t *entry[] = { &l2[0], &l3[0], raw_l4e(RAW_SLOT) }, *page = raw_page(4);
	const void *table[] = { l1, l2, l3 };
	unsigned int level;
	size_t i, j;

	raw_link_tree(l3, l2, l1);
	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			CHECK_EQ(raw_set(&l1[3], raw_pte(page, RAW_RW | flags[j] | bits[i])), 0);
			raw_check_stored(&l1[3], 1, raw_pte(page, RAW_RW | flags[j] | bits[i]));
		}
		for (level = 2; level <= 4; level++) {
			CHECK_EQ(raw_set(entry[level - 2],
					 raw_pte(table[level - 2], PTE_P | PTE_RW | bits[i])),
				 0);
			raw_check_stored(entry[level - 2], level,
					 raw_pte(table[level - 2], PTE_P | PTE_RW | bits[i]));
		}
	}
	CHECK_EQ(raw_set(&l1[3], 0), 0);
	raw_unlink_tree(l3, l2, l1);
}

/*
 * With other domains' frames and Xen's within reach, no other rule would matter. Read-only is
 * refused too: Xen's memory has other guests' secrets.
 */
RAW_TEST(neg_map, neg_map_foreign, "a frame of Xen's or of another domain is not mapped, RW or RO")
{
	uint64_t unowned = raw_unowned_mfn(), foreign = raw_foreign_mfn();

	REQUIRE(unowned != 0);
	refuse_both(pte_make(_mfn(unowned), RAW_RW), -EBUSY);
	refuse_both(pte_make(_mfn(unowned), RAW_RO), -EBUSY);
	if (dom0())
		return;
	REQUIRE(foreign != 0);
	refuse_both(pte_make(_mfn(foreign), RAW_RW), -EBUSY);
	refuse_both(pte_make(_mfn(foreign), RAW_RO), -EBUSY);
}

/*
 * dom0 drives the devices and may map what is no RAM, but Xen's own local APIC; another domain
 * only what it is given. Left to the guest's wish, such a mapping would be cached: Xen makes it
 * uncached (XSA-154).
 */
RAW_TEST(neg_map, neg_map_mmio, "MMIO and what lies above RAM: dom0 may, uncached; a domU may not")
{
	static const uint64_t mfns[] = { VGA_MFN, PCI_HOLE_MFN };
	const uint64_t *page = raw_page(4);
	uint64_t word = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mfns); i++) {
		if (!dom0()) {
			refuse_both(pte_make(_mfn(mfns[i]), RAW_RW), -EPERM);
			continue;
		}
		CHECK_EQ(raw_uva(page, pte_make(_mfn(mfns[i]), RAW_RW)), 0);
		CHECK(pte_reads_as(1, *raw_entry(page, 1), pte_make(_mfn(mfns[i]), RAW_RW), true));
		CHECK_EQ(probe_load64(page, &word), 0);
		CHECK_EQ(raw_rw(page), 0);
		CHECK_EQ(set_leaf(page, pte_make(_mfn(mfns[i]), RAW_RO)), 0);
		CHECK_EQ(raw_rw(page), 0);
	}
	refuse_both(pte_make(_mfn(LOCAL_APIC_MFN), RAW_RW), -EPERM);
	refuse_both(pte_make(_mfn(HUGE_MFN), RAW_RO), -EPERM);
	/* What INVALID_MFN becomes in an entry: a mistake, not an attempt. */
	refuse_both(pte_make(_mfn(ALL_ONES_MFN), RAW_RW), -EINVAL);
	refuse_both(pte_make(_mfn(ALL_ONES_MFN), RAW_RO), -EINVAL);
}

/*
 * A domain without devices has no use for uncached RAM, and would make Xen's view of it
 * incoherent.
 */
RAW_TEST(neg_map, neg_map_cache_bits, "PCD, PWT and PAT on RAM: dom0 may, a plain domU may not")
{
	static const uint64_t bits[] = { PTE_PCD, PTE_PWT, PTE_PAT, PTE_PCD | PTE_PWT | PTE_PAT };
	const uint64_t *page = raw_page(4);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		if (!dom0()) {
			refuse_both(raw_pte(page, RAW_RW | bits[i]), -EINVAL);
			continue;
		}
		CHECK_EQ(raw_uva(page, raw_pte(page, RAW_RW | bits[i])), 0);
		raw_check_stored(raw_entry(page, 1), 1, raw_pte(page, RAW_RW | bits[i]));
		CHECK_EQ(set_leaf(page, raw_pte(page, RAW_RO | bits[i])), 0);
		raw_check_stored(raw_entry(page, 1), 1, raw_pte(page, RAW_RO | bits[i]));
		CHECK_EQ(raw_rw(page), 0);
	}
}

/*
 * update_va_mapping finds the L1 itself, and must find none in Xen's part, whose L1s are no
 * guest's.
 */
RAW_TEST(neg_map, neg_map_no_l1,
	 "no mapping at Xen's addresses, at non-canonical ones, or where there is no L1")
{
	static const uint64_t vas[] = {
		XEN_VA_BASE,
		XEN_VA_BASE + (UINT64_C(1) << 38),
		XEN_VA_END - PAGE_SIZE,
		XEN_VA_BASE + UINT64_C(0x2d080000000), /* Xen's text */
		UINT64_C(0x0000800000000000),
		UINT64_C(0x8000000000000000),
		UINT64_C(0xffff7ffffffff000),
		RAW_VA,
		USER_END - PAGE_SIZE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vas); i++) {
		CHECK_EQ(raw_uva(raw_ptr(vas[i]), raw_pte(raw_page(4), RAW_RW)), -EINVAL);
		CHECK_EQ(raw_uva(raw_ptr(vas[i]), 0), -EINVAL);
	}
}

/* The low bits of the address name no other entry, and none beside it. */
RAW_TEST(neg_map, neg_map_misaligned, "update_va_mapping ignores the low bits of its address")
{
	const uint8_t *page = (const uint8_t *)raw_page(4);
	uint64_t word = 0, next = *raw_entry(page + PAGE_SIZE, 1);

	CHECK_EQ(raw_uva(page + PAGE_SIZE - 1, 0), 0);
	CHECK_EQ(probe_load64(page, &word), EXINFO_PF(0));
	CHECK_EQ(*raw_entry(page + PAGE_SIZE, 1), next);
	CHECK_EQ(raw_uva(page + 0x123, raw_pte(page, RAW_RO)), 0);
	CHECK_EQ(probe_load64(page, &word), 0);
	CHECK_EQ(raw_rw(page), 0);
}

/*
 * The flush comes after the change. Who takes this error for 'nothing happened' has lost count of a
 * mapping.
 */
RAW_TEST(neg_map, neg_map_bad_bitmap,
	 "a bad vCPU bitmap gives -EFAULT, and the entry has changed all the same")
{
	const uint64_t *page = raw_page(4);
	/* Xen's, and an address that nothing maps. The low two bits are the kind of flush. */
	static const uint64_t bad[] = { XEN_VA_BASE, RAW_VA };
	static uint64_t good = 1;
	uint64_t word = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(hypercall_update_va_mapping((uintptr_t)page, 0, UVMF_INVLPG | bad[i]),
			 -EFAULT);
		CHECK_EQ(*raw_entry(page, 1), 0);
		CHECK_EQ(raw_rw(page), 0);
		CHECK_EQ(hypercall_update_va_mapping((uintptr_t)page, raw_pte(page, RAW_RO),
						     UVMF_TLB_FLUSH | bad[i]),
			 -EFAULT);
		raw_check_stored(raw_entry(page, 1), 1, raw_pte(page, RAW_RO));
		CHECK_EQ(raw_rw(page), 0);
	}
	CHECK_EQ(hypercall_update_va_mapping((uintptr_t)page, 0, UVMF_INVLPG | (uintptr_t)&good),
		 0);
	CHECK_EQ(probe_load64(page, &word), EXINFO_PF(0));
	CHECK_EQ(raw_rw(page), 0);
}

/* What only Xen knows a reason for: a guest that names itself must do it by DOMID_SELF. */
RAW_TEST(neg_map, neg_map_domid,
	 "frames of domain N: -ESRCH for its own number or nobody's, -EPERM for another's")
{
	const uint64_t *page = raw_page(4);
	uint64_t val = raw_pte(page, RAW_RW);
	struct mmu_update request = { .ptr = raw_maddr(raw_entry(page, 1)), .val = val };
	struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_LOCAL };
	/* For a dom0 there is no other domain in the rig: nobody has number 1. */
	domid_t own = raw_own_domid(), other = dom0() ? 1 : 0;
	long want = dom0() ? -ESRCH : -EPERM;
	unsigned int done = 99;

	CHECK_EQ(hypercall_mmu_update(&request, 1, &done, own), -ESRCH);
	CHECK_EQ(hypercall_mmuext_op(&op, 1, &done, own), -ESRCH);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_update_va_mapping_otherdomain, (uintptr_t)page, val, 0,
			       own, 0),
		 -ESRCH);
	CHECK_EQ(hypercall_mmu_update(&request, 1, &done, other), want);
	CHECK_EQ(hypercall_mmuext_op(&op, 1, &done, other), want);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_update_va_mapping_otherdomain, (uintptr_t)page, val, 0,
			       other, 0),
		 want);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_update_va_mapping_otherdomain, (uintptr_t)page, val, 0,
			       DOMID_SELF, 0),
		 0);
	CHECK_EQ(raw_rw(page), 0);
}

/*
 * An entry without P means nothing to the CPU, and Xen keeps what the guest writes there. (Without
 * address bits, that is: with them it is fatal on CPUs that have L1TF.)
 */
RAW_TEST(neg_map, neg_map_not_present, "a non-present entry is stored as it is written")
{
	static const uint64_t values[] = {
		PTE_RW,		 PTE_RW | PTE_US | PTE_NX,
		PTE_AVL,	 PTE_PCD | PTE_PWT | PTE_PAT | PTE_G,
		PTE_AD | PTE_GK, PTE_NX | (UINT64_C(0x3f) << 53),
	};
	const uint64_t *page = raw_page(4);
	uint64_t word = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		CHECK_EQ(raw_uva(page, values[i]), 0);
		CHECK_EQ(*raw_entry(page, 1), values[i]);
		CHECK_EQ(set_leaf(page, values[i] ^ PTE_RW), 0);
		CHECK_EQ(*raw_entry(page, 1), values[i] ^ PTE_RW);
		CHECK_EQ(probe_load64(page, &word), EXINFO_PF(0));
	}
	CHECK_EQ(raw_rw(page), 0);
}
