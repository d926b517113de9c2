/* SPDX-License-Identifier: MIT */
/*
 * The machine: its RAM, and the hypervisor's own part of every address space.
 *
 * QEMU says by a struct hvm_start_info where RAM is, where the guest's ELF is (module 0) and what the command
 * line was. Frames that the hypervisor needs for itself come in one run from the end of its image up, and are
 * never given back. What is left when the guest is built is the heap, the model's to give out.
 *
 *   0        1 MiB                                                    nr_frames
 *   | firmware | image | tables, M2P, frame table | heap ... | module | [hole] heap |
 *
 * Source: start_info.h of Xen's public/arch-x86/hvm.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include "smoke.h"

#define E820_RAM 1

#define LARGE_SPAN UINT64_C(0x200000)

/* MFNs that one 2 MiB piece of the M2P is for. */
#define M2P_PIECE_MFNS (LARGE_SPAN / sizeof(uint64_t))

extern char __image_end[];

struct machine machine;

/* The next free byte of RAM, and the end of the run that it is in. */
static uint64_t next, limit;

static bool is_ram(const struct model_region *range)
{
	return range->type == E820_RAM;
}

void *machine_alloc(uint64_t n)
{
	uint64_t bytes = n << PAGE_SHIFT;
	void *va;

	next = (next + bytes - 1) & ~(bytes - 1);
	if (next + bytes > limit)
		panic("the machine has too little memory for the hypervisor itself");
	va = maddr_to_va(next);
	next += bytes;
	memset(va, 0, bytes);
	return va;
}

void *machine_bytes(uint64_t bytes)
{
	uint64_t frames = frames_up(bytes);
	void *va = machine_alloc(1);

	while (--frames)
		(void)machine_alloc(1);
	return va;
}

/* What was handed over lies anywhere in RAM, reached by the first GiB's map until there is another. */
static void read_ranges(const struct hvm_start_info *si)
{
	const struct hvm_memmap_table_entry *e = (void *)(IMAGE_VA + si->memmap_paddr);
	uint32_t i;

	if (si->magic != XEN_HVM_START_MAGIC_VALUE || si->version < 1 || !si->memmap_entries)
		panic("no memory map was handed over: is this QEMU's PVH boot?");
	for (i = 0; i < si->memmap_entries && i < RANGES_MAX; i++) {
		struct model_region *range = &machine.range[i];

		*range = (struct model_region){ e[i].addr, e[i].size, e[i].type };
		machine.nr_ranges++;
		if (is_ram(range) && (range->addr + range->size) >> PAGE_SHIFT > machine.nr_frames)
			machine.nr_frames = (range->addr + range->size) >> PAGE_SHIFT;
	}
}

static void read_module(const struct hvm_start_info *si)
{
	const struct hvm_modlist_entry *module = (void *)(IMAGE_VA + si->modlist_paddr);

	if (!si->nr_modules)
		panic("there is no guest: -initrd ELF");
	machine.module = module->paddr;
	machine.module_bytes = module->size;
}

/* The hypervisor's frames: from its image's end up to the module, or to the end of that RAM. */
static void find_run(void)
{
	uint64_t start = (uint64_t)__image_end - IMAGE_VA, end;
	unsigned int i;

	for (i = 0; i < machine.nr_ranges; i++) {
		const struct model_region *range = &machine.range[i];

		end = range->addr + range->size;
		if (!is_ram(range) || start < range->addr || start >= end)
			continue;
		if (machine.module >= start && machine.module < end)
			end = machine.module;
		next = start;
		limit = end < L3_SPAN ? end : L3_SPAN; /* what boot.S maps */
	}
	if (!limit)
		panic("the hypervisor does not lie in RAM");
}

/* The table that entry @index of @table links, made if it is not there. */
static uint64_t *descend(uint64_t *table, unsigned int index, uint64_t flags)
{
	if (!(table[index] & PTE_P))
		table[index] = ((uint64_t)machine_alloc(1) - RAM_VA) | flags;
	return maddr_to_va(table[index] & PTE_ADDR_MASK);
}

static void map_large(uint64_t va, uint64_t maddr, uint64_t flags)
{
	uint64_t link = PTE_LINK;
	uint64_t *l3 = descend(hypervisor_l4, va_index(va, 4), link);
	uint64_t *l2 = descend(l3, va_index(va, 3), link);

	l2[va_index(va, 2)] = maddr | PTE_PSE | PTE_P | PTE_A | PTE_D | flags;
}

/*
 * All of RAM at RAM_VA. descend() reaches new tables there, so the first GiB comes first, with tables of the
 * image's own and reached by the image's address.
 */
static void map_ram(void)
{
	static uint64_t first_l3[512] __aligned(4096), first_l2[512] __aligned(4096);
	uint64_t maddr, i;

	for (i = 0; i < 512; i++)
		first_l2[i] = i * LARGE_SPAN | PTE_PSE | PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX;
	first_l3[va_index(RAM_VA, 3)] = ((uint64_t)first_l2 - IMAGE_VA) | PTE_LINK;
	hypervisor_l4[RAM_SLOT] = ((uint64_t)first_l3 - IMAGE_VA) | PTE_LINK;
	for (maddr = L3_SPAN; maddr < machine.nr_frames << PAGE_SHIFT; maddr += LARGE_SPAN)
		map_large(RAM_VA + maddr, maddr, PTE_RW | PTE_NX);
}

static bool has_ram(uint64_t mfn, uint64_t end)
{
	unsigned int i;

	for (i = 0; i < machine.nr_ranges; i++)
		if (is_ram(&machine.range[i]) && machine.range[i].addr >> PAGE_SHIFT < end &&
		    (machine.range[i].addr + machine.range[i].size) >> PAGE_SHIFT > mfn)
			return true;
	return false;
}

/*
 * The M2P: a piece of 2 MiB for each GiB with RAM; what lies between is a hole, which faults. All pieces are
 * in one run of RAM, so that the model has an array; those of holes are there too, and nobody reads them.
 */
static void make_m2p(void)
{
	uint64_t n, pieces = (machine.nr_frames + M2P_PIECE_MFNS - 1) / M2P_PIECE_MFNS;
	void *piece;

	for (n = 0; n < pieces; n++) {
		piece = machine_alloc(LARGE_SPAN >> PAGE_SHIFT);
		memset(piece, 0xff, LARGE_SPAN);
		if (n == 0)
			machine.m2p = piece;
	}
	for (n = 0; n < pieces; n++)
		if (has_ram(n * M2P_PIECE_MFNS, (n + 1) * M2P_PIECE_MFNS))
			map_large(M2P_VA + n * LARGE_SPAN,
				  (uint64_t)machine.m2p + n * LARGE_SPAN - RAM_VA, PTE_US | PTE_NX);
}

void machine_init(const struct hvm_start_info *si)
{
	read_ranges(si);
	read_module(si);
	find_run();
	map_ram();
	make_m2p();
	machine.frames = machine_bytes(machine.nr_frames * sizeof(struct model_frame));
	/* Low addresses are the guest's from here on. */
	hypervisor_l4[0] = 0;
	write_cr3((uint64_t)hypervisor_l4 - IMAGE_VA);
}

/* Whose a frame of the machine is before there is a guest. */
static enum model_owner owner_of(uint64_t mfn)
{
	uint64_t maddr = mfn << PAGE_SHIFT;
	unsigned int i;

	for (i = 0; i < machine.nr_ranges; i++) {
		const struct model_region *range = &machine.range[i];

		if (!is_ram(range) || maddr < range->addr ||
		    maddr + PAGE_SIZE > range->addr + range->size)
			continue;
		if (maddr < next)
			return MODEL_XEN;
		if (maddr + PAGE_SIZE > machine.module &&
		    maddr < machine.module + machine.module_bytes)
			return MODEL_XEN;
		return MODEL_NOBODY;
	}
	return MODEL_IO;
}

void machine_sort(struct model *m)
{
	enum model_owner owner;
	uint64_t mfn;

	next = (next + PAGE_SIZE - 1) & ~PAGE_OFFSET_MASK;
	for (mfn = 0; mfn < machine.nr_frames; mfn++) {
		owner = owner_of(mfn);
		if (owner != MODEL_NOBODY)
			model_give(m, _mfn(mfn), owner, INVALID_PFN_X);
	}
	limit = next;
}
