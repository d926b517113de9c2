/* SPDX-License-Identifier: MIT */
/*
 * PVH: QEMU's -kernel enters here in 32-bit protected mode, flat segments, paging off, with the physical address
 * of a struct hvm_start_info in ebx. The first tables map the first GiB of RAM twice, and become the hypervisor's own:
 *
 *     L4[0]           -> low_l3[0]          -> boot_l2 (512 pages of 2 MiB)       dropped by machine.c
 *     L4[IMAGE_SLOT]  -> image_l3[IMAGE_L3] -> the same L2
 *
 * Source: Xen's docs/misc/pvh.pandoc.
 */
#include <xen/elfnote.h>
#include "layout.h"

#define PHYS(symbol) (symbol - IMAGE_VA)
#define TABLE(symbol) (PHYS(symbol) + 0x003) /* present, writable */

#define IMAGE_L3 (IMAGE_VA >> 30 & 511)

#define CR0_PG_WP_NE_MP_PE 0x80010023
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE_SCE 0x901

	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.quad	PHYS(pvh_entry)

	.text
	.code32
	.globl	pvh_entry
	.type	pvh_entry, @function
pvh_entry:
	cld
	mov	%ebx, %ebp
	mov	$PHYS(hypervisor_l4), %eax
	mov	%eax, %cr3
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME_NXE_SCE, %eax
	wrmsr
	mov	$CR0_PG_WP_NE_MP_PE, %eax
	mov	%eax, %cr0
	lgdt	PHYS(boot_gdt_pointer)
	ljmp	$8, $PHYS(1f)

	.code64
1:	movabs	$2f, %rax
	jmp	*%rax
2:	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lea	stack_top(%rip), %rsp
	mov	%ebp, %edi
	xor	%ebp, %ebp
	call	smoke_start
	ud2
	.size	pvh_entry, . - pvh_entry

	.section .rodata
	.balign	8
boot_gdt:
	.quad	0
	.quad	0x00af9b000000ffff /* 64-bit code, ring 0 */
boot_gdt_pointer:
	.word	. - boot_gdt - 1
	.long	PHYS(boot_gdt)

	.data
	.balign 4096
	.globl	hypervisor_l4
hypervisor_l4:
	.quad	TABLE(low_l3)
	.fill	IMAGE_SLOT - 1, 8, 0
	.quad	TABLE(image_l3)
	.fill	511 - IMAGE_SLOT, 8, 0
low_l3:
	.quad	TABLE(boot_l2)
	.fill	511, 8, 0
image_l3:
	.fill	IMAGE_L3, 8, 0
	.quad	TABLE(boot_l2)
	.fill	511 - IMAGE_L3, 8, 0
boot_l2:
	.set	frame, 0
	.rept	512
	.quad	frame + 0x083 /* present, writable, 2 MiB */
	.set	frame, frame + 0x200000
	.endr

	.bss
	.balign	4096
	.globl	stack, stack_top
stack:
	.fill	STACK_BYTES
stack_top:
