/* SPDX-License-Identifier: MIT */
/*
 * Frames on the guest's stack, and HYPERVISOR_iret, which takes them off. What the guest's kernel finds,
 * lowest address first:
 *
 *     rcx, r11                  SYSCALL would have destroyed them
 *     ds, es, fs, gs            of a failsafe frame alone
 *     error code                of exceptions that have one
 *     rip
 *     cs | upcall mask << 32    RPL 0 from kernel mode, 3 from user mode
 *     rflags                    IF: upcalls were not masked
 *     rsp, ss                   16-byte aligned above here
 *
 * In kernel mode the stack is not switched: the frame goes below the rsp of the time, aligned. If it can't be
 * written there the guest dies: there is no other place to tell it.
 *
 * Source: create_bounce_frame in Xen's arch/x86/x86_64/entry.S; pv_inject_event() in pv/traps.c; do_iret() in
 * pv/iret.c.
 */
#include <pinion/arch/pte.h>
#include "smoke.h"

#define RFLAGS_FIXED   UINT64_C(0x2)
#define RFLAGS_IOPL    UINT64_C(0x3000)
#define RFLAGS_NT      UINT64_C(0x4000)
#define RFLAGS_RF      UINT64_C(0x10000)
#define RFLAGS_VM      UINT64_C(0x20000)
#define RFLAGS_AC      UINT64_C(0x40000)
#define RFLAGS_ENTRY   (RFLAGS_AC | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT | RFLAGS_TF)
#define RFLAGS_ILLEGAL (RFLAGS_IOPL | RFLAGS_VM | RFLAGS_NT)

#define FRAME_WORDS 12

static uint8_t *upcall_mask(void)
{
	return &guest.shared_info->vcpu_info[0].evtchn_upcall_mask;
}

void guest_toggle(void)
{
	guest.kernel_mode = !guest.kernel_mode;
	__asm__ volatile("swapgs");
	guest_load_cr3();
}

static uint64_t data_selectors(unsigned int n)
{
	uint16_t sel = 0;

	switch (n) {
	case 0:
		__asm__ volatile("mov %%ds, %0" : "=r"(sel));
		break;
	case 1:
		__asm__ volatile("mov %%es, %0" : "=r"(sel));
		break;
	case 2:
		__asm__ volatile("mov %%fs, %0" : "=r"(sel));
		break;
	default:
		__asm__ volatile("mov %%gs, %0" : "=r"(sel));
		break;
	}
	return sel;
}

/* The words of the frame; returns how many. */
static unsigned int fill(uint64_t *frame, const struct cpu_regs *regs, bool from_kernel,
			 unsigned int flags, uint32_t error)
{
	uint64_t cs = regs->cs & 0xffff, rflags = regs->rflags & ~(RFLAGS_IF | RFLAGS_IOPL);
	unsigned int n = 0, i;

	if (from_kernel)
		cs &= ~UINT64_C(3);
	if (!*upcall_mask())
		rflags |= RFLAGS_IF;
	frame[n++] = regs->rcx;
	frame[n++] = regs->r11;
	for (i = 0; (flags & BOUNCE_FAIL) && i < 4; i++)
		frame[n++] = data_selectors(i);
	if (flags & BOUNCE_ERROR)
		frame[n++] = error;
	frame[n++] = regs->rip;
	frame[n++] = cs | (uint64_t)*upcall_mask() << 32;
	frame[n++] = rflags;
	frame[n++] = regs->rsp;
	frame[n++] = regs->ss;
	return n;
}

void guest_bounce(struct cpu_regs *regs, uint64_t handler, unsigned int flags, uint32_t error)
{
	bool from_kernel = guest.kernel_mode;
	uint64_t frame[FRAME_WORDS], sp = from_kernel ? regs->rsp : guest.kernel_sp;
	unsigned int n = fill(frame, regs, from_kernel, flags, error);

	if (!from_kernel)
		guest_toggle();
	sp = (sp & ~UINT64_C(15)) - n * sizeof(uint64_t);
	if (guest_copy_to(sp, frame, n * sizeof(uint64_t)))
		guest_crash("no room for a frame at %016lx", sp);
	if (flags & BOUNCE_MASK)
		*upcall_mask() = 1;
	if (!handler)
		guest_crash("no handler is registered for vector %lu", regs->vector);
	regs->rip = handler;
	regs->rsp = sp;
	regs->cs = SEL_GUEST_CS;
	regs->ss = SEL_GUEST_SS;
	regs->rflags &= ~RFLAGS_ENTRY;
}

void guest_inject(struct cpu_regs *regs, unsigned int vector, uint32_t error, uint64_t cr2)
{
	const struct trap_info *trap = &guest.traps[vector];
	unsigned int flags = TI_GET_IF(trap) ? BOUNCE_MASK : 0;

	if (vector == VECTOR_PF) {
		if (guest.kernel_mode)
			error &= ~(uint32_t)PF_USER;
		guest.shared_info->vcpu_info[0].arch.cr2 = cr2;
	}
	if (vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
		flags |= BOUNCE_ERROR;
	if (!trap->address)
		guest_crash("vector %u, error code %#x, and no handler is registered", vector,
			    error);
	guest_bounce(regs, trap->address, flags, error);
}

uint64_t guest_iret_call(struct cpu_regs *regs)
{
	struct iret_context frame;

	if (guest_copy_from(&frame, regs->rsp, sizeof(frame)))
		guest_crash("iret: its frame at %016lx can't be read", regs->rsp);
	if ((frame.cs & 3) == 3) {
		if (mfn_eq(guest.model.user_l4, INVALID_MFN))
			guest_crash("iret: to user mode without a user's L4");
		guest_toggle();
	}
	regs->rip = frame.rip;
	regs->cs = frame.cs | 3;
	regs->rflags = (frame.rflags & ~RFLAGS_ILLEGAL) | RFLAGS_IF | RFLAGS_FIXED;
	regs->rsp = frame.rsp;
	regs->ss = frame.ss | 3;
	if (!(frame.flags & VGCF_in_syscall)) {
		regs->r11 = frame.r11;
		regs->rcx = frame.rcx;
	}
	*upcall_mask() = !(frame.rflags & RFLAGS_IF);
	return frame.rax;
}
