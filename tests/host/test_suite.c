/* SPDX-License-Identifier: MIT */
/*
 * The in-guest suite on the host: each TEST() of tests/guest starts from the same snapshot, where everything stands, or
 * where the early tests run. So each is by itself: one that crashes the guest, or leaves it in ruins, fails alone.
 *
 *     test_suite [PROFILE [GLOB...]]
 *
 * A profile is a kind of guest on a kind of machine, below; globs choose tests, those of the first glob first. What the suite says of a test that failed is
 * printed under its result. tests/host/skips names the tests that can't run here, with their reasons.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pinion/boot/boot_info.h>
#include <pinion/boot/hooks.h>
#include "../guest/suite.h"
#include "guest.h"

#define TESTS_MAX 512
#define SKIPS	  "tests/host/skips"

extern const struct guest_test *const __guest_tests_start[], *const __guest_tests_end[];

struct profile {
	const char *name;
	unsigned int
		above; /* only tests that need more than so many MiB: the others have run elsewhere */
	struct machine_config config;
};

/* The oracle asks Xen about every frame, after each test: one profile alone does it. */
static const struct profile profiles[] = {
	{ "domu", 0, { .l1tf = true, .seed = 1, .cmdline = "tests=-* oracle=off" } },
	{ "dom0", 0, { .dom0 = true, .seed = 2, .nr_pages = 8192, .cmdline = "tests=-*" } },
	{ "domu-large",
	  16,
	  { .seed = 3, .nr_pages = 24576, .cmdline = "tests=-* oracle=off ops=300" } },
	/* An aligned GiB, wherever it lies, and another one without it. */
	{ "domu-giant",
	  64,
	  { .seed = 4, .nr_pages = 655360, .cmdline = "tests=-* oracle=off ops=300" } },
};

/* A test of the suite, as it is in the pristine image. */
struct test {
	char name[64];
	enum test_phase phase;
};

static struct test tests[TESTS_MAX];
static size_t nr_tests;
static unsigned int failed;

/* In MiB; they all say it so. */
static unsigned long needed_memory(const struct guest_test *test)
{
	const char *needs = test->needs ? strstr(test->needs, "mem>=") : NULL;

	return needs ? strtoul(needs + strlen("mem>="), NULL, 10) : 0;
}

static bool collected(const char *name)
{
	for (size_t i = 0; i < nr_tests; i++)
		if (strcmp(tests[i].name, name) == 0)
			return true;
	return false;
}

/* Before there is a machine: then the image is the program's own. */
static void collect(const struct profile *profile, const char *glob)
{
	const struct guest_test *const *at;

	for (at = __guest_tests_start; at < __guest_tests_end; at++) {
		if ((*at)->bench || (*at)->manual || fnmatch(glob, (*at)->name, 0))
			continue;
		if ((profile->above && needed_memory(*at) <= profile->above) ||
		    collected((*at)->name))
			continue;
		if (nr_tests == TESTS_MAX)
			abort();
		snprintf(tests[nr_tests].name, sizeof(tests[0].name), "%s", (*at)->name);
		tests[nr_tests++].phase = (*at)->phase;
	}
}

/* The reason why @test can't run in @profile, from a line `profile-glob test reason`; NULL if there is none. */
static const char *skip_reason(const char *profile, const char *test)
{
	static char line[256];
	char lane[64], name[64];
	FILE *file = fopen(SKIPS, "r");
	int at = 0;

	if (!file) {
		printf("Bail out! no %s here\n", SKIPS);
		exit(1);
	}
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line == '#' || sscanf(line, "%63s %63s %n", lane, name, &at) != 2)
			continue;
		if (strcmp(name, test) == 0 && fnmatch(lane, profile, 0) == 0) {
			fclose(file);
			return line + at;
		}
	}
	fclose(file);
	return NULL;
}

/* In the guest: the suite's own way to run tests of a phase. */
static void run_phase(void *arg)
{
	const struct test *test = arg;
	struct boot_options *options = (struct boot_options *)&boot_info()->options;

	options->tests = test->name;
	boot_run_hooks(test->phase == TEST_EARLY ? BOOT_EARLY : BOOT_MAIN);
}

static void show_console(void)
{
	char *text = strdup(machine_console()), *line;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		printf("    %s\n", line);
	free(text);
}

static void run(size_t number, const struct test *test, const struct machine_snapshot *snap)
{
	static const char *const ends[] = { "returned", "powered off", "rebooted", "crashed",
					    "was killed" };
	enum machine_end end;
	const char *text;

	machine_restore(snap);
	machine_console_reset();
	end = machine_run(run_phase, (void *)(uintptr_t)test);
	if (end == MACHINE_RETURNED)
		machine_check();
	text = machine_console();
	if (end == MACHINE_RETURNED && strstr(text, "\nok 1 ")) {
		const char *skip = strstr(text, "# SKIP");

		printf("ok %zu %s%.*s\n", number, test->name, skip ? 60 : 0, skip ? skip - 1 : "");
		return;
	}
	failed++;
	printf("not ok %zu %s\n    the guest %s %s\n", number, test->name, ends[end],
	       machine_why());
	show_console();
}

static struct machine_snapshot *boot(const struct profile *profile, enum test_phase phase)
{
	enum machine_end end;

	if (machine_start(&profile->config)) {
		printf("Bail out! %s: no start of day\n", profile->name);
		exit(1);
	}
	end = phase == TEST_EARLY ? machine_boot_early() : machine_boot();
	if (end != MACHINE_RETURNED) {
		printf("Bail out! %s does not come up\n", profile->name);
		show_console();
		exit(1);
	}
	return machine_snapshot();
}

static bool has_any(enum test_phase phase)
{
	size_t i = 0;

	while (i < nr_tests && tests[i].phase != phase)
		i++;
	return i < nr_tests;
}

static void run_all(const struct profile *profile, enum test_phase phase, size_t *number)
{
	struct machine_snapshot *snap;

	if (!has_any(phase))
		return;
	snap = boot(profile, phase);
	for (size_t i = 0; i < nr_tests; i++) {
		const char *reason = skip_reason(profile->name, tests[i].name);

		if (tests[i].phase != phase)
			continue;
		++*number;
		if (reason)
			printf("ok %zu %s # SKIP %s\n", *number, tests[i].name, reason);
		else
			run(*number, &tests[i], snap);
		fflush(stdout);
	}
	machine_snapshot_free(snap);
	machine_stop();
}

int main(int argc, char **argv)
{
	const struct profile *profile = profiles;
	size_t number = 0;

	while (argc > 1 && strcmp(profile->name, argv[1]) != 0)
		if (++profile == profiles + ARRAY_SIZE(profiles))
			return 2;
	if (argc <= 2)
		collect(profile, "*");
	for (int i = 2; i < argc; i++)
		collect(profile, argv[i]);
	printf("1..%zu\n", nr_tests);
	run_all(profile, TEST_EARLY, &number);
	run_all(profile, TEST_MAIN, &number);
	return failed ? 1 : 0;
}
