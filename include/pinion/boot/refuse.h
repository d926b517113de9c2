/* SPDX-License-Identifier: MIT */
/* Something from outside makes going on impossible: say what in one sentence, and crash. */
#ifndef PINION_BOOT_REFUSE_H
#define PINION_BOOT_REFUSE_H

#include <pinion/lib/compiler.h>

__noreturn void boot_refuse(const char *why);

/* The same for @what that failed with the errno @rc. */
__noreturn void boot_refuse_rc(const char *what, long rc);

#endif
