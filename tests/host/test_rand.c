/* SPDX-License-Identifier: MIT */
/*
 * lib/rand: a seed that is printed is a promise that the run can be had again, on any machine, with
 * any compiler, next year. So the sequence itself is part of the contract.
 */
#include "host.h"

/* The generator's published output for seed 1234567. */
static void test_sequence(void **state)
{
	static const uint64_t want[] = {
		UINT64_C(6457827717110365317),	UINT64_C(3203168211198807973),
		UINT64_C(9817491932198370423),	UINT64_C(4593380528125082431),
		UINT64_C(16408922859458223821),
	};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1234567);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_true(rng_next(&rng) == want[i]);
}

/*
 * Rule: every number below n is equally likely. With n = 3 * 2^62 a plain remainder would give the
 * lowest third twice as often as the others: half of the draws in place of a third.
 */
static void test_below(void **state)
{
	const uint64_t third = UINT64_C(1) << 62;
	unsigned int low = 0, seen = 0;
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (int i = 0; i < 30000; i++) {
		uint64_t draw = rng_below(&rng, 3 * third);

		assert_true(draw < 3 * third);
		low += draw < third;
	}
	assert_in_range(low, 9500, 10500); /* 10000 expected, standard deviation 82; fixed seed */

	for (int i = 0; i < 1000; i++) {
		uint64_t draw = rng_below(&rng, 7);

		assert_true(draw < 7);
		seen |= 1 << draw;
		assert_int_equal(rng_below(&rng, 1), 0);
	}
	assert_int_equal(seen, 0x7f);
	rng_below(&rng, UINT64_MAX); /* nearly all draws are good: ends */
	EXPECT_PANIC(rng_below(&rng, 0), "n > 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_below),
	};

	return cmocka_run_group_tests_name("rand", tests, NULL, NULL);
}
