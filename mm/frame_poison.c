/* SPDX-License-Identifier: MIT */
/*
 * Poison (see frame_alloc_set_poison() in <pinion/mm/frame_alloc.h>).
 *
 * The pattern is a word that no MFN, pointer or count looks like, mixed with the frame's number, so that a frame copied as
 * a whole over another one shows too. As an address it is not canonical: who follows one faults. As a page-table entry it
 * is not present.
 *
 * A free frame says by a flag whether it was filled: nothing has to be written when poison is switched on. The reserve's
 * frames can't say it; all of them are filled as long as poison is on.
 */
#include <pinion/lib/panic.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include "frame_poison.h"

#define PATTERN UINT64_C(0x5bad5bad00000000)
#define WORDS	(PAGE_SIZE / sizeof(uint64_t))

bool frame_poison_on;

bool frame_alloc_poison(void)
{
	return frame_poison_on;
}

static uint64_t pattern(uint64_t n)
{
	return PATTERN | (n << 1 & UINT32_MAX);
}

static bool is_filled(const struct frame *frame)
{
	return frame->kind == FRAME_FREE ? (frame->flags & FRAME_POISONED) != 0
					 : frame->owner == OWNER_RESERVE && frame_poison_on;
}

void frame_poison_fill(uint64_t n, uint64_t nr)
{
	uint64_t end = n + nr, value, i, *words;

	for (; frame_poison_on && n < end; n++) {
		words = direct_va(_pfn(n));
		value = pattern(n);
#pragma GCC unroll 16
		for (i = 0; i < WORDS; i++)
			words[i] = value;
		if (frame_table[n].kind == FRAME_FREE)
			frame_table[n].flags |= FRAME_POISONED;
	}
}

/* The first word of a frame that is not what was filled in. */
static __noreturn void report(uint64_t n)
{
	const uint64_t *words = direct_va(_pfn(n));
	uint64_t i = 0;

	while (i < WORDS - 1 && words[i] == pattern(n))
		i++;
	panic("pfn %#" PRI_pfn " was written at offset %#lx after it was freed: %#lx", n,
	      i * sizeof(uint64_t), words[i]);
}

void frame_poison_check(uint64_t n, uint64_t nr)
{
	uint64_t end = n + nr, value, changed, i;
	const uint64_t *words;

	for (; n < end; n++) {
		if (!is_filled(&frame_table[n]))
			continue;
		words = direct_va(_pfn(n));
		value = pattern(n);
		changed = 0;
#pragma GCC unroll 16
		for (i = 0; i < WORDS; i++)
			changed |= words[i] ^ value;
		if (unlikely(changed))
			report(n);
	}
}
