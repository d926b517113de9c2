/* SPDX-License-Identifier: MIT */
/*
 * The PMAP window; its rule and drawing stand in <pinion/mm/pmap.h>.
 *
 * Making its two tables follows the rule for all tables: filled by plain stores while they are
 * ordinary memory, then every writable mapping of them is taken away (there is one, their link
 * address), then linked, lower before upper. Xen validates both at the link.
 */
#include <pinion/arch/cpu.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/boot_tables.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/pmap.h>
#include <pinion/xen/hypercall.h>

static uint64_t window_l1[TABLE_ENTRIES] __aligned(4096) __section(".bss.page_aligned");
static uint64_t window_l2[TABLE_ENTRIES] __aligned(4096) __section(".bss.page_aligned");

static bool open;
static maddr_t link; /* the entry that links the window: an L3's, or an L2's */

static_assert(PMAP_SLOTS <= 8 * sizeof(((struct cpu *)0)->pmap_in_use), "a bit for each slot");

/* L1 or L2 as they are at their link address. */
static const void *table_va(unsigned int i)
{
	return i == 0 ? window_l1 : window_l2;
}

pfn_t pmap_table(unsigned int i)
{
	return boot_va_pfn(table_va(i));
}

/* Sets the rights of a table page's own mapping, and flushes it. */
static long table_protect(const struct boot_info *bi, unsigned int i, uint64_t flags)
{
	uintptr_t va = (uintptr_t)table_va(i);

	return hypercall_update_va_mapping(va, pte_make(boot_mfn(bi, pmap_table(i)), flags),
					   UVMF_INVLPG);
}

static long set_link(uint64_t value)
{
	struct mmu_update request = { .ptr = maddr_x(link) | MMU_NORMAL_PT_UPDATE, .val = value };

	return hypercall_mmu_update(&request, 1, NULL, DOMID_SELF);
}

int pmap_open(const struct boot_info *bi)
{
	uint64_t l3e, l2e;
	mfn_t top = boot_mfn(bi, pmap_table(1));
	long rc;

	rc = boot_table_entry(bi, PMAP_BASE, 3, &link, &l3e);
	if (rc)
		return (int)rc;
	if (l3e & PTE_P) {
		/* A boot region of more than 1 GiB has an L2 there already: link below it. */
		rc = boot_table_entry(bi, PMAP_BASE, 2, &link, &l2e);
		if (rc)
			return (int)rc;
		if (l2e & PTE_P)
			return -EBUSY;
		top = boot_mfn(bi, pmap_table(0));
	}
	window_l2[va_index(PMAP_BASE, 2)] = pte_make(boot_mfn(bi, pmap_table(0)), PTE_LINK);
	rc = table_protect(bi, 0, PTE_KERNEL_RO);
	if (!rc)
		rc = table_protect(bi, 1, PTE_KERNEL_RO);
	if (!rc)
		rc = set_link(pte_make(top, PTE_LINK));
	open = rc == 0;
	return (int)rc;
}

int pmap_close(const struct boot_info *bi)
{
	long rc;

	ASSERT(open);
	if (this_cpu()->pmap_in_use)
		panic("pmap_close: slots %#x are in use", this_cpu()->pmap_in_use);
	rc = set_link(0);
	if (rc)
		return (int)rc;
	open = false;
	rc = table_protect(bi, 0, PTE_KERNEL_RW);
	if (!rc)
		rc = table_protect(bi, 1, PTE_KERNEL_RW);
	return (int)rc;
}

static uintptr_t slot_va(unsigned int slot)
{
	return PMAP_BASE + slot * PAGE_SIZE;
}

void *pmap_try_map(mfn_t mfn, enum pmap_rights rights)
{
	struct cpu *cpu = this_cpu();
	unsigned int slot = (unsigned int)__builtin_ctz(~(unsigned int)cpu->pmap_in_use);
	uint64_t flags = rights == PMAP_READ_WRITE ? PTE_KERNEL_RW : PTE_KERNEL_RO;

	ASSERT(cpu->traps == 0);
	if (!open)
		panic("PMAP is used while it is closed");
	if (slot >= PMAP_SLOTS)
		return NULL;
	if (hypercall_update_va_mapping(slot_va(slot), pte_make(mfn, flags), UVMF_NONE))
		return NULL;
	cpu->pmap_in_use |= (uint8_t)(1U << slot);
	return (void *)slot_va(slot);
}

void *pmap_map(mfn_t mfn, enum pmap_rights rights)
{
	void *ptr = pmap_try_map(mfn, rights);

	if (!ptr && this_cpu()->pmap_in_use == (1U << PMAP_SLOTS) - 1)
		panic("out of PMAP slots");
	if (!ptr)
		panic("PMAP: Xen refuses mfn %#" PRI_mfn " %s", mfn_x(mfn),
		      rights == PMAP_READ_WRITE ? "read-write" : "read-only");
	return ptr;
}

void pmap_unmap(const void *ptr)
{
	struct cpu *cpu = this_cpu();
	uintptr_t va = (uintptr_t)ptr;
	unsigned int slot = (unsigned int)((va - PMAP_BASE) >> PAGE_SHIFT);

	ASSERT(cpu->traps == 0);
	if (!open)
		panic("PMAP is used while it is closed");
	if (va < PMAP_BASE || slot >= PMAP_SLOTS)
		panic("pmap_unmap: %p is not in the window", ptr);
	if (!(cpu->pmap_in_use & 1U << slot))
		panic("pmap_unmap: slot %u is not mapped", slot);
	if (hypercall_update_va_mapping(slot_va(slot), 0, UVMF_INVLPG))
		panic("pmap_unmap: Xen refuses to clear slot %u", slot);
	cpu->pmap_in_use &= (uint8_t) ~(1U << slot);
}
