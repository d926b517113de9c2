/* SPDX-License-Identifier: MIT */
/*
 * lib/string against the libc, and against fences.
 *
 * The compiler calls these functions wherever it copies a structure, so a wrong byte here shows up
 * as anything anywhere. Blocks are tried at every small length and alignment, with memory that
 * faults right behind (and right before) what may be touched. This program is also built as the
 * kernel is, optimised and without sanitizers: there gcc might turn a loop into a call of itself.
 */
#include "host.h"

#define N 80 /* lengths and distances: some words and all remainders */

/* Rule: C11 7.24.2.1, 7.24.6.1. Exactly n bytes change, and the result is the destination. */
static void test_memcpy_memset(void **state)
{
	unsigned char from[N + 8], *to, *want = malloc(N + 8);

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = i * 7 + 1;
	for (size_t n = 0; n <= N; n++) {
		for (size_t skew = 0; skew < 8; skew++) {
			to = fence_after(n);
			assert_ptr_equal(memcpy(to, from + skew, n), to);
			assert_int_equal(libc_memcmp(to, from + skew, n), 0);
			fence_free(to, n);

			to = fence_before(n + 8);
			libc_memset(want, 0xa5, n + 8);
			libc_memset(want, 0x80 + skew, n);
			/* Only the low byte of the value counts. */
			assert_ptr_equal(memset(to, 0x7f80 + skew, n), to);
			assert_int_equal(libc_memcmp(to, want, n + 8), 0);
			fence_free(to, n + 8);
		}
		/* The source may end at a fence as well. */
		to = fence_after(n);
		memcpy(want, to, n);
		assert_int_equal(libc_memcmp(to, want, n), 0);
		fence_free(to, n);
	}
	free(want);
}

/* Rule: C11 7.24.2.2. As if by way of a third buffer, for every overlap up and down. */
static void test_memmove(void **state)
{
	unsigned char *mem = fence_after(2 * N), *want = malloc(2 * N);

	(void)state;
	for (size_t n = 0; n <= N; n++) {
		for (size_t src = 0; src <= N; src += 1 + src / 9) {
			for (size_t dst = 0; dst <= N; dst++) {
				for (size_t i = 0; i < 2 * N; i++)
					mem[i] = want[i] = i;
				libc_memmove(want + dst, want + src, n);
				assert_ptr_equal(memmove(mem + dst, mem + src, n), mem + dst);
				if (libc_memcmp(mem, want, 2 * N))
					fail_msg("memmove of %zu from %zu to %zu", n, src, dst);
			}
		}
	}
	free(want);
	fence_free(mem, 2 * N);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/*
 * Rule: C11 7.24.4: bytes compare as unsigned char (0x80 is greater than 0x7f) and nothing beyond
 * the length is read. One byte differs, at each place, by each kind of values.
 */
static void test_memcmp_memchr(void **state)
{
	static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

	(void)state;
	for (size_t n = 0; n <= N; n++) {
		unsigned char *a = fence_after(n), *b = fence_after(n);

		assert_int_equal(memcmp(a, b, n), 0);
		assert_null(memchr(a, 0xa4, n));
		for (size_t at = 0; at < n; at++) {
			for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
				a[at] = values[v];
				b[at] = values[(v + 1) % ARRAY_SIZE(values)];
				if (at + 1 < n)
					b[at + 1] ^= 0xff; /* the first difference decides */
				assert_int_equal(sign(memcmp(a, b, n)), values[v] < b[at] ? -1 : 1);
				assert_ptr_equal(memchr(a, 0x5500 + values[v], n), a + at);
				if (at + 1 < n)
					b[at + 1] ^= 0xff;
			}
			a[at] = b[at] = 0xa5;
		}
		if (n) /* of two the first */
			assert_ptr_equal(memchr(a, 0xa5, n), a);
		fence_free(a, n);
		fence_free(b, n);
	}
}

/* Rule: the terminator is the last byte that is read; strnlen() stops at its limit without one. */
static void test_lengths(void **state)
{
	(void)state;
	for (size_t n = 0; n <= N; n++) {
		char *s = fence_after(n + 1);

		assert_int_equal(strnlen(s, n), n); /* no terminator yet */
		assert_int_equal(strnlen(s, n + 1), n + 1);
		s[n] = '\0';
		assert_int_equal(strlen(s), n);
		for (size_t max = 0; max <= n; max++)
			assert_int_equal(strnlen(s, max), max);
		assert_int_equal(strnlen(s, SIZE_MAX), n);
		fence_free(s, n + 1);
	}
}

/* Random strings of few letters, so that equal beginnings are common; the libc is the oracle. */
static void test_compare(void **state)
{
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int round = 0; round < 20000; round++) {
		size_t na = rng_below(&rng, 7), nb = rng_below(&rng, 7), n = rng_below(&rng, 9);
		char *a = malloc(na + 1), *b = malloc(nb + 1);

		for (size_t i = 0; i < na; i++)
			a[i] = "abab\xe9"[rng_below(&rng, 5)];
		for (size_t i = 0; i < nb; i++)
			b[i] = i < na && rng_below(&rng, 4) ? a[i] : "ab\xe9"[rng_below(&rng, 3)];
		a[na] = b[nb] = '\0';

		assert_int_equal(sign(strcmp(a, b)), sign(libc_strcmp(a, b)));
		assert_int_equal(sign(strncmp(a, b, n)), sign(libc_strncmp(a, b, n)));
		assert_int_equal(str_starts(a, b), libc_strncmp(a, b, nb) == 0);
		free(a);
		free(b);
	}
}

/* Rule: strncmp() reads neither beyond a terminator nor beyond n, so operands may lack one. */
static void test_compare_fenced(void **state)
{
	char *a = fence_after(3), *b = fence_after(3);

	(void)state;
	assert_int_equal(strncmp(a, b, 3), 0);
	a[2] = b[2] = '\0';
	assert_int_equal(strncmp(a, b, SIZE_MAX), 0);
	assert_int_equal(strcmp(a, b), 0);
	assert_true(str_starts(a, b));
	b[1] = '\0';
	assert_true(strcmp(a, b) > 0);
	assert_true(str_starts(a, b));
	assert_false(str_starts(b, a));
	assert_true(str_starts("", ""));
	assert_false(str_starts("", "a"));
	fence_free(a, 3);
	fence_free(b, 3);
}

/* Rule: C11 7.24.5.2: the terminator can be searched for as well; the value is taken as a char. */
static void test_strchr(void **state)
{
	static const char s[] = "abcabc\xe9";

	(void)state;
	assert_ptr_equal(strchr(s, 'a'), s);
	assert_ptr_equal(strchr(s, 'c'), s + 2);
	assert_ptr_equal(strchr(s, 0xe9), s + 6);
	assert_ptr_equal(strchr(s, 0x100 + 'b'), s + 1);
	assert_ptr_equal(strchr(s, '\0'), s + 7);
	assert_null(strchr(s, 'x'));
	assert_null(strchr("", 'x'));

	assert_ptr_equal(strrchr(s, 'a'), s + 3);
	assert_ptr_equal(strrchr(s, 'c'), s + 5);
	assert_ptr_equal(strrchr(s, 0xe9), s + 6);
	assert_ptr_equal(strrchr(s, '\0'), s + 7);
	assert_null(strrchr(s, 'x'));
	assert_null(strrchr("", 'x'));
}

/* Rule: string.h: always terminated, never beyond size, and the full length tells of a cut. */
static void test_strlcpy(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 20; len++) {
		char *src = fence_after(len + 1);

		for (size_t i = 0; i < len; i++)
			src[i] = 'a' + i;
		src[len] = '\0';
		for (size_t size = 0; size <= 25; size++) {
			char *dst = fence_after(size);
			size_t kept = size == 0 ? 0 : len < size ? len : size - 1;

			assert_int_equal(strlcpy(dst, src, size), len);
			assert_int_equal(libc_memcmp(dst, src, kept), 0);
			if (size)
				assert_int_equal(dst[kept], '\0');
			for (size_t i = kept + 1; i < size; i++)
				assert_int_equal((unsigned char)dst[i], 0xa5);
			fence_free(dst, size);
		}
		fence_free(src, len + 1);
	}
}

/* The definition, as a recursion: right by inspection, exponential in the number of stars. */
static bool glob_oracle(const char *pattern, const char *s)
{
	if (!*pattern)
		return !*s;
	if (*pattern == '*')
		return glob_oracle(pattern + 1, s) || (*s && glob_oracle(pattern, s + 1));
	return *s && (*pattern == '?' || *pattern == *s) && glob_oracle(pattern + 1, s + 1);
}

/* Every pattern of up to 6 of "ab*?" with every string of up to 6 of "ab": 680,000 pairs. */
static void test_glob_exhaustive(void **state)
{
	char pattern[7], s[7];

	(void)state;
	for (int np = 0; np <= 6; np++) {
		for (int p = 0; p < 1 << 2 * np; p++) {
			for (int i = 0; i < np; i++)
				pattern[i] = "ab*?"[p >> 2 * i & 3];
			pattern[np] = '\0';
			for (int ns = 0; ns <= 6; ns++) {
				for (int v = 0; v < 1 << ns; v++) {
					for (int i = 0; i < ns; i++)
						s[i] = "ab"[v >> i & 1];
					s[ns] = '\0';
					if (glob_match(pattern, s) != glob_oracle(pattern, s))
						fail_msg("'%s' and '%s'", pattern, s);
				}
			}
		}
	}
}

/*
 * Rule: no blow-up. The pattern comes from the command line; a matcher that backtracks into every
 * star would need more than 10^20 steps here. A star in the string is a plain character.
 */
static void test_glob_edges(void **state)
{
	char pattern[1001], s[1001];

	(void)state;
	for (int i = 0; i < 1000; i += 2) {
		pattern[i] = '*';
		pattern[i + 1] = 'a';
	}
	libc_memset(s, 'a', 1000);
	pattern[1000] = s[1000] = '\0';
	assert_true(glob_match(pattern, s));
	pattern[999] = 'b';
	assert_false(glob_match(pattern, s));

	assert_true(glob_match("p2m_*", "p2m_identity_edges"));
	assert_false(glob_match("p2m_*", "xp2m_identity"));
	assert_false(glob_match("a", "*"));
	assert_true(glob_match("*", "*"));
	assert_true(glob_match("?", "\xff"));
	assert_true(glob_match("a[b]\\*", "a[b]\\c")); /* no classes, no escape */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memcpy_memset),	cmocka_unit_test(test_memmove),
		cmocka_unit_test(test_memcmp_memchr),	cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_compare),		cmocka_unit_test(test_compare_fenced),
		cmocka_unit_test(test_strchr),		cmocka_unit_test(test_strlcpy),
		cmocka_unit_test(test_glob_exhaustive), cmocka_unit_test(test_glob_edges),
	};

	return cmocka_run_group_tests_name("string", tests, NULL, NULL);
}
