/* SPDX-License-Identifier: MIT */
/*
 * What the model's copy of lib/ needs of its surroundings. The model and its copy are linked by themselves and show
 * nothing but the model's own names: the program has the kernel's lib/ too, in the image.
 */
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>

/* The libc's; and vm_machine.c's: the machine ends. */
long write(int fd, const void *bytes, size_t n);
__noreturn void abort(void);
__noreturn void vm_model_panic(const char *why);

void console_write(const char *s, size_t n)
{
	if (write(2, s, n) < 0)
		abort();
}

void panic_at(const char *file, int line, const char *fmt, ...)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%s:%d: ", file, line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	vm_model_panic(text);
}
