/* SPDX-License-Identifier: MIT */
/* Moving RAM out of holes; the rules are in <pinion/mm/p2m_boot.h>. */
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m_boot.h>
#include <pinion/xen/hypercall.h>

/* pfns [start, end) */
struct span {
	uint64_t start, end;
};

struct mover {
	struct p2m *p2m;
	const struct boot_info *bi;
	struct p2m_boot_report *report;
	uint64_t next; /* no pfn below it is free for a frame that moves */
};

/* Adds a piece to @hole, which ends at or below it. True: @hole ends above @from and the piece does
 * not touch it, so it is whole, and the piece is not in it. */
static bool add_piece(struct span *hole, uint64_t from, uint64_t start, uint64_t end)
{
	if (start == end)
		return false;
	if (hole->end != start) {
		if (hole->end > from)
			return true;
		hole->start = start;
	}
	hole->end = end;
	return false;
}

/*
 * The first hole, in its whole length, that ends above @from. Neighbouring gaps and reserved ranges are
 * one hole. Returns false if there is none below the tree's end; one that reaches past it ends there.
 */
static bool hole_above(const struct memory_map *map, uint64_t from, struct span *hole)
{
	uint64_t at = 0;

	*hole = (struct span){ 0, 0 };
	for (unsigned int i = 0; i < map->nr; i++) {
		const struct memory_range *r = &map->range[i];
		bool is_hole = r->kind != MEMORY_RAM && r->kind != MEMORY_UNUSABLE;

		if (add_piece(hole, from, at, pfn_x(r->start)) ||
		    (is_hole && add_piece(hole, from, pfn_x(r->start), pfn_x(r->end))))
			break;
		at = pfn_x(r->end);
	}
	if (hole->end > P2M_PFNS)
		hole->end = P2M_PFNS;
	return hole->end > from && hole->start < hole->end;
}

/* Lowers *@next to the first of the @nr pfns from @start on that is not below @pfn, if that is lower. */
static void first_of(uint64_t *next, uint64_t pfn, uint64_t start, uint64_t nr)
{
	uint64_t first = pfn > start ? pfn : start;

	if (first < start + nr && first < *next)
		*next = first;
}

static void first_of_run(uint64_t *next, uint64_t pfn, struct frame_run run)
{
	first_of(next, pfn, pfn_x(run.start), run.nr);
}

/* The lowest pfn at or above @pfn that is in use since start of day; P2M_PFNS if there is none. */
static uint64_t next_used(const struct boot_info *bi, uint64_t pfn)
{
	uint64_t next = P2M_PFNS;

	first_of(&next, pfn, pfn_x(bi->image.start), pfn_x(bi->stack_end) - pfn_x(bi->image.start));
	first_of_run(&next, pfn, bi->module);
	first_of_run(&next, pfn, bi->mfn_list);
	if (!pfn_eq(bi->console.pfn, INVALID_PFN))
		first_of(&next, pfn, pfn_x(bi->console.pfn), 1);
	if (!pfn_eq(bi->store.pfn, INVALID_PFN))
		first_of(&next, pfn, pfn_x(bi->store.pfn), 1);
	return next;
}

/* Whether the leaf of pfn @first is one of Xen's whole pages, and all its frames lie in @hole and can
 * move. */
static bool moves_whole(const struct mover *m, const struct span *hole, uint64_t first)
{
	uint64_t end = first + P2M_ENTRIES;

	return first % P2M_ENTRIES == 0 && hole->start <= first && end <= hole->end &&
	       end <= m->bi->nr_pages && next_used(m->bi, first) >= end;
}

/* The lowest unused pfn from nr_pages on that is in no hole; P2M_PFNS or more if there is none. */
static uint64_t free_pfn(struct mover *m)
{
	struct span hole;

	while (m->next < P2M_PFNS) {
		if (hole_above(&m->bi->map, m->next, &hole) && hole.start <= m->next)
			m->next = hole.end;
		else if (p2m_kind(m->p2m, _pfn(m->next)) != P2M_MISSING)
			m->next++;
		else
			break;
	}
	return m->next;
}

/* The lowest leaf above all RAM so far with no hole in it, by its first pfn. */
static uint64_t free_leaf(const struct mover *m)
{
	uint64_t top = m->p2m->max_pfn > m->bi->nr_pages ? m->p2m->max_pfn : m->bi->nr_pages;
	struct span hole;

	for (;;) {
		top = (top + P2M_ENTRIES - 1) & ~(P2M_ENTRIES - 1);
		if (top >= P2M_PFNS || !hole_above(&m->bi->map, top, &hole) ||
		    hole.start >= top + P2M_ENTRIES)
			return top;
		top = hole.end;
	}
}

/* The address at which the boot region has @pfn becomes unmapped, if it has it. */
static int unmap(const struct mover *m, uint64_t pfn)
{
	if (pfn >= pfn_x(m->bi->region_end))
		return 0;
	return (int)hypercall_update_va_mapping((uintptr_t)boot_va(_pfn(pfn)), 0, UVMF_INVLPG);
}

static int move_frame(struct mover *m, uint64_t pfn)
{
	mfn_t mfn = p2m_mfn(m->p2m, _pfn(pfn));
	uint64_t to = free_pfn(m);
	int rc;

	if (to >= P2M_PFNS)
		return 0;
	rc = unmap(m, pfn);
	if (!rc)
		rc = p2m_set(m->p2m, _pfn(to), mfn);
	if (!rc)
		rc = m2p_set(mfn, _pfn(to));
	if (!rc)
		rc = p2m_clear(m->p2m, _pfn(pfn));
	if (!rc)
		m->report->moved++;
	return rc;
}

/* Moves the frames of [@pfn, @end) that can be moved, one by one. */
static int move_frames(struct mover *m, uint64_t pfn, uint64_t end)
{
	int rc = 0;

	for (; pfn < end && !rc; pfn++)
		if (p2m_kind(m->p2m, _pfn(pfn)) == P2M_RAM && next_used(m->bi, pfn) != pfn)
			rc = move_frame(m, pfn);
	return rc;
}

static int move_leaf(struct mover *m, uint64_t first)
{
	uint64_t to = free_leaf(m), frames = 0;
	int rc = 0;

	/* There may still be single pfns. */
	if (to >= P2M_PFNS)
		return move_frames(m, first, first + P2M_ENTRIES);
	for (uint64_t pfn = first; pfn < first + P2M_ENTRIES && !rc; pfn++) {
		frames += p2m_kind(m->p2m, _pfn(pfn)) == P2M_RAM;
		rc = unmap(m, pfn);
	}
	if (!rc)
		rc = p2m_move_leaf(m->p2m, _pfn(first), _pfn(to));
	if (!rc)
		rc = m2p_sync(m->p2m, _pfn(to), P2M_ENTRIES);
	if (!rc) {
		m->report->moved += frames;
		m->report->relinked++;
	}
	return rc;
}

/* Moves the frames that lie in @hole: those of whole leaves if @whole is set, else the others. */
static int empty_hole(struct mover *m, const struct span *hole, bool whole)
{
	uint64_t end = hole->end < m->bi->nr_pages ? hole->end : m->bi->nr_pages;
	uint64_t pfn = hole->start, next;
	int rc = 0;

	for (; pfn < end && !rc; pfn = next) {
		next = (pfn | (P2M_ENTRIES - 1)) + 1;
		if (moves_whole(m, hole, pfn))
			rc = whole ? move_leaf(m, pfn) : 0;
		else if (!whole)
			rc = move_frames(m, pfn, next < end ? next : end);
	}
	return rc;
}

/* What has no RAM any more becomes identity. */
static int fill_hole(struct mover *m, const struct span *hole)
{
	uint64_t pfn = hole->start, ram;
	int rc;

	while (pfn < hole->end) {
		ram = pfn_x(p2m_ram_next(m->p2m, _pfn(pfn)));
		if (ram > hole->end)
			ram = hole->end;
		rc = p2m_set_identity_range(m->p2m, _pfn(pfn), _pfn(ram));
		if (rc)
			return rc;
		m->report->identity += ram - pfn;
		pfn = pfn_x(p2m_ram_end(m->p2m, _pfn(ram)));
		if (pfn > hole->end)
			pfn = hole->end;
		if (ram == pfn)
			continue;
		print("p2m: pfn [%#" PRI_pfn ", %#" PRI_pfn ") lies in a hole, but stays RAM\n",
		      ram, pfn);
		m->report->in_use += pfn - ram;
	}
	return 0;
}

static void report_clamped(struct mover *m)
{
	const struct memory_map *map = &m->bi->map;
	uint64_t end = map->nr ? pfn_x(map->range[map->nr - 1].end) : 0;

	m->report->clamped = end > P2M_PFNS;
	if (m->report->clamped)
		print("p2m: pfn [%#lx, %#" PRI_pfn ") lies beyond the tree, and is not identity\n",
		      P2M_PFNS, end);
}

int p2m_boot_holes(struct p2m *p2m, const struct boot_info *bi, struct p2m_boot_report *report)
{
	struct mover m = { p2m, bi, report, bi->nr_pages };
	struct span hole;
	uint64_t at;
	int rc = 0;

	*report = (struct p2m_boot_report){ 0 };
	for (at = 0; !rc && hole_above(&bi->map, at, &hole); at = hole.end)
		rc = empty_hole(&m, &hole, false);
	for (at = 0; !rc && hole_above(&bi->map, at, &hole); at = hole.end)
		rc = empty_hole(&m, &hole, true);
	for (at = 0; !rc && hole_above(&bi->map, at, &hole); at = hole.end)
		rc = fill_hole(&m, &hole);
	if (!rc)
		report_clamped(&m);
	return rc;
}
