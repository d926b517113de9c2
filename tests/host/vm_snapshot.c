/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: all of memory once, and then only what was written since. A frame can be written by the guest,
 * which must first have it mapped writable (vm_tlb.c), and by the model, which must ask for it (ops->page);
 * each notes it. A frame that nobody has touched is a hole in the memory file, and one in the snapshot's.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <pinion/lib/bitmap.h>
#include "vm.h"

struct machine_snapshot {
	int fd;
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

/* What file @from has, of which @source is the view, is what @to has then. */
static void copy_memory(int to, uint8_t *copy, int from, const uint8_t *source)
{
	off_t at = 0, end;

	if (fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)(vm->nr_frames * PAGE_SIZE)))
		abort();
	for (; (at = lseek(from, at, SEEK_DATA)) >= 0; at = end) {
		end = lseek(from, at, SEEK_HOLE);
		memcpy(copy + at, source + at, (size_t)(end - at));
	}
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
	snap->mem = vm_memory(vm->nr_frames * PAGE_SIZE, &snap->fd);
	snap->frame = malloc(vm->nr_frames * sizeof(*snap->frame));
	if (!snap->frame)
		abort();
	copy_memory(snap->fd, snap->mem, vm->fd, vm->mem);
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
		copy_memory(vm->fd, vm->mem, snap->fd, snap->mem);
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
	close(snap->fd);
	free(snap->frame);
	free(snap);
}
