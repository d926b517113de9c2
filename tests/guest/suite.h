/* SPDX-License-Identifier: MIT */
/*
 * The in-guest suite: how a test is written.
 *
 *     TEST(exceptions, nested_fault,
 *          "a fault inside a trap handler is handled like any other",
 *          .phase = TEST_EARLY, .needs = "dom0 mem>=64M")
 *     {
 *             CHECK_EQ(rc, -ENOSYS);
 *     }
 *
 * That is all: the test is found by its linker section. Its one-line story says the rule; what
 * would go wrong without it, and where the rule comes from, stands in the comment above. A test
 * leaves everything as it found it: after each one the suite looks (leak.c), and what was left behind is
 * an error of that test.
 */
#ifndef PINION_TESTS_GUEST_SUITE_H
#define PINION_TESTS_GUEST_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/boot/boot_info.h>
#include <pinion/boot/crash.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>

enum test_phase {
	TEST_MAIN,  /* everything stands */
	TEST_EARLY, /* between phases 4 and 6 of the way up */
};

struct guest_test {
	const char *name;
	const char *group;
	const char *story;
	/* Blank-separated: dom0, domU, mem>=SIZE, events (there are event channels). What is not met skips the test. */
	const char *needs;
	enum test_phase phase;
	bool together; /* counts hypercalls, or switches sync mode itself: option sync does not hold for it */
	bool bench;  /* a benchmark: runs with option bench, and then nothing else does */
	bool manual; /* runs only if tests= names it exactly: it does harm on purpose */
	void (*run)(void);
};

/* gcc may emit the variables of a file in any order; tests run in the order of the file. */
#if __has_attribute(no_reorder)
#define IN_ORDER __attribute__((no_reorder))
#else
#define IN_ORDER
#endif

#define TEST(group_, name_, story_, ...)                                                        \
	static void test_##name_(void);                                                         \
	static const struct guest_test guest_test_##name_ = { .name = #name_,                   \
							      .group = #group_,                 \
							      .story = (story_),                \
							      .run = test_##name_,              \
							      ##__VA_ARGS__ };                  \
	static const struct guest_test *const guest_test_ptr_##name_ __used IN_ORDER __section( \
		".guest_tests." #group_) = &guest_test_##name_;                                 \
	static void test_##name_(void)

/* What a check found; the macros call these. Both go on with the test. */
void test_fail(const char *file, int line, const char *fmt, ...) __printf(3, 4);
/* The test could not be carried out: not its subject's fault. */
void test_error(const char *fmt, ...) __printf(1, 2);
/* A diagnostic line of the running test. */
void test_note(const char *fmt, ...) __printf(1, 2);

/* The figure of a benchmark: @total @unit for @count times the work, printed with one decimal. */
void bench_report(const char *name, uint64_t total, uint64_t count, const char *unit);

/* Whether the running test has failed so far. */
bool test_failed(void);

#define CHECK(cond)                                                 \
	({                                                          \
		bool ok_ = (cond);                                  \
		if (!ok_)                                           \
			test_fail(__FILE__, __LINE__, "%s", #cond); \
		ok_;                                                \
	})

/* Integers of any kind; printed as signed. */
#define CHECK_EQ(got, want)                                                                      \
	({                                                                                       \
		long got_ = (long)(got), want_ = (long)(want);                                   \
		if (got_ != want_)                                                               \
			test_fail(__FILE__, __LINE__, "%s: got %ld (%#lx), expected %ld (%#lx)", \
				  #got, got_, got_, want_, want_);                               \
		got_ == want_;                                                                   \
	})

/* As CHECK, but the test ends here if it fails: what follows would make no sense. */
#define REQUIRE(cond)             \
	do {                      \
		if (!CHECK(cond)) \
			return;   \
	} while (0)

/*
 * Runs @stmt and expects it to panic. Its value is the panic's message, or NULL (and the test has
 * failed) if it went through. Locals that @stmt changes are indeterminate afterwards.
 */
#define EXPECT_PANIC(stmt)                                                    \
	({                                                                    \
		static struct panic_catch catch_;                             \
		const char *volatile message_ = NULL;                         \
		if (arch_setjmp(catch_.where) == 0) {                         \
			panic_catch_arm(&catch_);                             \
			stmt;                                                 \
			panic_catch_arm(NULL);                                \
			test_fail(__FILE__, __LINE__, "%s: no panic", #stmt); \
		} else {                                                      \
			message_ = catch_.message;                            \
		}                                                             \
		message_;                                                     \
	})

#endif
