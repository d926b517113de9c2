/* SPDX-License-Identifier: MIT */
/*
 * Asking what an address maps to: the rights of all levels combined, as the CPU does it. Whether an
 * address is the user's follows from its half, not from a leaf, which may be the direct map's own.
 */
#include <pinion/lib/errno.h>
#include <pinion/mm/m2p.h>
#include "aspace_range.h"

int aspace_query(const struct aspace *as, uint64_t va, struct aspace_info *info)
{
	uint64_t upper = PTE_RW, entry;
	unsigned int level;
	pfn_t table = as->l4;

	*info = (struct aspace_info){ .mfn = INVALID_MFN, .pfn = INVALID_PFN };
	if (!va_canonical(va) || (va >= XEN_VA_BASE && va < XEN_VA_END))
		return -EINVAL;
	for (level = 4; level >= 1; level--) {
		entry = table_read(table, va_index(va, level));
		info->level = level;
		info->entry = entry;
		info->shared = is_shared(table) && va_is_user(va);
		if (!(entry & PTE_P))
			return 0;
		upper = combine(upper, entry);
		if (level > 1)
			table = table_below(entry);
	}
	info->mapped = true;
	info->mfn = pte_mfn(entry);
	info->pfn = mfn_to_pfn(info->mfn);
	info->writable = upper & PTE_RW;
	info->executable = !(upper & PTE_NX);
	info->user = va_is_user(va);
	return 0;
}
