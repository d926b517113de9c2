/* SPDX-License-Identifier: MIT */
/*
 * Published holes in Xen's check of page-table entries. Each test says what the hole was and what
 * a Xen without it answers; on one with it a test may do harm.
 *
 * Left out: what needs a second vCPU (XSA-401), shadow paging (173, 280, 408, 438), a 32-bit
 * guest (185, 293), or a device (storms of IOMMU faults); and XSA-273, L1TF, whose fix crashes
 * the domain that tries it.
 *
 * Source: Xen's security advisories, by number; arch/x86/mm.c.
 */
#include "raw.h"
#include <pinion/lib/string.h>

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

/*
 * XSA-148: an L2 entry that stayed nearly the same took a short way without the check of its
 * flags, and so could be made a writable superpage over the guest's page tables. A fixed Xen
 * refuses PSE on that way too: -EINVAL.
 */
RAW_TEST(xsa, xsa_148, "a live L2 entry can't be made a superpage, alone or with RW")
{
	static const uint64_t flags[] = { PTE_PSE, PTE_PSE | PTE_NX, PTE_PSE | PTE_AVL };
	uint64_t was;
	size_t i;

	tree_up();
	was = READ_ONCE(l2[0]);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		CHECK_EQ(raw_set(&l2[0], was | flags[i]), -EINVAL);
		CHECK_EQ(raw_set(&l2[0], (was | flags[i]) & ~PTE_RW), -EINVAL);
		CHECK_EQ(raw_update(raw_maddr(&l2[0]) | MMU_PT_UPDATE_PRESERVE_AD, was | flags[i]),
			 -EINVAL);
		CHECK_EQ(READ_ONCE(l2[0]) & ~PTE_AD, was & ~PTE_AD);
	}
	/* The same for the levels above, with the entries as they are. */
	CHECK_EQ(raw_set(&l3[0], READ_ONCE(l3[0]) | PTE_PSE), -EINVAL);
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT), *raw_l4e(RAW_SLOT) | PTE_PSE), -EINVAL);
	/* What the short way is for. */
	CHECK_EQ(raw_set(&l2[0], was | PTE_NX | PTE_AVL), 0);
	tree_down();
}

/*
 * XSA-154: device memory could be mapped cached and uncached at once by a domain with devices,
 * which some CPUs answer with a machine check. A fixed Xen maps it uncached whatever is asked
 * for.
 */
RAW_TEST(xsa, xsa_154, "device memory is mapped uncached, whatever the entry says", .needs = "dom0")
{
	static const uint64_t asked[] = { 0, PTE_PWT, PTE_PAT | PTE_PWT, PTE_PCD,
					  PTE_PCD | PTE_PWT };
	const uint64_t *page = raw_page(3);
	uint64_t read;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		CHECK_EQ(raw_uva(page, pte_make(_mfn(0xb8), RAW_RW | asked[i])), 0);
		read = *raw_entry(page, 1);
		CHECK(pte_reads_as(1, read, pte_make(_mfn(0xb8), RAW_RW | asked[i]), true));
		CHECK_EQ(read & PTE_PCD, PTE_PCD);
	}
	CHECK_EQ(raw_rw(page), 0);
}

/*
 * XSA-167: the commands that made superpages of guest frames lacked checks of the frames. They
 * are gone: a fixed Xen says -EOPNOTSUPP whatever the frame.
 */
RAW_TEST(xsa, xsa_167, "no frame can be marked as a superpage")
{
	const uint64_t mfns[] = { 0, 512, raw_unowned_mfn(), UINT64_C(1) << 39, UINT64_MAX };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mfns); i++) {
		CHECK_EQ(raw_ext(MMUEXT_MARK_SUPER, mfns[i], 0), -EOPNOTSUPP);
		CHECK_EQ(raw_ext(MMUEXT_UNMARK_SUPER, mfns[i], 0), -EOPNOTSUPP);
	}
}

/*
 * XSA-182: an entry of an L4 that differed by harmless bits from the old one took a short way,
 * and RW was thought harmless: a read-only linear map became a writable one. A fixed Xen sends it
 * the long way, where a writable linear map is -EINVAL.
 */
RAW_TEST(xsa, xsa_182, "a read-only linear map can't be made writable, in steps or at once")
{
	const void *live = boot_va(boot_info()->l4);
	const uint64_t *entry = raw_l4e(RAW_SLOT + 1);
	uint64_t ro = raw_pte(live, RAW_RO), self = raw_self_va(RAW_SLOT + 1);
	uint64_t word = 0;

	CHECK_EQ(raw_set(entry, ro), 0);
	CHECK_EQ(raw_set(entry, ro | PTE_RW), -EINVAL);
	CHECK_EQ(raw_set(entry, ro | PTE_RW | PTE_US | PTE_D), -EINVAL);
	CHECK_EQ(raw_set(entry, ro | PTE_NX), 0);
	CHECK_EQ(raw_set(entry, ro | PTE_NX | PTE_RW), -EINVAL);
	CHECK_EQ(raw_set(entry, ro | PTE_AVL), 0);
	CHECK_EQ(raw_update(raw_maddr(entry) | MMU_PT_UPDATE_PRESERVE_AD, ro | PTE_RW), -EINVAL);
	CHECK_EQ(READ_ONCE(*entry) & PTE_RW, 0);
	/* And no store goes through it. */
	CHECK_EQ(probe_load64(raw_ptr(self + sizeof(uint64_t) * RAW_SLOT), &word), 0);
	CHECK_EQ(probe_store64(raw_ptr(self + sizeof(uint64_t) * RAW_SLOT), word),
		 EXINFO_PF(PF_PRESENT | PF_WRITE));
	CHECK_EQ(raw_set(entry, 0), 0);
}

/* Pages 0, 1 and 2 as pinned L2s, of no tree. */
static void pin_three(void)
{
	unsigned int i;

	raw_ro_all(0, 2);
	for (i = 0; i < 3; i++)
		CHECK_EQ(raw_pin(2, raw_page(i)), 0);
}

/* Fails if a count is left: then the table stays one, or its frame can't be exchanged. */
static void unpin_three(void)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		CHECK_EQ(raw_unpin(raw_page(i)), 0);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(raw_rw(raw_page(i)), 0);
		CHECK_EQ(raw_exchange(raw_page(i)), 0);
	}
}

/*
 * XSA-240: tables of one level could be linked to each other as linear maps in chains of any
 * length, and Xen followed one by recursion when it took them down, past the end of its stack. A
 * fixed Xen lets a table have linear entries or be the target of some, not both.
 */
RAW_TEST(xsa, xsa_240,
	 "linear maps don't chain: a table that is shown by another shows none itself")
{
	uint64_t *a = raw_page(0), *b = raw_page(1), *c = raw_page(2);

	pin_three();
	CHECK_EQ(raw_set(&a[0], raw_pte(b, RAW_RO)), 0);
	CHECK_EQ(raw_set(&b[0], raw_pte(c, RAW_RO)), -EINVAL);
	CHECK_EQ(raw_set(&c[0], raw_pte(a, RAW_RO)), -EINVAL);
	CHECK_EQ(raw_set(&b[0], raw_pte(a, RAW_RO)), -EINVAL);
	/* More of the same kind is no chain; nor is a table's map of itself. */
	CHECK_EQ(raw_set(&a[1], raw_pte(c, RAW_RO)), 0);
	CHECK_EQ(raw_set(&c[0], raw_pte(b, RAW_RO)), -EINVAL);
	CHECK_EQ(raw_set(&b[0], raw_pte(b, RAW_RO)), 0);
	CHECK_EQ(raw_set(&b[0], 0), 0);
	CHECK_EQ(raw_set(&a[0], 0), 0);
	CHECK_EQ(raw_set(&a[1], 0), 0);
	unpin_three();
}

/*
 * XSA-309: the counts of linear entries and uses went wrong when a table was taken down, so that
 * a chain could be made after all. With the right counts the roles of two tables can be changed
 * any number of times.
 */
RAW_TEST(xsa, xsa_309, "linear counts are back at nothing when the entry, or its table, is gone")
{
	uint64_t *a = raw_page(0), *b = raw_page(1), *swap;
	unsigned int i;

	pin_three();
	for (i = 0; i < 8; i++) {
		CHECK_EQ(raw_set(&a[i], raw_pte(b, RAW_RO)), 0);
		CHECK_EQ(raw_set(&b[i], raw_pte(a, RAW_RO)), -EINVAL);
		if (i % 2) {
			CHECK_EQ(raw_set(&a[i], 0), 0);
		} else {
			/* Taken down with the entry in it. */
			CHECK_EQ(raw_unpin(a), 0);
			CHECK_EQ(raw_rw(a), 0);
			a[i] = 0;
			CHECK_EQ(raw_ro(a), 0);
			CHECK_EQ(raw_pin(2, a), 0);
		}
		swap = a;
		a = b;
		b = swap;
	}
	unpin_three();
}

/*
 * XSA-286: Xen reached the guest's L1 entries through a linear map of its own, whose TLB entries
 * the guest's INVLPG did not flush: update_va_mapping then wrote an L1 that was no longer there.
 * A fixed Xen walks the tables as they are.
 */
RAW_TEST(xsa, xsa_286, "update_va_mapping changes the L1 that is linked now, not the one before")
{
	uint64_t *other_l1 = raw_page(5), *other_l2 = raw_page(6), word = 0;
	uint64_t first = raw_pte(raw_page(3), RAW_RW), second = raw_pte(raw_page(4), RAW_RO);

	raw_page(3)[0] = 3;
	raw_page(4)[0] = 4;
	other_l2[0] = raw_pte(other_l1, RAW_LINK);
	raw_ro_all(5, 6);
	tree_up();
	/* By the L2 entry. */
	CHECK_EQ(raw_uva(raw_ptr(RAW_VA), first), 0);
	CHECK(probe_load64(raw_ptr(RAW_VA), &word) == 0 && word == 3);
	CHECK_EQ(raw_set(&l2[0], raw_pte(other_l1, RAW_LINK)), 0);
	CHECK_EQ(raw_ext(MMUEXT_INVLPG_LOCAL, RAW_VA, 0), 0);
	CHECK_EQ(raw_uva(raw_ptr(RAW_VA), second), 0);
	raw_check_stored(&l1[0], 1, first);
	raw_check_stored(&other_l1[0], 1, second);
	CHECK(probe_load64(raw_ptr(RAW_VA), &word) == 0 && word == 4);
	/*
	 * By the L3 entry, to an L2 that has the other L1 too, while this one goes back to the
	 * first.
	 */
	CHECK_EQ(raw_set(&l2[0], raw_pte(l1, RAW_LINK)), 0);
	CHECK(probe_load64(raw_ptr(RAW_VA), &word) == 0 && word == 3);
	CHECK_EQ(raw_set(&l3[0], raw_pte(other_l2, RAW_LINK)), 0);
	CHECK_EQ(raw_ext(MMUEXT_INVLPG_LOCAL, RAW_VA, 0), 0);
	CHECK_EQ(raw_uva(raw_ptr(RAW_VA), 0), 0);
	CHECK_EQ(READ_ONCE(other_l1[0]), 0);
	raw_check_stored(&l1[0], 1, first);
	CHECK_EQ(probe_load64(raw_ptr(RAW_VA), &word), EXINFO_PF(0));
	tree_down();
	raw_rw_all(5, 6);
}

/*
 * XSA-292: with PCID in use, a guest's switch to another L4 did not flush all that it should
 * have, global entries among it. After a switch a fixed Xen lets the CPU see nothing of the old
 * L4.
 */
RAW_TEST(xsa, xsa_292, "after a new base pointer no address shows what the old one mapped there")
{
	uint64_t *l4 = raw_page(8), word = 0, *other_l1 = raw_page(7);
	uint64_t mfn[] = { mfn_x(raw_mfn(l4)), mfn_x(boot_mfn(boot_info(), boot_info()->l4)) };
	unsigned int i;

	raw_page(3)[0] = 3;
	raw_page(4)[0] = 4;
	tree_up();
	/* With U the leaf gets G: what stays in a TLB over a plain CR3 write. */
	CHECK_EQ(raw_set(&l1[0], raw_pte(raw_page(3), RAW_RO | PTE_US)), 0);
	CHECK_EQ(READ_ONCE(l1[0]) & PTE_G, PTE_G);
	memcpy(l4, boot_va(boot_info()->l4), PAGE_SIZE);
	l4[RAW_SLOT] = raw_pte(raw_page(5), RAW_LINK);
	raw_page(5)[0] = raw_pte(raw_page(6), RAW_LINK);
	raw_page(6)[0] = raw_pte(other_l1, RAW_LINK);
	other_l1[0] = raw_pte(raw_page(4), RAW_RO | PTE_US);
	raw_ro_all(5, 8);
	CHECK_EQ(raw_pin(4, l4), 0);
	for (i = 0; i < 6; i++) {
		CHECK_EQ(raw_ext(MMUEXT_NEW_BASEPTR, mfn[i % 2], 0), 0);
		CHECK(probe_load64(raw_ptr(RAW_VA), &word) == 0 && word == (i % 2 ? 3 : 4));
		CHECK_EQ(probe_load64(raw_ptr(RAW_VA + PAGE_SIZE), &word), EXINFO_PF(0));
	}
	CHECK_EQ(raw_unpin(l4), 0);
	CHECK_EQ(raw_set(&l1[0], 0), 0);
	tree_down();
	raw_rw_all(5, 8);
}

/*
 * XSA-402: what was written through an uncached mapping could be hidden behind older, cached data
 * while Xen looked at the frame to make it a table, and come out after. A fixed Xen flushes
 * first: what it finds is what was written.
 */
RAW_TEST(xsa, xsa_402, "a table written through an uncached mapping is the table that Xen checks",
	 .needs = "dom0")
{
	uint64_t *table = raw_page(0), *alias = raw_page(1), *data = raw_page(2);
	static const uint64_t kinds[] = { PTE_PAT, PTE_PCD, PTE_PCD | PTE_PWT, PTE_PWT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		table[3] = raw_pte(data, RAW_RW); /* cached, and allowed */
		CHECK_EQ(raw_uva(alias, raw_pte(table, RAW_RW | kinds[i])), 0);
		WRITE_ONCE(alias[3], pte_make(_mfn(raw_unowned_mfn()), RAW_RW));
		CHECK_EQ(raw_rw(alias), 0);
		CHECK_EQ(raw_ro(table), 0);
		CHECK_EQ(raw_pin(1, table), -EBUSY);
		CHECK_EQ(raw_rw(table), 0);
	}
}
