/* SPDX-License-Identifier: MIT */
/*
 * The kernel's command line.
 *
 *   tests=GLOB|@group|-NAME|list  after=NAME  shuffle=SEED  seed=N|random  ops=N  repeat=N  bench
 *   oracle=end|each|off  nonce=HEX  exit=poweroff|reboot|crash|idle  mem=SIZE  sync  poison  ptdump
 *
 * Words are separated by blanks. Double and single quotes group, and vanish: tests="a b",
 * 'tests=a b' and te"sts=a b" are the same word. Of a repeated option the last good value counts. A
 * word that is not understood is never fatal: print() names it in one line, and it is ignored.
 *
 * The line is start_info's cmd_line, so it is outside data: it may have any byte in it and no end.
 * No value that could put a control byte on the console is accepted.
 */
#ifndef PINION_BOOT_OPTIONS_H
#define PINION_BOOT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_LINE_MAX  1024 /* bytes of a command line, NUL included: Xen's MAX_GUEST_CMDLINE */
#define OPTIONS_NONCE_MAX 32   /* hex digits */

#define OPTIONS_DEFAULT_SEED UINT64_C(0x50696e696f6e) /* "Pinion" */

enum option_oracle { ORACLE_END, ORACLE_EACH, ORACLE_OFF };
enum option_exit { EXIT_POWEROFF, EXIT_REBOOT, EXIT_CRASH, EXIT_IDLE };

/* Strings point into @text: such a structure is never copied or moved. */
struct boot_options {
	const char *tests;	   /* which tests run; NULL: the default set */
	const char *after;	   /* run only what comes after this test; NULL: all */
	const char *nonce;	   /* 1 to 32 hex digits as given, or "-" */
	bool shuffle;		   /* shuffle the tests of a phase, ... */
	uint64_t shuffle_seed;	   /* ... by this; 0 without */
	bool bench;		   /* run the benchmarks; false */
	bool sync;		   /* mmu_batch flushes after each entry; false */
	bool ptdump;		   /* print the page tables once all stands; false */
	bool poison;		   /* freed frames are filled, and checked; false */
	enum option_oracle oracle; /* ORACLE_END */
	bool seed_random;	   /* seed=random: the caller makes a seed and says it; false */
	uint64_t seed;		   /* of random tests; OPTIONS_DEFAULT_SEED */
	uint64_t ops;		   /* operations of a random test; 0: the test's own number */
	uint64_t repeat;	   /* how often each test runs, at least 1; 1 */
	enum option_exit exit;	   /* what the kernel does at the end; EXIT_POWEROFF */
	uint64_t mem;		   /* bytes of RAM that the kernel uses at most; 0: no limit */

	char text[OPTIONS_LINE_MAX + 1];
};

/**
 * options_parse() - read a command line
 * @out: filled with the defaults and with what the line says; complete whatever the line was
 * @line: NUL-terminated or @cap bytes long; not needed afterwards
 * @cap: bytes at @line that may be read; of more than OPTIONS_LINE_MAX the rest is not looked at
 *
 * Where no NUL is found the last word may have been cut in its middle, and ops=10 is not ops=1000:
 * then that word is ignored too.
 *
 * Return: the number of warnings printed; 0 means that every word was understood.
 */
int options_parse(struct boot_options *out, const char *line, size_t cap);

#endif
