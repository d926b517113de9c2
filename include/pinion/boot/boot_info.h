/* SPDX-License-Identifier: MIT */
/*
 * What the kernel knows of its start, checked: the summary of start_info, the memory map, the
 * command line and Xen's version. Filled in phases 1 and 2; nothing later reads start_info.
 *
 * MFNs don't stay: after a restore every one is a different one. What start_info names by MFN (the
 * rings) is here by PFN. shared_info is the exception; it is no frame of the guest's.
 */
#ifndef PINION_BOOT_BOOT_INFO_H
#define PINION_BOOT_BOOT_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/boot/memory_map.h>
#include <pinion/boot/options.h>
#include <pinion/mm/frames.h>

/* A run of frames; nr 0: there is none. */
struct frame_run {
	pfn_t start;
	uint64_t nr;
};

/* A shared ring page of a domU and its event channel. */
struct boot_ring {
	pfn_t pfn; /* INVALID_PFN: there is none, or start_info named no frame of ours */
	uint32_t port;
};

struct boot_info {
	bool initdomain;    /* this is dom0: no rings, console_io, machine memory map */
	uint32_t flags;	    /* start_info.flags, SIF_* */
	uint64_t nr_pages;  /* frames that Xen gave: pfns 0 to nr_pages - 1 */
	uint64_t ram_pages; /* of these the kernel uses pfns below ram_pages (option mem=) */

	pfn_t region_end;	   /* the boot region maps pfns 0 to region_end - 1 at VIRT_BASE */
	struct frame_run image;	   /* the kernel */
	struct frame_run mfn_list; /* Xen's P2M, nr_pages entries of 8 bytes */
	struct frame_run tables;   /* start-of-day page tables, the L4 first */
	pfn_t start_info;
	pfn_t stack_end; /* pfn after the builder's stack: in-use frames lie below it */
	pfn_t l4;

	struct boot_ring console; /* domU only */
	struct boot_ring store;	  /* domU only */
	maddr_t shared_info;	  /* machine address, perhaps above 4 GiB */

	struct frame_run module; /* boot module (initrd); nr 0: none */
	uint64_t module_bytes;

	unsigned int xen_major, xen_minor;
	char xen_extra[16];

	struct memory_map map;
	struct boot_options options;
};

/* The one boot_info, complete after phase 2. */
const struct boot_info *boot_info(void);

/* The MFN that Xen's list gives for @pfn, INVALID_MFN beyond nr_pages: what there is before the P2M.
 * Once the boot region is gone, the P2M answers. */
mfn_t boot_mfn(const struct boot_info *bi, pfn_t pfn);

/* Prints the fields by which a run is recognised, and a newline: the first line and the last line
 * carry the same (docs/console.md). */
void boot_print_identity(void);

#endif
