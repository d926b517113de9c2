/* SPDX-License-Identifier: MIT */
/*
 * lib/parse: numbers from the command line.
 *
 * A number that wrapped around or lost its unit would be believed: mem=99999999999999999999 must
 * not become some small number.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/lib/parse.h>

#define UNSET UINT64_C(0x5555)

/* The whole of @s is @value. */
static void good(int (*parse)(const char *, const char **, uint64_t *), const char *s,
		 uint64_t value)
{
	const char *end = NULL;
	uint64_t out = UNSET;

	if (parse(s, NULL, &out) || out != value)
		fail_msg("'%s' is not %llu", s, (unsigned long long)value);
	out = UNSET;
	assert_int_equal(parse(s, &end, &out), 0);
	assert_true(out == value);
	assert_ptr_equal(end, s + libc_strlen(s));
}

/* @s begins with a number of @length characters, @value, and has text behind it. */
static void leads(int (*parse)(const char *, const char **, uint64_t *), const char *s,
		  size_t length, uint64_t value)
{
	const char *end = NULL;
	uint64_t out = UNSET;

	assert_int_equal(parse(s, &end, &out), 0);
	assert_ptr_equal(end, s + length);
	assert_true(out == value);
	out = UNSET;
	assert_int_equal(parse(s, NULL, &out), -EINVAL);
	assert_true(out == UNSET);
}

/* @s is refused with @err whether text may follow or not, and nothing is stored. */
static void bad(int (*parse)(const char *, const char **, uint64_t *), const char *s, int err)
{
	const char *end = s;
	uint64_t out = UNSET;

	if (parse(s, &end, &out) != err || parse(s, NULL, &out) != err)
		fail_msg("'%s' is not refused with %s", s, errno_name(err));
	assert_ptr_equal(end, s);
	assert_true(out == UNSET);
}

/* Rule: parse.h. What strtoul() lets pass (blanks, signs, octal, overflow) is refused. */
static void test_u64(void **state)
{
	(void)state;
	good(parse_u64, "0", 0);
	good(parse_u64, "10", 10);
	good(parse_u64, "010", 10);
	good(parse_u64, "000000000000000000000000000000001", 1);
	good(parse_u64, "18446744073709551615", UINT64_MAX);
	good(parse_u64, "0x0", 0);
	good(parse_u64, "0x09afAF", 0x09afaf);
	good(parse_u64, "0XfFfFfFfFfFfFfFfF", UINT64_MAX);
	good(parse_u64, "0x000000000000000000000000000ff", 255);

	leads(parse_u64, "12 ", 2, 12);
	leads(parse_u64, "12x", 2, 12);
	leads(parse_u64, "12a", 2, 12); /* a hex digit, but the number is decimal */
	leads(parse_u64, "0xfg", 3, 15);
	leads(parse_u64, "1x2", 1, 1);
	leads(parse_u64, "0y", 1, 0);

	bad(parse_u64, "", -EINVAL);
	bad(parse_u64, "x", -EINVAL);
	bad(parse_u64, "0x", -EINVAL);
	bad(parse_u64, "0xg", -EINVAL);
	bad(parse_u64, " 1", -EINVAL);
	bad(parse_u64, "+1", -EINVAL);
	bad(parse_u64, "-1", -EINVAL);
	bad(parse_u64, "a", -EINVAL);
	bad(parse_u64, "\xff", -EINVAL);
	bad(parse_u64, "18446744073709551616", -ERANGE); /* 2^64: the addition overflows */
	bad(parse_u64, "18446744073709551620", -ERANGE); /* the multiplication does */
	bad(parse_u64, "99999999999999999999999999999999", -ERANGE);
	bad(parse_u64, "0x10000000000000000", -ERANGE);
}

/* The neighbours of the digits in ASCII are no digits. */
static void test_digit_edges(void **state)
{
	static const char neighbours[] = { '/', ':', '@', 'G', '`', 'g', '\x10', '\x19' };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(neighbours); i++) {
		char s[] = { '0', 'x', '1', neighbours[i], '\0' };

		leads(parse_u64, s, 3, 1);
	}
}

static void test_random(void **state)
{
	char text[32];
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int i = 0; i < 50000; i++) {
		uint64_t value = rng_next(&rng) >> rng_below(&rng, 64);

		libc_snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
		good(parse_u64, text, value);
		libc_snprintf(text, sizeof(text), "%#llx", (unsigned long long)value);
		if (value)
			good(parse_u64, text, value);
	}
}

/* Rule: parse.h: K M G T are powers of 2^10, checked for overflow; no unit is bytes. */
static void test_size(void **state)
{
	(void)state;
	good(parse_size, "0", 0);
	good(parse_size, "4097", 4097);
	good(parse_size, "1K", 1024);
	good(parse_size, "64M", 64 << 20);
	good(parse_size, "64m", 64 << 20);
	good(parse_size, "64MiB", 64 << 20);
	good(parse_size, "3g", UINT64_C(3) << 30);
	good(parse_size, "2T", UINT64_C(2) << 40);
	good(parse_size, "0x10k", 16384);
	good(parse_size, "0T", 0);
	good(parse_size, "18446744073709551615", UINT64_MAX);
	good(parse_size, "16777215T", UINT64_C(16777215) << 40);
	good(parse_size, "18014398509481983K", UINT64_MAX - 1023);

	leads(parse_size, "1Ki", 2, 1024);
	leads(parse_size, "1KB", 2, 1024);
	leads(parse_size, "1KiB ", 4, 1024);
	leads(parse_size, "1P", 1, 1);
	leads(parse_size, "1 K", 1, 1);
	leads(parse_size, "1KM", 2, 1024);
	leads(parse_size, "1\xed", 1, 1);

	bad(parse_size, "", -EINVAL);
	bad(parse_size, "M", -EINVAL);
	bad(parse_size, "-1M", -EINVAL);
	bad(parse_size, "16777216T", -ERANGE);
	bad(parse_size, "18014398509481984K", -ERANGE);
	bad(parse_size, "18446744073709551616", -ERANGE);
	bad(parse_size, "18446744073709551615K", -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_digit_edges),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
