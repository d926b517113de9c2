/* SPDX-License-Identifier: MIT */
/* Giving Xen the trap table and the callbacks: the first thing that the kernel does. */
#ifndef PINION_BOOT_TRAPS_H
#define PINION_BOOT_TRAPS_H

#include <pinion/lib/compiler.h>

/* Registers all 256 vectors, the upcall and the failsafe. Returns 0 or Xen's error. */
__must_check int traps_register(void);

#endif
