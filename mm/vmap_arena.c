/* SPDX-License-Identifier: MIT */
/*
 * The address allocator of the vmap arena: a table of areas, sorted by address.
 *
 *     page 0      1                              g = guard
 *          | g  | a a a a | g | b | g |  free  | g | c c c ...
 *
 * An area is followed by one page that stays free, and the arena begins with one. First fit: the
 * lowest hole that is large enough, so that few page tables are in use. A thousand areas are looked through in a
 * few microseconds, the hypercall that follows takes about as long; and a static table needs no memory when there is none.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/string.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/vmap.h>
#include "vmap_arena.h"

#define ARENA_PAGES ((VMAP_END - VMAP_BASE) >> PAGE_SHIFT)

static struct vmap_area areas[VMAP_AREAS];
static unsigned int nr_areas;

/* The first page that can be used behind area @i - 1. */
static uint64_t hole_start(unsigned int i)
{
	return i == 0 ? 1 : (uint64_t)areas[i - 1].page + areas[i - 1].nr + 1;
}

static uint64_t hole_end(unsigned int i)
{
	return i == nr_areas ? ARENA_PAGES : areas[i].page;
}

int vmap_arena_get(uint64_t nr, enum vmap_kind kind, struct vmap_area **area)
{
	unsigned int i;

	if (nr == 0)
		return -EINVAL;
	if (nr_areas == VMAP_AREAS || nr >= ARENA_PAGES)
		return -ENOMEM;
	for (i = 0; i <= nr_areas; i++)
		if (hole_start(i) + nr + 1 <= hole_end(i))
			break;
	if (i > nr_areas)
		return -ENOMEM;
	*area = &areas[i];
	memmove(*area + 1, *area, (nr_areas - i) * sizeof(areas[0]));
	**area = (struct vmap_area){
		.page = (uint32_t)hole_start(i),
		.nr = (uint32_t)nr,
		.kind = kind,
		.first = FRAME_NIL,
	};
	nr_areas++;
	return 0;
}

void vmap_arena_put(struct vmap_area *area)
{
	nr_areas--;
	memmove(area, area + 1, (size_t)(&areas[nr_areas] - area) * sizeof(areas[0]));
}

/* How many areas begin below @page. */
static unsigned int below(uint64_t page)
{
	unsigned int low = 0, high = nr_areas, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (areas[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t page_of(uint64_t va)
{
	return (va - VMAP_BASE) >> PAGE_SHIFT;
}

static bool is_address(uint64_t va)
{
	return va % PAGE_SIZE == 0 && va >= VMAP_BASE && va < VMAP_END;
}

struct vmap_area *vmap_arena_at(uint64_t va)
{
	unsigned int i = below(page_of(va));

	if (!is_address(va) || i == nr_areas || areas[i].page != page_of(va))
		return NULL;
	return &areas[i];
}

struct vmap_area *vmap_arena_ending(uint64_t va)
{
	unsigned int i = below(page_of(va));

	if (!is_address(va) || i == 0 || hole_start(i) - 1 != page_of(va))
		return NULL;
	return &areas[i - 1];
}

unsigned int vmap_areas(void)
{
	return nr_areas;
}

uint64_t vmap_pages(void)
{
	uint64_t pages = 0;
	unsigned int i;

	for (i = 0; i < nr_areas; i++)
		pages += areas[i].nr;
	return pages;
}
