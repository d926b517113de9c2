/* SPDX-License-Identifier: MIT */
/* A place to come back to; see arch/x86/setjmp.S. Used by the suite's EXPECT_PANIC alone. */
#ifndef PINION_ARCH_SETJMP_H
#define PINION_ARCH_SETJMP_H

#include <stdint.h>

typedef struct {
	uint64_t saved[8];
} arch_jmp_buf[1];

/* Returns 0 when called, and @value (never 0) once more for each arch_longjmp. */
int arch_setjmp(arch_jmp_buf buf) __attribute__((returns_twice));
_Noreturn void arch_longjmp(arch_jmp_buf buf, int value);

#endif
