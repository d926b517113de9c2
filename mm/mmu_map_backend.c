/* SPDX-License-Identifier: MIT */
/*
 * Where frames of held tables come from (see <pinion/mm/mmu_map.h>).
 *
 * A table outlives the map that made it, and is taken away by whoever removes the last reason: so
 * the frame table has the number of the backend that gave the frame, and here is what the numbers mean.
 *
 * A backend without `free` never gets a frame back. What it gave and is no table any more (a hold that
 * failed, an address space destroyed) is kept as a spare, in a list through the frames themselves, and is the next to
 * be given: else each failure would take memory for good. With its last map the spares are the backend's own memory again.
 */
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/tables.h>
#include "mmu_map_internal.h"

static void *frames_alloc(size_t size)
{
	pfn_t pfn;

	if (size != PAGE_SIZE || frame_alloc(0, OWNER_MAP, &pfn))
		return NULL;
	return direct_va(pfn);
}

static void frames_free(void *va)
{
	frame_free(direct_va_pfn(va), 0);
}

const struct mmu_map_mbackend mmu_map_frames = {
	.alloc = frames_alloc,
	.free = frames_free,
	.ptov = direct_va,
	.vtop = direct_va_pfn,
};

struct backend {
	struct mmu_map_mbackend callbacks;
	uint64_t maps, tables; /* that are in use */
	pfn_t spare;	       /* the first, or INVALID_PFN */
};

/* Number 0 is the frame allocator, whether in use or not: it is what every frame's entry says that says nothing else. */
static struct backend backends[MMU_MAP_BACKENDS];

static const struct mmu_map_mbackend *callbacks_of(unsigned int number)
{
	return number == 0 ? &mmu_map_frames : &backends[number].callbacks;
}

static bool is_same(const struct mmu_map_mbackend *a, const struct mmu_map_mbackend *b)
{
	return a->alloc == b->alloc && a->free == b->free && a->ptov == b->ptov &&
	       a->vtop == b->vtop;
}

int backend_get(const struct mmu_map_mbackend *backend)
{
	unsigned int i, unused = 0;

	if (!backend || !backend->alloc || !backend->ptov || !backend->vtop)
		return -EINVAL;
	for (i = 0; i < MMU_MAP_BACKENDS; i++) {
		if (i > 0 && !backends[i].maps && !backends[i].tables)
			unused = unused ? unused : i;
		else if (is_same(callbacks_of(i), backend))
			break;
	}
	if (i == MMU_MAP_BACKENDS && !unused)
		return -ENOSPC;
	if (i == MMU_MAP_BACKENDS) {
		i = unused;
		backends[i] = (struct backend){ .callbacks = *backend, .spare = INVALID_PFN };
	}
	backends[i].maps++;
	return (int)i;
}

void backend_put(unsigned int number)
{
	struct backend *b = &backends[number];

	ASSERT(b->maps > 0);
	if (--b->maps == 0)
		b->spare = INVALID_PFN;
}

/* A spare frame's first word is the pfn of the next. */
static void *take_spare(struct backend *b)
{
	pfn_t pfn = b->spare;

	b->spare = _pfn(*(const uint64_t *)direct_va(pfn));
	return b->callbacks.ptov(pfn);
}

/* Gives back a frame that is plain memory. */
static void give_back(unsigned int number, pfn_t pfn)
{
	const struct mmu_map_mbackend *cb = callbacks_of(number);
	struct backend *b = &backends[number];

	if (cb->free) {
		cb->free(cb->ptov(pfn));
	} else if (b->maps > 0) {
		*(uint64_t *)direct_va(pfn) = pfn_x(b->spare);
		b->spare = pfn;
	}
}

int backend_table(unsigned int number, unsigned int level, pfn_t *table)
{
	const struct mmu_map_mbackend *cb = callbacks_of(number);
	struct backend *b = &backends[number];
	struct frame *frame;
	void *va;

	if (!cb->free && !pfn_eq(b->spare, INVALID_PFN))
		va = take_spare(b);
	else
		va = cb->alloc(PAGE_SIZE);
	if (!va)
		return -ENOMEM;
	*table = cb->vtop(va);
	/* Memory that can be made a table, and that is found again by its frame. */
	if (cb->ptov(*table) != va || table_begin(*table, level, true)) {
		if (cb->free)
			cb->free(va);
		return -EINVAL;
	}
	frame = frame_at(*table);
	frame->owner = OWNER_MAP;
	frame->backend = number;
	b->tables += number > 0;
	return 0;
}

const uint64_t *backend_view(pfn_t table)
{
	unsigned int number = frame_at(table)->backend;

	return number ? backends[number].callbacks.ptov(table) : table_entries(table);
}

bool backend_takes_back(unsigned int number)
{
	return callbacks_of(number)->free != NULL;
}

void backend_table_gone(pfn_t pfn)
{
	struct frame *frame = frame_at(pfn);
	unsigned int number = frame->backend;

	ASSERT(number > 0 && number < MMU_MAP_BACKENDS && backends[number].tables > 0);
	frame->backend = 0;
	/* It may have been in quarantine. */
	frame->owner = OWNER_MAP;
	backends[number].tables--;
	give_back(number, pfn);
}
