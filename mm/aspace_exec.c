/* SPDX-License-Identifier: MIT */
/*
 * W^X over all aliases of a frame: who is executable anywhere is read-only in the direct map.
 *
 *     execs   0 -> 1   the direct map's leaf becomes read-only
 *             1 -> 0   it becomes writable again
 *
 * The count is of leaves, whether the entries above them allow execution or not: rights of a whole piece
 * are changed in the entry above, and must be able to come back without a look at its frames.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/mmu_batch.h>
#include "aspace_internal.h"

int aspace_exec_unfit(pfn_t pfn)
{
	const struct frame *frame = frame_at(pfn);

	if (!frame || frame->kind != FRAME_DATA)
		return -EINVAL;
	if (!(frame->flags & (FRAME_PLAIN | FRAME_STUCK)) && frame->execs == 0)
		return -EBUSY;
	return direct_map_shared(pfn) ? -EBUSY : 0;
}

/* One that is stuck is read-only already, and what has to be taken back may need it so. */
int aspace_exec_queue(pfn_t pfn)
{
	const struct frame *frame = frame_at(pfn);
	bool writable = frame->execs == 0 && !(frame->flags & FRAME_STUCK);
	int rc = writable ? mmu_batch_direct(pfn, false) : 0;

	if (!rc)
		frame_count_execs(pfn, 1);
	return rc;
}

/* What is done can't be taken back for this: what Xen refuses is tried again frame by frame, then left to a retry. */
void aspace_exec_release(const uint32_t *pfns, unsigned int nr)
{
	unsigned int i;
	int rc = 0;

	if (nr == 0)
		return;
	mmu_batch_begin();
	for (i = 0; i < nr; i++) {
		if (frame_at(_pfn(pfns[i]))->execs > 0)
			frame_count_execs(_pfn(pfns[i]), -1);
		rc = rc ? rc : mmu_batch_direct(_pfn(pfns[i]), true);
	}
	if (mmu_batch_end(rc) == 0)
		return;
	for (i = 0; i < nr; i++)
		if (!(frame_at(_pfn(pfns[i]))->flags & FRAME_PLAIN))
			mmu_batch_widen(_pfn(pfns[i]));
}

void aspace_leaves_gone(pfn_t l1)
{
	uint32_t pfns[TABLE_ENTRIES];
	unsigned int i, nr = 0;
	uint64_t entry;
	pfn_t pfn;

	if (!(frame_at(l1)->flags & FRAME_EXEC))
		return;
	for (i = 0; i < TABLE_ENTRIES; i++) {
		entry = table_read(l1, i);
		if ((entry & (PTE_P | PTE_NX)) != PTE_P)
			continue;
		pfn = mfn_to_pfn(pte_mfn(entry));
		table_store(l1, i, 0);
		if (frame_at(pfn)->execs > 1)
			frame_count_execs(pfn, -1);
		else
			pfns[nr++] = (uint32_t)pfn_x(pfn);
	}
	aspace_exec_release(pfns, nr);
}
