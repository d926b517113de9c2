/* SPDX-License-Identifier: MIT */
/*
 * What the model asks of the machine. Copies use the guest's own tables, which are the CPU's at the time; a
 * fault is -EFAULT. There is no flush here that Xen does not promise: a translation that the guest forgot
 * stays in the TLB, and is used.
 */
#include <pinion/arch/pte.h>
#include "../model/internal.h"
#include "smoke.h"

struct guest guest;

int guest_copy_from(void *dst, uint64_t va, size_t n)
{
	if (!model_va_ok(&guest.model, va) || copy_guest(dst, (const void *)va, n))
		return -EFAULT;
	return 0;
}

int guest_copy_to(uint64_t va, const void *src, size_t n)
{
	if (!model_va_ok(&guest.model, va) || copy_guest((void *)va, src, n))
		return -EFAULT;
	return 0;
}

void guest_load_cr3(void)
{
	mfn_t base = guest.kernel_mode ? guest.model.l4 : guest.model.user_l4;

	write_cr3(mfn_x(base) << PAGE_SHIFT);
}

static void *op_page(struct model *m __maybe_unused, mfn_t mfn)
{
	return mfn_to_va(mfn);
}

static int op_copy_from(struct model *m __maybe_unused, void *dst, uint64_t va, size_t n)
{
	return guest_copy_from(dst, va, n);
}

static int op_copy_to(struct model *m __maybe_unused, uint64_t va, const void *src, size_t n)
{
	return guest_copy_to(va, src, n);
}

/* CR4.PGE is off: nothing outlives this. */
static void op_flush_all(struct model *m __maybe_unused)
{
	write_cr3(read_cr3());
}

static void op_flush_va(struct model *m __maybe_unused, uint64_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static void op_load_base(struct model *m __maybe_unused)
{
	guest_load_cr3();
}

static void op_load_descriptors(struct model *m)
{
	cpu_load_descriptors(m);
}

static void op_crash(struct model *m __maybe_unused, const char *why)
{
	guest_crash("%s", why);
}

const struct model_ops model_ops = {
	.page = op_page,
	.copy_from = op_copy_from,
	.copy_to = op_copy_to,
	.flush_all = op_flush_all,
	.flush_va = op_flush_va,
	.load_base = op_load_base,
	.load_descriptors = op_load_descriptors,
	.other = service_hypercall,
	.crash = op_crash,
};
