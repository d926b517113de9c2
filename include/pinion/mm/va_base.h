/* SPDX-License-Identifier: MIT */
/*
 * Where mm/ finds things that are not its own: one of the four headers through which it knows the
 * machine. The host build, whose programs have no upper half, gives its own addresses here; layout.h has the
 * drawing, and derives all else.
 *
 * This header is read by the linker script and by assembly too: numbers only, outside __ASSEMBLY__.
 */
#ifndef PINION_MM_VA_BASE_H
#define PINION_MM_VA_BASE_H

/* What lies below is the user's: slots 0-255. */
#define USER_END 0x0000800000000000

/* Xen's own part of the address space: L4 slots 256-271. */
#define XEN_VA_BASE 0xffff800000000000
#define XEN_VA_END  0xffff880000000000

/* The kernel's own L4 slots: 272, 510 and 511, three of at most four. */
#define DIRECT_MAP 0xffff880000000000
#define VMAP_BASE  0xffffff0000000000
#define VIRT_BASE  0xffffffff80000000
#define PMAP_BASE  0xffffffffffe00000

#ifndef __ASSEMBLY__

#include <stdint.h>

/* Xen's M2P: one word a machine frame, read-only, in pieces of 2 MiB with holes between them.
 * HYPERVISOR_VIRT_START in public/arch-x86/xen-x86_64.h; 256 GiB, so MFNs up to 2^35. */
#define M2P_BASE UINT64_C(0xffff800000000000)
#define M2P_MFNS (UINT64_C(1) << 35)

_Static_assert(USER_END == 1ULL << 47, "slot 255 is the last of the lower half");
_Static_assert(XEN_VA_BASE == (uint64_t)-1 << 47, "slot 256 is the first of the upper half");
_Static_assert(PMAP_BASE + (2ULL << 20) == 0, "the window is the last L2 entry's");

#endif /* __ASSEMBLY__ */
#endif
