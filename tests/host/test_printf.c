/* SPDX-License-Identifier: MIT */
/*
 * lib/printf against glibc's.
 *
 * C99 7.19.6.1 is five pages of flags that override each other; glibc has had decades to get them
 * right. So formats are generated, both print them, and text and return value must agree. A printf
 * that is wrong lies in every log and in every crash report.
 */
#include <limits.h>
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/lib/limits.h>
#include <pinion/lib/printf.h>

#define CASES	 500000
#define SLOTS	 12   /* arguments of a generated format at most: 4 conversions with two stars */
#define TEXT_MAX 1024 /* bytes that one of them prints at most, and more */

/* Appends to a format under construction. */
static void add(char *fmt, const char *text)
{
	size_t n = libc_strlen(fmt);

	libc_memcpy(fmt + n, text, libc_strlen(text) + 1);
}

static void add_number(char *fmt, unsigned int value)
{
	char text[16];

	libc_snprintf(text, sizeof(text), "%u", value);
	add(fmt, text);
}

/* Values around which something changes, of every width, and some in between. */
static unsigned long random_value(struct rng *rng)
{
	/* clang-format off */
	static const unsigned long edges[] = {
		0, 1, 7, 8, 9, 10,
		SCHAR_MAX, SCHAR_MAX + 1, UCHAR_MAX, UCHAR_MAX + 1,
		SHRT_MAX, SHRT_MAX + 1, USHRT_MAX, USHRT_MAX + 1,
		INT_MAX, INT_MAX + 1UL, UINT_MAX, UINT_MAX + 1UL,
		LONG_MAX, LONG_MAX + 1UL, ULONG_MAX,
	};
	/* clang-format on */
	unsigned long value = edges[rng_below(rng, ARRAY_SIZE(edges))];

	switch (rng_below(rng, 4)) {
	case 0:
		return -value;
	case 1:
		return rng_next(rng) >> rng_below(rng, 64);
	default:
		return value;
	}
}

/* A format and its arguments. */
struct sample {
	char fmt[256];
	unsigned long slot[SLOTS];
	unsigned int slots;
};

/* Each of the characters of @flags, or not. */
static void add_flags(struct rng *rng, struct sample *sample, const char *flags)
{
	for (; *flags; flags++)
		if (rng_below(rng, 3) == 0)
			add(sample->fmt, (char[]){ *flags, '\0' });
}

/* No number, one of [low, high] in the format, or one of [-high, high] as an argument. */
static void add_star(struct rng *rng, struct sample *sample, unsigned int low, unsigned int high)
{
	switch (rng_below(rng, 4)) {
	case 0:
		add(sample->fmt, "*");
		sample->slot[sample->slots++] = rng_below(rng, 2 * high + 1) - high;
		break;
	case 1:
		add_number(sample->fmt, low + rng_below(rng, high - low + 1));
		break;
	}
}

/*
 * One conversion, of those whose meaning C fixes, and + # with u, # with d, which glibc ignores as
 * Pinion does. Left out: NULL strings and what C leaves undefined (tested below).
 */
static void add_conversion(struct rng *rng, struct sample *sample)
{
	static const char strings[][8] = { "", "a", "abc", "\x80\xff%", "1234567" };
	static const char *const lengths[] = { "", "hh", "h", "l", "ll", "z", "t", "j" };
	char conversion = "diuxXodiuxXocsp%"[rng_below(rng, 16)];

	add(sample->fmt, "%");
	switch (conversion) {
	case '%':
		break;
	case 'c':
		add_flags(rng, sample, "-");
		add_star(rng, sample, 1, 12);
		sample->slot[sample->slots++] = 'A' + rng_below(rng, 26);
		break;
	case 's':
		add_flags(rng, sample, "-");
		add_star(rng, sample, 1, 12);
		if (rng_below(rng, 2)) {
			add(sample->fmt, ".");
			add_star(rng, sample, 0, 9);
		}
		sample->slot[sample->slots++] =
			(unsigned long)strings[rng_below(rng, ARRAY_SIZE(strings))];
		break;
	case 'p':
		add_flags(rng, sample, "-");
		add_star(rng, sample, 1, 30);
		sample->slot[sample->slots++] = random_value(rng);
		break;
	default:
		add_flags(rng, sample, "-+ #00-");
		add_star(rng, sample, 1, 30);
		if (rng_below(rng, 2)) {
			add(sample->fmt, ".");
			add_star(rng, sample, 0, 26);
		}
		add(sample->fmt, lengths[rng_below(rng, ARRAY_SIZE(lengths))]);
		sample->slot[sample->slots++] = random_value(rng);
		break;
	}
	add(sample->fmt, (char[]){ conversion, '\0' });
}

static void make_sample(struct rng *rng, struct sample *sample)
{
	static const char *const between[] = { "", "", "x", ": ", "\n", "0x" };

	libc_memset(sample, 0, sizeof(*sample));
	for (unsigned int n = 1 + rng_below(rng, 4); n; n--) {
		add(sample->fmt, between[rng_below(rng, ARRAY_SIZE(between))]);
		add_conversion(rng, sample);
	}
	add(sample->fmt, between[rng_below(rng, ARRAY_SIZE(between))]);
}

/*
 * Calls a snprintf with a sample. In the System V ABI each integer or pointer takes one eight-byte
 * register or stack slot, and of one that holds an int or less the upper part is undefined: so
 * passing longs throughout is right, and shows whether the upper part is left alone. In the middle
 * of the list arguments move from registers to the stack.
 */
static int call(int (*fn)(char *, size_t, const char *, ...), char *buf, size_t size,
		const struct sample *sample)
{
	const unsigned long *a = sample->slot;

	return fn(buf, size, sample->fmt, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8],
		  a[9], a[10], a[11]);
}

/*
 * Rule: with @size bytes the text is cut to size - 1 and terminated, nothing behind it changes and
 * the return value is the same as if all had fitted. @mem is TEXT_MAX bytes before a fence.
 */
static void check_cut(char *mem, size_t size, const struct sample *sample, const char *want,
		      int len)
{
	size_t kept = size == 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
	char *buf = mem + TEXT_MAX - size;

	libc_memset(mem, 0xa5, TEXT_MAX);
	if (call(snprintf, buf, size, sample) != len || libc_memcmp(buf, want, kept) ||
	    (size && buf[kept] != '\0'))
		fail_msg("'%s' cut at %zu: '%.*s', not '%s'", sample->fmt, size, (int)size, buf,
			 want);
	for (char *p = mem; p < mem + TEXT_MAX; p++)
		if ((p < buf || p > buf + kept) && *p != '\xa5')
			fail_msg("'%s' cut at %zu: wrote at %td", sample->fmt, size, p - buf);
}

static void test_against_glibc(void **state)
{
	char *mem = fence_after(TEXT_MAX), want[TEXT_MAX], got[TEXT_MAX];
	struct sample sample;
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int i = 0; i < CASES; i++) {
		int want_len, len;

		make_sample(&rng, &sample);
		want_len = call(libc_snprintf, want, sizeof(want), &sample);
		len = call(snprintf, got, sizeof(got), &sample);
		if (len != want_len || libc_strcmp(got, want))
			fail_msg("'%s' with 0x%lx, 0x%lx, ...: '%s' (%d), glibc '%s' (%d)",
				 sample.fmt, sample.slot[0], sample.slot[1], got, len, want,
				 want_len);

		assert_true(want_len < TEXT_MAX - 2);
		check_cut(mem, rng_below(&rng, want_len + 2), &sample, want, want_len);
		if (i % 50 == 0)
			for (int size = 0; size <= want_len + 2; size++)
				check_cut(mem, size, &sample, want, want_len);
	}
	fence_free(mem, TEXT_MAX);
	printf("# %d formats compared with glibc's\n", CASES);
}

/*
 * snprintf() without the compiler's eye on it: what follows is no good style, some of it no C, and
 * gcc would say so.
 */
static int format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return len;
}

/* @fn must print @text, a literal (which may hold a NUL). */
#define PRINTS(fn, text, ...)                                                          \
	do {                                                                           \
		char out[512];                                                         \
                                                                                       \
		assert_int_equal(fn(out, sizeof(out), __VA_ARGS__), sizeof(text) - 1); \
		assert_string_equal(out, text);                                        \
		assert_int_equal(libc_memcmp(out, text, sizeof(text)), 0);             \
	} while (0)

/* A rule of C's: glibc does the same. */
#define RULE(text, ...)                                   \
	do {                                              \
		PRINTS(format, text, __VA_ARGS__);        \
		PRINTS(libc_snprintf, text, __VA_ARGS__); \
	} while (0)

/* A choice of Pinion's. */
#define CHOICE(text, ...) PRINTS(format, text, __VA_ARGS__)

/* The corners of C99's rules one by one, so that a failure names the rule. */
static void test_rules(void **state)
{
	(void)state;
	RULE("", "%s", "");
	RULE("100%", "100%%");
	/* A precision of 0 prints the value 0 as no characters; # in octal still forces one 0. */
	RULE("[] [0] []", "[%.0d] [%#.0o] [%#.0x]", 0, 0, 0);
	/* # adds 0x to nonzero values only. */
	RULE("0 0x1 0X1F", "%#x %#x %#X", 0, 1, 31);
	/* # in octal raises the precision, and counts a 0 that is there already. */
	RULE("0 017 00017", "%#o %#o %#.5o", 0, 15, 15);
	/* 0 is ignored with - and with a precision; + wins over space. */
	RULE("[5   ] [ 005] [+5]", "[%-04d] [%04.3d] [% +d]", 5, 5, 5);
	/* Zeros stand between sign or prefix and digits. */
	RULE("-0005 0x000f", "%05d %#06x", -5, 15);
	/* A negative width is - and a width; a negative precision is none. */
	RULE("[5   ] [0]", "[%*d] [%.*d]", -4, 5, -1, 0);
	/* INT_MIN and LONG_MIN have no positive counterpart. */
	RULE("-2147483648 -9223372036854775808", "%d %ld", INT_MIN, LONG_MIN);
	/* Only as many characters of a string are read as the precision says. */
	RULE("ab", "%.2s", (char[]){ 'a', 'b' });
	/* %c prints a NUL as it is, and the text goes on behind it. */
	RULE("[\0]", "[%c]", 0);
}

/* The libc's answer to text beyond INT_MAX is a negative value, and so is Pinion's: -EOVERFLOW. */
static void test_overflow(void **state)
{
	/* Two widths and a precision. */
	static const char *const too_long[] = { "ab%2147483648d", "ab%99999999999999999999d",
						"ab%.2147483648d" };
	char buf[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(too_long); i++) {
		libc_memset(buf, 0xa5, sizeof(buf));
		assert_int_equal(format(buf, sizeof(buf), too_long[i], 1), -EOVERFLOW);
		assert_string_equal(buf, "ab"); /* terminated all the same */
		assert_int_equal(libc_snprintf(buf, sizeof(buf), too_long[i], 1), -1);
	}
	assert_int_equal(format(buf, sizeof(buf), "%*d", INT_MIN, 1), -EOVERFLOW);

	/* 2^31 - 1 is the longest text: all counted, though hardly any is stored. */
	assert_int_equal(format(buf, sizeof(buf), "%2147483647d", 1), INT_MAX);
	assert_string_equal(buf, "       ");
	assert_int_equal(format(buf, sizeof(buf), "%2147483646da", 1), INT_MAX);
	assert_int_equal(format(buf, sizeof(buf), "%2147483647da", 1), -EOVERFLOW);
	assert_int_equal(format(buf, sizeof(buf), "%.2147483647d", -1), -EOVERFLOW);
}

/* Where C leaves a choice Pinion has made one: printf.h. */
static void test_choices(void **state)
{
	(void)state;
	CHOICE("(null)", "%s", NULL);
	CHOICE("[  (null)] [(null)  ] [(nu]", "[%8s] [%-8s] [%.3s]", NULL, NULL, NULL);
	CHOICE("[(nil)] [   (nil)] [(nil)   ]", "[%p] [%8p] [%-8p]", NULL, NULL, NULL);
	CHOICE("0xffffffff80000000", "%p", (void *)0xffffffff80000000);

	/* Unknown conversions stand as they are and leave the argument to the next one. */
	CHOICE("%y 7", "%y %d", 7);
	CHOICE("%n %hhn 7", "%n %hhn %d", 7);
	CHOICE("%f %5.2e %Lg %a 7", "%f %5.2e %Lg %a %d", 7);
	CHOICE("%-08.3q 7", "%-08.3q %d", 7);
	CHOICE("%ls %lc %hs %lp 7", "%ls %lc %hs %lp %d", 7);
	CHOICE("%1$d 7", "%1$d %d", 7);
	CHOICE("%5% 7", "%5% %d", 7);
	CHOICE("%\xff", "%\xff");
	/* Their stars do take one: it has been counted into the width by then. */
	CHOICE("%*y 7", "%*y %d", 3, 7);

	/* A format that ends in the middle of a conversion. */
	CHOICE("50%", "50%");
	CHOICE("50%-", "50%-");
	CHOICE("50%08", "50%08");
	CHOICE("50%.", "50%.");
	CHOICE("50%l", "50%l");
	CHOICE("50%hh", "50%hh");
}

/* Rule: a buffer of no bytes may be NULL, and the length is counted all the same. */
static void test_no_buffer(void **state)
{
	char untouched = 'x';

	(void)state;
	assert_int_equal(snprintf(NULL, 0, "%d pages of %s", 123, "RAM"), 16);
	assert_int_equal(snprintf(NULL, 0, "%1000d", 1), 1000);
	assert_int_equal(snprintf(&untouched, 0, "%s", "text"), 4);
	assert_int_equal(untouched, 'x');
	assert_int_equal(snprintf(&untouched, 1, "%s", "text"), 4);
	assert_int_equal(untouched, '\0');
	/* A size that no buffer has, as sprintf() would be called: no wrap-around. */
	assert_int_equal(snprintf((char[8]){ 0 }, SIZE_MAX, "%s", "text"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_glibc), cmocka_unit_test(test_rules),
		cmocka_unit_test(test_overflow),      cmocka_unit_test(test_choices),
		cmocka_unit_test(test_no_buffer),
	};

	return cmocka_run_group_tests_name("printf", tests, NULL, NULL);
}
