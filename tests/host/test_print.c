/* SPDX-License-Identifier: MIT */
/*
 * lib/print: text on its way to the console.
 *
 * The console is the kernel's only voice. A piece lost or repeated between two buffers would be a
 * line that the rig reads wrong, or not at all.
 */
#include "host.h"
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>

/* Rule: a line that fits is one write: as dom0 one hypercall, which no other text can cut. */
static void test_one_write_a_line(void **state)
{
	char text[PRINT_BUFFER + 1];

	(void)state;
	host_console_reset();
	print("ok %d %s # SKIP %s\n", 7, "vga_text", "needs dom0");
	assert_string_equal(host_console(), "ok 7 vga_text # SKIP needs dom0\n");
	assert_int_equal(host_console_calls(), 1);

	libc_memset(text, 'x', PRINT_BUFFER);
	text[PRINT_BUFFER] = '\0';
	host_console_reset();
	print("%s", text);
	assert_string_equal(host_console(), text);
	assert_int_equal(host_console_calls(), 1);
}

/* Rule: nothing printed, nothing written. */
static void test_nothing(void **state)
{
	(void)state;
	host_console_reset();
	print("%s", "");
	assert_int_equal(host_console_calls(), 0);
}

/* Rule: longer text comes in pieces, complete, at every length up to three buffers and more. */
static void test_pieces(void **state)
{
	static char text[4 * PRINT_BUFFER], want[4 * PRINT_BUFFER + 64];

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = 'a' + i % 26;
	for (int n = 0; n < 3 * PRINT_BUFFER + 3; n++) {
		host_console_reset();
		print("%.*s|%*d|%08x", n, text, 20, n, n);
		libc_snprintf(want, sizeof(want), "%.*s|%*d|%08x", n, text, 20, n, n);
		assert_string_equal(host_console(), want);
		assert_int_equal(host_console_calls(),
				 (libc_strlen(want) + PRINT_BUFFER - 1) / PRINT_BUFFER);
	}
}

/* Rule: NUL bytes and 8-bit bytes pass. */
static void test_any_byte(void **state)
{
	(void)state;
	host_console_reset();
	print("a%cb%c", 0, 0xff);
	assert_int_equal(libc_memcmp(host_console(), "a\0b\xff", 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_write_a_line),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_any_byte),
	};

	return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
