/* SPDX-License-Identifier: MIT */
/* What Xen makes of an entry; see <pinion/arch/pte.h>. */
#include <pinion/arch/pte.h>

/* The cacheability that Xen gives MMIO: what it flips in an L1 entry. */
static uint64_t mmio_flip(uint64_t pte)
{
	switch (pte & (PTE_PAT | PTE_PCD | PTE_PWT)) {
	case 0: /* WB */
		return PTE_PWT | PTE_PCD;
	case PTE_PWT: /* WT */
		return PTE_PCD;
	case PTE_PWT | PTE_PAT: /* WP */
		return PTE_PCD | PTE_PAT;
	default:
		return 0;
	}
}

uint64_t pte_as_stored(unsigned int level, uint64_t written, bool is_mmio)
{
	if (!(written & PTE_P))
		return written;
	if (level == 4)
		return written | PTE_US | PTE_A;
	if (level > 1)
		return written | PTE_US;
	if (is_mmio)
		written ^= mmio_flip(written);
	if (!(written & PTE_US))
		written |= PTE_GK | PTE_US;
	if (!(written & PTE_GK))
		written |= PTE_G;
	return written;
}

bool pte_reads_as(unsigned int level, uint64_t read, uint64_t written, bool is_mmio)
{
	return ((read ^ pte_as_stored(level, written, is_mmio)) & ~PTE_AD) == 0;
}
