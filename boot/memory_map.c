/* SPDX-License-Identifier: MIT */
/*
 * From raw E820 entries to the memory map; the rule for a page is in memory_map.h.
 *
 * The map is found by a sweep. What a page is can only change at an *edge*: a page border at or
 * next to the beginning or the end of an entry. So the sweep goes from edge to edge, and asks of
 * each piece between two edges what its first page is:
 *
 *     entries       |-------------|       |--|
 *                           |-------|
 *     edges     |   |       |   | | |     |  |      each rounded down and up to a page
 *
 * With n entries there are at most 4n edges, and each costs a walk over all entries. That needs no
 * sorting, no scratch memory and no trust in the input; n is at most 128, and this runs once.
 * The sweep runs twice, first to count: an overflow is known before anything is stored.
 */
#include <stdbool.h>
#include <pinion/boot/memory_map.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>

#define END_ADDR (MEMORY_MAP_END_PFN << PAGE_SHIFT)

/* The bytes [*@start, *@end) of a raw entry below END_ADDR; false if there are none. */
static bool entry_bytes(const struct e820_entry *e, uint64_t *start, uint64_t *end)
{
	if (!e->size || e->addr >= END_ADDR)
		return false;
	*start = e->addr;
	*end = e->size > END_ADDR - e->addr ? END_ADDR : e->addr + e->size;
	return true;
}

static enum memory_kind entry_kind(const struct e820_entry *e)
{
	switch (e->type) {
	case E820_RAM:
		return MEMORY_RAM;
	case E820_ACPI:
		return MEMORY_ACPI;
	case E820_NVS:
		return MEMORY_NVS;
	case E820_UNUSABLE:
		return MEMORY_UNUSABLE;
	default: /* E820_RESERVED, and what this kernel has never heard of */
		return MEMORY_RESERVED;
	}
}

/* Whether RAM entries together cover each byte of page @pfn. */
static bool is_all_ram(const struct e820_entry *raw, size_t nr, uint64_t pfn)
{
	uint64_t at = pfn << PAGE_SHIFT, stop = at + PAGE_SIZE, start, end;

	/* Each round goes on to the furthest end of an entry that has byte @at. */
	while (at < stop) {
		uint64_t furthest = at;

		for (size_t i = 0; i < nr; i++)
			if (entry_kind(&raw[i]) == MEMORY_RAM &&
			    entry_bytes(&raw[i], &start, &end) && start <= at && end > furthest)
				furthest = end;
		if (furthest == at)
			return false;
		at = furthest;
	}
	return true;
}

/* What page @pfn is, and the next edge behind it: all pages before it are the same. */
static enum memory_kind look(const struct e820_entry *raw, size_t nr, uint64_t pfn, uint64_t *edge)
{
	enum memory_kind kind = MEMORY_HOLE;

	*edge = MEMORY_MAP_END_PFN;
	for (size_t i = 0; i < nr; i++) {
		uint64_t start, end, edges[4];

		if (!entry_bytes(&raw[i], &start, &end))
			continue;
		edges[0] = frames_down(start);
		edges[1] = frames_up(start);
		edges[2] = frames_down(end);
		edges[3] = frames_up(end);
		for (int e = 0; e < 4; e++)
			if (edges[e] > pfn && edges[e] < *edge)
				*edge = edges[e];
		if (edges[0] <= pfn && pfn < edges[3] && entry_kind(&raw[i]) > kind)
			kind = entry_kind(&raw[i]);
	}
	if (kind == MEMORY_RAM && !is_all_ram(raw, nr, pfn))
		kind = MEMORY_HOLE;
	return kind;
}

/* The ranges of @raw, stored from @out on unless that is NULL. Returns their number. */
static unsigned int sweep(struct memory_range *out, const struct e820_entry *raw, size_t nr)
{
	struct memory_range last = { .kind = MEMORY_HOLE };
	unsigned int count = 0;
	uint64_t edge;

	for (uint64_t pfn = 0; pfn < MEMORY_MAP_END_PFN; pfn = edge) {
		enum memory_kind kind = look(raw, nr, pfn, &edge);

		if (kind != last.kind) {
			last.kind = kind;
			last.start = _pfn(pfn);
			if (kind != MEMORY_HOLE)
				count++;
		}
		last.end = _pfn(edge);
		if (out && kind != MEMORY_HOLE)
			out[count - 1] = last;
	}
	return count;
}

int memory_map_build(struct memory_map *map, const struct e820_entry *raw, size_t nr)
{
	if (nr > E820_MAX || sweep(NULL, raw, nr) > MEMORY_MAP_MAX)
		return -E2BIG;
	map->nr = sweep(map->range, raw, nr);
	return 0;
}

void memory_map_fallback(struct memory_map *map, uint64_t nr_pages)
{
	if (nr_pages > MEMORY_MAP_END_PFN)
		nr_pages = MEMORY_MAP_END_PFN;
	map->nr = nr_pages > 0;
	map->range[0] = (struct memory_range){ _pfn(0), _pfn(nr_pages), MEMORY_RAM };
}

enum memory_kind memory_map_kind_at(const struct memory_map *map, pfn_t pfn)
{
	for (unsigned int i = 0; i < map->nr; i++) {
		const struct memory_range *r = &map->range[i];

		if (pfn_x(pfn) >= pfn_x(r->start) && pfn_x(pfn) < pfn_x(r->end))
			return r->kind;
	}
	return MEMORY_HOLE;
}

uint64_t memory_map_ram_pages(const struct memory_map *map)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < map->nr; i++)
		if (map->range[i].kind == MEMORY_RAM)
			pages += pfn_x(map->range[i].end) - pfn_x(map->range[i].start);
	return pages;
}

const char *memory_kind_name(enum memory_kind kind)
{
	static const char *const names[MEMORY_KINDS] = {
		[MEMORY_HOLE] = "hole", [MEMORY_RAM] = "RAM", [MEMORY_RESERVED] = "reserved",
		[MEMORY_ACPI] = "ACPI", [MEMORY_NVS] = "NVS", [MEMORY_UNUSABLE] = "unusable",
	};

	return (unsigned int)kind < MEMORY_KINDS ? names[kind] : "?";
}

void memory_map_print(const struct memory_map *map)
{
	for (unsigned int i = 0; i < map->nr; i++) {
		const struct memory_range *r = &map->range[i];

		print("memory: pfn [0x%" PRI_pfn ", 0x%" PRI_pfn ") %s, %lu pages\n",
		      pfn_x(r->start), pfn_x(r->end), memory_kind_name(r->kind),
		      pfn_x(r->end) - pfn_x(r->start));
	}
}
