/* SPDX-License-Identifier: MIT */
/*
 * Catching a panic, for tests: while a catch is armed, panic() comes back to it instead of ending
 * the domain. See EXPECT_PANIC in tests/guest/suite.h, the only user.
 */
#ifndef PINION_BOOT_CRASH_H
#define PINION_BOOT_CRASH_H

#include <stdbool.h>
#include <pinion/arch/setjmp.h>

#define PANIC_MESSAGE_MAX 160

struct panic_catch {
	arch_jmp_buf where;  /* set by the caller with arch_setjmp() */
	bool upcalls_masked; /* this and the next as they were when it was armed */
	unsigned int traps;
	char message[PANIC_MESSAGE_MAX]; /* what the panic said, without file and line */
};

/* Arms @catch, or disarms with NULL. At most one is armed: arming a second one panics. */
void panic_catch_arm(struct panic_catch *catch);

#endif
