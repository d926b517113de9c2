/* SPDX-License-Identifier: MIT */
/*
 * Where the hypervisor lives: L4 slots 256 to 271 of every table, as Xen does.
 *
 *   0xffff880000000000 +--------------------------------+
 *                      |  all RAM: RAM_VA + maddr       |  slots 262 up, 2 MiB pages, ring 0's
 *   RAM_VA             +--------------------------------+ 0xffff830000000000
 *                      |  this image: IMAGE_VA + maddr  |  slot 261, ring 0's, where Xen's is too
 *   IMAGE_VA           +--------------------------------+ 0xffff82d040000000
 *                      |  guest's LDT,     16 pages     |
 *   LDT_VA             +--------------------------------+ 0xffff820000010000
 *                      |  Xen's part of the GDT, 1 page |
 *                      |  guest's part,      14 pages   |
 *   GDT_VA             +--------------------------------+ 0xffff820000000000, slot 260
 *                      |  the table itself              |  slot 258, by the model
 *   M2P_VA + 256 GiB   +--------------------------------+
 *                      |  M2P, read-only for the guest  |  2 MiB pages, one for each GiB that has RAM
 *   M2P_VA             +--------------------------------+ 0xffff800000000000, slot 256
 *
 * Source: 'Memory layout' in Xen's arch/x86/include/asm/config.h. Read by assembly and the linker script too.
 */
#ifndef PINION_TESTS_SMOKE_LAYOUT_H
#define PINION_TESTS_SMOKE_LAYOUT_H

#define M2P_VA	 0xffff800000000000
#define GDT_VA	 0xffff820000000000
#define LDT_VA	 0xffff820000010000
#define IMAGE_VA 0xffff82d040000000
#define RAM_VA	 0xffff830000000000

#define XEN_SLOT_FIRST 256
#define M2P_SLOT       256
#define DESC_SLOT      260
#define IMAGE_SLOT     261
#define RAM_SLOT       262

#define IMAGE_PADDR 0x100000

/*
 * Selectors: Xen's page of the GDT is its 15th, so that guests know their own. Those that end in 3 or b are public
 * (FLAT_RING3_* in public/arch-x86/xen-x86_64.h).
 */
#define SEL_XEN_PAGE   0xe000
#define SEL_XEN_CS     0xe008
#define SEL_XEN_DS     0xe010
#define SEL_GUEST_CS32 0xe023
#define SEL_GUEST_SS   0xe02b
#define SEL_GUEST_CS   0xe033
#define SEL_TSS	       0xe040
#define SEL_LDT	       0xe050

#define STACK_BYTES 16384

/* Pseudo-vector of a hypercall, behind the 256 real ones. */
#define VECTOR_SYSCALL 256

#endif
