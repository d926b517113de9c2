/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps: arrays of 64-bit words, bit i being bit (i % 64) of word i / 64.
 *
 *   word 0                        word 1
 *   63 ............... 2 1 0      127 ............. 65 64
 *
 * The map does not know its length: functions that look for something take it in bits (@nbits), and
 * the bits of the last word from there on mean nothing to them. Every search answers @nbits for
 * "none", so `i < nbits` is the test, and so the loop below ends.
 */
#ifndef PINION_LIB_BITMAP_H
#define PINION_LIB_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITMAP_WORD_BITS    64
#define BITMAP_WORDS(nbits) (((nbits) + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS)
#define BITMAP(name, nbits) uint64_t name[BITMAP_WORDS(nbits)]

/* => i lies in the map (not checked: it isn't known here) */
static inline bool bitmap_test(const uint64_t *map, size_t i)
{
	return map[i / BITMAP_WORD_BITS] >> (i % BITMAP_WORD_BITS) & 1;
}

static inline void bitmap_set(uint64_t *map, size_t i)
{
	map[i / BITMAP_WORD_BITS] |= UINT64_C(1) << (i % BITMAP_WORD_BITS);
}

static inline void bitmap_clear(uint64_t *map, size_t i)
{
	map[i / BITMAP_WORD_BITS] &= ~(UINT64_C(1) << (i % BITMAP_WORD_BITS));
}

/*
 * The lowest one of a word. => there is one
 * The compiler's own __builtin_ctzl() is an int: around the one instruction that is meant it clears and widens
 * registers, and loops over page-table entries have some fifteen instructions in all.
 */
static inline uint64_t bitmap_lowest(uint64_t word)
{
	uint64_t i;

	__asm__("rep bsf %1, %0" : "=r"(i) : "rm"(word) : "cc");
	return i;
}

/* All bits of [start, start + count); a count of 0 changes nothing */
void bitmap_set_range(uint64_t *map, size_t start, size_t count);
void bitmap_clear_range(uint64_t *map, size_t start, size_t count);

/* The number of ones in [start, start + count) */
size_t bitmap_count(const uint64_t *map, size_t start, size_t count);

/* The first one (zero) at or after @from and below @nbits, or @nbits */
size_t bitmap_find_set(const uint64_t *map, size_t nbits, size_t from);
size_t bitmap_find_zero(const uint64_t *map, size_t nbits, size_t from);

/**
 * bitmap_find_zero_run() - the lowest aligned run of zeros
 * @map: the bitmap
 * @nbits: its length
 * @from: where to begin; need not be aligned
 * @count: zeros wanted, at least 1
 * @align: the run begins at a multiple of this; a power of two
 *
 * Return: the run's first bit, or @nbits.
 */
size_t bitmap_find_zero_run(const uint64_t *map, size_t nbits, size_t from, size_t count,
			    size_t align);

/* For each i in [0, nbits) whose bit is one, upwards; the body may clear it */
#define bitmap_for_each_set(i, map, nbits)                        \
	for ((i) = bitmap_find_set(map, nbits, 0); (i) < (nbits); \
	     (i) = bitmap_find_set(map, nbits, (i) + 1))

#endif
