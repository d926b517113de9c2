/* SPDX-License-Identifier: MIT */
/*
 * Ranges: map a list, map a block, unmap, protect; see mm.c for the bytes.
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
	unsigned int space, first, nr; /* pages of the window */
	uint64_t pages;		       /* from the first to the last, with what is between */
	enum aspace_rights rights;
	unsigned int frame, step;
	bool picked;
	uint64_t pick[SPAN / 64];
	pfn_t pfns[SPAN];
} op;

/* Where page @i of the operation is in its range. */
static uint64_t offset(unsigned int i)
{
	return mm_page_at(op.first + i) - mm_page_at(op.first);
}

static bool takes(unsigned int i)
{
	return !op.picked || (op.pick[offset(i) / 64] >> offset(i) % 64 & 1);
}

/* The frame that page @i of the range has, or gets. */
static unsigned int frame_of(unsigned int i)
{
	if (op.kind == PROTECT || op.kind == UNMAP)
		return oracle.space[op.space].page[op.first + i].frame;
	return op.kind == BLOCK ? (unsigned int)(op.frame + offset(i))
				: (op.frame + i * op.step) % POOL;
}

static bool is_hole(unsigned int i)
{
	return oracle.space[op.space].page[op.first + i].rights == HOLE;
}

/* Two of these places are the ends of a far range. */
static void decode_far(struct fuzz *f)
{
	static const unsigned int places[] = { 0,    1,	   511,	 512,  1000, 1024, 1535, 1536,
					       1537, 2047, 2048, 2049, 2559, 2560, 2561, 3071 };
	uint8_t ends = fuzz_u8(f);
	unsigned int a = places[ends & 15], b = places[ends >> 4];

	op.first = a < b ? a : b;
	op.nr = (a < b ? b - a : a - b) + 1;
}

static void decode_pages(struct fuzz *f, uint8_t form)
{
	const unsigned int near = 3 * PIECE;

	op.first = fuzz_u16(f) % near;
	switch (form >> 4 & 3) {
	case 0:
		op.nr = 1;
		break;
	case 1:
		op.nr = 1 + fuzz_u8(f) % 64;
		break;
	case 2:
		op.nr = 1 + fuzz_u16(f) % near;
		break;
	default:
		op.first -= op.first % PIECE;
		op.nr = PIECE * (1 + fuzz_u8(f) % 3);
	}
	if (op.nr > near - op.first)
		op.nr = near - op.first;
}

/* Takes those pages that @byte has bits for, again and again. What lies between the pieces is never picked. */
static void pick(uint8_t byte)
{
	op.picked = true;
	memset(op.pick, 0, (offset(op.nr - 1) / 64 + 1) * sizeof(op.pick[0]));
	for (unsigned int i = 0; i < op.nr; i++)
		op.pick[offset(i) / 64] |= (uint64_t)(byte >> offset(i) % 8 & 1) << offset(i) % 64;
}

/* Leaves out what the operation would fail at, unless it is all. */
static void pick_fit(void)
{
	unsigned int fit = 0;

	pick(0);
	for (unsigned int i = 0; i < op.nr; i++) {
		bool good = is_hole(i) == (op.kind <= BLOCK);

		fit += good;
		op.pick[offset(i) / 64] |= (uint64_t)good << offset(i) % 64;
	}
	op.picked = fit > 0 && (fit < op.nr || op.pages != op.nr);
}

/* The frames of a block are all of the pool, or far beyond all memory. */
static void fit_block(uint8_t form)
{
	unsigned int end = PIECE * (op.first < 3 * PIECE ? 3 : op.first < 5 * PIECE ? 5 : 6);
	unsigned int near = op.first + op.nr < end ? op.nr : end - op.first;

	if ((form >> 6) > 1)
		op.frame = (op.frame & ~(PIECE - 1)) + op.first % PIECE;
	if (op.frame >= POOL)
		op.frame = POOL - 1;
	if (op.frame + near > POOL)
		op.nr = POOL - op.frame;
}

static void decode(struct fuzz *f, enum kind kind)
{
	uint8_t form = fuzz_u8(f);
	bool far = (form >> 2 & 3) == 3;

	op.kind = kind;
	op.space = form & 3;
	op.rights = (enum aspace_rights)((far ? form >> 4 & 3 : form >> 2 & 3) % 3);
	if (far)
		decode_far(f);
	else
		decode_pages(f, form);
	op.picked = false;
	op.pages = offset(op.nr - 1) + 1;
	if ((form >> 6) == 1)
		pick(fuzz_u8(f));
	if (kind <= BLOCK) {
		op.frame = fuzz_u16(f) % POOL;
		op.step = fuzz_u8(f) | 1u;
	}
	if (kind == BLOCK)
		fit_block(form);
	op.pages = offset(op.nr - 1) + 1;
	if ((form >> 6) > 1)
		pick_fit();
	if (kind <= BLOCK && op.pages != op.nr && !op.picked)
		pick(0xff);
	for (unsigned int i = 0; i < op.nr && kind == MAP; i++)
		op.pfns[offset(i)] = mm_pfn(frame_of(i));
}

/* Whether page @i is one of ours that is mapped, or is to be. */
static bool counts(unsigned int i)
{
	return takes(i) && frame_of(i) < POOL && !(op.kind == PROTECT && is_hole(i));
}

/* How often the operation takes from a frame of the pool the rights that its pages have. */
static const uint16_t *taken(unsigned int rights)
{
	static uint16_t here[POOL];

	memset(here, 0, sizeof(here));
	for (unsigned int i = 0; i < op.nr && op.kind == PROTECT; i++)
		if (counts(i))
			here[frame_of(i)] +=
				oracle.space[op.space].page[op.first + i].rights == rights;
	return here;
}

/* Frames that are writable in pages that the operation does not change. */
static bool would_be_both(void)
{
	const uint16_t *writable = oracle.count[ASPACE_RW], *here;

	if (op.kind == UNMAP || op.rights != ASPACE_RX)
		return false;
	for (unsigned int i = 0; i < SPACES; i++)
		if (oracle.space[i].broken)
			return true;
	here = taken(ASPACE_RW);
	for (unsigned int i = 0; i < op.nr; i++)
		if (counts(i) && writable[frame_of(i)] > here[frame_of(i)])
			return true;
	return false;
}

/* Errors that the operation's own arguments explain, and whether it must not succeed. */
struct expected {
	bool exist, noent, busy, stuck, inval, must_fail;
};

static struct expected expect(void)
{
	struct expected e = { .noent = op.kind == PROTECT && op.pages != op.nr && !op.picked };
	const uint16_t *executable = oracle.count[ASPACE_RX], *here = taken(ASPACE_RX);

	for (unsigned int i = 0; i < op.nr && op.kind != UNMAP; i++) {
		unsigned int frame = frame_of(i);

		if (!takes(i))
			continue;
		e.exist |= op.kind <= BLOCK && !is_hole(i);
		e.noent |= op.kind == PROTECT && is_hole(i);
		e.inval |= op.kind == BLOCK && frame >= POOL;
		/* What is no frame of ours can't be executed, and by what the M2P says of it has one error or the other. */
		if (op.kind == PROTECT && frame >= POOL && op.rights == ASPACE_RX)
			e.busy = e.inval = true;
		if (!counts(i))
			continue;
		e.busy |= mm_is_busy(frame, op.rights);
		e.stuck |= mm_is_stuck(frame);
		/* Executable leaves that an upper entry narrows are counted in `execs` alone: then it may fail. */
		e.must_fail |= op.rights == ASPACE_RW && executable[frame] > here[frame];
	}
	e.must_fail |= e.exist || e.noent || e.inval || (op.kind <= BLOCK && e.busy);
	return e;
}

static int carry_out(void)
{
	struct aspace *as = oracle.space[op.space].as;
	struct aspace_range range = { mm_va(op.space, op.first), op.pages,
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
	for (unsigned int i = 0; i < op.nr; i++)
		if (takes(i) && (!is_hole(i) || op.kind <= BLOCK))
			mm_set(op.space, op.first + i, frame_of(i),
			       op.kind == UNMAP ? HOLE : op.rights);
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
	for (unsigned int piece = 0; piece < PIECES; piece++)
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
			   (rc == -EBUSY && (e.busy || e.stuck)) || (rc == -EINVAL && e.inval),
		   "%s of space %u, pages %u+%u, rights %u: %s", names[kind], op.space, op.first,
		   op.nr, op.rights, rc ? errno_name(rc) : "0");
	fuzz_check(rc || !e.must_fail, "%s of space %u, pages %u+%u, rights %u succeeds",
		   names[kind], op.space, op.first, op.nr, op.rights);
	if (rc == 0)
		follow();
	look();
}

/* Ranges that are no address space's, or not this one's. */
static void wrong(const struct aspace *as, uint8_t which)
{
	static const struct {
		struct aspace_range range;
		int rc;
	} ranges[] = {
		{ { USER_END - PAGE_SIZE, 2, NULL }, -EINVAL },
		{ { XEN_VA_BASE, 1, NULL }, -EINVAL },
		{ { XEN_VA_END - PAGE_SIZE, 1, NULL }, -EINVAL },
		{ { VMAP_BASE - PAGE_SIZE, 2, NULL }, -EPERM },
		{ { VMAP_END - PAGE_SIZE, 2, NULL }, -EPERM },
		{ { DIRECT_MAP, 1, NULL }, -EPERM },
		{ { VMAP_BASE + 8, 1, NULL }, -EINVAL },
		{ { VMAP_BASE, 0, NULL }, -EINVAL },
		{ { VMAP_BASE, (UINT64_C(1) << 36) + 1, NULL }, -EINVAL },
		{ { VMAP_BASE, UINT64_MAX, NULL }, -EINVAL },
	};
	struct aspace *it = (struct aspace *)(uintptr_t)as;
	int rc;

	which %= ARRAY_SIZE(ranges);
	rc = aspace_unmap(it, &ranges[which].range);
	fuzz_check(rc == (as->broken ? -EIO : ranges[which].rc), "wrong range %u: %d", which, rc);
	rc = aspace_map_block(it, &ranges[which].range, mm_pfn(0), ASPACE_R);
	fuzz_check(rc == (as->broken ? -EIO : ranges[which].rc), "wrong range %u: %d", which, rc);
}

/*
 * u8: the space, what is done, from where to where: all that a space may map, the window and what is behind it, or only the first is
 * left out.
 */
void mm_whole(struct fuzz *f)
{
	uint8_t form = fuzz_u8(f);
	unsigned int space = form & 3;
	struct aspace *as = oracle.space[space].as;
	uint64_t end = space == KERNEL ? VMAP_END : USER_END;
	struct aspace_range range = { space == KERNEL || form & 16 ? oracle.space[space].va : 0, 0,
				      NULL };
	int rc;

	range.nr = (end - range.va) >> PAGE_SHIFT;
	switch (form >> 2 & 3) {
	case 0:
		rc = aspace_unmap(as, &range);
		fuzz_check(mm_excused(space, rc) || rc == 0, "unmapping all of space %u: %d", space,
			   rc);
		for (unsigned int i = 0; i < WINDOW && rc == 0; i++)
			mm_set(space, i, 0, HOLE);
		break;
	case 1:
		rc = aspace_protect(as, &range, ASPACE_R);
		fuzz_check(mm_excused(space, rc) || rc == -ENOENT, "protecting all of space %u: %d",
			   space, rc);
		break;
	case 2:
		rc = aspace_map_block(as, &range, mm_pfn(0), ASPACE_R);
		fuzz_check(mm_excused(space, rc) || rc == -EEXIST || rc == -EINVAL || rc == -EBUSY,
			   "mapping all of space %u: %d", space, rc);
		break;
	default:
		wrong(as, fuzz_u8(f));
		rc = 0;
	}
	fuzz_say("whole of space %u, form %#x: %d", space, form, rc);
	for (unsigned int i = 0; i < WINDOW; i += 61)
		mm_check_page(space, i);
	for (unsigned int piece = 0; piece < PIECES; piece++)
		mm_check_tables(space, piece * PIECE);
}
