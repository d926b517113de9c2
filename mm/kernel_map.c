/* SPDX-License-Identifier: MIT */
/* Phase 7; the tables are drawn in <pinion/mm/kernel_map.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/string.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/pmap.h>

/* L4, two L3s, L2, and the L1s under it. */
#define IMAGE_L1S 2
#define TABLES	  (4 + IMAGE_L1S)

static pfn_t own_l4;

struct frame_run kernel_map_tables(void)
{
	return (struct frame_run){ own_l4, TABLES };
}

pfn_t kernel_l4(void)
{
	return own_l4;
}

static bool within(uint64_t va, const char *start, const char *end)
{
	return va >= (uint64_t)start && va < (uint64_t)end;
}

/* What the image's page at @va is mapped to: the whole of W^X for the image. */
static uint64_t image_entry(const struct boot_info *bi, uint64_t va)
{
	pfn_t pfn = boot_va_pfn((const void *)va);
	mfn_t mfn = pfn_to_mfn(pfn);

	if (within(va, __text_start, __text_end))
		return pte_make(mfn, PTE_KERNEL_RX);
	if (within(va, __rodata_start, __rodata_end))
		return pte_make(mfn, PTE_KERNEL_RO);
	if (within(va, boot_stack_guard, boot_stack))
		return 0;
	if (within(va, shared_info_page, shared_info_page + PAGE_SIZE))
		return pte_make(maddr_to_mfn(bi->shared_info), PTE_KERNEL_RW);
	if (pfn_eq(pfn, pmap_table(0)) || pfn_eq(pfn, pmap_table(1)))
		return 0;
	return pte_make(mfn, PTE_KERNEL_RW);
}

static void fill(const struct boot_info *bi, uint64_t *table[TABLES], const mfn_t mfn[TABLES])
{
	uint64_t *l4 = table[0], *l3_image = table[1], *l2 = table[3], va;
	const uint64_t *old_l4 = direct_va(bi->l4);
	unsigned int i;

	for (i = 0; i < TABLES; i++)
		memset(table[i], 0, PAGE_SIZE);
	l4[SLOT_DIRECT_MAP] = pte_make(pte_mfn(old_l4[SLOT_DIRECT_MAP]), PTE_LINK);
	l4[SLOT_IMAGE] = pte_make(mfn[1], PTE_LINK);
	l4[SLOT_VMAP] = pte_make(mfn[2], PTE_LINK);
	l3_image[va_index(VIRT_BASE, 3)] = pte_make(mfn[3], PTE_LINK);
	for (i = 0; i < IMAGE_L1S; i++)
		l2[va_index(VIRT_BASE, 2) + i] = pte_make(mfn[4 + i], PTE_LINK);
	for (va = IMAGE_BASE; va < (uint64_t)__image_end; va += PAGE_SIZE)
		table[4 + ((va - VIRT_BASE) >> L2_SHIFT)][va_index(va, 1)] = image_entry(bi, va);
}

/* All at once: on a failure the vCPU runs on as before. */
static int enter(pfn_t run, pfn_t old)
{
	unsigned int i;
	int rc = 0;

	mmu_batch_begin();
	for (i = 0; i < TABLES && !rc; i++)
		rc = mmu_batch_make_table(pfn_add(run, i), NULL);
	if (!rc)
		rc = mmu_batch_pin(run, 4);
	if (!rc)
		rc = mmu_batch_new_baseptr(run, old);
	return mmu_batch_end(rc);
}

int kernel_map_enter(const struct boot_info *bi)
{
	uint64_t *table[TABLES];
	mfn_t mfn[TABLES];
	unsigned int i;
	pfn_t run;
	int rc = boot_alloc_run(TABLES, &run);

	if (rc)
		return rc;
	for (i = 0; i < TABLES; i++) {
		table[i] = direct_va(pfn_add(run, i));
		mfn[i] = pfn_to_mfn(pfn_add(run, i));
	}
	fill(bi, table, mfn);
	rc = enter(run, bi->l4);
	if (!rc)
		own_l4 = run;
	return rc;
}

/* A former table of start of day's becomes ordinary memory. */
static long reclaim_run(const struct frame_run *run)
{
	uint64_t i;
	int rc;

	for (i = 0; i < run->nr; i++) {
		rc = direct_map_protect(pfn_add(run->start, i), PTE_KERNEL_RW);
		if (rc)
			return rc;
	}
	boot_alloc_add_unmapped(run->start, run->nr);
	return (long)run->nr;
}

long kernel_map_reclaim(const struct boot_info *bi)
{
	unsigned int i;
	long rc, sum;

	mmu_batch_begin();
	rc = mmu_batch_end(mmu_batch_unpin(bi->l4, 4));
	if (rc)
		return rc;
	sum = reclaim_run(&bi->tables);
	for (i = 0; i < PMAP_TABLES && sum >= 0; i++) {
		struct frame_run one = { pmap_table(i), 1 };

		rc = reclaim_run(&one);
		sum = rc < 0 ? rc : sum + rc;
	}
	return sum;
}
