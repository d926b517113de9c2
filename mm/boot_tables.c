/* SPDX-License-Identifier: MIT */
/* A walk down the start-of-day tables; see <pinion/mm/boot_tables.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/boot_tables.h>
#include <pinion/mm/layout.h>

/* Which start-of-day table @mfn is, or INVALID_PFN. */
static pfn_t table_pfn(const struct boot_info *bi, mfn_t mfn)
{
	uint64_t i;
	pfn_t pfn;

	for (i = 0; i < bi->tables.nr; i++) {
		pfn = pfn_add(bi->tables.start, i);
		if (mfn_eq(boot_mfn(bi, pfn), mfn))
			return pfn;
	}
	return INVALID_PFN;
}

int boot_table_entry(const struct boot_info *bi, uint64_t va, unsigned int level, maddr_t *where,
		     uint64_t *entry)
{
	const uint64_t *table = boot_va(bi->l4);
	pfn_t pfn = bi->l4;
	unsigned int at;
	uint64_t value;

	for (at = 4; at > level; at--) {
		value = table[va_index(va, at)];
		if (!(value & PTE_P))
			return -ENOENT;
		/* Bit 7 is PSE at these levels. */
		pfn = (value & PTE_PSE) ? INVALID_PFN : table_pfn(bi, pte_mfn(value));
		if (pfn_eq(pfn, INVALID_PFN))
			return -EINVAL;
		table = boot_va(pfn);
	}
	if (where)
		*where = _maddr(maddr_x(mfn_to_maddr(boot_mfn(bi, pfn))) +
				va_index(va, level) * sizeof(uint64_t));
	if (entry)
		*entry = table[va_index(va, level)];
	return 0;
}
