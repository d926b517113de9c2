/* SPDX-License-Identifier: MIT */
/*
 * Traps: who handles which vector, and what becomes of those that nobody does.
 *
 * trap_dispatch() tries three things in this order: the vector's handler, the exception table (an
 * instruction that was expected to fault, see <pinion/arch/probe.h>), and crash_trap().
 */
#ifndef PINION_ARCH_TRAP_H
#define PINION_ARCH_TRAP_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/arch/regs.h>
#include <pinion/lib/compiler.h>

/* Returns true if the trap is dealt with and the interrupted code may go on. */
typedef bool trap_handler_fn(struct cpu_regs *regs);

/*
 * Makes @fn the handler of @vector (0-255, TRAP_UPCALL), NULL for none. Returns the one before.
 * Panics if @vector is out of range.
 */
trap_handler_fn *trap_set_handler(unsigned int vector, trap_handler_fn *fn);

/* Called by entry.S alone. */
void trap_dispatch(struct cpu_regs *regs);

/* Reports @regs and ends in SHUTDOWN_crash. Defined where the console is known (boot/crash.c). */
__noreturn void crash_trap(const struct cpu_regs *regs);

/* The mnemonic of an exception vector ("#PF"), "vector" for others. */
const char *trap_name(unsigned int vector);

/* Entry points in entry.S, for set_trap_table and set_callbacks: stub n is 16 * n bytes in. */
#define TRAP_STUB_BYTES 16
extern char trap_stubs[], upcall_entry[], failsafe_entry[];

#endif
