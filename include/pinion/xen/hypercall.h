/* SPDX-License-Identifier: MIT */
/*
 * The typed layer: one prototype for each hypercall that the kernel uses, named for it.
 *
 * Results are Xen's own: 0 or a count on success, a negative Xen errno on failure; what a call does
 * to its arguments in memory stands in Xen's public header named beside it. Prototypes alone, no
 * inline code: the host tests put a model of Xen behind them. This is one of the four headers
 * through which mm/ knows the machine.
 */
#ifndef PINION_XEN_HYPERCALL_H
#define PINION_XEN_HYPERCALL_H

#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/lib/compiler.h>

/* public/version.h: @cmd is XENVER_*, @arg as it says, NULL where it takes none. */
__must_check long hypercall_xen_version(unsigned int cmd, void *arg);

/* public/xen.h: CONSOLEIO_write of @n bytes. -EPERM for a domU on a release build of Xen. */
__must_check long hypercall_console_write(const char *text, size_t n);

/* public/xen.h: the virtual IDT; @traps ends with an entry whose address is 0. */
__must_check long hypercall_set_trap_table(const struct trap_info *traps);

/* Entry points for events, bad selectors on the way back, and SYSCALL from user mode (0: none). */
__must_check long hypercall_set_callbacks(const void *event, const void *failsafe,
					  const void *syscall);

/* public/sched.h: @cmd is SCHEDOP_*. */
__must_check long hypercall_sched_op(unsigned int cmd, void *arg);

/* public/event_channel.h: @cmd is EVTCHNOP_*. */
__must_check long hypercall_event_channel_op(unsigned int cmd, void *arg);

/* public/memory.h: @cmd is XENMEM_*. Counts, not errnos, for the reservation calls. */
__must_check long hypercall_memory_op(unsigned int cmd, void *arg);

/* public/vcpu.h: @cmd is VCPUOP_*. */
__must_check long hypercall_vcpu_op(unsigned int cmd, unsigned int vcpu, void *arg);

/*
 * public/xen.h: sets the L1 entry that maps @va to @entry, and flushes as @flags (UVMF_*) say.
 * -EFAULT for a bad vCPU bitmap comes *after* the entry has changed.
 */
__must_check long hypercall_update_va_mapping(uintptr_t va, uint64_t entry, unsigned long flags);

/*
 * public/xen.h: applies @count requests of page-table or M2P writes in order and stops at the first
 * that fails, whose error it returns. *@done (may be NULL) becomes the number applied. @domid is
 * whose frames the new entries may map, DOMID_SELF as a rule.
 */
__must_check long hypercall_mmu_update(const struct mmu_update *requests, unsigned int count,
				       unsigned int *done, domid_t domid);

/* public/xen.h: pins, unpins, base pointers, TLB work; stops and reports like mmu_update. */
__must_check long hypercall_mmuext_op(const struct mmuext_op *ops, unsigned int count,
				      unsigned int *done, domid_t domid);

/*
 * public/xen.h: makes @count calls in one entry to Xen. It goes on past failing ones: each entry's
 * own result is in its .result, and nothing else of an entry is valid afterwards.
 */
__must_check long hypercall_multicall(struct multicall_entry *calls, unsigned int count);

#endif
