/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps: searches and ranges, a word at a time.
 *
 * The one idea: the bits of a word that belong to [start, end) are a mask, and every function is a
 * walk over words that looks at `word & mask`. Only the first and the last mask are not all ones.
 */
#include <pinion/lib/bitmap.h>
#include <pinion/lib/panic.h>

/* The bits of word @w that lie in [start, end). => word w and the range have a bit in common */
static uint64_t word_mask(size_t w, size_t start, size_t end)
{
	uint64_t mask = ~UINT64_C(0);

	if (w == start / BITMAP_WORD_BITS)
		mask &= ~UINT64_C(0) << (start % BITMAP_WORD_BITS);
	if (w == end / BITMAP_WORD_BITS)
		mask &= ~(~UINT64_C(0) << (end % BITMAP_WORD_BITS));
	return mask;
}

void bitmap_set_range(uint64_t *map, size_t start, size_t count)
{
	size_t end = start + count;

	if (!count)
		return;
	for (size_t w = start / BITMAP_WORD_BITS; w < BITMAP_WORDS(end); w++)
		map[w] |= word_mask(w, start, end);
}

void bitmap_clear_range(uint64_t *map, size_t start, size_t count)
{
	size_t end = start + count;

	if (!count)
		return;
	for (size_t w = start / BITMAP_WORD_BITS; w < BITMAP_WORDS(end); w++)
		map[w] &= ~word_mask(w, start, end);
}

/*
 * Ones in a word: sums of 2, 4, then 8 bits side by side, the bytes added up by a multiplication.
 * The compiler's own would be a call into libgcc, for not every x86-64 CPU has POPCNT.
 */
static unsigned int popcount(uint64_t x)
{
	x -= x >> 1 & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return x * UINT64_C(0x0101010101010101) >> 56;
}

size_t bitmap_count(const uint64_t *map, size_t start, size_t count)
{
	size_t end = start + count, ones = 0;

	if (!count)
		return 0;
	for (size_t w = start / BITMAP_WORD_BITS; w < BITMAP_WORDS(end); w++)
		ones += popcount(map[w] & word_mask(w, start, end));
	return ones;
}

/* The first bit of [from, nbits) that is one after each word was xored with @flip. */
static size_t find(const uint64_t *map, size_t nbits, size_t from, uint64_t flip)
{
	if (from >= nbits)
		return nbits;
	for (size_t w = from / BITMAP_WORD_BITS; w < BITMAP_WORDS(nbits); w++) {
		uint64_t word = (map[w] ^ flip) & word_mask(w, from, nbits);

		if (word)
			return w * BITMAP_WORD_BITS + bitmap_lowest(word);
	}
	return nbits;
}

size_t bitmap_find_set(const uint64_t *map, size_t nbits, size_t from)
{
	return find(map, nbits, from, 0);
}

size_t bitmap_find_zero(const uint64_t *map, size_t nbits, size_t from)
{
	return find(map, nbits, from, ~UINT64_C(0));
}

size_t bitmap_find_zero_run(const uint64_t *map, size_t nbits, size_t from, size_t count,
			    size_t align)
{
	ASSERT(count > 0);
	ASSERT(align > 0 && (align & (align - 1)) == 0);

	/* Each round ends in success or goes on behind a one, so that no bit is looked at twice. */
	for (;;) {
		size_t start, one;

		from = bitmap_find_zero(map, nbits, from);
		start = (from + align - 1) & ~(align - 1);
		if (start >= nbits || count > nbits - start)
			return nbits;
		one = bitmap_find_set(map, start + count, start);
		if (one == start + count)
			return start;
		from = one;
	}
}
