/* SPDX-License-Identifier: MIT */
/*
 * The kernel's allocators with a hook before them: the linker leads calls from other files here (--wrap), and the
 * functions themselves go by their names with __real_.
 */
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/frame_alloc.h>
#include "vm.h"

int __real_frame_alloc(unsigned int order, enum frame_owner owner, pfn_t *pfn);
int __real_frame_alloc_reserved(enum frame_owner owner, pfn_t *pfn);
void *__real_boot_alloc_page(pfn_t *pfn);
int __real_boot_alloc_run(uint64_t nr, pfn_t *start);

int __wrap_frame_alloc(unsigned int order, enum frame_owner owner, pfn_t *pfn);
int __wrap_frame_alloc_reserved(enum frame_owner owner, pfn_t *pfn);
void *__wrap_boot_alloc_page(pfn_t *pfn);
int __wrap_boot_alloc_run(uint64_t nr, pfn_t *start);

int __wrap_frame_alloc(unsigned int order, enum frame_owner owner, pfn_t *pfn)
{
	return vm_no_memory() ? -ENOMEM : __real_frame_alloc(order, owner, pfn);
}

int __wrap_frame_alloc_reserved(enum frame_owner owner, pfn_t *pfn)
{
	return vm_no_memory() ? -ENOMEM : __real_frame_alloc_reserved(owner, pfn);
}

void *__wrap_boot_alloc_page(pfn_t *pfn)
{
	return vm_no_memory() ? NULL : __real_boot_alloc_page(pfn);
}

int __wrap_boot_alloc_run(uint64_t nr, pfn_t *start)
{
	return vm_no_memory() ? -ENOMEM : __real_boot_alloc_run(nr, start);
}
