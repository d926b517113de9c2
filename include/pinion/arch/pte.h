/* SPDX-License-Identifier: MIT */
/* Page-table entries of x86-64: the bits. */
#ifndef PINION_ARCH_PTE_H
#define PINION_ARCH_PTE_H

#define PTE_P  0x001 /* present */
#define PTE_RW 0x002 /* writable */
#define PTE_A  0x020 /* accessed */
#define PTE_D  0x040 /* dirty */
#define PTE_NX 0x8000000000000000 /* not executable */

/* A kernel data page: Xen adds the user bit itself, since a PV kernel runs in ring 3. */
#define PTE_KERNEL_RW (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)

#endif
