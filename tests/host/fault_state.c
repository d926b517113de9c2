/* SPDX-License-Identifier: MIT */
/* All that can be seen of the guest's memory, and how two such looks may differ; see fault_state.h. */
#include "host.h"
#include <pinion/boot/boot_info.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "../../mm/p2m_internal.h"
#include "fault_state.h"

#define BY_XEN	   (PTE_US | PTE_GK | PTE_G)
#define EXEC_HINT  ((uint32_t)FRAME_EXEC << 24)
#define STUCK_HINT ((uint32_t)FRAME_STUCK << 24)

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum ^ sum >> 29;
}

static uint64_t mix_table(uint64_t sum, pfn_t pfn)
{
	struct model *m = machine_model();
	const uint64_t *table = m->ops->page(m, pfn_to_mfn(pfn));
	const struct frame *frame = frame_at(pfn);
	uint64_t mask = PTE_AD | ((frame->flags & FRAME_OFFLINE) ? BY_XEN : 0);

	for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
		if (frame->level < 4 || !l4_slot_is_xens(i))
			sum = mix(sum, table[i] & ~mask);
	return sum;
}

static void count(struct fault_state *state, const struct frame *frame)
{
	if (frame->owner == OWNER_QUARANTINE)
		state->quarantined++;
	else if (frame->kind == FRAME_TABLE)
		state->in_tables++;
	else
		state->data++;
}

static void look_at_frames(struct fault_state *state)
{
	uint64_t vmap = 0;

	for (uint64_t pfn = 0; pfn < pfn_x(frame_table_end()); pfn++) {
		const struct frame *frame = frame_at(_pfn(pfn));

		state->p2m = mix(state->p2m, p2m_get(&kernel_p2m, _pfn(pfn)));
		if (!frame || frame->kind == FRAME_NONE || frame->kind == FRAME_FREE ||
		    frame->owner == OWNER_RESERVE)
			continue;
		count(state, frame);
		vmap += frame->owner == OWNER_VMAP;
		if (frame->owner == OWNER_ASPACE && frame->kind != FRAME_TABLE)
			fail_msg("frame %#lx is an address space's, and no table", pfn);
		state->frames[pfn] = (struct frame_state){
			.word = frame_word(frame),
			.live = frame->live,
			.parents = frame->parents,
			.holds =
				frame->holds, /* of both meanings of this word, `execs` comes first */
		};
		if (frame->kind == FRAME_TABLE)
			state->tables = mix_table(state->tables, _pfn(pfn));
	}
	if (vmap > vmap_pages())
		fail_msg("%lu frames are the arena's, of no area", vmap - vmap_pages());
}

static void look_at_machine(struct fault_state *state)
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

/* Where nothing is of a page's own, its first entry says what all are. */
static void look_at_pfns(struct fault_state *state, uint64_t pfn, uint64_t end)
{
	while (pfn < end) {
		uint64_t *const *mid = kernel_p2m.top[p2m_slot(pfn)];
		bool shared = p2m_mid_is_shared(&kernel_p2m, mid) ||
			      p2m_leaf_is_shared(&kernel_p2m, mid[p2m_index(pfn)]);

		state->p2m = mix(state->p2m, p2m_get(&kernel_p2m, _pfn(pfn)));
		pfn = shared ? (pfn | (P2M_ENTRIES - 1)) + 1 : pfn + 1;
	}
}

static void look_at_p2m(struct fault_state *state)
{
	uint64_t end = pfn_x(frame_table_end());

	look_at_pfns(state, end, 4 * end);
	look_at_pfns(state, STAGE_PFN - FAULT_FRAMES, STAGE_PFN + FAULT_FRAMES);
	state->p2m = mix(state->p2m, kernel_p2m.pages << 32 | kernel_p2m.max_pfn);
	state->p2m = mix(state->p2m, kernel_p2m.shared ? kernel_p2m.shared->arch.max_pfn : 0);
}

static void ask_audits(struct fault_state *state)
{
	struct audit_report report;
	const char *wrong;
	pfn_t where;

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

void fault_look(struct fault_state *state)
{
	*state = (struct fault_state){ .free = frame_alloc_free() + frame_alloc_reserve() };
	look_at_frames(state);
	look_at_machine(state);
	state->mapped = look_at_mappings();
	look_at_p2m(state);
	state->areas = mix(vmap_areas(), vmap_pages());
	for (const struct aspace *as = aspace_first(); as; as = as->next)
		state->areas = mix(state->areas, pfn_x(as->l4) + ((uint64_t)as->holds << 32));
	ask_audits(state);
}

static unsigned int kind_of(const struct frame_state *frame)
{
	return frame->word & 0xff;
}

static bool in_quarantine(const struct frame_state *frame)
{
	return (frame->word >> 8 & 0xff) == OWNER_QUARANTINE;
}

static bool is_same(const struct frame_state *a, const struct frame_state *b)
{
	uint32_t hint = 0;

	if (kind_of(a) == FRAME_TABLE)
		hint = EXEC_HINT & ~a->word;
	else if (kind_of(a) == FRAME_DATA && a->holds > 0)
		hint = STUCK_HINT & ~a->word;

	return ((a->word ^ b->word) & ~hint) == 0 && a->live == b->live &&
	       a->parents == b->parents && a->holds == b->holds;
}

/* It is free, or a table. */
static bool may_be_table(const struct frame_state *frame)
{
	return frame->word == 0 || kind_of(frame) == FRAME_TABLE;
}

static void fail_frame(const struct fault_state *a, const struct fault_state *b, size_t i,
		       const char *what)
{
	fail_msg("%s: frame %#zx is %#x live %u parents %u holds %u, was %#x %u %u %u", what, i,
		 b->frames[i].word, b->frames[i].live, b->frames[i].parents, b->frames[i].holds,
		 a->frames[i].word, a->frames[i].live, a->frames[i].parents, a->frames[i].holds);
}

#define SAME(a, b, part, what)                                  \
	do {                                                    \
		if ((a)->part != (b)->part)                     \
			fail_msg("%s: " #part " differ", what); \
	} while (0)

void fault_expect_same(const struct fault_state *before, const struct fault_state *now,
		       const char *what)
{
	SAME(before, now, free, what);
	SAME(before, now, quarantined, what);
	SAME(before, now, p2m, what);
	for (size_t i = 0; i < FAULT_FRAMES; i++)
		if (!is_same(&before->frames[i], &now->frames[i]))
			fail_frame(before, now, i, what);
	SAME(before, now, mapped, what);
	SAME(before, now, tables, what);
	SAME(before, now, machine, what);
	SAME(before, now, areas, what);
}

void fault_expect_done(const struct fault_state *after, const struct fault_state *now,
		       const char *what)
{
	SAME(after, now, mapped, what);
	SAME(after, now, p2m, what);
	SAME(after, now, quarantined, what);
	SAME(after, now, data, what);
}

void fault_expect_remapped(const struct fault_state *before, const struct fault_state *now,
			   const char *what)
{
	SAME(before, now, mapped, what);
	SAME(before, now, p2m, what);
	SAME(before, now, quarantined, what);
	SAME(before, now, data, what);
	SAME(before, now, areas, what);
	for (size_t i = 0; i < FAULT_FRAMES; i++)
		if (!is_same(&before->frames[i], &now->frames[i]) &&
		    !(may_be_table(&before->frames[i]) && may_be_table(&now->frames[i])))
			fail_frame(before, now, i, what);
}

/*
 * The same frame, or read-only in the direct map where it was not, for leaves that could not be taken back: as long as they are
 * executable, or until a retry.
 */
static bool is_kept(const struct frame_state *before, const struct frame_state *now)
{
	const uint32_t flags = (uint32_t)(FRAME_STUCK | FRAME_PLAIN) << 24;

	return kind_of(before) == FRAME_DATA && ((before->word ^ now->word) & ~flags) == 0 &&
	       ((now->word & flags) != 0 || now->holds > 0);
}

void fault_expect_accounted(const struct fault_state *before, const struct fault_state *now,
			    const char *what)
{
	uint64_t had = before->free + before->quarantined + before->in_tables + before->data;
	uint64_t has = now->free + now->quarantined + now->in_tables + now->data;

	if (had != has)
		fail_msg("%s: of %lu frames %lu are free, %lu in quarantine, %lu tables, %lu data",
			 what, had, now->free, now->quarantined, now->in_tables, now->data);
	SAME(before, now, p2m, what);
	for (size_t i = 0; i < FAULT_FRAMES; i++) {
		const struct frame_state *was = &before->frames[i], *is = &now->frames[i];

		if (is_same(was, is) || is_kept(was, is) ||
		    (may_be_table(was) && (may_be_table(is) || in_quarantine(is))))
			continue;
		fail_frame(before, now, i, what);
	}
}
