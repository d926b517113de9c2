/* SPDX-License-Identifier: MIT */
/* In the image: the points of the way up at which the host's program may want the guest to stop. */
#include <pinion/boot/hooks.h>

/* tests/host/vm_run.c */
void vm_at_point(enum boot_point point);

static void early(void)
{
	vm_at_point(BOOT_EARLY);
}

static void everything_stands(void)
{
	vm_at_point(BOOT_MAIN);
}

BOOT_HOOK(host_early, BOOT_EARLY, early);
BOOT_HOOK(host_main, BOOT_MAIN, everything_stands);
