/* SPDX-License-Identifier: MIT */
/*
 * Memory comes up: phases 4 to 7. Every step uses only what the one before it made:
 *
 *   PMAP           needs two static pages
 *   boot allocator needs the boot region
 *   P2M            needs mapped pages from it
 *   direct map     needs the P2M, unmapped frames, and PMAP
 *   own tables     need the direct map
 *   frame table    is filled from the own tables, and carries the frame allocator
 */
#include <pinion/arch/io.h>
#include <pinion/boot/memory.h>
#include <pinion/boot/refuse.h>
#include <pinion/lib/print.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/p2m_boot.h>
#include <pinion/mm/pmap.h>
#include <pinion/xen/console.h>
#include <pinion/xen/shared_info.h>

static bool up;
static uint64_t reclaimed;

bool memory_is_up(void)
{
	return up;
}

uint64_t memory_reclaimed(void)
{
	return reclaimed;
}

static uint64_t marks[BOOT_MARKS];

void boot_mark(enum boot_mark mark)
{
	marks[mark] = rdtsc();
}

uint64_t boot_marked(enum boot_mark mark)
{
	return marks[mark];
}

static void must(const char *what, long rc)
{
	if (rc < 0)
		boot_refuse_rc(what, rc);
}

static pfn_t p2m_page_alloc(void *ctx __maybe_unused)
{
	pfn_t pfn;

	return boot_alloc_page(&pfn) ? pfn : INVALID_PFN;
}

/* Pages leave the tree in any order; they stay mapped where they are. */
static void p2m_page_free(void *ctx __maybe_unused, pfn_t pfn)
{
	boot_alloc_give_back(pfn);
}

/* Once the frame allocator stands. Pages of before are the allocator's to take, like any frame. */
static pfn_t p2m_frame_alloc(void *ctx __maybe_unused)
{
	pfn_t pfn;

	return frame_alloc(0, OWNER_P2M, &pfn) ? INVALID_PFN : pfn;
}

static void p2m_frame_free(void *ctx __maybe_unused, pfn_t pfn)
{
	frame_free(pfn, 0);
}

static const struct p2m_source early_source = { p2m_page_alloc, p2m_page_free, NULL };
static const struct p2m_source late_source = { p2m_frame_alloc, p2m_frame_free, NULL };

/* RAM that the boot region does not map, up to what mem= leaves. */
static void add_unmapped(const struct boot_info *bi)
{
	uint64_t limit = bi->ram_pages < bi->nr_pages ? bi->ram_pages : kernel_p2m.max_pfn;
	pfn_t start = bi->region_end, end;

	for (;;) {
		start = p2m_ram_next(&kernel_p2m, start);
		if (pfn_eq(start, INVALID_PFN) || pfn_x(start) >= limit)
			return;
		end = p2m_ram_end(&kernel_p2m, start);
		if (pfn_x(end) > limit)
			end = _pfn(limit);
		boot_alloc_add_unmapped(start, pfn_x(end) - pfn_x(start));
		start = end;
	}
}

void memory_early(const struct boot_info *bi)
{
	struct p2m_boot_report holes = { 0 };
	pfn_t bad = INVALID_PFN;
	int rc;

	must("PMAP", pmap_open(bi));
	boot_alloc_init(bi);
	must("P2M", p2m_init(&kernel_p2m, &early_source, VIRT_BASE));
	rc = p2m_graft(&kernel_p2m, bi->mfn_list.start, bi->nr_pages, &bad);
	if (!pfn_eq(bad, INVALID_PFN))
		print("p2m: the mfn_list's entry for pfn %#" PRI_pfn " is no MFN\n", pfn_x(bad));
	must("grafting the mfn_list", rc);
	must("identity ranges", p2m_boot_holes(&kernel_p2m, bi, &holes));
	print("p2m: %lu identity pfns%s, %lu frames moved out of holes (%lu whole leaves), %lu in "
	      "use stay\n",
	      holes.identity, holes.clamped ? " (clamped to the tree)" : "", holes.moved,
	      holes.relinked, holes.in_use);
	add_unmapped(bi);
	boot_mark(MARK_EARLY);
}

void memory_late(const struct boot_info *bi)
{
	long rc;

	boot_mark(MARK_DIRECT_MAP);
	must("direct map", direct_map_build(bi));
	boot_mark(MARK_DIRECT_MAP_END);
	must("closing PMAP", pmap_close(bi));
	p2m_rebase(&kernel_p2m, DIRECT_MAP);
	must("publishing the P2M", p2m_publish(&kernel_p2m, shared_info()));
	if (!bi->initdomain)
		console_move_ring(direct_va(bi->console.pfn));
	must("the kernel's own tables", kernel_map_enter(bi));
	up = true;
	rc = kernel_map_reclaim(bi);
	must("giving up start of day's tables", rc);
	reclaimed = (uint64_t)rc;
	must("frame table", frame_table_init(bi));
	frame_alloc_init();
	aspace_init();
	p2m_set_source(&kernel_p2m, &late_source);
	frame_alloc_set_poison(bi->options.poison);
	mmu_batch_set_sync(bi->options.sync);
	boot_mark(MARK_UP);
	print("memory: direct map to pfn %#" PRI_pfn
	      ", %lu table pages; %lu of start of day's back\n",
	      pfn_x(direct_map_end()), direct_map_tables().nr, reclaimed);
	print("memory: frame table %lu pages, P2M %lu, %lu frames free\n", frame_table_pages(),
	      kernel_p2m.pages + kernel_p2m.list_pages, frame_alloc_free());
}
