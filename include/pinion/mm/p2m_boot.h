/* SPDX-License-Identifier: MIT */
/*
 * Holes of the memory map become identity at boot, and the RAM in them moves out of the way.
 *
 *   memory map   | RAM      |hole| RAM           |reserved|      (what is where on the machine)
 *   start of day | RAM, pfns 0 to nr_pages - 1       |          (builders know no holes)
 *   after        | RAM      | id | RAM               |   | id | RAM that was in the hole
 *                                                     ^ nr_pages
 *
 * A device's page must be reachable under the pfn that equals its machine frame, so that pfn can't be
 * RAM. The frame itself is not lost: it gets the lowest unused pfn from nr_pages on that is in no
 * hole. Frames in use stay; they are counted and logged.
 *
 * Source: DESIGN's P2M contract; seed p2m-identity-2011; MMU_MACHPHYS_UPDATE in public/xen.h.
 */
#ifndef PINION_MM_P2M_BOOT_H
#define PINION_MM_P2M_BOOT_H

#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/p2m.h>

struct p2m_boot_report {
	uint64_t moved;	   /* frames that got another pfn */
	uint64_t in_use;   /* frames that stayed in a hole */
	uint64_t identity; /* pfns that are identity now */
	bool clamped;	   /* an identity range reached past the tree's end */
};

/*
 * Does so for all holes and reserved ranges of bi->map below its last range's end, unusable ones
 * (type 5) excepted. Returns 0; -ENOMEM or Xen's error, after which booting can't go on. => the tree
 * is grafted; the boot region stands, and nobody uses frames of it that lie in a hole
 */
__must_check int p2m_boot_holes(struct p2m *p2m, const struct boot_info *bi,
				struct p2m_boot_report *report);

#endif
