/* SPDX-License-Identifier: MIT */
/* The command line, in the kernel's own build; tests/host goes through many more. */
#include <pinion/boot/options.h>
#include <pinion/lib/string.h>
#include "suite.h"

static struct boot_options parsed;

/* The line comes from whoever wrote the domain's configuration: junk is named and ignored. */
TEST(options, options_junk, "unknown words and bad values are ignored, the rest counts")
{
	static const char line[] =
		"junk seed=12x seed=7 =x ptdump=1 ops=\x01\xff nonce=xyz nonce=0aF9 repeat=0";

	CHECK(options_parse(&parsed, line, sizeof(line)) > 0);
	CHECK_EQ(parsed.seed, 7);
	CHECK_EQ(parsed.ops, 0);
	CHECK_EQ(parsed.repeat, 1);
	CHECK(!parsed.ptdump);
	CHECK(strcmp(parsed.nonce, "0aF9") == 0);
	CHECK_EQ(options_parse(&parsed, "", 1), 0);
	CHECK(parsed.tests == NULL && strcmp(parsed.nonce, "-") == 0);
	CHECK_EQ(parsed.exit, EXIT_POWEROFF);
}

/* Xen's limit is 1024 bytes with the NUL: 1023 characters are all there, an endless line is cut. */
TEST(options, options_length, "1023 characters are read to the last, an endless line to its end")
{
	static char line[OPTIONS_LINE_MAX];

	memset(line, ' ', sizeof(line));
	memcpy(line + sizeof(line) - 1 - 6, "seed=3", 6);
	line[sizeof(line) - 1] = '\0';
	CHECK_EQ(strlen(line), 1023);
	CHECK_EQ(options_parse(&parsed, line, sizeof(line)), 0);
	CHECK_EQ(parsed.seed, 3);
	/* No NUL at all: the last word may be cut, and is not believed. */
	memcpy(line + sizeof(line) - 6, "seed=4", 6);
	CHECK_EQ(options_parse(&parsed, line, sizeof(line)), 1);
	CHECK_EQ(parsed.seed, OPTIONS_DEFAULT_SEED);
}

TEST(options, options_quotes, "quotes group words and vanish")
{
	static const char line[] = "tests=\"a b\" 'after=c d' exit='crash' se\"ed=\"9 mem=3M";

	CHECK_EQ(options_parse(&parsed, line, sizeof(line)), 0);
	CHECK(strcmp(parsed.tests, "a b") == 0 && strcmp(parsed.after, "c d") == 0);
	CHECK_EQ(parsed.exit, EXIT_CRASH);
	CHECK_EQ(parsed.seed, 9);
	CHECK_EQ(parsed.mem, 3 << 20);
	CHECK_EQ(options_parse(&parsed, "'ptdump'", 9), 0);
	CHECK(parsed.ptdump);
}
