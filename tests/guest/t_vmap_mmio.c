/* SPDX-License-Identifier: MIT */
/* Devices, through identity PFNs. */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "suite.h"

#define VGA_TEXT _pfn(0xb8)
#define APIC	 _pfn(0xfee00) /* no domain is given it: Xen's own */

static uint64_t frames_now(void)
{
	return frame_alloc_free() + frame_alloc_reserve();
}

static bool arena_is_empty(void)
{
	return frame_at(table_below(table_read(kernel_l4(), SLOT_VMAP)))->live == 0;
}

/* What Xen stored for a page, without what the CPU sets. */
static uint64_t leaf_flags_of(volatile void *va)
{
	struct aspace_info info;

	if (aspace_query(&kernel_aspace, (uintptr_t)va, &info))
		return 0;
	return info.entry & ~PTE_AD & ~PTE_ADDR_MASK & ~(PTE_G | PTE_GK);
}

/*
 * The text page of the VGA lies in the hole below 1 MiB that dom0's map has: pfn and mfn are one
 * number. It is a memory, so that what is written there can be read.
 */
TEST(vmap, mmio_vga, "dom0: the VGA's text page is read and written through identity",
     .needs = "dom0")
{
	static const uint64_t cached[] = { PTE_PCD | PTE_PWT, PTE_PAT, PTE_PCD | PTE_PWT };
	uint64_t frames = frames_now(), word = 0, old = 0;
	struct aspace_info info;
	volatile void *va = NULL;
	enum mmio_cache cache;

	for (cache = MMIO_UC; cache <= MMIO_WB; cache++) {
		REQUIRE(mmio_map(VGA_TEXT, 8, cache, &va) == 0);
		CHECK_EQ(leaf_flags_of(va), PTE_P | PTE_RW | PTE_US | PTE_NX | cached[cache]);
		CHECK_EQ(aspace_query(&kernel_aspace, (uintptr_t)va + 7 * PAGE_SIZE, &info), 0);
		CHECK_EQ(mfn_x(info.mfn), 0xbf);
		CHECK_EQ(pfn_x(info.pfn), 0xbf);
		/* The last words of the last page, which no screen of 80 x 25 shows. */
		void *end = (char *)(uintptr_t)va + 8 * PAGE_SIZE - 8;
		CHECK_EQ(probe_load64(end, &old), 0);
		CHECK_EQ(probe_store64(end, 0x0741074207430700 + cache), 0);
		CHECK_EQ(probe_load64(end, &word), 0);
		CHECK_EQ(word, 0x0741074207430700 + cache);
		CHECK_EQ(probe_store64(end, old), 0);
		CHECK_EQ(probe_load64((char *)end + 8, &word), EXINFO_PF(0));
		CHECK_EQ(mmio_unmap(va), 0);
		CHECK_EQ(mmio_unmap(va), -EINVAL);
		CHECK_EQ(frames_now(), frames);
		CHECK(arena_is_empty());
	}
}

/* More than goes in one piece: the kernel's view of the last page is right, and all of it goes again. */
TEST(vmap, mmio_long, "dom0: a long run of a device's pages", .needs = "dom0")
{
	uint64_t frames = frames_now(), pages = 600, i;
	struct aspace_info info;
	pfn_t start = _pfn(0xf0000);
	volatile void *va = NULL;
	void *block = NULL;
	int rc;

	for (i = 0; i < pages; i++)
		if (p2m_kind(&kernel_p2m, pfn_add(start, i)) != P2M_IDENTITY)
			return test_note("pfn %#lx is not identity", pfn_x(start) + i);
	/* A block before it, so that an L1 has both kinds. */
	REQUIRE(vmap_alloc(3, &block) == 0);
	rc = mmio_map(start, pages, MMIO_WC, &va);
	if (CHECK_EQ(rc, 0)) {
		for (i = 0; i < pages; i++) {
			REQUIRE(aspace_query(&kernel_aspace, (uintptr_t)va + i * PAGE_SIZE,
					     &info) == 0);
			REQUIRE(info.mapped && mfn_x(info.mfn) == pfn_x(start) + i);
		}
		CHECK_EQ(vmap_free((void *)(uintptr_t)va), -EINVAL);
		CHECK_EQ(mmio_unmap(va), 0);
	}
	CHECK_EQ(vmap_free(block), 0);
	CHECK_EQ(frames_now(), frames);
	CHECK(arena_is_empty());
}

/* Memory is no device, whatever its number: the P2M knows, and Xen need not be asked. */
TEST(vmap, mmio_not_identity, "RAM is -EINVAL, a missing pfn -ENOENT, without a hypercall")
{
	uint64_t calls = mmu_batch_calls(), frames = frames_now();
	pfn_t ram = boot_info()->initdomain ? _pfn(0x100) : VGA_TEXT;
	pfn_t end = _pfn(P2M_PFNS);
	volatile void *va = NULL;

	CHECK_EQ(p2m_kind(&kernel_p2m, ram), P2M_RAM);
	CHECK_EQ(mmio_map(ram, 1, MMIO_UC, &va), -EINVAL);
	CHECK_EQ(mmio_map(end, 1, MMIO_UC, &va), -ENOENT);
	CHECK_EQ(mmio_map(INVALID_PFN, 2, MMIO_UC, &va), -ENOENT);
	CHECK_EQ(mmio_map(ram, 0, MMIO_UC, &va), -EINVAL);
	CHECK_EQ(mmio_map(ram, 1, (enum mmio_cache)3, &va), -EINVAL);
	if (boot_info()->initdomain) {
		CHECK_EQ(p2m_kind(&kernel_p2m, _pfn(0xff)), P2M_IDENTITY);
		CHECK_EQ(mmio_map(_pfn(0xff), 2, MMIO_UC, &va), -EINVAL);
	}
	CHECK(va == NULL);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(frames_now(), frames);
	CHECK_EQ(vmap_areas(), 0);
}

/*
 * The identity of a pfn is the guest's own word, and no leave: the local APIC's page is given to no domain, dom0
 * included. With and without the guest being given the host's map its pfn is made identity, if it is not.
 */
TEST(vmap, mmio_refused,
     "a page that Xen does not let this domain have is -EPERM, and nothing stays")
{
	bool made = p2m_kind(&kernel_p2m, APIC) == P2M_MISSING;
	uint64_t frames = frames_now();
	volatile void *va = NULL;
	enum mmio_cache cache;

	if (made)
		REQUIRE(p2m_set_identity_range(&kernel_p2m, APIC, pfn_add(APIC, 1)) == 0);
	if (CHECK_EQ(p2m_kind(&kernel_p2m, APIC), P2M_IDENTITY))
		for (cache = MMIO_UC; cache <= MMIO_WB; cache++)
			CHECK_EQ(mmio_map(APIC, 1, cache, &va), -EPERM);
	/* The last one, without cacheability bits: Xen's own words. */
	CHECK_EQ(mmu_batch_error().rc, -EPERM);
	CHECK(va == NULL);
	CHECK_EQ(vmap_areas(), 0);
	CHECK(arena_is_empty());
	if (made)
		CHECK_EQ(p2m_clear_range(&kernel_p2m, APIC, pfn_add(APIC, 1)), 0);
	CHECK_EQ(frames_now(), frames);
}

/* Refused behind pages that were mapped already, and in pieces before it. */
TEST(vmap, mmio_refused_late, "dom0: refused in its last page, a long run leaves nothing",
     .needs = "dom0")
{
	uint64_t frames = frames_now(), nr = 300, i;
	pfn_t start = _pfn(pfn_x(APIC) + 1 - nr);
	volatile void *va = NULL;

	for (i = 0; i < nr; i++)
		if (p2m_kind(&kernel_p2m, pfn_add(start, i)) != P2M_IDENTITY)
			return test_note("pfn %#lx is not identity", pfn_x(start) + i);
	CHECK_EQ(mmio_map(start, nr, MMIO_UC, &va), -EPERM);
	CHECK(va == NULL);
	CHECK_EQ(vmap_areas(), 0);
	CHECK(arena_is_empty());
	CHECK_EQ(frames_now(), frames);
}
