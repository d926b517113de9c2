/* SPDX-License-Identifier: MIT */
/*
 * A machine on the host: the kernel's own sources run as a program's functions, on the model of Xen (tests/model).
 *
 *      host's addresses                          memory of the machine: one memory file
 *      +------------------+                      +---------------------------------------+
 *      | this test, libc  |   model_hypercall()  | frame 0 | frame 1 | ...               |
 *      +------------------+  <---------------+   +---------------------------------------+
 *      | kernel's image   | ------ calls ----+         ^ whole, read-write: the model's view
 *      | direct map, vmap |                            |
 *      | M2P, user's half | --- one page at a time, with the rights that the guest's tables give
 *      +------------------+
 *
 * The host's own mappings *are* the guest's TLB: none is there at first; the first access faults, the handler
 * walks the guest's tables as a CPU does and maps that one page; a flush unmaps. So a store into a live table
 * faults as on hardware, and a translation that the kernel forgot to flush is used, stale as it is. What a
 * guest's access does to a missing page is the guest's page fault.
 *
 * The image is loaded anew by each machine_start(): the kernel's statics are what the linker made of them.
 * Kernel code runs on the host's stack.
 *
 *     static void grow(void *arg)            { struct aspace *as = arg; ... kernel functions ... }
 *
 *     assert_int_equal(machine_start(&(struct machine_config){ .nr_pages = 4096 }), 0);
 *     assert_int_equal(machine_boot(), MACHINE_RETURNED);
 *     snap = machine_snapshot();
 *     for (...) {
 *             assert_int_equal(machine_run(grow, as), MACHINE_RETURNED);
 *             machine_restore(snap);
 *     }
 *     machine_stop();
 *
 * One machine at a time. Kernel functions may be called from within machine_run() alone: elsewhere a panic or a
 * shutdown has nowhere to go.
 */
#ifndef TESTS_HOST_GUEST_H
#define TESTS_HOST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../model/model.h"

struct machine_config {
	bool dom0;
	bool l1tf;
	uint64_t nr_pages;   /* the guest's, at start; 0: 4096 (16 MiB) */
	uint64_t max_pages;  /* that it may have; 0: nr_pages + 64 */
	uint64_t spare;	     /* frames of nobody's; 0: 512 */
	uint64_t seed;	     /* of the MFNs' order, which has no fixed point */
	const char *cmdline; /* NULL: empty */
	unsigned int
		check_every; /* model_check() after so many hypercalls; 0: 1 up to 256 frames, else 1000 */
	const void *module; /* boot module, or NULL */
	size_t module_bytes;
};

/* How running the guest ended. */
enum machine_end {
	MACHINE_RETURNED, /* the function came back */
	MACHINE_POWEROFF, /* the guest shut down: SHUTDOWN_* */
	MACHINE_REBOOT,
	MACHINE_CRASH,
	MACHINE_KILLED, /* Xen (the model) crashed the domain: machine_why() */
};

/*
 * A machine at start of day, the kernel loaded and nothing of it run. 0, or a negative errno if the domain
 * builder refuses. Ends the one before it.
 */
__must_check int machine_start(const struct machine_config *config);

/*
 * Runs pv_start() up to the point where everything stands (phase 8), or to where the early tests run (between
 * phases 4 and 6).
 */
__must_check enum machine_end machine_boot(void);
__must_check enum machine_end machine_boot_early(void);

/* Runs pv_start() to its own end, tests as the command line says. */
__must_check enum machine_end machine_boot_whole(void);

/* Runs @fn as the guest's code. What was under way when it ended otherwise than by returning stays as it is. */
__must_check enum machine_end machine_run(void (*fn)(void *arg), void *arg);

void machine_stop(void);

/* The model, for looks; NULL without a machine. */
struct model *machine_model(void);

/* model_check(), its complaints printed; ends the program's test if there are any. */
void machine_check(void);

/* Why the last run ended as MACHINE_KILLED. */
const char *machine_why(void);

/*
 * All of a machine's state (memory, the model, Xen's services, not the console's text) at a time when no guest
 * code runs, and back to it, which costs what was written since. Any number of times; several snapshots are
 * fine, going to and fro between two copies all of memory.
 */
struct machine_snapshot;
struct machine_snapshot *machine_snapshot(void);
void machine_restore(const struct machine_snapshot *snap);
void machine_snapshot_free(struct machine_snapshot *snap);

/*
 * One access as the guest's, through its TLB, 1 to 8 bytes at @va that do not cross a page. 0, or -EFAULT with
 * the page fault's error code (as Xen gives it to a PV kernel) in *@error, which may be NULL. Guest code need
 * not run.
 */
__must_check int guest_load(uint64_t va, void *value, size_t n, unsigned int *error);
__must_check int guest_store(uint64_t va, const void *value, size_t n, unsigned int *error);

/* The address of a translation that was not flushed and that the tables do not allow any more; 0: there is none. */
uint64_t machine_stale(void);

/*
 * A hook before each hypercall, or each request of one that carries many: @entry counts from 0 within its
 * mmu_update or mmuext_op; the calls of a multicall come one by one, @entry 0, the multicall itself (before
 * them) too. @args are its registers, of a request the whole call's. Returns 0 for Xen to go on, or a negative
 * errno that is then Xen's answer to it, by Xen's own rules of state: requests before it are done and counted,
 * those after it are not looked at; -EFAULT to update_va_mapping comes after the change; a call of a multicall
 * fails alone. Calls that have no MMU work in them (console, versions ...) come too.
 */
typedef long machine_hypercall_hook(void *ctx, unsigned int nr, const uint64_t *args,
				    unsigned int entry);
void machine_on_hypercall(machine_hypercall_hook *hook, void *ctx);

/*
 * A hook before each allocation of the kernel's: frame_alloc(), frame_alloc_reserved(), boot_alloc_page(),
 * boot_alloc_run(). True: there is no memory.
 */
typedef bool machine_alloc_hook(void *ctx);
void machine_on_alloc(machine_alloc_hook *hook, void *ctx);

/* What the guest has written to its console since machine_start() or the last reset, NUL-terminated. */
const char *machine_console(void);
void machine_console_reset(void);

/* What was counted since machine_start(). */
struct machine_stats {
	uint64_t hypercalls;
	uint64_t fills;	 /* of the TLB */
	uint64_t faults; /* that the guest got */
	uint64_t flushes;
};
struct machine_stats machine_stats(void);

#endif
