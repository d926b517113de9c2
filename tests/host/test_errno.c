/* SPDX-License-Identifier: MIT */
/*
 * lib/errno against Xen's own constants.
 *
 * The kernel compares what hypercalls return with these numbers. They must be Xen's, which only
 * happen to be Linux's for the most part.
 */
#include "host.h"
#include <xen/errno.h> /* as is: the constants XEN_EPERM and so on */
#include <pinion/lib/errno.h>

static void test_values(void **state)
{
	static const struct {
		int ours, xens;
		const char *name;
	} rows[] = {
#define XEN_ERRNO(name, value) { name, XEN_##name, "-" #name },
#include <xen/errno.h>
	};

	(void)state;
	assert_true(ARRAY_SIZE(rows) > 40);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(rows[i].ours, rows[i].xens);
		if (rows[i].ours != XEN_EAGAIN && rows[i].ours != XEN_EDEADLK)
			assert_string_equal(errno_name(-rows[i].ours), rows[i].name);
	}
	/* The ABI, by number: three that the kernel meets most. */
	assert_int_equal(EINVAL, 22);
	assert_int_equal(ENOSYS, 38);
	assert_int_equal(EBUSY, 16);
}

/* Rule: errno.h. Any int may come in; of two names for a number the usual one goes out. */
static void test_names(void **state)
{
	(void)state;
	assert_string_equal(errno_name(0), "0");
	assert_string_equal(errno_name(-EINVAL), "-EINVAL");
	assert_string_equal(errno_name(-EAGAIN), "-EAGAIN");
	assert_string_equal(errno_name(-EDEADLOCK), "-EDEADLK");
	assert_string_equal(errno_name(EINVAL), "-E?");
	assert_string_equal(errno_name(-4095), "-E?");
	assert_string_equal(errno_name(-2147483647 - 1), "-E?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("errno", tests, NULL, NULL);
}
