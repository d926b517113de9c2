/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: all of memory once, and then only what was written since. A frame can be written by the guest,
 * which must first have it mapped writable (vm_tlb.c), and by the model, which must ask for it (ops->page);
 * each notes it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <pinion/lib/bitmap.h>
#include "vm.h"

struct machine_snapshot {
	uint8_t *mem;
	uint64_t nr_frames;
	struct model model;
	struct model_frame *frame;
	struct vm_services services;
};

void vm_dirty(uint64_t mfn)
{
	uint64_t bit = UINT64_C(1) << mfn % 64, *word = &vm->dirty[mfn / 64];

	if (*word & bit)
		return;
	*word |= bit;
	vm->dirty_list[vm->nr_dirty++] = (uint32_t)mfn;
}

static void forget_dirty(void)
{
	while (vm->nr_dirty)
		vm->dirty[vm->dirty_list[--vm->nr_dirty] / 64] = 0;
}

/* Frames that ever hold anything. */
static void copy_memory(uint8_t *to, const uint8_t *from)
{
	memcpy(to + IO_FIRST * PAGE_SIZE, from + IO_FIRST * PAGE_SIZE,
	       (IO_END - IO_FIRST) * PAGE_SIZE);
	memcpy(to + RAM_FIRST * PAGE_SIZE, from + RAM_FIRST * PAGE_SIZE,
	       (vm->nr_frames - RAM_FIRST) * PAGE_SIZE);
}

/* The M2P is the model's own, and it does not say when it writes there. */
static void copy_m2p(uint8_t *to, const uint8_t *from)
{
	memcpy(to + vm->m2p_first * PAGE_SIZE, from + vm->m2p_first * PAGE_SIZE,
	       vm->m2p_pages * PAGE_SIZE);
}

struct machine_snapshot *machine_snapshot(void)
{
	struct machine_snapshot *snap = calloc(1, sizeof(*snap));

	if (!snap)
		abort();
	snap->nr_frames = vm->nr_frames;
	snap->mem = mmap(NULL, vm->nr_frames * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	snap->frame = malloc(vm->nr_frames * sizeof(*snap->frame));
	if (snap->mem == MAP_FAILED || !snap->frame)
		abort();
	copy_memory(snap->mem, vm->mem);
	snap->model = vm->model;
	memcpy(snap->frame, vm->frame, vm->nr_frames * sizeof(*snap->frame));
	snap->services = vm->services;
	tlb_watch_stores();
	forget_dirty();
	vm->based = snap;
	return snap;
}

void machine_restore(const struct machine_snapshot *snap)
{
	fault_open();
	tlb_watch_stores();
	if (vm->based == snap)
		for (uint64_t i = 0; i < vm->nr_dirty; i++)
			memcpy(vm->mem + vm->dirty_list[i] * PAGE_SIZE,
			       snap->mem + vm->dirty_list[i] * PAGE_SIZE, PAGE_SIZE);
	else
		copy_memory(vm->mem, snap->mem);
	copy_m2p(vm->mem, snap->mem);
	forget_dirty();
	vm->based = snap;
	vm->model = snap->model;
	memcpy(vm->frame, snap->frame, vm->nr_frames * sizeof(*snap->frame));
	vm->services = snap->services;
	vm->running = false;
	tlb_flush_all();
}

void machine_snapshot_free(struct machine_snapshot *snap)
{
	if (vm && vm->based == snap)
		vm->based = NULL;
	munmap(snap->mem, snap->nr_frames * PAGE_SIZE);
	free(snap->frame);
	free(snap);
}
