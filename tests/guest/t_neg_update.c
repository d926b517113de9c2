/* SPDX-License-Identifier: MIT */
/*
 * mmu_update: which requests Xen refuses, which it takes though they look wrong, and how a call
 * ends that fails on its way.
 *
 * Source: do_mmu_update, mod_l1_entry to mod_l4_entry, get_page_from_l2e to _l4e.
 */
#include "raw.h"

/* Every test has this tree: page 0 is an L3, 1 an L2, 2 an L1, linked from RAW_SLOT. */
static uint64_t *l3, *l2, *l1;

static void tree_up(void)
{
	l3 = raw_page(0);
	l2 = raw_page(1);
	l1 = raw_page(2);
	raw_link_tree(l3, l2, l1);
}

static void tree_down(void)
{
	raw_unlink_tree(l3, l2, l1);
}

/* Three bits of ptr choose the command, not the two that the public header's comment speaks of. */
RAW_TEST(neg_update, neg_update_command,
	 "ptr's command is its low three bits: 0, 2 and 3 write an entry, 4 to 7 are -ENOSYS")
{
	static const unsigned int writes[] = { MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD, 3 };
	uint64_t val;
	unsigned int cmd;
	size_t i;

	tree_up();
	val = raw_pte(raw_page(3), RAW_RO);
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		CHECK_EQ(raw_update(raw_maddr(&l1[7]) | writes[i], val), 0);
		raw_check_stored(&l1[7], 1, val);
		CHECK_EQ(raw_set(&l1[7], 0), 0);
	}
	for (cmd = 4; cmd < 8; cmd++) {
		CHECK_EQ(raw_update(raw_maddr(&l1[7]) | cmd, val), -ENOSYS);
		CHECK_EQ(READ_ONCE(l1[7]), 0);
	}
	/* So an unaligned pointer is one of these, and never an entry across two. */
	CHECK_EQ(raw_update(raw_maddr(&l1[7]) + 4, val), -ENOSYS);
	CHECK_EQ(raw_update(raw_maddr(&l1[7]) + 12, val), -ENOSYS);
	tree_down();
}

/*
 * PRESERVE_AD keeps what the CPU has set meanwhile; NORMAL may lose it, and with it a dirty page.
 */
RAW_TEST(neg_update, neg_update_preserve_ad,
	 "PRESERVE_AD keeps A and D of the old entry, NORMAL does not")
{
	uint64_t *page = raw_page(3);
	uint64_t val = raw_pte(page, PTE_P | PTE_RW);

	tree_up();
	CHECK_EQ(raw_set(&l1[0], val), 0);
	CHECK_EQ(READ_ONCE(l1[0]) & PTE_AD, 0);
	CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), 0);
	CHECK_EQ(READ_ONCE(l1[0]) & PTE_AD, PTE_AD);
	CHECK_EQ(raw_update(raw_maddr(&l1[0]) | MMU_PT_UPDATE_PRESERVE_AD, val), 0);
	CHECK_EQ(READ_ONCE(l1[0]) & PTE_AD, PTE_AD);
	CHECK_EQ(raw_set(&l1[0], val), 0);
	CHECK_EQ(READ_ONCE(l1[0]) & PTE_AD, 0);
	CHECK_EQ(raw_set(&l1[0], 0), 0);
	CHECK_EQ(raw_ext(MMUEXT_INVLPG_LOCAL, RAW_VA, 0), 0);
	tree_down();
}

/* The table whose entry is to change must be the guest's own. */
RAW_TEST(neg_update, neg_update_bad_table, "a ptr into a frame that is not the guest's is -EINVAL")
{
	const uint64_t mfns[] = { raw_unowned_mfn(),	   0,
				  UINT64_C(1) << 28,	   UINT64_C(1) << 39,
				  (UINT64_C(1) << 52) - 1, raw_foreign_mfn() };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mfns); i++)
		CHECK_EQ(raw_update(mfns[i] << PAGE_SHIFT, 0), -EINVAL);
}

/*
 * A frame that is no table takes any 8 bytes. This is why a request that comes too late, when its
 * table has been freed and used for something else, corrupts that silently: no error tells.
 */
RAW_TEST(neg_update, neg_update_plain_page,
	 "a ptr into an own page that is no table is a plain write of 8 bytes")
{
	uint64_t *page = raw_page(3), was;

	CHECK_EQ(raw_update(raw_maddr(&page[5]), UINT64_C(0xdeadbeefcafef00d)), 0);
	CHECK_EQ(READ_ONCE(page[5]), UINT64_C(0xdeadbeefcafef00d));
	CHECK(READ_ONCE(page[4]) == 0 && READ_ONCE(page[6]) == 0);
	/* Mapped read-only, even; and PRESERVE_AD preserves nothing. */
	CHECK_EQ(raw_ro(page), 0);
	CHECK_EQ(raw_update(raw_maddr(&page[5]) | MMU_PT_UPDATE_PRESERVE_AD, 0), 0);
	CHECK_EQ(READ_ONCE(page[5]), 0);
	/* What was a table until just now. */
	CHECK_EQ(raw_pin(1, page), 0);
	CHECK_EQ(raw_set(&page[5], UINT64_MAX), -EINVAL);
	CHECK_EQ(raw_unpin(page), 0);
	was = READ_ONCE(page[5]);
	CHECK_EQ(raw_set(&page[5], UINT64_MAX), 0);
	CHECK(was == 0 && READ_ONCE(page[5]) == UINT64_MAX);
	CHECK_EQ(raw_rw(page), 0);
}

/*
 * A superpage or a table that is taken for one of another level would give the guest RAM that
 * nobody has checked.
 */
RAW_TEST(neg_update, neg_update_bad_link,
	 "links with PSE, G or PCD, and to what is no table below, fail")
{
	uint64_t *fresh = raw_page(3), *rw = raw_page(4);
	static const uint64_t bad_flags[] = { PTE_PSE, PTE_G, PTE_PCD, PTE_PWT };
	uint64_t far = pte_make(_mfn(UINT64_C(1) << 39), RAW_LINK);
	uint64_t unowned = pte_make(_mfn(raw_unowned_mfn()), RAW_LINK);
	const uint64_t *entry;
	unsigned int level;
	size_t i;

	tree_up();
	CHECK_EQ(raw_ro(fresh), 0);
	for (level = 2; level <= 4; level++) {
		entry = level == 2 ? &l2[9] : level == 3 ? &l3[9] : raw_l4e(RAW_SLOT + 1);
		for (i = 0; i < ARRAY_SIZE(bad_flags); i++)
			CHECK_EQ(raw_set(entry, raw_pte(fresh, RAW_LINK | bad_flags[i])), -EINVAL);
		CHECK_EQ(raw_set(entry, raw_pte(rw, RAW_LINK)), -EINVAL);
		CHECK_EQ(raw_set(entry, unowned), -EINVAL);
		CHECK_EQ(raw_set(entry, far), -EINVAL);
		CHECK_EQ(raw_set(entry, UINT64_MAX), -EINVAL);
		CHECK_EQ(READ_ONCE(*entry), 0);
	}
	/* Each table of the tree where another level's is due. */
	CHECK_EQ(raw_set(&l2[9], raw_pte(l3, RAW_LINK)), -EINVAL);
	CHECK_EQ(raw_set(&l3[9], raw_pte(l1, RAW_LINK)), -EINVAL);
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT + 1), raw_pte(l2, RAW_LINK)), -EINVAL);
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT + 1), raw_pte(l1, RAW_LINK)), -EINVAL);
	CHECK(READ_ONCE(l2[9]) == 0 && READ_ONCE(l3[9]) == 0);
	CHECK_EQ(raw_rw(fresh), 0);
	tree_down();
}

/*
 * One table at two places is legal, at each level: Xen counts it twice. Ranges are shared that
 * way. The second place can have its own rights.
 */
RAW_TEST(neg_update, neg_update_shared,
	 "an L1, an L2 or an L3 may be linked twice, with other rights")
{
	uint64_t *page = raw_page(3), word = 0;
	const uint64_t two[] = { RAW_VA + L2_SPAN, RAW_VA + L3_SPAN, RAW_VA + L4_SPAN };
	const uint64_t *entry[3] = { NULL, NULL, raw_l4e(RAW_SLOT + 1) };
	unsigned int i;

	tree_up();
	entry[0] = &l2[1];
	entry[1] = &l3[1];
	page[0] = 0x5a;
	CHECK_EQ(raw_set(&l1[0], raw_pte(page, RAW_RW)), 0);
	CHECK_EQ(raw_set(entry[0], raw_pte(l1, RAW_RO)), 0);
	CHECK_EQ(raw_set(entry[1], raw_pte(l2, RAW_RO)), 0);
	CHECK_EQ(raw_set(entry[2], raw_pte(l3, RAW_RO)), 0);
	for (i = 0; i < 3; i++) {
		raw_check_stored(entry[i], i + 2, raw_pte(raw_page(2 - i), RAW_RO));
		CHECK(probe_load64(raw_ptr(two[i]), &word) == 0 && word == 0x5a);
		CHECK_EQ(probe_store64(raw_ptr(two[i]), 1), EXINFO_PF(PF_PRESENT | PF_WRITE));
	}
	CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 0x5a), 0);
	for (i = 0; i < 3; i++)
		CHECK_EQ(raw_set(entry[i], 0), 0);
	CHECK_EQ(raw_set(&l1[0], 0), 0);
	tree_down();
}

/*
 * Xen's part of the address space is the same in every guest L4; clearing it would unmap Xen
 * itself.
 */
RAW_TEST(neg_update, neg_update_xen_slots, "L4 slots 256 to 271 can't be written, not even with 0")
{
	unsigned int slot;

	tree_up();
	for (slot = SLOT_XEN_FIRST; slot <= SLOT_XEN_LAST; slot++) {
		CHECK_EQ(raw_set(raw_l4e(slot), 0), -EINVAL);
		CHECK_EQ(raw_set(raw_l4e(slot), raw_pte(l3, RAW_LINK)), -EINVAL);
		CHECK_EQ(raw_set(raw_l4e(slot), *raw_l4e(slot)), -EINVAL);
	}
	/* The neighbours are the guest's. */
	if (*raw_l4e(SLOT_XEN_FIRST - 1) == 0) {
		CHECK_EQ(raw_set(raw_l4e(SLOT_XEN_FIRST - 1), raw_pte(l3, RAW_LINK)), 0);
		CHECK_EQ(raw_set(raw_l4e(SLOT_XEN_FIRST - 1), 0), 0);
	}
	if (*raw_l4e(SLOT_XEN_LAST + 1) == 0) {
		CHECK_EQ(raw_set(raw_l4e(SLOT_XEN_LAST + 1), raw_pte(l3, RAW_LINK)), 0);
		CHECK_EQ(raw_set(raw_l4e(SLOT_XEN_LAST + 1), 0), 0);
	}
	tree_down();
}

/*
 * The requests before the failing one are done, and done says how many; those after it are not
 * looked at. A queue that takes an error for 'none was done' is wrong about the tables from here
 * on.
 */
RAW_TEST(neg_update, neg_update_mid_call,
	 "good, bad, good: the bad one's error, done 1, the third not run; RO remaps before stay")
{
	uint64_t *page = raw_page(3), *other = raw_page(4);
	uint64_t own = raw_maddr(raw_entry(page, 1));
	struct mmu_update req[3];
	unsigned int bad, i, done;

	tree_up();
	for (bad = 0; bad < 3; bad++) {
		for (i = 0; i < 3; i++) {
			req[i].ptr = raw_maddr(&l1[i]);
			req[i].val = raw_pte(other, RAW_RO);
		}
		/* The remap of a page to be a table, and the failure behind it. */
		req[0].ptr = own;
		req[0].val = raw_pte(page, RAW_RO);
		req[bad].val = pte_make(_mfn(raw_unowned_mfn()), RAW_RO);
		done = 99;
		CHECK_EQ(hypercall_mmu_update(req, 3, &done, DOMID_SELF), -EBUSY);
		CHECK_EQ(done, bad);
		CHECK_EQ(probe_store64(page, 0), bad ? EXINFO_PF(PF_PRESENT | PF_WRITE) : 0);
		for (i = 1; i < 3; i++) {
			CHECK_EQ(READ_ONCE(l1[i]) != 0, i < bad);
			CHECK_EQ(raw_set(&l1[i], 0), 0);
		}
		CHECK_EQ(raw_rw(page), 0);
	}
	tree_down();
}

/* The list of requests, and where the count goes. */
RAW_TEST(neg_update, neg_update_pointers,
	 "a bad list is -EFAULT, a bad place for the count is ignored, and no requests are a "
	 "success")
{
	struct mmu_update *const bad[] = { NULL, raw_ptr(XEN_VA_BASE), raw_ptr(RAW_VA + L3_SPAN),
					   raw_ptr(UINT64_C(1) << 63) };
	struct mmu_update req;
	unsigned int done;
	size_t i;

	tree_up();
	req.ptr = raw_maddr(&l1[0]);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		done = 99;
		CHECK_EQ(hypercall_mmu_update(bad[i], 1, &done, DOMID_SELF), -EFAULT);
		CHECK(done == 0 || done == 99);
		req.val = raw_pte(raw_page(3), RAW_RO);
		CHECK_EQ(hypercall_mmu_update(&req, 1, (unsigned int *)bad[i], DOMID_SELF), 0);
		raw_check_stored(&l1[0], 1, req.val);
		CHECK_EQ(raw_set(&l1[0], 0), 0);
	}
	done = 99;
	CHECK_EQ(hypercall_mmu_update(&req, 0, &done, DOMID_SELF), 0);
	CHECK_EQ(done, 0);
	CHECK_EQ(hypercall_mmu_update(NULL, 0, NULL, DOMID_SELF), 0);
	tree_down();
}

/*
 * A table that shows itself one level down, so that a guest can read its tables as an array.
 * Read-only that is harmless; writable, or made so later, it is what XSA-182 was about.
 */
RAW_TEST(neg_update, neg_update_linear,
	 "a self map is fine read-only at L2, L3 and L4; -EINVAL read-write, or made so")
{
	const uint64_t *entry[3], *live = boot_va(boot_info()->l4);
	const void *table[3];
	unsigned int i;

	tree_up();
	entry[0] = &l2[9];
	table[0] = l2;
	entry[1] = &l3[9];
	table[1] = l3;
	entry[2] = raw_l4e(RAW_SLOT + 1);
	table[2] = live;
	for (i = 0; i < 3; i++) {
		CHECK_EQ(raw_set(entry[i], raw_pte(table[i], RAW_LINK)), -EINVAL);
		CHECK_EQ(raw_set(entry[i], raw_pte(table[i], RAW_RO)), 0);
		raw_check_stored(entry[i], i + 2, raw_pte(table[i], RAW_RO));
		CHECK_EQ(raw_set(entry[i], raw_pte(table[i], RAW_LINK)), -EINVAL);
		raw_check_stored(entry[i], i + 2, raw_pte(table[i], RAW_RO));
		CHECK_EQ(raw_set(entry[i], 0), 0);
	}
	/* Through it: the L4 as the last level of an address all of whose indices are the slot. */
	CHECK_EQ(raw_set(entry[2], raw_pte(live, RAW_RO | PTE_NX)), 0);
	CHECK_EQ(*(uint64_t *)raw_ptr(raw_self_va(RAW_SLOT + 1) + SLOT_IMAGE * sizeof(uint64_t)) &
			 ~PTE_AD,
		 *raw_l4e(SLOT_IMAGE) & ~PTE_AD);
	CHECK_EQ(raw_set(entry[2], 0), 0);
	tree_down();
}

/* The frames of the M2P are Xen's, but what they say of a guest's frames is that guest's to say. */
RAW_TEST(neg_update, neg_update_m2p,
	 "the M2P of an own frame takes any value, unchecked; of another's none")
{
	static const uint64_t values[] = { 0, 12345, UINT64_C(1) << 40, UINT64_MAX - 1,
					   UINT64_MAX };
	uint64_t mfn = mfn_x(raw_mfn(raw_page(3))), ptr = mfn << PAGE_SHIFT | MMU_MACHPHYS_UPDATE;
	const uint64_t bad[] = { raw_unowned_mfn(),	  0,
				 UINT64_C(1) << 28,	  UINT64_C(1) << 39,
				 (UINT64_C(1) << 52) - 1, raw_foreign_mfn() };
	uint64_t before;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		CHECK_EQ(raw_update(ptr, values[i]), 0);
		CHECK_EQ(raw_m2p(mfn), values[i]);
	}
	/* The offset within the frame says nothing. */
	CHECK_EQ(raw_update(ptr + 0xff8, pfn_x(boot_va_pfn(raw_page(3)))), 0);
	CHECK_EQ(raw_m2p(mfn), pfn_x(boot_va_pfn(raw_page(3))));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		before = raw_m2p(bad[i]);
		CHECK_EQ(raw_update(bad[i] << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 5), -EINVAL);
		CHECK_EQ(raw_m2p(bad[i]), before);
	}
}
