/* SPDX-License-Identifier: MIT */
/*
 * Text for the console.
 *
 *   print("domU, %u pages\n", n)  →  formatted on the stack, PRINT_BUFFER bytes at a time
 *                                 →  console_write()   xen/console.c, or a test's own
 *
 * A line of up to PRINT_BUFFER bytes reaches console_write() in one call; longer text comes in
 * several, with nothing lost between them.
 */
#ifndef PINION_LIB_PRINT_H
#define PINION_LIB_PRINT_H

#include <stdarg.h>
#include <stddef.h>
#include <pinion/lib/compiler.h>

#define PRINT_BUFFER 256

/* See printf.h for the formats. No newline is added. */
void print(const char *fmt, ...) __printf(1, 2);
void vprint(const char *fmt, va_list ap) __printf(1, 0);

/**
 * console_write() - the way out; defined by the console driver, not by lib/
 * @s: @n bytes, not terminated; any bytes
 */
void console_write(const char *s, size_t n);

#endif
