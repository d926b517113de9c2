/* SPDX-License-Identifier: MIT */
/*
 * The raw layer: one SYSCALL instruction.
 *
 * A 64-bit PV guest enters Xen by SYSCALL, whether it does so itself or through the hypercall page,
 * whose stubs are nothing but `mov $nr, %eax; syscall` around a push of rcx and r11. Pinion does it
 * itself: inlined it costs two instructions, there is no page that Xen must fill in before the
 * first call, and no indirect or far target for the CPU to mispredict (Xen's advice since XSA-466
 * is to do without the page where a guest can).
 *
 *   number    rax
 *   arguments rdi rsi rdx r10 r8    (a sixth, r9, exists in the ABI; no call takes one)
 *   result    rax
 *
 * SYSCALL itself destroys rcx and r11. Xen may change every argument register as well: a preempted
 * call is continued with advanced arguments, and debug builds poison what a call does not need. So
 * all operands are read-write, and memory is clobbered, since most calls read or write it.
 *
 * Use the typed layer, <pinion/xen/hypercall.h>; this one is for it, for arch/, and for tests that
 * pass what no typed wrapper would.
 */
#ifndef PINION_ARCH_HYPERCALL_RAW_H
#define PINION_ARCH_HYPERCALL_RAW_H

#include <stdint.h>

/* Calls hypercall @nr with up to five arguments; unused ones are 0. Returns what Xen returns. */
static inline long hypercall_raw(unsigned int nr, uint64_t a1, uint64_t a2, uint64_t a3,
				 uint64_t a4, uint64_t a5)
{
	uint64_t rax = nr;
	register uint64_t r10 __asm__("r10") = a4;
	register uint64_t r8 __asm__("r8") = a5;

	__asm__ volatile("syscall"
			 : "+a"(rax), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
			 :
			 : "rcx", "r9", "r11", "memory", "cc");
	return (long)rax;
}

#endif
