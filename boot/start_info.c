/* SPDX-License-Identifier: MIT */
/*
 * The checks of start_info. Xen's builders fill it in faithfully, but a kernel that believes it is
 * a kernel that a broken toolstack can crash without a word; so each field is checked before
 * it is used, and the first wrong one is named with its value.
 *
 * What must hold ('Start of day' in Xen's public/xen.h; xc_dom_x86.c, pv/dom0_build.c):
 *   - the boot region is contiguous from VIRT_BASE, and holds in this order the image, the module,
 *     the mfn_list, start_info, the rings, the page tables, the stack page;
 *   - it is no larger than nr_pages, since VIRT_BASE + pfn * 4096 is pfn for all of it.
 */
#include <pinion/boot/start_info.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/layout.h>

/* Frames a kernel can manage at most: the P2M tree has 512 * 512 * 512 leaves. */
#define MAX_PAGES (UINT64_C(1) << 27)

/* A table of each level is the least that maps anything. */
#define MIN_TABLES 4

/* Free frames without which there is no point in going on: the first boot allocations. */
#define MIN_FREE_PAGES 128

#define MAGIC "xen-3.0-x86_64"

struct check {
	const struct boot_region *region;
	char *why;
	size_t n;
};

#define refuse(c, ...) (snprintf((c)->why, (c)->n, __VA_ARGS__), -EINVAL)

/* Whether [va, va + bytes) lies in the boot region; false on overflow, true for 0 bytes at its end. */
static bool in_region(const struct boot_region *region, uint64_t va, uint64_t bytes)
{
	return va >= VIRT_BASE && va <= region->end && bytes <= region->end - va;
}

static struct frame_run run_of(uint64_t va, uint64_t bytes)
{
	struct frame_run run = { boot_va_pfn((const void *)va), 0 };

	run.nr = frames_up((va & PAGE_OFFSET_MASK) + bytes);
	return run;
}

/* 'xen-3.0-x86_64', and nothing behind it but the 'p' that some Xens append for PAE_MODE. */
static bool magic_ok(const char *magic, size_t cap)
{
	size_t len = strnlen(magic, cap), want = sizeof(MAGIC) - 1;

	return len < cap && strncmp(magic, MAGIC, want) == 0 &&
	       (len == want || (len == want + 1 && magic[want] == 'p'));
}

/* At most 31 bytes of @magic for a message, unprintable ones as '?'. */
static const char *magic_text(const char *magic, char text[32])
{
	size_t i;

	for (i = 0; i < 31 && magic[i]; i++)
		text[i] = (char)(magic[i] >= ' ' && magic[i] <= '~' ? magic[i] : '?');
	text[i] = '\0';
	return text;
}

static int check_numbers(struct check *c, const struct start_info *si, uint64_t va)
{
	uint64_t region_pages = (c->region->end - VIRT_BASE) >> PAGE_SHIFT;
	char text[32];

	if (!magic_ok(si->magic, sizeof(si->magic)))
		return refuse(c, "start_info.magic is '%s', expected '" MAGIC "'",
			      magic_text(si->magic, text));
	if (!in_region(c->region, va, sizeof(*si)))
		return refuse(c, "start_info at %#lx is outside the boot region", va);
	if (si->nr_pages == 0 || si->nr_pages > MAX_PAGES)
		return refuse(c, "start_info.nr_pages is %#lx, expected 1 to %#lx", si->nr_pages,
			      MAX_PAGES);
	if (si->nr_pages < region_pages)
		return refuse(c, "start_info.nr_pages is %#lx, but %#lx pages are mapped",
			      si->nr_pages, region_pages);
	if ((si->flags & SIF_INITDOMAIN) && !(si->flags & SIF_PRIVILEGED))
		return refuse(c, "start_info.flags are %#x: INITDOMAIN without PRIVILEGED",
			      si->flags);
	if (si->shared_info == 0 || (si->shared_info & PAGE_OFFSET_MASK) || si->shared_info >> 52)
		return refuse(c, "start_info.shared_info is %#lx, expected a machine page address",
			      si->shared_info);
	return 0;
}

static int check_tables(struct check *c, const struct start_info *si)
{
	uint64_t after;

	if ((si->pt_base & PAGE_OFFSET_MASK) || si->pt_base < c->region->image_end ||
	    !in_region(c->region, si->pt_base, 0))
		return refuse(c, "start_info.pt_base is %#lx: not a page of the boot region",
			      si->pt_base);
	after = (c->region->end - si->pt_base) >> PAGE_SHIFT;
	/* One page more: the stack follows the tables. */
	if (si->nr_pt_frames < MIN_TABLES || si->nr_pt_frames >= after)
		return refuse(c, "start_info.nr_pt_frames is %#lx, expected %d to %#lx",
			      si->nr_pt_frames, MIN_TABLES, after - 1);
	if ((si->mfn_list & PAGE_OFFSET_MASK) || si->mfn_list < c->region->image_end ||
	    !in_region(c->region, si->mfn_list, si->nr_pages * sizeof(uint64_t)))
		return refuse(c,
			      "start_info.mfn_list at %#lx with %#lx entries is not in the boot "
			      "region",
			      si->mfn_list, si->nr_pages);
	return 0;
}

/* The module: a virtual address in the region, or with SIF_MOD_START_PFN a PFN anywhere in RAM. */
static int check_module(struct check *c, const struct start_info *si, struct frame_run *run)
{
	bool by_pfn = (si->flags & SIF_MOD_START_PFN) != 0;

	*run = (struct frame_run){ _pfn(0), 0 };
	if (si->mod_len == 0)
		return 0;
	if (by_pfn) {
		if (si->mod_start >= si->nr_pages ||
		    frames_up(si->mod_len) > si->nr_pages - si->mod_start)
			return refuse(c, "the boot module (pfn %#lx, %#lx bytes) is outside RAM",
				      si->mod_start, si->mod_len);
		*run = (struct frame_run){ _pfn(si->mod_start), frames_up(si->mod_len) };
		return 0;
	}
	if (!in_region(c->region, si->mod_start, si->mod_len))
		return refuse(c, "the boot module (%#lx, %#lx bytes) is outside the boot region",
			      si->mod_start, si->mod_len);
	*run = run_of(si->mod_start, si->mod_len);
	return 0;
}

int start_info_check(struct boot_info *bi, const struct start_info *si, uint64_t va,
		     const struct boot_region *region, char *why, size_t n)
{
	struct check c = { region, why, n };
	struct frame_run module;
	int rc;

	rc = check_numbers(&c, si, va);
	if (!rc)
		rc = check_tables(&c, si);
	if (!rc)
		rc = check_module(&c, si, &module);
	if (rc)
		return rc;

	bi->initdomain = (si->flags & SIF_INITDOMAIN) != 0;
	bi->flags = si->flags;
	bi->nr_pages = si->nr_pages;
	bi->ram_pages = si->nr_pages;
	bi->region_end = boot_va_pfn((const void *)region->end);
	bi->image = run_of(IMAGE_BASE, region->image_end - IMAGE_BASE);
	bi->mfn_list = run_of(si->mfn_list, si->nr_pages * sizeof(uint64_t));
	bi->tables = run_of(si->pt_base, si->nr_pt_frames * PAGE_SIZE);
	bi->start_info = boot_va_pfn((const void *)va);
	bi->stack_end = pfn_add(bi->tables.start, si->nr_pt_frames + 1);
	bi->l4 = bi->tables.start;
	bi->shared_info = _maddr(si->shared_info);
	bi->module = module;
	bi->module_bytes = module.nr ? si->mod_len : 0;
	return 0;
}

/* The boot-region frame that holds @mfn, or INVALID_PFN. MFN 0 is 'none' in start_info. */
static pfn_t find_pfn(const struct boot_info *bi, const uint64_t *mfn_list, uint64_t mfn)
{
	uint64_t pfn;

	if (mfn == 0)
		return INVALID_PFN;
	for (pfn = 0; pfn < pfn_x(bi->region_end); pfn++)
		if (mfn_list[pfn] == mfn)
			return _pfn(pfn);
	return INVALID_PFN;
}

void start_info_rings(struct boot_info *bi, const struct start_info *si, const uint64_t *mfn_list)
{
	bi->console = (struct boot_ring){ INVALID_PFN, 0 };
	bi->store = (struct boot_ring){ INVALID_PFN, 0 };
	/* As dom0 the union holds something else: offsets of a video mode description. */
	if (bi->initdomain)
		return;
	bi->console.pfn = find_pfn(bi, mfn_list, si->console.domU.mfn);
	bi->console.port = si->console.domU.evtchn;
	bi->store.pfn = find_pfn(bi, mfn_list, si->store_mfn);
	bi->store.port = si->store_evtchn;
}

uint64_t start_info_need_pages(const struct boot_info *bi)
{
	uint64_t in_use = pfn_x(bi->stack_end) - pfn_x(bi->image.start);
	uint64_t need = in_use + MIN_FREE_PAGES;
	uint64_t module_end = pfn_x(bi->module.start) + bi->module.nr;

	/* Frames in use don't move, so all of them must be within it. */
	if (need < pfn_x(bi->stack_end))
		need = pfn_x(bi->stack_end);
	if (bi->module.nr && need < module_end)
		need = module_end;
	return need;
}
