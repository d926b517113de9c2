/* SPDX-License-Identifier: MIT */
/* The addresses of the vmap arena: who has which. What is mapped there is vmap.c's. */
#ifndef PINION_MM_VMAP_ARENA_H
#define PINION_MM_VMAP_ARENA_H

#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/layout.h>

enum vmap_kind {
	VMAP_BLOCK,  /* frames of its own */
	VMAP_STACK,  /* the same */
	VMAP_FRAMES, /* the caller's frames */
	VMAP_MMIO,   /* no frames of ours */
};

struct vmap_area {
	uint32_t page; /* its first, counted from VMAP_BASE */
	uint32_t nr;   /* pages, without the guards */
	uint32_t kind;
	uint32_t
		first; /* pfn of its first frame; the next are linked (struct frame's sibling). FRAME_NIL: none */
};

/*
 * Takes the lowest addresses that have room for @nr pages between two guards. Returns 0 with the area in *@area,
 * which stays valid until the next call of this or of vmap_arena_put(); -EINVAL for no pages; -ENOMEM.
 */
__must_check int vmap_arena_get(uint64_t nr, enum vmap_kind kind, struct vmap_area **area);

/* Gives them back. */
void vmap_arena_put(struct vmap_area *area);

/* The area that begins at @va, or ends there (@va is the address behind it); NULL if there is none. */
struct vmap_area *vmap_arena_at(uint64_t va);
struct vmap_area *vmap_arena_ending(uint64_t va);

static inline uint64_t vmap_area_va(const struct vmap_area *area)
{
	return VMAP_BASE + ((uint64_t)area->page << PAGE_SHIFT);
}

#endif
