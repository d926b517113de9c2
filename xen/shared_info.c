/* SPDX-License-Identifier: MIT */
/* Mapping shared_info: one update_va_mapping over a page that start of day has mapped already. */
#include <pinion/arch/cpu.h>
#include <pinion/arch/pte.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/shared_info.h>

char shared_info_page[PAGE_SIZE] __aligned(4096) __section(".bss.page_aligned");
static struct shared_info *mapped;

int shared_info_map(maddr_t where)
{
	uintptr_t va = (uintptr_t)shared_info_page;
	long rc = hypercall_update_va_mapping(va, maddr_x(where) | PTE_KERNEL_RW, UVMF_INVLPG);

	if (rc)
		return (int)rc;
	mapped = (struct shared_info *)va;
	this_cpu()->vcpu_info = &mapped->vcpu_info[0];
	return 0;
}

struct shared_info *shared_info(void)
{
	return mapped;
}
