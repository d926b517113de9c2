/* SPDX-License-Identifier: MIT */
/*
 * The output ring of the PV console, as a data structure: no waiting, no events.
 *
 *        out_cons: theirs                  out_prod: ours
 *           v                                 v
 *     ------+---------------------------------+------------   free-running 32-bit indices,
 *     free  |    written, not yet read        |  free         taken modulo the ring's 2 KiB
 *     ------+---------------------------------+------------
 *
 * Everything in the shared page can be changed by the other end at any time. Our own index is kept
 * in private memory and only published there; theirs is read once per use. It is possible only if
 * out_prod - out_cons is at most the ring's size: anything else is a broken reader, of whom the
 * ring is then taken to be empty, so that no byte is ever written outside of it and the kernel does
 * not wait for something that never comes.
 *
 * Source: Xen's public/io/console.h; tools/console/daemon/io.c (buffer_append) is the reader.
 */
#ifndef PINION_XEN_CONSOLE_RING_H
#define PINION_XEN_CONSOLE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/io/console.h>

struct console_ring {
	struct xencons_interface *shared;
	XENCONS_RING_IDX prod;	   /* ours; shared->out_prod is its published copy */
	unsigned long bad_indices; /* how often out_cons was impossible */
};

/* Takes over the ring at @shared where its writer left it. */
void console_ring_init(struct console_ring *ring, struct xencons_interface *shared);

/* Copies as much of @text as there is room for, publishes it, returns how many bytes that was. */
size_t console_ring_put(struct console_ring *ring, const char *text, size_t n);

/* Whether the other end has read everything. */
bool console_ring_drained(struct console_ring *ring);

#endif
