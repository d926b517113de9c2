/* SPDX-License-Identifier: MIT */
/* The errors of the calls; see errnos.h. */
#include "errnos.h"
#include <stddef.h>
#include "internal.h"

/*
 * What an entry of any level, or a promotion, may find. EPERM is I/O memory's, and of a wrong foreigndom; EACCES shared_info's.
 * ENOMEM is the IOMMU's: a frame that becomes a table must go from what a device of the guest's sees, and the model has no devices.
 */
#define OF_ENTRIES                                                                         \
	.state = { EINVAL, EBUSY, EPERM, ENOMEM }, .args = { EACCES }, .unplayed = ENOMEM, \
	.unplayed_source = "_get_page_type, iommu_legacy_unmap"

static const struct model_errnos rows[] = {
	{ __HYPERVISOR_mmu_update, MMU_NORMAL_PT_UPDATE, OF_ENTRIES,
	  .source = "mod_l1_entry .. mod_l4_entry, get_page_from_l1e .." },
	{ __HYPERVISOR_mmu_update, MMU_PT_UPDATE_PRESERVE_AD, OF_ENTRIES,
	  .source = "mod_l1_entry .. mod_l4_entry, get_page_from_l1e .." },
	{ __HYPERVISOR_mmu_update, MMU_PT_UPDATE_NO_TRANSLATE, OF_ENTRIES,
	  .source = "mod_l1_entry .. mod_l4_entry, get_page_from_l1e .." },
	{ __HYPERVISOR_mmu_update, MMU_MACHPHYS_UPDATE, .state = { EINVAL }, .args = { EPERM },
	  .source = "do_mmu_update" },
	{ __HYPERVISOR_mmu_update, MODEL_THE_CALL, .args = { EFAULT, ESRCH },
	  .source = "do_mmu_update" },
	{ __HYPERVISOR_mmu_update, MODEL_ANY_COMMAND, .args = { ENOSYS },
	  .source = "do_mmu_update" },
	/* EFAULT: only of a vCPU bitmap, and then the entry has changed */
	{ __HYPERVISOR_update_va_mapping, MODEL_ANY_COMMAND,
	  .state = { EINVAL, EBUSY, EPERM, EFAULT }, .args = { EACCES },
	  .source = "__do_update_va_mapping, mod_l1_entry" },
	{ __HYPERVISOR_update_va_mapping_otherdomain, MODEL_ANY_COMMAND,
	  .state = { EINVAL, EBUSY, EPERM, EFAULT }, .args = { EACCES, ESRCH },
	  .source = "do_update_va_mapping_otherdomain" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_PIN_L1_TABLE, OF_ENTRIES,
	  .source = "do_mmuext_op, promote_l1_table" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_PIN_L2_TABLE, OF_ENTRIES,
	  .source = "do_mmuext_op, promote_l2_table" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_PIN_L3_TABLE, OF_ENTRIES,
	  .source = "do_mmuext_op, promote_l3_table" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_PIN_L4_TABLE, OF_ENTRIES,
	  .source = "do_mmuext_op, promote_l4_table" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_UNPIN_TABLE, .state = { EINVAL },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_NEW_BASEPTR, OF_ENTRIES,
	  .source = "new_guest_cr3, promote_l4_table" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_NEW_USER_BASEPTR, OF_ENTRIES,
	  .source = "do_mmuext_op, promote_l4_table" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_SET_LDT, .args = { EINVAL, EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_CLEAR_PAGE, .state = { EINVAL },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_COPY_PAGE, .state = { EINVAL }, .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_FLUSH_CACHE, .args = { EACCES, EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_FLUSH_CACHE_GLOBAL, .args = { EINVAL, EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_MARK_SUPER, .args = { EOPNOTSUPP },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_UNMARK_SUPER, .args = { EOPNOTSUPP },
	  .source = "do_mmuext_op" },
	/* The TLB's: nothing can go wrong with them but their arguments. */
	{ __HYPERVISOR_mmuext_op, MMUEXT_TLB_FLUSH_LOCAL, .args = { EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_TLB_FLUSH_ALL, .args = { EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_INVLPG_LOCAL, .args = { EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_INVLPG_ALL, .args = { EPERM }, .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_TLB_FLUSH_MULTI, .args = { EINVAL, EPERM },
	  .source = "do_mmuext_op, vcpumask_to_pcpumask" },
	{ __HYPERVISOR_mmuext_op, MMUEXT_INVLPG_MULTI, .args = { EINVAL, EPERM },
	  .source = "do_mmuext_op, vcpumask_to_pcpumask" },
	{ __HYPERVISOR_mmuext_op, MODEL_THE_CALL, .args = { EFAULT, ESRCH, EPERM },
	  .source = "do_mmuext_op" },
	{ __HYPERVISOR_mmuext_op, MODEL_ANY_COMMAND, .args = { ENOSYS }, .source = "do_mmuext_op" },
	/* Results of the calls in it are theirs. */
	{ __HYPERVISOR_multicall, MODEL_ANY_COMMAND, .args = { EINVAL, EFAULT },
	  .source = "do_multicall" },
	{ __HYPERVISOR_set_gdt, MODEL_ANY_COMMAND, .state = { EINVAL }, .args = { EFAULT },
	  .source = "do_set_gdt, pv_set_gdt" },
	{ __HYPERVISOR_update_descriptor, MODEL_ANY_COMMAND, .state = { EINVAL },
	  .source = "do_update_descriptor" },
	{ __HYPERVISOR_vm_assist, MODEL_ANY_COMMAND, .args = { EINVAL, ENOSYS },
	  .source = "vm_assist" },
	/* These count: how many extents were done, and no error for want of memory. */
	{ __HYPERVISOR_memory_op, XENMEM_increase_reservation, .source = "increase_reservation" },
	{ __HYPERVISOR_memory_op, XENMEM_decrease_reservation, .source = "decrease_reservation" },
	{ __HYPERVISOR_memory_op, XENMEM_populate_physmap, .source = "populate_physmap" },
	{ __HYPERVISOR_memory_op, XENMEM_exchange, .state = { ENOMEM, EINVAL },
	  .args = { EFAULT, EPERM, ESRCH }, .source = "memory_exchange, steal_page" },
	{ __HYPERVISOR_memory_op, XENMEM_maximum_ram_page, .args = { EINVAL },
	  .source = "do_memory_op" },
	{ __HYPERVISOR_memory_op, XENMEM_current_reservation,
	  .args = { EINVAL, EFAULT, ESRCH, EPERM }, .source = "do_memory_op" },
	{ __HYPERVISOR_memory_op, XENMEM_maximum_reservation,
	  .args = { EINVAL, EFAULT, ESRCH, EPERM }, .source = "do_memory_op" },
	{ __HYPERVISOR_memory_op, XENMEM_add_to_physmap,
	  .args = { EDOM, EFAULT, ENOSYS, ESRCH, EACCES }, .source = "xatp_permission_check" },
	{ __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch,
	  .args = { EDOM, EFAULT, EOPNOTSUPP, ESRCH, EACCES }, .source = "xatp_permission_check" },
	{ __HYPERVISOR_memory_op, XENMEM_remove_from_physmap,
	  .args = { EINVAL, EFAULT, ESRCH, EACCES }, .source = "do_memory_op" },
	/* These know no restarts: one that says it is one is a command that nobody knows. */
	{ __HYPERVISOR_memory_op, XENMEM_set_memory_map, .state = { ENOMEM },
	  .args = { EFAULT, EINVAL, ESRCH, EPERM, ENOSYS }, .source = "arch_memory_op" },
	{ __HYPERVISOR_memory_op, XENMEM_memory_map, .state = { ENOSYS }, .args = { EFAULT },
	  .source = "arch_memory_op" },
	{ __HYPERVISOR_memory_op, XENMEM_machine_memory_map,
	  .args = { EPERM, EFAULT, EINVAL, ENOSYS }, .source = "arch_memory_op" },
	{ __HYPERVISOR_memory_op, XENMEM_machphys_mapping, .args = { EFAULT, ENOSYS },
	  .source = "arch_memory_op" },
};

/* How often each was given: those of state, then those of args. */
static unsigned long given[ARRAY_SIZE(rows)][2 * MODEL_ERRNOS];

const struct model_errnos *model_errnos(uint32_t call, uint32_t command)
{
	const struct model_errnos *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if (row->call == call &&
		    (row->command == command || row->command == MODEL_ANY_COMMAND))
			return row;
	return NULL;
}

/* The @i-th error of a row, of both kinds; 0: none. */
static int error_of(const struct model_errnos *row, unsigned int i)
{
	return i < MODEL_ERRNOS ? row->state[i] : row->args[i - MODEL_ERRNOS];
}

/* Whether the row has @error; it is then counted. */
static bool count_error(const struct model_errnos *row, long error)
{
	for (unsigned int i = 0; i < 2 * MODEL_ERRNOS; i++) {
		if (error_of(row, i) != error)
			continue;
		given[row - rows][i]++;
		return true;
	}
	return false;
}

long model_answer(struct model *m, uint32_t call, uint32_t command, long rc)
{
	const struct model_errnos *row = model_errnos(call, command);

	m->answer = rc;
	if (rc == 0 || !row || m->crashed || (rc > 0 && call == __HYPERVISOR_memory_op))
		return rc;
	if (!count_error(row, -rc) && !m->wrong.answer) {
		m->wrong.call = call;
		m->wrong.command = command;
		m->wrong.answer = rc;
	}
	return rc;
}

void model_errnos_given(void (*say)(const struct model_errnos *row, int error, unsigned long times))
{
	for (const struct model_errnos *row = rows; row < rows + ARRAY_SIZE(rows); row++)
		for (unsigned int i = 0; i < 2 * MODEL_ERRNOS; i++)
			if (error_of(row, i))
				say(row, error_of(row, i), given[row - rows][i]);
}
