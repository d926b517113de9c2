/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the machine; what a test may use stands in guest.h.
 *
 *   vm_machine.c   start and stop                     the image, the domain builder
 *   vm_layout.c    whose which frame is               the shuffled MFNs, Xen's own tables
 *   vm_snapshot.c  snapshots                          and what was written since
 *   vm_tlb.c       the guest's translations           the walk, and the host's mappings that are the TLB
 *   vm_fault.c     signals                            a fault is a TLB miss, or the guest's exception
 *   vm_run.c       running guest code, and its end    the boot
 *   vm_call.c      hypercalls                         hooks, and the model behind them
 *   vm_xen.c       what Xen serves besides memory     console, events, versions
 */
#ifndef TESTS_HOST_VM_H
#define TESTS_HOST_VM_H

#include <setjmp.h>
#include <pinion/arch/pte.h>
#include <pinion/arch/regs.h>
#include <pinion/boot/hooks.h>
#include <pinion/boot/memory_map.h>
#include <pinion/mm/layout.h>
#include "../model/domain.h"
#include "../model/model.h"
#include "guest.h"

#define VM_PORTS     64
#define CONSOLE_PORT 2 /* ports that a domU's builder has bound */
#define STORE_PORT   1

/* The machine's first frame of RAM that can be the guest's: below are devices, and what Xen keeps to itself. */
#define RAM_FIRST UINT64_C(0x1000)
#define IO_FIRST  UINT64_C(0xa0)
#define IO_END	  UINT64_C(0x100)

/* What Xen keeps of the domain besides its memory. */
struct vm_services {
	struct {
		bool open;
		unsigned int peer; /* the other end, in the same domain; 0: none */
	} port[VM_PORTS];
	bool traps_registered;
	uint64_t trap_entry[256];
};

struct vm {
	struct machine_config config;
	struct model model;
	struct model_frame *frame;
	int fd;		    /* the memory file */
	uint8_t *mem;	    /* the model's view of it */
	uint64_t nr_frames; /* of the machine */
	struct domain domain;
	uint64_t *mfn_list;	       /* at start of day */
	uint64_t m2p_first, m2p_pages; /* frames that hold the M2P */
	struct vm_services services;
	struct machine_stats stats;

	/* Since the last snapshot or restore: frames that may have been written. */
	uint64_t *dirty;
	uint32_t *dirty_list;
	uint64_t nr_dirty;
	const struct machine_snapshot
		*based; /* what memory is, but for the dirty frames; or NULL */

	/* The run under way. */
	bool running;
	sigjmp_buf out;
	int stop_at; /* enum boot_point, or -1 */
	const char *why;
};

extern struct vm *vm;

/* vm_machine.c */

/* A file of zeroes, and the whole of it as memory. */
uint8_t *vm_memory(size_t bytes, int *fd);

/* The model's panic(), of @why (model_lib.c). */
__noreturn void vm_model_panic(const char *why);

/* vm_tlb.c */

/* @access: PF_WRITE, PF_FETCH, or 0. */

/*
 * Makes the host's mapping for an access of the guest's. 0, or -EFAULT with the error code that Xen gives a
 * guest's kernel in *@error. A cached translation whose rights don't do is dropped, and is a fault.
 */
__must_check int tlb_fill(uint64_t va, unsigned int access, unsigned int *error);

/* The model's view of the byte at @va, by the cached translation if there is one; NULL and *@error as above. */
void *tlb_access(uint64_t va, unsigned int access, unsigned int *error);

void tlb_flush_va(uint64_t va);
/* Drops what the tables do not say any more: the rest may be loaded again at any time, as a CPU may. */
void tlb_flush_all(void);
/* The next store to each page is seen as if it were the first. */
void tlb_watch_stores(void);
/* Drops all of it. */
void tlb_empty(void);

/* vm_fault.c */
void fault_open(void);

/* Whether @va is the host program's own, and no guest's. */
bool host_va(uint64_t va);

/* vm_run.c */
__noreturn void vm_exit(enum machine_end end, const char *why);
/* Called by hooks of the image's. */
void vm_at_point(enum boot_point point);

/* vm_layout.c */

/* The frames of the machine: how many, whose, and Xen's own tables. => the config is complete */
void layout_count(void);
void layout_give(void);
void layout_xen_tables(void);

/* vm_snapshot.c */
/* Frame @mfn is about to be written. */
void vm_dirty(uint64_t mfn);
/* vcpu_info of the guest's, in the model's view. */
struct vcpu_info *vm_vcpu_info(void);

/* vm_xen.c */
long xen_other(struct model *m, unsigned int nr, const uint64_t *args);
/* Takes what is in the console's ring. */
void xen_drain_ring(void);

/* vm_call.c */

/* Whether the hook of the test's says that there is no memory. */
bool vm_no_memory(void);

int call_copy_from(struct model *m, void *dst, uint64_t va, size_t n);
int call_copy_to(struct model *m, uint64_t va, const void *src, size_t n);

#endif
