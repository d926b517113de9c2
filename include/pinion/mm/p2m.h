/* SPDX-License-Identifier: MIT */
/*
 * The P2M: the guest's own table from pfn to mfn, a tree of three levels, 512-way.
 *
 *     pfn   26      18 17       9 8        0
 *          +----------+----------+----------+
 *          |   slot   |   mid    |   leaf   |    512^3 frames, 512 GiB
 *          +----------+----------+----------+
 *
 *     top             mid               leaf
 *     +-----+         +-----+           +--------------------+
 *     |   --+-------->|   --+---------->| mfn                |  Xen's mfn_list, page by page, as it
 *     +-----+         +-----+           | mfn                |  is; or a page of the allocator
 *     |   --+---+     |   --+------+    | ~0                 |  missing
 *     +-----+   |     +-----+      |    | pfn | IDENTITY bit |  identity
 *     |   --+-+ |     |   --+---+  |    | mfn | FOREIGN bit  |  another domain's frame
 *     +-----+ | |     +-----+   |  |    +--------------------+
 *             | |               |  +--> missing:  512 x ~0          shared, never written
 *             | |               +-----> identity: 512 x ~0          shared, never written
 *             | +-> mid_missing:  512 x missing                     shared, never written
 *             +---> mid_identity: 512 x identity                    shared, never written
 *
 * What a frame can be:
 *   missing    no frame is there: INVALID_P2M_ENTRY
 *   RAM        a frame of this domain: the MFN as it is
 *   identity   a device's or the firmware's page, where the machine has it: mfn = pfn. Told by a
 *              bit, not by mfn == pfn, which RAM can be by chance
 *   foreign    another domain's frame, mapped here under a pfn of ours
 *
 * The `missing` and the `identity` page hold the same 512 words: *which* of the two an entry points to
 * decides. (All ~0, because a toolstack reads these pages, and knows MFNs and ~0 and nothing else.)
 * So test for INVALID_P2M_ENTRY before any bit, and take both bits off before an entry is built into a
 * page table: p2m_mfn() does.
 *
 * The tree is kept in one form only, so that its size follows from its content: a leaf that is all
 * missing or all identity is the shared page, and so is a middle page. Splitting a shared page
 * copies its meaning; joining gives the page back. A page of Xen's mfn_list that left the tree so goes
 * back through free() like any other.
 *
 * A tree reaches its pages by pointers, which are all base + pfn * 4096 for one base: first that of the
 * boot region, later that of the direct map (p2m_rebase()).
 *
 * Leaves of Xen's list lie side by side, and as long as nothing relinks the first of them a pfn is an index: one
 * load instead of three. (The tree is the truth; `linear` is a look at its first leaves.)
 *
 * All changes are all or nothing: pages are taken from the allocator before anything is written.
 *
 * Where MFNs are kept: here, and nowhere else. After a restore every MFN is another one, and these are the places
 * to go over; everything else says pfn.
 *
 *     the leaves of the tree     Xen's mfn_list among them
 *     the frame lists            of a published tree, and their list's in shared_info: p2m_publish() makes them again
 *     page tables                every present entry, of live and of offline tables
 *     boot_info.h                shared_info's machine address, which is no frame of ours
 *
 * For no longer than one operation, which can't be cut by a save:
 *
 *     mmu_batch_internal.h       requests, old values and operations of the open section. What stays behind is not read
 *                                again but by mmu_batch_error(), for people
 *     mmu_map.c                  the entry above a hold in an offline address space, until the section has ended
 *     pmap.c                     the address of the entry that links the window, until that is closed
 *     aspace_range.h aspace.h ptdump.h ptdump_print.c    arguments and results, on stacks
 *
 * (Members and variables of type mfn_t or maddr_t in any other file: `make lint`, tests/lint/rule_book.py.)
 *
 * Source: seed p2m-identity-2011; the bits as corrected in its review; the lists in Xen's
 * public/arch-x86/xen.h, struct arch_shared_info.
 */
#ifndef PINION_MM_P2M_H
#define PINION_MM_P2M_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

struct shared_info;

#define P2M_SHIFT     9
#define P2M_ENTRIES   (UINT64_C(1) << P2M_SHIFT)     /* of a page of any level */
#define P2M_SLOT_PFNS (UINT64_C(1) << 2 * P2M_SHIFT) /* of a slot: 1 GiB */
#define P2M_PFNS      (UINT64_C(1) << 3 * P2M_SHIFT) /* of the tree: 512 GiB */

#define INVALID_P2M_ENTRY  UINT64_MAX
#define FOREIGN_FRAME_BIT  (UINT64_C(1) << 63)
#define IDENTITY_FRAME_BIT (UINT64_C(1) << 62)

/* No x86-64 CPU has more than 52 physical address bits: an MFN is below this. */
#define P2M_MFN_END (UINT64_C(1) << (52 - PAGE_SHIFT))

enum p2m_kind {
	P2M_MISSING,
	P2M_IDENTITY,
	P2M_SHAREABLE, /* the kinds before this one have shared pages */
	P2M_RAM = P2M_SHAREABLE,
	P2M_FOREIGN,
};

/*
 * Where a tree gets its pages, and gives them back. alloc() returns the pfn of a page that is
 * mapped, writable, at the tree's base + pfn * 4096, content undefined; INVALID_PFN if there is
 * none. free() takes any page that left the tree, in any order, those of the mfn_list included.
 * Neither changes the tree.
 */
struct p2m_source {
	pfn_t (*alloc)(void *ctx);
	void (*free)(void *ctx, pfn_t pfn);
	void *ctx;
};

struct p2m {
	uint64_t ***top;		      /* [slot] -> mid -> leaf */
	uint64_t *shared_leaf[P2M_SHAREABLE]; /* `missing`, `identity` */
	uint64_t **shared_mid[P2M_SHAREABLE]; /* `mid_missing`, `mid_identity` */
	uintptr_t base;			      /* of all these pointers */
	const uint64_t *linear; /* leaves that lie side by side, as Xen's mfn_list does: those of */
	uint64_t linear_end;	/* the pfns below this, none of them a shared page */
	uint64_t max_pfn;	/* highest RAM pfn + 1; 0: no RAM */
	uint64_t pages;		/* in the tree, shared ones and the mfn_list's included */
	uint64_t list_pages;	/* in the frame lists; 0: not published */
	struct p2m_source source;
	/* Once published: */
	struct shared_info *shared;
	uint64_t **lists;		      /* [slot] -> list of the MFNs of 512 leaves */
	uint64_t *list_list;		      /* [slot]: MFN of that list */
	uint64_t *shared_list[P2M_SHAREABLE]; /* lists beside the shared mids */
};

/* The kernel's own tree. */
extern struct p2m kernel_p2m;

/*
 * Makes @p2m an empty tree: everything is missing. It takes five pages. Returns 0, or -ENOMEM with
 * all pages given back.
 */
__must_check int p2m_init(struct p2m *p2m, const struct p2m_source *source, uintptr_t base);

/* Gives back every page of the tree and its lists; the tree is unpublished first. */
void p2m_fini(struct p2m *p2m);

/*
 * Links Xen's list of the first @nr_pages MFNs, whose first page is @list, into an empty tree: its
 * pages become leaves as they are. The end of the last page, which is undefined in dom0 and 0 in a
 * domU, is set to ~0 first.
 *
 * Returns 0; -EINVAL for more pages than the tree has, or for an entry that is neither an MFN nor
 * ~0, with its pfn in *@bad; -ENOMEM for want of a middle page. The tree is as before then.
 * => the list's pages are mapped at base + pfn * 4096, writable
 */
__must_check int p2m_graft(struct p2m *p2m, pfn_t list, uint64_t nr_pages, pfn_t *bad);

/*
 * Once every page of the tree is mapped at @base + pfn * 4096 too: goes over to these addresses.
 * The frame lists need no change, they hold MFNs. => the old mapping is still there
 */
void p2m_rebase(struct p2m *p2m, uintptr_t base);

/* From now on pages come from @source and go back to it; it must take those of the former one. */
void p2m_set_source(struct p2m *p2m, const struct p2m_source *source);

/* The entry of @pfn with its bits: INVALID_P2M_ENTRY if missing, or out of range. */
static inline uint64_t p2m_get(const struct p2m *p2m, pfn_t pfn)
{
	uint64_t n = pfn_x(pfn), entry;
	const uint64_t *leaf;

	if (likely(n < p2m->linear_end))
		return p2m->linear[n];
	if (unlikely(n >= P2M_PFNS))
		return INVALID_P2M_ENTRY;
	leaf = p2m->top[n >> 2 * P2M_SHIFT][n >> P2M_SHIFT & (P2M_ENTRIES - 1)];
	entry = leaf[n & (P2M_ENTRIES - 1)];
	if (unlikely(entry == INVALID_P2M_ENTRY) && leaf == p2m->shared_leaf[P2M_IDENTITY])
		entry = n | IDENTITY_FRAME_BIT;
	return entry;
}

/* What an entry, as p2m_get() returns it, says. */
static inline enum p2m_kind p2m_entry_kind(uint64_t entry)
{
	if (entry == INVALID_P2M_ENTRY)
		return P2M_MISSING;
	if (entry & FOREIGN_FRAME_BIT)
		return P2M_FOREIGN;
	return (entry & IDENTITY_FRAME_BIT) ? P2M_IDENTITY : P2M_RAM;
}

static inline enum p2m_kind p2m_kind(const struct p2m *p2m, pfn_t pfn)
{
	return p2m_entry_kind(p2m_get(p2m, pfn));
}

/* The machine frame of @pfn, fit for a page table; INVALID_MFN if there is none. */
static inline mfn_t p2m_mfn(const struct p2m *p2m, pfn_t pfn)
{
	uint64_t entry = p2m_get(p2m, pfn);

	if (unlikely(entry == INVALID_P2M_ENTRY))
		return INVALID_MFN;
	return _mfn(entry & ~(IDENTITY_FRAME_BIT | FOREIGN_FRAME_BIT));
}

static inline mfn_t pfn_to_mfn(pfn_t pfn)
{
	return p2m_mfn(&kernel_p2m, pfn);
}

/* Whether @pfn is RAM and its frame @mfn: p2m_get() == mfn, in fewer steps, for no MFN looks like any
 * other kind of entry. => mfn < P2M_MFN_END */
static inline bool p2m_is(const struct p2m *p2m, pfn_t pfn, mfn_t mfn)
{
	uint64_t n = pfn_x(pfn);

	if (likely(n < p2m->linear_end))
		return p2m->linear[n] == mfn_x(mfn);
	return n < P2M_PFNS && p2m->top[n >> 2 * P2M_SHIFT][n >> P2M_SHIFT & (P2M_ENTRIES - 1)]
				       [n & (P2M_ENTRIES - 1)] == mfn_x(mfn);
}

/*
 * @pfn is now RAM, frame @mfn of this domain (another domain's: set_foreign), whatever it was before.
 *
 * Returns 0; -EINVAL if @pfn is beyond the tree or @mfn is no MFN; -ENOMEM with nothing changed.
 * At most two pages are taken (three if published); none if @pfn was RAM or foreign.
 * => @pfn is no page of this tree, if it is published
 */
__must_check int p2m_set(struct p2m *p2m, pfn_t pfn, mfn_t mfn);
__must_check int p2m_set_foreign(struct p2m *p2m, pfn_t pfn, mfn_t mfn);

/*
 * The pfns [@start, @end) are now identity (missing), whatever they were before. What lies beyond
 * the tree is left out; an empty range changes nothing.
 *
 * Returns 0; -EINVAL if @end is below @start; -ENOMEM with nothing changed. At most three pages are
 * taken inside one GiB, four in all, and one for each middle page among them if published.
 * => none of them is a page of this tree
 */
__must_check int p2m_set_identity_range(struct p2m *p2m, pfn_t start, pfn_t end);
__must_check int p2m_clear_range(struct p2m *p2m, pfn_t start, pfn_t end);

/* p2m_clear_range() of one pfn. -ENOMEM is possible only if it was identity. */
__must_check int p2m_clear(struct p2m *p2m, pfn_t pfn);

/*
 * Moves a leaf as it is: the 512 pfns from @from on become missing, and those from @to on what
 * those were. => none of them is identity, or a page of this tree
 *
 * Returns 0; -EINVAL if one of the two is no multiple of 512 or not in the tree; -EEXIST if one of
 * the pfns from @to on isn't missing; -ENOMEM with nothing changed.
 */
__must_check int p2m_move_leaf(struct p2m *p2m, pfn_t from, pfn_t to);

/*
 * The lowest RAM pfn at or above @pfn, INVALID_PFN if there is none; and the lowest one that is *not*
 * RAM (beyond the tree nothing is). Together they walk the runs of RAM, and are quick over holes.
 */
pfn_t p2m_ram_next(const struct p2m *p2m, pfn_t pfn);
pfn_t p2m_ram_end(const struct p2m *p2m, pfn_t pfn);

/*
 * Makes the tree known to a toolstack (save, dump) through @shared: max_pfn, and the lists of the
 * MFNs of its leaves, which follow every change from now on. A hole names the `missing` or
 * `identity` page, so no entry is ever 0 or ~0.
 *
 *     pfn_to_mfn_frame_list_list --> [slot]: MFN --> list [mid]: MFN --> leaf [..]: entry
 *
 * Takes four pages, and one for each middle page that isn't shared. Once more, it makes the lists anew:
 * after a restore, when every MFN is another one, or when @shared lies elsewhere.
 *
 * Returns 0; -ENOMEM, or -EINVAL if a page of the tree is no RAM by the tree itself, with nothing
 * changed.
 */
__must_check int p2m_publish(struct p2m *p2m, struct shared_info *shared);

/* Takes that back, and gives the lists' pages back. Nothing to do if it is not published. */
void p2m_unpublish(struct p2m *p2m);

/*
 * Looks the whole tree over: shared pages untouched, the one form, counters, max_pfn, frame lists,
 * entries that no setter makes. Returns NULL, or what is wrong, with the pfn where in *@where.
 */
const char *p2m_audit(const struct p2m *p2m, pfn_t *where);

#endif
