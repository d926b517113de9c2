/* SPDX-License-Identifier: MIT */
/* Seeded random numbers; see rand.h. */
#include <pinion/lib/panic.h>
#include <pinion/lib/rand.h>

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	uint64_t draw, surplus;

	ASSERT(n > 0);
	/*
	 * 2^64 draws do not divide evenly among n numbers: the first 2^64 mod n of them, the same
	 * as (2^64 - n) mod n, are the surplus and are drawn anew. A whole multiple of n remains.
	 */
	surplus = (UINT64_MAX - n + 1) % n;
	do
		draw = rng_next(rng);
	while (draw < surplus);
	return draw % n;
}
