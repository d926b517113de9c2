/* SPDX-License-Identifier: MIT */
/* The boot allocator; see <pinion/mm/boot_alloc.h>. */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/lib/string.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/layout.h>
#include <pinion/xen/hypercall.h>

/* The memory map has at most 128 ranges, and a few cuts are made. */
#define RANGES_MAX 160

struct range {
	uint64_t start, end; /* PFNs, half-open */
	bool mapped;
};

static struct range ranges[RANGES_MAX];
static unsigned int nr_ranges;

static void add_range(uint64_t start, uint64_t end, bool mapped)
{
	if (start >= end)
		return;
	if (nr_ranges == RANGES_MAX) {
		print("boot_alloc: no room for pfns [%#lx, %#lx), left unused\n", start, end);
		return;
	}
	ranges[nr_ranges++] = (struct range){ start, end, mapped };
}

/* Adds the parts of [start, end) that the memory map calls RAM; what it calls a hole may move. */
static void add_mapped_ram(const struct boot_info *bi, uint64_t start, uint64_t end)
{
	uint64_t pfn;

	if (end > bi->ram_pages)
		end = bi->ram_pages;
	while (start < end) {
		if (memory_map_kind_at(&bi->map, _pfn(start)) != MEMORY_RAM) {
			start++;
			continue;
		}
		for (pfn = start; pfn < end; pfn++)
			if (memory_map_kind_at(&bi->map, _pfn(pfn)) != MEMORY_RAM)
				break;
		add_range(start, pfn, true);
		start = pfn;
	}
}

void boot_alloc_init(const struct boot_info *bi)
{
	nr_ranges = 0;
	add_mapped_ram(bi, 0, pfn_x(bi->image.start));
	add_mapped_ram(bi, pfn_x(bi->stack_end), pfn_x(bi->region_end));
}

void boot_alloc_add_unmapped(pfn_t start, uint64_t nr)
{
	add_range(pfn_x(start), pfn_x(start) + nr, false);
}

void *boot_alloc_page(pfn_t *pfn)
{
	unsigned int i;
	void *page;

	for (i = 0; i < nr_ranges; i++) {
		if (!ranges[i].mapped || ranges[i].start == ranges[i].end)
			continue;
		if (pfn)
			*pfn = _pfn(ranges[i].start);
		page = boot_va(_pfn(ranges[i].start++));
		memset(page, 0, PAGE_SIZE);
		return page;
	}
	return NULL;
}

void boot_alloc_give_back(pfn_t pfn)
{
	uint64_t n = pfn_x(pfn);
	struct range *r;

	for (r = ranges; r < ranges + nr_ranges; r++)
		if (n >= r->start && n < r->end)
			panic("boot_alloc: pfn %#" PRI_pfn " is given back twice", n);
	for (r = ranges; r < ranges + nr_ranges; r++) {
		if (!r->mapped)
			continue;
		if (r->start == n + 1) {
			r->start = n;
			return;
		}
		if (r->end == n) {
			r->end++;
			return;
		}
	}
	add_range(n, n + 1, true);
}

/*
 * Takes @nr frames off the end of a mapped range, their start-of-day mappings with them. If Xen refuses one, those that
 * have lost theirs are a range of the other pool from then on. (-EFAULT comes after the change.)
 */
static int unmap_end(struct range *range, uint64_t nr)
{
	uint64_t end = range->end;
	long rc = 0;

	while (!rc && range->end > end - nr) {
		rc = hypercall_update_va_mapping((uintptr_t)boot_va(_pfn(range->end - 1)), 0,
						 UVMF_INVLPG);
		if (!rc || rc == -EFAULT)
			range->end--;
	}
	if (rc)
		add_range(range->end, end, false);
	return (int)rc;
}

/* The range to cut @nr frames from: unmapped if there is one, the largest of its kind. */
static struct range *best_range(uint64_t nr)
{
	struct range *best = NULL;
	unsigned int i;

	for (i = 0; i < nr_ranges; i++) {
		struct range *r = &ranges[i];

		if (r->end - r->start < nr)
			continue;
		if (!best || (best->mapped && !r->mapped) ||
		    (best->mapped == r->mapped && r->end - r->start > best->end - best->start))
			best = r;
	}
	return best;
}

int boot_alloc_run(uint64_t nr, pfn_t *start)
{
	struct range *range = best_range(nr);
	int rc = 0;

	if (!range)
		return -ENOMEM;
	if (!range->mapped)
		range->end -= nr;
	else
		rc = unmap_end(range, nr);
	if (!rc)
		*start = _pfn(range->end);
	return rc;
}

uint64_t boot_alloc_free(void)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < nr_ranges; i++)
		sum += ranges[i].end - ranges[i].start;
	return sum;
}

bool boot_alloc_range(unsigned int i, struct frame_run *run, bool *mapped)
{
	if (i >= nr_ranges)
		return false;
	*run = (struct frame_run){ _pfn(ranges[i].start), ranges[i].end - ranges[i].start };
	*mapped = ranges[i].mapped;
	return true;
}

void boot_alloc_drain(void (*fn)(pfn_t start, uint64_t nr))
{
	unsigned int i;

	for (i = 0; i < nr_ranges; i++)
		if (ranges[i].start < ranges[i].end)
			fn(_pfn(ranges[i].start), ranges[i].end - ranges[i].start);
	nr_ranges = 0;
}
