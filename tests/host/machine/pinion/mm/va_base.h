/* SPDX-License-Identifier: MIT */
/*
 * The host's <pinion/mm/va_base.h>: the kernel's address space moved to where a program of this machine has room.
 *
 *   0x4d0000000000  +----------------------------+
 *                   | PMAP window, 2 MiB         |
 *                   +----------------------------+
 *                   | the host program itself    |  HOST_TEXT: its text and data, and its heap
 *                   +----------------------------+ 1 GiB above VIRT_BASE
 *                   | boot region, image in it   |
 *   VIRT_BASE       +----------------------------+ 0x4cff80000000, L4 slot 153
 *   VMAP_BASE       | vmap arena                 | 0x4c0000000000, L4 slot 152
 *   DIRECT_MAP      | direct map                 | 0x480000000000, L4 slot 144
 *   XEN_VA_BASE     | Xen's, the M2P in it       | 0x400000000000, L4 slots 128-143
 *                   | user's: slots 33-127       |
 *   HOST_LOW_END    +----------------------------+ 0x108000000000
 *                   | the sanitizers' shadow     |  no guest address on the host
 *   0               +----------------------------+
 *
 * Above lie the sanitizers' heap (0x500000000000 or 0x600000000000) and the libraries (0x7f...). Image and
 * program are within 2 GiB of each other, so that calls between them reach.
 */
#ifndef PINION_MM_VA_BASE_H
#define PINION_MM_VA_BASE_H

#define USER_END 0x0000400000000000

#define XEN_VA_BASE 0x400000000000
#define XEN_VA_END  0x480000000000

#define DIRECT_MAP 0x480000000000
#define VMAP_BASE  0x4c0000000000
#define VIRT_BASE  0x4cff80000000
#define PMAP_BASE  0x4cffffe00000

/* The host's own: [HOST_TEXT, PMAP_BASE), and all that is below HOST_LOW_END or from HOST_HIGH on. */
#define HOST_LOW_END 0x108000000000
#define HOST_TEXT    0x4cffc0000000
#define HOST_HIGH    0x4d0000000000

#ifndef __ASSEMBLY__

#include <stdint.h>

#define M2P_BASE UINT64_C(0x400000000000)
#define M2P_MFNS (UINT64_C(1) << 35)

_Static_assert(USER_END == XEN_VA_BASE, "the kernel's half begins where the user's ends, with Xen");
_Static_assert(PMAP_BASE + (2ULL << 20) == HOST_HIGH, "the window is its slot's last L2 entry's");

#endif /* __ASSEMBLY__ */
#endif
