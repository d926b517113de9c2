/* SPDX-License-Identifier: MIT */
/*
 * Into the hypervisor and back: exceptions by the IDT, hypercalls by SYSCALL; both make the same `struct cpu_regs`
 * (include/pinion/arch/regs.h) on the one stack, and leave by IRETQ.
 *
 *        ss rsp rflags cs rip                 by the CPU; by syscall_entry for a hypercall
 *        error code                           0 where there is none
 *        vector                               VECTOR_SYSCALL for a hypercall
 * rsp -> rax rcx rdx rbx rbp rsi rdi r8 ... r15
 *
 * One CPU, interrupts off in ring 0: the guest's rsp can wait in a static word.
 */
#include "layout.h"

.macro SAVE
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
	cld
	xor	%ebp, %ebp
	mov	%rsp, %rdi
.endm

#define ERROR_CODE_VECTORS (1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | \
			    1 << 21 | 1 << 29 | 1 << 30)

	.text
	.balign	16
	.globl	exception_stubs
exception_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	vector > 31 || ((ERROR_CODE_VECTORS >> (vector & 31)) & 1) == 0
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

exception:
	SAVE
	call	trap_from_cpu
	jmp	resume

	.globl	syscall_entry
syscall_entry:
	mov	%rsp, guest_rsp(%rip)
	lea	stack_top(%rip), %rsp
	pushq	$SEL_GUEST_SS
	pushq	guest_rsp(%rip)
	push	%r11
	pushq	$SEL_GUEST_CS
	push	%rcx
	pushq	$0
	pushq	$VECTOR_SYSCALL
	SAVE
	call	trap_from_syscall
	jmp	resume

/* __noreturn void guest_enter(struct cpu_regs *regs): the first time. */
	.globl	guest_enter
guest_enter:
	mov	%rdi, %rsp
resume:
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
	.globl	guest_iret
guest_iret:
	iretq

/*
 * int copy_guest(void *dst, const void *src, size_t n): 0, or 1 if not all could be copied. One of the two is
 * the guest's address; a fault there, of whatever kind, goes on at copy_guest_fixup.
 */
	.globl	copy_guest, copy_guest_words, copy_guest_bytes, copy_guest_fixup
	.type	copy_guest, @function
copy_guest:
	mov	%rdx, %rcx
	shr	$3, %rcx
	and	$7, %edx
copy_guest_words:
	rep movsq
	mov	%edx, %ecx
copy_guest_bytes:
	rep movsb
	xor	%eax, %eax
	ret
copy_guest_fixup:
	mov	$1, %eax
	ret
	.size	copy_guest, . - copy_guest

	.bss
	.balign	8
guest_rsp:
	.quad	0
