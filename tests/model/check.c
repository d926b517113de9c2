/* SPDX-License-Identifier: MIT */
/*
 * The invariants: what must hold between any two calls, from the tables themselves.
 *
 *     tables in use --entries--.
 *     CR3, user CR3 ------------\          seen, seen_uses, seen_linear       must be     count, type_count,
 *     GDT, LDT ------------------+----->   of each frame, counted anew   --------------->  linear_pt_count
 *     pins, owners, the leak ---/
 *
 * So no rule of the other files is asked again, but for what an entry may say: a reference that is not given back, a use
 * without a reference, a table that is written all show as a count that is wrong. With each frame of one type, and each use of
 * it of that type, no frame is writable and a table.
 *
 * It costs a look at each entry of each table: for machines of some hundreds of frames after each call, for larger ones now and
 * then (model.check_every).
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/printf.h>
#include "check.h"

void check_broken(struct check *c, const char *fmt, ...)
{
	char line[160];
	va_list ap;

	c->broken++;
	if (!c->say)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->say(line);
}

/* Something of the guest's state, not an entry, uses the frame as @type. */
static void use(struct check *c, mfn_t mfn, enum model_type type, const char *what)
{
	struct model_frame *f = model_frame(c->m, mfn);

	if (!f || f->type != type || f->owner != MODEL_GUEST) {
		check_broken(c, "%s is frame %lx, not of type %u", what, mfn_x(mfn), type);
		return;
	}
	f->seen++;
	f->seen_uses++;
}

static void check_bases(struct check *c)
{
	const struct model *m = c->m;

	if (!mfn_eq(m->l4, INVALID_MFN))
		use(c, m->l4, MODEL_L4, "the base pointer");
	if (!mfn_eq(m->user_l4, INVALID_MFN))
		use(c, m->user_l4, MODEL_L4, "the user's base pointer");
}

static void check_descriptors(struct check *c)
{
	const struct model *m = c->m;
	const unsigned int gdt = (m->gdt_ents + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
	const unsigned int ldt = (m->ldt_ents + TABLE_ENTRIES - 1) / TABLE_ENTRIES;

	if (m->gdt_ents > MODEL_GDT_ENTRIES)
		check_broken(c, "a GDT of %u entries", m->gdt_ents);
	for (unsigned int i = 0; i < MODEL_GDT_FRAMES; i++) {
		if (mfn_eq(m->gdt_frame[i], INVALID_MFN) != (i >= gdt))
			check_broken(c, "GDT page %u of %u is frame %lx", i, gdt,
				     mfn_x(m->gdt_frame[i]));
		if (!mfn_eq(m->gdt_frame[i], INVALID_MFN))
			use(c, m->gdt_frame[i], MODEL_SEGDESC, "a page of the GDT");
	}
	if (m->ldt_ents > MODEL_LDT_ENTRIES || (m->ldt_base & PAGE_OFFSET_MASK) ||
	    (m->ldt_ents ? !model_va_ok(m, m->ldt_base) : m->ldt_base != 0))
		check_broken(c, "an LDT of %u entries at %lx", m->ldt_ents, m->ldt_base);
	for (unsigned int i = 0; i < MODEL_LDT_FRAMES; i++) {
		if (mfn_eq(m->ldt_frame[i], INVALID_MFN))
			continue;
		if (i >= ldt)
			check_broken(c, "page %u of an LDT of %u", i, ldt);
		use(c, m->ldt_frame[i], MODEL_SEGDESC, "a page of the LDT");
	}
}

/* What a call leaves behind when it is done: nothing. */
static void check_rest(struct check *c)
{
	const struct model *m = c->m;

	if (!mfn_eq(m->old_table, INVALID_MFN) || !mfn_eq(m->old_parent, INVALID_MFN) ||
	    m->old_partial)
		check_broken(c, "table %lx is still to be taken back", mfn_x(m->old_table));
	if (m->wrong.answer)
		check_broken(c, "hypercall %u, command %x, answers %s, an error that it has not",
			     m->wrong.call, m->wrong.command, errno_name((int)m->wrong.answer));
	if (m->in_multicall)
		check_broken(c, "in a multicall between calls");
	if (m->vm_assist & ~MODEL_VM_ASSISTS)
		check_broken(c, "assists %lx", m->vm_assist);
	if (m->nr_regions > MODEL_REGIONS)
		check_broken(c, "a memory map of %u regions", m->nr_regions);
	if (m->next_free > m->nr_frames)
		check_broken(c, "the heap goes on at frame %lx of %lx", m->next_free, m->nr_frames);
}

/* What is known of a frame's type, by itself. */
static void check_type(struct check *c, uint64_t mfn, const struct model_frame *f)
{
	const bool table = check_is_table(f), used = f->type_count > 0;
	const bool valid = f->type == MODEL_WRITABLE || f->type == MODEL_SEGDESC ||
			   (table && used && !f->partial);

	if (f->type > MODEL_WRITABLE || (f->type == MODEL_NONE && used))
		check_broken(c, "frame %lx: %u uses as type %u", mfn, f->type_count, f->type);
	if (f->validated != valid)
		check_broken(c, "frame %lx: type %u, %u uses, validated %d", mfn, f->type,
			     f->type_count, f->validated);
	if (f->pinned && !(table && f->validated))
		check_broken(c, "frame %lx: pinned, of type %u, validated %d", mfn, f->type,
			     f->validated);
	if (f->partial && (!table || f->type == MODEL_L1 || f->type_count != 1 ||
			   !f->nr_validated || f->nr_validated >= TABLE_ENTRIES))
		check_broken(c, "frame %lx: half done, type %u, %u uses, %u entries", mfn, f->type,
			     f->type_count, f->nr_validated);
	if (!f->partial && (f->nr_validated || f->partial_flags))
		check_broken(c, "frame %lx: not half done, but at entry %u", mfn, f->nr_validated);
	if (f->stolen || f->stamp > c->m->flush_clock)
		check_broken(c, "frame %lx: stolen %d, stamp %lx", mfn, f->stolen, f->stamp);
}

/* Whose it is, and what follows. */
static void check_owner(struct check *c, uint64_t mfn, const struct model_frame *f)
{
	const bool counts = f->owner == MODEL_OTHER || f->owner == MODEL_IO;

	if (f->quiet && f->owner != MODEL_NOBODY)
		check_broken(c, "frame %lx: of owner %u, and given without a flush", mfn, f->owner);
	if (f->owner == MODEL_GUEST) { /* lost to the guest is shared_info at most */
		if (f->count == 0 && !f->xen_heap)
			check_broken(c, "frame %lx: the guest's, without a reference", mfn);
		return;
	}
	if (f->owner > MODEL_IO || f->allocated != counts || f->xen_heap || f->pinned ||
	    f->partial || f->leaked || f->seen)
		check_broken(c, "frame %lx: of owner %u, and in use", mfn, f->owner);
	if (f->type != (f->owner == MODEL_IO ? MODEL_WRITABLE : MODEL_NONE))
		check_broken(c, "frame %lx: of owner %u, type %u", mfn, f->owner, f->type);
	/* Another domain's has that one's pfn. */
	if (f->owner != MODEL_IO && f->owner != MODEL_OTHER && c->m->m2p[mfn] != UINT64_MAX)
		check_broken(c, "frame %lx: of owner %u, M2P entry %lx", mfn, f->owner,
			     c->m->m2p[mfn]);
}

/* What was seen against what was counted. */
static void check_counts(struct check *c, uint64_t mfn, const struct model_frame *f)
{
	const uint64_t own = (uint64_t)f->allocated + f->pinned + f->partial + f->leaked;
	const uint64_t own_uses =
		(uint64_t)f->pinned + f->partial + f->xen_heap + (f->owner == MODEL_IO);

	if (f->count != f->seen + own)
		check_broken(c, "frame %lx: count %u, but %u and %lu references", mfn, f->count,
			     f->seen, own);
	if (f->type_count != f->seen_uses + own_uses)
		check_broken(c, "frame %lx: %u uses as type %u, but %u and %lu", mfn, f->type_count,
			     f->type, f->seen_uses, own_uses);
	if (f->linear_pt_count != f->seen_linear)
		check_broken(c, "frame %lx: linear count %d, but %d", mfn, f->linear_pt_count,
			     f->seen_linear);
}

unsigned int model_check(struct model *m, void (*say)(const char *line))
{
	struct check c = { .m = m, .say = say };
	uint64_t pages = 0;

	for (uint64_t mfn = 0; mfn < m->nr_frames; mfn++) {
		m->frame[mfn].seen = 0;
		m->frame[mfn].seen_uses = 0;
		m->frame[mfn].seen_linear = 0;
	}
	for (uint64_t mfn = 0; mfn < m->nr_frames; mfn++)
		if (check_is_table(&m->frame[mfn]) && m->frame[mfn].type_count > 0)
			check_table(&c, _mfn(mfn));
	check_bases(&c);
	check_descriptors(&c);
	check_rest(&c);
	for (uint64_t mfn = 0; mfn < m->nr_frames; mfn++) {
		const struct model_frame *f = &m->frame[mfn];

		check_type(&c, mfn, f);
		check_owner(&c, mfn, f);
		check_counts(&c, mfn, f);
		pages += f->owner == MODEL_GUEST && !f->xen_heap;
	}
	if (m->tot_pages != pages || m->tot_pages > m->max_pages)
		check_broken(&c, "%lu pages of the guest's, counted %lu of %lu", pages,
			     m->tot_pages, m->max_pages);
	return c.broken;
}
