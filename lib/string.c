/* SPDX-License-Identifier: MIT */
/*
 * Strings and blocks of memory. See string.h for what each function promises.
 *
 * Two things make these unlike textbook loops:
 *
 *   - gcc knows the shape of a loop that copies, fills or counts and replaces it with a call of
 *     memmove(), memset() or strlen(), in the bodies of these very functions too, which would then
 *     call themselves for ever; -ffreestanding does not stop it. (clang leaves such loops alone
 *     under -ffreestanding.) An empty asm statement in the loop does, with any compiler and any
 *     flags. gcc's manual calls its pragma for single flags unfit for production.
 *   - Blocks move by `rep movs` and `rep stos`, eight bytes a step: one instruction moves a page,
 *     and the CPU's microcode knows better than a loop how.
 */
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/string.h>

/* Costs no instruction, and makes the loop that it stands in unlike any that gcc knows. */
#define NO_LIBRARY_CALL() __asm__ volatile("")

/* Eight bytes anywhere: unaligned, and whatever object they belong to. */
typedef uint64_t __may_alias __aligned(1) any_u64;

void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;
	size_t words = n / 8, rest = n % 8;

	/* The ABI promises DF = 0. Early clobber: @rest is read after the others have changed. */
	__asm__ volatile("rep movsq\n\t"
			 "mov %[rest], %%rcx\n\t"
			 "rep movsb"
			 : "+&D"(d), "+&S"(src), "+&c"(words)
			 : [rest] "r"(rest)
			 : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;

	/* Upwards, unless dst lies inside [src, src + n): there it would eat its own source. */
	if ((uintptr_t)d - (uintptr_t)s >= n)
		return memcpy(dst, src, n);

	/* Downwards by a loop: `std; rep movs` would run trap handlers with DF = 1, and is slow. */
	for (; n >= 8; n -= 8) {
		*(any_u64 *)(d + n - 8) = *(const any_u64 *)(s + n - 8);
		NO_LIBRARY_CALL();
	}
	while (n--) {
		d[n] = s[n];
		NO_LIBRARY_CALL();
	}
	return dst;
}

void *memset(void *dst, int byte, size_t n)
{
	void *d = dst;
	uint64_t pattern = (unsigned char)byte * UINT64_C(0x0101010101010101);
	size_t words = n / 8, rest = n % 8;

	__asm__ volatile("rep stosq\n\t"
			 "mov %[rest], %%rcx\n\t"
			 "rep stosb"
			 : "+&D"(d), "+&c"(words)
			 : "a"(pattern), [rest] "r"(rest)
			 : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n >= 8 && *(const any_u64 *)x == *(const any_u64 *)y; n -= 8) {
		x += 8;
		y += 8;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *s, int byte, size_t n)
{
	const unsigned char *p = s;

	for (; n; n--, p++)
		if (*p == (unsigned char)byte)
			return (void *)(uintptr_t)p;
	return NULL;
}

size_t strlen(const char *s)
{
	const char *end = s;

	while (*end) {
		end++;
		NO_LIBRARY_CALL();
	}
	return end - s;
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n]) {
		n++;
		NO_LIBRARY_CALL();
	}
	return n;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (!*a || *a != *b)
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++)
		if (!*s)
			return NULL;
	return (char *)(uintptr_t)s;
}

char *strrchr(const char *s, int c)
{
	const char *found = NULL;

	do
		if (*s == (char)c)
			found = s;
	while (*s++);
	return (char *)(uintptr_t)found;
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
	size_t len = strlen(src);

	if (size) {
		size_t n = len < size ? len : size - 1;

		memcpy(dst, src, n);
		dst[n] = '\0';
	}
	return len;
}

bool str_starts(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	return true;
}

bool glob_match(const char *pattern, const char *s)
{
	const char *after_star = NULL; /* the pattern after the last star seen ... */
	const char *tried = NULL;      /* ... and where in @s it was last tried */

	while (*s) {
		if (*pattern == '*') {
			after_star = ++pattern;
			tried = s;
		} else if (*pattern == '?' || *pattern == *s) {
			pattern++;
			s++;
		} else if (after_star) {
			pattern = after_star;
			s = ++tried;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
