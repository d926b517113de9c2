/* SPDX-License-Identifier: MIT */
/*
 * The registers of the interrupted code, as trap_common (arch/x86/entry.S) leaves them on the
 * stack: its pushes from the bottom up, the vector and error code, then what Xen pushed.
 */
#ifndef PINION_ARCH_REGS_H
#define PINION_ARCH_REGS_H

#ifndef __ASSEMBLY__
#include <stdint.h>

struct cpu_regs {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector;
	uint64_t error;
	uint64_t rip;
	uint64_t cs; /* low 16 bits: selector; RPL 0 the kernel, 3 user */
	uint64_t rflags;
	uint64_t rsp;
	uint64_t ss;
};
#endif

#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200

/* Pseudo-vectors after the 256 real ones. */
#define TRAP_UPCALL   256
#define TRAP_FAILSAFE 257
#define TRAP_VECTORS  258

#define VECTOR_DE  0
#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_BP  3
#define VECTOR_UD  6
#define VECTOR_NM  7
#define VECTOR_SS  12
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_MF  16
#define VECTOR_XM  19

/* #PF error code bits, as the guest sees them. */
#define PF_PRESENT 1
#define PF_WRITE   2
#define PF_USER	   4
#define PF_FETCH   16

#endif
