/* SPDX-License-Identifier: MIT */
/*
 * Areas of vmap's: memory, stacks, frames of the pool side by side, devices; see mm.c for the bytes.
 *
 * What must hold: each page of an area is mapped as it was asked for, no two areas share an address, nothing is mapped on either side
 * of one, areas and pages are counted right; and nothing of it changes by whatever else is done.
 */
#include <pinion/mm/layout.h>
#include <pinion/mm/vmap.h>
#include "mm.h"

#define AREAS  6
#define NR_MAX 140u

enum kind { NONE, BLOCK, STACK, FRAMES, MMIO };

static struct area {
	enum kind kind;
	uint64_t va, nr;
	unsigned int frame, step; /* of FRAMES: of the pool; of MMIO: the first, from POOL on */
	enum aspace_rights rights;
} areas[AREAS];

static unsigned int frame_of(const struct area *a, uint64_t i)
{
	return a->kind == MMIO ? a->frame + (unsigned int)i
			       : (a->frame + (unsigned int)i * a->step) % POOL;
}

static void count(const struct area *a, int by)
{
	for (uint64_t i = 0; i < a->nr && a->kind == FRAMES; i++)
		mm_count(frame_of(a, i), a->rights, by);
}

void mm_forget_areas(void)
{
	for (unsigned int i = 0; i < AREAS; i++)
		areas[i].kind = NONE;
}

/* Page @i of an area, or one beside it. */
static void check_page(const struct area *a, uint64_t i)
{
	struct aspace_info info;
	bool inside = i < a->nr;
	uint64_t va = a->va + i * PAGE_SIZE, tag = mm_tag(inside ? frame_of(a, i) : 0);

	fuzz_check(aspace_query(&kernel_aspace, va, &info) == 0 && info.mapped == inside,
		   "page %ld of an area of %lu is%s mapped", (long)i, a->nr, inside ? " not" : "");
	if (inside)
		fuzz_check(
			info.writable == (a->rights == ASPACE_RW) &&
				info.executable == (a->rights == ASPACE_RX) &&
				(a->kind != FRAMES || pfn_eq(info.pfn, mm_pfn(frame_of(a, i)))) &&
				(a->kind != MMIO ||
				 mfn_x(info.mfn) == IO_MFN + frame_of(a, i) - POOL),
			"page %lu of an area of kind %u: pfn %#lx, mfn %#lx, w%d x%d", i, a->kind,
			pfn_x(info.pfn), mfn_x(info.mfn), info.writable, info.executable);
	mm_check_access(va, inside ? (unsigned int)a->rights : HOLE,
			a->kind == FRAMES ? &tag : NULL);
}

void mm_check_areas(void)
{
	unsigned int n = 0;
	uint64_t pages = 0;

	if (oracle.space[KERNEL].broken)
		return;
	for (unsigned int i = 0; i < AREAS; i++) {
		const struct area *a = &areas[i];

		if (a->kind == NONE)
			continue;
		n++;
		pages += a->nr;
		check_page(a, UINT64_MAX);
		check_page(a, 0);
		check_page(a, a->nr / 2);
		check_page(a, a->nr - 1);
		check_page(a, a->nr);
		for (unsigned int j = 0; j < i; j++)
			fuzz_check(areas[j].kind == NONE ||
					   areas[j].va + areas[j].nr * PAGE_SIZE < a->va ||
					   a->va + a->nr * PAGE_SIZE < areas[j].va,
				   "two areas share addresses");
	}
	fuzz_check(vmap_areas() == n && vmap_pages() == pages,
		   "%u areas of %lu pages, not %u of %lu", vmap_areas(), vmap_pages(), n, pages);
}

static int map_frames(struct area *a, void **va)
{
	static pfn_t pfns[NR_MAX];

	for (uint64_t i = 0; i < a->nr && i < NR_MAX; i++)
		pfns[i] = mm_pfn(frame_of(a, i));
	return vmap_map(pfns, a->nr, a->rights, va);
}

static int begin(struct area *a, enum mmio_cache cache)
{
	volatile void *device = NULL;
	void *va = NULL;
	int rc;

	switch (a->kind) {
	case BLOCK:
		rc = vmap_alloc(a->nr, &va);
		break;
	case STACK:
		rc = vmap_stack_alloc(a->nr, &va);
		va = rc ? NULL : (char *)va - a->nr * PAGE_SIZE;
		break;
	case FRAMES:
		rc = map_frames(a, &va);
		break;
	default:
		rc = mmio_map(_pfn(IO_MFN + a->frame - POOL), a->nr, cache, &device);
		va = (void *)(uintptr_t)device;
	}
	a->va = (uintptr_t)va;
	return rc;
}

/* Whether frames are writable elsewhere that would be executable here: that is the callers' to see to. */
static bool would_be_both(const struct area *a)
{
	for (uint64_t i = 0; i < a->nr; i++)
		if (oracle.count[ASPACE_RW][frame_of(a, i)])
			return true;
	return oracle.space[0].broken || oracle.space[1].broken || oracle.space[2].broken;
}

static bool is_busy(const struct area *a)
{
	for (uint64_t i = 0; i < a->nr && a->kind == FRAMES; i++)
		if (mm_is_busy(frame_of(a, i), a->rights))
			return true;
	return false;
}

/* Of how many pages: a few, more than there are, more than addresses; none. */
static uint64_t decode_nr(struct fuzz *f, enum kind kind)
{
	uint8_t form = fuzz_u8(f);

	if (kind == MMIO)
		return 1 + form % 32;
	if (form < 200)
		return 1 + form % 20;
	if (form < 245 || kind == FRAMES)
		return 1 + fuzz_u16(f) % NR_MAX;
	return form & 1 ? UINT64_MAX >> form % 64 : 0;
}

static bool is_stuck(const struct area *a)
{
	for (uint64_t i = 0; i < a->nr && a->kind == FRAMES; i++)
		if (mm_is_stuck(frame_of(a, i)))
			return true;
	return false;
}

static void get(struct fuzz *f, struct area *a)
{
	uint8_t form = fuzz_u8(f);
	bool busy, stuck;
	int rc;

	a->kind = (enum kind)(BLOCK + (form & 3));
	a->rights = a->kind == FRAMES ? (enum aspace_rights)((form >> 2 & 3) % 3) : ASPACE_RW;
	a->nr = decode_nr(f, a->kind);
	if (a->kind == FRAMES || a->kind == MMIO) {
		a->frame = fuzz_u16(f) % POOL;
		a->step = fuzz_u8(f) | 1u;
	}
	if (a->kind == MMIO)
		a->frame = POOL + a->frame % (IO_FRAMES - 32);
	if (a->kind == FRAMES && a->rights == ASPACE_RX && would_be_both(a))
		a->rights = ASPACE_R;
	busy = is_busy(a);
	stuck = is_stuck(a);
	rc = begin(a, (enum mmio_cache)((form >> 4 & 3) % 3));
	fuzz_say("area of kind %u, %lu pages, rights %u, frame %#x step %u at %#lx: %d", a->kind,
		 a->nr, a->rights, a->frame, a->step, a->va, rc);
	fuzz_check(mm_excused(KERNEL, rc) || rc == 0 || (rc == -EINVAL && a->nr == 0) ||
			   (rc == -ENOMEM && a->nr > NR_MAX / 2 && a->kind != FRAMES) ||
			   (rc == -EBUSY && (busy || stuck)) ||
			   (rc == -EINVAL && a->kind == MMIO && !oracle.dom0),
		   "an area of kind %u, %lu pages: %d", a->kind, a->nr, rc);
	fuzz_check(rc || !(busy || a->nr == 0 || (a->kind == MMIO && !oracle.dom0)),
		   "an area of kind %u, %lu pages is given", a->kind, a->nr);
	if (rc)
		a->kind = NONE;
	else
		count(a, 1);
}

static int put(struct area *a)
{
	void *va = (void *)a->va;
	int rc;

	if (a->kind == STACK)
		rc = vmap_stack_free((char *)va + a->nr * PAGE_SIZE);
	else
		rc = a->kind == MMIO ? mmio_unmap(va) : vmap_free(va);
	if (rc)
		return rc;
	count(a, -1);
	a->kind = NONE;
	return 0;
}

/* Addresses that are no area's of the kind. */
static void put_wrong(const struct area *a)
{
	char *va = (char *)a->va;

	fuzz_check(vmap_free(va + PAGE_SIZE) == -EINVAL && vmap_free(va + 8) == -EINVAL &&
			   vmap_stack_free(va) == -EINVAL &&
			   (a->kind == MMIO || mmio_unmap(va) == -EINVAL) &&
			   ((a->kind != MMIO && a->kind != STACK) || vmap_free(va) == -EINVAL) &&
			   vmap_free((void *)VMAP_END) == -EINVAL,
		   "what is no area ends");
}

void mm_area(struct fuzz *f)
{
	uint8_t form = fuzz_u8(f);
	struct area *a = &areas[form % AREAS];
	int rc;

	if (a->kind == NONE) {
		get(f, a);
	} else {
		if (form & 128)
			put_wrong(a);
		rc = put(a);
		fuzz_say("area %u ends: %d", form % AREAS, rc);
		fuzz_check(rc == 0 || mm_excused(KERNEL, rc), "area %u can't end: %d", form % AREAS,
			   rc);
	}
	mm_check_areas();
}

void mm_end_areas(void)
{
	mm_check_areas();
	for (unsigned int i = 0; i < AREAS; i++)
		fuzz_check(areas[i].kind == NONE || put(&areas[i]) == 0,
			   "area %u can't end in the end", i);
}
