/* SPDX-License-Identifier: MIT */
/*
 * Where mm/ finds things that are not its own: one of the four headers through which it knows the
 * machine. The host build gives its own addresses here.
 */
#ifndef PINION_MM_VA_BASE_H
#define PINION_MM_VA_BASE_H

#include <stdint.h>

/* Xen's M2P: one word a machine frame, read-only, in pieces of 2 MiB with holes between them.
 * HYPERVISOR_VIRT_START in public/arch-x86/xen-x86_64.h; 256 GiB, so MFNs up to 2^35. */
#define M2P_BASE UINT64_C(0xffff800000000000)
#define M2P_MFNS (UINT64_C(1) << 35)

#endif
