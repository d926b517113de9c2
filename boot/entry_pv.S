/* SPDX-License-Identifier: MIT */
/*
 * Xen PV: the first instruction. Xen enters at ring 3 with
 *
 *     rsi   start_info's virtual address
 *     rsp   the top of a one-page stack of the builder's, without a guard page
 *     the other general registers 0, data segments 0, upcalls masked
 *
 * The builder's stack is left at once for one in .bss that is large enough and can be given a
 * guard. The builder has zeroed .bss; doing it again costs little and trusts nobody.
 *
 * Source: Xen's public/xen.h, 'Start of day'.
 */
#include <pinion/mm/layout.h>

	.section .text.entry, "ax", @progbits
	.globl	pv_entry
	.type	pv_entry, @function
pv_entry:
	cld
	mov	%rsi, %rbx
	lea	__bss_start(%rip), %rdi
	lea	__bss_end(%rip), %rcx
	sub	%rdi, %rcx
	xor	%eax, %eax
	rep	stosb
	lea	boot_stack_top(%rip), %rsp
	xor	%ebp, %ebp
	mov	%rbx, %rdi
	call	pv_start
	ud2
	.size	pv_entry, . - pv_entry

/* The stack grows down, so its guard page lies below it. */
	.section .bss.page_aligned, "aw", @nobits
	.balign	4096
	.globl	boot_stack_guard, boot_stack, boot_stack_top
boot_stack_guard:
	.skip	4096
boot_stack:
	.skip	KERNEL_STACK_PAGES * 4096
boot_stack_top:
