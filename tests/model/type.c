/* SPDX-License-Identifier: MIT */
/*
 * Types: what a frame is used as, and by how many.
 *
 *                get: count 0 -> 1                         put: count 1 -> 0
 *   any type ---------------------> promotion ---> valid ---------------------> demotion ---> count 0,
 *   at count 0     (tables,            |             ^                           (tables)       type kept
 *                   descriptors)       | entry i     | get, put
 *                                      | is bad      +-- count n
 *                                      v
 *                          half done: `partial`, entries 0 .. i-1 are held; model_finish() undoes them
 *
 * The type of a frame changes at count 0 only. A table is validated at each promotion, also when it was one of the same
 * level before. A writable frame needs no look, nor does one of descriptors that comes back as that: it can't have been
 * written in between.
 *
 * A promotion that fails at entry 0 has nothing to undo. One that fails at a later entry leaves its table in m->old_table with
 * the count 1 and a reference, so that Xen may be preempted while it undoes it. Here lies Xen's one known leak: an L3 that
 * fails at its entry 0 leaves its L2 there, and an L4 above that fails at a later slot puts itself in its place. That L2 stays
 * half promoted, with a use and a reference that nobody will drop.
 */
#include <pinion/lib/panic.h>
#include "internal.h"

static bool is_table(unsigned int type)
{
	return type >= MODEL_L1 && type <= MODEL_L4;
}

/* validate_page(): the one use of @mfn has just been taken, its entries not yet. */
static int promote(struct model *m, mfn_t mfn, enum model_type type)
{
	struct model_frame *f = model_frame(m, mfn);
	int rc =
		type == MODEL_SEGDESC ? model_promote_segdesc(m, mfn) : model_promote(m, mfn, type);

	if (!rc) {
		f->validated = true;
		f->nr_validated = 0;
	} else if (mfn_eq(mfn, m->old_table)) {
		f->count++; /* get_page_light(): the flag's own */
		f->partial = true;
	} else {
		f->type = MODEL_NONE;
		f->type_count = 0;
		f->validated = false;
		/* Xen counts validated entries where the stamp was (struct page_info), and does not stamp it again. */
		f->stamp = 0;
	}
	return rc;
}

int model_get_type(struct model *m, mfn_t mfn, enum model_type type)
{
	struct model_frame *f = model_frame(m, mfn);
	const bool resumed = f->partial;
	int rc;

	if (f->type_count == 0) {
		f->type_count = 1;
		if (f->type != type) {
			f->type = (uint8_t)type;
			f->validated = false;
			model_flush_stale(m, f->stamp); /* what it was must be out of the TLB */
		}
	} else if (f->type != type) {
		return -EINVAL;
	} else if (f->validated) {
		f->type_count++;
	} else {
		/* A use that a failed promotion has left behind becomes the caller's. */
		ASSERT(resumed && f->type_count == 1);
		f->partial = false;
	}
	if (f->validated)
		return 0;

	if (type == MODEL_WRITABLE) {
		f->validated = true;
		return 0;
	}
	ASSERT(resumed || (!f->nr_validated && !f->partial_flags && !f->linear_pt_count));
	rc = promote(m, mfn, type);
	if (resumed)
		model_put_page(m, mfn);
	return rc;
}

int model_get_page_and_type(struct model *m, mfn_t mfn, enum model_type type)
{
	int rc;

	if (!model_get_page(m, mfn))
		return -EINVAL;
	rc = model_get_type(m, mfn, type);
	if (rc && !mfn_eq(mfn, m->old_table))
		model_put_page(m, mfn);
	return rc;
}

/* dec_linear_uses(), dec_linear_entries(): @parent no longer maps @f, a table of its own level. */
static void unlink_linear(struct model_frame *f, struct model_frame *parent)
{
	ASSERT(f->linear_pt_count < 0 && parent->linear_pt_count > 0);
	f->linear_pt_count++;
	parent->linear_pt_count--;
}

/* _put_final_page_type(): the last use of a table goes, or what a failed promotion has left of one. */
static void demote(struct model *m, mfn_t mfn, struct model_frame *linear_parent)
{
	struct model_frame *f = model_frame(m, mfn);
	const bool was_partial = f->partial;

	if (!was_partial)
		f->nr_validated = TABLE_ENTRIES;
	f->validated = false;
	f->partial = false;
	model_demote(m, mfn, f->type);
	f->nr_validated = 0;
	f->partial_flags = false;
	if (linear_parent)
		unlink_linear(f, linear_parent);
	f->stamp = m->flush_clock;
	f->type_count--;
	if (was_partial)
		model_put_page(m, mfn);
}

void model_put_type_of(struct model *m, mfn_t mfn, bool partial, mfn_t parent)
{
	struct model_frame *f = model_frame(m, mfn);
	struct model_frame *above = model_frame(m, parent);

	if (above && above->type != f->type)
		above = NULL; /* an ordinary link: of the level below */
	ASSERT(f->type_count > 0 && f->partial == partial && f->validated == !partial);

	if (f->type_count == 1 && is_table(f->type)) {
		demote(m, mfn, above);
		return;
	}
	if (--f->type_count == 0)
		f->stamp = m->flush_clock;
	if (above)
		unlink_linear(f, above);
}

void model_put_type(struct model *m, mfn_t mfn)
{
	model_put_type_of(m, mfn, false, INVALID_MFN);
}

void model_put_page_and_type(struct model *m, mfn_t mfn)
{
	model_put_type(m, mfn);
	model_put_page(m, mfn);
}

void model_finish(struct model *m)
{
	mfn_t mfn = m->old_table;

	if (!model_frame(m, mfn))
		return;
	model_put_type_of(m, mfn, m->old_partial, m->old_parent);
	model_put_page(m, mfn);
	m->old_table = INVALID_MFN;
	m->old_parent = INVALID_MFN;
	m->old_partial = false;
}
