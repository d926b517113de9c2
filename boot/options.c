/* SPDX-License-Identifier: MIT */
/*
 * The kernel's command line; the language is described in options.h.
 *
 *   raw line, hostile  --copy-->  text[]  --next_word(), in place-->  words  --table-->  fields
 *
 * Quotes vanish while a word is cut off, so a word only ever shrinks, and text[] is all the memory
 * needed. Each option is a row of one table: its name, whether it takes a value, and the function
 * that checks the value and stores it.
 */
#include <pinion/boot/options.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/parse.h>
#include <pinion/lib/print.h>
#include <pinion/lib/string.h>

/* How much of a foreign word a warning shows, escaped: so its line stays below 126 bytes. */
#define SHOWN_MAX 48

/* Whether @c separates words. */
static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* @word with \xNN for what isn't printable ASCII and "..." for what doesn't fit into SHOWN_MAX. */
static const char *escape(char *buf, const char *word)
{
	static const char hex[] = "0123456789abcdef";
	char *p = buf;

	for (; *word; word++) {
		if (p + 4 > buf + SHOWN_MAX) {
			memcpy(p, "...", 3);
			p += 3;
			break;
		}
		if (*word >= 0x20 && *word <= 0x7e && *word != '\\') {
			*p++ = *word;
			continue;
		}
		*p++ = '\\';
		*p++ = 'x';
		*p++ = hex[(unsigned char)*word >> 4];
		*p++ = hex[*word & 15];
	}
	*p = '\0';
	return buf;
}

/*
 * The checks: 0 and the value is stored, or -EINVAL or -ERANGE and nothing is.
 *
 * A string may end up on the console, where a newline in it could forge a whole line: so it must
 * be printable ASCII throughout, and not empty.
 */
static int set_string(const char **field, const char *value)
{
	if (!*value)
		return -EINVAL;
	for (const char *p = value; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return -EINVAL;
	*field = value;
	return 0;
}

static int set_tests(struct boot_options *out, const char *value)
{
	return set_string(&out->tests, value);
}

static int set_after(struct boot_options *out, const char *value)
{
	return set_string(&out->after, value);
}

static int set_nonce(struct boot_options *out, const char *value)
{
	size_t n = 0;

	while ((value[n] >= '0' && value[n] <= '9') ||
	       ((value[n] | 0x20) >= 'a' && (value[n] | 0x20) <= 'f'))
		n++;
	if (value[n] || n == 0 || n > OPTIONS_NONCE_MAX)
		return -EINVAL;
	out->nonce = value;
	return 0;
}

static int set_shuffle(struct boot_options *out, const char *value)
{
	int rc = parse_u64(value, NULL, &out->shuffle_seed);

	if (!rc)
		out->shuffle = true;
	return rc;
}

static int set_seed(struct boot_options *out, const char *value)
{
	int rc;

	if (strcmp(value, "random") == 0) {
		out->seed_random = true;
		return 0;
	}
	rc = parse_u64(value, NULL, &out->seed);
	if (!rc)
		out->seed_random = false;
	return rc;
}

static int set_ops(struct boot_options *out, const char *value)
{
	return parse_u64(value, NULL, &out->ops);
}

static int set_repeat(struct boot_options *out, const char *value)
{
	uint64_t n;
	int rc = parse_u64(value, NULL, &n);

	if (!rc && n == 0)
		rc = -EINVAL;
	if (!rc)
		out->repeat = n;
	return rc;
}

static int set_mem(struct boot_options *out, const char *value)
{
	uint64_t bytes;
	int rc = parse_size(value, NULL, &bytes);

	if (!rc && bytes == 0)
		rc = -EINVAL;
	if (!rc)
		out->mem = bytes;
	return rc;
}

/* The index of @value among @n words, or -EINVAL. */
static int choice(const char *value, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(value, words[i]) == 0)
			return i;
	return -EINVAL;
}

static int set_oracle(struct boot_options *out, const char *value)
{
	static const char *const words[] = {
		[ORACLE_END] = "end",
		[ORACLE_EACH] = "each",
		[ORACLE_OFF] = "off",
	};
	int i = choice(value, words, ARRAY_SIZE(words));

	if (i < 0)
		return i;
	out->oracle = i;
	return 0;
}

static int set_exit(struct boot_options *out, const char *value)
{
	static const char *const words[] = {
		[EXIT_POWEROFF] = "poweroff",
		[EXIT_REBOOT] = "reboot",
		[EXIT_CRASH] = "crash",
		[EXIT_IDLE] = "idle",
	};
	int i = choice(value, words, ARRAY_SIZE(words));

	if (i < 0)
		return i;
	out->exit = i;
	return 0;
}

static int set_bench(struct boot_options *out, const char *value)
{
	(void)value;
	out->bench = true;
	return 0;
}

static int set_sync(struct boot_options *out, const char *value)
{
	(void)value;
	out->sync = true;
	return 0;
}

static int set_ptdump(struct boot_options *out, const char *value)
{
	(void)value;
	out->ptdump = true;
	return 0;
}

static int set_poison(struct boot_options *out, const char *value)
{
	(void)value;
	out->poison = true;
	return 0;
}

static const struct option {
	const char *name;
	bool has_value;
	int (*set)(struct boot_options *out, const char *value);
} options[] = {
	{ "tests", true, set_tests },	 { "after", true, set_after },
	{ "nonce", true, set_nonce },	 { "shuffle", true, set_shuffle },
	{ "seed", true, set_seed },	 { "ops", true, set_ops },
	{ "repeat", true, set_repeat },	 { "mem", true, set_mem },
	{ "oracle", true, set_oracle },	 { "exit", true, set_exit },
	{ "bench", false, set_bench },	 { "sync", false, set_sync },
	{ "poison", false, set_poison }, { "ptdump", false, set_ptdump },
};

/* One word, without its quotes. Returns the number of warnings: 0 or 1. */
static int take_word(struct boot_options *out, char *word)
{
	char shown[SHOWN_MAX + 4];
	char *equals = strchr(word, '=');
	const char *value = equals ? equals + 1 : "";

	if (equals)
		*equals = '\0';
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *option = &options[i];

		if (strcmp(word, option->name) != 0)
			continue;
		if (option->has_value && !equals)
			print("options: option '%s' without a value ignored\n", word);
		else if (!option->has_value && equals)
			print("options: option '%s' takes no value, ignored\n", word);
		else if (option->set(out, value))
			print("options: bad value '%s' of option '%s' ignored\n",
			      escape(shown, value), word);
		else
			return 0;
		return 1;
	}
	if (equals)
		*equals = '=';
	print("options: unknown option '%s' ignored\n", escape(shown, word));
	return 1;
}

/*
 * Cuts the first word off *@rest, removes its quotes and ends it in place; *@rest moves behind it.
 * NULL if there is none. *@open says whether a quote was still open at the end.
 */
static char *next_word(char **rest, bool *open)
{
	char *from = *rest, *word, *to;
	char quote = '\0';

	while (is_blank(*from))
		from++;
	if (!*from)
		return NULL;
	word = to = from;
	for (; *from && (quote || !is_blank(*from)); from++) {
		if (quote && *from == quote)
			quote = '\0';
		else if (!quote && (*from == '"' || *from == '\''))
			quote = *from;
		else
			*to++ = *from;
	}
	*open = quote != '\0';
	*rest = *from ? from + 1 : from;
	*to = '\0';
	return word;
}

int options_parse(struct boot_options *out, const char *line, size_t cap)
{
	char *rest = out->text, *word;
	bool endless, in_word, open;
	int warnings = 0;
	size_t len;

	memset(out, 0, sizeof(*out));
	out->nonce = "-";
	out->seed = OPTIONS_DEFAULT_SEED;
	out->repeat = 1;

	if (cap > OPTIONS_LINE_MAX)
		cap = OPTIONS_LINE_MAX;
	len = strnlen(line, cap);
	memcpy(out->text, line, len);
	out->text[len] = '\0';
	endless = len == cap;
	in_word = len && !is_blank(out->text[len - 1]);

	while ((word = next_word(&rest, &open))) {
		if (endless && !*rest && (in_word || open)) {
			print("options: line has no end within %zu bytes, its last word ignored\n",
			      cap);
			return warnings + 1;
		}
		if (open) {
			print("options: a quote is not closed, taken to the line's end\n");
			warnings++;
		}
		warnings += take_word(out, word);
	}
	return warnings;
}
