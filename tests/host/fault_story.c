/* SPDX-License-Identifier: MIT */
/*
 * Stories, played with every error (fault.h); fault_state.h says what is looked at behind each.
 */
#include "host.h"
#include <xen/xen.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/limits.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "../model/errnos.h"
#include "fault_state.h"

/*
 * Of more requests than this each is refused with one of its errors, in turn, instead of with each. Of still more some are
 * left out: never the first or the last of a call to Xen, or of the story.
 */
#define EACH_ERROR 40
#define EACH_CALL  200
#define SOME	   12

/* So many pages a story, of which the first are next to each other. */
#define TOUCHED 80

/* One run in the guest, and what came of it. */
struct run {
	const struct story *story;
	struct stage *stage;
	int rc;
	bool over; /* it panicked, as it may */
	struct fault_state state;
};

/* A story as it goes without errors. */
struct play {
	struct machine_snapshot *set;
	struct fault_state before, after, empty;
	unsigned int allocs, nr, releases; /* requests that fail like any; that insist */
	struct fault_call calls[FAULT_CALLS];
};

static struct machine_snapshot *booted;
static struct fault fault;

void fault_must(const char *file, int line, const char *what, int rc)
{
	fail_msg("%s:%d: %s is %d", file, line, what, rc);
}

static struct aspace_range stage_range(uint64_t at, uint64_t nr)
{
	return (struct aspace_range){ STAGE_VA + at * PAGE_SIZE, nr, NULL };
}

int stage_map(struct stage *s, uint64_t at, uint64_t nr, unsigned int from,
	      enum aspace_rights rights)
{
	struct aspace_range range = stage_range(at, nr);

	return aspace_map_block(&s->as, &range, pfn_add(s->block[0], from), rights);
}

int stage_unmap(struct stage *s, uint64_t at, uint64_t nr)
{
	struct aspace_range range = stage_range(at, nr);

	return aspace_unmap(&s->as, &range);
}

int stage_protect(struct stage *s, uint64_t at, uint64_t nr, enum aspace_rights rights)
{
	struct aspace_range range = stage_range(at, nr);

	return aspace_protect(&s->as, &range, rights);
}

int stage_destroy(struct stage *s)
{
	int rc = aspace_destroy(&s->as);

	if (!rc)
		s->as.l4 = INVALID_PFN;
	return rc;
}

/*
 * Everything in the guest; what else than returning ends it fails the test, with its last words. False: it panicked as
 * the story may.
 */
static bool in_guest(void (*fn)(void *), struct run *run, const char *what)
{
	enum machine_end end;

	machine_console_reset();
	end = machine_run(fn, run);
	if (end != MACHINE_RETURNED) {
		fault_arm(NULL);
		run->rc = -EIO;
		if (run->story && run->story->kernels && end == MACHINE_CRASH &&
		    libc_strstr(machine_console(), "can't be undone"))
			return false;
		fail_msg("%s: ended with %d: %s %.300s", what, (int)end, machine_why(),
			 machine_console());
	}
	return true;
}

static void look(void *arg)
{
	struct run *run = arg;

	fault_look(&run->state);
}

static const struct fault_state *state_now(struct run *run, const char *what)
{
	if (machine_stale())
		fail_msg("%s: %#lx is in the TLB still", what, machine_stale());
	in_guest(look, run, what);
	if (run->state.broken)
		fail_msg("%s: the audit finds %s", what, run->state.finding);
	machine_check();
	return &run->state;
}

static void set(void *arg)
{
	struct run *run = arg;
	pfn_t pfn;

	MUST(frame_alloc(1, OWNER_TEST, &pfn));
	run->stage = direct_va(pfn);
	static_assert(sizeof(*run->stage) <= 2 * PAGE_SIZE, "in the block");
	libc_memset(run->stage, 0, 2 * PAGE_SIZE);
	run->story->set(run->stage);
}

static void play(void *arg)
{
	struct run *run = arg;

	run->rc = run->story->play(run->stage);
}

static void strike(void *arg)
{
	struct run *run = arg;

	(void)mmu_batch_retry_quarantine();
	run->story->strike(run->stage);
	(void)mmu_batch_retry_quarantine();
}

static void retry(void *arg __maybe_unused)
{
	(void)mmu_batch_retry_quarantine();
}

/* Some of what the story has mapped is in the TLB: what is not flushed shows. */
static void touch(void *arg __maybe_unused)
{
	struct aspace_info info;
	unsigned int touched = 0;
	uint64_t va = STAGE_VA, word;

	if (aspace_current() == &kernel_aspace)
		return;
	while (va < STAGE_VA_END && touched < TOUCHED) {
		MUST(aspace_query(aspace_current(), va, &info));
		if (info.mapped && (touched < 8 || (va >> PAGE_SHIFT) % 16 == 5)) {
			MUST(guest_load(va, &word, sizeof(word), NULL));
			if (info.writable)
				MUST(guest_store(va, &word, sizeof(word), NULL));
			touched++;
		}
		va = (va | ((UINT64_C(1) << level_shift(info.level)) - 1)) + 1;
	}
}

/* Plays with what is armed. */
static int play_with(struct run *run, const char *what)
{
	in_guest(touch, run, what);
	fault_arm(&fault);
	run->over = !in_guest(play, run, what);
	fault_arm(NULL);
	return run->rc;
}

static void arm_plainly(int error)
{
	fault.alloc = fault.call = -1;
	fault.for_good = fault.alloc_for_good = false;
	fault.undos = 0;
	fault.undo_skip = 0;
	fault.error = error;
}

/* Struck, with what is in quarantine tried once more, there is as much as if nothing had been played. */
static void expect_nothing_lost(struct run *run, const struct play *p, const char *what)
{
	const struct fault_state *now;

	in_guest(strike, run, what);
	now = state_now(run, what);
	if (now->free != p->empty.free || now->quarantined || now->data != p->empty.data ||
	    now->in_tables != p->empty.in_tables)
		fail_msg("%s: %ld frames are lost, %lu in quarantine", what,
			 (long)(p->empty.free - now->free), now->quarantined);
}

/*
 * It has failed, or found another way. Then all is as before and it can be done again, or all is done; and nothing is
 * lost when the stage is struck.
 */
static void expect_unharmed(struct run *run, const struct play *p, int rc, const char *what)
{
	const struct fault_state *now;

	if (rc) {
		now = state_now(run, what);
		if (run->story->stays)
			fault_expect_remapped(&p->before, now, what);
		else
			fault_expect_same(&p->before, now, what);
		in_guest(play, run, what);
		if (run->rc)
			fail_msg("%s: tried again it fails with %d", what, run->rc);
	}
	now = state_now(run, what);
	if (rc && !run->story->stays && now->free != p->after.free)
		fail_msg("%s: tried again it takes %ld frames more", what,
			 (long)(p->after.free - now->free));
	fault_expect_done(&p->after, now, what);
	expect_nothing_lost(run, p, what);
}

static void fail_allocation(struct run *run, const struct play *p, unsigned int n, bool for_good)
{
	char what[160];

	machine_restore(p->set);
	arm_plainly(0);
	fault.alloc = (int)n;
	fault.alloc_for_good = for_good;
	libc_snprintf(what, sizeof(what), "%s, no memory at allocation %u%s", run->story->name, n,
		      for_good ? " and later" : "");
	play_with(run, what);
	if (run->rc && run->rc != -ENOMEM)
		fail_msg("%s: %d", what, run->rc);
	expect_unharmed(run, p, run->rc, what);
}

static void fail_allocations(struct run *run, const struct play *p)
{
	for (unsigned int n = 0; n < p->allocs; n++) {
		fail_allocation(run, p, n, false);
		fail_allocation(run, p, n, true);
	}
}

static void fail_call(struct run *run, const struct play *p, unsigned int n, int error)
{
	char what[160];

	libc_snprintf(what, sizeof(what), "%s, request %u is refused with %d", run->story->name, n,
		      error);
	machine_restore(p->set);
	arm_plainly(-error);
	fault.call = (int)n;
	play_with(run, what);
	if (run->rc != -error && run->rc != 0)
		fail_msg("%s: the operation returns %d", what, run->rc);
	expect_unharmed(run, p, run->rc, what);
}

/* Whether request @n is one of those that are refused. */
static bool is_chosen(const struct play *p, unsigned int n)
{
	return p->nr <= EACH_CALL || n + 4 >= p->nr || n % (p->nr / SOME) == 0 ||
	       p->calls[n].first || p->calls[n + 1].first;
}

static void fail_calls(struct run *run, const struct play *p)
{
	for (unsigned int n = 0; n < p->nr; n++) {
		const struct model_errnos *row =
			model_errnos(p->calls[n].call, p->calls[n].command);
		unsigned int errors = 0;

		while (errors < MODEL_ERRNOS && row->state[errors])
			errors++;
		for (unsigned int e = 0; e < errors && is_chosen(p, n); e++)
			if (p->nr <= EACH_ERROR || n < 4 || n + 4 >= p->nr || n % errors == e)
				fail_call(run, p, n, row->state[e]);
	}
}

/*
 * The first @times undos after @skip are refused, as armed. One that is refused once succeeds when it is tried again. Else the
 * result is -EIO, and every frame has its place; drained, all come back, but for what is mapped in the arena:
 * nobody can take that down.
 */
static void play_undo(struct run *run, const struct play *p, unsigned int skip, int times,
		      const char *what)
{
	const struct fault_state *now;
	bool transient;

	fault.undo_skip = skip;
	fault.undos = times;
	play_with(run, what);
	transient = times <= 1 || fault.nr_undos <= skip;
	if (transient && run->rc != fault.error && run->rc != 0)
		fail_msg("%s: %d, expected %d", what, run->rc, fault.error);
	if (transient || run->rc != -EIO) {
		if (run->rc != 0 && run->rc != fault.error)
			fail_msg("%s: %d, expected -EIO", what, run->rc);
		in_guest(retry, run, what);
		expect_unharmed(run, p, run->rc, what);
		return;
	}
	if (run->over)
		return;
	now = state_now(run, what);
	fault_expect_accounted(&p->before, now, what);
	if (!run->story->kernels)
		expect_nothing_lost(run, p, what);
}

/* Request @n is refused, with @for_good all after it too, and undos. */
static void fail_undo(struct run *run, const struct play *p, unsigned int n, bool for_good,
		      unsigned int skip, int times)
{
	char what[160];

	libc_snprintf(what, sizeof(what), "%s, request %u%s is refused, and %d undos after %u",
		      run->story->name, n, for_good ? " and later" : "", times, skip);
	machine_restore(p->set);
	arm_plainly(-EBUSY);
	fault.call = (int)n;
	fault.for_good = for_good;
	play_undo(run, p, skip, times, what);
}

/*
 * How many undos there are after request @n: then the first of them, the middle one, the last, each once, for good, and with all
 * after it.
 */
static void fail_undos_of(struct run *run, const struct play *p, unsigned int n, bool for_good)
{
	unsigned int nr, i;

	fail_undo(run, p, n, for_good, 0, 0);
	nr = fault.nr_undos;
	for (i = 0; i < 3 && i < nr; i++) {
		unsigned int skip = i == 0 ? 0 : i == 1 ? nr / 2 : nr - 1;

		fail_undo(run, p, n, for_good, skip, 1);
		fail_undo(run, p, n, for_good, skip, 2);
		fail_undo(run, p, n, for_good, skip, INT_MAX);
	}
}

/* What insists is no undo alone: it is refused in a story without other errors. */
static void fail_releases(struct run *run, const struct play *p)
{
	for (unsigned int i = 0; i < 3 && i < p->releases; i++) {
		unsigned int skip = i == 0 ? 0 : i == 1 ? p->releases / 2 : p->releases - 1;

		for (int times = 1; times < 3; times++) {
			char what[160];

			libc_snprintf(what, sizeof(what), "%s, release %u is refused %d times",
				      run->story->name, skip, times);
			machine_restore(p->set);
			arm_plainly(0);
			play_undo(run, p, skip, times, what);
		}
	}
}

static void fail_undos(struct run *run, const struct play *p)
{
	unsigned int at[] = { 0, p->nr / 2, p->nr - 1 };

	for (unsigned int n = 0; n < p->nr; n++)
		if (is_chosen(p, n))
			fail_undo(run, p, n, true, 0, 0);
	for (unsigned int i = 0; p->nr > 0 && i < ARRAY_SIZE(at); i++) {
		fail_undos_of(run, p, at[i], false);
		fail_undos_of(run, p, at[i], true);
	}
	fail_releases(run, p);
}

/* As it goes without errors. */
static void play_plainly(struct run *run, struct play *p)
{
	p->before = *state_now(run, "before");
	arm_plainly(0);
	if (play_with(run, "without errors"))
		fail_msg("without errors it returns %d", run->rc);
	p->allocs = fault.nr_allocs;
	p->nr = fault.nr_calls;
	p->releases = fault.nr_undos;
	assert_true(p->nr < ARRAY_SIZE(fault.calls));
	libc_memcpy(p->calls, fault.calls, sizeof(p->calls));
	p->after = *state_now(run, "after");
	in_guest(strike, run, "striking the stage");
	p->empty = *state_now(run, "after all");
	assert_int_equal(p->empty.quarantined, 0);
	print_message("# %s: %u allocations, %u requests, %u that insist\n", run->story->name,
		      p->allocs, p->nr, p->releases);
}

void story_test(void **state)
{
	static struct play p;
	static struct run run;

	run = (struct run){ .story = *state };
	machine_restore(booted);
	in_guest(set, &run, "setting the stage");
	p.set = machine_snapshot();
	play_plainly(&run, &p);
	fail_allocations(&run, &p);
	fail_calls(&run, &p);
	fail_undos(&run, &p);
	machine_restore(p.set);
	machine_snapshot_free(p.set);
}

static void audit_up(void *arg __maybe_unused)
{
	MUST(mm_audit_init());
}

static int group_open(bool dom0)
{
	struct machine_config config = {
		.dom0 = dom0, .nr_pages = FAULT_PAGES, .seed = 5, .cmdline = ""
	};

	assert_int_equal(machine_start(&config), 0);
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	assert_int_equal(machine_run(audit_up, NULL), MACHINE_RETURNED);
	booted = machine_snapshot();
	return 0;
}

int fault_group_open(void **state __maybe_unused)
{
	return group_open(false);
}

int fault_group_open_dom0(void **state __maybe_unused)
{
	return group_open(true);
}

int fault_group_close(void **state)
{
	(void)state;
	machine_snapshot_free(booted);
	machine_stop();
	return 0;
}
