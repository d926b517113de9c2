/* SPDX-License-Identifier: MIT */
/*
 * boot/options under random lines: hostile ones, after which everything must still be sane, and
 * well-formed ones, which must arrive exactly. test_options.c has the rules one by one.
 */
#include "host.h"
#include <pinion/boot/options.h>

static struct boot_options o;

/* Parses the @cap bytes at @line, which end at a fence. Returns the warnings. */
static int parse(const char *line, size_t cap)
{
	char *mem = fence_after(cap);
	int warnings;

	libc_memcpy(mem, line, cap);
	host_console_reset();
	libc_memset(&o, 0xa5, sizeof(o));
	warnings = options_parse(&o, mem, cap);
	fence_free(mem, cap);
	return warnings;
}

static bool is_inside_text(const char *s)
{
	return s >= o.text && s + libc_strlen(s) < o.text + sizeof(o.text);
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

/* What must hold after any line: bounded, printable, one line of console text for each warning. */
static void expect_sane(int warnings)
{
	const char *line = host_console(), *end;
	int lines = 0;

	for (; *line; line = end + 1, lines++) {
		for (end = line; *end != '\n'; end++)
			assert_true(*end >= 0x20 && *end <= 0x7e);
		assert_true(end - line < 126);
		assert_int_equal(libc_strncmp(line, "options: ", 9), 0);
	}
	assert_int_equal(lines, warnings);
	if (o.tests)
		assert_true(*o.tests && is_inside_text(o.tests) && is_printable(o.tests));
	if (o.after)
		assert_true(*o.after && is_inside_text(o.after) && is_printable(o.after));
	assert_true(libc_strlen(o.nonce) <= OPTIONS_NONCE_MAX && is_printable(o.nonce));
	assert_true(o.repeat > 0);
	assert_in_range(o.oracle, ORACLE_END, ORACLE_OFF);
	assert_in_range(o.exit, EXIT_POWEROFF, EXIT_IDLE);
}

/* Hostile lines: random bytes and pieces of real options, any length, with and without a NUL. */
static void test_hostile(void **state)
{
	static const char *const pieces[] = {
		"tests=", "after=",  "nonce=", "shuffle=", "seed=", "ops=",   "repeat=",
		"mem=",	  "oracle=", "exit=",  "bench",	   "sync",  "random", "each",
		"idle",	  "\"",	     "'",      " ",	   "=",	    "99",     "64M",
		"\n",	  "0x",	     "-",      "abc",	   "ptdump"
	};
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int round = 0; round < 20000; round++) {
		size_t cap = rng_below(&rng, rng_below(&rng, 8) ? 80 : OPTIONS_LINE_MAX + 1), n = 0;
		char mem[OPTIONS_LINE_MAX];

		while (n < cap) {
			const char *piece = pieces[rng_below(&rng, ARRAY_SIZE(pieces))];
			size_t len = libc_strlen(piece);

			if (rng_below(&rng, 5) == 0)
				mem[n++] = rng_next(&rng);
			else if (rng_below(&rng, 3) == 0)
				mem[n++] = ' ';
			else
				for (size_t i = 0; i < len && n < cap; i++)
					mem[n++] = piece[i];
		}
		if (cap && rng_below(&rng, 2))
			mem[cap - 1] = '\0';
		expect_sane(parse(mem, cap));
	}
}

/* Writes @word with random quotes around random parts of it. */
static char *quote(struct rng *rng, char *to, const char *word)
{
	char open = '\0';

	for (; *word; word++) {
		if (!open && (*word == ' ' || rng_below(rng, 5) == 0))
			*to++ = open = rng_below(rng, 2) ? '"' : '\'';
		*to++ = *word;
		if (open && rng_below(rng, 4) == 0) {
			*to++ = open;
			open = '\0';
		}
	}
	if (open)
		*to++ = open;
	return to;
}

/* Well-formed lines made from random options, in random order and quoting: each arrives exactly. */
static void test_round_trip(void **state)
{
	static const char *const names[] = { "*", "@mm", "p2m_edges,-slow", "a b", "list" };
	static const char *const oracles[] = { "end", "each", "off" };
	static const char *const exits[] = { "poweroff", "reboot", "crash", "idle" };
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int round = 0; round < 20000; round++) {
		struct boot_options want = { .nonce = "-",
					     .seed = OPTIONS_DEFAULT_SEED,
					     .repeat = 1 };
		char line[OPTIONS_LINE_MAX], *p = line, word[64];

		for (int words = rng_below(&rng, 12); words; words--) {
			uint64_t n = rng_next(&rng) >> rng_below(&rng, 64) | 1;
			const char *name = names[rng_below(&rng, ARRAY_SIZE(names))];
			const char *text = NULL;

#define NUMBER(field, format) \
	(want.field = n, libc_snprintf(word, sizeof(word), format, (unsigned long)n))
			switch (rng_below(&rng, 13)) {
			case 0:
				text = want.tests = name;
				libc_snprintf(word, sizeof(word), "tests=%s", text);
				break;
			case 1:
				text = want.after = name;
				libc_snprintf(word, sizeof(word), "after=%s", text);
				break;
			case 2:
				want.shuffle = true;
				NUMBER(shuffle_seed, "shuffle=%lu");
				break;
			case 3:
				want.seed_random = false;
				NUMBER(seed, "seed=0x%lx");
				break;
			case 4:
				want.seed_random = true;
				libc_snprintf(word, sizeof(word), "seed=random");
				break;
			case 5:
				NUMBER(ops, "ops=%lu");
				break;
			case 6:
				NUMBER(repeat, "repeat=%lu");
				break;
			case 7:
				n &= 0xffff;
				NUMBER(mem, "mem=%luM");
				want.mem <<= 20;
				break;
			case 8:
				want.oracle = rng_below(&rng, 3);
				libc_snprintf(word, sizeof(word), "oracle=%s",
					      oracles[want.oracle]);
				break;
			case 9:
				want.exit = rng_below(&rng, 4);
				libc_snprintf(word, sizeof(word), "exit=%s", exits[want.exit]);
				break;
			case 10:
				want.bench = true;
				libc_snprintf(word, sizeof(word), "bench");
				break;
			case 11:
				want.sync = true;
				libc_snprintf(word, sizeof(word), "sync");
				break;
			case 12:
				want.ptdump = true;
				libc_snprintf(word, sizeof(word), "ptdump");
				break;
			}
			p = quote(&rng, p, word);
			for (int blanks = 1 + rng_below(&rng, 2); blanks; blanks--)
				*p++ = " \t\n"[rng_below(&rng, 3)];
		}
		*p = '\0';
		assert_int_equal(parse(line, p - line + 1), 0);
		EXPECT_CONSOLE("");
		assert_int_equal(!o.tests, !want.tests);
		if (o.tests)
			assert_string_equal(o.tests, want.tests);
		assert_int_equal(!o.after, !want.after);
		if (o.after)
			assert_string_equal(o.after, want.after);
		assert_true(o.shuffle == want.shuffle && o.shuffle_seed == want.shuffle_seed);
		assert_true(o.seed_random == want.seed_random && o.seed == want.seed);
		assert_true(o.ops == want.ops && o.repeat == want.repeat && o.mem == want.mem);
		assert_true(o.oracle == want.oracle && o.exit == want.exit);
		assert_true(o.bench == want.bench && o.sync == want.sync);
		assert_true(o.ptdump == want.ptdump);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests_name("options_random", tests, NULL, NULL);
}
