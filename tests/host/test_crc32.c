/* SPDX-License-Identifier: MIT */
/*
 * lib/crc32: the rig recomputes these sums with zlib, so they must be zlib's, or every console log
 * looks damaged, and if wrong in a weaker way, a damaged one looks whole.
 */
#include "host.h"
#include <pinion/lib/crc32.h>

/* The definition, a bit at a time. */
static uint32_t crc_oracle(const unsigned char *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (; n; n--, p++) {
		crc ^= *p;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	return ~crc;
}

/* Published values: the check value of the CRC catalogue, and what zlib.crc32() gives. */
static void test_known(void **state)
{
	(void)state;
	assert_int_equal(crc32(0, "", 0), 0);
	assert_int_equal(crc32(0, NULL, 0), 0);
	assert_int_equal(crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(crc32(0, "a", 1), 0xe8b7be43);
	assert_int_equal(crc32(0, "\0\0\0\0", 4), 0x2144df1c);
	assert_int_equal(crc32(0, "The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
}

/* Random data, in one piece and in two cut anywhere. */
static void test_random(void **state)
{
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int round = 0; round < 5000; round++) {
		size_t n = rng_below(&rng, 200), cut = rng_below(&rng, n + 1);
		unsigned char *data = malloc(n + 1);

		for (size_t i = 0; i < n; i++)
			data[i] = rng_next(&rng);
		assert_int_equal(crc32(0, data, n), crc_oracle(data, n));
		assert_int_equal(crc32(crc32(0, data, cut), data + cut, n - cut),
				 crc_oracle(data, n));
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("crc32", tests, NULL, NULL);
}
