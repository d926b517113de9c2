/* SPDX-License-Identifier: MIT */
/* The direct map and the kernel's own tables: rights by frame, and nothing left of start of day. */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/boot/memory.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include "suite.h"

/* One `ret`, in text, in rodata and in data: only the first may run. */
static const unsigned char rodata_ret[16] = { 0xc3 };
static unsigned char data_ret[16] = { 0xc3 };

static void text_ret(void)
{
}

/* The direct-map alias of a page of the image. */
static void *alias(const void *va)
{
	return (char *)direct_va(boot_va_pfn(va)) + ((uintptr_t)va & PAGE_OFFSET_MASK);
}

#define NO_WRITE EXINFO_PF(PF_PRESENT | PF_WRITE)
#define NO_FETCH EXINFO_PF(PF_PRESENT | PF_FETCH)

/*
 * W^X of frames: a page that can be written through one address and run through another is both,
 * whatever each mapping says. So every access is tried through both.
 */
TEST(maps, wx_text, "text runs, and can't be written through any address")
{
	uint64_t word = 0;

	CHECK_EQ(probe_call((const void *)text_ret), 0);
	CHECK_EQ(probe_store64(__text_start, 0), NO_WRITE);
	CHECK_EQ(probe_store64(alias(__text_start), 0), NO_WRITE);
	CHECK_EQ(probe_call(alias((const void *)text_ret)), NO_FETCH);
	CHECK_EQ(probe_load64(alias((const void *)((uintptr_t)text_ret & ~(uintptr_t)7)), &word),
		 0);
	CHECK_EQ(word, *(const uint64_t *)((uintptr_t)text_ret & ~(uintptr_t)7));
}

TEST(maps, wx_rodata, "read-only data can neither be written nor run")
{
	CHECK_EQ(probe_store64((void *)(uintptr_t)rodata_ret, 0), NO_WRITE);
	CHECK_EQ(probe_store64(alias(rodata_ret), 0), NO_WRITE);
	CHECK_EQ(probe_call(rodata_ret), NO_FETCH);
	CHECK_EQ(probe_call(alias(rodata_ret)), NO_FETCH);
	CHECK_EQ(probe_store64((void *)((uintptr_t)__rodata_end - 8), 0), NO_WRITE);
}

TEST(maps, wx_data, "data can be written through both addresses, and not run")
{
	uint64_t *there = alias(data_ret);

	CHECK_EQ(probe_call(data_ret), NO_FETCH);
	CHECK_EQ(probe_call(there), NO_FETCH);
	CHECK_EQ(probe_store64(there, UINT64_C(0xc3)), 0);
	CHECK_EQ(data_ret[0], 0xc3);
	CHECK_EQ(probe_store64(__data_start, *(uint64_t *)__data_start), 0);
	CHECK_EQ(probe_call(boot_stack), NO_FETCH);
}

/* Start of day mapped all of the boot region; of that only the image is left. */
TEST(maps, boot_region_gone, "outside the image nothing is mapped where the boot region was")
{
	uint64_t va, word = 0, end = (uint64_t)boot_va(boot_info()->region_end);

	for (va = VIRT_BASE; va < end; va += PAGE_SIZE) {
		bool image = va >= IMAGE_BASE && va < (uint64_t)__image_end;
		bool hole = (va >= (uint64_t)boot_stack_guard && va < (uint64_t)boot_stack);

		if (!image)
			REQUIRE(probe_load64((const void *)va, &word) == EXINFO_PF(0));
		if (hole)
			CHECK_EQ(probe_store64((void *)va, 0), EXINFO_PF(PF_WRITE));
	}
	test_note("%lu frames of start of day's tables reclaimed", memory_reclaimed());
	CHECK(memory_reclaimed() > boot_info()->tables.nr);
}

/* Every frame of RAM is there, and reads as itself; what is no RAM is not there. */
TEST(maps, direct_map_complete, "the direct map has every frame of RAM and nothing else")
{
	uint64_t pfn, word = 0, ram = 0, end = pfn_x(direct_map_end());
	bool mapped;

	for (pfn = 0; pfn < end; pfn++) {
		mapped = probe_load64(direct_va(_pfn(pfn)), &word) == 0;
		REQUIRE(mapped == (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM));
		ram += mapped;
	}
	CHECK_EQ(probe_load64(direct_va(_pfn((end | 511) + 1)), &word), EXINFO_PF(0));
	test_note("%lu frames, %lu tables", ram, direct_map_tables().nr);
}

/* Its tables are reached through itself, read-only; with them, the walk can be done in memory. */
TEST(maps, direct_map_tables, "page tables are read-only in the direct map, and tell the truth")
{
	const uint64_t *l4 = direct_va(kernel_l4()), *table;
	struct frame_run run = direct_map_tables();
	uint64_t i;

	/* Stores to an L1 are not tried: for a dom0 Xen emulates them. The L3 and the first L2 come first. */
	for (i = 0; i < 2; i++)
		CHECK_EQ(probe_store64(direct_va(pfn_add(run.start, i)), 0), NO_WRITE);
	CHECK_EQ(probe_store64((void *)(uintptr_t)l4, 0), NO_WRITE);
	/* No table can be made writable. */
	for (i = 0; i < run.nr; i++)
		REQUIRE(direct_map_protect(pfn_add(run.start, i), PTE_KERNEL_RW) == -EBUSY);
	CHECK_EQ(direct_map_protect(kernel_l4(), PTE_KERNEL_RW), -EBUSY);
	/* The L3 was taken first, then the first L2, then the first L1. */
	CHECK_EQ(mfn_x(pte_mfn(l4[SLOT_DIRECT_MAP])), mfn_x(pfn_to_mfn(run.start)));
	table = direct_va(run.start);
	CHECK_EQ(mfn_x(pte_mfn(table[0])), mfn_x(pfn_to_mfn(pfn_add(run.start, 1))));
	table = direct_va(pfn_add(run.start, 2));
	CHECK(pte_reads_as(1, table[0], pte_make(pfn_to_mfn(_pfn(0)), PTE_KERNEL_RW), false));
}

/* A frame that can't be written can't become a table, nor be given back as memory: the frame table has to know. */
TEST(maps, direct_map_rights,
     "a frame made read-only is no plain memory until it is writable again")
{
	uint64_t plain;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	plain = frame_plain[pfn_x(pfn) / TABLE_ENTRIES];
	CHECK_EQ(direct_map_protect(pfn, PTE_KERNEL_RO), 0);
	CHECK_EQ(probe_store64(direct_va(pfn), 0), NO_WRITE);
	CHECK(!(frame_at(pfn)->flags & FRAME_PLAIN));
	CHECK_EQ(frame_plain[pfn_x(pfn) / TABLE_ENTRIES], plain - 1);
	CHECK_EQ(table_begin(pfn, 1, true), -EBUSY);
	CHECK_EQ(direct_map_protect(pfn, PTE_KERNEL_RW), 0);
	CHECK_EQ(probe_store64(direct_va(pfn), 0), 0);
	CHECK(frame_at(pfn)->flags & FRAME_PLAIN);
	CHECK_EQ(frame_plain[pfn_x(pfn) / TABLE_ENTRIES], plain);
	frame_free(pfn, 0);
}

/* What came back is ordinary memory again: writable, and the allocator's. */
TEST(maps, reclaimed_frames, "start of day's tables are plain memory now, and can be written")
{
	const struct frame *frame = frame_at(boot_info()->l4);
	uint64_t word = 0, was;

	/* In a small guest somebody may have it again. */
	CHECK(frame->kind == FRAME_FREE ||
	      (frame->kind == FRAME_DATA && (frame->flags & FRAME_PLAIN)));
	was = *(uint64_t *)direct_va(boot_info()->l4);
	CHECK_EQ(probe_store64(direct_va(boot_info()->l4), 0x1234), 0);
	CHECK_EQ(probe_load64(direct_va(boot_info()->l4), &word), 0);
	CHECK_EQ(word, 0x1234);
	/* What it holds is its owner's, or the allocator's. */
	CHECK_EQ(probe_store64(direct_va(boot_info()->l4), was), 0);
}
