/* SPDX-License-Identifier: MIT */
/*
 * Page tables as memory: reading any, and writing those that are no tables yet.
 *
 * A frame becomes a table when Xen validates it. Until then it is memory like any other, and filling
 * it takes plain stores; from then on every change is a request to Xen. Building offline and linking
 * once is what makes a PV guest's page tables cheap:
 *
 *      plain memory            FRAME_OFFLINE            live
 *      frame_alloc()  ------>  table_begin()  ------>   mmu_batch_make_table(), then a link
 *                              table_store()            mmu_batch_set()
 *           ^                     |                        |
 *           +---- table_forget() -+                        |
 *           +---- mmu_batch_unmake_table() ----------------+
 *
 * Source: seed 2012, 'late pin, early unpin'; figures: docs/pv-mmu.md.
 */
#ifndef PINION_MM_TABLES_H
#define PINION_MM_TABLES_H

#include <pinion/arch/pte.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/frames.h>
#include <pinion/mm/va_base.h>

/* The entries of a table, in the direct map: read-only there once it is live. */
static inline uint64_t *table_entries(pfn_t table)
{
	return direct_va(table);
}

/* One entry as it is in memory; the CPU sets A and D behind our back. */
static inline uint64_t table_read(pfn_t table, unsigned int index)
{
	return READ_ONCE(table_entries(table)[index]);
}

/*
 * The table that the present entry @entry, of one of our own tables of level 2 to 4, links. Xen
 * lets none but our own frames be linked, and knows their pfns from us, so the M2P is read as it is.
 */
static inline pfn_t table_below(uint64_t entry)
{
	return _pfn(((const uint64_t *)M2P_BASE)[mfn_x(pte_mfn(entry))]);
}

/* Whether slot @index of an L4 is Xen's. */
static inline bool l4_slot_is_xens(unsigned int index)
{
	return index >= SLOT_XEN_FIRST && index <= SLOT_XEN_LAST;
}

/* Whether an address belongs to the user's half: what marks its leaves as the user's. */
static inline bool va_is_user(uint64_t va)
{
	return va < USER_END;
}

/*
 * Makes the frame @pfn an offline table of @level, all entries 0 if @clear, else for the caller to write
 * (each one). Returns 0; -EINVAL if it is no data frame of ours; -EBUSY if it is not writable in the
 * direct map, or mapped elsewhere by a table shared with it.
 */
__must_check int table_begin(pfn_t pfn, unsigned int level, bool clear);

/* Gives the frame of a former table, forgotten, back to where it came from: mmu_map's backend, or the allocator. */
void table_release(pfn_t pfn);

/* Whether a table stays where it is, even empty: somebody holds it, or who gave its frame takes nothing back (mmu_map). No copy
 * takes its place, and nobody unlinks it. */
bool table_is_kept(const struct frame *table);

/* Plain memory again, its links undone. => it is offline, and no entry links it, unless that table
 * is itself forgotten afterwards */
void table_forget(pfn_t pfn);

/* Stores an entry in an offline table, and counts it. */
void table_store(pfn_t table, unsigned int index, uint64_t value);

/* How often an entry of an L2 to L4 has changed: as long as this stays, walks lead where they did. */
extern uint64_t table_upper_changes;

/* table_count() for tables of level 2 to 4. */
void table_count_upper(uint64_t old, uint64_t new);

/* How a change of an entry of @table from @old to @new changes what the frame table counts. For those who
 * write tables: mmu_batch and table_store(). */
static inline void table_count(struct frame *table, uint64_t old, uint64_t new)
{
	table->live = (uint16_t)(table->live + (new &PTE_P) - (old & PTE_P));
	if (table->level > 1)
		table_count_upper(old, new);
	else if ((new &(PTE_P | PTE_NX)) == PTE_P)
		table->flags |= FRAME_EXEC;
}

#endif
