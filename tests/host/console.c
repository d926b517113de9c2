/* SPDX-License-Identifier: MIT */
/* The captured console; see host.h. */
#include "host.h"
#include <pinion/lib/print.h>

static char text[1 << 18];
static size_t used, calls;

void console_write(const char *s, size_t n)
{
	assert_true(n > 0); /* an empty call would be a hypercall for nothing */
	assert_true(n < sizeof(text) - used);
	libc_memcpy(text + used, s, n);
	used += n;
	calls++;
}

void host_console_reset(void)
{
	used = calls = 0;
}

const char *host_console(void)
{
	text[used] = '\0';
	return text;
}

size_t host_console_calls(void)
{
	return calls;
}
