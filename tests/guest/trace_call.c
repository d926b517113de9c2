/* SPDX-License-Identifier: MIT */
/*
 * From records to hypercalls. Each call is made up in memory first, number and arguments, so that the same code
 * serves a call by itself and one of a multicall.
 */
#include "trace.h"
#include <pinion/lib/string.h>

#define CALLS (TRACE_SUBCALLS + 1)

/* Of a hypercall, and of vm_assist's commands and types, that are not there. */
#define NO_HYPERCALL 999
#define NO_COMMAND   5
#define NO_TYPE	     6
#define FAR_TYPE     100

/* Of a multicall's entry: no number of 32 bits. */
#define WIDE_NUMBER (UINT64_C(1) << 32 | __HYPERVISOR_xen_version)

#define NOT_TOLD 99

/* In a batch's count: MMU_UPDATE_PREEMPTED. */
#define BEGUN_ANEW (UINT64_C(1) << 31)

static struct trace_call calls[CALLS];
static struct multicall_entry entries[CALLS];

/* Arguments in memory, one of each for each call of a multicall. */
static struct {
	union {
		struct mmu_update update[TRACE_BATCH];
		struct mmuext_op ext[TRACE_BATCH];
		uint64_t gdt[TRACE_BATCH];
	};
} memory[CALLS];

/* A set of vCPUs with the first in it, and one without: a bitmap's words are read as many as there are vCPUs for. */
static uint64_t bitmap[16] = { 1 }, nobody[16];

/* The scratch page behind the pool: where what can only be read is put, and how far. */
static struct {
	uint64_t *page;
	size_t used;
} constant;

/* On a base of the trace's own address 0 may be mapped, and what is there would be done. */
static uint64_t requests(unsigned int which, const void *good)
{
	if (which == TRACE_GOOD)
		return (uintptr_t)good;
	return which == TRACE_NULL && trace_base_is_kernel() ? 0 : XEN_VA_BASE;
}

uint64_t trace_where(unsigned int which, const void *good)
{
	switch (which) {
	case TRACE_GOOD:
		return (uintptr_t)good;
	case TRACE_NULL:
		return 0;
	case TRACE_HOLE: /* the kernel is at the end of its slot; no trace's base is without that */
		return ((uintptr_t)bitmap & ~(L4_SPAN - 1)) + L4_SPAN / 2;
	default:
		return XEN_VA_BASE;
	}
}

uint64_t trace_where_const(unsigned int which, const void *good, size_t bytes)
{
	uint64_t *at;

	if (which != TRACE_CONST)
		return trace_where(which, good);
	if (!constant.page || constant.used + bytes > PAGE_SIZE)
		return XEN_VA_BASE;
	at = constant.page + constant.used / sizeof(*at);
	memcpy(at, good, bytes);
	constant.used += (bytes + 7) & ~(size_t)7;
	return (uintptr_t)at;
}

static void constant_open(void)
{
	constant.page = raw_page(TRACE_POOL);
	constant.used = 0;
}

/* From here on it can only be read, if there is something; until constant_open() and another. */
static void constant_close(bool on)
{
	if (constant.used)
		CHECK_EQ(on ? raw_ro(constant.page) : raw_rw(constant.page), 0);
}

/* What mmu_update and mmuext_op have in common. A call begun anew is told what was done before, which was nothing. */
static void encode_batch(struct trace_call *call)
{
	const struct trace_op *op = call->op;

	call->args[1] = op->count;
	if (op->index) {
		call->args[1] |= BEGUN_ANEW;
		call->done = 0;
	}
	call->args[2] = trace_where(op->value, &call->done);
	call->args[3] = trace_domid(op->mode);
}

static void encode_update(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	unsigned int i;

	for (i = 0; i < op->count; i++) {
		const struct trace_op *request = &op[1 + i];

		memory[n].update[i].ptr = maddr_x(mfn_to_maddr(trace_mfn(request->frame))) |
					  (uint64_t)trace_index(request->index) << 3 |
					  request->mode;
		memory[n].update[i].val =
			request->mode == MMU_MACHPHYS_UPDATE ? request->bits : trace_value(request);
	}
	call->nr = __HYPERVISOR_mmu_update;
	call->args[0] = requests(op->frame, memory[n].update);
	encode_batch(call);
	if (op->bits)
		call->args[3] |= (uint64_t)(trace_domid((unsigned int)op->bits - 1) + 1U) << 16;
}

static void encode_ext_op(struct mmuext_op *ext, const struct trace_op *op)
{
	memset(ext, 0, sizeof(*ext));
	ext->cmd = op->mode;
	ext->arg1.mfn = mfn_x(trace_mfn(op->frame));
	switch (op->mode) {
	case MMUEXT_INVLPG_LOCAL:
	case MMUEXT_INVLPG_ALL:
		ext->arg1.linear_addr = trace_va(op->index);
		break;
	case MMUEXT_SET_LDT:
		ext->arg1.linear_addr = trace_va(op->index);
		ext->arg2.nr_ents = (unsigned int)op->bits;
		break;
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_INVLPG_MULTI:
		ext->arg1.linear_addr = trace_va(op->index);
		ext->arg2.src_mfn = trace_where(op->bits == 1 ? TRACE_BAD : TRACE_GOOD,
						op->bits == 2 ? nobody : bitmap);
		break;
	case MMUEXT_COPY_PAGE:
		ext->arg2.src_mfn = mfn_x(trace_mfn(op->value));
		break;
	}
}

static void encode_ext(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	unsigned int i;

	for (i = 0; i < op->count; i++)
		encode_ext_op(&memory[n].ext[i], &op[1 + i]);
	call->nr = __HYPERVISOR_mmuext_op;
	call->args[0] = requests(op->frame, memory[n].ext);
	encode_batch(call);
}

static uint64_t flush(unsigned int which)
{
	uint64_t bad = XEN_VA_BASE;

	switch (which) {
	case TRACE_FLUSH_LOCAL:
		return UVMF_TLB_FLUSH | UVMF_LOCAL;
	case TRACE_INVLPG_LOCAL:
		return UVMF_INVLPG | UVMF_LOCAL;
	case TRACE_FLUSH_ALL:
		return UVMF_TLB_FLUSH | UVMF_ALL;
	case TRACE_INVLPG_ALL:
		return UVMF_INVLPG | UVMF_ALL;
	case TRACE_FLUSH_BITMAP:
		return UVMF_TLB_FLUSH | (uintptr_t)bitmap;
	case TRACE_INVLPG_BITMAP:
		return UVMF_INVLPG | (uintptr_t)bitmap;
	case TRACE_FLUSH_FAULT:
		return UVMF_TLB_FLUSH | bad;
	case TRACE_INVLPG_FAULT:
		return UVMF_INVLPG | bad;
	case TRACE_FLUSH_TYPE3:
		return UVMF_FLUSHTYPE_MASK;
	default:
		return UVMF_NONE;
	}
}

static void encode_uva(struct trace_call *call)
{
	const struct trace_op *op = call->op;

	call->nr = op->kind == TRACE_UVA ? __HYPERVISOR_update_va_mapping
					 : __HYPERVISOR_update_va_mapping_otherdomain;
	call->args[0] = trace_va(op->index);
	call->args[1] = trace_value(op);
	call->args[2] = flush(op->count);
	call->args[3] = op->kind == TRACE_UVA ? 0 : trace_domid(op->mode);
}

static void encode_gdt(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	unsigned int i;

	for (i = 0; i < TRACE_BATCH; i++)
		memory[n].gdt[i] = mfn_x(trace_mfn(i ? op->value : op->frame));
	call->nr = __HYPERVISOR_set_gdt;
	call->args[0] = requests(op->mode, memory[n].gdt);
	call->args[1] = op->index;
}

static void encode_other(struct trace_call *call)
{
	call->nr = __HYPERVISOR_vm_assist;
	switch (call->op->mode) {
	case TRACE_UNKNOWN:
	case TRACE_WIDE:
		call->nr = NO_HYPERCALL;
		break;
	case TRACE_NESTED:
		call->nr = __HYPERVISOR_multicall;
		break;
	case TRACE_ASSIST_TYPE:
	case TRACE_ASSIST_NO_TYPE:
		call->args[0] = VMASST_CMD_enable;
		call->args[1] = call->op->mode == TRACE_ASSIST_TYPE ? NO_TYPE : FAR_TYPE;
		break;
	case TRACE_STRICT:
	case TRACE_UNSTRICT:
		call->args[0] =
			call->op->mode == TRACE_STRICT ? VMASST_CMD_enable : VMASST_CMD_disable;
		call->args[1] = VMASST_TYPE_m2p_strict;
		break;
	default:
		call->args[0] = NO_COMMAND;
		call->args[1] = VMASST_TYPE_writable_pagetables;
		break;
	}
}

/* Makes up call @n of @calls from the record @op. */
static void encode(unsigned int n, const struct trace_op *op)
{
	struct trace_call *call = &calls[n];

	memset(call, 0, sizeof(*call));
	call->op = op;
	call->done = NOT_TOLD;
	switch (op->kind) {
	case TRACE_UPDATE:
		encode_update(call, n);
		break;
	case TRACE_EXT:
		encode_ext(call, n);
		break;
	case TRACE_UVA:
	case TRACE_UVA_OTHER:
		encode_uva(call);
		break;
	case TRACE_MEMORY:
		trace_memory_encode(call, n);
		break;
	case TRACE_SET_GDT:
		encode_gdt(call, n);
		break;
	case TRACE_DESCRIPTOR:
		call->nr = __HYPERVISOR_update_descriptor;
		call->args[0] = maddr_x(mfn_to_maddr(trace_mfn(op->frame))) |
				(uint64_t)trace_index(op->index) << 3 | op->mode;
		call->args[1] = op->bits;
		break;
	default:
		encode_other(call);
		break;
	}
}

__weak void trace_about_to(const struct trace_op *op)
{
	(void)op;
}

/* VERR reads the descriptor, and changes flags alone. */
__weak bool trace_touch(unsigned int entry)
{
	uint32_t selector = entry << 3 | 7;

	return PROBE_INSN("verr %w1", "r"(selector)) == 0;
}

static uint64_t multicall_list(const struct trace_op *op)
{
	if (op->frame == TRACE_CONST)
		return trace_where_const(op->frame, &entries[1], op->count * sizeof(entries[0]));
	return requests(op->frame, &entries[1]);
}

static unsigned int run_multicall(const struct trace_op *op)
{
	const struct trace_op *inner = op + 1;
	unsigned int i, n = op->count;
	uint64_t list;

	trace_about_to(op);
	for (i = 1; i <= n; i++) {
		trace_about_to(inner);
		encode(i, inner);
		memset(&entries[i], 0, sizeof(entries[i]));
		entries[i].op = calls[i].nr;
		if (inner->kind == TRACE_OTHER && inner->mode == TRACE_WIDE)
			entries[i].op = WIDE_NUMBER;
		memcpy(entries[i].args, calls[i].args, sizeof(calls[i].args));
		inner += trace_records(inner, TRACE_RECORDS);
	}
	list = multicall_list(op);
	constant_close(true);
	calls[0].op = op;
	calls[0].done = NOT_TOLD;
	calls[0].rc = hypercall_raw(__HYPERVISOR_multicall, list, n, 0, 0, 0);
	constant_close(false);
	for (i = 1; i <= n; i++) {
		calls[i].rc = (long)entries[i].result;
		if (calls[i].op->kind == TRACE_MEMORY)
			trace_memory_result(&calls[i], i);
	}
	return calls[0].rc ? 1 : n + 1;
}

unsigned int trace_run(const struct trace_op *op, const struct trace_call **made)
{
	struct trace_call *call = &calls[0];

	*made = calls;
	constant_open();
	if (op->kind == TRACE_MULTICALL)
		return run_multicall(op);
	trace_about_to(op);
	encode(0, op);
	if (op->kind == TRACE_OTHER && op->mode == TRACE_TOUCH) {
		call->rc = trace_touch(op->index) ? 0 : -EFAULT;
		return 1;
	}
	constant_close(true);
	call->rc = hypercall_raw(call->nr, call->args[0], call->args[1], call->args[2],
				 call->args[3], 0);
	constant_close(false);
	if (op->kind == TRACE_MEMORY)
		trace_memory_result(call, 0);
	return 1;
}
