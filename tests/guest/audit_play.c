/* SPDX-License-Identifier: MIT */
/* The playground of the tests of audit and oracle; see audit_play.h. */
#include <pinion/mm/p2m.h>
#include <pinion/xen/hypercall.h>
#include "audit_play.h"

struct play play;
struct audit_report play_report;

bool play_set_up(bool live)
{
	pfn_t table;
	unsigned int level;
	struct aspace_range r = { PLAY_VA, 1, NULL };

	if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &play.data), 0) ||
	    !CHECK_EQ(aspace_create(&play.as), 0) ||
	    (live && !CHECK_EQ(aspace_activate(&play.as), 0)) ||
	    !CHECK_EQ(aspace_map(&play.as, &r, &play.data, ASPACE_RW), 0))
		return false;
	for (table = play.as.l4, level = 4; level > 0; level--) {
		play.table[level] = table;
		if (level > 1)
			table = table_below(table_read(table, va_index(PLAY_VA, level)));
	}
	play.l1 = frame_at(play.table[1]);
	return true;
}

void play_tear_down(void)
{
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&play.as), 0);
	frame_free(play.data, 0);
}

/* One finding, of all that there are. */
void play_named(enum audit_fact fact, pfn_t pfn, uint64_t expected, uint64_t found)
{
	const struct audit_finding *f;
	char text[128];
	unsigned int i;

	for (i = 0; i < play_report.broken && i < AUDIT_FINDINGS; i++) {
		f = &play_report.first[i];
		if (f->fact == fact && pfn_eq(f->pfn, pfn) && f->expected == expected &&
		    f->found == found)
			return;
	}
	test_fail(__FILE__, __LINE__, "%s, pfn %#lx, %#lx for %#lx: not found",
		  audit_fact_name(fact), pfn_x(pfn), found, expected);
	for (i = 0; i < play_report.broken && i < AUDIT_FINDINGS; i++) {
		audit_describe(&play_report.first[i], text, sizeof(text));
		test_note("instead: %s", text);
	}
}

void play_broken(uint64_t facts)
{
	CHECK_EQ(mm_audit(boot_info(), &play_report), facts);
	CHECK_EQ(play_report.broken, facts);
}

/* The one thing that is wrong. */
void play_only(enum audit_fact fact, pfn_t pfn, uint64_t expected, uint64_t found)
{
	play_broken(1);
	play_named(fact, pfn, expected, found);
}

/* A leaf of the live tables, past everything that counts. */
void play_raw_leaf(uint64_t va, uint64_t value)
{
	CHECK_EQ(hypercall_update_va_mapping(va, value, UVMF_INVLPG), 0);
}

/* An entry of a live upper table, the same way. */
void play_raw_entry(pfn_t table, unsigned int index, uint64_t value)
{
	struct mmu_update request = {
		.ptr = maddr_x(mfn_to_maddr(pfn_to_mfn(table))) + index * sizeof(uint64_t),
		.val = value,
	};

	CHECK_EQ(hypercall_mmu_update(&request, 1, NULL, DOMID_SELF), 0);
}
