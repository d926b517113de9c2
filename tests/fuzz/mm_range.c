/* SPDX-License-Identifier: MIT */
/*
 * Ranges: map a list, map a block, unmap, protect; see fuzz_mm.c for the bytes.
 *
 * An operation whose frames would be executable here and writable elsewhere is made read-only: that is the callers' to
 * see to, says aspace.h.
 */
#include <string.h>
#include <pinion/mm/direct_map.h>
#include "mm.h"

enum kind { MAP, BLOCK, UNMAP, PROTECT };

static struct op {
	enum kind kind;
	unsigned int space, first, nr;
	enum aspace_rights rights;
	unsigned int frame, step;
	bool picked;
	uint64_t pick[WINDOW / 64];
	pfn_t pfns[WINDOW];
} op;

static bool takes(unsigned int i)
{
	return !op.picked || (op.pick[i / 64] >> i % 64 & 1);
}

/* The frame that page @i of the range has, or gets. */
static unsigned int frame_of(unsigned int i)
{
	if (op.kind == PROTECT || op.kind == UNMAP)
		return oracle.space[op.space].page[op.first + i].frame;
	return op.kind == BLOCK ? op.frame + i : (op.frame + i * op.step) % POOL;
}

static bool is_hole(unsigned int i)
{
	return oracle.space[op.space].page[op.first + i].rights == HOLE;
}

static void decode_pages(struct fuzz *f, uint8_t form)
{
	op.first = fuzz_u16(f) % WINDOW;
	switch (form >> 4 & 3) {
	case 0:
		op.nr = 1;
		break;
	case 1:
		op.nr = 1 + fuzz_u8(f) % 64;
		break;
	case 2:
		op.nr = 1 + fuzz_u16(f) % WINDOW;
		break;
	default:
		op.first -= op.first % PIECE;
		op.nr = PIECE * (1 + fuzz_u8(f) % 3);
	}
	if (op.nr > WINDOW - op.first)
		op.nr = WINDOW - op.first;
}

/* Leaves out what the operation would fail at, unless it is all. */
static void pick_fit(void)
{
	unsigned int fit = 0;

	memset(op.pick, 0, sizeof(op.pick));
	for (unsigned int i = 0; i < op.nr; i++) {
		bool good = is_hole(i) == (op.kind <= BLOCK);

		fit += good;
		op.pick[i / 64] |= (uint64_t)good << i % 64;
	}
	op.picked = fit > 0 && fit < op.nr;
}

static void decode(struct fuzz *f, enum kind kind)
{
	uint8_t form = fuzz_u8(f);

	op.kind = kind;
	op.space = form & 3;
	op.rights = (enum aspace_rights)((form >> 2 & 3) % 3);
	decode_pages(f, form);
	op.picked = false;
	if ((form >> 6) == 1) {
		op.picked = true;
		memset(op.pick, fuzz_u8(f), sizeof(op.pick));
	}
	if (kind <= BLOCK) {
		op.frame = fuzz_u16(f) % POOL;
		op.step = fuzz_u8(f) | 1u;
	}
	if (kind == BLOCK && (form >> 6) > 1)
		op.frame = (op.frame & ~(PIECE - 1)) + op.first % PIECE;
	if (kind == BLOCK && op.frame + op.nr > POOL)
		op.nr = op.frame < POOL ? POOL - op.frame : 1;
	if (kind == BLOCK && op.frame >= POOL)
		op.frame = POOL - 1;
	if ((form >> 6) > 1)
		pick_fit();
	for (unsigned int i = 0; i < op.nr; i++)
		op.pfns[i] = mm_pfn(frame_of(i));
}

/* Frames that are writable in pages that the operation does not change. */
static bool would_be_both(void)
{
	const uint16_t *writable = mm_count(ASPACE_RW);
	static uint16_t here[POOL];
	unsigned int i;

	if (op.kind == UNMAP || op.rights != ASPACE_RX)
		return false;
	for (i = 0; i < SPACES; i++)
		if (oracle.space[i].broken)
			return true;
	memset(here, 0, sizeof(here));
	for (i = 0; i < op.nr && op.kind == PROTECT; i++)
		here[frame_of(i)] +=
			takes(i) && oracle.space[op.space].page[op.first + i].rights == ASPACE_RW;
	for (i = 0; i < op.nr; i++)
		if (takes(i) && !(op.kind == PROTECT && is_hole(i)) &&
		    writable[frame_of(i)] > here[frame_of(i)])
			return true;
	return false;
}

/* Errors that the operation's own arguments explain, and whether it must not succeed. */
struct expected {
	bool exist, noent, busy, must_fail;
};

static struct expected expect(void)
{
	struct expected e = { .exist = false };
	const uint16_t *executable = mm_count(ASPACE_RX);
	static uint16_t here[POOL];

	memset(here, 0, sizeof(here));
	for (unsigned int i = 0; i < op.nr; i++)
		here[frame_of(i)] += op.kind == PROTECT && takes(i) &&
				     oracle.space[op.space].page[op.first + i].rights == ASPACE_RX;
	for (unsigned int i = 0; i < op.nr && op.kind != UNMAP; i++) {
		unsigned int frame = frame_of(i);
		bool hole = is_hole(i);

		if (!takes(i))
			continue;
		e.exist |= op.kind <= BLOCK && !hole;
		e.noent |= op.kind == PROTECT && hole;
		if (op.kind == PROTECT && hole)
			continue;
		e.busy |= op.rights == ASPACE_RW && frame_at(mm_pfn(frame))->execs > 0;
		e.busy |= op.rights == ASPACE_RX && direct_map_shared(mm_pfn(frame));
		/* Executable leaves that an upper entry narrows are counted in `execs` alone: then it may fail. */
		e.must_fail |= op.rights == ASPACE_RW && executable[frame] > here[frame];
	}
	e.must_fail |= e.exist || e.noent || (op.kind <= BLOCK && e.busy);
	return e;
}

static int carry_out(void)
{
	struct aspace *as = oracle.space[op.space].as;
	struct aspace_range range = { mm_va(op.space, op.first), op.nr,
				      op.picked ? op.pick : NULL };

	switch (op.kind) {
	case MAP:
		return aspace_map(as, &range, op.pfns, op.rights);
	case BLOCK:
		return aspace_map_block(as, &range, mm_pfn(op.frame), op.rights);
	case UNMAP:
		return aspace_unmap(as, &range);
	default:
		return aspace_protect(as, &range, op.rights);
	}
}

static void follow(void)
{
	for (unsigned int i = 0; i < op.nr; i++) {
		unsigned int frame = frame_of(i);

		if (!takes(i) || (is_hole(i) && op.kind > BLOCK))
			continue;
		oracle.space[op.space].page[op.first + i].frame = (uint16_t)frame;
		oracle.space[op.space].page[op.first + i].rights =
			op.kind == UNMAP ? HOLE : (uint16_t)op.rights;
	}
}

/* The pages in and beside it, not all of many. */
static void look(void)
{
	unsigned int step = op.nr / 16 + 1, end = op.first + op.nr;

	for (unsigned int i = op.first; i < end; i += step)
		mm_check_page(op.space, i);
	mm_check_page(op.space, end - 1);
	if (op.first > 0)
		mm_check_page(op.space, op.first - 1);
	if (end < WINDOW)
		mm_check_page(op.space, end);
	for (unsigned int piece = 0; piece < 3; piece++)
		mm_check_tables(op.space, piece * PIECE);
}

void mm_range(struct fuzz *f, unsigned int kind)
{
	static const char *const names[] = { "map", "map_block", "unmap", "protect" };
	struct expected e;
	int rc;

	decode(f, (enum kind)kind);
	if (would_be_both())
		op.rights = ASPACE_R;
	e = expect();
	look();
	rc = carry_out();
	fuzz_say("%s of space %u, pages %u+%u%s, rights %u, frame %u step %u: %d", names[kind],
		 op.space, op.first, op.nr, op.picked ? ", picked" : "", op.rights, op.frame,
		 op.step, rc);
	fuzz_check(mm_excused(op.space, rc) || (rc == 0 && !oracle.space[op.space].broken) ||
			   (rc == -EEXIST && e.exist) || (rc == -ENOENT && e.noent) ||
			   (rc == -EBUSY && e.busy),
		   "%s of space %u, pages %u+%u, rights %u: %s", names[kind], op.space, op.first,
		   op.nr, op.rights, rc ? errno_name(rc) : "0");
	fuzz_check(rc || !e.must_fail, "%s of space %u, pages %u+%u, rights %u succeeds",
		   names[kind], op.space, op.first, op.nr, op.rights);
	if (rc == 0)
		follow();
	look();
}
