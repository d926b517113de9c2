/* SPDX-License-Identifier: MIT */
/* Poison, for the frame allocator; see frame_poison.c. */
#ifndef PINION_MM_FRAME_POISON_H
#define PINION_MM_FRAME_POISON_H

#include <stdbool.h>
#include <stdint.h>

extern bool frame_poison_on;

/* Fills the @nr frames from @n on, if poison is on. => they are writable in the direct map, and marked as what they are from now on */
void frame_poison_fill(uint64_t n, uint64_t nr);

/* Panics if one of them was filled and has been written since. */
void frame_poison_check(uint64_t n, uint64_t nr);

#endif
