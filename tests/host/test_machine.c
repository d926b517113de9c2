/* SPDX-License-Identifier: MIT */
/* The machine itself (guest.h): the kernel comes up on it, faults are the guest's, snapshots bring all back. */
#include "host.h"
#include "guest.h"

static void boot(bool dom0)
{
	struct machine_config config = { .dom0 = dom0, .seed = 1, .cmdline = "" };

	assert_int_equal(machine_start(&config), 0);
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
}

static void test_boot(void **state)
{
	(void)state;
	boot(true);
	boot(false);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_boot) };

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
