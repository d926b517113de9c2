/* SPDX-License-Identifier: MIT */
/* Memory comes up, in two steps with the early tests between them. */
#ifndef PINION_BOOT_MEMORY_H
#define PINION_BOOT_MEMORY_H

#include <stdbool.h>
#include <pinion/boot/boot_info.h>

/* Phases 4 and 5: PMAP, boot allocator, P2M. */
void memory_early(const struct boot_info *bi);

/* Phases 6 and 7: direct map, own tables, frame table and allocator. The boot region is gone afterwards. */
void memory_late(const struct boot_info *bi);

/* Whether phase 7 is over: addresses of the boot region outside the image no longer exist. */
bool memory_is_up(void);

/* TSC readings on the way up, for benchmarks. */
enum boot_mark {
	MARK_ENTRY,
	MARK_EARLY,
	MARK_DIRECT_MAP,
	MARK_DIRECT_MAP_END,
	MARK_UP,
	BOOT_MARKS
};

void boot_mark(enum boot_mark mark);
uint64_t boot_marked(enum boot_mark mark);

/* How many frames phase 7 got back from start of day's tables. */
uint64_t memory_reclaimed(void);

#endif
