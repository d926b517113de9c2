/* SPDX-License-Identifier: MIT */
/*
 * The console: where print() ends. Two ways out, one in use:
 *
 *   as dom0  hypercall console_io, one call a line (at most 127 bytes: Xen prints pieces of that)
 *   as domU  a ring in a page shared with xenconsoled, and an event channel
 *
 * Until one of them is chosen, text is kept in a small buffer. A crash before that tries console_io:
 * a debug build of Xen shows it for any domain, a release build refuses it to a domU.
 *
 * console_write() is declared in <pinion/lib/print.h>, where its only caller is.
 */
#ifndef PINION_XEN_CONSOLE_H
#define PINION_XEN_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/xen/console_ring.h>

/* As dom0: from now on by console_io. */
void console_use_hypercall(void);

/* As domU: from now on by @ring, whose other end is told through @port. */
void console_use_ring(struct xencons_interface *ring, uint32_t port);

/* Writes out what was kept from before: after the first line, which must be the first. */
void console_release_early(void);

/* The ring is mapped at @ring from now on; nothing of its content or state changes. */
void console_move_ring(struct xencons_interface *ring);

/*
 * Waits until all that was written has left this domain: what is still in the ring when the
 * domain ends may never reach xenconsoled's log. In crash mode the wait is bounded.
 */
void console_drain(void);

/* From now on waits are short: the system is going down, and a stuck reader must not stop it. */
void console_crash_mode(void);

struct console_stats {
	unsigned long
		bad_indices; /* times the ring's other index was impossible (console_ring.h) */
	unsigned long lost;  /* bytes given up: early buffer full, or nobody reads in a crash */
};

struct console_stats console_stats(void);

#endif
