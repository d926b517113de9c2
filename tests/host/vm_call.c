/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls of the guest's: to the model, unless a hook of the test's has an error for it.
 *
 * An error that is put in leaves the state that Xen would: requests before the one that fails are carried out
 * and counted, a call of a multicall fails alone, and update_va_mapping's -EFAULT comes after the change.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <pinion/arch/hypercall_raw.h>
#include <pinion/arch/regs.h>
#include <pinion/arch/trap.h>
#include "vm.h"

#define COUNT_MASK UINT32_C(0x7fffffff) /* MMU_UPDATE_PREEMPTED is Xen's own */

static machine_hypercall_hook *hook;
static void *hook_ctx;
static machine_alloc_hook *alloc_hook;
static void *alloc_ctx;

void machine_on_hypercall(machine_hypercall_hook *fn, void *ctx)
{
	hook = fn;
	hook_ctx = ctx;
}

void machine_on_alloc(machine_alloc_hook *fn, void *ctx)
{
	alloc_hook = fn;
	alloc_ctx = ctx;
}

bool vm_no_memory(void)
{
	return alloc_hook && alloc_hook(alloc_ctx);
}

/* Xen's copies: __addr_ok(), and the guest's translations. Of the host's own addresses any will do. */
static int copy(uint64_t va, void *buffer, size_t n, unsigned int access)
{
	char *at = buffer;

	while (n > 0) {
		size_t part = PAGE_SIZE - (va & PAGE_OFFSET_MASK);
		unsigned int error;
		void *page;

		part = part < n ? part : n;
		if (va < PAGE_SIZE || !va_canonical(va) || (va >= XEN_VA_BASE && va < XEN_VA_END) ||
		    va >> 47)
			return -EFAULT;
		page = host_va(va) ? (void *)va : tlb_access(va, access, &error);
		if (!page)
			return -EFAULT;
		if (access & PF_WRITE)
			memcpy(page, at, part);
		else
			memcpy(at, page, part);
		va += part;
		at += part;
		n -= part;
	}
	return 0;
}

int call_copy_from(struct model *m __maybe_unused, void *dst, uint64_t va, size_t n)
{
	return copy(va, dst, n, 0);
}

int call_copy_to(struct model *m __maybe_unused, uint64_t va, const void *src, size_t n)
{
	return copy(va, (void *)(uintptr_t)src, n, PF_WRITE);
}

/*
 * mmu_update and mmuext_op: the first request that the hook has an error for ends the call. What comes before
 * it is one call to the model, whose own failure comes first.
 */
static long call_counted(unsigned int nr, const uint64_t *args)
{
	uint32_t count = (uint32_t)args[1] & COUNT_MASK, done = 0, i;
	uint64_t cut[6];
	long error = 0, rc;

	for (i = 0; i < count && !error; i++)
		error = hook(hook_ctx, nr, args, i);
	if (!error)
		return model_hypercall(&vm->model, nr, args);
	memcpy(cut, args, sizeof(cut));
	cut[1] = i - 1;
	cut[2] = (uintptr_t)&done;
	rc = cut[1] ? model_hypercall(&vm->model, nr, cut) : 0;
	/* A bad pointer to the count is ignored (do_mmu_update()). */
	if (args[2] && copy(args[2], &done, sizeof(done), PF_WRITE))
		done = 0;
	return rc ? rc : error;
}

static long call_hooked(unsigned int nr, const uint64_t *args);

/* do_multicall(): goes on past a call that fails, and a multicall in it is refused. */
static long call_multi(const uint64_t *args)
{
	uint32_t n = (uint32_t)args[1], i;
	struct multicall_entry entry;

	for (i = 0; i < n; i++) {
		uint64_t va = args[0] + i * sizeof(entry);

		if (copy(va, &entry, sizeof(entry), 0))
			return -EFAULT;
		entry.result =
			entry.op == __HYPERVISOR_multicall
				? (xen_ulong_t)-EINVAL
				: (xen_ulong_t)call_hooked((unsigned int)entry.op, entry.args);
		if (copy(va + offsetof(struct multicall_entry, result), &entry.result,
			 sizeof(entry.result), PF_WRITE))
			return -EFAULT;
	}
	return 0;
}

static long call_hooked(unsigned int nr, const uint64_t *args)
{
	long error, rc;

	if (nr == __HYPERVISOR_mmu_update || nr == __HYPERVISOR_mmuext_op)
		return call_counted(nr, args);
	error = hook(hook_ctx, nr, args, 0);
	if (error != -EFAULT || nr != __HYPERVISOR_update_va_mapping)
		return error			      ? error
		       : nr == __HYPERVISOR_multicall ? call_multi(args)
						      : model_hypercall(&vm->model, nr, args);
	rc = model_hypercall(&vm->model, nr, args);
	return rc ? rc : error;
}

static void check(void)
{
	unsigned int every = vm->config.check_every;

	if (every && vm->stats.hypercalls % every == 0)
		machine_check();
}

/* test_all_events: on its way back to the guest Xen looks for events that it may deliver. */
static void deliver_events(void)
{
	struct vcpu_info *info = vm_vcpu_info();
	struct cpu_regs regs = { .vector = TRAP_UPCALL,
				 .cs = FLAT_KERNEL_CS & ~UINT64_C(3),
				 .rflags = RFLAGS_IF };

	if (!info->evtchn_upcall_pending || info->evtchn_upcall_mask ||
	    !vm->services.traps_registered)
		return;
	info->evtchn_upcall_mask = 1;
	trap_dispatch(&regs);
	vm_vcpu_info()->evtchn_upcall_mask = 0;
}

long hypercall_raw(unsigned int nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	const uint64_t args[6] = { a1, a2, a3, a4, a5, 0 };
	long rc;

	vm->stats.hypercalls++;
	rc = hook ? call_hooked(nr, args) : model_hypercall(&vm->model, nr, args);
	check();
	deliver_events();
	return rc;
}
