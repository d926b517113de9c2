/* SPDX-License-Identifier: MIT */
/*
 * mm_audit() between the tests, and the oracle. It costs about 60 instructions a frame, so that it runs after each test of a guest of
 * up to 256 MiB, and of a larger one after each group.
 */
#include "internal.h"
#include <pinion/lib/panic.h>
#include <pinion/lib/printf.h>
#include <pinion/mm/audit.h>
#include "oracle.h"

#define EACH_MAX_PAGES ((UINT64_C(256) << 20) / PAGE_SIZE)

bool audit_each(void)
{
	return boot_info()->nr_pages <= EACH_MAX_PAGES;
}

void audit_init(void)
{
	if (mm_audit_init())
		panic("no memory for the audit");
}

static bool same(const struct audit_report *a, const struct audit_report *b)
{
	unsigned int i;

	for (i = 0; i < a->broken && i < AUDIT_FINDINGS; i++)
		if (a->first[i].fact != b->first[i].fact ||
		    !pfn_eq(a->first[i].pfn, b->first[i].pfn) ||
		    a->first[i].found != b->first[i].found)
			return false;
	return a->broken == b->broken;
}

bool audit_found(const char *test, char *what, size_t n)
{
	static struct audit_report last;
	struct audit_report report;
	char text[128];
	unsigned int i;

	if (mm_audit(boot_info(), &report) == 0 || same(&report, &last))
		return false;
	for (i = 0; i < report.broken && i < AUDIT_FINDINGS; i++) {
		audit_describe(&report.first[i], text, sizeof(text));
		print("# %s: audit: %s\n", test, text);
	}
	snprintf(what, n, "audit: facts broken: %lu", report.broken);
	last = report;
	return true;
}

#define ORACLE_FRAMES 256

bool oracle_found(const char *test, bool last, char *what, size_t n)
{
	const struct boot_options *options = &boot_info()->options;
	static struct oracle_report report;
	static struct rng rng;
	static bool seeded;
	unsigned int i;
	int rc;

	if (options->oracle == ORACLE_OFF || (options->oracle == ORACLE_END && !last))
		return false;
	if (!seeded)
		rng_seed(&rng, options->seed);
	seeded = true;
	rc = last ? oracle_ask_all(&report) : oracle_ask_some(&rng, ORACLE_FRAMES, &report);
	if (rc) {
		snprintf(what, n, "oracle: Xen could not be asked: %s", errno_name(rc));
		return true;
	}
	for (i = 0; i < report.lies && i < ORACLE_LIES; i++)
		print("# %s: oracle: pfn %#" PRI_pfn " is %s: expected %s, got %s\n", test,
		      pfn_x(report.first[i].pfn), report.first[i].claim,
		      errno_name((int)report.first[i].expected),
		      errno_name((int)report.first[i].answer));
	if (last)
		print("# oracle: seed %#lx, Xen was asked for %lu frames, %lu answers are wrong\n",
		      options->seed, report.asked, report.lies);
	snprintf(what, n, "oracle: wrong answers: %lu", report.lies);
	return report.lies > 0;
}
