/* SPDX-License-Identifier: MIT */
/*
 * Strings and blocks of memory: the C library's functions that a kernel needs, with C's meaning.
 *
 * memcpy(), memmove(), memset() and memcmp() must exist as symbols in any case, for the compiler
 * calls them by itself (structure copies, initialisers), freestanding or not.
 *
 * No function here allocates, keeps state or touches an SSE register: all are safe in the crash
 * path. None is safe on memory that may fault: for that there are probe_read() and probe_write().
 */
#ifndef PINION_LIB_STRING_H
#define PINION_LIB_STRING_H

#include <stdbool.h>
#include <stddef.h>

/* => memcpy: the two blocks do not overlap (memmove: they may) */
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
/* <0, 0, >0 by the first differing byte, compared as unsigned char; so do strcmp() and strncmp() */
int memcmp(const void *a, const void *b, size_t n);
/* The first byte equal to (unsigned char)@byte, or NULL. Reads nothing beyond it. */
void *memchr(const void *s, int byte, size_t n);

size_t strlen(const char *s);
/* strlen(@s), but at most @max, and s[max] is never read: for text that may lack its NUL */
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
/* First and last occurrence; the terminating NUL counts as part of the string */
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);

/**
 * strlcpy() - copy a string into a buffer of known size (BSD's meaning)
 * @dst: buffer of @size bytes
 * @src: NUL-terminated; read to its end even where it does not fit
 * @size: bytes of @dst; 0 writes nothing
 *
 * At most size - 1 bytes are copied and @dst is always terminated (unless @size is 0).
 *
 * Return: strlen(@src). It did not fit if that is >= @size.
 */
size_t strlcpy(char *dst, const char *src, size_t size);

/* Whether @s begins with @prefix (the empty prefix: always) */
bool str_starts(const char *s, const char *prefix);

/**
 * glob_match() - does a whole string match a pattern?
 * @pattern: '*' stands for any run of characters, none included, '?' for exactly one; all others
 *           stand for themselves, and there is no escape
 * @s: the string
 *
 * Takes about strlen(pattern) * strlen(s) steps at most, whatever the pattern (it may come from
 * outside), and no stack: after a mismatch only the *last* star is given one more character, for
 * whatever an earlier star could take in its place, the last one can take too.
 */
bool glob_match(const char *pattern, const char *s);

#endif
