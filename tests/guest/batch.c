/* SPDX-License-Identifier: MIT */
/* Tables for the tests of mmu_batch; see batch.h. */
#include "batch.h"
#include <xen/xen.h>
#include <pinion/xen/hypercall.h>

unsigned int batch_released;

/* What option sync says: these tests say for themselves when each entry goes out at once. */
static bool was_sync;

void batch_release(pfn_t pfn)
{
	batch_released++;
	frame_free(pfn, 0);
}

void batch_release_kept(pfn_t pfn __maybe_unused)
{
	batch_released++;
}

pfn_t batch_new_table(unsigned int level)
{
	pfn_t pfn = INVALID_PFN;

	if (frame_alloc(0, OWNER_TEST, &pfn) || table_begin(pfn, level, true))
		test_error("no memory for a table");
	return pfn;
}

bool batch_up(struct batch_tables *t)
{
	unsigned int i;

	batch_released = 0;
	was_sync = mmu_batch_sync();
	mmu_batch_set_sync(false);
	for (i = 0; i < BATCH_DATA; i++)
		if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &t->data[i]), 0))
			return false;
	if (!CHECK_EQ(aspace_create(&t->as), 0))
		return false;
	t->l3 = batch_new_table(3);
	t->l2 = batch_new_table(2);
	table_store(t->as.l4, va_index(BATCH_VA, 4), batch_link(t->l3));
	table_store(t->l3, va_index(BATCH_VA, 3), batch_link(t->l2));
	for (i = 0; i < BATCH_L1S; i++) {
		t->l1[i] = batch_new_table(1);
		table_store(t->l2, va_index(BATCH_VA, 2) + i, batch_link(t->l1[i]));
	}
	for (i = 0; i < BATCH_MAPS; i++) {
		table_store(t->l1[0], i, batch_leaf(t->data[i], USER_RW));
		table_store(t->l1[1], i, batch_leaf(t->data[i], USER_RO));
		*(uint64_t *)direct_va(t->data[i]) = i;
	}
	return CHECK_EQ(aspace_activate(&t->as), 0);
}

void batch_down(struct batch_tables *t)
{
	unsigned int i;

	CHECK_EQ(mmu_batch_depth(), 0);
	mmu_batch_set_sync(was_sync);
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&t->as), 0);
	for (i = 0; i < BATCH_DATA; i++)
		frame_free(t->data[i], 0);
}

/* One more word of the state. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum ^ sum >> 29;
}

static uint64_t mix_table(uint64_t sum, pfn_t table, unsigned int level)
{
	uint64_t entry;
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		entry = table_read(table, i);
		if (entry && !(level == 4 && l4_slot_is_xens(i)))
			sum = mix(sum, (entry & ~PTE_AD) + i);
	}
	return sum;
}

uint64_t batch_state(void)
{
	uint64_t sum = frame_alloc_free() + frame_alloc_reserve(), pfn;

	for (pfn = 0; pfn < pfn_x(frame_table_end()); pfn++) {
		const struct frame *frame = frame_at(_pfn(pfn));

		if (!frame || (frame->kind != FRAME_TABLE && frame->kind != FRAME_DATA) ||
		    frame->owner == OWNER_RESERVE)
			continue;
		sum = mix(sum, frame_word(frame) + (pfn << 32));
		sum = mix(sum, (uint64_t)frame->live << 48 | (uint64_t)frame->parents << 32 |
				       frame->holds);
		if (frame->kind == FRAME_TABLE)
			sum = mix_table(sum, _pfn(pfn), frame->level);
	}
	return sum;
}

long batch_raw_set(pfn_t table, unsigned int index, uint64_t value)
{
	struct mmu_update request = { .ptr = maddr_x(mfn_to_maddr(pfn_to_mfn(table))) +
					     index * sizeof(uint64_t),
				      .val = value };

	return hypercall_mmu_update(&request, 1, NULL, DOMID_SELF);
}

long batch_raw_ext(unsigned int cmd, pfn_t pfn)
{
	struct mmuext_op op = { .cmd = cmd, .arg1.mfn = mfn_x(pfn_to_mfn(pfn)) };

	return hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF);
}
