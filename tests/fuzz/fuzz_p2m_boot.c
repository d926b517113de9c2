/* SPDX-License-Identifier: MIT */
/*
 * RAM moves out of the holes of any memory map: p2m_graft(), p2m_boot_holes(), p2m_publish(), on the machine of tests/host/machine.h.
 *
 *   u16, u16   pages of the guest, spare pages of the boot region
 *   u8         bit 0: there is a module (u16, u16); 1, 2: the console's and the store's ring (u16 each); 3: memory ends after so
 *              many pages (u8); 4: Xen refuses a hypercall (u16: which)
 *   u8         an entry of the map: its type in the low 3 bits; bit 3: its address is any number, not a distance (u16 pages) from
 *              the entry before; bit 4: so is its size; bit 5: a few bytes (u8) more
 *   ...        up to 40 of them
 *
 * What must hold for every map: no frame is lost or doubled, each is where Xen now says it is, frames moved from holes only and to
 * no hole, none in use, and the pfns of holes are identity.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <pinion/lib/errno.h>
#include <pinion/xen/hypercall.h>
#include "../host/machine.h"
#include "../host/p2m_pool.h"

#define PAGES_MIN   400
#define PAGES_MORE  7000
#define ENTRIES_MAX 40

static struct shared_info shared;

static void decode_map(struct fuzz *f, struct e820_entry *map)
{
	uint64_t at = 0;

	for (unsigned int i = 0; i < ENTRIES_MAX && f->left; i++) {
		uint8_t form = fuzz_u8(f);
		uint64_t first = form & 8 ? fuzz_number(f) : at + fuzz_u16(f) * PAGE_SIZE;
		uint64_t bytes = form & 16 ? fuzz_number(f) : fuzz_u16(f) * PAGE_SIZE;

		bytes += form & 32 ? fuzz_u8(f) : 0;
		/* An entry of no bytes would end the map. */
		map[i] = (struct e820_entry){ first, bytes ? bytes : 1, form & 7 };
		at = first + bytes;
	}
}

static void decode_start(struct fuzz *f)
{
	struct e820_entry map[ENTRIES_MAX + 1] = { { 0 } };
	uint64_t nr = PAGES_MIN + fuzz_u16(f) % PAGES_MORE, spare = fuzz_u16(f);
	uint64_t used = IMAGE + 16 + frames_up(nr * 8) + 7, first;
	uint8_t form = fuzz_u8(f), limit;
	struct frame_run module = { _pfn(0), 0 };
	pfn_t console = INVALID_PFN, store = INVALID_PFN;
	uint64_t refuse = UINT64_MAX;

	if (form & 1) {
		first = fuzz_below(f, nr);
		module = (struct frame_run){ _pfn(first), fuzz_below(f, nr - first + 1) };
	}
	if (form & 2)
		console = _pfn(fuzz_below(f, used));
	if (form & 4)
		store = _pfn(fuzz_below(f, used));
	limit = form & 8 ? fuzz_u8(f) : 0;
	if (form & 16)
		refuse = fuzz_u16(f);
	decode_map(f, map);
	start(nr, map, spare % (nr - used + 1));
	bi.module = module;
	bi.console.pfn = console;
	bi.store.pfn = store;
	xen.refuse = refuse;
	if (form & 8)
		pool_limit(limit);
}

static bool in_use(uint64_t pfn)
{
	return (pfn >= IMAGE && pfn < pfn_x(bi.stack_end)) ||
	       pfn - pfn_x(bi.module.start) < bi.module.nr || pfn == pfn_x(bi.console.pfn) ||
	       pfn == pfn_x(bi.store.pfn);
}

/* A pfn that is RAM now; returns whether it got its frame by a move. */
static bool check_ram(uint64_t pfn)
{
	uint64_t mfn = mfn_x(p2m_mfn(&kernel_p2m, _pfn(pfn))),
		 old = bi.nr_pages - 1 - (mfn - MFN_FIRST);

	fuzz_check(mfn >= MFN_FIRST && old < bi.nr_pages, "pfn %#lx: MFN %#lx", pfn, mfn);
	/* So no frame is there twice. */
	fuzz_check(xen.m2p[mfn - MFN_FIRST] == pfn, "the frame of pfn %#lx is pfn %#lx for Xen",
		   pfn, xen.m2p[mfn - MFN_FIRST]);
	if (pfn < bi.nr_pages) {
		fuzz_check(old == pfn, "pfn %#lx has the frame of %#lx", pfn, old);
		fuzz_check(pfn >= pfn_x(bi.region_end) || !xen.unmapped[pfn],
			   "pfn %#lx is not mapped any more", pfn);
		return false;
	}
	fuzz_check(in_hole(old) && !in_use(old) && !in_hole(pfn), "pfn %#lx moved to %#lx", old,
		   pfn);
	fuzz_check(old >= pfn_x(bi.region_end) || xen.unmapped[old], "pfn %#lx is still mapped",
		   old);
	return true;
}

static void check_no_ram(uint64_t pfn)
{
	uint64_t entry = p2m_get(&kernel_p2m, _pfn(pfn));
	bool hole = in_hole(pfn) && pfn < P2M_PFNS;

	fuzz_check(entry == (hole ? pfn | IDENTITY_FRAME_BIT : INVALID_P2M_ENTRY),
		   "pfn %#lx in %s is %#lx", pfn, hole ? "a hole" : "no hole", entry);
	fuzz_check(hole || pfn >= bi.nr_pages, "pfn %#lx is lost", pfn);
}

static void check_pfn(uint64_t pfn)
{
	if (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM)
		(void)check_ram(pfn);
	else
		check_no_ram(pfn);
}

/* Pfns of the tree that lie in holes; their edges are looked at on the way. */
static uint64_t check_holes(void)
{
	uint64_t at = 0, holes = 0;

	for (unsigned int i = 0; i < bi.map.nr; i++) {
		const struct memory_range *r = &bi.map.range[i];
		uint64_t first = pfn_x(r->start), end = pfn_x(r->end);

		if (r->kind != MEMORY_RAM && r->kind != MEMORY_UNUSABLE)
			first = end;
		if (at < P2M_PFNS && at < first)
			holes += (first < P2M_PFNS ? first : P2M_PFNS) - at;
		for (uint64_t n = 0; n < 3; n++) {
			check_pfn(pfn_x(r->start) + n - 1);
			check_pfn(end + n - 1);
		}
		at = end;
	}
	return holes;
}

static void check_boot(void)
{
	uint64_t ram = 0, moved = 0, stay = 0, holes = check_holes();
	pfn_t pfn = p2m_ram_next(&kernel_p2m, _pfn(0)), end;

	for (; !pfn_eq(pfn, INVALID_PFN); pfn = p2m_ram_next(&kernel_p2m, end)) {
		end = p2m_ram_end(&kernel_p2m, pfn);
		for (uint64_t n = pfn_x(pfn); n < pfn_x(end); n++) {
			moved += check_ram(n);
			stay += in_hole(n);
		}
		ram += pfn_x(end) - pfn_x(pfn);
		fuzz_check(kernel_p2m.max_pfn >= pfn_x(end), "RAM at pfn %#lx, but max_pfn is %#lx",
			   pfn_x(end) - 1, kernel_p2m.max_pfn);
	}
	for (uint64_t n = 0; n < bi.nr_pages; n++)
		check_pfn(n);
	fuzz_check(ram == bi.nr_pages, "%lu frames, not %lu", ram, bi.nr_pages);
	fuzz_check(report.moved == moved && xen.updates == moved && report.in_use == stay,
		   "%lu moved and %lu stay, reported %lu and %lu", moved, stay, report.moved,
		   report.in_use);
	fuzz_check(report.identity == holes - stay, "%lu identity pfns of %lu in holes, %lu stay",
		   report.identity, holes, stay);
}

static void audit(void)
{
	pfn_t where = INVALID_PFN;
	const char *wrong = p2m_audit(&kernel_p2m, &where);

	fuzz_check(!wrong, "pfn %#lx: %s", pfn_x(where), wrong);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = fuzz_bytes(data, size);
	uint64_t refuse;
	int rc;

	libc_memset(&shared, 0, sizeof(shared));
	decode_start(&f);
	refuse = xen.refuse;
	rc = boot();
	/* It counts down, and goes on below 0. */
	fuzz_check(rc == 0 || rc == -ENOMEM || (rc == -EINVAL && xen.refuse > refuse),
		   "boot() gives %d", rc);
	if (kernel_p2m.pages)
		audit();
	if (rc == 0) {
		check_boot();
		rc = p2m_publish(&kernel_p2m, &shared);
		fuzz_check(rc == 0 || rc == -ENOMEM, "p2m_publish() gives %d", rc);
		audit();
	}
	finish();
	return 0;
}
