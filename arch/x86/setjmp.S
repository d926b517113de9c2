/* SPDX-License-Identifier: MIT */
/*
 * setjmp and longjmp: how a test takes a panic as a value (EXPECT_PANIC). The buffer holds what the
 * System V ABI makes a callee preserve, and the address to come back to.
 *
 *     rbx rbp r12 r13 r14 r15 rsp rip        8 bytes each, in this order
 */
	.text
	.globl	arch_setjmp
	.type	arch_setjmp, @function
arch_setjmp:
	mov	%rbx, 0(%rdi)
	mov	%rbp, 8(%rdi)
	mov	%r12, 16(%rdi)
	mov	%r13, 24(%rdi)
	mov	%r14, 32(%rdi)
	mov	%r15, 40(%rdi)
	lea	8(%rsp), %rax
	mov	%rax, 48(%rdi)
	mov	(%rsp), %rax
	mov	%rax, 56(%rdi)
	xor	%eax, %eax
	ret
	.size	arch_setjmp, . - arch_setjmp

	.globl	arch_longjmp
	.type	arch_longjmp, @function
arch_longjmp:
	mov	%esi, %eax
	mov	0(%rdi), %rbx
	mov	8(%rdi), %rbp
	mov	16(%rdi), %r12
	mov	24(%rdi), %r13
	mov	32(%rdi), %r14
	mov	40(%rdi), %r15
	mov	48(%rdi), %rsp
	jmp	*56(%rdi)
	.size	arch_longjmp, . - arch_longjmp
