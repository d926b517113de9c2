/* SPDX-License-Identifier: MIT */
/*
 * Address spaces, ranges, holds and sections, on a small machine of tests/host/guest.h: the kernel as it came up, in user space, on the
 * model of Xen.
 *
 *   u8         bit 0: sync mode
 *   u8 ...     an operation: its low 4 bits say which, of step() below; its high ones what goes wrong in it: from 10 on memory ends
 *              after u8 % 8 frames; 13, 14: Xen refuses the request after u8 others, with an errno that it can give to that one
 *              (u8); 15: and another, u8 further on
 *
 *   range      u8: space, rights, how many pages (one, few, any, whole pieces; or from a piece to another), which (all, by a bitmap,
 *              those that fit); u16 the first; u8 or u16 how many; of a map u16 its first frame, u8 the step to the next
 *   hold ...   u8: map, space, one of 10 pages
 *   section    u8: how many, and whether it is dropped; then holds and releases
 *   more       u8: an area of vmap's comes or goes; devices and other domains' frames, page by page; all of a space in one
 *              range; the audit. mm_area.c, mm_foreign.c, mm_range.c say what follows
 *
 * The oracle is mm.h's. After each operation what it touched is looked at, through queries and through the TLB; in the end all of it, the
 * audit, the model's own invariants, and after all is given back the counts of frames and tables.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xen/xen.h>
#include <pinion/mm/audit.h>
#include <pinion/mm/direct_map.h>
#include "../host/guest.h"
#include "../model/errnos.h"
#include "mm.h"

#define PAGES 3000

/* Where each window's second piece begins. */
#define USER_SPLIT(space) (UINT64_C(0x180000000000) + ((space) + 1) * L4_SPAN)
#define ARENA_SPLIT	  (VMAP_BASE + 200 * L3_SPAN)

static struct {
	struct machine_snapshot *snap;
	uint64_t frames, tables;
	struct fuzz f;
} the;

/* What request @entry of a call asks for. */
static uint32_t command_of(unsigned int nr, const uint64_t *args, unsigned int entry)
{
	if (nr == __HYPERVISOR_mmu_update)
		return ((const struct mmu_update *)args[0])[entry].ptr & 7;
	if (nr == __HYPERVISOR_mmuext_op)
		return ((const struct mmuext_op *)args[0])[entry].cmd;
	return nr == __HYPERVISOR_update_va_mapping ? MODEL_ANY_COMMAND : (uint32_t)args[0];
}

/* TLB work is never refused. */
static long on_hypercall(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	unsigned int *left = &trouble.calls[trouble.refused], errors = 0;
	const struct model_errnos *row;

	(void)ctx;
	if (trouble.refused == trouble.nr_calls)
		return 0;
	row = model_errnos(nr, command_of(nr, args, entry));
	while (row && errors < MODEL_ERRNOS && row->state[errors])
		errors++;
	if (errors == 0 || (*left)-- > 0)
		return 0;
	trouble.refused++;
	fuzz_say("refused: call %u, entry %u: %s", nr, entry,
		 errno_name(-row->state[trouble.error % errors]));
	return -row->state[trouble.error % errors];
}

static bool on_alloc(void *ctx)
{
	(void)ctx;
	if (!trouble.short_of_memory || trouble.allocs-- > 0)
		return false;
	trouble.allocs = 0;
	trouble.denied++;
	fuzz_say("no memory");
	return true;
}

static void arm(uint8_t form)
{
	trouble = (struct trouble){ .refused = 0 };
	if (form < 10)
		return;
	if (form < 13) {
		trouble.short_of_memory = true;
		trouble.allocs = fuzz_u8(&the.f) % 8;
		return;
	}
	trouble.nr_calls = form == 15 ? 2 : 1;
	trouble.calls[0] = fuzz_u8(&the.f);
	trouble.error = fuzz_u8(&the.f);
	if (form == 15)
		trouble.calls[1] = fuzz_u8(&the.f) % 16;
}

static void audit(void)
{
	struct audit_report report;
	char text[128];

	if (mm_audit(boot_info(), &report) == 0)
		return;
	audit_describe(&report.first[0], text, sizeof(text));
	fuzz_abort(__FILE__, __LINE__, "audit: %lu facts: %s", report.broken, text);
}

static void more(void)
{
	switch (fuzz_u8(&the.f) & 7) {
	case 0:
		audit();
		break;
	case 1:
	case 2:
		mm_foreign(&the.f);
		break;
	case 3:
		mm_whole(&the.f);
		break;
	default:
		mm_area(&the.f);
	}
}

static void step(void)
{
	uint8_t form = fuzz_u8(&the.f);

	arm(form >> 4);
	switch (form & 15) {
	case 8:
		mm_hold(&the.f);
		break;
	case 9:
		mm_release(&the.f);
		break;
	case 10:
		mm_inspect(&the.f);
		break;
	case 11:
	case 12:
		mm_activate(&the.f);
		break;
	case 13:
		mm_renew(&the.f);
		break;
	case 14:
		mm_section(&the.f);
		break;
	case 15:
		more();
		break;
	default:
		mm_range(&the.f, (form & 15) / 2);
	}
	fuzz_check(mmu_batch_depth() == 0, "a section is open");
	arm(0);
}

static uint64_t count_tables(void)
{
	uint64_t n = 0;

	for (uint64_t pfn = 0; pfn < frame_table_nr; pfn++) {
		n += frame_table[pfn].kind == FRAME_TABLE;
		fuzz_check(frame_table[pfn].owner != OWNER_QUARANTINE, "pfn %#lx is in quarantine",
			   pfn);
	}
	return n;
}

/* A backend beside the frame allocator, which half of the maps have. */
static void *other_alloc(size_t size)
{
	pfn_t pfn;

	return size != PAGE_SIZE || frame_alloc(0, OWNER_TEST, &pfn) ? NULL : direct_va(pfn);
}

static void other_free(void *va)
{
	frame_free(direct_va_pfn(va), 0);
}

static const struct mmu_map_mbackend other = {
	.alloc = other_alloc,
	.free = other_free,
	.ptov = direct_va,
	.vtop = direct_va_pfn,
};

static void make(void)
{
	mm_begin();
	for (unsigned int i = 0; i < SPACES; i++) {
		struct space *s = &oracle.space[i];

		s->as = i == KERNEL ? &kernel_aspace : &s->own;
		s->va = (i == KERNEL ? ARENA_SPLIT : USER_SPLIT(i)) - PIECE * PAGE_SIZE;
		if (i != KERNEL)
			fuzz_check(aspace_create(s->as) == 0, "no space");
	}
	for (unsigned int i = 0; i < MAPS; i++) {
		oracle.holder[i].space = NOBODY;
		fuzz_check(mmu_map_t_init((mmu_map_t)oracle.holder[i].room,
					  i & 1 ? &other : &mmu_map_frames) == 0,
			   "no map");
	}
}

/* All that is mapped, and some of what is not. */
static void look_at_all(void)
{
	for (unsigned int space = 0; space < SPACES; space++)
		for (unsigned int i = 0; i < WINDOW; i++)
			if (oracle.space[space].page[i].rights != HOLE || i % 15 == 0)
				mm_check_page(space, i);
	mm_check_areas();
	audit();
}

/* All is given back. */
static void end(void)
{
	struct aspace_range arena = { oracle.space[KERNEL].va, SPAN, NULL };

	/* What Xen would not undo in the kernel's own tables stays, and nobody can destroy these. */
	if (oracle.space[KERNEL].broken)
		return;
	mm_end_areas();

	for (unsigned int i = 0; i < MAPS; i++) {
		struct holder *h = &oracle.holder[i];

		if (h->space != NOBODY)
			fuzz_check(mmu_map_release_va(oracle.space[h->space].as, (mmu_map_t)h->room,
						      mm_va(h->space, h->page)) == 0,
				   "map %u can't release in the end", i);
		fuzz_check(mmu_map_t_fini((mmu_map_t)h->room) == 0, "map %u has no end", i);
	}
	fuzz_check(aspace_unmap(&kernel_aspace, &arena) == 0, "the arena can't be unmapped");
	fuzz_check(aspace_activate(&kernel_aspace) == 0, "the kernel's space can't be activated");
	for (unsigned int i = 0; i < KERNEL; i++)
		fuzz_check(aspace_destroy(oracle.space[i].as) == 0,
			   "space %u can't be destroyed in the end", i);
	fuzz_check(mmu_batch_retry_quarantine() == 0, "frames stay in quarantine");
	fuzz_check(count_tables() == the.tables, "%lu tables, there were %lu", count_tables(),
		   the.tables);
	fuzz_check(frame_alloc_free() + frame_alloc_reserve() == the.frames,
		   "%lu frames are free, there were %lu",
		   frame_alloc_free() + frame_alloc_reserve(), the.frames);
	audit();
}

static void play(void *arg)
{
	(void)arg;
	mmu_batch_set_sync(fuzz_u8(&the.f) & 1);
	make();
	while (the.f.left)
		step();
	look_at_all();
	end();
}

static void set_up(void *arg)
{
	(void)arg;
	fuzz_check(mm_audit_init() == 0 && frame_alloc(ORDER, OWNER_TEST, &oracle.pool) == 0,
		   "no memory");
	for (unsigned int i = 0; i < POOL; i++)
		*(uint64_t *)direct_va(mm_pfn(i)) = mm_tag(i);
	the.tables = count_tables();
	the.frames = frame_alloc_free() + frame_alloc_reserve();
	audit();
}

static void run(void (*fn)(void *arg))
{
	enum machine_end how = machine_run(fn, NULL);
	const char *why = machine_why();

	fuzz_check(how == MACHINE_RETURNED, "the guest ended (%d): %s\n%s", how, why ? why : "",
		   machine_console());
}

static void say(const char *line)
{
	(void)fprintf(stderr, "model: %s\n", line);
}

int mm_input(bool dom0, const uint8_t *data, size_t size)
{
	struct machine_config config = {
		.dom0 = dom0, .nr_pages = PAGES, .seed = 1, .check_every = UINT32_MAX
	};

	if (!the.snap) {
		fuzz_check(machine_start(&config) == 0 && machine_boot() == MACHINE_RETURNED,
			   "the kernel does not come up:\n%s", machine_console());
		oracle.dom0 = dom0;
		run(set_up);
		machine_on_hypercall(on_hypercall, NULL);
		machine_on_alloc(on_alloc, NULL);
		the.snap = machine_snapshot();
	}
	machine_restore(the.snap);
	machine_console_reset();
	the.f = fuzz_bytes(data, size);
	run(play);
	fuzz_check(model_check(machine_model(), say) == 0, "Xen's invariants are broken");
	return 0;
}
