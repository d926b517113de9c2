/* SPDX-License-Identifier: MIT */
/*
 * What every fuzz target needs. A target is one function, LLVMFuzzerTestOneInput(), and lives in one file:
 *
 *     bytes --decode--> operations or hostile data --> the kernel's own source
 *                                |                            |
 *                                +--------> oracle ----> fuzz_check(the same)
 *
 * It is linked twice: with libFuzzer, which makes up the bytes (clang), and with replay.c, which takes them from the
 * files of tests/fuzz/corpus (any compiler, `make check-host`). So the outcome may depend on nothing but the bytes: a
 * target begins each input with fresh state, and knows no clock and no random numbers.
 *
 * Bytes are decoded by the functions below, never by a cast: each input means something, whatever its length, and one
 * byte changed changes one thing. Where the bytes end, zeros follow.
 *
 * What is wrong ends the program by abort(), after one line that says what; a panic() of the kernel is as wrong, for all
 * that a target feeds comes from outside (panic.c; and the host lane's own checks, behind hypercall.h and in the page
 * pool, abort as well).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>

/* The one function of a target, by libFuzzer's name and rules. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of an input. */
struct fuzz {
	const uint8_t *at;
	size_t left;
};

static inline struct fuzz fuzz_bytes(const uint8_t *data, size_t size)
{
	return (struct fuzz){ data, size };
}

uint8_t fuzz_u8(struct fuzz *f);
uint16_t fuzz_u16(struct fuzz *f);
uint64_t fuzz_u64(struct fuzz *f);

/* A number below @n, of as few bytes as it takes. => @n > 0 */
uint64_t fuzz_below(struct fuzz *f, uint64_t n);

/*
 * A number of the kind that breaks things. The first byte chooses: a small one, one near a power of two, one near a
 * multiple of 4096, or any.
 */
uint64_t fuzz_number(struct fuzz *f);

/* @what must be so; else the program says where and what (as printf), and aborts. */
#define fuzz_check(what, ...)                                        \
	do {                                                         \
		if (!(what))                                         \
			fuzz_abort(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

__noreturn void fuzz_abort(const char *file, int line, const char *fmt, ...) __printf(3, 4);

/* What happens, line by line, where somebody replays a single file to know; else nothing. */
void fuzz_say(const char *fmt, ...) __printf(1, 2);
extern bool fuzz_verbose;

/* The file that is being replayed, for the last words of a program that dies; NULL: none. */
extern const char *fuzz_input;

#endif
