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
#include <pinion/lib/printf.h>
#include <pinion/mm/layout.h>
#include <pinion/xen/console.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>

static unsigned int count_mapped(void)
{
	unsigned int mapped = 0;
	uint64_t pfn, word = 0;

	for (pfn = 0; pfn < pfn_x(boot_info()->region_end); pfn++)
		mapped += probe_load64(boot_va(_pfn(pfn)), &word) == 0;
	return mapped;
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

void leak_read(struct leak_state *state)
{
	struct console_stats stats = console_stats();
	domid_t self = DOMID_SELF;

	state->masked = upcalls_mask();
	upcalls_restore(state->masked);
	state->reservation = hypercall_memory_op(XENMEM_current_reservation, &self);
	state->ports = evtchn_count_open();
	state->mapped = count_mapped();
	state->handlers = count_handlers();
	state->lost = stats.lost + stats.bad_indices;
}

bool leak_found(const struct leak_state *before, const struct leak_state *after, char *what,
		size_t n)
{
	if (before->reservation != after->reservation)
		snprintf(what, n, "leak: memory: reservation was %ld frames, is %ld",
			 before->reservation, after->reservation);
	else if (before->ports != after->ports)
		snprintf(what, n, "leak: port: %u event channels were open, %u are", before->ports,
			 after->ports);
	else if (before->mapped != after->mapped)
		snprintf(what, n, "leak: mapping: %u pages of the boot region were mapped, %u are",
			 before->mapped, after->mapped);
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
		return false;
	return true;
}

void leak_mend(const struct leak_state *before)
{
	panic_catch_arm(NULL);
	upcalls_mask();
	upcalls_restore(before->masked);
}
