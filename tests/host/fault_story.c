/* SPDX-License-Identifier: MIT */
/*
 * Stories, played with every error (fault.h).
 *
 * `As before` is not asked of the operation: it is seen. All entries of all tables but for A and D, the frame table,
 * the P2M and what is published of it, the allocator's count, the arena's areas, the model's own record of each
 * frame, and mm_audit() on top.
 */
#include "host.h"
#include <xen/xen.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "../model/errnos.h"
#include "fault.h"

/* Of more requests than this each is refused with one of its errors, in turn, instead of with each. */
#define EACH_ERROR 40

#define PAGES  8192
#define FRAMES (PAGES + 512) /* frames move out of holes to behind the last */

/* What Xen adds to entries when it first validates their table: it stays when that is a table no more. */
#define BY_XEN (PTE_US | PTE_GK | PTE_G)

struct state {
	uint64_t tables, p2m, machine;
	uint64_t frames[FRAMES]; /* each one's, by pfn */
	uint64_t mapped;	 /* what address spaces map, and how */
	uint64_t free, areas, quarantined;
	uint64_t broken; /* what the audit finds */
	char finding[160];
};

/* One run in the guest, and what came of it. */
struct run {
	const struct story *story;
	struct stage *stage;
	int rc;
	bool over; /* it panicked, as it may */
	struct state state;
};

/* A story as it goes without errors. */
struct play {
	struct machine_snapshot *set;
	struct state before, after, empty;
	struct fault_call calls[FAULT_CALLS];
};

static struct machine_snapshot *booted;
static struct fault fault;

void fault_must(const char *file, int line, const char *what, int rc)
{
	fail_msg("%s:%d: %s is %d", file, line, what, rc);
}

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum ^ sum >> 29;
}

static uint64_t mix_table(uint64_t sum, pfn_t pfn)
{
	struct model *m = machine_model();
	const uint64_t *table = m->ops->page(m, pfn_to_mfn(pfn));

	for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
		if (frame_at(pfn)->level < 4 || !l4_slot_is_xens(i))
			sum = mix(sum, table[i] & ~(PTE_AD | BY_XEN));
	return sum;
}

static void look_at_frames(struct state *state)
{
	uint64_t vmap = 0;

	for (uint64_t pfn = 0; pfn < pfn_x(frame_table_end()); pfn++) {
		const struct frame *frame = frame_at(_pfn(pfn));

		state->p2m = mix(state->p2m, p2m_get(&kernel_p2m, _pfn(pfn)));
		if (!frame || frame->kind == FRAME_FREE || frame->owner == OWNER_RESERVE)
			continue;
		state->quarantined += frame->owner == OWNER_QUARANTINE;
		vmap += frame->owner == OWNER_VMAP;
		/* that a table has had executable entries is a hint, which may stay */
		state->frames[pfn] = (frame_word(frame) &
				      ~(frame->kind == FRAME_TABLE ? FRAME_EXEC << 24 : 0U)) |
				     (uint64_t)frame->live << 48 | (uint64_t)frame->parents << 32;
		/* of both meanings of these words, `execs` and `holds` come first */
		state->frames[pfn] ^= (uint64_t)frame->holds << 40;
		if (frame->kind == FRAME_TABLE)
			state->tables = mix_table(state->tables, _pfn(pfn));
	}
	if (vmap > vmap_pages())
		fail_msg("%lu frames are the arena's, of no area", vmap - vmap_pages());
}

static void look_at_machine(struct state *state)
{
	const struct model *m = machine_model();

	for (uint64_t i = 0; i < m->nr_frames; i++) {
		const struct model_frame *f = &m->frame[i];
		uint64_t type = f->type_count ? f->type : 0;

		state->machine = mix(state->machine, (uint64_t)f->count << 32 | f->type_count);
		state->machine = mix(state->machine,
				     (uint64_t)f->owner << 32 | type << 8 | (uint64_t)f->pinned);
		if (f->owner == MODEL_GUEST)
			state->machine = mix(state->machine, m->m2p[i]);
	}
	state->machine = mix(state->machine, mfn_x(m->l4));
}

/* Pages of the user's half that stories map, and how: whatever the tables are that do it. */
static uint64_t look_at_mappings(void)
{
	struct aspace_info info;
	uint64_t sum = 0;

	for (const struct aspace *as = aspace_first(); as; as = as->next)
		for (uint64_t va = STAGE_VA; as != &kernel_aspace && va < STAGE_VA_END;) {
			MUST(aspace_query(as, va, &info));
			if (info.mapped)
				sum = mix(sum, mix(va, mfn_x(info.mfn) << 4 | info.writable << 1 |
							       info.executable));
			va = (va | ((UINT64_C(1) << level_shift(info.level)) - 1)) + 1;
		}
	return sum;
}

/* In the guest. */
static void look(void *arg)
{
	struct run *run = arg;
	struct state *state = &run->state;
	struct audit_report report;
	const char *wrong;
	pfn_t where;

	*state = (struct state){ .free = frame_alloc_free() + frame_alloc_reserve() };
	look_at_frames(state);
	look_at_machine(state);
	state->mapped = look_at_mappings();
	for (uint64_t pfn = pfn_x(frame_table_end()); pfn < 4 * pfn_x(frame_table_end()); pfn++)
		state->p2m = mix(state->p2m, p2m_get(&kernel_p2m, _pfn(pfn)));
	for (uint64_t pfn = STAGE_PFN - FRAMES; pfn < STAGE_PFN + FRAMES; pfn++)
		state->p2m = mix(state->p2m, p2m_get(&kernel_p2m, _pfn(pfn)));
	state->p2m = mix(state->p2m, kernel_p2m.pages << 32 | kernel_p2m.max_pfn);
	state->p2m = mix(state->p2m, kernel_p2m.shared ? kernel_p2m.shared->arch.max_pfn : 0);
	state->areas = mix(vmap_areas(), vmap_pages());
	for (const struct aspace *as = aspace_first(); as; as = as->next)
		state->areas = mix(state->areas, pfn_x(as->l4) + ((uint64_t)as->holds << 32));
	state->broken = mm_audit(boot_info(), &report);
	if (state->broken)
		audit_describe(&report.first[0], state->finding, sizeof(state->finding));
	wrong = frame_alloc_audit(&where);
	if (!wrong)
		wrong = p2m_audit(&kernel_p2m, &where);
	if (wrong) {
		state->broken++;
		libc_snprintf(state->finding, sizeof(state->finding), "%s", wrong);
	}
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

static struct state state_now(struct run *run, const char *what)
{
	in_guest(look, run, what);
	if (run->state.broken)
		fail_msg("%s: the audit finds %s", what, run->state.finding);
	machine_check();
	return run->state;
}

static void expect_same_frames(const struct state *a, const struct state *b, const char *what)
{
	for (size_t i = 0; i < FRAMES; i++)
		if (a->frames[i] != b->frames[i])
			fail_msg("%s: frame %#zx is %#lx, was %#lx", what, i, b->frames[i],
				 a->frames[i]);
}

#define SAME(a, b, part, what)                                  \
	do {                                                    \
		if ((a)->part != (b)->part)                     \
			fail_msg("%s: " #part " differ", what); \
	} while (0)

static void expect_same(const struct state *a, const struct state *b, const char *what)
{
	SAME(a, b, free, what);
	SAME(a, b, quarantined, what);
	SAME(a, b, p2m, what);
	expect_same_frames(a, b, what);
	SAME(a, b, mapped, what);
	SAME(a, b, tables, what);
	SAME(a, b, machine, what);
	SAME(a, b, areas, what);
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

/* Plays with what is armed. */
static int play_with(struct run *run, const char *what)
{
	fault_arm(&fault);
	run->over = !in_guest(play, run, what);
	fault_arm(NULL);
	return run->rc;
}

static void arm_plainly(int error)
{
	fault.alloc = fault.call = -1;
	fault.for_good = false;
	fault.undos = 0;
	fault.undo_skip = 0;
	fault.error = error;
}

/*
 * It has failed, or found another way. Then all is as before and it can be done again, or all is done; and nothing is
 * lost when the stage is struck.
 */
static void expect_unharmed(struct run *run, const struct play *p, int rc, const char *what)
{
	struct state now;

	if (rc) {
		now = state_now(run, what);
		if (run->story->stays)
			SAME(&p->before, &now, mapped, what);
		else
			expect_same(&p->before, &now, what);
		in_guest(play, run, what);
		if (run->rc)
			fail_msg("%s: tried again it fails with %d", what, run->rc);
	}
	now = state_now(run, what);
	SAME(&p->after, &now, mapped, what);
	SAME(&p->after, &now, p2m, what);
	in_guest(strike, run, what);
	now = state_now(run, what);
	if (now.free != p->empty.free || now.quarantined)
		fail_msg("%s: %lu frames are lost, %lu in quarantine", what,
			 p->empty.free - now.free, now.quarantined);
}

static void fail_allocations(struct run *run, const struct play *p, unsigned int nr)
{
	char what[160];

	for (unsigned int n = 0; n < nr; n++) {
		machine_restore(p->set);
		arm_plainly(0);
		fault.alloc = (int)n;
		libc_snprintf(what, sizeof(what), "%s, no memory at allocation %u",
			      run->story->name, n);
		play_with(run, what);
		if (run->rc && run->rc != -ENOMEM)
			fail_msg("%s: %d", what, run->rc);
		expect_unharmed(run, p, run->rc, what);
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

static void fail_calls(struct run *run, const struct play *p, unsigned int nr)
{
	for (unsigned int n = 0; n < nr; n++) {
		const struct model_errnos *row =
			model_errnos(p->calls[n].call, p->calls[n].command);
		int errors = 0;

		while (errors < MODEL_ERRNOS && row->state[errors])
			errors++;
		for (int e = 0; e < errors; e++)
			if (nr <= EACH_ERROR || n < 4 || n + 4 >= nr || (int)(n % 5) == e)
				fail_call(run, p, n, row->state[e]);
	}
}

/* An error that could not be undone: when the stage is struck nothing is lost all the same. */
static void expect_accounted(struct run *run, const struct play *p, const char *what)
{
	struct state now;

	(void)state_now(run, what);
	in_guest(strike, run, what);
	now = state_now(run, what);
	if (run->story->kernels)
		return;
	if (now.free != p->empty.free || now.quarantined)
		fail_msg("%s: %lu frames are lost, %lu in quarantine", what,
			 p->empty.free - now.free, now.quarantined);
}

/* Request @n is refused, and @times requests that undo what was before it, after @skip that are not. */
static void fail_undo(struct run *run, const struct play *p, unsigned int n, unsigned int skip,
		      int times)
{
	char what[160];

	libc_snprintf(what, sizeof(what), "%s, request %u is refused and undo %u, %d times",
		      run->story->name, n, skip, times);
	machine_restore(p->set);
	arm_plainly(-EBUSY);
	fault.call = (int)n;
	fault.undos = times;
	fault.undo_skip = skip;
	play_with(run, what);
	if (fault.nr_undos <= skip || times == 1 || run->rc == 0) {
		if (run->rc != -EBUSY && run->rc != 0)
			fail_msg("%s: %d, expected -EBUSY", what, run->rc);
		expect_unharmed(run, p, run->rc, what);
		return;
	}
	if (run->rc != -EIO)
		fail_msg("%s: %d, expected -EIO", what, run->rc);
	if (run->over)
		return;
	expect_accounted(run, p, what);
}

/* Request @n is refused, and all after it but undos: what is only to be released waits for a retry. */
static void fail_for_good(struct run *run, const struct play *p, unsigned int n)
{
	char what[160];

	libc_snprintf(what, sizeof(what), "%s, requests from %u on are refused", run->story->name,
		      n);
	machine_restore(p->set);
	arm_plainly(-EINVAL);
	fault.call = (int)n;
	fault.for_good = true;
	play_with(run, what);
	if (run->over)
		return;
	if (run->rc == -EIO)
		expect_accounted(run, p, what);
	else if (in_guest(retry, run, what))
		expect_unharmed(run, p, run->rc, what);
}

static void fail_undos(struct run *run, const struct play *p, unsigned int nr)
{
	unsigned int at[] = { 0, nr / 2, nr - 1 };

	for (unsigned int n = 0; n < nr; n++)
		fail_for_good(run, p, n);
	for (unsigned int i = 0; nr > 0 && i < ARRAY_SIZE(at); i++)
		for (unsigned int skip = 0; skip < 3; skip++) {
			fail_undo(run, p, at[i], skip, 1);
			fail_undo(run, p, at[i], skip, 2);
		}
}

void story_test(void **state)
{
	static struct play p;
	struct run run = { .story = *state };
	unsigned int allocs, calls;

	machine_restore(booted);
	in_guest(set, &run, "setting the stage");
	p.set = machine_snapshot();
	p.before = state_now(&run, "before");
	arm_plainly(0);
	if (play_with(&run, "without errors"))
		fail_msg("without errors it returns %d", run.rc);
	allocs = fault.nr_allocs;
	calls = fault.nr_calls;
	assert_int_equal(fault.nr_undos, 0);
	assert_true(calls <= ARRAY_SIZE(fault.calls));
	libc_memcpy(p.calls, fault.calls, sizeof(p.calls));
	p.after = state_now(&run, "after");
	in_guest(strike, &run, "striking the stage");
	p.empty = state_now(&run, "after all");
	assert_int_equal(p.empty.quarantined, 0);
	print_message("# %s: %u allocations, %u requests\n", run.story->name, allocs, calls);

	fail_allocations(&run, &p, allocs);
	fail_calls(&run, &p, calls);
	fail_undos(&run, &p, calls);
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
		.dom0 = dom0, .nr_pages = PAGES, .seed = 5, .cmdline = ""
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
