/* SPDX-License-Identifier: MIT */
/* The second guest: linked elsewhere than the first, at a VIRT_BASE of its own. */
#define GUEST_VIRT_BASE 0xffffffffa0000000

OUTPUT_FORMAT("elf64-x86-64")
OUTPUT_ARCH(i386:x86-64)
ENTRY(entry)

PHDRS
{
	all PT_LOAD FLAGS(7);
	note PT_NOTE FLAGS(4);
	stack PT_GNU_STACK FLAGS(6);
}

SECTIONS
{
	. = GUEST_VIRT_BASE + 0x200000;
	.text : AT(ADDR(.text) - GUEST_VIRT_BASE) { *(.text .text.*) } :all = 0xcccccccc
	.rodata : AT(ADDR(.rodata) - GUEST_VIRT_BASE) { *(.rodata .rodata.*) } :all
	.note.Xen : AT(ADDR(.note.Xen) - GUEST_VIRT_BASE) ALIGN(4) { KEEP(*(.note.Xen)) } :all :note
	.data : AT(ADDR(.data) - GUEST_VIRT_BASE) ALIGN(4096) { *(.data .data.*) } :all
	.bss : AT(ADDR(.bss) - GUEST_VIRT_BASE) ALIGN(4096) { *(.bss .bss.* COMMON) . = ALIGN(4096); } :all

	.scaffolding : { *(.got) *(.got.plt) *(.igot*) *(.plt) *(.iplt) *(.rela.*) }
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
