/* SPDX-License-Identifier: MIT */
/*
 * mmu_map: whatever it takes to have page tables behind one virtual address, for as long as somebody
 * says so.
 *
 *     inspect   which tables are there now; nothing changes
 *     hold      L3, L2 and L1 are there, private, and stay; what is missing is made
 *     release   the holder is done: what nobody needs any more goes
 *
 *     L4 [ i ]            L4 [ i ] --> L3 --> L2 --> L1      one mmu_update: three pages become
 *          not present         linked last, once             read-only, one entry links them
 *
 * A table stays while it has a reason: a present entry (`live` in the frame table) or a holder (`holds`).
 * Who takes away the last one, by release or by unmapping, unlinks it, and with it each table above
 * that has nothing else: at the highest of them, by one entry, in one call. Its frame is writable memory again
 * and goes back to whoever gave it.
 *
 * Range operations go on under a hold. They change the entries of a held table one by one, and never put another
 * in its place, so that the views stay what they are.
 *
 * In a section of the batch hold and release only queue: the tables are *pending*, a later hold of the section
 * finds them, and if the section fails, each hold and release of it is undone. Outside one, a
 * call that returns 0 has been carried out by Xen.
 *
 * Backends give frames for tables and take them back. Callbacks must not change page tables, nor use the
 * batch: they are called amidst such work.
 *
 * Source: seed 2012, FreeBSD's sys/amd64/xen/mmu_map.[ch] (r235904): names and shape. What it left open
 * is in the tests, one by one.
 */
#ifndef PINION_MM_MMU_MAP_H
#define PINION_MM_MMU_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frames.h>

/* One user's record of an address, in memory that the user gives: at least mmu_map_t_size() bytes. */
typedef struct mmu_map *mmu_map_t;

/* As much as a record takes, for those who have one as a variable. */
#define MMU_MAP_T_WORDS 10

/*
 * alloc  gives a page of memory, page-aligned, by its address, or NULL. Its frame must be a data frame of ours,
 *        writable in the direct map and nowhere else, of no use to anybody until it is given back
 * free   takes it back, plain memory with undefined content. NULL: nothing is taken back. Then tables stay
 *        linked, even empty, until their address space is destroyed
 * ptov   the address of a frame that alloc gave; readable while it is a table
 * vtop   the frame behind such an address
 */
struct mmu_map_mbackend {
	void *(*alloc)(size_t size);
	void (*free)(void *va);
	void *(*ptov)(pfn_t pfn);
	pfn_t (*vtop)(const void *va);
};

/* The frame allocator. */
extern const struct mmu_map_mbackend mmu_map_frames;

/* Different backends that can be in use at a time, the frame allocator among them. */
#define MMU_MAP_BACKENDS 8

size_t mmu_map_t_size(void);

/*
 * Makes @map a record that holds nothing and takes frames from @backend, which is copied. Returns 0; -EINVAL for a
 * backend that lacks alloc, ptov or vtop; -ENOSPC if as many others are in use as there may be; -EBUSY if
 * @map is in use already. => the kernel runs on its own tables (phase 7)
 *
 * A backend is in use while a map has it, or a table is made of a frame of its. Two are one if their callbacks are.
 */
__must_check int mmu_map_t_init(mmu_map_t map, const struct mmu_map_mbackend *backend);

/* Ends its use. Returns 0, or -EBUSY if it holds, or if the section under way has changed it. */
__must_check int mmu_map_t_fini(mmu_map_t map);

/*
 * Looks at the tables behind @va, as they will be when what is queued has been done. Any address can be looked at, but Xen's.
 * What @map holds stays held. Returns the level at which the walk ended: 1 if there is an L1, else that
 * of the table whose entry is not present; or -EINVAL for an address that is not canonical or Xen's, and for a
 * superpage. The views show the tables down to that level, and NULL below it; after an error NULL only.
 */
__must_check int mmu_map_inspect_va(const struct aspace *as, mmu_map_t map, uint64_t va);

/*
 * Makes what is missing, and holds it. A table that is shared with the direct map becomes a private copy, with the
 * same rights. Returns 0; or, with everything as before and no view:
 *
 *   -EBUSY   @map holds already
 *   -EINVAL  the address is not canonical, Xen's, or in a superpage; a frame of the backend's can't be a table
 *   -EPERM   it is the kernel's, outside the vmap arena; or a user's, in the kernel's address space
 *   -EIO     @as is broken, or an undo was refused
 *   -ENOMEM  the backend is out of memory
 *   -ENOSPC  the section under way is full
 *   Xen's
 */
__must_check int mmu_map_hold_va(struct aspace *as, mmu_map_t map, uint64_t va);

/*
 * Gives up what @map holds. Returns 0; -EINVAL if that is not the page of @va in @as; -ENOSPC; or Xen's error, and then it
 * is held as before. No view is left.
 */
__must_check int mmu_map_release_va(struct aspace *as, mmu_map_t map, uint64_t va);

/*
 * The tables of the last inspect or hold, for reading: a live one can't be written. Changes go through
 * mmu_batch, which knows a table by its frame. Valid for as long as nobody unmaps, and of a hold, until it is released.
 */
const uint64_t *mmu_map_pml4t(mmu_map_t map);
const uint64_t *mmu_map_pdpt(mmu_map_t map);
const uint64_t *mmu_map_pdt(mmu_map_t map);
const uint64_t *mmu_map_pt(mmu_map_t map);

#endif
