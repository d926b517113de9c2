/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: an L4 each, and what the user's half of it maps.
 *
 *     L4  [0-255]    the user's: this address space's own tables
 *         [256-271]  Xen's
 *         [272-511]  the kernel's L3s, the same in all: their L4 entries never change, so what is mapped
 *                    below them is seen by every address space
 *
 * Late pin, early unpin: until it is first activated an address space is memory that Xen knows
 * nothing of. Mapping into it takes plain stores and no hypercall; the first activation makes all its
 * tables read-only and pins the L4, and Xen validates the whole in that one operation. Destroying
 * goes the other way: unpin first, then take apart what are ordinary pages again.
 *
 * A failure that could not be undone marks an address space as broken: it can only be destroyed.
 *
 * Source: seed 2012 ('late pin, early unpin'); MMUEXT_PIN_L4_TABLE and MMUEXT_NEW_BASEPTR in
 * Xen's arch/x86/mm.c.
 */
#ifndef PINION_MM_ASPACE_H
#define PINION_MM_ASPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>
#include <pinion/xen/hypercall.h>

struct aspace {
	pfn_t l4;
	struct aspace *next; /* in the list of all */
	uint32_t holds;	     /* mmu_map's, of tables of it */
	bool broken;
};

/* The kernel's own: there is nothing of the user's in it. It is never destroyed. */
extern struct aspace kernel_aspace;

/* Enters the kernel's own. => the frame table stands */
void aspace_init(void);

/* What this vCPU runs on. */
struct aspace *aspace_current(void);

/* The first of all that exist; the rest by ->next. */
struct aspace *aspace_first(void);

/* Makes an address space with an empty user half, offline. Returns 0 or -ENOMEM. */
__must_check int aspace_create(struct aspace *as);

/* Runs on it; the first time it is pinned. Returns 0; -EIO if it is broken; -EBUSY inside a section of the
 * batch; or Xen's error, with the former still in use. */
__must_check int aspace_activate(struct aspace *as);

/*
 * Ends it: its tables are free again, the frames that it mapped are their owners'. Returns 0; -EBUSY if
 * it is in use, held (mmu_map), the kernel's, or a section of the batch is open; Xen's error, with all as before; or -EIO, and
 * it is broken: some of its tables are Xen's still. Destroying it can be tried again.
 */
__must_check int aspace_destroy(struct aspace *as);

/*
 * Ranges. Each is all or nothing: everything that can be checked is checked before the first hypercall, and what
 * Xen refuses all the same is undone.
 *
 *   va      page-aligned; the range lies in the user's half, or in the vmap arena
 *   nr      pages
 *   select  which of them: bit i of the bitmap for page i; NULL: all. The others stay as they are
 *
 * For every 2 MiB piece a planner (mm/planner.h) takes the cheapest of five ways.
 *
 * Errors of all: -EINVAL for a range that is misaligned, empty, not canonical or Xen's; -EPERM for
 * one of the kernel's half outside the vmap arena; -EACCES for rights to write and execute; -EIO for a broken address space, or if an undo was
 * refused; -EBUSY inside a section of the batch.
 */
struct aspace_range {
	uint64_t va;
	uint64_t nr;
	const uint64_t *select;
};

/* To write and to execute, ASPACE_RW | ASPACE_RX, is -EACCES whatever the range. */
enum aspace_rights {
	ASPACE_R = 0,  /* read */
	ASPACE_RW = 1, /* read, write */
	ASPACE_RX = 2, /* read, execute: the frames become read-only in the direct map as well */
};

/*
 * Maps page i of the range to @pfns[i], or to @first + i. Returns 0, or
 *
 *   -EEXIST  something selected is mapped already
 *   -EINVAL  a pfn is no data frame of ours
 *   -EBUSY   a frame is a table, or the kernel's text or read-only data; or it is to be writable while it is
 *            executable somewhere, or to be executable while its block is shared
 *   -ENOMEM
 *   Xen's    for a frame that only Xen knows not to be mappable
 */
__must_check int aspace_map(struct aspace *as, const struct aspace_range *range, const pfn_t *pfns,
			    enum aspace_rights rights);
__must_check int aspace_map_block(struct aspace *as, const struct aspace_range *range, pfn_t first,
				  enum aspace_rights rights);

/*
 * Maps frames that are not ours, @mfns[i] of domain @domid (for MMIO: DOMID_IO; DOMID_SELF with
 * MFNs that the P2M calls identity). @cache: PTE_PCD, PTE_PWT, PTE_PAT bits, or 0. Entry by
 * entry, never executable, and only where Xen knows the address space; no RAM of our own (-EINVAL). Errors as aspace_map(); -EBUSY for
 * writing in a piece that is read-only as a whole; and Xen's: -EPERM for a domU.
 */
__must_check int aspace_map_foreign(struct aspace *as, const struct aspace_range *range,
				    const mfn_t *mfns, domid_t domid, enum aspace_rights rights,
				    uint64_t cache);

/*
 * Unmaps; holes are passed over. It needs no memory for whole pieces and in private tables. Where it must
 * split a shared table it takes at most four frames, from the allocator or the reserve, else -ENOMEM.
 */
__must_check int aspace_unmap(struct aspace *as, const struct aspace_range *range);

/*
 * Changes rights. -ENOENT if something selected is not mapped; -EBUSY and -ENOMEM as above. What is to be executable and is no
 * data frame of ours: -EINVAL, or -EBUSY where the M2P names a frame that is not plain.
 */
__must_check int aspace_protect(struct aspace *as, const struct aspace_range *range,
				enum aspace_rights rights);

/* What an address maps to. */
struct aspace_info {
	bool mapped;
	unsigned int level; /* at which the walk ended: 1, unless a higher entry is not present */
	mfn_t mfn;
	pfn_t pfn; /* of a frame that is not ours: as the P2M has it, identity, or INVALID_PFN */
	bool writable, executable, user; /* over all levels */
	bool shared;			 /* through a table of the direct map's */
	uint64_t entry;			 /* as it was read at that level */
};

/* Returns 0, or -EINVAL for an address that is not canonical or Xen's. Any other address may be asked. */
__must_check int aspace_query(const struct aspace *as, uint64_t va, struct aspace_info *info);

#endif
