/* SPDX-License-Identifier: MIT */
/* Text for the console; see print.h. */
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>

void vprint(const char *fmt, va_list ap)
{
	char buf[PRINT_BUFFER];
	struct format_out out = { .buf = buf, .size = sizeof(buf), .flush = console_write };

	vformat(&out, fmt, ap);
	if (out.used)
		console_write(buf, out.used);
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
}
