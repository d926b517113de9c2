/* SPDX-License-Identifier: MIT */
/*
 * The walk; see <pinion/mm/ptdump.h>.
 *
 *     level  4       3       2       1
 *           [L4] -> [L3] -> [L2] -> [L1]      at[level]: the table, the next index, rights from above
 *
 * No recursion: the way down is an array of four, and costs a crash report little stack. A table that is on the way already
 * is not gone into again (Xen lets an L4 link itself, read-only); without that a walk would not end.
 */
#include <pinion/arch/probe.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/ptdump.h>
#include <pinion/mm/tables.h>

#define LEVELS 4

struct walk {
	struct {
		pfn_t table;
		unsigned int next;
		uint64_t rights; /* PTE_RW and PTE_NX, combined over the entries above */
	} at[LEVELS + 1];
};

/* Beyond the direct map's end its addresses are somebody else's. */
static bool read_entry(pfn_t table, unsigned int index, uint64_t *entry)
{
	if (pfn_x(table) >= pfn_x(direct_map_end()))
		return false;
	return probe_load64(table_entries(table) + index, entry) == 0;
}

static enum ptdump_class class_of(pfn_t pfn)
{
	switch (p2m_kind(&kernel_p2m, pfn)) {
	case P2M_RAM:
		return PTDUMP_RAM;
	case P2M_IDENTITY:
		return PTDUMP_IDENTITY;
	default:
		return PTDUMP_FOREIGN;
	}
}

/* Whether @table is being gone through at a level above @level. */
static bool is_on_the_way(const struct walk *w, unsigned int level, pfn_t table)
{
	for (; level <= LEVELS; level++)
		if (pfn_eq(w->at[level].table, table))
			return true;
	return false;
}

/* Why an entry can't be followed, or is no mapping; NULL if nothing is wrong with it. */
static const char *why_bad(const struct walk *w, const struct ptdump_entry *e)
{
	uint64_t word = 0;

	if (!(e->entry & PTE_P))
		return "not present, but not 0";
	if (e->level == 1)
		return NULL;
	if (e->entry & PTE_PSE)
		return "a superpage";
	if (e->class != PTDUMP_RAM)
		return "links a frame that is not ours";
	if (is_on_the_way(w, e->level, e->pfn))
		return "links a table above it";
	return read_entry(e->pfn, 0, &word) ? NULL : "links a frame that can't be read";
}

static uint64_t va_of(const struct walk *w, unsigned int level)
{
	uint64_t va = 0;

	for (; level <= LEVELS; level++)
		va |= (uint64_t)(w->at[level].next - 1) << level_shift(level);
	return (uint64_t)((int64_t)(va << 16) >> 16);
}

/* The entry before at[level].next. */
static void describe(const struct walk *w, unsigned int level, uint64_t entry,
		     struct ptdump_entry *e)
{
	uint64_t above = w->at[level].rights;

	*e = (struct ptdump_entry){
		.va = va_of(w, level),
		.level = level,
		.index = w->at[level].next - 1,
		.table = w->at[level].table,
		.entry = entry,
		.mfn = pte_mfn(entry),
		.writable = above & entry & PTE_RW,
		.executable = !((above | entry) & PTE_NX),
	};
	e->pfn = mfn_to_pfn(e->mfn);
	e->class = class_of(e->pfn);
	e->bad = why_bad(w, e);
}

int ptdump_walk(pfn_t l4, ptdump_fn *fn, void *ctx)
{
	struct walk w = { .at[LEVELS] = { l4, 0, PTE_RW } };
	unsigned int level = LEVELS, index;
	struct ptdump_entry e;
	uint64_t entry = 0;
	int rc = 0;

	if (!read_entry(l4, 0, &entry))
		return -EFAULT;
	while (level <= LEVELS && !rc) {
		index = w.at[level].next++;
		if (index == TABLE_ENTRIES) {
			level++;
			continue;
		}
		if (level == LEVELS && l4_slot_is_xens(index))
			continue;
		if (!read_entry(w.at[level].table, index, &entry) || entry == 0)
			continue;
		describe(&w, level, entry, &e);
		rc = fn(ctx, &e);
		if (level == 1 || e.bad)
			continue;
		level--;
		w.at[level].table = e.pfn;
		w.at[level].next = 0;
		w.at[level].rights = (e.writable ? PTE_RW : 0) | (e.executable ? 0 : PTE_NX);
	}
	return rc;
}

unsigned int ptdump_path(pfn_t l4, uint64_t va, uint64_t entries[5])
{
	unsigned int level;
	pfn_t table = l4;

	if (!va_canonical(va))
		return LEVELS + 1;
	for (level = LEVELS; level >= 1; level--) {
		entries[level] = 0;
		if (!read_entry(table, va_index(va, level), &entries[level]))
			return level + 1;
		table = mfn_to_pfn(pte_mfn(entries[level]));
		if (!(entries[level] & PTE_P) || (level > 1 && (entries[level] & PTE_PSE)) ||
		    class_of(table) != PTDUMP_RAM)
			return level;
	}
	return 1;
}
