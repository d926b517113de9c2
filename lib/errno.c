/* SPDX-License-Identifier: MIT */
/*
 * Names of error numbers, from the same list as the numbers: a table is Xen's header once more,
 * expanded to rows. Asked for in messages only, so a walk will do.
 */
#include <pinion/lib/compiler.h>
#include <pinion/lib/errno.h>

static const struct {
	int value;
	const char *name;
} names[] = {
#define XEN_ERRNO(name, value) { -(value), "-" #name },
#include <xen/errno.h>
};

const char *errno_name(int err)
{
	if (err == 0)
		return "0";
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].value == err)
			return names[i].name;
	return "-E?";
}
