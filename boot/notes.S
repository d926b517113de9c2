/* SPDX-License-Identifier: MIT */
/*
 * ELF notes: what a domain builder reads before it loads anything. Each note is name "Xen", type,
 * and a string or an 8-byte number; Xen's libelf reads them from the PT_NOTE segment.
 *
 *   virtual start = p_paddr + VIRT_BASE - PADDR_OFFSET
 *
 * HYPERCALL_PAGE is not given: the kernel issues SYSCALL itself (<pinion/arch/hypercall_raw.h>).
 * SUPPORTED_FEATURES must name XENFEAT_dom0 if it is there at all, or Xen won't boot the image as
 * its initial domain. PHYS32_ENTRY is for PVH, and for QEMU's -kernel, which boots by it without Xen.
 *
 * Source: Xen's public/elfnote.h; elf_xen_parse_note in common/libelf/libelf-dominfo.c.
 */
#include <xen/elfnote.h>
#include <xen/features.h>
#include <pinion/boot/version.h>
#include <pinion/mm/layout.h>

	.section .note.Xen, "a", @note

.macro NOTE_HEADER type, bytes
	.balign 4
	.long	4, \bytes, \type
	.asciz	"Xen"
.endm

.macro NOTE_STRING type, text
	NOTE_HEADER \type, (2f - 1f)
1:	.asciz	"\text"
2:	.balign	4
.endm

.macro NOTE_NUMBER type, value
	NOTE_HEADER \type, 8
	.quad	\value
.endm

	NOTE_STRING XEN_ELFNOTE_GUEST_OS, "Pinion"
	NOTE_STRING XEN_ELFNOTE_GUEST_VERSION, PINION_VERSION
	NOTE_STRING XEN_ELFNOTE_XEN_VERSION, "xen-3.0"
	NOTE_STRING XEN_ELFNOTE_LOADER, "generic"
	NOTE_NUMBER XEN_ELFNOTE_VIRT_BASE, VIRT_BASE
	NOTE_NUMBER XEN_ELFNOTE_PADDR_OFFSET, 0
	NOTE_NUMBER XEN_ELFNOTE_ENTRY, pv_entry
	NOTE_NUMBER XEN_ELFNOTE_SUPPORTED_FEATURES, (1 << XENFEAT_dom0)
	NOTE_NUMBER XEN_ELFNOTE_PHYS32_ENTRY, (pvh_entry - VIRT_BASE)
