/* SPDX-License-Identifier: MIT */
/* Looks at what there should be; see mm.h. */
#include <string.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/direct_map.h>
#include "../host/guest.h"
#include "mm.h"

struct oracle oracle;
struct trouble trouble;

void mm_forget(unsigned int space)
{
	struct space *s = &oracle.space[space];

	s->broken = false;
	for (unsigned int i = 0; i < WINDOW; i++) {
		s->page[i].frame = 0;
		s->page[i].rights = HOLE;
	}
}

const uint16_t *mm_count(unsigned int rights)
{
	static uint16_t count[POOL];

	memset(count, 0, sizeof(count));
	for (unsigned int s = 0; s < SPACES; s++)
		for (unsigned int i = 0; i < WINDOW; i++)
			if (oracle.space[s].page[i].rights == rights)
				count[oracle.space[s].page[i].frame]++;
	return count;
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

/* The same through the guest's own TLB. */
static void check_access(unsigned int space, unsigned int page)
{
	unsigned int rights = oracle.space[space].page[page].rights;
	unsigned int frame = oracle.space[space].page[page].frame;
	uint64_t va = mm_va(space, page), word = 0;
	int rc = guest_load(va, &word, sizeof(word), NULL);

	fuzz_check(rc == (rights == HOLE ? -EFAULT : 0), "a load from space %u, page %u: %d", space,
		   page, rc);
	if (rights == HOLE)
		return;
	fuzz_check(word == mm_tag(frame), "space %u, page %u has %#lx, not frame %#x", space, page,
		   word, frame);
	rc = guest_store(va, &word, sizeof(word), NULL);
	fuzz_check(rc == (rights == ASPACE_RW ? 0 : -EFAULT), "a store to space %u, page %u: %d",
		   space, page, rc);
	rc = guest_store((uint64_t)direct_va(mm_pfn(frame)), &word, sizeof(word), NULL);
	fuzz_check(rights != ASPACE_RX || rc == -EFAULT,
		   "frame %#x is executable, and can be written in the direct map", frame);
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
		fuzz_check(pfn_eq(info.pfn, mm_pfn(s->page[page].frame)) &&
				   info.writable == (rights == ASPACE_RW) &&
				   info.executable == (rights == ASPACE_RX) &&
				   info.user == (space != KERNEL) && info.level == 1,
			   "space %u, page %u: pfn %#lx, w%d x%d u%d; not frame %#x, rights %u",
			   space, page, pfn_x(info.pfn), info.writable, info.executable, info.user,
			   s->page[page].frame, rights);
	if (space == oracle.current || space == KERNEL)
		check_access(space, page);
}

/* Whether something in the pieces [@first, @end) is mapped or held. */
static bool has_reason(unsigned int space, unsigned int first, unsigned int end)
{
	for (unsigned int i = 0; i < MAPS; i++)
		if (oracle.holder[i].space == space && oracle.holder[i].page / PIECE >= first &&
		    oracle.holder[i].page / PIECE < end)
			return true;
	for (unsigned int i = first * PIECE; i < end * PIECE; i++)
		if (oracle.space[space].page[i].rights != HOLE)
			return true;
	return false;
}

/* The level at which a walk ends: the two pieces behind the split share what is above an L1. */
static int bottom(unsigned int space, unsigned int piece)
{
	if (has_reason(space, piece, piece + 1))
		return 1;
	if (piece > 0 && has_reason(space, 1, 3))
		return 2;
	return space == KERNEL ? 3 : 4;
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
	fuzz_check(level == bottom(space, page / PIECE),
		   "a walk to space %u, page %u ends at level %d, not %d", space, page, level,
		   bottom(space, page / PIECE));
	fuzz_check(mmu_map_pml4t(map) && !mmu_map_pdpt(map) == (level > 3) &&
			   !mmu_map_pdt(map) == (level > 2) && !mmu_map_pt(map) == (level > 1),
		   "the views do not end at level %d", level);
}
