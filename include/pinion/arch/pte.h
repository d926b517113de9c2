/* SPDX-License-Identifier: MIT */
/*
 * Page-table entries of x86-64, one type for each level, so that an entry of one level can't be
 * stored in a table of another; and what Xen makes of an entry that it accepts.
 *
 *    63 62        53 52 51                          12 11  9 8 7 6 5 4   3   2  1  0
 *   +--+------------+--+------------------------------+-----+-+-+-+-+---+---+--+--+-+
 *   |NX| available  |GK|  machine frame number        | avl |G|.|D|A|PCD|PWT|US|RW|P|
 *   +--+------------+--+------------------------------+-----+-+-+-+-+---+---+--+--+-+
 *                    |                                         +- L1: PAT, L2 and L3: PSE
 *                    +- Xen's own: 'guest kernel', a page of a kernel (L1 only)
 *
 * A PV kernel runs in ring 3, so *every* mapping it is to reach needs US; Xen adds it, and marks in
 * bit 52 that the guest had not asked for it. Two more rules a guest must know: bit 62 is Xen's in
 * debug builds, and a non-present entry is best 0 (address bits left in one are fatal on CPUs with
 * L1TF). Rights combine over the levels: RW by AND, NX by OR.
 *
 * Source: adjust_guest_l1e .. l4e in Xen's arch/x86/pv/mm.h; ABI: 'Rewriting', 'Allowed bits'.
 */
#ifndef PINION_ARCH_PTE_H
#define PINION_ARCH_PTE_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/mm/frames.h>

#define PTE_P	UINT64_C(0x001)	    /* present */
#define PTE_RW	UINT64_C(0x002)	    /* writable */
#define PTE_US	UINT64_C(0x004)	    /* user */
#define PTE_PWT UINT64_C(0x008)	    /* write-through */
#define PTE_PCD UINT64_C(0x010)	    /* cache disable */
#define PTE_A	UINT64_C(0x020)	    /* accessed */
#define PTE_D	UINT64_C(0x040)	    /* dirty; L1 only */
#define PTE_PSE UINT64_C(0x080)	    /* superpage; L2 and L3 */
#define PTE_PAT UINT64_C(0x080)	    /* L1: page attribute table, high bit of the index */
#define PTE_G	UINT64_C(0x100)	    /* global; L1 only */
#define PTE_AVL UINT64_C(0xe00)	    /* free for the guest */
#define PTE_GK	(UINT64_C(1) << 52) /* Xen's: a guest kernel's page */
#define PTE_NX	(UINT64_C(1) << 63) /* not executable */

#define PTE_ADDR_MASK UINT64_C(0x000ffffffffff000)
#define PTE_AD	      (PTE_A | PTE_D)

/* A kernel data page, and a link to a lower table that narrows nothing. */
#define PTE_KERNEL_RW (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)
#define PTE_KERNEL_RO (PTE_P | PTE_A | PTE_NX)
#define PTE_KERNEL_RX (PTE_P | PTE_A)
#define PTE_LINK      (PTE_P | PTE_RW | PTE_US | PTE_A)

/* An entry of each level: l1e_t is the leaf's. */
typedef struct {
	uint64_t l1;
} l1e_t;

typedef struct {
	uint64_t l2;
} l2e_t;

typedef struct {
	uint64_t l3;
} l3e_t;

typedef struct {
	uint64_t l4;
} l4e_t;

#define TABLE_ENTRIES 512
#define L1_SHIFT      12
#define L2_SHIFT      21
#define L3_SHIFT      30
#define L4_SHIFT      39

/* What one entry of each level maps, in bytes. */
#define L1_SPAN (UINT64_C(1) << L1_SHIFT)
#define L2_SPAN (UINT64_C(1) << L2_SHIFT)
#define L3_SPAN (UINT64_C(1) << L3_SHIFT)
#define L4_SPAN (UINT64_C(1) << L4_SHIFT)

/* The shift of @level (1 to 4): its entries map 1 << shift bytes each. */
static inline unsigned int level_shift(unsigned int level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/* The entry of a table of @level that @va goes through. */
static inline unsigned int va_index(uint64_t va, unsigned int level)
{
	return (unsigned int)(va >> level_shift(level)) & (TABLE_ENTRIES - 1);
}

/* Whether bits 47 to 63 of @va are equal, as the CPU demands. */
static inline bool va_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* The raw entry for @mfn with @flags (PTE_*). */
static inline uint64_t pte_make(mfn_t mfn, uint64_t flags)
{
	return (mfn_x(mfn) << PAGE_SHIFT) | flags;
}

static inline mfn_t pte_mfn(uint64_t pte)
{
	return _mfn((pte & PTE_ADDR_MASK) >> PAGE_SHIFT);
}

static inline uint64_t pte_flags(uint64_t pte)
{
	return pte & ~PTE_ADDR_MASK;
}

/*
 * What Xen stores when it accepts @written as an entry of a table of @level (1 to 4): the value
 * that reads back, but for A and D, which the CPU sets at any time.
 *
 * @is_mmio: the frame is not RAM. Xen then maps it uncached whatever was asked for, unless it is
 * booted with mmio-relax: WB becomes UC (PWT and PCD set), WT and WP become UC (PCD flipped).
 *
 * Whether the table is linked in more than one place makes no difference: Xen changes an entry once, when it is
 * written or its table is validated, by what the entry itself says. So a leaf of the direct map's that a user's half
 * shares reads as the kernel's at the user's address too (GUEST_KERNEL, not GLOBAL), until a split writes it anew.
 *
 * Not told here: MMIO that Xen keeps read-only (MMCFG and MSI-X tables of some devices) loses RW as well.
 *
 * Source: adjust_guest_l1e, _l2e, _l3e, _l4e in Xen's arch/x86/pv/mm.h; get_page_from_l1e in
 * arch/x86/mm.c for MMIO.
 */
uint64_t pte_as_stored(unsigned int level, uint64_t written, bool is_mmio);

/* Whether @read is what Xen stores for @written at @level, A and D aside. */
bool pte_reads_as(unsigned int level, uint64_t read, uint64_t written, bool is_mmio);

#endif
