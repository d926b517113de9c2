/* SPDX-License-Identifier: MIT */
/*
 * PVH: the way in for whoever boots this image without Xen PV, to be told so.
 *
 * QEMU's -kernel and a `type = "pvh"` domain enter at PHYS32_ENTRY: 32-bit protected mode, flat
 * segments, paging and interrupts off. Nothing of what they hand over is looked at. The image
 * is linked high, so a few constant tables map the first GiB of RAM twice, at 0 and at VIRT_BASE:
 *
 *     L4[0]   -> L3_low[0]    -> L2 (512 pages of 2 MiB)
 *     L4[511] -> L3_high[510] -> the same L2
 *
 * Then long mode, the kernel's stack, and C. Source: Xen's docs/misc/pvh.pandoc.
 */
#include <pinion/mm/layout.h>

#define PHYS(symbol) (symbol - VIRT_BASE)
#define TABLE(symbol) (PHYS(symbol) + 0x003) /* present, writable */

#define CR0_PE 0x00000001
#define CR0_MP 0x00000002
#define CR0_NE 0x00000020
#define CR0_WP 0x00010000
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.section .text.entry, "ax", @progbits
	.code32
	.globl	pvh_entry
	.type	pvh_entry, @function
pvh_entry:
	cld
	mov	$PHYS(pvh_l4), %eax
	mov	%eax, %cr3
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$(CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE), %eax
	mov	%eax, %cr0
	lgdt	PHYS(pvh_gdt_pointer)
	ljmp	$8, $PHYS(1f)

	.code64
1:	movabs	$2f, %rax
	jmp	*%rax
2:	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lea	boot_stack_top(%rip), %rsp
	xor	%ebp, %ebp
	call	pvh_start
	ud2
	.size	pvh_entry, . - pvh_entry

	.section .rodata.pvh, "a", @progbits
	.balign	8
pvh_gdt:
	.quad	0
	.quad	0x00af9b000000ffff /* 64-bit code, ring 0 */
pvh_gdt_pointer:
	.word	. - pvh_gdt - 1
	.long	PHYS(pvh_gdt)

	.section .data.pvh, "aw", @progbits
	.balign	4096
pvh_l4:
	.quad	TABLE(pvh_l3_low)
	.fill	510, 8, 0
	.quad	TABLE(pvh_l3_high)
pvh_l3_low:
	.quad	TABLE(pvh_l2)
	.fill	511, 8, 0
pvh_l3_high:
	.fill	510, 8, 0
	.quad	TABLE(pvh_l2)
	.quad	0
pvh_l2:
	.set	frame, 0
	.rept	512
	.quad	frame + 0x083 /* present, writable, 2 MiB */
	.set	frame, frame + 0x200000
	.endr
