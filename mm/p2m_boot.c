/* SPDX-License-Identifier: MIT */
/*
 * Moving RAM out of holes; see <pinion/mm/p2m_boot.h>.
 *
 * It goes leaf by leaf: the frames of one leaf are moved, then its pfns become identity, which
 * gives a leaf that is all hole back to the allocator, before the next leaf needs a page. So a hole of
 * any size is moved with the few pages that the first leaf takes.
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m_boot.h>
#include <pinion/xen/hypercall.h>

struct mover {
	struct p2m *p2m;
	const struct boot_info *bi;
	uint64_t target;  /* no pfn below it is free for a frame that moves */
	uint64_t map_end; /* above it nothing is identity */
	struct p2m_boot_report *report;
};

static bool is_hole(const struct mover *m, uint64_t pfn)
{
	enum memory_kind kind = memory_map_kind_at(&m->bi->map, _pfn(pfn));

	return pfn < m->map_end && kind != MEMORY_RAM && kind != MEMORY_UNUSABLE;
}

static bool in_run(const struct frame_run *run, uint64_t pfn)
{
	return pfn - pfn_x(run->start) < run->nr;
}

/* Start of day's structures lie between the image and the stack, the module perhaps elsewhere. */
static bool in_use(const struct boot_info *bi, uint64_t pfn)
{
	return (pfn >= pfn_x(bi->image.start) && pfn < pfn_x(bi->stack_end)) ||
	       in_run(&bi->module, pfn) || in_run(&bi->mfn_list, pfn);
}

static uint64_t next_target(struct mover *m)
{
	while (is_hole(m, m->target) || p2m_kind(m->p2m, _pfn(m->target)) != P2M_MISSING)
		m->target++;
	return m->target;
}

static int move(struct mover *m, uint64_t pfn)
{
	mfn_t mfn = p2m_mfn(m->p2m, _pfn(pfn));
	pfn_t to = _pfn(next_target(m));
	int rc = 0;

	/* No pfn is left in the tree: as little memory to be had as if there were none. */
	if (pfn_x(to) >= P2M_PFNS)
		return -ENOMEM;
	if (pfn < pfn_x(m->bi->region_end))
		rc = (int)hypercall_update_va_mapping((uintptr_t)boot_va(_pfn(pfn)), 0,
						      UVMF_INVLPG);
	if (!rc)
		rc = p2m_set(m->p2m, to, mfn);
	if (!rc)
		rc = m2p_set(mfn, to);
	if (!rc)
		m->report->moved++;
	return rc;
}

/* Makes the hole [@pfn, @end), which lies in one leaf, identity, but for frames in use. */
static int clear_leaf(struct mover *m, uint64_t pfn, uint64_t end)
{
	uint64_t start = pfn;
	int rc = 0;

	for (; pfn < end && !rc; pfn++) {
		if (p2m_kind(m->p2m, _pfn(pfn)) != P2M_RAM)
			continue;
		if (!in_use(m->bi, pfn)) {
			rc = move(m, pfn);
			continue;
		}
		m->report->in_use++;
		m->report->identity += pfn - start;
		rc = p2m_set_identity_range(m->p2m, _pfn(start), _pfn(pfn));
		start = pfn + 1;
	}
	if (!rc && start < end) {
		m->report->identity += end - start;
		rc = p2m_set_identity_range(m->p2m, _pfn(start), _pfn(end));
	}
	return rc;
}

/* A hole: leaf by leaf as long as there can be RAM in it, the rest in one go. */
static int clear_hole(struct mover *m, uint64_t start, uint64_t end)
{
	uint64_t next;
	int rc = 0;

	if (end > P2M_PFNS) {
		m->report->clamped = true;
		end = P2M_PFNS;
	}
	while (start < end && start < m->bi->nr_pages && !rc) {
		next = (start | (P2M_ENTRIES - 1)) + 1;
		rc = clear_leaf(m, start, next < end ? next : end);
		start = next;
	}
	if (!rc && start < end) {
		m->report->identity += end - start;
		rc = p2m_set_identity_range(m->p2m, _pfn(start), _pfn(end));
	}
	return rc;
}

int p2m_boot_holes(struct p2m *p2m, const struct boot_info *bi, struct p2m_boot_report *report)
{
	struct mover m = { p2m, bi, bi->nr_pages, 0, report };
	uint64_t at = 0, start, end;
	unsigned int i;
	int rc = 0;

	*report = (struct p2m_boot_report){ 0 };
	if (bi->map.nr > 0)
		m.map_end = pfn_x(bi->map.range[bi->map.nr - 1].end);
	for (i = 0; i < bi->map.nr && !rc; i++) {
		start = pfn_x(bi->map.range[i].start);
		end = pfn_x(bi->map.range[i].end);
		if (at < start)
			rc = clear_hole(&m, at, start);
		if (!rc && is_hole(&m, start))
			rc = clear_hole(&m, start, end);
		at = end;
	}
	return rc;
}
