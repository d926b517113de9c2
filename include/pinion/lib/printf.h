/* SPDX-License-Identifier: MIT */
/*
 * Formatted text: C99's snprintf() without floating point, wide characters and %n.
 *
 *   %[flags][width][.precision][length]conversion
 *   flags       - + space # 0
 *   width       number or *        precision   number or *
 *   length      hh h l ll z t j    conversion  d i u x X o c s p %
 *
 * Where C leaves a choice: %p is 0x and lower-case hex digits, (nil) for NULL; %s of NULL is
 * "(null)", cut by a precision as any string; a conversion not listed above (%n and %f among them)
 * is printed as it stands and takes no argument.
 *
 * No allocation, no globals, about 200 bytes of stack: safe in the crash path, and wherever the
 * arguments can be read.
 */
#ifndef PINION_LIB_PRINTF_H
#define PINION_LIB_PRINTF_H

#include <stdarg.h>
#include <stddef.h>
#include <pinion/lib/compiler.h>

/**
 * snprintf(), vsnprintf() - format into a buffer
 * @buf: NULL is allowed if @size is 0
 * @size: bytes of @buf, the terminating NUL included; nothing is ever written beyond it
 *
 * Unless @size is 0 the result is terminated, cut where it does not fit.
 *
 * Return: the length of the whole text, without NUL, however much of it was stored (so >= @size
 * means that it was cut); -EOVERFLOW if it is beyond INT_MAX, or a width or precision is.
 */
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap) __printf(3, 0);

/*
 * Where formatted text goes: a buffer and what is done when it is full. With @flush it is handed
 * over and filled anew; without, what does not fit is dropped and only counted.
 */
struct format_out {
	char *buf;
	size_t size;  /* of buf, in bytes; at least 1 if there is a flush */
	size_t used;  /* bytes waiting in buf */
	size_t total; /* bytes of text so far, dropped ones included */
	void (*flush)(const char *s, size_t n);
};

/**
 * vformat() - the engine behind snprintf() and print()
 * @out: used and total are 0; is left holding the last out->used bytes, not flushed, without NUL
 *
 * Return: as vsnprintf().
 */
int vformat(struct format_out *out, const char *fmt, va_list ap) __printf(2, 0);

#endif
