/* SPDX-License-Identifier: MIT */
/*
 * Numbers from text that is not trusted.
 *
 * Both functions take what strtoul() would let pass as an error: no digits, a sign, leading blanks,
 * a value that does not fit. On an error nothing is stored.
 */
#ifndef PINION_LIB_PARSE_H
#define PINION_LIB_PARSE_H

#include <stdint.h>
#include <pinion/lib/compiler.h>

/**
 * parse_u64() - a number, decimal or (after 0x or 0X) hexadecimal
 * @s: text; leading zeros do not make it octal
 * @end: gets the first character after the number; NULL: the number must be all there is
 * @out: gets the value
 *
 * Return: 0; -EINVAL no digits (a bare 0x included), or text after them and no @end; -ERANGE beyond
 * 64 bits.
 */
int __must_check parse_u64(const char *s, const char **end, uint64_t *out);

/**
 * parse_size() - a number of bytes: parse_u64() and a unit
 * @s: the number and at most one of K M G T, in either case, "iB" after it or not: 64M, 64m and
 *     64MiB are 64 * 2^20. Without a unit it counts bytes.
 * @end, @out: as above
 *
 * Return: as above, -ERANGE also if the product is beyond 64 bits.
 */
int __must_check parse_size(const char *s, const char **end, uint64_t *out);

#endif
