/* SPDX-License-Identifier: MIT */
/*
 * Where Xen enters a running kernel: 256 exception vectors, the event upcall and the failsafe.
 *
 * Xen delivers an exception by pushing this frame on the kernel's *current* stack (a fault in the
 * kernel does not switch stacks), and jumping to the address in the trap table:
 *
 *        ss
 *        rsp                                  16-byte aligned above here
 *        rflags      IF = upcalls were unmasked
 *        cs          | saved upcall mask << 32; RPL 0 for the kernel, 3 for user
 *        rip
 *        error code  only for the vectors that have one
 *        r11
 * rsp -> rcx         these two because SYSCALL and SYSRET destroy them
 *
 * Each stub takes rcx and r11 off, makes up a missing error code, pushes its vector, and goes
 * to trap_common, which completes `struct cpu_regs` (include/pinion/arch/regs.h) and calls C. The
 * way back is HYPERVISOR_iret alone, which takes its own frame from the stack:
 *
 *        ss rsp rflags cs rip                 left from above
 *        flags       0: a full restore
 *        rcx r11
 * rsp -> rax
 *
 * Xen forces every selector to ring 3; it tells kernel from user by the RPL in this cs, so the cs
 * that it pushed goes back unchanged but for the mask.
 *
 * Source: create_bounce_frame in Xen's arch/x86/x86_64/entry.S, do_iret in arch/x86/pv/iret.c.
 */
#include <xen/xen.h>
#include <pinion/arch/regs.h>

	.section .text.entry, "ax", @progbits

.macro STUB vector, has_error
	.balign 16
	pop	%rcx
	pop	%r11
	.if \has_error == 0
	pushq	$0
	.endif
	pushq	$\vector
	jmp	trap_common
.endm

/* Vectors whose frame carries an error code: #DF #TS #NP #SS #GP #PF #AC (and #CP, #VC, #SX). */
#define ERROR_CODE_VECTORS (1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | \
			    1 << 21 | 1 << 29 | 1 << 30)

	.balign 16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	32
	STUB	vector, (ERROR_CODE_VECTORS >> vector) & 1
	.set	vector, vector + 1
	.endr
	.rept	256 - 32
	STUB	vector, 0
	.set	vector, vector + 1
	.endr

	.balign 16
	.globl	upcall_entry
upcall_entry:
	STUB	TRAP_UPCALL, 0

/* A return to the guest met a bad selector: Xen pushes ds, es, fs, gs between r11 and rip. */
	.balign 16
	.globl	failsafe_entry
failsafe_entry:
	pop	%rcx
	pop	%r11
	add	$32, %rsp
	pushq	$0
	pushq	$TRAP_FAILSAFE
	jmp	trap_common

	.balign 16
trap_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15

	mov	%rsp, %rdi
	mov	%rsp, %rbx
	and	$-16, %rsp
	xor	%ebp, %ebp
	cld
	call	trap_dispatch
	mov	%rbx, %rsp

	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp

	pushq	$0
	push	%rcx
	push	%r11
	push	%rax
	mov	$__HYPERVISOR_iret, %eax
	syscall
	ud2
