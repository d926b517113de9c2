/* SPDX-License-Identifier: MIT */
/* A panic of the kernel's, and a failed check of the host lane's, in a program that has no machine; see fuzz.h. */
#include "../host/host.h"
#include <pinion/lib/panic.h>
#include <pinion/lib/printf.h>
#include "fuzz.h"

void panic_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fuzz_abort(file, line, "panic: %s", text);
}

/* cmocka's checks outside of its tests would exit(): that libFuzzer could not tell from an end. */
__attribute__((constructor)) static void checks_abort(void)
{
	(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
}
