/* SPDX-License-Identifier: MIT */
/*
 * Limits of the basic types.
 *
 * gcc's own <limits.h> goes on to the libc's by #include_next, and a kernel built with -nostdinc
 * has none. The values come from the compiler's predefined macros; <stdint.h> has UINT64_MAX & co.
 */
#ifndef PINION_LIB_LIMITS_H
#define PINION_LIB_LIMITS_H

#ifndef CHAR_BIT
#define CHAR_BIT __CHAR_BIT__
#endif

#ifndef INT_MAX
#define INT_MAX	  __INT_MAX__
#define INT_MIN	  (-INT_MAX - 1)
#define UINT_MAX  (INT_MAX * 2U + 1U)
#define LONG_MAX  __LONG_MAX__
#define LONG_MIN  (-LONG_MAX - 1L)
#define ULONG_MAX (LONG_MAX * 2UL + 1UL)
#endif

#ifndef LLONG_MAX
#define LLONG_MAX  __LONG_LONG_MAX__
#define LLONG_MIN  (-LLONG_MAX - 1LL)
#define ULLONG_MAX (LLONG_MAX * 2ULL + 1ULL)
#endif

/* What 64-bit code takes for granted all over: one word is a pointer is a `long` (LP64). */
_Static_assert(CHAR_BIT == 8 && sizeof(int) == 4 && sizeof(long) == 8 && sizeof(void *) == 8,
	       "x86-64 LP64");

#endif
