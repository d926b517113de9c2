/* SPDX-License-Identifier: MIT */
/*
 * Numbers that look random and can be had again.
 *
 * Tests draw their operations from here, and print the seed: the same seed gives the same run on
 * any machine and compiler. Not for secrets.
 *
 * The generator is splitmix64 (Steele, Lea and Flood, OOPSLA 2014): a counter that steps by an odd
 * constant, and a mixer on what it shows. All 2^64 seeds are good, neighbouring ones included, and
 * each value appears once in 2^64 draws.
 */
#ifndef PINION_LIB_RAND_H
#define PINION_LIB_RAND_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline void rng_seed(struct rng *rng, uint64_t seed)
{
	rng->state = seed;
}

/* 64 random bits */
uint64_t rng_next(struct rng *rng);

/* A number in [0, n), each as likely as the others. => n > 0 */
uint64_t rng_below(struct rng *rng, uint64_t n);

#endif
