/* SPDX-License-Identifier: MIT */
/*
 * The pseudo-physical memory map: what Xen's E820 says, made safe to build on.
 *
 *   raw entries   any order, overlapping,      RAM      |------------------|
 *                 byte-granular, hostile       reserved        |---|
 *                                              pages    .   .   .   .   .   .   .
 *   memory_map    sorted, disjoint,                         [ RAM )[  RSV  )[R)
 *                 whole pages, merged
 *
 * The rule, for each page by itself:
 *   - an entry that is not RAM has the page if it touches any byte of it (it rounds outwards); of
 *     several such entries the greatest kind in the order of enum memory_kind has it;
 *   - otherwise the page is RAM if RAM entries together cover every byte of it (RAM rounds
 *     inwards);
 *   - otherwise it is a hole.
 * So a page is RAM only if nothing speaks against it: to take a device's page or the firmware's for
 * RAM corrupts memory, to give a page of RAM away costs 4 KiB.
 */
#ifndef PINION_BOOT_MEMORY_MAP_H
#define PINION_BOOT_MEMORY_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

#define E820_MAX 128 /* raw entries that are looked at: Xen's E820MAX */

/* A raw entry as XENMEM_memory_map stores it: that of the BIOS call INT 15h, AX=E820h, 20 bytes. */
struct e820_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
} __packed;

static_assert(sizeof(struct e820_entry) == 20, "the BIOS's layout has no padding");

/* The types of ACPI 6.4, table 15.3. All others are taken for reserved. */
#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3
#define E820_NVS      4
#define E820_UNUSABLE 5

/* In the order in which overlapping entries win, the greatest last. */
enum memory_kind {
	MEMORY_HOLE, /* no entry: never stored, only an answer of memory_map_kind_at() */
	MEMORY_RAM,
	MEMORY_RESERVED,
	MEMORY_ACPI,
	MEMORY_NVS,
	MEMORY_UNUSABLE,
	MEMORY_KINDS
};

struct memory_range {
	pfn_t start, end; /* [start, end), never empty */
	enum memory_kind kind;
};

#define MEMORY_MAP_MAX 128

/* Ranges ascend; two that touch differ in kind. */
struct memory_map {
	unsigned int nr;
	struct memory_range range[MEMORY_MAP_MAX];
};

/* Addresses end here: no x86-64 CPU has more than 52 physical address bits (SDM vol. 3A, 4.1.4). */
#define MEMORY_MAP_END_PFN (UINT64_C(1) << (52 - PAGE_SHIFT))

/**
 * memory_map_build() - the map of a set of raw entries
 * @map: the result; as it was if there is an error
 * @raw: @nr entries from outside, any bytes. An empty entry says nothing; what lies at or beyond
 *       2^52 is cut off, and so is the part of an entry that would wrap past 2^64
 * @nr: up to E820_MAX; 0 makes an empty map
 *
 * Return: 0; -E2BIG for more than E820_MAX entries, or if the result has more than MEMORY_MAP_MAX
 * ranges (which takes entries nested in others: n disjoint ones never make more than n).
 */
int __must_check memory_map_build(struct memory_map *map, const struct e820_entry *raw, size_t nr);

/*
 * The map where Xen has none: RAM from 0 to @nr_pages, as a domU's start of day has it. nr_pages is
 * clamped to MEMORY_MAP_END_PFN; 0 makes an empty map.
 */
void memory_map_fallback(struct memory_map *map, uint64_t nr_pages);

/* What @pfn is; MEMORY_HOLE where no range has it. Any pfn may be asked for. */
enum memory_kind memory_map_kind_at(const struct memory_map *map, pfn_t pfn);

/* Pages of RAM in the map, whether Xen has populated them or not */
uint64_t memory_map_ram_pages(const struct memory_map *map);

/* "RAM", "reserved", ...; "?" for a number that is no kind */
const char *memory_kind_name(enum memory_kind kind);

/* One line a range for the boot log */
void memory_map_print(const struct memory_map *map);

#endif
