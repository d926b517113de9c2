/* SPDX-License-Identifier: MIT */
/*
 * The kernel's command line of any bytes: options_parse().
 *
 *   u16        how many bytes may be read at the line (the capacity), modulo 1100; 0: as many as there are
 *   ...        the line
 *
 * The oracle reads the same language in another way. It cuts words off by copying, knows each option's kind from a table of
 * kinds, and numbers in 128 bits. Fields, warnings and what is printed must agree.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <pinion/boot/options.h>

typedef unsigned __int128 wide;

/* What the line must come to. Strings are copies; "" stands for NULL. */
static struct want {
	char tests[OPTIONS_LINE_MAX + 1], after[OPTIONS_LINE_MAX + 1], nonce[OPTIONS_LINE_MAX + 1];
	struct boot_options o; /* all but the strings and the text */
	int warnings;
} want;

static const char *const oracles[] = { "end", "each", "off", NULL };
static const char *const exits[] = { "poweroff", "reboot", "crash", "idle", NULL };

/* An option that takes no value, and one whose value is text, a word of a list, or a number. */
static const struct {
	const char *name;
	bool *flag;
	char *text;
	const char *const *words;
	uint64_t *number;
	bool size, positive; /* of the number: with a unit; not 0 */
} kinds[] = {
	{ "bench", .flag = &want.o.bench },
	{ "sync", .flag = &want.o.sync },
	{ "ptdump", .flag = &want.o.ptdump },
	{ "poison", .flag = &want.o.poison },
	{ "tests", .text = want.tests },
	{ "after", .text = want.after },
	{ "nonce", .text = want.nonce },
	{ "oracle", .words = oracles },
	{ "exit", .words = exits },
	{ "shuffle", .number = &want.o.shuffle_seed, .flag = &want.o.shuffle },
	{ "seed", .number = &want.o.seed },
	{ "ops", .number = &want.o.ops },
	{ "repeat", .number = &want.o.repeat, .positive = true },
	{ "mem", .number = &want.o.mem, .size = true, .positive = true },
};

/* The digit's value in base 16, or 16. The libc's own, for the "C" locale. */
static unsigned int digit(char c)
{
	const char *digits = "0123456789abcdefABCDEF", *at = c ? strchr(digits, c) : NULL;

	if (!at)
		return 16;
	return at - digits < 16 ? (unsigned int)(at - digits) : (unsigned int)(at - digits) - 6;
}

/* The whole of @s as a number, with a unit if @size. */
static bool number(const char *s, bool size, uint64_t *out)
{
	unsigned int base = s[0] == '0' && (s[1] == 'x' || s[1] == 'X') ? 16 : 10;
	wide value = 0, limit = (wide)1 << 64;
	const char *units = "KkMmGgTt", *unit;

	s += base == 16 ? 2 : 0;
	if (digit(*s) >= base)
		return false;
	for (; digit(*s) < base; s++)
		value = value < limit ? value * base + digit(*s) : limit;
	unit = size && *s ? strchr(units, *s) : NULL;
	for (int i = 0; unit && i <= (unit - units) / 2; i++)
		value = value < limit ? value << 10 : limit;
	s += unit ? 1 : 0;
	s += unit && strncmp(s, "iB", 2) == 0 ? 2 : 0;
	if (*s || value >= limit)
		return false;
	*out = (uint64_t)value;
	return true;
}

static bool all_from(const char *s, bool hex)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~' || (hex && digit(*s) == 16))
			return false;
	return true;
}

static bool take_text(unsigned int kind, const char *value)
{
	bool nonce = kinds[kind].text == want.nonce;

	if (!*value || !all_from(value, nonce) || (nonce && strlen(value) > OPTIONS_NONCE_MAX))
		return false;
	libc_memcpy(kinds[kind].text, value, libc_strlen(value) + 1);
	return true;
}

static bool take_choice(unsigned int kind, const char *value)
{
	for (unsigned int i = 0; kinds[kind].words[i]; i++) {
		if (libc_strcmp(kinds[kind].words[i], value) != 0)
			continue;
		if (kinds[kind].words == oracles)
			want.o.oracle = i;
		else
			want.o.exit = i;
		return true;
	}
	return false;
}

static bool take_number(unsigned int kind, const char *value)
{
	bool is_seed = kinds[kind].number == &want.o.seed;
	uint64_t n;

	if (is_seed && libc_strcmp(value, "random") == 0)
		return want.o.seed_random = true;
	if (!number(value, kinds[kind].size, &n) || (kinds[kind].positive && n == 0))
		return false;
	*kinds[kind].number = n;
	if (is_seed)
		want.o.seed_random = false;
	if (kinds[kind].flag)
		*kinds[kind].flag = true;
	return true;
}

/* A word without its quotes; false: it is worth a warning. */
static bool take(const char *word)
{
	const char *equals = libc_strstr(word, "=");
	size_t len = equals ? (size_t)(equals - word) : libc_strlen(word);

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (libc_strlen(kinds[i].name) != len ||
		    libc_strncmp(kinds[i].name, word, len) != 0)
			continue;
		if (kinds[i].number)
			return equals && take_number(i, equals + 1);
		if (kinds[i].text)
			return equals && take_text(i, equals + 1);
		if (kinds[i].words)
			return equals && take_choice(i, equals + 1);
		*kinds[i].flag |= !equals;
		return !equals;
	}
	return false;
}

static bool blank(char c)
{
	return c && strchr(" \t\n\v\f\r", c);
}

static size_t length(const char *line, size_t end)
{
	for (size_t len = 0; len < end; len++)
		if (!line[len])
			return len;
	return end;
}

/* Reads @line, @cap bytes or up to a NUL, word by word. */
static void read_line(const char *line, size_t cap)
{
	size_t end = cap < OPTIONS_LINE_MAX ? cap : OPTIONS_LINE_MAX, len = length(line, end),
	       at = 0;

	while (at < len) {
		char word[OPTIONS_LINE_MAX + 1], quote = '\0';
		size_t n = 0;

		for (; at < len && blank(line[at]); at++)
			;
		if (at == len)
			return;
		for (; at < len && (quote || !blank(line[at])); at++) {
			if (line[at] == quote)
				quote = '\0';
			else if (!quote && (line[at] == '"' || line[at] == '\''))
				quote = line[at];
			else
				word[n++] = line[at];
		}
		word[n] = '\0';
		/* The word runs into the end of what may be read: nobody knows where it ends. */
		if (at == len && len == end) {
			want.warnings++;
			return;
		}
		want.warnings += quote != '\0';
		want.warnings += !take(word);
	}
}

static void expect_line(const char *line, size_t cap)
{
	libc_memset(&want, 0, sizeof(want));
	libc_memcpy(want.nonce, "-", 2);
	want.o.seed = OPTIONS_DEFAULT_SEED;
	want.o.repeat = 1;
	read_line(line, cap);
}

static void check_text(const char *name, const char *is, const char *should)
{
	fuzz_check(libc_strcmp(is ? is : "", should) == 0, "%s is '%.200s', not '%.200s'", name,
		   is ? is : "", should);
}

static void check_number(const char *name, uint64_t is, uint64_t should)
{
	fuzz_check(is == should, "%s is %#lx, not %#lx", name, is, should);
}

static void check_options(const struct boot_options *o)
{
	check_text("tests", o->tests, want.tests);
	check_text("after", o->after, want.after);
	check_text("nonce", o->nonce, want.nonce);
	check_number("bench", o->bench, want.o.bench);
	check_number("sync", o->sync, want.o.sync);
	check_number("ptdump", o->ptdump, want.o.ptdump);
	check_number("poison", o->poison, want.o.poison);
	check_number("oracle", o->oracle, want.o.oracle);
	check_number("exit", o->exit, want.o.exit);
	check_number("shuffle", o->shuffle, want.o.shuffle);
	check_number("shuffle's seed", o->shuffle_seed, want.o.shuffle_seed);
	check_number("seed=random", o->seed_random, want.o.seed_random);
	check_number("seed", o->seed, want.o.seed);
	check_number("ops", o->ops, want.o.ops);
	check_number("repeat", o->repeat, want.o.repeat);
	check_number("mem", o->mem, want.o.mem);
}

/* A line for each warning, short enough for Xen's own console, with nothing in it that is not text. */
static void check_console(int warnings)
{
	const char *text = host_console();
	int lines = 0;

	while (*text) {
		const char *end = libc_strstr(text, "\n");

		fuzz_check(end && end - text < 126, "a warning that has no end within 126 bytes");
		fuzz_check(libc_strncmp(text, "options: ", 9) == 0, "a warning is '%.100s'", text);
		for (; text < end; text++)
			fuzz_check(*text >= ' ' && *text <= '~', "byte %#x in a warning", *text);
		text = end + 1;
		lines++;
	}
	fuzz_check(lines == warnings, "%d lines for %d warnings", lines, warnings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_options o;
	struct fuzz f = fuzz_bytes(data, size);
	size_t given = fuzz_u16(&f) % 1100, room = f.left + 1, cap = given ? given : room;
	int warnings;
	char *line;

	/* Memory that ends where nothing more may be read. */
	room = room < cap ? room : cap;
	line = calloc(room, 1);
	fuzz_check(line, "no memory");
	libc_memcpy(line, f.at, f.left < room ? f.left : room);
	host_console_reset();
	libc_memset(&o, 0xa5, sizeof(o));
	warnings = options_parse(&o, line, cap);
	expect_line(line, cap);
	fuzz_check(warnings == want.warnings, "%d warnings, not %d", warnings, want.warnings);
	check_options(&o);
	check_console(warnings);
	free(line);
	return 0;
}
