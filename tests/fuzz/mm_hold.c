/* SPDX-License-Identifier: MIT */
/* Holds and sections of them, and address spaces that come and go; see mm.c for the bytes. */
#include "mm.h"

static mmu_map_t map_of(unsigned int i)
{
	return (mmu_map_t)oracle.holder[i].room;
}

static bool is_broken(unsigned int space)
{
	return oracle.space[space].broken;
}

/* Which map, which space, which page: 10 of a window, at both ends of each piece and in its middle. */
static void decode(struct fuzz *f, unsigned int *map, unsigned int *space, unsigned int *page)
{
	static const unsigned int pages[] = { 0, 1, 511, 512, 513, 1023, 1024, 1025, 1535, 800 };
	uint8_t form = fuzz_u8(f);

	*map = form & 3;
	*space = form >> 2 & 3;
	*page = pages[(form >> 4) % 10];
}

static void hold(struct fuzz *f)
{
	unsigned int map, space, page;
	int rc;

	decode(f, &map, &space, &page);
	rc = mmu_map_hold_va(oracle.space[space].as, map_of(map), mm_va(space, page));
	fuzz_say("hold by map %u of space %u, page %u: %d", map, space, page, rc);
	if (oracle.holder[map].space != NOBODY) {
		fuzz_check(rc == -EBUSY, "a second hold of map %u: %d", map, rc);
		return;
	}
	fuzz_check(mm_excused(space, rc) || (rc == 0 && !is_broken(space)),
		   "a hold of space %u, page %u: %d", space, page, rc);
	if (rc == 0) {
		oracle.holder[map].space = space;
		oracle.holder[map].page = page;
	}
}

static void release(struct fuzz *f)
{
	unsigned int map, space, page;
	struct holder *h;
	bool right;
	int rc;

	decode(f, &map, &space, &page);
	h = &oracle.holder[map];
	if (fuzz_u8(f) & 3 && h->space != NOBODY) {
		space = h->space;
		page = h->page;
	}
	right = h->space == space && h->page == page;
	rc = mmu_map_release_va(oracle.space[space].as, map_of(map), mm_va(space, page));
	fuzz_say("release by map %u of space %u, page %u: %d", map, space, page, rc);
	fuzz_check(right ? rc == 0 || mm_excused(space, rc) : rc == -EINVAL,
		   "a release of space %u, page %u: %d", space, page, rc);
	if (rc == 0)
		h->space = NOBODY;
}

static void look(void)
{
	for (unsigned int space = 0; space < SPACES; space++)
		for (unsigned int piece = 0; piece < PIECES; piece++) {
			mm_check_page(space, piece * PIECE);
			mm_check_tables(space, piece * PIECE);
		}
}

void mm_hold(struct fuzz *f)
{
	hold(f);
	look();
}

void mm_release(struct fuzz *f)
{
	release(f);
	look();
}

void mm_inspect(struct fuzz *f)
{
	unsigned int map, space, page;

	decode(f, &map, &space, &page);
	mm_check_page(space, page);
	mm_check_tables(space, page);
}

/* Up to 6 holds and releases that take effect together, or not. */
void mm_section(struct fuzz *f)
{
	uint8_t form = fuzz_u8(f);
	unsigned int nr = form % 7;
	int end = form & 128 ? -ENOENT : 0, rc;
	struct holder before[MAPS];
	struct aspace_range range = { oracle.space[0].va, 1, NULL };

	for (unsigned int i = 0; i < MAPS; i++)
		before[i] = oracle.holder[i];
	mmu_batch_begin();
	for (unsigned int i = 0; i < nr; i++) {
		if (fuzz_u8(f) & 1)
			hold(f);
		else
			release(f);
	}
	rc = aspace_unmap(oracle.space[0].as, &range);
	fuzz_check(rc == -EBUSY || is_broken(0), "a range in a section: %d", rc);
	rc = mmu_batch_end(end);
	fuzz_say("section of %u: %d", nr, rc);
	fuzz_check(rc == end || trouble.refused > 0, "a section ends with %d, not %d", rc, end);
	for (unsigned int space = 0; space < SPACES; space++)
		if (oracle.space[space].as->broken && rc == -EIO && trouble.refused > 1)
			oracle.space[space].broken = true;
	for (unsigned int i = 0; i < MAPS && rc; i++) {
		oracle.holder[i].space = before[i].space;
		oracle.holder[i].page = before[i].page;
	}
	look();
}

void mm_activate(struct fuzz *f)
{
	unsigned int space = fuzz_u8(f) % SPACES;
	int rc = aspace_activate(oracle.space[space].as);

	fuzz_say("activate space %u: %d", space, rc);
	fuzz_check(mm_excused(space, rc) || (rc == 0 && !is_broken(space)),
		   "activating space %u: %d", space, rc);
	if (rc == 0)
		oracle.current = space;
	fuzz_check(aspace_current() == oracle.space[oracle.current].as, "another space is current");
	look();
}

/* A space is destroyed, and made anew. */
void mm_renew(struct fuzz *f)
{
	unsigned int space = fuzz_u8(f) % SPACES;
	struct space *s = &oracle.space[space];
	bool busy = space == KERNEL || space == oracle.current || s->as->holds > 0;
	int rc = aspace_destroy(s->as);

	fuzz_say("renew space %u: %d", space, rc);
	if (rc && !busy && trouble.refused > 0) {
		/* One section: it is as it was, unless its undo was refused too. */
		s->broken |= rc == -EIO && trouble.refused > 1;
		fuzz_check(s->as->broken == s->broken, "a failed destroy (%d) leaves space %u %s",
			   rc, space, s->broken ? "whole" : "broken");
		look();
		return;
	}
	fuzz_check(rc == (busy ? -EBUSY : 0), "destroying space %u: %d", space, rc);
	if (rc)
		return;
	mm_forget(space);
	trouble = (struct trouble){ .refused = 0 };
	fuzz_check(aspace_create(s->as) == 0, "no new space");
	look();
}
