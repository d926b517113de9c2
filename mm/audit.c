/* SPDX-License-Identifier: MIT */
/* The audit as a whole, and what is compared frame by frame; see <pinion/mm/audit.h>. */
#include <pinion/arch/probe.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/va_base.h>
#include "audit_internal.h"

static struct audit_note *notes;

const char *audit_fact_name(enum audit_fact fact)
{
	static const char *const names[AUDIT_FACTS] = {
		[AUDIT_LINK] = "an entry links no frame of ours",
		[AUDIT_NO_TABLE] = "kind of a linked frame",
		[AUDIT_LEVEL] = "level",
		[AUDIT_OFFLINE] = "offline, and linked by a live table",
		[AUDIT_LIVE] = "live entries",
		[AUDIT_PARENTS] = "parents",
		[AUDIT_LOST] = "a live table that nothing links or pins",
		[AUDIT_PIN] = "pin",
		[AUDIT_SLOT] = "a kernel slot of an L4",
		[AUDIT_KIND] = "kind",
		[AUDIT_OWNER] = "owner",
		[AUDIT_FLAGS] = "flags",
		[AUDIT_M2P] = "the M2P",
		[AUDIT_DIRECT_MFN] = "the direct map's frame",
		[AUDIT_DIRECT_RIGHTS] = "the direct map's rights",
		[AUDIT_TABLE_WRITABLE] = "a table that a leaf lets write",
		[AUDIT_WX] = "writable and executable",
		[AUDIT_PLAIN] = "plain frames of the run",
		[AUDIT_EXECS] = "executable leaves",
		[AUDIT_HOLDS] = "holds of a level's tables",
		[AUDIT_EXEC_FLAG] = "FRAME_EXEC is missing",
		[AUDIT_FOREIGN_FLAG] = "FRAME_FOREIGN is missing",
		[AUDIT_FREE_MAPPED] = "a free frame is mapped",
		[AUDIT_ALLOC] = "the allocator",
		[AUDIT_P2M] = "the P2M",
		[AUDIT_PMAP] = "a PMAP slot",
		[AUDIT_BOOT_ALLOC] = "the boot allocator",
	};

	return fact < AUDIT_FACTS ? names[fact] : "?";
}

void audit_describe(const struct audit_finding *f, char *text, size_t n)
{
	if (f->what)
		snprintf(text, n, "pfn %#" PRI_pfn ": %s: %s", pfn_x(f->pfn),
			 audit_fact_name(f->fact), f->what);
	else
		snprintf(text, n, "pfn %#" PRI_pfn ": %s: expected %#lx, found %#lx", pfn_x(f->pfn),
			 audit_fact_name(f->fact), f->expected, f->found);
}

static void add(struct audit_report *report, const struct audit_finding *finding)
{
	if (report->broken < AUDIT_FINDINGS)
		report->first[report->broken] = *finding;
	report->broken++;
}

void audit_broken(struct audit *a, enum audit_fact fact, pfn_t pfn, uint64_t expected,
		  uint64_t found)
{
	add(a->report,
	    &(struct audit_finding){ fact, .pfn = pfn, .expected = expected, .found = found });
}

/* What another's audit says: NULL if all is well. */
static void add_what(struct audit *a, enum audit_fact fact, pfn_t where, const char *what)
{
	if (what)
		add(a->report, &(struct audit_finding){ fact, .pfn = where, .what = what });
}

static void check_table(struct audit *a, pfn_t pfn, const struct frame *frame,
			const struct audit_note *note)
{
	bool offline = frame->flags & FRAME_OFFLINE;

	if (frame->flags & (FRAME_LEAVING | FRAME_QUEUED))
		audit_broken(a, AUDIT_FLAGS, pfn, 0, frame->flags);
	if (offline && (frame->flags & FRAME_PINNED))
		audit_broken(a, AUDIT_PIN, pfn, 0, FRAME_PINNED);
	if (note->level == 0 && frame->owner != OWNER_QUARANTINE)
		audit_broken(a, AUDIT_LOST, pfn, 0, frame->level);
	if (note->refs != frame->parents)
		audit_broken(a, AUDIT_PARENTS, pfn, note->refs, frame->parents);
}

static void check_data(struct audit *a, pfn_t pfn, const struct frame *frame,
		       const struct audit_note *note)
{
	if (frame->flags & FRAME_PINNED)
		audit_broken(a, AUDIT_PIN, pfn, 0, FRAME_PINNED);
	else if (frame->flags & ~(FRAME_PLAIN | FRAME_STUCK))
		audit_broken(a, AUDIT_FLAGS, pfn, FRAME_PLAIN, frame->flags);
	if (note->refs != frame->execs)
		audit_broken(a, AUDIT_EXECS, pfn, note->refs, frame->execs);
}

/* What Xen's table says of the frame that the P2M has for @pfn, without a detour through either. */
static uint64_t m2p_raw(uint64_t mfn)
{
	uint64_t pfn = INVALID_PFN_X;

	if (mfn >= M2P_MFNS ||
	    probe_load64((const void *)(M2P_BASE + mfn * sizeof(uint64_t)), &pfn))
		return INVALID_PFN_X;
	return pfn;
}

static void check_frame(struct audit *a, uint64_t n)
{
	const struct frame *frame = &frame_table[n];
	const struct audit_note *note = &a->notes[n];
	uint64_t entry = p2m_get(&kernel_p2m, _pfn(n));
	pfn_t pfn = _pfn(n);

	if ((entry < P2M_MFN_END) != (frame->kind != FRAME_NONE))
		audit_broken(a, AUDIT_KIND, pfn, entry < P2M_MFN_END, frame->kind);
	else if (frame->kind != FRAME_NONE && m2p_raw(entry) != n)
		audit_broken(a, AUDIT_M2P, pfn, n, m2p_raw(entry));
	if (note->rights == (NOTE_W | NOTE_X) && frame->kind != FRAME_TABLE)
		audit_broken(a, AUDIT_WX, pfn, 0, 1);
	switch (frame->kind) {
	case FRAME_NONE:
	case FRAME_FREE:
		break;
	case FRAME_DATA:
		check_data(a, pfn, frame, note);
		break;
	case FRAME_TABLE:
		check_table(a, pfn, frame, note);
		break;
	default:
		audit_broken(a, AUDIT_KIND, pfn, FRAME_DATA, frame->kind);
	}
	if (frame->kind > FRAME_FREE && frame->owner == OWNER_NONE)
		audit_broken(a, AUDIT_OWNER, pfn, OWNER_KERNEL, OWNER_NONE);
}

static void check_plain(struct audit *a)
{
	uint64_t n = 0, plain, first, end;

	while (n < frame_table_nr) {
		first = n;
		plain = 0;
		end = first + TABLE_ENTRIES < frame_table_nr ? first + TABLE_ENTRIES
							     : frame_table_nr;
		for (; n < end; n++)
			plain += (frame_word(&frame_table[n]) & FRAME_WORD_PLAIN) ==
				 FRAME_WORD_PLAIN;
		if (frame_plain[first / TABLE_ENTRIES] != plain)
			audit_broken(a, AUDIT_PLAIN, _pfn(first), plain,
				     frame_plain[first / TABLE_ENTRIES]);
	}
}

/* Whoever asks whether anything is executable at all looks at their number alone. */
static void check_exec_nr(struct audit *a)
{
	uint64_t n, executable = 0;

	for (n = 0; n < frame_table_nr; n++)
		executable += frame_table[n].kind == FRAME_DATA && frame_table[n].execs > 0;
	if (frame_exec_nr != executable)
		audit_broken(a, AUDIT_EXECS, INVALID_PFN, executable, frame_exec_nr);
}

/* A hold counts in a table of each level below the L4, and in its address space. */
static void check_holds(struct audit *a)
{
	uint64_t holds[4] = { 0 }, all = 0, n;
	const struct aspace *as;
	unsigned int level;

	for (as = aspace_first(); as; as = as->next)
		all += as->holds;
	for (n = 0; n < frame_table_nr; n++)
		if (frame_table[n].kind == FRAME_TABLE && frame_table[n].level < 4)
			holds[frame_table[n].level] += frame_table[n].holds;
	for (level = 1; level < 4; level++)
		if (holds[level] != all)
			audit_broken(a, AUDIT_HOLDS, INVALID_PFN, all, holds[level]);
}

/*
 * Aligned blocks, as all that the allocator gives out; what is too much of one goes back, in blocks.
 */
int mm_audit_init(void)
{
	uint64_t pages = frames_up(frame_table_nr * sizeof(struct audit_note)), n;
	unsigned int order = 0;
	pfn_t pfn;
	int rc;

	if (notes)
		return 0;
	while (UINT64_C(1) << order < pages)
		order++;
	rc = frame_alloc(order, OWNER_KERNEL, &pfn);
	if (rc)
		return rc;
	for (n = UINT64_C(1) << order; n > pages; n--)
		frame_free(pfn_add(pfn, n - 1), 0);
	notes = direct_va(pfn);
	return 0;
}

uint64_t mm_audit(const struct boot_info *bi, struct audit_report *report)
{
	struct audit a = { .bi = bi, .report = report, .notes = notes };
	const char *what;
	pfn_t where;
	uint64_t n;

	ASSERT(mmu_batch_depth() == 0);
	memset(report, 0, sizeof(*report));
	what = p2m_audit(&kernel_p2m, &where);
	add_what(&a, AUDIT_P2M, where, what);
	if (frame_table_nr == 0) {
		audit_early(&a);
		return report->broken;
	}
	ASSERT(notes != NULL);
	memset(notes, 0, frame_table_nr * sizeof(*notes));
	audit_tables(&a);
	for (n = 0; n < frame_table_nr; n++)
		check_frame(&a, n);
	check_plain(&a);
	check_exec_nr(&a);
	check_holds(&a);
	what = frame_alloc_audit(&where);
	add_what(&a, AUDIT_ALLOC, where, what);
	return report->broken;
}
