/* SPDX-License-Identifier: MIT */
/*
 * panic() is for a broken invariant of the kernel, and for nothing else: whatever comes from
 * outside, and every lack of memory, is an error value. It says which invariant and where, and ends
 * in SHUTDOWN_crash, unless a panic catch is armed.
 *
 * Declared here, defined by whoever links: boot/crash.c in the kernel, tests/host on the host.
 */
#ifndef PINION_LIB_PANIC_H
#define PINION_LIB_PANIC_H

#include <pinion/lib/compiler.h>

__noreturn void panic_at(const char *file, int line, const char *fmt, ...) __printf(3, 4);

#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

#define ASSERT(cond)                                          \
	do {                                                  \
		if (unlikely(!(cond)))                        \
			panic("assertion failed: %s", #cond); \
	} while (0)

#endif
