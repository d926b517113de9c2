/* SPDX-License-Identifier: MIT */
/*
 * Holes of the memory map become identity at boot, and the RAM in them moves out of the way.
 *
 *   memory map    | RAM      |hole| RAM           |reserved|       (what is where on the machine)
 *   start of day  | RAM, pfns 0 to nr_pages - 1       |           (builders know no holes)
 *   after         | RAM      | id | RAM           |   id   | RAM that was in holes |
 *
 * A device's page must be reached under the pfn that equals its machine frame, so that pfn can't be
 * RAM. The frame that has it is not lost: it gets an unused pfn from nr_pages on that lies in no
 * hole. In detail:
 *
 *   - 'hole' is what no range of the map has, below the end of the last one, and every range that is
 *     neither RAM nor unusable. Above the last range, and in RAM that Xen has not given, pfns are
 *     missing.
 *   - A page of Xen's mfn_list of which all 512 frames move is linked as the leaf of their new pfns:
 *     512 frames moved without a page of memory. The frames that lie in holes by less than a leaf
 *     go first, each to the lowest pfn there is.
 *   - Frames in use since start of day stay where they are, and the log says which: the image, what
 *     follows it up to the boot stack, the module, the rings. Frames for which no pfn is left
 *     stay as well.
 *   - A frame of the boot region that moves loses its start-of-day mapping, whose address says the
 *     old pfn.
 *
 * Source: seed p2m-identity-2011; MMU_MACHPHYS_UPDATE in Xen's public/xen.h.
 */
#ifndef PINION_MM_P2M_BOOT_H
#define PINION_MM_P2M_BOOT_H

#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/p2m.h>

struct p2m_boot_report {
	uint64_t moved;	   /* frames that got another pfn */
	uint64_t relinked; /* pages of the mfn_list that moved with all their frames, in pages */
	uint64_t in_use;   /* frames that stayed in a hole */
	uint64_t identity; /* pfns that are identity now */
	bool clamped;	   /* an identity range reached past the tree's end */
};

/*
 * Does so for all holes of bi->map. Returns 0; -ENOMEM or Xen's error, after which booting can't
 * go on. => bi->mfn_list is grafted and the tree is not published; the boot region stands; of its frames
 * in holes none is used but those named above, so no allocator has given one out
 */
__must_check int p2m_boot_holes(struct p2m *p2m, const struct boot_info *bi,
				struct p2m_boot_report *report);

#endif
