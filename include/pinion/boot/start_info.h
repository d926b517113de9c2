/* SPDX-License-Identifier: MIT */
/*
 * Start of day: from start_info, which is outside data, to the first half of boot_info.
 *
 * Split in two so that the rules can be tested with made-up values: start_info_check() is pure,
 * and looks at nothing but its arguments.
 */
#ifndef PINION_BOOT_START_INFO_H
#define PINION_BOOT_START_INFO_H

#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/boot/boot_info.h>

/* What is known of the boot region without start_info: how far it is mapped, found by probing. */
struct boot_region {
	uint64_t end;	    /* first unmapped address at or above VIRT_BASE */
	uint64_t image_end; /* end of the kernel image, page-aligned */
};

/*
 * Checks @si, a private copy of start_info which lay at @va, against @region, and fills the fields
 * of @bi that come from it alone. Rings and MFNs are left to start_info_rings().
 *
 * Returns 0; -EINVAL with one clear sentence in @why (@n bytes) and @bi untouched. Every
 * address is checked to lie inside the region before anything is read through it.
 */
__must_check int start_info_check(struct boot_info *bi, const struct start_info *si, uint64_t va,
				  const struct boot_region *region, char *why, size_t n);

/*
 * Finds the PFNs of a domU's console and store rings: their MFNs are only a claim, so each is
 * searched in @mfn_list (nr_pages entries), and must lie inside the boot region. What is not found
 * is INVALID_PFN.
 */
void start_info_rings(struct boot_info *bi, const struct start_info *si, const uint64_t *mfn_list);

/*
 * Frames needed to run, in pages: everything in use at start of day and the least that the kernel
 * takes from it, so that it boots with exactly this many and not with one less.
 */
uint64_t start_info_need_pages(const struct boot_info *bi);

#endif
