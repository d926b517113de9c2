/* SPDX-License-Identifier: MIT */
/*
 * A section of one entry, without the queue: what it costs to map, unmap or protect one page is the hypercall, and
 * the queue's own bookkeeping would be a third on top. There is nothing before it to undo and
 * nothing after it to drop, so that either it is done or it is not. (Xen's -EFAULT comes after the change: it is done
 * then, but for the flush.)
 */
#include <pinion/arch/cpu.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/hypercall.h>
#include "mmu_batch_internal.h"

static int refused(struct mmu_batch *b, const char *who, pfn_t table, unsigned int index,
		   uint64_t value, long rc)
{
	b->error = (struct mmu_batch_error){
		.op = MMU_BATCH_UVA,
		.rc = (int)rc,
		.ptr = maddr_x(mfn_to_maddr(pfn_to_mfn(table))) + index * sizeof(uint64_t),
		.val = value,
		.who = who,
	};
	b->counters.update_va_mapping++;
	b->counters.failed++;
	return (int)rc;
}

/* What the call was to flush. */
static int flush_alone(struct mmu_batch *b, uint64_t va, uint64_t old)
{
	if (old & PTE_P) {
		b->counters.invlpg--;
		b->invlpg[0] = va;
		b->invlpgs = 1;
		mmu_batch_send_tlb(b);
	}
	return 0;
}

static unsigned long flush_of(uint64_t old)
{
	return (old & PTE_P) ? UVMF_INVLPG : UVMF_NONE;
}

/* Xen has said @rc. Apart, so that a call that succeeds keeps as little for this as can be. */
static __noinline int not_done(const char *who, pfn_t table, unsigned int index, uint64_t old,
			       uint64_t value, uint64_t va, long rc)
{
	struct mmu_batch *b = mmu_batch_this();

	if (rc != -EFAULT && b->insists)
		rc = hypercall_update_va_mapping(va, value, flush_of(old));
	if (rc == -EFAULT)
		rc = flush_alone(b, va, old);
	if (rc == 0)
		return 0;
	b->counters.ones--;
	b->counters.invlpg -= old & PTE_P;
	if (pfn_x(table) <
	    frame_table_nr) /* NOLINTNEXTLINE(readability-suspicious-call-argument): undone */
		table_count(&frame_table[pfn_x(table)], value, old);
	return refused(b, who, table, index, value, rc);
}

/* Counted before the call, like everything that is queued: then little has to be kept over it. */
int mmu_batch_one_for(const char *who, pfn_t table, unsigned int index, uint64_t old,
		      uint64_t value, uint64_t va)
{
	struct mmu_batch *b = this_cpu()->batch ? this_cpu()->batch : mmu_batch_this();
	int rc;

	ASSERT(this_cpu()->traps == 0);
	if (unlikely(b->depth))
		return -EBUSY;
	if (likely(pfn_x(table) < frame_table_nr))
		table_count(&frame_table[pfn_x(table)], old, value);
	b->counters.ones++;
	b->counters.invlpg += old & PTE_P;
	rc = (int)hypercall_update_va_mapping(va, value, flush_of(old));
	return likely(rc == 0) ? 0 : not_done(who, table, index, old, value, va, rc);
}
