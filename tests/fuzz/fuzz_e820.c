/* SPDX-License-Identifier: MIT */
/*
 * Xen's answer to the question for the memory map, of any content: boot_map_read(), memory_map_build() and what asks the map.
 *
 *   u8         bit 0: Xen names another number of entries than it gives, a number; bit 1: dom0; bit 2: Xen answers -ENOSYS;
 *              the others: nr_pages of start_info, in steps of 0x1234
 *   u8         an entry: its type in the low 3 bits (7: any, a u16 more), and in the next 2 from where its address counts: 0, the end
 *              of the entry before, or that one's beginning
 *   number x 2 its address and its size
 *   ...        up to 130 of them
 *
 * The oracle is the rule of memory_map.h, in 128-bit numbers, asked at both sides of each border of each entry: there is no
 * other place where it could change its answer.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <xen/xen.h>
#include <xen/memory.h>
#include <pinion/boot/map.h>
#include <pinion/boot/memory_map.h>
#include <pinion/lib/errno.h>
#include <pinion/xen/hypercall.h>

#define RAW_MAX (E820_MAX + 2)

typedef unsigned __int128 wide;

static struct e820_entry raw[RAW_MAX];
static unsigned int nr_raw;

static struct {
	bool dom0;
	long rc;
	uint64_t nr;
} xen;

/*
 * Xen copies no more than there is room for; how many it says there are is another thing. What it does not write is 0, as in a
 * kernel that asks once.
 */
long hypercall_memory_op(unsigned int cmd, void *arg)
{
	struct xen_memory_map *query = arg;
	unsigned int nr = nr_raw < query->nr_entries ? nr_raw : query->nr_entries;
	void *buffer = query->buffer.p;

	fuzz_check(cmd == (xen.dom0 ? XENMEM_machine_memory_map : XENMEM_memory_map),
		   "memory_op %u", cmd);
	libc_memset(buffer, 0, query->nr_entries * sizeof(raw[0]));
	libc_memcpy(buffer, raw, nr * sizeof(raw[0]));
	query->nr_entries = (unsigned int)xen.nr;
	return xen.rc;
}

static void decode_entries(struct fuzz *f)
{
	struct e820_entry last = { 0, 0, 0 };

	for (nr_raw = 0; nr_raw < RAW_MAX && f->left; nr_raw++) {
		uint8_t form = fuzz_u8(f);
		uint64_t from = form >> 3 & 1 ? last.addr + last.size : 0;

		if ((form >> 3 & 3) == 2)
			from = last.addr;
		last.type = (form & 7) == 7 ? fuzz_u16(f) : form & 7;
		last.addr = from + fuzz_number(f);
		last.size = fuzz_number(f);
		raw[nr_raw] = last;
	}
}

static wide clamp(wide addr)
{
	wide end = (wide)MEMORY_MAP_END_PFN * PAGE_SIZE;

	return addr < end ? addr : end;
}

static wide begin_of(const struct e820_entry *e)
{
	return clamp(e->addr);
}

static wide end_of(const struct e820_entry *e)
{
	return clamp((wide)e->addr + e->size);
}

static enum memory_kind kind_of(const struct e820_entry *e)
{
	return e->type >= E820_RAM && e->type <= E820_UNUSABLE ? (enum memory_kind)e->type
							       : MEMORY_RESERVED;
}

/* Whether the RAM entries have all of [@start, @end): what each of them has is taken away, and what is left goes on. */
static bool covered(wide start, wide end, unsigned int from)
{
	while (from < nr_raw && (kind_of(&raw[from]) != MEMORY_RAM || end_of(&raw[from]) <= start ||
				 begin_of(&raw[from]) >= end))
		from++;
	if (start >= end)
		return true;
	if (from == nr_raw)
		return false;
	if (start < begin_of(&raw[from]) && !covered(start, begin_of(&raw[from]), from + 1))
		return false;
	return end_of(&raw[from]) >= end || covered(end_of(&raw[from]), end, from + 1);
}

static enum memory_kind kind_oracle(uint64_t pfn)
{
	wide start = (wide)pfn * PAGE_SIZE, end = start + PAGE_SIZE;
	enum memory_kind kind = MEMORY_HOLE;

	if (pfn >= MEMORY_MAP_END_PFN)
		return MEMORY_HOLE;
	for (unsigned int i = 0; i < nr_raw; i++)
		if (raw[i].size && begin_of(&raw[i]) < end && end_of(&raw[i]) > start &&
		    kind_of(&raw[i]) > kind)
			kind = kind_of(&raw[i]);
	return kind == MEMORY_RAM && !covered(start, end, 0) ? MEMORY_HOLE : kind;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* All pfns, in ascending order, at which the answer may be another one than before. */
static size_t find_edges(uint64_t *edges)
{
	size_t n = 0;

	edges[n++] = 0;
	for (unsigned int i = 0; i < nr_raw; i++) {
		wide at[] = { begin_of(&raw[i]), end_of(&raw[i]) };

		for (unsigned int side = 0; side < 2; side++) {
			edges[n++] = (uint64_t)(at[side] / PAGE_SIZE);
			edges[n++] = (uint64_t)((at[side] + PAGE_SIZE - 1) / PAGE_SIZE);
		}
	}
	qsort(edges, n, sizeof(*edges), by_number);
	edges[n] = MEMORY_MAP_END_PFN;
	return n;
}

struct expected {
	unsigned int ranges;
	uint64_t ram;
};

/* What the map must be; compared with @map, unless that is NULL. */
static struct expected expect(const struct memory_map *map)
{
	static uint64_t edges[4 * RAW_MAX + 2];
	size_t n = find_edges(edges);
	struct expected e = { 0, 0 };
	enum memory_kind last = MEMORY_HOLE;

	for (size_t i = 0; i < n; i++) {
		uint64_t first = edges[i], end = edges[i + 1];
		enum memory_kind kind;

		if (first == end)
			continue;
		kind = kind_oracle(first);
		if (map)
			fuzz_check(memory_map_kind_at(map, _pfn(first)) == kind &&
					   memory_map_kind_at(map, _pfn(end - 1)) == kind,
				   "pfn [%#lx, %#lx) is %s, not %s", first, end,
				   memory_kind_name(memory_map_kind_at(map, _pfn(first))),
				   memory_kind_name(kind));
		e.ranges += kind != last && kind != MEMORY_HOLE;
		e.ram += kind == MEMORY_RAM ? end - first : 0;
		last = kind;
	}
	return e;
}

/* What memory_map.h promises of any map. */
static void check_sane(const struct memory_map *map)
{
	uint64_t at = 0;

	fuzz_check(map->nr <= MEMORY_MAP_MAX, "%u ranges", map->nr);
	for (unsigned int i = 0; i < map->nr; i++) {
		const struct memory_range *r = &map->range[i];

		fuzz_check(pfn_x(r->start) >= at && pfn_x(r->end) > pfn_x(r->start) &&
				   pfn_x(r->end) <= MEMORY_MAP_END_PFN,
			   "range %u is pfn [%#lx, %#lx)", i, pfn_x(r->start), pfn_x(r->end));
		fuzz_check(r->kind > MEMORY_HOLE && r->kind < MEMORY_KINDS &&
				   (i == 0 || pfn_x(r->start) > at || r[-1].kind != r->kind),
			   "range %u is %s", i, memory_kind_name(r->kind));
		at = pfn_x(r->end);
	}
	fuzz_check(memory_map_kind_at(map, INVALID_PFN) == MEMORY_HOLE, "no pfn is no hole");
}

static void check_build(void)
{
	static struct memory_map map, before;
	/* A copy without room behind it. */
	struct e820_entry *exact = malloc(nr_raw * sizeof(raw[0]) + 1);
	struct expected e = expect(NULL);
	int rc;

	fuzz_check(exact, "no memory");
	libc_memcpy(exact, raw, nr_raw * sizeof(raw[0]));
	libc_memset(&map, 0xa5, sizeof(map));
	before = map;
	rc = memory_map_build(&map, exact, nr_raw);
	free(exact);
	if (nr_raw > E820_MAX || e.ranges > MEMORY_MAP_MAX) {
		fuzz_check(rc == -E2BIG, "%d for %u entries that make %u ranges", rc, nr_raw,
			   e.ranges);
		fuzz_check(libc_memcmp(&map, &before, sizeof(map)) == 0, "the map has changed");
		return;
	}
	fuzz_check(rc == 0, "%d for %u entries that make %u ranges", rc, nr_raw, e.ranges);
	check_sane(&map);
	(void)expect(&map);
	fuzz_check(map.nr == e.ranges, "%u ranges, not %u", map.nr, e.ranges);
	fuzz_check(memory_map_ram_pages(&map) == e.ram, "%lu pages of RAM, not %lu",
		   memory_map_ram_pages(&map), e.ram);
	memory_map_print(&map);
}

/* Whatever Xen answers, there is a map with RAM in it. */
static void check_read(uint64_t nr_pages)
{
	static struct boot_info bi;
	bool usable = xen.rc == 0 && (unsigned int)xen.nr <= E820_MAX;

	bi.initdomain = xen.dom0;
	bi.nr_pages = nr_pages;
	libc_memset(&bi.map, 0xa5, sizeof(bi.map));
	boot_map_read(&bi);
	check_sane(&bi.map);
	fuzz_check(memory_map_ram_pages(&bi.map) > 0, "no RAM");
	if (!usable || nr_raw == 0)
		fuzz_check(bi.map.nr == 1 && pfn_x(bi.map.range[0].end) == nr_pages,
			   "another map than [0, nr_pages)");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = fuzz_bytes(data, size);
	uint8_t form = fuzz_u8(&f);
	uint64_t any = form & 1 ? fuzz_number(&f) : 0;

	host_console_reset();
	xen.dom0 = form >> 1 & 1;
	xen.rc = form >> 2 & 1 ? -ENOSYS : 0;
	decode_entries(&f);
	xen.nr = form & 1 ? any : nr_raw;
	check_build();
	check_read(1 + (form >> 3) * UINT64_C(0x1234));
	return 0;
}
