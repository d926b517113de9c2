/* SPDX-License-Identifier: MIT */
/*
 * The invariants: what must hold between any two calls.
 */
#include "internal.h"

/* A frame that is nobody's refers to nothing, and nothing to it. */
static bool free_frame_ok(const struct model *m, uint64_t mfn)
{
	const struct model_frame *f = &m->frame[mfn];

	return f->owner != MODEL_NOBODY || (f->count == 0 && f->type_count == 0 && !f->pinned &&
					    !f->allocated && m->m2p[mfn] == UINT64_MAX);
}

unsigned int model_check(struct model *m, void (*say)(const char *line))
{
	unsigned int broken = 0;

	for (uint64_t mfn = 0; mfn < m->nr_frames; mfn++) {
		if (free_frame_ok(m, mfn))
			continue;
		broken++;
		if (say)
			say("a frame of the heap is in use");
	}
	return broken;
}
