/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's image: loaded at 1 MiB, linked where it runs (layout.h). One segment: nobody else's code
 * runs in ring 0.
 */
#include "layout.h"

OUTPUT_FORMAT("elf64-x86-64")
OUTPUT_ARCH(i386:x86-64)
ENTRY(pvh_entry)

PHDRS
{
	all PT_LOAD FLAGS(7);
	note PT_NOTE FLAGS(4);
	stack PT_GNU_STACK FLAGS(6);
}

SECTIONS
{
	. = IMAGE_VA + IMAGE_PADDR;
	__image_start = .;
	.text : AT(ADDR(.text) - IMAGE_VA) {
		*(.text .text.*)
	} :all = 0xcccccccc
	.rodata : AT(ADDR(.rodata) - IMAGE_VA) ALIGN(16) {
		*(.rodata .rodata.*)
	} :all
	.note.Xen : AT(ADDR(.note.Xen) - IMAGE_VA) ALIGN(4) {
		KEEP(*(.note.Xen))
	} :all :note
	.data : AT(ADDR(.data) - IMAGE_VA) ALIGN(4096) {
		*(.data .data.*)
		*(.got .got.plt)
	} :all
	.bss : AT(ADDR(.bss) - IMAGE_VA) ALIGN(4096) {
		*(.bss .bss.* COMMON)
		. = ALIGN(4096);
	} :all
	__image_end = .;

	.scaffolding : { *(.igot*) *(.plt) *(.iplt) *(.rela.*) }
	ASSERT(SIZEOF(.scaffolding) == 0, "nobody relocates this image")

	.debug_info 0 : { *(.debug_info) }
	.debug_abbrev 0 : { *(.debug_abbrev) }
	.debug_aranges 0 : { *(.debug_aranges) }
	.debug_line 0 : { *(.debug_line) }
	.debug_str 0 : { *(.debug_str) }
	.debug_line_str 0 : { *(.debug_line_str) }
	.debug_loclists 0 : { *(.debug_loclists) }
	.debug_rnglists 0 : { *(.debug_rnglists) }
	.debug_addr 0 : { *(.debug_addr) }
	.debug_str_offsets 0 : { *(.debug_str_offsets) }
	.debug_frame 0 : { *(.debug_frame) }
	.symtab 0 : { *(.symtab) }
	.strtab 0 : { *(.strtab) }
	.shstrtab 0 : { *(.shstrtab) }

	/DISCARD/ : { *(.comment) *(.eh_frame*) *(.note.gnu.*) *(.note.GNU-stack) *(.llvm_addrsig) }
}
