/* SPDX-License-Identifier: MIT */
/*
 * A small hypervisor around the model of Xen's rules (tests/model), for one PV guest on a bare machine.
 *
 *   boot.S start.c      from QEMU to the guest's first instruction
 *   machine.c           RAM, the hypervisor's own tables, the M2P
 *   cpu.c               GDT, IDT, TSS, MSRs; what the guest's GDT and LDT are
 *   trap.S trap.c       exceptions and hypercalls come in; what the guest gets of them
 *   bounce.c            the frames that it finds on its stack, and HYPERVISOR_iret
 *   emulate.c           instructions that ring 3 may not, and Xen does for it; stores to L1 tables
 *   service.c           hypercalls that are not about memory
 *   model_ops.c         what the model asks of the machine: pages, copies, flushes
 *   report.c            the hypervisor's own words, and the end
 *
 * It knows nothing of any particular guest: tests/smoke/guest is a second one, for what Pinion does not ask
 * for. Event channels, timers, physdev and grants are left out, and answered with -ENOSYS. One CPU, interrupts
 * off in ring 0, and none come: the PICs are masked.
 */
#ifndef PINION_TESTS_SMOKE_H
#define PINION_TESTS_SMOKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <pinion/arch/regs.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>
#include "../model/model.h"
#include "layout.h"

/* machine.c */

#define RANGES_MAX 64

struct machine {
	struct model_region range[RANGES_MAX]; /* what the firmware says of memory */
	unsigned int nr_ranges;
	uint64_t nr_frames; /* up to the end of the highest RAM */
	uint64_t *m2p;
	struct model_frame *frames;
	uint64_t module, module_bytes; /* the guest's ELF */
};

extern struct machine machine;

/* Reads what QEMU has handed over, and makes the tables. Ends the machine if it can't be. */
void machine_init(const struct hvm_start_info *si);

/* @n whole frames, zeroed, aligned to @n of them (a power of two), for good. => before machine_sort() */
void *machine_alloc(uint64_t n);

/* As many as hold @bytes, in one run; of any size. */
void *machine_bytes(uint64_t bytes);

/* Says to the model whose each frame is: the hypervisor's, the heap's, a device's. No machine_alloc() after it. */
void machine_sort(struct model *m);

/* RAM by its address, through the hypervisor's map of all of it. */
static inline void *maddr_to_va(uint64_t maddr)
{
	return (void *)(RAM_VA + maddr);
}

static inline void *mfn_to_va(mfn_t mfn)
{
	return maddr_to_va(mfn_x(mfn) << PAGE_SHIFT);
}

extern uint64_t hypervisor_l4[512];

/* cpu.c */

void cpu_init(void);
/* The guest's GDT frames and LDT, from the model. */
void cpu_load_descriptors(const struct model *m);
/* A fault at @cr2 in the LDT's window: maps the guest's page there. False if it is none, or not allowed. */
bool cpu_ldt_fault(struct model *m, uint64_t cr2);

static inline void write_cr3(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static inline uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

#define MSR_EFER	   0xc0000080
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_GS_BASE_KERNEL 0xc0000102

/* trap.S */

extern char exception_stubs[], syscall_entry[], guest_iret[];
extern char copy_guest_words[], copy_guest_bytes[], copy_guest_fixup[];
extern char stack[], stack_top[];

__noreturn void guest_enter(struct cpu_regs *regs);
int copy_guest(void *dst, const void *src, size_t n);

/* The guest's one vCPU: struct domain, struct vcpu and struct pv_vcpu as far as this hypervisor goes. */
struct guest {
	struct model model;
	struct shared_info *shared_info;
	struct trap_info traps[256];
	uint64_t event_callback, failsafe_callback, syscall_callback;
	bool syscall_masks, failsafe_masks;
	bool kernel_mode;	       /* TF_kernel_mode: on m->l4, not on m->user_l4 */
	uint64_t kernel_sp, kernel_ss; /* stack_switch */
	bool ts;		       /* CR0.TS as the guest has it */
	struct cpu_regs *regs; /* as they came in, while the hypervisor works for the guest */
};

extern struct guest guest;

/* model_ops.c */

extern const struct model_ops model_ops;
/* 0 or -EFAULT; whole or in part. */
__must_check int guest_copy_from(void *dst, uint64_t va, size_t n);
__must_check int guest_copy_to(uint64_t va, const void *src, size_t n);
/* CR3 for the mode that the guest is in. */
void guest_load_cr3(void);

/* bounce.c */

#define BOUNCE_ERROR 1 /* the frame has an error code */
#define BOUNCE_MASK  2 /* upcalls are masked in the handler */
#define BOUNCE_FAIL  4 /* a failsafe frame: ds, es, fs, gs */

/* Has the guest's kernel go on at @handler with a frame on its stack; the guest dies if that can't be. */
void guest_bounce(struct cpu_regs *regs, uint64_t handler, unsigned int flags, uint32_t error);
/* An exception for the guest (pv_inject_event()). @cr2 counts for a page fault alone. */
void guest_inject(struct cpu_regs *regs, unsigned int vector, uint32_t error, uint64_t cr2);
/* Between kernel and user (toggle_guest_mode()). */
void guest_toggle(void);
/* HYPERVISOR_iret. Returns what goes to rax. */
uint64_t guest_iret_call(struct cpu_regs *regs);

/* emulate.c */

/* A #GP (or #UD with Xen's prefix) at a privileged instruction: true if it has been done for the guest. */
bool emulate_privileged(struct cpu_regs *regs);
bool emulate_forced(struct cpu_regs *regs);
/* A store at @cr2 to a live L1 table (ptwr_emulated_write()). */
bool emulate_table_store(struct cpu_regs *regs, uint64_t cr2);

/* The Xen whose rules these are. */
#define XEN_MAJOR 4
#define XEN_MINOR 17

/* service.c: what the model leaves to its embedder. */
long service_hypercall(struct model *m, unsigned int nr, const uint64_t *args);

/* report.c */

/* Ends QEMU: exit status (16 + @reason) * 2 + 1 by the isa-debug-exit device; @reason is a SHUTDOWN_*. */
__noreturn void machine_end(unsigned int reason);
/* The guest has to die (domain_crash()): says why, and all that is known of it. */
__noreturn void guest_crash(const char *fmt, ...) __printf(1, 2);

/* start.c */
__noreturn void smoke_start(uint32_t start_info_paddr);

/* trap.c, from trap.S */
void trap_from_cpu(struct cpu_regs *regs);
void trap_from_syscall(struct cpu_regs *regs);

#endif
