/* SPDX-License-Identifier: MIT */
/*
 * What every test of the host lane needs: cmocka, the libc under other names, seeds, fenced memory,
 * panics and a captured console. The first include of a test; <errno.h> of the libc is left out,
 * for Pinion's own has the same names.
 */
#ifndef TESTS_HOST_HOST_H
#define TESTS_HOST_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void *(*const libc_memcpy)(void *, const void *, size_t) __attribute__((unused)) = memcpy;
static void *(*const libc_memmove)(void *, const void *, size_t) __attribute__((unused)) = memmove;
static void *(*const libc_memset)(void *, int, size_t) __attribute__((unused)) = memset;
static int (*const libc_memcmp)(const void *, const void *, size_t)
	__attribute__((unused)) = memcmp;
static size_t (*const libc_strlen)(const char *) __attribute__((unused)) = strlen;
static int (*const libc_strcmp)(const char *, const char *) __attribute__((unused)) = strcmp;
static int (*const libc_strncmp)(const char *, const char *, size_t)
	__attribute__((unused)) = strncmp;
static char *(*const libc_strstr)(const char *, const char *)__attribute__((unused)) = strstr;
static int (*const libc_snprintf)(char *, size_t, const char *, ...)
	__attribute__((unused)) = snprintf;

#include "rename.h"
#include <pinion/lib/compiler.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>

/*
 * Seeds @rng, from the environment's PINION_SEED or else a fixed number, and prints the seed: a run
 * that failed can be had again.
 */
void host_seed(struct rng *rng);

/*
 * @size bytes of memory with a page that faults right behind them (fence_after) or right before
 * them (fence_before), filled with 0xa5. What is read or written a byte too far ends the program:
 * also by inline assembly, which the sanitizers do not see. fence_free() takes either.
 */
void *fence_after(size_t size);
void *fence_before(size_t size);
void fence_free(void *mem, size_t size);

/*
 * Runs @statement and checks that it panics, with a message that contains @text.
 */
#define EXPECT_PANIC(statement, text)                                          \
	do {                                                                   \
		expect_assert_failure(statement);                              \
		assert_non_null(libc_strstr(global_last_failed_assert, text)); \
	} while (0)

/*
 * The console: what print() has written since the last reset, NUL-terminated, and in how many
 * calls. It is console.c's: a test that links the kernel's console driver uses none of these, and
 * gets the driver's console_write().
 */
void host_console_reset(void);
const char *host_console(void);
size_t host_console_calls(void);

/* All that was written since the last reset is @text. */
#define EXPECT_CONSOLE(text) assert_string_equal(host_console(), text)

#endif
