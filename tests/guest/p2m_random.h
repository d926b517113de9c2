/* SPDX-License-Identifier: MIT */
/*
 * Random changes of a P2M tree against a flat table: the part of the P2M's tests that runs in the
 * guest and, for much longer, on the host. It knows the tree by its public interface alone.
 */
#ifndef PINION_TESTS_GUEST_P2M_RANDOM_H
#define PINION_TESTS_GUEST_P2M_RANDOM_H

#include <stdint.h>
#include <pinion/lib/rand.h>
#include <pinion/mm/p2m.h>

/* Pfns below this are the run's to change: four slots. */
#define P2M_RANDOM_END (4 * P2M_SLOT_PFNS)

/*
 * Runs @ops operations on @tree, of which all pfns below P2M_RANDOM_END are missing, and leaves it
 * so. @limit(n) makes the tree's allocator give n pages more and then none.
 *
 * Returns NULL, or what went wrong, with the number of the operation in *@at.
 */
const char *p2m_random(struct p2m *tree, struct rng *rng, uint64_t ops, void (*limit)(uint64_t n),
		       uint64_t *at);

#endif
