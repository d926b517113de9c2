/* SPDX-License-Identifier: MIT */
/*
 * Frames and addresses: the words of this kernel, in Xen's sense.
 *
 * A PV guest lives with two ways of numbering the same memory and must never take one for the
 * other. So each kind is a type of its own, a struct of one member: the compiler refuses a machine
 * number where a pseudo-physical one is due, at no cost in code.
 *
 *   pfn    pseudo-physical frame number: the guest's own numbering, contiguous from 0. What Xen
 *          calls a gfn (guest frame number) is, for a PV guest, the pfn in the guest's own view and
 *          the mfn in hypercalls that take "gmfn"; Pinion never uses the ambiguous word.
 *   mfn    machine frame number: where the frame is in the machine's RAM. Page tables hold these.
 *   paddr  pseudo-physical address in bytes: pfn * 4096 + offset.
 *   maddr  machine address in bytes: mfn * 4096 + offset.
 *   P2M    the guest's table pfn -> mfn.    M2P  Xen's table mfn -> pfn.
 *   L1-L4  page-table levels, L1 the leaf (x86: PTE, PDE, PDPTE, PML4E).
 *   pin    to give a page table its type for good, with a reference of its own.
 *   promote  Xen's validation of a plain frame as a page table of some level.
 *
 * Source: Xen's docs/misc glossary in xen/include/xen/mm.h ("gfn, mfn, pfn" comment).
 */
#ifndef PINION_MM_FRAMES_H
#define PINION_MM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT	 12
#define PAGE_SIZE	 (UINT64_C(1) << PAGE_SHIFT)
#define PAGE_OFFSET_MASK (PAGE_SIZE - 1)

typedef struct {
	uint64_t pfn;
} pfn_t;

typedef struct {
	uint64_t mfn;
} mfn_t;

typedef struct {
	uint64_t paddr;
} paddr_t;

typedef struct {
	uint64_t maddr;
} maddr_t;

/* printf formats for the members; use with pfn_x() and its brothers. */
#define PRI_pfn	  "lx"
#define PRI_mfn	  "lx"
#define PRI_paddr "012lx"
#define PRI_maddr "012lx"

/* What a lookup gives when there is no frame. */
#define INVALID_PFN_X UINT64_MAX
#define INVALID_MFN_X UINT64_MAX
#define INVALID_PFN   ((pfn_t){ INVALID_PFN_X })
#define INVALID_MFN   ((mfn_t){ INVALID_MFN_X })

/* Constructors: a number of the caller's becomes a frame or an address. */
static inline pfn_t _pfn(uint64_t n)
{
	return (pfn_t){ n };
}

static inline mfn_t _mfn(uint64_t n)
{
	return (mfn_t){ n };
}

static inline paddr_t _paddr(uint64_t a)
{
	return (paddr_t){ a };
}

static inline maddr_t _maddr(uint64_t a)
{
	return (maddr_t){ a };
}

/* Accessors: the number inside. */
static inline uint64_t pfn_x(pfn_t p)
{
	return p.pfn;
}

static inline uint64_t mfn_x(mfn_t m)
{
	return m.mfn;
}

static inline uint64_t paddr_x(paddr_t p)
{
	return p.paddr;
}

static inline uint64_t maddr_x(maddr_t m)
{
	return m.maddr;
}

static inline bool pfn_eq(pfn_t a, pfn_t b)
{
	return a.pfn == b.pfn;
}

static inline bool mfn_eq(mfn_t a, mfn_t b)
{
	return a.mfn == b.mfn;
}

/* The frame @n frames after @p. */
static inline pfn_t pfn_add(pfn_t p, uint64_t n)
{
	return _pfn(p.pfn + n);
}

static inline mfn_t mfn_add(mfn_t m, uint64_t n)
{
	return _mfn(m.mfn + n);
}

/* Frame to the address of its first byte, and an address to the frame it lies in. */
static inline paddr_t pfn_to_paddr(pfn_t p)
{
	return _paddr(p.pfn << PAGE_SHIFT);
}

static inline maddr_t mfn_to_maddr(mfn_t m)
{
	return _maddr(m.mfn << PAGE_SHIFT);
}

static inline pfn_t paddr_to_pfn(paddr_t a)
{
	return _pfn(a.paddr >> PAGE_SHIFT);
}

static inline mfn_t maddr_to_mfn(maddr_t a)
{
	return _mfn(a.maddr >> PAGE_SHIFT);
}

/* Bytes to whole frames: how many hold @bytes, and how many fit in it. */
static inline uint64_t frames_up(uint64_t bytes)
{
	return (bytes >> PAGE_SHIFT) + ((bytes & PAGE_OFFSET_MASK) != 0);
}

static inline uint64_t frames_down(uint64_t bytes)
{
	return bytes >> PAGE_SHIFT;
}

#endif
