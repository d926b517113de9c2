/* SPDX-License-Identifier: MIT */
/*
 * The audit before there is a frame table (see <pinion/mm/audit.h>): what stands between phases 4 and 6.
 *
 *     start of day's L4    nothing in slots that nobody uses yet
 *     the boot region      each page maps the P2M's frame, or nothing any more; writable unless it is a table
 *     the PMAP window      filled slots are those in use
 *     the boot allocator   free ranges are RAM, in no other range, not start of day's; mapped as their pool says
 */
#include <pinion/arch/cpu.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/boot_tables.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/pmap.h>
#include <pinion/mm/tables.h>
#include "audit_internal.h"

static bool within(const struct frame_run *run, pfn_t pfn)
{
	return pfn_x(pfn) >= pfn_x(run->start) && pfn_x(pfn) < pfn_x(run->start) + run->nr;
}

static bool is_table(const struct audit *a, pfn_t pfn)
{
	return within(&a->bi->tables, pfn) || pfn_eq(pfn, pmap_table(0)) ||
	       pfn_eq(pfn, pmap_table(1));
}

/* The leaf of a page of the boot region; 0 if there is none. */
static uint64_t leaf_of(const struct audit *a, pfn_t pfn)
{
	uint64_t leaf;

	if (boot_table_entry(a->bi, (uintptr_t)boot_va(pfn), 1, NULL, &leaf))
		return 0;
	return (leaf & PTE_P) ? leaf : 0;
}

static void region_page(struct audit *a, pfn_t pfn)
{
	uint64_t leaf = leaf_of(a, pfn);
	mfn_t mfn = pfn_to_mfn(pfn);

	if (!leaf)
		return;
	if (pfn_eq(pfn, boot_va_pfn(shared_info_page)))
		mfn = maddr_to_mfn(a->bi->shared_info);
	if (!mfn_eq(pte_mfn(leaf), mfn))
		audit_broken(a, AUDIT_DIRECT_MFN, pfn, mfn_x(mfn), mfn_x(pte_mfn(leaf)));
	else if (is_table(a, pfn) && (leaf & PTE_RW))
		audit_broken(a, AUDIT_TABLE_WRITABLE, pfn, leaf & ~PTE_RW, leaf);
	else if (!is_table(a, pfn) && !(leaf & PTE_RW))
		audit_broken(a, AUDIT_DIRECT_RIGHTS, pfn, leaf | PTE_RW, leaf);
}

static void check_l4(struct audit *a)
{
	const uint64_t *l4 = boot_va(a->bi->l4);
	unsigned int slot;

	for (slot = 0; slot < TABLE_ENTRIES; slot++)
		if ((l4[slot] & PTE_P) && !l4_slot_is_xens(slot) && slot != SLOT_IMAGE)
			audit_broken(a, AUDIT_LINK, a->bi->l4, 0, l4[slot]);
}

static void check_window(struct audit *a)
{
	const uint64_t *l1 = boot_va(pmap_table(0));
	unsigned int i;
	bool used;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		used = i < PMAP_SLOTS && (this_cpu()->pmap_in_use & 1U << i);
		if (used != (l1[i] & PTE_P))
			audit_broken(a, AUDIT_PMAP, pmap_table(0), used, l1[i]);
	}
}

/*
 * Whether @page is a leaf of the tree. Of Xen's mfn_list a page goes back to the allocator when nothing
 * is left in it to say: all its frames have moved out of a hole.
 */
static bool is_leaf(pfn_t page)
{
	const uint64_t *leaf = (const void *)(kernel_p2m.base + (pfn_x(page) << PAGE_SHIFT));
	uint64_t slot, i, **mid;

	for (slot = 0; slot < P2M_ENTRIES; slot++) {
		mid = kernel_p2m.top[slot];
		if (mid == kernel_p2m.shared_mid[P2M_MISSING] ||
		    mid == kernel_p2m.shared_mid[P2M_IDENTITY])
			continue;
		for (i = 0; i < P2M_ENTRIES; i++)
			if (mid[i] == leaf)
				return true;
	}
	return false;
}

/* A free frame: not one of start of day's, and with the mapping that its pool has. */
static void free_frame(struct audit *a, pfn_t pfn, bool mapped)
{
	const struct boot_info *bi = a->bi;
	bool in_region = pfn_x(pfn) < pfn_x(bi->region_end);

	if (p2m_kind(&kernel_p2m, pfn) != P2M_RAM || is_table(a, pfn) || within(&bi->image, pfn) ||
	    (within(&bi->mfn_list, pfn) && is_leaf(pfn)) || pfn_eq(pfn, bi->start_info))
		audit_broken(a, AUDIT_BOOT_ALLOC, pfn, 0, 1);
	if (in_region && mapped != (leaf_of(a, pfn) != 0))
		audit_broken(a, AUDIT_BOOT_ALLOC, pfn, mapped, !mapped);
}

static void check_boot_alloc(struct audit *a)
{
	struct frame_run run, other;
	bool mapped, ignored;
	unsigned int i, j;
	uint64_t n;

	for (i = 0; boot_alloc_range(i, &run, &mapped); i++) {
		for (n = 0; n < run.nr; n++)
			free_frame(a, pfn_add(run.start, n), mapped);
		for (j = 0; j < i && boot_alloc_range(j, &other, &ignored); j++)
			if (pfn_x(run.start) < pfn_x(other.start) + other.nr &&
			    pfn_x(other.start) < pfn_x(run.start) + run.nr)
				audit_broken(a, AUDIT_BOOT_ALLOC, run.start, 1, 2);
	}
}

static void check_m2p(struct audit *a)
{
	uint64_t n, mfn;

	for (n = 0; n < kernel_p2m.max_pfn; n++) {
		mfn = p2m_get(&kernel_p2m, _pfn(n));
		if (mfn < P2M_MFN_END && pfn_x(mfn_to_pfn(_mfn(mfn))) != n)
			audit_broken(a, AUDIT_M2P, _pfn(n), n, pfn_x(mfn_to_pfn(_mfn(mfn))));
	}
}

void audit_early(struct audit *a)
{
	uint64_t n;

	check_l4(a);
	for (n = 0; n < pfn_x(a->bi->region_end); n++)
		region_page(a, _pfn(n));
	check_window(a);
	check_boot_alloc(a);
	check_m2p(a);
}
