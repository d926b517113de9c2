/* SPDX-License-Identifier: MIT */
/* The typed layer over <pinion/arch/hypercall_raw.h>: types in, registers out, nothing else. */
#include <pinion/arch/hypercall_raw.h>
#include <pinion/xen/hypercall.h>

static uint64_t reg(const void *pointer)
{
	return (uintptr_t)pointer;
}

long hypercall_xen_version(unsigned int cmd, void *arg)
{
	return hypercall_raw(__HYPERVISOR_xen_version, cmd, reg(arg), 0, 0, 0);
}

long hypercall_console_write(const char *text, size_t n)
{
	return hypercall_raw(__HYPERVISOR_console_io, CONSOLEIO_write, n, reg(text), 0, 0);
}

long hypercall_set_trap_table(const struct trap_info *traps)
{
	return hypercall_raw(__HYPERVISOR_set_trap_table, reg(traps), 0, 0, 0, 0);
}

long hypercall_set_callbacks(const void *event, const void *failsafe, const void *syscall)
{
	return hypercall_raw(__HYPERVISOR_set_callbacks, reg(event), reg(failsafe), reg(syscall), 0,
			     0);
}

long hypercall_sched_op(unsigned int cmd, void *arg)
{
	return hypercall_raw(__HYPERVISOR_sched_op, cmd, reg(arg), 0, 0, 0);
}

long hypercall_event_channel_op(unsigned int cmd, void *arg)
{
	return hypercall_raw(__HYPERVISOR_event_channel_op, cmd, reg(arg), 0, 0, 0);
}

long hypercall_memory_op(unsigned int cmd, void *arg)
{
	return hypercall_raw(__HYPERVISOR_memory_op, cmd, reg(arg), 0, 0, 0);
}

long hypercall_vcpu_op(unsigned int cmd, unsigned int vcpu, void *arg)
{
	return hypercall_raw(__HYPERVISOR_vcpu_op, cmd, vcpu, reg(arg), 0, 0);
}

long hypercall_update_va_mapping(uintptr_t va, uint64_t entry, unsigned long flags)
{
	return hypercall_raw(__HYPERVISOR_update_va_mapping, va, entry, flags, 0, 0);
}

long hypercall_mmu_update(const struct mmu_update *requests, unsigned int count, unsigned int *done,
			  domid_t domid)
{
	return hypercall_raw(__HYPERVISOR_mmu_update, reg(requests), count, reg(done), domid, 0);
}

long hypercall_mmuext_op(const struct mmuext_op *ops, unsigned int count, unsigned int *done,
			 domid_t domid)
{
	return hypercall_raw(__HYPERVISOR_mmuext_op, reg(ops), count, reg(done), domid, 0);
}

long hypercall_multicall(struct multicall_entry *calls, unsigned int count)
{
	return hypercall_raw(__HYPERVISOR_multicall, reg(calls), count, 0, 0, 0);
}
