/* SPDX-License-Identifier: MIT */
/*
 * What there is one of for each vCPU, and the upcall mask, which is a PV kernel's IF.
 *
 * All state of that kind sits in `struct cpu`, reached by this_cpu() alone, so that a second vCPU
 * changes one function. This is one of the four headers through which mm/ knows the machine.
 */
#ifndef PINION_ARCH_CPU_H
#define PINION_ARCH_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu_info;
struct mmu_batch;
struct mmu_map_changes;
struct aspace;

/* No code can be there: the last byte of the address space. */
#define NO_PROBE_CALL UINT64_MAX

struct cpu {
	/*
	 * This vCPU's part of shared_info, which Xen writes: the upcall mask and CR2 live there. NULL
	 * until phase 3 maps it; until then upcalls are masked, as Xen starts every vCPU.
	 */
	struct vcpu_info *vcpu_info;
	/* How many reports of a crash have begun: the second is about a fault inside the first. */
	unsigned int crashes;
	/* probe_call(): where the call goes (NO_PROBE_CALL: none under way), and the fault that it met. */
	uint64_t probe_call_target;
	uint64_t probe_call_fault;
	/* Traps and upcalls being handled, one inside the other. */
	unsigned int traps;
	/* The queue of page-table work (mm/mmu_batch.c). */
	struct mmu_batch *batch;
	/* Holds and releases of the section under way (mm/mmu_map.c). */
	struct mmu_map_changes *map_changes;
	/* What the vCPU runs on (mm/aspace.c); NULL until the kernel has tables of its own. */
	struct aspace *aspace;
	/* PMAP slots in use, one bit each (mm/pmap.c). */
	uint8_t pmap_in_use;
};

/* The vCPU that Xen starts; the only one so far. */
extern struct cpu boot_cpu;

static inline struct cpu *this_cpu(void)
{
	return &boot_cpu;
}

/* Masks event upcalls. Returns whether they were masked before: what to give upcalls_restore(). */
bool upcalls_mask(void);

/*
 * Unmasks event upcalls if @was_masked is false. An event that became pending while they were
 * masked is delivered before this returns: Xen looks for one only on its way back to the guest,
 * so a hypercall is made when there is one.
 */
void upcalls_restore(bool was_masked);

/* The address of the last page fault, or UINT64_MAX while vcpu_info is not known. */
uint64_t cpu_cr2(void);

#endif
