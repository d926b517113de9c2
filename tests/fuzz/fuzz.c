/* SPDX-License-Identifier: MIT */
/* Decoding, and the end of the program; see fuzz.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "fuzz.h"

const char *fuzz_input;
bool fuzz_verbose;

uint8_t fuzz_u8(struct fuzz *f)
{
	if (f->left == 0)
		return 0;
	f->left--;
	return *f->at++;
}

uint16_t fuzz_u16(struct fuzz *f)
{
	uint16_t low = fuzz_u8(f);

	return (uint16_t)(fuzz_u8(f) << 8 | low);
}

uint64_t fuzz_u64(struct fuzz *f)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 8)
		value |= (uint64_t)fuzz_u8(f) << shift;
	return value;
}

uint64_t fuzz_below(struct fuzz *f, uint64_t n)
{
	if (n <= 1)
		return 0;
	if (n <= 1 << 8)
		return fuzz_u8(f) % n;
	if (n <= 1 << 16)
		return fuzz_u16(f) % n;
	return fuzz_u64(f) % n;
}

uint64_t fuzz_number(struct fuzz *f)
{
	uint8_t form = fuzz_u8(f);
	uint64_t value;

	switch (form & 3) {
	case 0:
		return form >> 2;
	case 1:
		value = UINT64_C(1) << (form >> 2);
		break;
	case 2:
		value = (uint64_t)fuzz_u16(f) << 12;
		break;
	default:
		return fuzz_u64(f);
	}
	return value + (uint64_t)(int8_t)fuzz_u8(f);
}

void fuzz_say(const char *fmt, ...)
{
	va_list ap;

	if (!fuzz_verbose)
		return;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
}

void fuzz_abort(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "fuzz: %s:%d: ", file, line);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	if (fuzz_input)
		(void)fprintf(stderr, "fuzz: input %s\n", fuzz_input);
	abort();
}
