/* SPDX-License-Identifier: MIT */
/*
 * Reading the start-of-day page tables, through the boot region, which maps them read-only.
 *
 * Entries hold MFNs; which of the table pages one is, is found by searching Xen's mfn_list over the
 * few frames that start_info names as tables. An MFN that is none of them is not followed.
 */
#ifndef PINION_MM_BOOT_TABLES_H
#define PINION_MM_BOOT_TABLES_H

#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

/*
 * The entry of @level (1 to 4) that translates @va. Stores its machine address in *@where and its
 * value in *@entry (either may be NULL). Returns 0; -ENOENT if a level above is not present;
 * -EINVAL if an entry names a frame that is no start-of-day table, or is a superpage.
 */
__must_check int boot_table_entry(const struct boot_info *bi, uint64_t va, unsigned int level,
				  maddr_t *where, uint64_t *entry);

#endif
