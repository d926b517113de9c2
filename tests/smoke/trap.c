/* SPDX-License-Identifier: MIT */
/*
 * What comes in by the IDT and by SYSCALL, and what becomes of it.
 *
 *   from ring 0     a copy to or from the guest: it has failed. The IRETQ to the guest: its failsafe callback.
 *                   Anything else is the hypervisor's own fault: panic.
 *   from ring 3     first what Xen does for a guest (LDT pages, stores to L1 tables, privileged instructions), then the
 *                   guest's own handler; a guest without one dies.
 *
 * Source: do_page_fault(), do_general_protection() and their neighbours in Xen's arch/x86/traps.c.
 */
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include "smoke.h"

#define PF_RESERVED 8

#define ERROR_EXT 1 /* the event was not the guest's doing */
#define ERROR_IDT 2 /* an INT n by a gate that ring 3 may not use */

#define POISON UINT64_C(0xdeadbeefdeadf00d)

/* The frame that IRETQ was to take, as the CPU left it on the stack. */
struct machine_frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

static void from_hypervisor(struct cpu_regs *regs)
{
	const struct machine_frame *frame;
	uint64_t cr2;

	if ((regs->rip == (uint64_t)copy_guest_words || regs->rip == (uint64_t)copy_guest_bytes) &&
	    (regs->vector == VECTOR_PF || regs->vector == VECTOR_GP)) {
		regs->rip = (uint64_t)copy_guest_fixup;
		return;
	}
	if (regs->rip == (uint64_t)guest_iret) {
		frame = (const struct machine_frame *)regs->rsp;
		regs->rip = frame->rip;
		regs->cs = frame->cs;
		regs->rflags = frame->rflags;
		regs->rsp = frame->rsp;
		regs->ss = frame->ss;
		guest.regs = regs;
		guest_bounce(regs, guest.failsafe_callback,
			     BOUNCE_FAIL | (guest.failsafe_masks ? BOUNCE_MASK : 0), 0);
		return;
	}
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	panic("vector %lu, error code %#lx in the hypervisor at %016lx, cr2 %016lx", regs->vector,
	      regs->error, regs->rip, cr2);
}

static void page_fault(struct cpu_regs *regs)
{
	uint32_t error = (uint32_t)regs->error;
	uint64_t cr2, offset;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	if (error & PF_RESERVED)
		panic("a reserved bit is set on the way to %016lx, rip %016lx", cr2, regs->rip);
	/* The CPU's own look at a descriptor is ring 0's. */
	if (!(error & PF_USER)) {
		offset = cr2 - LDT_VA;
		if (cpu_ldt_fault(&guest.model, cr2))
			return;
		if (offset >= GDT_VA + 0x20000 - LDT_VA)
			panic("the CPU can't read %016lx for the guest", cr2);
		guest_inject(regs, VECTOR_PF, error, guest.model.ldt_base + offset);
		return;
	}
	if (guest.kernel_mode && (error & (PF_PRESENT | PF_WRITE)) == (PF_PRESENT | PF_WRITE) &&
	    emulate_table_store(regs, cr2))
		return;
	guest_inject(regs, VECTOR_PF, error, cr2);
}

static void protection(struct cpu_regs *regs)
{
	unsigned int vector, least = guest.kernel_mode ? 1 : 3;

	if ((regs->error & (ERROR_EXT | ERROR_IDT)) == ERROR_IDT) {
		vector = (unsigned int)regs->error >> 3 & 0xff;
		if (TI_GET_DPL(&guest.traps[vector]) >= least) {
			regs->rip += 2;
			guest_inject(regs, vector, 0, 0);
			return;
		}
	}
	if (regs->error == 0 && guest.kernel_mode && emulate_privileged(regs))
		return;
	guest_inject(regs, VECTOR_GP, (uint32_t)regs->error, 0);
}

void trap_from_cpu(struct cpu_regs *regs)
{
	if ((regs->cs & 3) == 0) {
		from_hypervisor(regs);
		return;
	}
	guest.regs = regs;
	switch (regs->vector) {
	case VECTOR_NMI:
	case 8:
	case 18:
		panic("vector %lu, rip %016lx", regs->vector, regs->rip);
	case VECTOR_PF:
		page_fault(regs);
		break;
	case VECTOR_GP:
		protection(regs);
		break;
	case VECTOR_UD:
		if (!emulate_forced(regs))
			guest_inject(regs, VECTOR_UD, 0, 0);
		break;
	case VECTOR_NM:
		__asm__ volatile("clts");
		if (guest.ts)
			guest_inject(regs, VECTOR_NM, 0, 0);
		guest.ts = false;
		break;
	default:
		if (regs->vector >= 32)
			panic("interrupt %lu, and there is nobody to send one", regs->vector);
		guest_inject(regs, (unsigned int)regs->vector, (uint32_t)regs->error, 0);
		break;
	}
}

static void hypercall(struct cpu_regs *regs)
{
	uint64_t args[6] = { regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9 };
	unsigned int nr = (unsigned int)regs->rax;

	if (nr == __HYPERVISOR_iret) {
		regs->rax = guest_iret_call(regs);
		return;
	}
	regs->rax = (uint64_t)model_hypercall(&guest.model, nr, args);
	/* Xen may change every argument register, and its debug builds do (clobber_regs()). */
	regs->rdi = regs->rsi = regs->rdx = POISON;
	regs->r10 = regs->r8 = regs->r9 = POISON;
}

void trap_from_syscall(struct cpu_regs *regs)
{
	guest.regs = regs;
	if (guest.kernel_mode)
		hypercall(regs);
	else
		guest_bounce(regs, guest.syscall_callback, guest.syscall_masks ? BOUNCE_MASK : 0,
			     0);
	/* They came by way of r11, which is the guest's to change: interrupts are not. */
	regs->rflags |= RFLAGS_IF;
}
