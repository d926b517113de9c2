/* SPDX-License-Identifier: MIT */
/*
 * The way up under errors: whatever is refused before the kernel stands, it says so in one sentence and ends.
 *
 * Nothing can be undone then and nobody is there to try again; but a kernel that goes on, or dies in a fault of its
 * own, leaves a log that says nothing.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include "../model/errnos.h"
#include "fault.h"

static struct machine_snapshot *start_of_day;
static struct fault fault;

static enum machine_end boot(int alloc, int call, int error)
{
	enum machine_end end;

	machine_restore(start_of_day);
	machine_console_reset();
	fault.alloc = alloc;
	fault.call = call;
	fault.error = -error;
	fault_arm(&fault);
	end = machine_boot();
	fault_arm(NULL);
	return end;
}

/* The line that says why the kernel ends: the first of its crash report; NULL without one. */
static const char *reason(const char *text)
{
	const char *line =
		libc_strncmp(text, "panic: ", 7) == 0 ? text : libc_strstr(text, "\npanic: ");

	return line && *line == '\n' ? line + 1 : line;
}

/* It is a sentence of the kernel's about what it was doing, and no accident of its own. */
static bool is_sentence(const char *why)
{
	return libc_strncmp(why, "panic: cannot boot: ", 20) == 0 ||
	       libc_strstr(why, "Xen refuses");
}

static void expect_said(enum machine_end end, const char *what, unsigned int n, int error)
{
	const char *why = reason(machine_console());

	if (end == MACHINE_RETURNED)
		return;
	if (end == MACHINE_KILLED)
		fail_msg("%s %u (%d): the guest was killed: %s", what, n, error, machine_why());
	if (!why || !is_sentence(why))
		fail_msg("%s %u (%d): it says '%.100s'", what, n, error, why ? why : "nothing");
}

static void test_boot(void **state)
{
	struct machine_config config = { .dom0 = *state != NULL, .seed = 6, .cmdline = "" };
	static struct fault_call calls[FAULT_CALLS];
	unsigned int allocs, nr;

	assert_int_equal(machine_start(&config), 0);
	start_of_day = machine_snapshot();
	assert_int_equal(boot(-1, -1, 0), MACHINE_RETURNED);
	allocs = fault.nr_allocs;
	nr = fault.nr_calls;
	libc_memcpy(calls, fault.calls, sizeof(calls));
	print_message("# %u allocations, %u requests\n", allocs, nr);
	assert_true(nr <= FAULT_CALLS);
	for (unsigned int n = 0; n < allocs; n++)
		expect_said(boot((int)n, -1, 0), "allocation", n, ENOMEM);
	for (unsigned int n = 0; n < nr; n++) {
		const struct model_errnos *row = model_errnos(calls[n].call, calls[n].command);

		for (unsigned int e = 0; e < MODEL_ERRNOS && row->state[e]; e++)
			expect_said(boot(-1, (int)n, row->state[e]), "request", n, row->state[e]);
	}
	machine_snapshot_free(start_of_day);
	machine_stop();
}

int main(void)
{
	static bool dom0 = true;
	const struct CMUnitTest tests[] = {
		{ "domU", test_boot, NULL, NULL, NULL },
		{ "dom0", test_boot, NULL, NULL, &dom0 },
	};

	return cmocka_run_group_tests_name("fault_boot", tests, NULL, NULL);
}
