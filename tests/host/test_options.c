/* SPDX-License-Identifier: MIT */
/*
 * boot/options: the kernel's command line.
 *
 * It is the one text that anybody who starts the domain can write, and it is read before much else
 * works. So: nothing in it may crash the kernel, forge a line on the console, or be silently taken
 * for something else; and what is well-formed must arrive exactly.
 */
#include "host.h"
#include <pinion/boot/options.h>
#include <pinion/lib/parse.h>

static struct boot_options o;

/* Parses a whole command line from memory that ends with its NUL. Returns the warnings. */
static int parse(const char *line)
{
	size_t n = libc_strlen(line) + 1;
	char *mem = fence_after(n);
	int warnings;

	libc_memcpy(mem, line, n);
	host_console_reset();
	libc_memset(&o, 0xa5, sizeof(o)); /* whatever was there before */
	warnings = options_parse(&o, mem, n);
	fence_free(mem, n); /* the options do not refer to it */
	return warnings;
}

/* The line is understood, all of it, without a word. */
static void good(const char *line)
{
	if (parse(line))
		fail_msg("'%s': %s", line, host_console());
	EXPECT_CONSOLE("");
}

/* One word of the line is refused in one line of text, @says. */
static void bad(const char *line, const char *says)
{
	assert_int_equal(parse(line), 1);
	EXPECT_CONSOLE(says);
}

static void expect_defaults(void)
{
	assert_null(o.tests);
	assert_null(o.after);
	assert_string_equal(o.nonce, "-");
	assert_false(o.shuffle);
	assert_true(o.shuffle_seed == 0);
	assert_false(o.bench);
	assert_false(o.ptdump);
	assert_false(o.sync);
	assert_false(o.poison);
	assert_int_equal(o.oracle, ORACLE_END);
	assert_false(o.seed_random);
	assert_true(o.seed == OPTIONS_DEFAULT_SEED);
	assert_true(o.ops == 0);
	assert_true(o.repeat == 1);
	assert_int_equal(o.exit, EXIT_POWEROFF);
	assert_true(o.mem == 0);
}

static void test_defaults(void **state)
{
	(void)state;
	good("");
	expect_defaults();
	good("  \t\r\n\v\f ");
	expect_defaults();
}

/* Each option in each of its forms. */
static void test_each_option(void **state)
{
	(void)state;
	good("tests=p2m_*,@mm,-slow after=probe_read nonce=1f2E3d4c shuffle=7 seed=0x10 ops=500 "
	     "repeat=3 bench oracle=each exit=idle mem=64M sync poison ptdump");
	assert_string_equal(o.tests, "p2m_*,@mm,-slow");
	assert_string_equal(o.after, "probe_read");
	assert_string_equal(o.nonce, "1f2E3d4c");
	assert_true(o.shuffle && o.shuffle_seed == 7);
	assert_true(!o.seed_random && o.seed == 16);
	assert_true(o.ops == 500);
	assert_true(o.repeat == 3);
	assert_true(o.bench);
	assert_true(o.sync);
	assert_true(o.poison);
	assert_true(o.ptdump);
	assert_int_equal(o.oracle, ORACLE_EACH);
	assert_int_equal(o.exit, EXIT_IDLE);
	assert_true(o.mem == 64 << 20);

	good("oracle=off exit=poweroff");
	assert_int_equal(o.oracle, ORACLE_OFF);
	assert_int_equal(o.exit, EXIT_POWEROFF);
	good("oracle=end exit=reboot");
	assert_int_equal(o.oracle, ORACLE_END);
	assert_int_equal(o.exit, EXIT_REBOOT);
	good("exit=crash shuffle=0");
	assert_int_equal(o.exit, EXIT_CRASH);
	assert_true(o.shuffle); /* by seed 0: not the same as no shuffle */
	good("seed=random");
	assert_true(o.seed_random);
	good("nonce=0123456789abcdefABCDEF0123456789");
	assert_string_equal(o.nonce, "0123456789abcdefABCDEF0123456789");
	good("tests=list");
	assert_string_equal(o.tests, "list");
	good("tests=a=b"); /* the first = counts */
	assert_string_equal(o.tests, "a=b");
}

/* Rule: of a repeated option the last good value wins; a bad one leaves the value before. */
static void test_last_wins(void **state)
{
	(void)state;
	good("seed=1 seed=random seed=2 tests=a ops=1 tests=b ops=2");
	assert_true(!o.seed_random && o.seed == 2);
	assert_string_equal(o.tests, "b");
	assert_true(o.ops == 2);
	good("seed=2 seed=random");
	assert_true(o.seed_random);
	bad("ops=7 ops=x", "options: bad value 'x' of option 'ops' ignored\n");
	assert_true(o.ops == 7);
	bad("exit=crash exit=", "options: bad value '' of option 'exit' ignored\n");
	assert_int_equal(o.exit, EXIT_CRASH);
}

/* Rule: what is not understood is named in one line, and changes nothing. */
static void test_warnings(void **state)
{
	/* Every form of a value that is refused, for every option that takes one. */
	static char words[] = "tests= after= nonce= nonce=g nonce=G nonce=0x12 nonce=1@ nonce=1/ "
			      "nonce=1: nonce=1` nonce=0123456789abcdef0123456789abcdef0 "
			      "shuffle= shuffle=1x shuffle=random seed= seed=-1 seed=Random "
			      "seed=18446744073709551616 ops= ops=1K repeat= repeat=0 repeat=two "
			      "mem= mem=0 mem=0K mem=M mem=64MB mem=16777216T oracle= oracle=END "
			      "oracle=endx exit= exit=halt exit=power";
	char says[200];

	(void)state;
	for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
		const char *equals = strchr(word, '=');

		libc_snprintf(says, sizeof(says),
			      "options: bad value '%s' of option '%.*s' ignored\n", equals + 1,
			      (int)(equals - word), word);
		bad(word, says);
		expect_defaults();
	}

	bad("foo", "options: unknown option 'foo' ignored\n");
	bad("foo=bar", "options: unknown option 'foo=bar' ignored\n");
	bad("=", "options: unknown option '=' ignored\n");
	bad("=bench", "options: unknown option '=bench' ignored\n");
	bad("Bench", "options: unknown option 'Bench' ignored\n");
	bad("benc", "options: unknown option 'benc' ignored\n");
	bad("benchx", "options: unknown option 'benchx' ignored\n");
	bad("''", "options: unknown option '' ignored\n");
	bad("tests", "options: option 'tests' without a value ignored\n");
	bad("mem", "options: option 'mem' without a value ignored\n");
	bad("bench=1", "options: option 'bench' takes no value, ignored\n");
	bad("sync=", "options: option 'sync' takes no value, ignored\n");
	expect_defaults();

	/* What stands around it counts. */
	assert_int_equal(parse("bench foo ops=3 ops= bar sync"), 3);
	assert_true(o.bench && o.sync && o.ops == 3);
}

/* Rule: quotes group, vanish, and each protects the other; one left open is said. */
static void test_quotes(void **state)
{
	(void)state;
	good("tests=\"a b\" ops=1");
	assert_string_equal(o.tests, "a b");
	assert_true(o.ops == 1);
	good("'tests=a b' ops=1");
	assert_string_equal(o.tests, "a b");
	assert_true(o.ops == 1);
	good("te\"sts=a b\"'  c'd \"ops\"=1");
	assert_string_equal(o.tests, "a b  cd");
	assert_true(o.ops == 1);
	good("tests=\"it's\" after='say \"x\"'");
	assert_string_equal(o.tests, "it's");
	assert_string_equal(o.after, "say \"x\"");
	good("\"bench\" 'sync'");
	assert_true(o.bench && o.sync);

	bad("tests=\"a ops=1", "options: a quote is not closed, taken to the line's end\n");
	assert_string_equal(o.tests, "a ops=1");
	assert_true(o.ops == 0);
	assert_int_equal(parse("'"), 2);
	bad("tests=\"\"", "options: bad value '' of option 'tests' ignored\n");
}

/*
 * Rule: no byte of the line can act on the console: a newline in tests= could forge a verdict. All
 * 255 bytes, in a value and in an unknown option.
 */
static void test_escapes(void **state)
{
	char line[32], says[80];

	(void)state;
	for (int c = 1; c < 256; c++) {
		bool printable = c >= 0x20 && c <= 0x7e;
		char shown[8], q = c == '"' ? '\'' : '"';

		libc_snprintf(shown, sizeof(shown), printable && c != '\\' ? "%c" : "\\x%02x", c);
		libc_snprintf(line, sizeof(line), "%ctests=a%cb%c", q, c, q);
		libc_snprintf(says, sizeof(says),
			      "options: bad value 'a%sb' of option 'tests' ignored\n", shown);
		if (printable)
			good(line);
		else
			bad(line, says);

		libc_snprintf(line, sizeof(line), "%cx%cy%c", q, c, q);
		libc_snprintf(says, sizeof(says), "options: unknown option 'x%sy' ignored\n",
			      shown);
		bad(line, says);
	}
}

/* Rule: a warning stays on one line of at most 126 bytes, however long the word is. */
static void test_long_words(void **state)
{
	char line[OPTIONS_LINE_MAX];

	(void)state;
	/* Up to 45 characters are certainly shown; of more than 48 the rest is dots. */
	for (size_t n = 1; n < sizeof(line); n++) {
		libc_memset(line, 'x', n);
		line[n] = '\0';
		assert_int_equal(parse(line), 1);
		assert_true(libc_strlen(host_console()) <= 126);
		if (n <= 45)
			assert_non_null(libc_strstr(host_console(), line));
		else if (n > 48)
			assert_non_null(libc_strstr(host_console(), "xxx...'"));

		libc_memset(line, '\x80', n);
		assert_int_equal(parse(line), 1);
		assert_true(libc_strlen(host_console()) <= 126);
		if (n > 20)
			assert_non_null(libc_strstr(host_console(), "\\x80...'"));
	}
	/* The longest line that can be, one value: 1023 characters and a NUL. */
	libc_memset(line, 'y', sizeof(line) - 1);
	libc_memcpy(line, "tests=", 6);
	line[sizeof(line) - 1] = '\0';
	good(line);
	assert_string_equal(o.tests, line + 6);
	libc_memcpy(line, "mem=12", 6);
	assert_int_equal(parse(line), 1);
	assert_true(libc_strlen(host_console()) <= 126);
}

/*
 * Rule: without a NUL the line ends at @cap, and nothing behind it is read. Its last word may have
 * lost its end, so it does not count: ops=1000 must not become ops=10.
 */
static void test_no_end(void **state)
{
	static const char line[] = "bench ops=1000 sync ";
	char *mem;

	(void)state;
	for (size_t cap = 0; cap < sizeof(line); cap++) {
		mem = fence_after(cap);
		libc_memcpy(mem, line, cap);
		host_console_reset();
		int warnings = options_parse(&o, mem, cap);
		bool in_word = cap > 0 && mem[cap - 1] != ' ';

		assert_int_equal(warnings, in_word);
		assert_int_equal(libc_strlen(host_console()) > 0, in_word);
		assert_int_equal(o.bench, cap >= 6);
		assert_true(o.ops == (cap >= 15 ? 1000 : 0));
		assert_int_equal(o.sync, cap >= 20);
		fence_free(mem, cap);
	}

	/* A quote that is still open has been cut as well. */
	mem = fence_after(10);
	libc_memcpy(mem, "tests=\"ab ", 10);
	host_console_reset();
	assert_int_equal(options_parse(&o, mem, 10), 1);
	EXPECT_CONSOLE("options: line has no end within 10 bytes, its last word ignored\n");
	assert_null(o.tests);
	fence_free(mem, 10);

	/* Of more than OPTIONS_LINE_MAX bytes the rest is not looked at. */
	mem = fence_after(OPTIONS_LINE_MAX);
	libc_memset(mem, ' ', OPTIONS_LINE_MAX);
	host_console_reset();
	assert_int_equal(options_parse(&o, mem, OPTIONS_LINE_MAX + 1), 0);
	assert_int_equal(options_parse(&o, mem, SIZE_MAX), 0);
	expect_defaults();
	libc_memcpy(mem + OPTIONS_LINE_MAX - 10, "bench sync", 10);
	assert_int_equal(options_parse(&o, mem, SIZE_MAX), 1);
	EXPECT_CONSOLE("options: line has no end within 1024 bytes, its last word ignored\n");
	assert_true(o.bench && !o.sync);
	fence_free(mem, OPTIONS_LINE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_each_option),
		cmocka_unit_test(test_last_wins),  cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_quotes),	   cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_long_words), cmocka_unit_test(test_no_end),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
