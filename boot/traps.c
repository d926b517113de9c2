/* SPDX-License-Identifier: MIT */
/*
 * The trap table. Every vector gets an entry: Xen crashes a domain that takes an exception without
 * one. Each masks upcalls on entry (flag 4, like an interrupt gate), because the frame that Xen
 * pushes is only safe to return from when no upcall cuts in. Level 3 (INT n from user code too) is
 * for breakpoints alone.
 *
 * Source: public/arch-x86/xen.h (struct trap_info); pv_inject_event in Xen's arch/x86/pv/traps.c.
 */
#include <pinion/arch/trap.h>
#include <pinion/boot/traps.h>
#include <pinion/xen/hypercall.h>

#define VECTORS 256

#define LEVEL_KERNEL 0
#define LEVEL_USER   3
#define MASK_UPCALLS 4

int traps_register(void)
{
	/* One entry more, all zero, ends the table. */
	static struct trap_info table[VECTORS + 1];
	unsigned int vector;
	long rc;

	for (vector = 0; vector < VECTORS; vector++) {
		table[vector].vector = (uint8_t)vector;
		table[vector].flags =
			MASK_UPCALLS | (vector == VECTOR_BP ? LEVEL_USER : LEVEL_KERNEL);
		table[vector].cs = FLAT_KERNEL_CS;
		table[vector].address = (uintptr_t)trap_stubs + (uintptr_t)vector * TRAP_STUB_BYTES;
	}
	rc = hypercall_set_trap_table(table);
	if (!rc)
		rc = hypercall_set_callbacks(upcall_entry, failsafe_entry, NULL);
	return (int)rc;
}
