/* SPDX-License-Identifier: MIT */
/* The layout of an ELF64 file, of which an image has only this (System V ABI, 'Object Files'): for its reader, and for tests
 * that write one. */
#ifndef PINION_TESTS_MODEL_ELF_FORMAT_H
#define PINION_TESTS_MODEL_ELF_FORMAT_H

#include <stdint.h>

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct elf_note {
	uint32_t namesz, descsz, type;
};

#endif
