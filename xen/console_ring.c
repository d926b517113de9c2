/* SPDX-License-Identifier: MIT */
/* The console's output ring; the rules stand in <pinion/xen/console_ring.h>. */
#include <pinion/lib/compiler.h>
#include <pinion/xen/console_ring.h>

#define RING_BYTES ((XENCONS_RING_IDX)sizeof(((struct xencons_interface *)0)->out))

void console_ring_init(struct console_ring *ring, struct xencons_interface *shared)
{
	ring->shared = shared;
	ring->prod = READ_ONCE(shared->out_prod);
	ring->bad_indices = 0;
}

/* Bytes written and not yet read. One read of the shared index. */
static XENCONS_RING_IDX ring_used(struct console_ring *ring)
{
	XENCONS_RING_IDX used = ring->prod - READ_ONCE(ring->shared->out_cons);

	if (used <= RING_BYTES)
		return used;
	ring->bad_indices++;
	return 0;
}

size_t console_ring_put(struct console_ring *ring, const char *text, size_t n)
{
	size_t room = RING_BYTES - ring_used(ring), i;

	if (n > room)
		n = room;
	/* The reader's loads of this room come before its store of out_cons, which was seen. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (i = 0; i < n; i++)
		ring->shared->out[MASK_XENCONS_IDX(ring->prod + i, ring->shared->out)] = text[i];
	ring->prod += (XENCONS_RING_IDX)n;
	/* The bytes before the index that makes them the reader's. */
	__atomic_store_n(&ring->shared->out_prod, ring->prod, __ATOMIC_RELEASE);
	return n;
}

bool console_ring_drained(struct console_ring *ring)
{
	return ring_used(ring) == 0;
}
