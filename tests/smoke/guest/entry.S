/* SPDX-License-Identifier: MIT */
/*
 * The second guest's way in, its notes, and where the hypervisor's frames arrive. Every one ends what was being tried:
 *
 *     int try(code, arg)    calls @code, and returns 0; or, if a trap ended it, what trap() made of its frame
 *
 * So an instruction that faults is a value, wherever it ran. There is one try at a time.
 */
#include <xen/elfnote.h>
#include <xen/xen.h>

	.section .note.Xen, "a", @note
.macro NOTE type, size, value:vararg
	.balign	4
	.long	4, \size, \type
	.asciz	"Xen"
	\value
	.balign	4
.endm
	NOTE	XEN_ELFNOTE_GUEST_OS, 6, .asciz "other"
	NOTE	XEN_ELFNOTE_XEN_VERSION, 8, .asciz "xen-3.0"
	NOTE	XEN_ELFNOTE_LOADER, 8, .asciz "generic"
	NOTE	XEN_ELFNOTE_VIRT_BASE, 8, .quad 0xffffffffa0000000
	NOTE	XEN_ELFNOTE_ENTRY, 8, .quad entry
	NOTE	XEN_ELFNOTE_HYPERCALL_PAGE, 8, .quad hypercall_page

	.text
	.balign	4096
	.globl	hypercall_page
hypercall_page:
	.fill	4096, 1, 0xcc

	.globl	entry
entry:
	lea	stack_top(%rip), %rsp
	mov	%rsi, %rdi
	xor	%ebp, %ebp
	call	guest_main
	ud2

/* Vector @n: rcx, r11 are on top, the error code below them if there is one. */
.macro STUB n, has_error
	.balign	16
	pop	%rcx
	pop	%r11
	.if \has_error == 0
	pushq	$0
	.endif
	pushq	$\n
	jmp	common
.endm

#define WITH_ERROR (1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17)

	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	n, 0
	.rept	32
	STUB	n, (WITH_ERROR >> n) & 1
	.set	n, n + 1
	.endr
	.globl	syscall_stub, failsafe_stub, event_stub
syscall_stub:
	STUB	100, 0
event_stub:
	STUB	102, 0
failsafe_stub:
	pop	%rcx
	pop	%r11
	add	$32, %rsp
	pushq	$0
	pushq	$101
common:
	mov	%rsp, %rdi
	mov	%rax, %rsi
	call	trap
	jmp	leave_try

/* int try(void (*code)(uint64_t), uint64_t arg) */
	.globl	try
	.type	try, @function
try:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, try_rsp(%rip)
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	xor	%eax, %eax
leave_try:
	mov	try_rsp(%rip), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* void to_user(const uint64_t frame[6]): HYPERVISOR_iret; flags, rip, cs, rflags, rsp, ss. */
	.globl	to_user
to_user:
	sub	$48, %rsp
	mov	%rdi, %rsi
	mov	%rsp, %rdi
	mov	$6, %ecx
	rep movsq
	mov	$0x1234, %eax
	mov	$0x5678, %ecx
	jmp	hypercall_page + 32 * __HYPERVISOR_iret

	.bss
	.balign	4096
	.fill	16384
stack_top:
try_rsp:
	.quad	0
