/* SPDX-License-Identifier: MIT */
/* What the batch tells of itself: its last failure, and its counters. See <pinion/mm/mmu_batch.h>. */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include "mmu_batch_internal.h"

struct mmu_batch_error mmu_batch_error(void)
{
	return mmu_batch_this()->error;
}

void mmu_batch_print_error(void)
{
	static const char *const names[] = { "nothing", "mmu_update", "update_va_mapping",
					     "pin",	"unpin",      "new_baseptr" };
	const struct mmu_batch_error *e = &mmu_batch_this()->error;

	print("mmu_batch: entry %u, %s(%#lx, %#lx) by %s: %s; %u undone, %u stuck\n", e->index,
	      names[e->op], e->ptr, e->val, e->who ? e->who : "nobody", errno_name(e->rc),
	      e->undone, e->stuck);
}

/* Those of single entries are counted once, and belong to three figures. */
struct mmu_batch_counters mmu_batch_counters(void)
{
	struct mmu_batch_counters c = mmu_batch_this()->counters;

	c.sections += c.ones;
	c.update_va_mapping += c.ones;
	c.entries += c.ones;
	return c;
}

uint64_t mmu_batch_calls(void)
{
	const struct mmu_batch_counters *c = &mmu_batch_this()->counters;

	return c->mmu_update + c->update_va_mapping + c->ones + c->mmuext_op + c->multicall;
}

void mmu_batch_set_sync(bool on)
{
	struct mmu_batch *b = mmu_batch_this();

	ASSERT(b->depth == 0);
	b->sync = on;
}

bool mmu_batch_sync(void)
{
	return mmu_batch_this()->sync;
}
