/* SPDX-License-Identifier: MIT */
/*
 * The audit: everything that the kernel remembers of its memory, worked out once more from the page tables
 * themselves.
 *
 *     all L4s that exist                               the frame table, frame by frame
 *       |  walked down, level by level                   kind, level, live, parents, pin, execs, flags
 *       v                                     compared
 *     notes: for each frame, who links it,   <-------->  the P2M and the M2P
 *     how it is mapped, over all aliases                 the allocator's lists
 *
 * A count that is wrong does no harm where it goes wrong, but much later: a table freed while it is linked, a frame
 * writable while it is executable. The audit finds it where it happened; the suite runs it after every test.
 *
 * It changes nothing, believes nothing, and does not panic: what it finds are *facts* that are broken, each with a
 * name, the frame, what it should be and what it is. Its cost is a few dozen instructions a frame.
 *
 * Before there is a frame table it looks at what there is: start of day's tables through the boot region, the PMAP
 * window's slots, the boot allocator's ranges.
 */
#ifndef PINION_MM_AUDIT_H
#define PINION_MM_AUDIT_H

#include <stdint.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

enum audit_fact {
	/* Tables */
	AUDIT_LINK,	/* an entry of an L2 to L4 links a frame of ours, and is no superpage */
	AUDIT_NO_TABLE, /* what an entry links is a table to the frame table */
	AUDIT_LEVEL,	/* ... and of the level below */
	AUDIT_OFFLINE,	/* a live table links no offline one */
	AUDIT_LIVE,	/* entries that are present */
	AUDIT_PARENTS,	/* entries that link it */
	AUDIT_HOLDS,	/* those of address spaces are those of their L1s, L2s and L3s */
	AUDIT_LOST,	/* a live table is linked or pinned */
	AUDIT_PIN,	/* only tables that Xen knows are pinned; an address space's live L4 is */
	AUDIT_SLOT,	/* the kernel's L4 entries are the same in all address spaces */
	/* Frames */
	AUDIT_KIND,  /* the P2M has RAM where the frame table has a frame, and only there */
	AUDIT_OWNER, /* what is not free is somebody's */
	AUDIT_FLAGS, /* no flag that its kind does not have, or that belongs to an open section; an L4 in use says so */
	AUDIT_M2P,	      /* m2p(p2m(pfn)) == pfn */
	AUDIT_DIRECT_MFN,     /* the direct map has exactly the P2M's frame there */
	AUDIT_DIRECT_RIGHTS,  /* writable as the frame table says, never executable */
	AUDIT_TABLE_WRITABLE, /* no leaf lets a table be written */
	AUDIT_WX,	      /* not writable through one address and executable through another */
	AUDIT_PLAIN,	      /* plain frames of each run of 512 */
	AUDIT_EXECS,	      /* executable leaves that map it; frames that have any */
	AUDIT_EXEC_FLAG,      /* an L1 with such leaves says so */
	AUDIT_FOREIGN_FLAG,   /* an L1 with frames that are not ours says so */
	AUDIT_FREE_MAPPED,    /* a free frame is in the direct map and nowhere else */
	/* Bookkeeping: .what says more */
	AUDIT_ALLOC, /* the frame allocator's lists and counts */
	AUDIT_P2M,
	AUDIT_PMAP, /* a slot is filled if it is in use, and only then */
	AUDIT_BOOT_ALLOC,
	AUDIT_FACTS
};

struct audit_finding {
	enum audit_fact fact;
	pfn_t pfn; /* INVALID_PFN: no one frame's */
	uint64_t expected, found;
	const char *what; /* NULL: the fact's name says it all */
};

#define AUDIT_FINDINGS 8

struct audit_report {
	uint64_t broken;			    /* facts */
	struct audit_finding first[AUDIT_FINDINGS]; /* in the order in which they were found */
};

/* Sets the memory aside that the audit needs for its notes: 8 bytes a frame. Returns 0 or -ENOMEM.
 * => the frame allocator stands */
__must_check int mm_audit_init(void);

/* Looks all over. Returns how many facts are broken, and says in *@report which. => no section of the batch is open;
 * mm_audit_init(), or there is no frame table yet */
uint64_t mm_audit(const struct boot_info *bi, struct audit_report *report);

/* The fact's name: a few words. */
const char *audit_fact_name(enum audit_fact fact);

/* One finding as text. => n > 0 */
void audit_describe(const struct audit_finding *finding, char *text, size_t n);

#endif
