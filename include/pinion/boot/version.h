/* SPDX-License-Identifier: MIT */
/* The kernel's version, for the first console line and the GUEST_VERSION note. */
#ifndef PINION_BOOT_VERSION_H
#define PINION_BOOT_VERSION_H

#define PINION_VERSION "0.1.0"

#endif
