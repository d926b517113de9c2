/* SPDX-License-Identifier: MIT */
/*
 * Running the suite and saying so in KTAP; the form is docs/console.md's.
 *
 * One KTAP document covers both phases: the plan is counted over all selected tests before the
 * first runs. A silent end would look like success to nobody: the rig wants the last line, and that
 * names the run.
 */
#include <stdarg.h>
#include <pinion/boot/hooks.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "internal.h"

#define TESTS_MAX 512

extern const struct guest_test *const __guest_tests_start[];
extern const struct guest_test *const __guest_tests_end[];

enum outcome { PASS, FAIL, ERROR };

static struct {
	const struct guest_test *running;
	enum outcome outcome;
	char reason[128];
	bool passed_after; /* option after=: its test has been passed by */
	bool audit_due;	   /* a test has run since the last audit */
	unsigned int number;
	unsigned int passed, failed, errors, skipped;
} suite;

static void say(const char *prefix, const char *fmt, va_list ap)
{
	char text[192];

	vsnprintf(text, sizeof(text), fmt, ap);
	print("# %s: %s%s\n", suite.running->name, prefix, text);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	char where[64];
	va_list ap;

	if (suite.outcome == PASS)
		suite.outcome = FAIL;
	snprintf(where, sizeof(where), "%s:%d: ", file, line);
	va_start(ap, fmt);
	say(where, fmt, ap);
	va_end(ap);
}

void test_error(const char *fmt, ...)
{
	va_list ap;

	suite.outcome = ERROR;
	va_start(ap, fmt);
	vsnprintf(suite.reason, sizeof(suite.reason), fmt, ap);
	va_end(ap);
}

void test_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void bench_report(const char *name, uint64_t total, uint64_t count, const char *unit)
{
	uint64_t hundredths = (total * 100 + count / 2) / count;

	print("bench %s %lu.%02lu %s\n", name, hundredths / 100, hundredths % 100, unit);
}

bool test_failed(void)
{
	return suite.outcome != PASS;
}

static size_t tests_total(void)
{
	return (size_t)(__guest_tests_end - __guest_tests_start);
}

/* The selected tests of @phase in the order in which they run. Returns how many. */
static size_t select_tests(enum test_phase phase, const struct guest_test **list)
{
	const struct boot_options *options = &boot_info()->options;
	const struct guest_test *swap;
	struct rng rng;
	size_t n = 0, i, j;

	for (i = 0; i < tests_total() && n < TESTS_MAX; i++)
		if (__guest_tests_start[i]->phase == phase &&
		    select_match(__guest_tests_start[i], options->tests))
			list[n++] = __guest_tests_start[i];
	if (!options->shuffle)
		return n;
	rng_seed(&rng, options->shuffle_seed);
	for (i = n; i > 1; i--) {
		j = rng_below(&rng, i);
		swap = list[i - 1];
		list[i - 1] = list[j];
		list[j] = swap;
	}
	return n;
}

/* after=NAME drops everything up to and with NAME, in the order in which the tests run. */
static bool dropped_by_after(const struct guest_test *test)
{
	const char *after = boot_info()->options.after;

	if (!after || suite.passed_after)
		return false;
	suite.passed_after = strcmp(after, test->name) == 0;
	return true;
}

/* The test itself, and what it left behind. */
static void run_and_look(const struct guest_test *test)
{
	struct leak_state before, after;
	bool sync = mmu_batch_sync();

	if (test->together)
		mmu_batch_set_sync(false);
	leak_read(&before);
	test->run();
	leak_read(&after);
	if (suite.outcome != ERROR &&
	    leak_found(&before, &after, suite.reason, sizeof(suite.reason)))
		suite.outcome = ERROR;
	leak_mend(&before);
	mmu_batch_set_sync(sync);
	suite.audit_due = true;
}

/* A benchmark measures the kernel, and the audit would only make it longer. */
static void audit(bool last, bool final)
{
	const char *name = suite.running->name;
	char reason[sizeof(suite.reason)];

	if (suite.running->bench)
		return;
	if (suite.audit_due && (last || audit_each())) {
		suite.audit_due = false;
		if (audit_found(name, reason, sizeof(reason)) && suite.outcome != ERROR)
			test_error("%s", reason);
	}
	if (suite.running->phase == TEST_MAIN &&
	    oracle_found(name, final, reason, sizeof(reason)) && suite.outcome != ERROR)
		test_error("%s", reason);
}

/* @last: the last of its group; @final: of the whole run. */
static void run_one(const struct guest_test *test, bool last, bool final)
{
	char why[64];
	int unmet;

	print("# run %s\n", test->name);
	suite.number++;
	suite.running = test;
	suite.outcome = PASS;
	unmet = needs_unmet(test, why, sizeof(why));
	if (unmet < 0)
		test_error("its needs '%s' make no sense", test->needs);
	else if (unmet == 0)
		run_and_look(test);
	audit(last, final);
	if (unmet > 0 && suite.outcome == PASS) {
		suite.skipped++;
		print("ok %u %s # SKIP %s\n", suite.number, test->name, why);
		return;
	}
	switch (suite.outcome) {
	case PASS:
		suite.passed++;
		print("ok %u %s\n", suite.number, test->name);
		break;
	case FAIL:
		suite.failed++;
		print("not ok %u %s\n", suite.number, test->name);
		break;
	case ERROR:
		suite.errors++;
		print("not ok %u %s # ERROR %s\n", suite.number, test->name, suite.reason);
		break;
	}
}

/* Runs a phase's tests, or with @count set only counts them. Returns how many those are. */
static size_t run_phase(enum test_phase phase, bool count)
{
	static const struct guest_test *list[TESTS_MAX];
	size_t n = select_tests(phase, list), ran = 0, i;
	uint64_t round;

	for (round = 0; round < boot_info()->options.repeat; round++) {
		for (i = 0; i < n; i++) {
			if (dropped_by_after(list[i]))
				continue;
			ran++;
			if (!count)
				run_one(list[i],
					i + 1 == n ||
						strcmp(list[i]->group, list[i + 1]->group) != 0,
					i + 1 == n && round + 1 == boot_info()->options.repeat);
		}
	}
	return ran;
}

static bool listing(void)
{
	const char *tests = boot_info()->options.tests;

	return tests && strcmp(tests, "list") == 0;
}

static void list_tests(void)
{
	const struct guest_test *test;
	size_t i;

	for (i = 0; i < tests_total(); i++) {
		test = __guest_tests_start[i];
		print("# test %s group=%s phase=%s needs=\"%s\"%s %s\n", test->name, test->group,
		      test->phase == TEST_EARLY ? "early" : "main", test->needs ? test->needs : "",
		      test->manual ? " manual" : "", test->story);
	}
}

static void run_early(void)
{
	const struct boot_options *options = &boot_info()->options;
	size_t plan = 0;

	if (!listing()) {
		plan = run_phase(TEST_EARLY, true);
		plan += run_phase(TEST_MAIN, true);
		suite.passed_after = false;
	}
	print("KTAP version 1\n1..%zu\n", plan);
	if (options->shuffle)
		print("# shuffle=%lu\n", options->shuffle_seed);
	if (plan == 0)
		print("# no test is selected%s%s\n", options->after ? " after " : "",
		      options->after ? options->after : "");
	if (plan > 0)
		run_phase(TEST_EARLY, false);
}

static const char *verdict(void)
{
	if (suite.errors)
		return "ERROR";
	if (suite.failed)
		return "FAILURE";
	return suite.passed ? "SUCCESS" : "SKIP";
}

static void run_main(void)
{
	audit_init();
	if (!boot_info()->options.bench && audit_each())
		frame_alloc_set_poison(true);
	if (listing())
		list_tests();
	else
		run_phase(TEST_MAIN, false);
	print("%u passed, %u failed, %u skipped\n", suite.passed, suite.failed + suite.errors,
	      suite.skipped);
	print("Test result: %s ", verdict());
	boot_print_identity();
}

BOOT_HOOK(suite_early, BOOT_EARLY, run_early);
BOOT_HOOK(suite_main, BOOT_MAIN, run_main);
