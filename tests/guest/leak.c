/* SPDX-License-Identifier: MIT */
/*
 * What a test must not leave behind. Without this a test that forgets to undo something makes a later
 * one fail, and the wrong one is looked at.
 */
#include "internal.h"
#include <xen/memory.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/trap.h>
#include <pinion/boot/memory.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/vmap.h>
#include <pinion/xen/console.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>

/* Of [@start, @end), looking at each @step. */
static unsigned int count_readable(uint64_t start, uint64_t end, uint64_t step)
{
	unsigned int mapped = 0;
	uint64_t va, word = 0;

	for (va = start; va < end; va += step)
		mapped += probe_load64((const void *)va, &word) == 0;
	return mapped;
}

/* The boot region, while there is one; then the image and the direct map, of that 4 Ki pages or a few more: the audit
 * looks at every entry of its tables. */
static unsigned int count_mapped(void)
{
	uint64_t end, step;

	if (!memory_is_up())
		return count_readable(VIRT_BASE, (uint64_t)boot_va(boot_info()->region_end),
				      PAGE_SIZE);
	end = (uint64_t)direct_va(direct_map_end());
	step = (end - DIRECT_MAP) >> 24 << PAGE_SHIFT;
	if (step < PAGE_SIZE)
		step = PAGE_SIZE;
	return count_readable(IMAGE_BASE, (uint64_t)__image_end, PAGE_SIZE) +
	       count_readable(DIRECT_MAP, end, step);
}

static unsigned int count_handlers(void)
{
	unsigned int vector, set = 0;
	trap_handler_fn *fn;

	for (vector = 0; vector < TRAP_UPCALL; vector++) {
		fn = trap_set_handler(vector, NULL);
		trap_set_handler(vector, fn);
		set += fn != NULL;
	}
	return set;
}

/* One pass over all frames; a large guest is spared it, and has the audit after the group. */
static void count_frames(uint64_t *count)
{
	const struct frame *frame;
	uint64_t n;

	for (n = 0; n < frame_table_nr && audit_each(); n++) {
		frame = &frame_table[n];
		count[LEAK_QUARANTINE] += frame->owner == OWNER_QUARANTINE;
		if (frame->kind == FRAME_DATA)
			count[LEAK_EXECS] += frame->execs;
		if (frame->kind != FRAME_TABLE)
			continue;
		count[LEAK_TABLES]++;
		count[LEAK_PINNED] += (frame->flags & FRAME_PINNED) != 0;
		count[LEAK_HOLDS] += frame->holds;
	}
}

static void read_counts(uint64_t *count)
{
	const struct aspace *as;

	memset(count, 0, LEAK_COUNTS * sizeof(*count));
	count[LEAK_PMAP] = this_cpu()->pmap_in_use;
	count[LEAK_DEPTH] = mmu_batch_depth();
	count[LEAK_SYNC] = mmu_batch_sync();
	count[LEAK_POISON] = frame_alloc_poison();
	for (as = aspace_first(); as; as = as->next)
		count[LEAK_ASPACES]++;
	count[LEAK_CURRENT] = (uintptr_t)aspace_current();
	count_frames(count);
}

static bool counts_found(const uint64_t *before, const uint64_t *after, char *what, size_t n)
{
	static const char *const names[LEAK_COUNTS] = {
		[LEAK_PMAP] = "pmap: slots in use",
		[LEAK_DEPTH] = "batch: open sections",
		[LEAK_SYNC] = "batch: sync mode",
		[LEAK_POISON] = "poison: on",
		[LEAK_QUARANTINE] = "quarantine: frames",
		[LEAK_ASPACES] = "aspace: address spaces",
		[LEAK_CURRENT] = "aspace: the current one",
		[LEAK_TABLES] = "table: tables",
		[LEAK_PINNED] = "pin: pinned tables",
		[LEAK_HOLDS] = "hold: holds",
		[LEAK_EXECS] = "exec: executable leaves",
	};
	unsigned int i;

	for (i = 0; i < LEAK_COUNTS && before[i] == after[i]; i++)
		;
	if (i == LEAK_COUNTS)
		return false;
	snprintf(what, n, "leak: %s: were %#lx, are %#lx", names[i], before[i], after[i]);
	return true;
}

void leak_read(struct leak_state *state)
{
	struct console_stats stats = console_stats();
	domid_t self = DOMID_SELF;

	state->masked = upcalls_mask();
	upcalls_restore(state->masked);
	state->reservation = hypercall_memory_op(XENMEM_current_reservation, &self);
	state->frames =
		memory_is_up() ? frame_alloc_free() + frame_alloc_reserve() : boot_alloc_free();
	state->p2m_pages = kernel_p2m.pages + kernel_p2m.list_pages;
	state->ports = evtchn_count_open();
	state->areas = vmap_areas();
	state->mapped = count_mapped();
	state->handlers = count_handlers();
	state->lost = stats.lost + stats.bad_indices;
	read_counts(state->count);
}

bool leak_found(const struct leak_state *before, const struct leak_state *after, char *what,
		size_t n)
{
	if (before->reservation != after->reservation)
		snprintf(what, n, "leak: memory: reservation was %ld frames, is %ld",
			 before->reservation, after->reservation);
	else if (before->frames != after->frames)
		snprintf(what, n, "leak: frames: %lu were free, %lu are", before->frames,
			 after->frames);
	else if (before->p2m_pages != after->p2m_pages)
		snprintf(what, n, "leak: P2M: it had %lu pages, has %lu", before->p2m_pages,
			 after->p2m_pages);
	else if (before->ports != after->ports)
		snprintf(what, n, "leak: port: %u event channels were open, %u are", before->ports,
			 after->ports);
	else if (before->areas != after->areas)
		snprintf(what, n, "leak: vmap: %u areas were mapped, %u are", before->areas,
			 after->areas);
	else if (before->mapped != after->mapped)
		snprintf(what, n, "leak: mapping: %u pages were mapped, %u are", before->mapped,
			 after->mapped);
	else if (before->handlers != after->handlers)
		snprintf(what, n, "leak: handler: %u trap handlers were set, %u are",
			 before->handlers, after->handlers);
	else if (before->masked != after->masked)
		snprintf(what, n, "leak: mask: upcalls were %s, are %s",
			 before->masked ? "masked" : "unmasked",
			 after->masked ? "masked" : "unmasked");
	else if (before->lost != after->lost)
		snprintf(what, n, "leak: console: %lu bytes lost or indices bad",
			 after->lost - before->lost);
	else
		return counts_found(before->count, after->count, what, n);
	return true;
}

void leak_mend(const struct leak_state *before)
{
	int rc = 0;

	panic_catch_arm(NULL);
	/* What is queued in it was the test's: dropped. */
	while (mmu_batch_depth() > 0)
		rc = mmu_batch_end(-EINVAL);
	if (rc == -EIO)
		test_note("a section that it left open could not be undone");
	upcalls_mask();
	upcalls_restore(before->masked);
}
