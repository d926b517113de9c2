/* SPDX-License-Identifier: MIT */
/* The errors of the calls; see errnos.h. */
#include "errnos.h"
#include <xen/memory.h>
#include <xen/xen.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/errno.h>

/*
 * Where ENOMEM stands for the memory calls' own, it is the IOMMU's tables that a type's change may write for a guest
 * that has a device (_get_page_type()): the model has no devices and never gives it.
 */
static const struct model_errnos rows[] = {
	{ __HYPERVISOR_mmu_update,
	  MMU_NORMAL_PT_UPDATE,
	  { EINVAL, EBUSY, EPERM, EFAULT, ENOMEM },
	  { EFAULT, ESRCH, EPERM, EINVAL },
	  "do_mmu_update, mod_l1_entry ... mod_l4_entry, get_page_from_l1e ..." },
	{ __HYPERVISOR_mmu_update,
	  MMU_PT_UPDATE_PRESERVE_AD,
	  { EINVAL, EBUSY, EPERM, EFAULT, ENOMEM },
	  { EFAULT, ESRCH, EPERM, EINVAL },
	  "do_mmu_update" },
	{ __HYPERVISOR_mmu_update,
	  MMU_PT_UPDATE_NO_TRANSLATE,
	  { EINVAL, EBUSY, EPERM, EFAULT, ENOMEM },
	  { EFAULT, ESRCH, EPERM, EINVAL },
	  "do_mmu_update" },
	{ __HYPERVISOR_mmu_update,
	  MMU_MACHPHYS_UPDATE,
	  { EINVAL },
	  { EFAULT, ESRCH, EPERM },
	  "do_mmu_update" },
	{ __HYPERVISOR_mmu_update,
	  MODEL_ANY_COMMAND,
	  { 0 },
	  { ENOSYS, EFAULT, ESRCH, EPERM, EINVAL },
	  "do_mmu_update" },
	/* EFAULT: only of a vCPU bitmap, and then the entry has changed */
	{ __HYPERVISOR_update_va_mapping,
	  MODEL_ANY_COMMAND,
	  { EINVAL, EBUSY, EPERM, EFAULT, ENOMEM },
	  { 0 },
	  "__do_update_va_mapping, mod_l1_entry" },
	{ __HYPERVISOR_update_va_mapping_otherdomain,
	  MODEL_ANY_COMMAND,
	  { EINVAL, EBUSY, EPERM, EFAULT, ENOMEM },
	  { ESRCH },
	  "do_update_va_mapping_otherdomain" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_PIN_L1_TABLE,
	  { EINVAL, EBUSY, EPERM, ENOMEM },
	  { EFAULT, ESRCH },
	  "do_mmuext_op, promote_l1_table, get_page_from_l1e" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_PIN_L2_TABLE,
	  { EINVAL, EBUSY, EPERM, ENOMEM },
	  { EFAULT, ESRCH },
	  "do_mmuext_op, promote_l2_table" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_PIN_L3_TABLE,
	  { EINVAL, EBUSY, EPERM, ENOMEM },
	  { EFAULT, ESRCH },
	  "do_mmuext_op, promote_l3_table" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_PIN_L4_TABLE,
	  { EINVAL, EBUSY, EPERM, ENOMEM },
	  { EFAULT, ESRCH },
	  "do_mmuext_op, promote_l4_table" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_UNPIN_TABLE,
	  { EINVAL },
	  { EFAULT, ESRCH, EPERM },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_NEW_BASEPTR,
	  { EINVAL, EBUSY, EPERM, ENOMEM },
	  { EFAULT, ESRCH },
	  "new_guest_cr3" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_NEW_USER_BASEPTR,
	  { EINVAL, EBUSY, EPERM, ENOMEM },
	  { EFAULT, ESRCH },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_SET_LDT,
	  { 0 },
	  { EINVAL, EPERM, EFAULT, ESRCH },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_CLEAR_PAGE,
	  { EINVAL },
	  { EFAULT, ESRCH, EPERM },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_COPY_PAGE,
	  { EINVAL },
	  { EFAULT, ESRCH, EPERM },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_FLUSH_CACHE,
	  { 0 },
	  { EACCES, EPERM, EFAULT, ESRCH },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_FLUSH_CACHE_GLOBAL,
	  { 0 },
	  { EINVAL, EPERM, EFAULT, ESRCH },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_MARK_SUPER,
	  { 0 },
	  { EOPNOTSUPP, EPERM, EFAULT, ESRCH },
	  "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op,
	  MMUEXT_UNMARK_SUPER,
	  { 0 },
	  { EOPNOTSUPP, EPERM, EFAULT, ESRCH },
	  "do_mmuext_op" },
	/* The TLB's: nothing can go wrong with them but their arguments. */
	{ __HYPERVISOR_mmuext_op,
	  MODEL_ANY_COMMAND,
	  { 0 },
	  { ENOSYS, EINVAL, EPERM, EFAULT, ESRCH },
	  "do_mmuext_op" },
	/* Results of the calls in it are theirs. */
	{ __HYPERVISOR_multicall, MODEL_ANY_COMMAND, { 0 }, { EINVAL, EFAULT }, "do_multicall" },
	{ __HYPERVISOR_set_gdt,
	  MODEL_ANY_COMMAND,
	  { EINVAL },
	  { EFAULT },
	  "do_set_gdt, pv_set_gdt" },
	{ __HYPERVISOR_update_descriptor,
	  MODEL_ANY_COMMAND,
	  { EINVAL },
	  { 0 },
	  "do_update_descriptor" },
	{ __HYPERVISOR_vm_assist, MODEL_ANY_COMMAND, { 0 }, { EINVAL, ENOSYS }, "vm_assist" },
	/* These count: how many extents were done, and no error for want of memory. */
	{ __HYPERVISOR_memory_op,
	  XENMEM_exchange,
	  { ENOMEM, EINVAL },
	  { EFAULT, EPERM, ESRCH },
	  "memory_exchange" },
	{ __HYPERVISOR_memory_op,
	  MODEL_ANY_COMMAND,
	  { 0 },
	  { EFAULT, EINVAL, EPERM, ESRCH, ENOSYS, ENOBUFS },
	  "do_memory_op, arch_memory_op" },
};

const struct model_errnos *model_errnos_row(size_t i)
{
	return i < ARRAY_SIZE(rows) ? &rows[i] : NULL;
}

const struct model_errnos *model_errnos(uint32_t call, uint32_t command)
{
	const struct model_errnos *row;

	for (size_t i = 0; (row = model_errnos_row(i)); i++)
		if (row->call == call &&
		    (row->command == command || row->command == MODEL_ANY_COMMAND))
			return row;
	return NULL;
}
