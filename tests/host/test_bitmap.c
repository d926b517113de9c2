/* SPDX-License-Identifier: MIT */
/*
 * lib/bitmap against an array of bools.
 *
 * Allocators will trust it with frames: a wrong edge at a word border hands out memory twice. So
 * every pair of edges within three words is tried, and then long random histories.
 */
#include "host.h"
#include <pinion/lib/bitmap.h>

#define BITS 192 /* three words */

static void fill(uint64_t *map, bool *want, bool value)
{
	libc_memset(map, value ? 0xff : 0, BITS / 8);
	libc_memset(want, value, BITS);
}

static void compare(const uint64_t *map, const bool *want)
{
	for (size_t i = 0; i < BITS; i++)
		assert_int_equal(bitmap_test(map, i), want[i]);
}

/* Every range [start, end) of three words, set in an empty map and cleared in a full one. */
static void test_ranges(void **state)
{
	uint64_t *map = fence_after(BITS / 8);
	bool want[BITS];

	(void)state;
	for (size_t start = 0; start <= BITS; start++) {
		for (size_t end = start; end <= BITS; end++) {
			fill(map, want, false);
			bitmap_set_range(map, start, end - start);
			libc_memset(want + start, true, end - start);
			compare(map, want);
			assert_int_equal(bitmap_count(map, 0, BITS), end - start);
			assert_int_equal(bitmap_count(map, start, end - start), end - start);
			assert_int_equal(bitmap_count(map, end, BITS - end), 0);

			fill(map, want, true);
			bitmap_clear_range(map, start, end - start);
			libc_memset(want + start, false, end - start);
			compare(map, want);
			assert_int_equal(bitmap_count(map, start, end - start), 0);
			assert_int_equal(bitmap_count(map, 0, BITS), BITS - (end - start));
		}
	}
	fence_free(map, BITS / 8);
}

/* One bit, sought from everywhere, in maps of every length: bits beyond the length don't exist. */
static void test_single_bits(void **state)
{
	uint64_t *map = fence_after(BITS / 8);

	(void)state;
	for (size_t bit = 0; bit < BITS; bit++) {
		for (size_t nbits = 0; nbits <= BITS; nbits += 1 + (nbits > 3 && nbits % 64 < 60)) {
			for (size_t from = 0; from <= BITS; from += 1 + (from % 64 == 5) * 50) {
				size_t found = from <= bit && bit < nbits ? bit : nbits;

				libc_memset(map, 0, BITS / 8);
				bitmap_set(map, bit);
				assert_int_equal(bitmap_find_set(map, nbits, from), found);
				libc_memset(map, 0xff, BITS / 8);
				bitmap_clear(map, bit);
				assert_int_equal(bitmap_find_zero(map, nbits, from), found);
			}
		}
	}
	fence_free(map, BITS / 8);
}

/* Rule: of a map of n bits only the words that hold them are read. */
static void test_reads_no_further(void **state)
{
	uint64_t *map = fence_after(8);

	(void)state;
	*map = 0;
	assert_int_equal(bitmap_find_set(map, 64, 0), 64);
	assert_int_equal(bitmap_find_set(map, 64, 64), 64);
	assert_int_equal(bitmap_find_set(map, 64, SIZE_MAX), 64);
	assert_int_equal(bitmap_find_zero_run(map, 64, 0, 64, 1), 0);
	assert_int_equal(bitmap_find_zero_run(map, 64, 1, 64, 1), 64);
	bitmap_set_range(map, 63, 1);
	bitmap_set_range(map, 64, 0);
	bitmap_clear_range(map, 64, 0);
	assert_int_equal(bitmap_count(map, 0, 64), 1);
	assert_int_equal(bitmap_count(map, 64, 0), 0);
	assert_true(*map == UINT64_C(1) << 63);
	fence_free(map, 8);
}

/* The definition of bitmap_find_zero_run(). */
static size_t run_oracle(const bool *want, size_t nbits, size_t from, size_t count, size_t align)
{
	for (size_t start = from; start < nbits; start++) {
		size_t n = 0;

		while (n < count && start + n < nbits && !want[start + n])
			n++;
		if (n == count && start % align == 0)
			return start;
	}
	return nbits;
}

/* Random sets, clears and ranges, with every search after each, against the array. */
static void test_random(void **state)
{
	uint64_t *map = fence_after(BITS / 8);
	bool want[BITS];
	struct rng rng;

	(void)state;
	host_seed(&rng);
	fill(map, want, false);
	for (int round = 0; round < 200000; round++) {
		size_t start = rng_below(&rng, BITS), count = rng_below(&rng, BITS - start + 1);
		size_t nbits = rng_below(&rng, BITS + 1), from = rng_below(&rng, BITS + 1);
		size_t align = 1 << rng_below(&rng, 8), sum = 0, i;

		switch (rng_below(&rng, 6)) {
		case 0:
			bitmap_set(map, start);
			want[start] = true;
			break;
		case 1:
			bitmap_clear(map, start);
			want[start] = false;
			break;
		case 2:
			count = count < 20 ? count : 20;
			bitmap_set_range(map, start, count);
			libc_memset(want + start, true, count);
			break;
		case 3:
			bitmap_clear_range(map, start, count);
			libc_memset(want + start, false, count);
			break;
		}
		assert_int_equal(bitmap_test(map, from % BITS), want[from % BITS]);
		for (i = start; i < start + count; i++)
			sum += want[i];
		assert_int_equal(bitmap_count(map, start, count), sum);

		for (i = from; i < nbits && !want[i]; i++)
			;
		assert_int_equal(bitmap_find_set(map, nbits, from), i < nbits ? i : nbits);
		for (i = from; i < nbits && want[i]; i++)
			;
		assert_int_equal(bitmap_find_zero(map, nbits, from), i < nbits ? i : nbits);
		count = 1 + rng_below(&rng, 70);
		assert_int_equal(bitmap_find_zero_run(map, nbits, from, count, align),
				 run_oracle(want, nbits, from, count, align));
	}
	compare(map, want);
	fence_free(map, BITS / 8);
}

/* Rule: bitmap.h; counts and positions near 2^64 do not wrap around into a false success. */
static void test_zero_run_edges(void **state)
{
	uint64_t map[BITMAP_WORDS(130)] = { 0 };

	(void)state;
	assert_int_equal(sizeof(map), 24);
	assert_int_equal(bitmap_find_zero_run(map, 130, 0, SIZE_MAX, 1), 130);
	assert_int_equal(bitmap_find_zero_run(map, 130, 1, SIZE_MAX, 1), 130);
	assert_int_equal(bitmap_find_zero_run(map, 130, 129, 2, 1), 130);
	assert_int_equal(bitmap_find_zero_run(map, 130, 129, 1, 1), 129);
	assert_int_equal(bitmap_find_zero_run(map, 130, 1, 2, 128), 128);
	assert_int_equal(bitmap_find_zero_run(map, 130, 1, 3, 128), 130);
	assert_int_equal(bitmap_find_zero_run(map, 130, 1, 1, SIZE_MAX / 2 + 1), 130);
	assert_int_equal(bitmap_find_zero_run(map, 130, SIZE_MAX, 1, 2), 130);
	assert_int_equal(bitmap_find_zero_run(map, 0, 0, 1, 1), 0);
	EXPECT_PANIC(bitmap_find_zero_run(map, 130, 0, 0, 1), "count > 0");
	EXPECT_PANIC(bitmap_find_zero_run(map, 130, 0, 1, 0), "align > 0");
	EXPECT_PANIC(bitmap_find_zero_run(map, 130, 0, 1, 24), "align > 0");
}

/* Rule: upwards, each once, and the body may clear the bit that it is at. */
static void test_for_each(void **state)
{
	BITMAP(map, 130) = { 0 };
	static const size_t bits[] = { 0, 1, 63, 64, 127, 128, 129 };
	size_t i, n = 0;

	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(bits); b++)
		bitmap_set(map, bits[b]);
	bitmap_set(map, 131); /* beyond the length */
	bitmap_for_each_set (i, map, 130) {
		assert_true(n < ARRAY_SIZE(bits));
		assert_int_equal(i, bits[n++]);
		bitmap_clear(map, i);
	}
	assert_int_equal(n, ARRAY_SIZE(bits));
	bitmap_for_each_set (i, map, 130)
		fail_msg("bit %zu is left", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),		 cmocka_unit_test(test_single_bits),
		cmocka_unit_test(test_reads_no_further), cmocka_unit_test(test_random),
		cmocka_unit_test(test_zero_run_edges),	 cmocka_unit_test(test_for_each),
	};

	return cmocka_run_group_tests_name("bitmap", tests, NULL, NULL);
}
