/* SPDX-License-Identifier: MIT */
/* Which tests run, and which can: the tests= option and a test's needs. */
#include "internal.h"
#include <pinion/lib/parse.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/xen/evtchn.h>

#define TERM_MAX 64

/* The next item of a list separated by @sep, copied to @term; NULL at the end. */
static const char *next_term(const char *list, char sep, char term[TERM_MAX])
{
	const char *end;
	size_t len;

	while (*list == sep)
		list++;
	if (!*list)
		return NULL;
	end = strchr(list, sep);
	len = end ? (size_t)(end - list) : strlen(list);
	strlcpy(term, list, len < TERM_MAX ? len + 1 : TERM_MAX);
	return list + len;
}

static bool term_match(const struct guest_test *test, const char *term)
{
	if (test->manual)
		return strcmp(term, test->name) == 0;
	if (*term == '@')
		return strcmp(term + 1, test->group) == 0;
	return glob_match(term, test->name);
}

bool select_match(const struct guest_test *test, const char *spec)
{
	bool takes_in = false, in = false, out = false;
	char term[TERM_MAX];

	if (test->bench != boot_info()->options.bench)
		return false;
	while (spec && (spec = next_term(spec, ',', term))) {
		if (*term == '-') {
			out |= term_match(test, term + 1);
		} else {
			takes_in = true;
			in |= term_match(test, term);
		}
	}
	if (!takes_in)
		in = !test->manual;
	return in && !out;
}

static int need_unmet(const char *need, char *why, size_t n)
{
	const struct boot_info *bi = boot_info();
	const char *end;
	uint64_t bytes;

	if (strcmp(need, "dom0") == 0 || strcmp(need, "domU") == 0) {
		if (bi->initdomain == (strcmp(need, "dom0") == 0))
			return 0;
		snprintf(why, n, "needs %s", need);
		return 1;
	}
	if (strcmp(need, "events") == 0) {
		if (evtchn_present())
			return 0;
		snprintf(why, n, "needs %s", need);
		return 1;
	}
	if (!str_starts(need, "mem>=") || parse_size(need + 5, &end, &bytes) || *end)
		return -EINVAL;
	if (bi->ram_pages >= frames_up(bytes))
		return 0;
	snprintf(why, n, "needs %s", need);
	return 1;
}

int needs_unmet(const struct guest_test *test, char *why, size_t n)
{
	const char *list = test->needs ? test->needs : "";
	char need[TERM_MAX];
	int rc = 0;

	*why = '\0';
	while (!rc && (list = next_term(list, ' ', need)))
		rc = need_unmet(need, why, n);
	return rc;
}
