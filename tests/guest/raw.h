/* SPDX-License-Identifier: MIT */
/*
 * Raw calls for tests of Xen's rules: what no typed wrapper of the kernel's would pass.
 *
 * Such a test is a RAW_TEST. It runs in the early phase, on start of day's live tables, where
 * every frame of the boot region has exactly one mapping: boot_va(pfn). Its memory is a few
 * scratch pages of the suite's own .bss, all writable and zero when it starts; its addresses are
 * those pages' own, and L4 slots that nobody uses.
 *
 *   live L4                    scratch pages
 *   +------------------+
 *   | RAW_SLOT         |----> L3 --[0]--> L2 --[0]--> L1 --[n]--> data     = RAW_VA + n * 4096
 *   | RAW_SLOT + 1 ... |      for the test to build and to take away again
 *   +------------------+
 *
 * After it everything must be as before, and raw_run() looks: the tables of start of day hold the
 * same entries, every scratch page is mapped as it was and writable, its frame can't be pinned or
 * unpinned (so it is no table and no descriptor page, and nothing pins it), and the M2P names it.
 *
 * Rules that tests quote as "ABI:" are in docs/xen-abi.md; names of functions are Xen's, in xen/arch/x86/mm.c
 * unless another file is named.
 */
#ifndef PINION_TESTS_GUEST_RAW_H
#define PINION_TESTS_GUEST_RAW_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/arch/hypercall_raw.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/arch/trap.h>
#include <pinion/mm/frames.h>
#include <pinion/mm/layout.h>
#include <pinion/xen/hypercall.h>
#include "suite.h"

/* A test of the early phase that leaves nothing behind, which is checked. */
#define RAW_TEST(group_, name_, story_, ...)                            \
	static void raw_##name_(void);                                  \
	TEST(group_, name_, story_, .phase = TEST_EARLY, ##__VA_ARGS__) \
	{                                                               \
		raw_run(raw_##name_);                                   \
	}                                                               \
	static void raw_##name_(void)

#define RAW_PAGES 24

/* Two L4 slots of nobody: not Xen's, not the kernel's (layout.h), not the user's. */
#define RAW_SLOT  (SLOT_DIRECT_MAP + 4)
#define RAW_SLOTS 2
#define RAW_VA	  (DIRECT_MAP + 4 * L4_SPAN)

/* Entries of a table that a test writes into pages of its own. */
#define RAW_LINK (PTE_P | PTE_RW | PTE_US | PTE_A)
#define RAW_RO	 (PTE_P | PTE_A)
#define RAW_RW	 (PTE_P | PTE_RW | PTE_A)

void raw_run(void (*test)(void));

/* Scratch page @n, below RAW_PAGES. */
uint64_t *raw_page(unsigned int n);

/* The frame and the machine address behind an address of the boot region. */
mfn_t raw_mfn(const void *va);
uint64_t raw_maddr(const void *va);

/* A pointer of any address. */
static inline void *raw_ptr(uint64_t va)
{
	return (void *)va;
}

/* The address all of whose indices are @slot: with a self map in that slot of the L4, the L4 itself. */
static inline uint64_t raw_self_va(unsigned int slot)
{
	uint64_t va = slot * (L4_SPAN + L3_SPAN + L2_SPAN + L1_SPAN);

	return (uint64_t)((int64_t)(va << 16) >> 16);
}

/* M2P entry of @mfn: ~0 where there is none, a hole included. */
uint64_t raw_m2p(uint64_t mfn);

/* The entry of @level that maps @va in the live tables; NULL if a level above is not present. It
 * is read through its read-only mapping in the boot region. */
const uint64_t *raw_entry(const void *va, unsigned int level);

/* An entry of the live L4. */
const uint64_t *raw_l4e(unsigned int slot);

/* A frame that is RAM and belongs to nobody, or to Xen; 0 if none is found. */
uint64_t raw_unowned_mfn(void);

/* A frame of another domain's, or 0: as dom0 in the rig there is no other. */
uint64_t raw_foreign_mfn(void);

/* This domain's number, found by asking Xen; 0 for a dom0. */
domid_t raw_own_domid(void);

/* One request each. The result is Xen's; the test fails here if the count of requests done does not
 * fit it. */
long raw_update(uint64_t ptr, uint64_t val);
long raw_set(const uint64_t *entry, uint64_t val);
long raw_ext(unsigned int cmd, uint64_t arg1, uint64_t arg2);
long raw_pin(unsigned int level, const void *page);
long raw_unpin(const void *page);

/* update_va_mapping with a local INVLPG. */
long raw_uva(const void *va, uint64_t val);

/* The scratch page's own mapping: gone, read-only, or as at the start. */
long raw_unmap(const void *page);
long raw_ro(const void *page);
long raw_rw(const void *page);

/* raw_ro() and raw_rw() for the pages from @first to @last. */
void raw_ro_all(unsigned int first, unsigned int last);
void raw_rw_all(unsigned int first, unsigned int last);

/* Entry for a scratch page. */
uint64_t raw_pte(const void *page, uint64_t flags);

/*
 * Links RAW_SLOT -> l3 -> l2 -> l1, slot 0 of each, after making the three read-only; what l1
 * maps is for the caller to fill in before. raw_unlink_tree() undoes both. Failures fail the
 * test.
 */
void raw_link_tree(uint64_t *l3, uint64_t *l2, uint64_t *l1);
void raw_unlink_tree(uint64_t *l3, uint64_t *l2, uint64_t *l1);

/* Fails the test if @entry does not read as Xen stores @written at @level. */
void raw_check_stored(const uint64_t *entry, unsigned int level, uint64_t written);

/*
 * After its frame went back to Xen: gives scratch page @page the frame @mfn, that Xen has given
 * in its place, in the mfn_list and at its own address.
 */
void raw_adopt(const void *page, uint64_t mfn);

/*
 * Changes the frame of scratch page @page for another, by XENMEM_exchange. Xen does so only if
 * nothing at all refers to the frame any more, so that 0 proves that no reference has been lost.
 * The page must be writable and is so again afterwards. Returns Xen's result.
 */
long raw_exchange(const void *page);

#endif
