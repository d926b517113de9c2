/* SPDX-License-Identifier: MIT */
/* Looks at what there should be; see mm.h. */
#include <string.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include "../host/guest.h"
#include "mm.h"

struct oracle oracle;
struct trouble trouble;

/* Where each piece of a window is, in pieces. */
static const unsigned int piece_at[PIECES] = { 0, 1, 2, 512, 513, 1537 };

uint64_t mm_page_at(unsigned int page)
{
	return (uint64_t)piece_at[page / PIECE] * PIECE + page % PIECE;
}

void mm_count(unsigned int frame, unsigned int rights, int by)
{
	if (frame < POOL && rights != HOLE)
		oracle.count[rights][frame] = (uint16_t)(oracle.count[rights][frame] + by);
}

void mm_set(unsigned int space, unsigned int page, unsigned int frame, unsigned int rights)
{
	struct space *s = &oracle.space[space];

	mm_count(s->page[page].frame, s->page[page].rights, -1);
	mm_count(frame, rights, 1);
	s->mapped[page / PIECE] += (rights != HOLE) - (s->page[page].rights != HOLE);
	s->page[page].frame = (uint16_t)frame;
	s->page[page].rights = (uint16_t)rights;
}

void mm_begin(void)
{
	memset(oracle.holder, 0, sizeof(oracle.holder));
	memset(oracle.count, 0, sizeof(oracle.count));
	memset(oracle.space, 0, sizeof(oracle.space));
	for (unsigned int i = 0; i < SPACES * WINDOW; i++)
		oracle.space[i / WINDOW].page[i % WINDOW].rights = HOLE;
	mm_forget_areas();
	oracle.current = KERNEL;
}

void mm_forget(unsigned int space)
{
	oracle.space[space].broken = false;
	for (unsigned int i = 0; i < WINDOW; i++)
		mm_set(space, i, 0, HOLE);
}

bool mm_is_busy(unsigned int frame, unsigned int rights)
{
	return (rights == ASPACE_RW && frame_at(mm_pfn(frame))->execs > 0) ||
	       (rights == ASPACE_RX && direct_map_shared(mm_pfn(frame)));
}

bool mm_excused(unsigned int space, int rc)
{
	if (rc == -EIO) {
		fuzz_check(trouble.refused > 1 || oracle.space[space].broken,
			   "-EIO, but %u requests were refused", trouble.refused);
		oracle.space[space].broken = true;
	}
	fuzz_check(oracle.space[space].as->broken == oracle.space[space].broken,
		   "space %u is%s broken after %s", space, oracle.space[space].broken ? " not" : "",
		   rc ? errno_name(rc) : "success");
	return trouble.refused > 0 || (rc == -ENOMEM && trouble.denied > 0) ||
	       (rc == -EIO && oracle.space[space].broken);
}

bool mm_is_stuck(unsigned int frame)
{
	return frame_at(mm_pfn(frame))->flags & FRAME_STUCK;
}

void mm_check_access(uint64_t va, unsigned int rights, const uint64_t *word)
{
	uint64_t is = 0;
	int rc = guest_load(va, &is, sizeof(is), NULL);

	fuzz_check(rc == (rights == HOLE ? -EFAULT : 0), "a load from %#lx: %d", va, rc);
	if (rights == HOLE)
		return;
	fuzz_check(!word || is == *word, "%#lx has %#lx, not %#lx", va, is, word ? *word : 0);
	rc = guest_store(va, &is, sizeof(is), NULL);
	fuzz_check(rc == (rights == ASPACE_RW ? 0 : -EFAULT), "a store to %#lx: %d", va, rc);
}

/* The same through the guest's own TLB. */
static void check_access(unsigned int space, unsigned int page)
{
	unsigned int rights = oracle.space[space].page[page].rights;
	unsigned int frame = oracle.space[space].page[page].frame;
	uint64_t tag = mm_tag(frame);
	int rc;

	mm_check_access(mm_va(space, page), rights, frame < POOL ? &tag : NULL);
	if (rights != ASPACE_RX)
		return;
	rc = guest_store((uint64_t)direct_va(mm_pfn(frame)), &tag, sizeof(tag), NULL);
	fuzz_check(rc == -EFAULT, "frame %#x is executable, and can be written in the direct map",
		   frame);
}

static bool is_frame(const struct aspace_info *info, unsigned int frame)
{
	if (frame < POOL)
		return pfn_eq(info->pfn, mm_pfn(frame));
	return mfn_x(info->mfn) == IO_MFN + frame - POOL && pfn_x(info->pfn) == mfn_x(info->mfn);
}

void mm_check_page(unsigned int space, unsigned int page)
{
	const struct space *s = &oracle.space[space];
	unsigned int rights = s->page[page].rights;
	struct aspace_info info;

	if (s->broken)
		return;
	fuzz_check(aspace_query(s->as, mm_va(space, page), &info) == 0, "no answer to a query");
	fuzz_check(info.mapped == (rights != HOLE), "space %u, page %u is%s mapped", space, page,
		   info.mapped ? "" : " not");
	if (info.mapped)
		fuzz_check(is_frame(&info, s->page[page].frame) &&
				   info.writable == (rights == ASPACE_RW) &&
				   info.executable == (rights == ASPACE_RX) &&
				   info.user == (space != KERNEL) && info.level == 1,
			   "space %u, page %u: pfn %#lx, w%d x%d u%d; not frame %#x, rights %u",
			   space, page, pfn_x(info.pfn), info.writable, info.executable, info.user,
			   s->page[page].frame, rights);
	if (space == oracle.current || space == KERNEL)
		check_access(space, page);
}

/* Whether anything is mapped or held in the space's 2^@shift bytes around @va. */
static bool has_reason(unsigned int space, uint64_t va, unsigned int shift)
{
	for (unsigned int i = 0; i < MAPS; i++)
		if (oracle.holder[i].space == space &&
		    mm_va(space, oracle.holder[i].page) >> shift == va >> shift)
			return true;
	for (unsigned int i = 0; i < PIECES; i++)
		if (oracle.space[space].mapped[i] &&
		    mm_va(space, i * PIECE) >> shift == va >> shift)
			return true;
	return false;
}

/* The level at which a walk ends. */
static int bottom(unsigned int space, uint64_t va)
{
	if (has_reason(space, va, L2_SHIFT))
		return 1;
	if (has_reason(space, va, L3_SHIFT))
		return 2;
	return space == KERNEL || has_reason(space, va, L4_SHIFT) ? 3 : 4;
}

void mm_check_tables(unsigned int space, unsigned int page)
{
	mmu_map_t map = (mmu_map_t)oracle.holder[0].room;
	unsigned int held = 0;
	int level;

	for (unsigned int i = 0; i < MAPS; i++)
		held += oracle.holder[i].space == space;
	fuzz_check(oracle.space[space].as->holds == held, "space %u has %u holds, not %u", space,
		   oracle.space[space].as->holds, held);
	if (oracle.space[space].broken)
		return;
	level = mmu_map_inspect_va(oracle.space[space].as, map, mm_va(space, page));
	fuzz_check(level == bottom(space, mm_va(space, page)),
		   "a walk to space %u, page %u ends at level %d, not %d", space, page, level,
		   bottom(space, mm_va(space, page)));
	fuzz_check(mmu_map_pml4t(map) && !mmu_map_pdpt(map) == (level > 3) &&
			   !mmu_map_pdt(map) == (level > 2) && !mmu_map_pt(map) == (level > 1),
		   "the views do not end at level %d", level);
}
