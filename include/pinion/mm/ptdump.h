/* SPDX-License-Identifier: MIT */
/*
 * ptdump: what live page tables say, read from the tables themselves.
 *
 *     ptdump_walk()    each present entry of an address space, with the rights of all levels above it combined, and
 *                      what the P2M knows of its frame. For tests and the audit: they recompute facts from it
 *     ptdump_lines()   the same for people: neighbours that are mapped alike are one line
 *
 *     --- direct map
 *     ffff880000000000-ffff88000009f000   636K rw- ram      boot
 *     ffff8800000a0000-ffff8800000a1000     4K r-- ram      L4 table of kernel, pinned
 *     --- vmap arena
 *     ffffff0000001000-ffffff0000009000    32K rw- identity mfn b8, uc
 *
 * It has to work when little else does: nothing is allocated or changed, tables are read through probes, an MFN is believed
 * if P2M and M2P agree on it, and an entry that leads out of our memory or back up is shown and not followed. So it can be
 * run on tables that Xen never saw, and from a panic. Xen's own slots are passed over.
 */
#ifndef PINION_MM_PTDUMP_H
#define PINION_MM_PTDUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

/* What the P2M says of the frame that an entry names. */
enum ptdump_class {
	PTDUMP_RAM,
	PTDUMP_IDENTITY,
	PTDUMP_FOREIGN, /* not ours: another domain's, or Xen's as shared_info is, or nobody's */
};

/* An entry that is not 0. */
struct ptdump_entry {
	uint64_t va;	    /* the first address that it maps */
	unsigned int level; /* of the table that it is in: 1, a leaf; 2 to 4, a link */
	unsigned int index;
	pfn_t table;	/* that it is in */
	uint64_t entry; /* as it was read */
	mfn_t mfn;	/* that it names, ... */
	pfn_t pfn;	/* ... which is this one of ours, or INVALID_PFN */
	enum ptdump_class class;
	bool writable;	 /* by this entry and all above it */
	bool executable; /* the same */
	const char *bad; /* NULL, or why it is no leaf and will not be followed */
};

/* Called for each, a link before what is below it. A value other than 0 ends the walk, which returns it. */
typedef int ptdump_fn(void *ctx, const struct ptdump_entry *e);

/*
 * Goes over the tables under the L4 @l4, which Xen may know or not, by ascending address. Returns 0; what @fn returned; or
 * -EFAULT if the L4 itself can't be read. => the direct map stands
 */
__must_check int ptdump_walk(pfn_t l4, ptdump_fn *fn, void *ctx);

/*
 * The entries on the way to @va, entries[4] the L4's. Returns the level of the last one that could be read; 5 if none
 * could, or @va is not canonical.
 */
unsigned int ptdump_path(pfn_t l4, uint64_t va, uint64_t entries[5]);

/* Takes a line, which has no newline. A value other than 0 ends the dump. */
typedef int ptdump_line_fn(void *ctx, const char *line);

/* The ranges of an address space as lines of at most PTDUMP_LINE bytes. Returns as ptdump_walk(). */
#define PTDUMP_LINE 112
__must_check int ptdump_lines(pfn_t l4, ptdump_line_fn *fn, void *ctx);

/* Sums over all of them, from the frame table: tables, pins, shared tables, frames, quarantine. Returns 0, or what @fn did. */
__must_check int ptdump_summary(ptdump_line_fn *fn, void *ctx);

/* Both to the console, each line behind "ptdump: ". */
void ptdump(pfn_t l4);

/*
 * For a crash report: both behind "panic:   ", no more than some lines and some time; with the path to @fault
 * first, unless it is UINT64_MAX. Prints nothing as long as there is no frame table.
 */
void ptdump_crash(uint64_t fault);

#endif
