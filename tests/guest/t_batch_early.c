/* SPDX-License-Identifier: MIT */
/*
 * The batch before there is a frame table, on start of day's own tables: it keeps no counts then, searches its whole
 * queue for what an entry will be, and takes every entry for a leaf. The direct map and the kernel's own tables are entered
 * this way.
 */
#include "raw.h"
#include <pinion/mm/frame_table.h>
#include <pinion/mm/mmu_batch.h>

/* The L1 that maps scratch page @n, and its entry there. */
static pfn_t leaf_of(unsigned int n, unsigned int *index)
{
	const uint64_t *entry = raw_entry(raw_page(n), 1);

	*index = (unsigned int)((uintptr_t)entry & PAGE_OFFSET_MASK) / sizeof(uint64_t);
	return boot_va_pfn((const void *)((uintptr_t)entry & ~(uintptr_t)PAGE_OFFSET_MASK));
}

static int set_rights(unsigned int n, bool writable)
{
	unsigned int index;
	pfn_t table = leaf_of(n, &index);
	uint64_t entry = mmu_batch_peek(table, index) & ~(PTE_RW | PTE_D);

	return mmu_batch_set(table, index, entry | (writable ? PTE_RW : 0), (uintptr_t)raw_page(n));
}

static int link_slot(bool on)
{
	return mmu_batch_set(boot_info()->l4, RAW_SLOT, on ? raw_pte(raw_page(2), RAW_LINK) : 0, 0);
}

RAW_TEST(batch, batch_early, "before there is a frame table a section links a tree, and unlinks it")
{
	struct mmu_batch_counters before = mmu_batch_counters();
	unsigned int i;
	int rc = 0;

	REQUIRE(frame_at(_pfn(0)) == NULL);
	raw_page(2)[0] = raw_pte(raw_page(1), RAW_LINK);
	raw_page(1)[0] = raw_pte(raw_page(0), RAW_LINK);
	raw_page(0)[5] = raw_pte(raw_page(3), RAW_RW);
	raw_page(3)[0] = 0x5eed;
	mmu_batch_begin();
	for (i = 0; i < 3 && !rc; i++)
		rc = set_rights(i, false);
	if (!rc)
		rc = link_slot(true);
	CHECK(mmu_batch_peek(boot_info()->l4, RAW_SLOT) == raw_pte(raw_page(2), RAW_LINK));
	CHECK_EQ(mmu_batch_end(rc), 0);
	CHECK_EQ(*(volatile uint64_t *)raw_ptr(RAW_VA + 5 * PAGE_SIZE), 0x5eed);
	/* Stores to the L1 a dom0's Xen would emulate. */
	CHECK_EQ(probe_store64(raw_page(1), 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
	mmu_batch_begin();
	rc = link_slot(false);
	for (i = 0; i < 3 && !rc; i++)
		rc = set_rights(i, true);
	CHECK_EQ(mmu_batch_end(rc), 0);
	CHECK_EQ(mmu_batch_counters().sections - before.sections, 2);
	CHECK_EQ(mmu_batch_counters().entries - before.entries, 8);
	for (i = 0; i < 3; i++)
		CHECK_EQ(probe_store64(raw_page(i), 0), 0);
}

/* update_va_mapping is for leaves, and of no entry is the level known. */
RAW_TEST(batch, batch_early_alone,
	 "a single entry goes out by its own address then, whatever it maps")
{
	struct mmu_batch_counters before = mmu_batch_counters(), after;

	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(set_rights(0, false)), 0);
	CHECK_EQ(probe_store64(raw_page(0), 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
	mmu_batch_begin();
	CHECK_EQ(mmu_batch_end(set_rights(0, true)), 0);
	CHECK_EQ(probe_store64(raw_page(0), 0), 0);
	after = mmu_batch_counters();
	CHECK_EQ(after.mmu_update + after.multicall - before.mmu_update - before.multicall, 2);
	CHECK_EQ(after.update_va_mapping, before.update_va_mapping);
}

/* The same entry twice, so that the second one's old value is in the queue alone. */
RAW_TEST(batch, batch_early_refused, "and a refusal undoes what was done before it")
{
	int rc;

	mmu_batch_begin();
	rc = set_rights(0, false);
	if (!rc)
		rc = set_rights(1, false);
	if (!rc)
		rc = set_rights(1, true);
	if (!rc)
		rc = set_rights(2, false);
	/* Its L2 is plain memory, mapped writable. */
	if (!rc)
		rc = link_slot(true);
	CHECK_EQ(mmu_batch_make_table(boot_va_pfn(raw_page(4)), NULL), -EINVAL);
	CHECK_EQ(mmu_batch_end(rc ? rc : mmu_batch_unpin(boot_va_pfn(raw_page(3)), 1)), -EINVAL);
	CHECK_EQ(mmu_batch_error().op, MMU_BATCH_UNPIN);
	CHECK_EQ(mmu_batch_error().index, 5);
	CHECK_EQ(mmu_batch_error().undone, 5);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(probe_store64(raw_page(i), 0), 0);
	CHECK_EQ(*raw_l4e(RAW_SLOT), 0);
}
