/* SPDX-License-Identifier: MIT */
/*
 * Boot hooks: code that runs at a point of the way up without the kernel knowing it. The in-guest
 * suite registers itself so; a kernel linked without it simply has no hooks.
 */
#ifndef PINION_BOOT_HOOKS_H
#define PINION_BOOT_HOOKS_H

#include <pinion/lib/compiler.h>

enum boot_point {
	BOOT_EARLY, /* between phases 4 and 6: no direct map yet */
	BOOT_MAIN,  /* phase 8: everything stands */
};

struct boot_hook {
	enum boot_point point;
	void (*run)(void);
};

#define BOOT_HOOK(name, at, fn)                                                               \
	static const struct boot_hook name __used __section(".boot_hooks") = { .point = (at), \
									       .run = (fn) }

/* Runs those of @point, in the order of linking. */
void boot_run_hooks(enum boot_point point);

#endif
