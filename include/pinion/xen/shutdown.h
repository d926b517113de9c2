/* SPDX-License-Identifier: MIT */
/* The end of the domain. */
#ifndef PINION_XEN_SHUTDOWN_H
#define PINION_XEN_SHUTDOWN_H

#include <stdint.h>
#include <xen/xen.h>
#include <xen/sched.h>
#include <pinion/lib/compiler.h>

/*
 * Ends the domain for @reason (SHUTDOWN_poweroff, _reboot, _crash; public/sched.h) after the
 * console is drained. What the toolstack makes of a reason is its configuration's affair.
 */
__noreturn void shutdown(unsigned int reason);

#endif
