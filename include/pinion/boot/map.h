/* SPDX-License-Identifier: MIT */
/* The memory map as Xen tells it. */
#ifndef PINION_BOOT_MAP_H
#define PINION_BOOT_MAP_H

#include <pinion/boot/boot_info.h>

/*
 * Fills bi->map: as domU from XENMEM_memory_map, as dom0 from XENMEM_machine_memory_map, and where
 * neither answers, or the answer makes no map, with RAM at [0, nr_pages). => nr_pages is known
 */
void boot_map_read(struct boot_info *bi);

#endif
