/* SPDX-License-Identifier: MIT */
/*
 * start_info of any content: start_info_check(), start_info_rings() and start_info_need_pages().
 *
 *   u16        spare pages at the end of the boot region
 *   u16        which fields are hostile: a bit for each, in the order of hostile_fields(). The others are as Xen's builder
 *              has them
 *   ...        each hostile field: a number; of an address also from where it counts (VIRT_BASE, the value that it should
 *              have, 0); the magic is its length and a byte at a place
 *   ...        up to 8 entries of the mfn_list: index, value
 *
 * The oracle is the text at the head of boot/start_info.c in 128-bit numbers: a start_info is refused exactly if it breaks
 * one of these sentences, and what is accepted lies where it must.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <pinion/boot/start_info.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/layout.h>

#define IMAGE_PAGES 80
#define LIST_PAGES  2
#define NR_PAGES    (LIST_PAGES * 512)
#define MAX_PAGES   (UINT64_C(1) << 27) /* the P2M tree's */

typedef unsigned __int128 wide;

static struct {
	struct start_info si;
	struct boot_region region;
	uint64_t va;
} in;

static uint64_t pages(uint64_t n)
{
	return n * PAGE_SIZE;
}

/* As Xen's builder has it: image, mfn_list, start_info, rings, tables, stack, spare pages. */
static void build(uint64_t spare)
{
	libc_memset(&in, 0, sizeof(in));
	libc_memcpy(in.si.magic, "xen-3.0-x86_64", sizeof("xen-3.0-x86_64"));
	in.region.image_end = IMAGE_BASE + pages(IMAGE_PAGES);
	in.si.mfn_list = in.region.image_end;
	in.va = in.si.mfn_list + pages(LIST_PAGES);
	in.si.console.domU.mfn = 0x1000;
	in.si.store_mfn = 0x1001;
	in.si.pt_base = in.va + pages(3);
	in.si.nr_pt_frames = 6;
	in.region.end = in.si.pt_base + pages(in.si.nr_pt_frames + 1 + spare);
	in.si.nr_pages = NR_PAGES;
	in.si.shared_info = pages(0x1234);
	in.si.mod_start = NR_PAGES - 1;
}

static uint64_t number(struct fuzz *f, uint64_t should)
{
	switch (fuzz_u8(f) % 3) {
	case 0:
		return VIRT_BASE + fuzz_number(f);
	case 1:
		return should + fuzz_number(f);
	default:
		return fuzz_number(f);
	}
}

static void hostile_magic(struct fuzz *f)
{
	unsigned int len = fuzz_u8(f) % (sizeof(in.si.magic) + 1);

	for (unsigned int i = 14; i < len; i++)
		in.si.magic[i] = 'p';
	in.si.magic[fuzz_u8(f) % sizeof(in.si.magic)] = (char)fuzz_u8(f);
}

static void hostile_fields(struct fuzz *f)
{
	uint16_t bits = fuzz_u16(f);
	uint64_t *const fields[] = {
		&in.va,
		&in.si.nr_pages,
		&in.si.shared_info,
		&in.si.pt_base,
		&in.si.nr_pt_frames,
		&in.si.mfn_list,
		&in.si.mod_start,
		&in.si.mod_len,
		&in.si.store_mfn,
		&in.si.console.domU.mfn,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++)
		if (bits >> i & 1)
			*fields[i] = number(f, *fields[i]);
	if (bits >> 10 & 1)
		in.si.flags = fuzz_u16(f);
	if (bits >> 11 & 1)
		hostile_magic(f);
	/* It is found by probing, so it is a page's border behind the image. */
	if (bits >> 12 & 1)
		in.region.end = in.region.image_end + pages(fuzz_u16(f) * UINT64_C(7));
}

static bool in_region(wide va, wide bytes)
{
	return va >= VIRT_BASE && va + bytes <= in.region.end;
}

static bool is_page(uint64_t va)
{
	return va % PAGE_SIZE == 0;
}

static bool magic_is_right(void)
{
	return libc_memcmp(in.si.magic, "xen-3.0-x86_64", 15) == 0 ||
	       libc_memcmp(in.si.magic, "xen-3.0-x86_64p", 16) == 0;
}

static bool module_is_right(void)
{
	wide len = in.si.mod_len;

	if (len == 0)
		return true;
	if (in.si.flags & SIF_MOD_START_PFN)
		return (wide)in.si.mod_start * PAGE_SIZE + len <=
			       (wide)in.si.nr_pages * PAGE_SIZE &&
		       in.si.mod_start < in.si.nr_pages;
	return in_region(in.si.mod_start, len);
}

static bool is_right(void)
{
	const struct start_info *si = &in.si;

	return magic_is_right() && in_region(in.va, sizeof(*si)) && si->nr_pages > 0 &&
	       si->nr_pages <= MAX_PAGES &&
	       (wide)VIRT_BASE + pages(si->nr_pages) >= in.region.end &&
	       (!(si->flags & SIF_INITDOMAIN) || (si->flags & SIF_PRIVILEGED)) &&
	       si->shared_info > 0 && is_page(si->shared_info) && si->shared_info < 1UL << 52 &&
	       is_page(si->pt_base) && si->pt_base >= in.region.image_end &&
	       si->nr_pt_frames >= 4 && si->nr_pt_frames < MAX_PAGES &&
	       in_region(si->pt_base, (wide)pages(si->nr_pt_frames + 1)) && is_page(si->mfn_list) &&
	       si->mfn_list >= in.region.image_end &&
	       in_region(si->mfn_list, (wide)si->nr_pages * 8) && module_is_right();
}

/* A sentence for the console: it ends, says something, and forges no line. */
static void check_why(const char *why, size_t cap)
{
	size_t len = libc_strlen(why);

	fuzz_check(len > 10 && len < cap, "a refusal of %zu bytes", len);
	for (size_t i = 0; i < len; i++)
		fuzz_check(why[i] >= ' ' && why[i] <= '~', "byte %#x in a refusal", why[i]);
}

static void check_run(struct frame_run run, const char *what, uint64_t va, uint64_t bytes)
{
	uint64_t end = VIRT_BASE + pages(pfn_x(run.start) + run.nr);

	fuzz_check(boot_va(run.start) == (void *)(va & ~PAGE_OFFSET_MASK), "%s begins at pfn %#lx",
		   what, pfn_x(run.start));
	fuzz_check(end >= va + bytes && end - (va + bytes) < PAGE_SIZE && end <= in.region.end,
		   "%s has %#lx pages", what, run.nr);
}

static void check_info(const struct boot_info *bi)
{
	uint64_t need = start_info_need_pages(bi), stack_end = pfn_x(bi->stack_end);

	check_run(bi->image, "the image", IMAGE_BASE, in.region.image_end - IMAGE_BASE);
	check_run(bi->mfn_list, "the mfn_list", in.si.mfn_list, in.si.nr_pages * 8);
	check_run(bi->tables, "the tables", in.si.pt_base, pages(in.si.nr_pt_frames));
	if (bi->module.nr && !(in.si.flags & SIF_MOD_START_PFN))
		check_run(bi->module, "the module", in.si.mod_start, in.si.mod_len);
	fuzz_check(pfn_x(bi->module.start) + bi->module.nr <= bi->nr_pages &&
			   (bi->module.nr > 0) == (in.si.mod_len > 0) &&
			   bi->module_bytes == in.si.mod_len,
		   "the module is pfn %#lx, %#lx pages", pfn_x(bi->module.start), bi->module.nr);
	fuzz_check(stack_end == pfn_x(bi->tables.start) + bi->tables.nr + 1 &&
			   stack_end <= pfn_x(bi->region_end) &&
			   pfn_x(bi->region_end) <= bi->nr_pages,
		   "the stack ends at pfn %#lx", stack_end);
	fuzz_check(pfn_x(bi->start_info) < pfn_x(bi->region_end) && bi->ram_pages == bi->nr_pages,
		   "start_info is pfn %#lx", pfn_x(bi->start_info));
	fuzz_check(need >= stack_end && need >= pfn_x(bi->module.start) + bi->module.nr &&
			   need >= bi->image.nr + 128,
		   "%#lx pages are needed", need);
}

static void check_ring(struct boot_ring ring, uint64_t mfn, const uint64_t *list, uint64_t nr)
{
	uint64_t pfn = 0;

	while (pfn < nr && list[pfn] != mfn)
		pfn++;
	if (in.si.flags & SIF_INITDOMAIN || mfn == 0 || pfn == nr)
		pfn = INVALID_PFN_X;
	fuzz_check(pfn_x(ring.pfn) == pfn, "MFN %#lx is taken for pfn %#lx, not %#lx", mfn,
		   pfn_x(ring.pfn), pfn);
}

/* The rings; the list ends where the boot region does, for nothing behind it may be looked at. */
static void check_rings(struct fuzz *f, struct boot_info *bi)
{
	uint64_t nr = pfn_x(bi->region_end), *list = calloc(nr, sizeof(*list));

	fuzz_check(list, "no memory");
	for (unsigned int i = 0; i < 8 && f->left; i++) {
		uint64_t at = fuzz_below(f, nr);

		list[at] = fuzz_u8(f) & 1 ? in.si.store_mfn : fuzz_number(f);
	}
	start_info_rings(bi, &in.si, list);
	check_ring(bi->console, in.si.console.domU.mfn, list, nr);
	check_ring(bi->store, in.si.store_mfn, list, nr);
	free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info bi, before;
	struct fuzz f = fuzz_bytes(data, size);
	char why[160];
	int rc;

	build(fuzz_u16(&f) % 2048);
	hostile_fields(&f);
	libc_memset(&bi, 0xa5, sizeof(bi));
	before = bi;
	libc_memset(why, 0xa5, sizeof(why));
	rc = start_info_check(&bi, &in.si, in.va, &in.region, why, sizeof(why));
	if (rc) {
		fuzz_check(rc == -EINVAL && !is_right(), "refused with %d: '%.150s'", rc, why);
		fuzz_check(libc_memcmp(&bi, &before, sizeof(bi)) == 0, "boot_info has changed");
		check_why(why, sizeof(why));
		return 0;
	}
	fuzz_check(is_right(), "a wrong start_info is accepted");
	check_info(&bi);
	check_rings(&f, &bi);
	return 0;
}
