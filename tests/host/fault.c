/* SPDX-License-Identifier: MIT */
/* The hooks that put errors in; see fault.h. */
#include "host.h"
#include <xen/xen.h>
#include <pinion/lib/errno.h>
#include "../../mm/mmu_batch_internal.h"
#include "../model/errnos.h"
#include "fault.h"

static uint32_t command_of(unsigned int nr, const uint64_t *args, unsigned int entry)
{
	const struct mmu_update *requests = (const struct mmu_update *)args[0];
	const struct mmuext_op *ops = (const struct mmuext_op *)args[0];

	if (nr == __HYPERVISOR_mmu_update)
		return requests[entry].ptr & 7;
	if (nr == __HYPERVISOR_mmuext_op)
		return ops[entry].cmd;
	return (uint32_t)args[0];
}

/* Requests to which Xen may say no, by what it finds: others are right whenever they are made. */
static long on_call(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	struct fault *fault = ctx;
	uint32_t command = nr == __HYPERVISOR_update_va_mapping ? MODEL_ANY_COMMAND
								: command_of(nr, args, entry);
	const struct model_errnos *row = model_errnos(nr, command);
	unsigned int n;

	if (!row || !row->state[0])
		return 0;
	if (mmu_batch_this()->undoing || mmu_batch_this()->insists) {
		n = fault->nr_undos++;
		return n >= fault->undo_skip && n - fault->undo_skip < (unsigned int)fault->undos
			       ? -EINVAL
			       : 0;
	}
	n = fault->nr_calls++;
	if (n < ARRAY_SIZE(fault->calls)) {
		fault->calls[n].call = nr;
		fault->calls[n].command = command;
		fault->calls[n].first = entry == 0;
	}
	if (fault->for_good && fault->call >= 0 && fault->call <= (int)n)
		return fault->error;
	return fault->call == (int)n ? fault->error : 0;
}

static bool on_alloc(void *ctx)
{
	struct fault *fault = ctx;

	int n = (int)fault->nr_allocs++;

	return fault->alloc == n || (fault->alloc_for_good && n > fault->alloc);
}

void fault_arm(struct fault *fault)
{
	if (fault)
		fault->nr_allocs = fault->nr_calls = fault->nr_undos = 0;
	machine_on_hypercall(fault ? on_call : NULL, fault);
	machine_on_alloc(fault ? on_alloc : NULL, fault);
}
