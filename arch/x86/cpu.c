/* SPDX-License-Identifier: MIT */
/*
 * The upcall mask. A PV kernel can't use CLI and STI: its interrupt flag is a byte in memory that
 * Xen shares with it, evtchn_upcall_mask. Setting it is a plain store. Clearing it is a store and a
 * look: Xen delivers pending events only when it returns to the guest, so one that came while the
 * mask was set would wait for the next such return, perhaps for ever. The order matters: store the
 * mask first, then look, or an event between the two is missed.
 *
 * Source: Xen's public/xen.h, struct vcpu_info; ABI: 'Events'.
 */
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/hypercall_raw.h>
#include <pinion/lib/compiler.h>

struct cpu boot_cpu = { .probe_call_target = NO_PROBE_CALL };

bool upcalls_mask(void)
{
	struct vcpu_info *info = this_cpu()->vcpu_info;
	bool was_masked;

	if (!info)
		return true;
	was_masked = READ_ONCE(info->evtchn_upcall_mask) != 0;
	WRITE_ONCE(info->evtchn_upcall_mask, 1);
	barrier();
	return was_masked;
}

void upcalls_restore(bool was_masked)
{
	struct vcpu_info *info = this_cpu()->vcpu_info;

	if (was_masked || !info)
		return;
	barrier();
	WRITE_ONCE(info->evtchn_upcall_mask, 0);
	barrier();
	if (READ_ONCE(info->evtchn_upcall_pending))
		hypercall_raw(__HYPERVISOR_xen_version, 0, 0, 0, 0, 0);
}

uint64_t cpu_cr2(void)
{
	struct vcpu_info *info = this_cpu()->vcpu_info;

	return info ? info->arch.cr2 : UINT64_MAX;
}
