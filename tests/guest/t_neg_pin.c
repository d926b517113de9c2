/* SPDX-License-Identifier: MIT */
/*
 * Pins and base pointers: what makes a plain frame a page table, and what does not.
 *
 * A frame's type can change only while its count is 0. A pin is one bit and one reference; CR3
 * holds another. Promotion validates every entry, and a frame that fails stays plain.
 *
 * Source: do_mmuext_op, new_guest_cr3, promote_l1_table to promote_l4_table, _get_page_type.
 */
#include "raw.h"

static long pin_mfn(unsigned int level, uint64_t mfn)
{
	return raw_ext(MMUEXT_PIN_L1_TABLE + level - 1, mfn, 0);
}

/* A frame number that is none, or is none of the guest's. */
static uint64_t bad_mfn(unsigned int i)
{
	const uint64_t mfns[] = { raw_unowned_mfn(), 0,
				  UINT64_C(1) << 28, UINT64_C(1) << 39,
				  UINT64_C(1) << 52, UINT64_MAX >> PAGE_SHIFT,
				  UINT64_MAX };

	return i < ARRAY_SIZE(mfns) ? mfns[i] : INVALID_MFN_X - 1;
}

#define BAD_MFNS 7

/*
 * The frame behind a writable mapping is counted as writable: as a table too, the guest could
 * write it.
 */
RAW_TEST(neg_pin, neg_pin_writable, "a frame with a writable mapping can't be pinned at any level")
{
	const uint64_t *page = raw_page(0);
	unsigned int level;

	for (level = 1; level <= 4; level++) {
		CHECK_EQ(raw_pin(level, page), -EINVAL);
		CHECK_EQ(raw_ro(page), 0);
		CHECK_EQ(raw_pin(level, page), 0);
		CHECK_EQ(raw_rw(page), -EBUSY);
		CHECK_EQ(raw_unpin(page), 0);
		CHECK_EQ(raw_rw(page), 0);
	}
}

/* One frame, one level. An L1 that is also taken for an L2 would make data pages into tables. */
RAW_TEST(neg_pin, neg_pin_other_level,
	 "a table in use, linked or pinned, can't be pinned at another level")
{
	uint64_t *table[] = { raw_page(2), raw_page(1), raw_page(0) };
	unsigned int level, other;

	raw_link_tree(table[2], table[1], table[0]);
	for (level = 1; level <= 3; level++) {
		for (other = 1; other <= 4; other++)
			if (other != level)
				CHECK_EQ(raw_pin(other, table[level - 1]), -EINVAL);
		CHECK_EQ(raw_pin(level, table[level - 1]), 0);
		CHECK_EQ(raw_unpin(table[level - 1]), 0);
	}
	CHECK_EQ(raw_pin(3, boot_va(boot_info()->l4)), -EINVAL);
	raw_unlink_tree(table[2], table[1], table[0]);

	CHECK_EQ(raw_ro(table[0]), 0);
	CHECK_EQ(raw_pin(2, table[0]), 0);
	CHECK_EQ(raw_pin(1, table[0]), -EINVAL);
	CHECK_EQ(raw_unpin(table[0]), 0);
	CHECK_EQ(raw_rw(table[0]), 0);
}

/* A pin is one bit: who pins twice and unpins once has no pin left. */
RAW_TEST(neg_pin, neg_pin_twice, "a second pin fails and a second unpin too")
{
	const uint64_t *page = raw_page(0);
	unsigned int level;

	CHECK_EQ(raw_unpin(page), -EINVAL);
	CHECK_EQ(raw_ro(page), 0);
	CHECK_EQ(raw_unpin(page), -EINVAL);
	for (level = 1; level <= 4; level++) {
		CHECK_EQ(raw_pin(level, page), 0);
		CHECK_EQ(raw_pin(level, page), -EINVAL);
		CHECK_EQ(raw_unpin(page), 0);
		CHECK_EQ(raw_unpin(page), -EINVAL);
	}
	CHECK_EQ(raw_rw(page), 0);
}

/* XSA-32 was about numbers that were looked up before they were looked at. */
RAW_TEST(neg_pin, neg_pin_bad_frame,
	 "frames of Xen, frame 0, and numbers that are no frame are neither pinned nor unpinned")
{
	unsigned int i, level;

	for (i = 0; i < BAD_MFNS; i++) {
		for (level = 1; level <= 4; level++)
			CHECK_EQ(pin_mfn(level, bad_mfn(i)), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_UNPIN_TABLE, bad_mfn(i), 0), -EINVAL);
	}
}

/*
 * What promotion refuses in an L1. The failing entry is the last, so that all the others,
 * mappings of a data page, have been counted and must be given back: the data page can be a table
 * afterwards.
 */
RAW_TEST(neg_pin, neg_pin_bad_l1,
	 "an L1 with a PTE to an unowned frame, or a writable one to a table, is not promoted")
{
	uint64_t *l1 = raw_page(0), *data = raw_page(1), *table = raw_page(2);
	uint64_t bad[3];
	unsigned int i, j;

	CHECK_EQ(raw_ro(table), 0);
	CHECK_EQ(raw_pin(1, table), 0);
	bad[0] = pte_make(_mfn(raw_unowned_mfn()), RAW_RO);
	bad[1] = raw_pte(table, RAW_RW);
	/* Itself: it has become an L1 by the time that its entries are looked at. */
	bad[2] = raw_pte(l1, RAW_RW);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (j = 0; j < TABLE_ENTRIES - 1; j++)
			l1[j] = raw_pte(data, RAW_RW);
		l1[TABLE_ENTRIES - 1] = bad[i];
		CHECK_EQ(raw_ro(l1), 0);
		CHECK_EQ(raw_pin(1, l1), -EBUSY);
		/* What Xen put into the entries before the bad one stays in them. */
		raw_check_stored(&l1[0], 1, raw_pte(data, RAW_RW));
		CHECK(READ_ONCE(l1[0]) & PTE_GK);
		CHECK_EQ(raw_rw(l1), 0);
		CHECK_EQ(raw_ro(data), 0);
		CHECK_EQ(raw_pin(1, data), 0);
		CHECK_EQ(raw_unpin(data), 0);
		CHECK_EQ(raw_rw(data), 0);
	}
	/* Read-only both are fine, in one table. */
	l1[TABLE_ENTRIES - 1] = raw_pte(l1, RAW_RO);
	l1[0] = raw_pte(table, RAW_RO);
	CHECK_EQ(raw_ro(l1), 0);
	CHECK_EQ(raw_pin(1, l1), 0);
	CHECK_EQ(raw_unpin(l1), 0);
	CHECK_EQ(raw_rw(l1), 0);
	CHECK_EQ(raw_unpin(table), 0);
	CHECK_EQ(raw_rw(table), 0);
}

/*
 * While nothing uses a table it can be written by mmu_update like any page; so it is looked at
 * anew when it is next used, though it has kept its type.
 */
RAW_TEST(neg_pin, neg_pin_again,
	 "a table that was unpinned and changed is checked again at its next use")
{
	uint64_t *l1 = raw_page(0), *data = raw_page(1);

	l1[0] = raw_pte(data, RAW_RW);
	CHECK_EQ(raw_ro(l1), 0);
	CHECK_EQ(raw_pin(1, l1), 0);
	CHECK_EQ(raw_ro(data), 0);
	CHECK_EQ(raw_pin(1, data), -EINVAL);
	CHECK_EQ(raw_unpin(l1), 0);
	CHECK_EQ(raw_pin(1, data), 0);
	CHECK_EQ(raw_pin(1, l1), -EBUSY);
	CHECK_EQ(raw_unpin(data), 0);
	CHECK_EQ(raw_set(&l1[1], pte_make(_mfn(raw_unowned_mfn()), RAW_RO)), 0);
	CHECK_EQ(raw_pin(1, l1), -EBUSY);
	CHECK_EQ(raw_set(&l1[1], 0), 0);
	CHECK_EQ(raw_pin(1, l1), 0);
	CHECK_EQ(raw_unpin(l1), 0);
	raw_rw_all(0, 1);
}

/*
 * The leaf counts, whatever stands above it: rights can be narrowed at an upper entry at no cost,
 * but that frees no frame to become a table.
 */
RAW_TEST(neg_pin, neg_pin_under_read_only,
	 "a frame with a writable leaf under a read-only upper entry can't be pinned")
{
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2), *data = raw_page(3);

	l1[0] = raw_pte(data, RAW_RW);
	raw_link_tree(l3, l2, l1);
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT), raw_pte(l3, RAW_RO)), 0);
	CHECK_EQ(raw_set(&l2[0], raw_pte(l1, RAW_RO)), 0);
	CHECK_EQ(raw_ro(data), 0);
	CHECK_EQ(probe_store64(raw_ptr(RAW_VA), 1), EXINFO_PF(PF_PRESENT | PF_WRITE));
	CHECK_EQ(raw_pin(1, data), -EINVAL);
	CHECK_EQ(raw_uva(raw_ptr(RAW_VA), raw_pte(data, RAW_RO)), 0);
	CHECK_EQ(raw_pin(1, data), 0);
	CHECK_EQ(raw_unpin(data), 0);
	raw_unlink_tree(l3, l2, l1);
	CHECK_EQ(raw_rw(data), 0);
}

/* An entry of the wrong kind, in slot @slot of a table of @level, which is zero otherwise. */
static void pin_refused(unsigned int level, uint64_t *table, unsigned int slot, uint64_t val)
{
	table[slot] = val;
	CHECK_EQ(raw_ro(table), 0);
	CHECK_EQ(raw_pin(level, table), -EINVAL);
	CHECK_EQ(raw_rw(table), 0);
	table[slot] = 0;
}

/* Upper tables: what they link must be able to become a table of the level below. */
RAW_TEST(
	neg_pin, neg_pin_bad_upper,
	"an L2, L3 or L4 that links a writable page, an unowned one, or with bad flags, is refused")
{
	uint64_t *table = raw_page(0), *below = raw_page(1);
	/* L4: the first of the slots that are the guest's again, and the last. */
	static const unsigned int slots[] = { 0, SLOT_XEN_LAST + 1, 511 };
	unsigned int level;
	size_t i;

	for (level = 2; level <= 4; level++) {
		for (i = 0; i < ARRAY_SIZE(slots); i++) {
			pin_refused(level, table, slots[i], raw_pte(below, RAW_LINK));
			pin_refused(level, table, slots[i],
				    pte_make(_mfn(raw_unowned_mfn()), RAW_LINK));
			CHECK_EQ(raw_ro(below), 0);
			pin_refused(level, table, slots[i], raw_pte(below, RAW_LINK | PTE_PSE));
			pin_refused(level, table, slots[i], raw_pte(below, RAW_LINK | PTE_PCD));
			pin_refused(level, table, slots[i], raw_pte(below, RAW_LINK | PTE_G));
			CHECK_EQ(raw_rw(below), 0);
		}
	}
	/* Junk: present, and whatever is in the other bits. */
	pin_refused(4, table, 300, UINT64_C(0xdeadbeef));
	pin_refused(3, table, 300, UINT64_MAX);
}

/*
 * Xen's own slots are not the guest's to fill, nor to keep empty: whatever is there is replaced
 * by what the live L4 has. Two differ. The linear map (258) leads to the table itself; the M2P
 * (256) is there from the pin on if the guest has the assist m2p_strict, and else from the first
 * use as a base (init_xen_l4_slots, fill_ro_mpt).
 */
RAW_TEST(neg_pin, neg_pin_xen_slots, "junk in L4 slots 256-271 is overwritten at the pin")
{
	uint64_t *l4 = raw_page(0), entry, live;
	unsigned int i;

	for (i = SLOT_XEN_FIRST; i <= SLOT_XEN_LAST; i++)
		l4[i] = UINT64_C(0xdeadbeef00000fff);
	CHECK_EQ(raw_ro(l4), 0);
	CHECK_EQ(raw_pin(4, l4), 0);
	for (i = SLOT_XEN_FIRST; i <= SLOT_XEN_LAST; i++) {
		entry = READ_ONCE(l4[i]) & ~PTE_AD;
		live = *raw_l4e(i) & ~PTE_AD;
		if (i == SLOT_XEN_FIRST)
			CHECK(entry == 0 || entry == live);
		else if (i == SLOT_XEN_FIRST + 2)
			CHECK_EQ(mfn_x(pte_mfn(entry)), mfn_x(raw_mfn(l4)));
		else
			CHECK_EQ(entry, live);
	}
	CHECK_EQ(raw_unpin(l4), 0);
	CHECK_EQ(raw_rw(l4), 0);
}

/* A pin can be taken from the L4 that the CPU is on: CR3's own reference keeps it a table. */
RAW_TEST(neg_pin, neg_pin_live_l4,
	 "the live L4 can be unpinned, stays a table, and is pinned again")
{
	void *l4 = boot_va(boot_info()->l4);

	CHECK_EQ(raw_unpin(l4), 0);
	CHECK_EQ(raw_unpin(l4), -EINVAL);
	CHECK_EQ(raw_uva(l4, raw_pte(l4, RAW_RW)), -EBUSY);
	CHECK_EQ(raw_pin(3, l4), -EINVAL);
	CHECK_EQ(raw_pin(4, l4), 0);
	CHECK_EQ(raw_pin(4, l4), -EINVAL);
}

/* A table that is none would be walked by the CPU as soon as it is the base. */
RAW_TEST(neg_pin, neg_baseptr_bad,
	 "no base pointer but an L4: not an L1, a writable page, or Xen's")
{
	uint64_t *l1 = raw_page(0), *rw = raw_page(1);
	unsigned int i;

	CHECK_EQ(raw_ro(l1), 0);
	CHECK_EQ(raw_pin(1, l1), 0);
	CHECK_EQ(raw_ext(MMUEXT_NEW_BASEPTR, mfn_x(raw_mfn(l1)), 0), -EINVAL);
	CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, mfn_x(raw_mfn(l1)), 0), -EINVAL);
	CHECK_EQ(raw_ext(MMUEXT_NEW_BASEPTR, mfn_x(raw_mfn(rw)), 0), -EINVAL);
	CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, mfn_x(raw_mfn(rw)), 0), -EINVAL);
	for (i = 0; i < BAD_MFNS; i++) {
		CHECK_EQ(raw_ext(MMUEXT_NEW_BASEPTR, bad_mfn(i), 0), -EINVAL);
		if (bad_mfn(i) != 0) /* 0: no user tables at all, which is the case */
			CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, bad_mfn(i), 0), -EINVAL);
	}
	CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	CHECK_EQ(raw_unpin(l1), 0);
	CHECK_EQ(raw_rw(l1), 0);
}

/*
 * Validated on the fly, and typed for as long as it is the base: a pin saves the work of the next
 * switch, no more. An L4 of the guest's own has the M2P without its doing.
 */
RAW_TEST(neg_pin, neg_baseptr_unpinned, "an L4 that is read-only but not pinned becomes the base")
{
	uint64_t *l4 = raw_page(0), *user = raw_page(1);
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++)
		l4[i] = i < SLOT_XEN_FIRST || i > SLOT_XEN_LAST ? *raw_l4e(i) : 0;
	raw_ro_all(0, 1);
	CHECK_EQ(raw_ext(MMUEXT_NEW_BASEPTR, mfn_x(raw_mfn(l4)), 0), 0);
	CHECK_EQ(raw_m2p(mfn_x(raw_mfn(l4))), pfn_x(boot_va_pfn(l4)));
	CHECK_EQ(raw_rw(l4), -EBUSY);
	CHECK_EQ(raw_unpin(l4), -EINVAL);
	CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, mfn_x(raw_mfn(user)), 0), 0);
	CHECK_EQ(raw_rw(user), -EBUSY);
	CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	CHECK_EQ(raw_ext(MMUEXT_NEW_BASEPTR, mfn_x(boot_mfn(boot_info(), boot_info()->l4)), 0), 0);
	raw_rw_all(0, 1);
}
