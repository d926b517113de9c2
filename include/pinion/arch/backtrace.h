/* SPDX-License-Identifier: MIT */
/*
 * The way back up the stack by frame pointers, for crash reports: nothing it meets is believed.
 */
#ifndef PINION_ARCH_BACKTRACE_H
#define PINION_ARCH_BACKTRACE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Stores up to @max return addresses in @out, the innermost first, starting from the frame that
 * @rbp points to. Frames must be aligned, ascend, and be readable; the walk ends at the first that
 * is not. Returns how many were stored.
 */
size_t backtrace(uint64_t rbp, uint64_t *out, size_t max);

#endif
