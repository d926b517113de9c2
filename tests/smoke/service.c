/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls that are not about memory: those without which no guest comes up. The rest is -ENOSYS, event channels and
 * timers among it: a guest must do without.
 *
 * Source: common/kernel.c, common/sched/core.c, drivers/char/console.c,
 * arch/x86/pv/{traps,callback,misc-hypercalls}.c in Xen.
 */
#include <stdint.h>
#include <xen/callback.h>
#include <xen/features.h>
#include <xen/sched.h>
#include <xen/version.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/print.h>
#include <pinion/lib/string.h>
#include "smoke.h"

#define CONSOLE_CHUNK 128

static long give_text(uint64_t va, const char *text, size_t n)
{
	char padded[1024] = "";

	strlcpy(padded, text, n);
	return guest_copy_to(va, padded, n);
}

static long get_features(uint64_t va)
{
	struct xen_feature_info info;

	if (guest_copy_from(&info, va, sizeof(info)))
		return -EFAULT;
	if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
		return -EINVAL;
	info.submap = 0;
	if (info.submap_idx == 0)
		info.submap = 1U << XENFEAT_mmu_pt_update_preserve_ad | 1U << XENFEAT_dom0 |
			      1U << XENFEAT_pae_pgdir_above_4gb;
	return guest_copy_to(va, &info, sizeof(info));
}

static long xen_version(uint64_t cmd, uint64_t va)
{
	xen_platform_parameters_t parameters = { .virt_start = M2P_VA };

	switch (cmd) {
	case XENVER_version:
		return XEN_MAJOR << 16 | XEN_MINOR;
	case XENVER_extraversion:
		return give_text(va, "-smoke", sizeof(xen_extraversion_t));
	case XENVER_capabilities:
		return give_text(va, "xen-3.0-x86_64", sizeof(xen_capabilities_info_t));
	case XENVER_changeset:
		return give_text(va, "unavailable", sizeof(xen_changeset_info_t));
	case XENVER_commandline:
		return give_text(va, "", sizeof(xen_commandline_t));
	case XENVER_platform_parameters:
		return guest_copy_to(va, &parameters, sizeof(parameters));
	case XENVER_get_features:
		return get_features(va);
	case XENVER_pagesize:
		return PAGE_SIZE;
	default:
		return -ENOSYS;
	}
}

static long console_io(uint64_t cmd, uint64_t count, uint64_t va)
{
	char chunk[CONSOLE_CHUNK];
	uint64_t done, n;

	if (cmd == CONSOLEIO_read)
		return 0;
	if (cmd != CONSOLEIO_write)
		return -ENOSYS;
	for (done = 0; done < (uint32_t)count; done += n) {
		n = (uint32_t)count - done;
		if (n > CONSOLE_CHUNK)
			n = CONSOLE_CHUNK;
		if (guest_copy_from(chunk, va + done, n))
			return -EFAULT;
		console_write(chunk, n);
	}
	return 0;
}

static long sched_op(uint64_t cmd, uint64_t va)
{
	struct sched_shutdown how;

	switch (cmd) {
	case SCHEDOP_yield:
		return 0;
	case SCHEDOP_shutdown:
		if (guest_copy_from(&how, va, sizeof(how)))
			return -EFAULT;
		if (how.reason == SHUTDOWN_crash)
			guest_crash("SHUTDOWN_crash, by itself");
		print("(XEN) the guest has shut down, reason %u\n", how.reason);
		machine_end(how.reason);
	default:
		return -ENOSYS;
	}
}

static long set_trap_table(uint64_t va)
{
	struct trap_info entry;

	if (!va) {
		memset(guest.traps, 0, sizeof(guest.traps));
		return 0;
	}
	for (;; va += sizeof(entry)) {
		if (guest_copy_from(&entry, va, sizeof(entry)))
			return -EFAULT;
		if (!entry.address)
			return 0;
		if (!va_canonical(entry.address))
			return -EINVAL;
		guest.traps[entry.vector] = entry;
	}
}

static long register_callback(unsigned int type, uint64_t address, bool masks)
{
	if (!va_canonical(address))
		return -EINVAL;
	switch (type) {
	case CALLBACKTYPE_event:
		guest.event_callback = address;
		return 0;
	case CALLBACKTYPE_failsafe:
		guest.failsafe_callback = address;
		guest.failsafe_masks = masks;
		return 0;
	case CALLBACKTYPE_syscall:
		guest.syscall_callback = address;
		guest.syscall_masks = masks;
		return 0;
	case CALLBACKTYPE_syscall32:
	case CALLBACKTYPE_sysenter:
	case CALLBACKTYPE_nmi:
		return 0; /* nothing here ever calls one */
	default:
		return -ENOSYS;
	}
}

static long set_callbacks(const uint64_t *args)
{
	long rc = register_callback(CALLBACKTYPE_event, args[0], true);

	if (!rc)
		rc = register_callback(CALLBACKTYPE_failsafe, args[1], false);
	if (!rc)
		rc = register_callback(CALLBACKTYPE_syscall, args[2], false);
	return rc;
}

static long callback_op(uint64_t cmd, uint64_t va)
{
	struct callback_register reg;

	if (cmd != CALLBACKOP_register)
		return -ENOSYS;
	if (guest_copy_from(&reg, va, sizeof(reg)))
		return -EFAULT;
	return register_callback(reg.type, reg.address, reg.flags & CALLBACKF_mask_events);
}

static long fpu_taskswitch(uint64_t set)
{
	uint64_t cr0;

	guest.ts = set != 0;
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	cr0 = guest.ts ? cr0 | 8 : cr0 & ~UINT64_C(8);
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
	return 0;
}

static long set_segment_base(uint64_t which, uint64_t base)
{
	static const uint32_t msr[] = {
		[SEGBASE_FS] = MSR_FS_BASE,
		[SEGBASE_GS_USER] = MSR_GS_BASE_KERNEL,
		[SEGBASE_GS_KERNEL] = MSR_GS_BASE,
	};

	if (which == SEGBASE_GS_USER_SEL)
		return base & 0xffff ? -EINVAL : 0; /* the null selector is all that there is */
	if (which >= ARRAY_SIZE(msr) || !va_canonical(base))
		return -EINVAL;
	wrmsr(msr[which], base);
	return 0;
}

long service_hypercall(struct model *m __maybe_unused, unsigned int nr, const uint64_t *args)
{
	switch (nr) {
	case __HYPERVISOR_iret: /* in a multicall: it has the registers all the same */
		return (long)guest_iret_call(guest.regs);
	case __HYPERVISOR_xen_version:
		return xen_version(args[0], args[1]);
	case __HYPERVISOR_console_io:
		return console_io(args[0], args[1], args[2]);
	case __HYPERVISOR_sched_op:
		return sched_op(args[0], args[1]);
	case __HYPERVISOR_set_trap_table:
		return set_trap_table(args[0]);
	case __HYPERVISOR_set_callbacks:
		return set_callbacks(args);
	case __HYPERVISOR_callback_op:
		return callback_op(args[0], args[1]);
	case __HYPERVISOR_stack_switch:
		guest.kernel_ss = args[0];
		guest.kernel_sp = args[1];
		return 0;
	case __HYPERVISOR_fpu_taskswitch:
		return fpu_taskswitch(args[0]);
	case __HYPERVISOR_set_segment_base:
		return set_segment_base(args[0], args[1]);
	default:
		return -ENOSYS;
	}
}
