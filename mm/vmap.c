/* SPDX-License-Identifier: MIT */
/*
 * What the arena's addresses map; see <pinion/mm/vmap.h>.
 *
 *     frames first, then addresses, then the mapping; ended the other way round: mapping (flushed when it is gone),
 *     frames, addresses
 *
 * So whatever fails has only those steps to take back that came before it, and each of these can be. A long range is mapped in
 * pieces, because the list of its frames has to lie on the stack.
 *
 * MMIO goes through the P2M: an identity pfn is the kernel's own word that the machine has no RAM of ours there. What
 * Xen lets be mapped it decides by itself (iomem_access_permitted, for DOMID_SELF and DOMID_IO alike).
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "vmap_arena.h"

/* Pages that are mapped in one go. */
#define PIECE 128

/* Maps @nr pages from page @at of the area on. */
typedef int map_piece_fn(const struct vmap_area *area, void *ctx, uint64_t at, uint64_t nr);

static struct aspace_range area_range(const struct vmap_area *area, uint64_t at, uint64_t nr)
{
	return (struct aspace_range){ .va = vmap_area_va(area) + (at << PAGE_SHIFT), .nr = nr };
}

static int unmap(const struct vmap_area *area, uint64_t nr)
{
	struct aspace_range range = area_range(area, 0, nr);

	return aspace_unmap(&kernel_aspace, &range);
}

/* Takes addresses and maps them piece by piece. With -EIO the addresses are lost. */
static int get_mapped(uint64_t nr, enum vmap_kind kind, map_piece_fn *fn, void *ctx,
		      struct vmap_area **area)
{
	uint64_t at, n;
	int rc = vmap_arena_get(nr, kind, area);

	if (rc)
		return rc;
	for (at = 0; at < nr && !rc; at += n) {
		n = nr - at < PIECE ? nr - at : PIECE;
		rc = fn(*area, ctx, at, n);
	}
	if (!rc)
		return 0;
	/* The piece that failed has taken itself back. */
	mmu_batch_insist(true);
	if (at > n && unmap(*area, at - n))
		rc = -EIO;
	mmu_batch_insist(false);
	if (rc != -EIO)
		vmap_arena_put(*area);
	return rc;
}

/* Gives the frames from @first on back, in the order of their links. => nothing but the direct map maps them */
static void free_frames(uint32_t first)
{
	pfn_t pfn;

	while (first != FRAME_NIL) {
		pfn = _pfn(first);
		first = frame_at(pfn)->sibling;
		frame_free(pfn, 0);
	}
}

/* The same of frames some of which may be mapped still. */
static void quarantine_frames(uint32_t first)
{
	for (; first != FRAME_NIL; first = frame_at(_pfn(first))->sibling)
		mmu_batch_quarantine(_pfn(first));
}

static int alloc_frames(uint64_t nr, uint32_t *first)
{
	uint32_t head = FRAME_NIL;
	pfn_t pfn;
	int rc = 0;

	for (; nr > 0 && !rc; nr--) {
		rc = frame_alloc(0, OWNER_VMAP, &pfn);
		if (rc)
			break;
		frame_at(pfn)->sibling = head;
		head = (uint32_t)pfn_x(pfn);
	}
	if (rc)
		free_frames(head);
	else
		*first = head;
	return rc;
}

/* @ctx: the next frame of the chain, which moves on with each piece. */
static int map_frames(const struct vmap_area *area, void *ctx, uint64_t at, uint64_t nr)
{
	struct aspace_range range = area_range(area, at, nr);
	pfn_t pfns[PIECE];
	uint32_t *next = ctx;
	uint64_t i;

	for (i = 0; i < nr; i++) {
		pfns[i] = _pfn(*next);
		*next = frame_at(pfns[i])->sibling;
	}
	return aspace_map(&kernel_aspace, &range, pfns, ASPACE_RW);
}

static int alloc(uint64_t nr, enum vmap_kind kind, struct vmap_area **area)
{
	uint32_t first = FRAME_NIL, next;
	int rc = nr <= frame_table_nr ? alloc_frames(nr, &first) : -ENOMEM;

	if (rc)
		return rc;
	next = first;
	rc = get_mapped(nr, kind, map_frames, &next, area);
	if (!rc)
		(*area)->first = first;
	else if (rc == -EIO)
		quarantine_frames(first);
	else
		free_frames(first);
	return rc;
}

/* Ends an area of one of two kinds. */
static int end(struct vmap_area *area, enum vmap_kind kind, enum vmap_kind other)
{
	uint32_t first;
	int rc;

	if (!area || (area->kind != kind && area->kind != other))
		return -EINVAL;
	rc = unmap(area, area->nr);
	if (rc)
		return rc;
	first = area->first;
	vmap_arena_put(area);
	free_frames(first);
	return 0;
}

int vmap_alloc(uint64_t nr, void **va)
{
	struct vmap_area *area;
	int rc = alloc(nr, VMAP_BLOCK, &area);

	if (!rc)
		*va = (void *)vmap_area_va(area);
	return rc;
}

int vmap_stack_alloc(uint64_t nr, void **top)
{
	struct vmap_area *area;
	int rc = alloc(nr, VMAP_STACK, &area);

	if (!rc)
		*top = (void *)(vmap_area_va(area) + (nr << PAGE_SHIFT));
	return rc;
}

int vmap_map(const pfn_t *pfns, uint64_t nr, enum aspace_rights rights, void **va)
{
	struct aspace_range range;
	struct vmap_area *area;
	int rc = vmap_arena_get(nr, VMAP_FRAMES, &area);

	if (rc)
		return rc;
	range = area_range(area, 0, nr);
	rc = aspace_map(&kernel_aspace, &range, pfns, rights);
	if (!rc)
		*va = (void *)range.va;
	else if (rc != -EIO)
		vmap_arena_put(area);
	return rc;
}

int vmap_free(void *va)
{
	return end(vmap_arena_at((uintptr_t)va), VMAP_BLOCK, VMAP_FRAMES);
}

int vmap_stack_free(void *top)
{
	return end(vmap_arena_ending((uintptr_t)top), VMAP_STACK, VMAP_STACK);
}

struct mmio {
	pfn_t pfn;
	uint64_t cache;
};

/* => all are identity */
static int map_mmio(const struct vmap_area *area, void *ctx, uint64_t at, uint64_t nr)
{
	struct aspace_range range = area_range(area, at, nr);
	const struct mmio *mmio = ctx;
	mfn_t mfns[PIECE];
	uint64_t i;

	for (i = 0; i < nr; i++)
		mfns[i] = pfn_to_mfn(pfn_add(mmio->pfn, at + i));
	return aspace_map_foreign(&kernel_aspace, &range, mfns, DOMID_SELF, ASPACE_RW, mmio->cache);
}

static int check_identity(pfn_t pfn, uint64_t nr)
{
	enum p2m_kind kind;
	uint64_t i;

	for (i = 0; i < nr; i++) {
		kind = p2m_kind(&kernel_p2m, pfn_add(pfn, i));
		if (kind != P2M_IDENTITY)
			return kind == P2M_MISSING ? -ENOENT : -EINVAL;
	}
	return 0;
}

int mmio_map(pfn_t pfn, uint64_t nr, enum mmio_cache cache, volatile void **va)
{
	static const uint64_t bits[] = {
		[MMIO_UC] = PTE_PCD | PTE_PWT,
		[MMIO_WC] = PTE_PAT,
		[MMIO_WB] = 0,
	};
	struct vmap_area *area;
	struct mmio mmio;
	int rc;

	if (nr == 0 || cache > MMIO_WB)
		return -EINVAL;
	rc = check_identity(pfn, nr);
	if (rc)
		return rc;
	mmio = (struct mmio){ pfn, bits[cache] };
	rc = get_mapped(nr, VMAP_MMIO, map_mmio, &mmio, &area);
	if (!rc)
		*va = (volatile void *)vmap_area_va(area);
	/* From a domain that owns no I/O memory Xen takes no cacheability at all (l1_disallow_mask), and says so before
	 * it looks at the frame: it has leave for none. */
	return rc == -EINVAL && mmio.cache ? -EPERM : rc;
}

int mmio_unmap(volatile void *va)
{
	return end(vmap_arena_at((uintptr_t)va), VMAP_MMIO, VMAP_MMIO);
}
