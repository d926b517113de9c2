/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the batch: mmu_batch.c queues, mmu_batch_send.c sends, mmu_batch_undo.c ends a section,
 * well or badly, mmu_batch_report.c tells of it.
 *
 * Requests and operations lie in arrays as Xen wants them; beside them a list of *segments* says in
 * which order they go, what each means, and who asked:
 *
 *     segs      [ SET L2 | BULK L1 x 200 | OP pin | MAKE ]
 *                  |         |              |        |
 *     requests  [  0    | 1 ........ 200  |        | 201 ]      old[] beside it
 *     ops                                 [  0  ]
 */
#ifndef PINION_MM_MMU_BATCH_INTERNAL_H
#define PINION_MM_MMU_BATCH_INTERNAL_H

#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>

#define SEGS_MAX   (MMU_BATCH_SINGLES + MMU_BATCH_OPS)
#define RIDERS_MAX MMU_BATCH_SINGLES
#define HOOKS_MAX  64

enum seg_kind {
	SEG_SET,    /* one entry of a table */
	SEG_BULK,   /* leaves of one table, all changed alike */
	SEG_MAKE,   /* the direct map's leaf of a new table: read-only, and it is live */
	SEG_LEAVE,  /* the same of a table that leaves: writable */
	SEG_DIRECT, /* the same of a data frame */
	SEG_OP,	    /* one mmuext operation */
};

struct seg {
	const char *who;
	uint64_t va;	  /* what a leaf maps here; 0: unknown */
	uint32_t table;	  /* whose entry; OP: what is pinned, or the former base */
	uint32_t subject; /* MAKE, LEAVE, DIRECT: whose frame */
	uint16_t first, count;
	domid_t domid; /* whose frames are mapped */
	uint8_t kind;
	uint8_t level; /* of the table; 0 before there is a frame table */
	uint8_t bulk;  /* BULK: enum mmu_batch_kind */
	bool exec;     /* SET: the table had no executable entry before */
};

enum rider_kind {
	RIDER_NEW,   /* goes back if the section fails */
	RIDER_GOES,  /* is released if it succeeds */
	RIDER_STAYS, /* a table that leaves, and stays as an offline one */
};

/* A frame that rides in the section. */
struct rider {
	mmu_release_fn *release;
	uint32_t pfn;
	uint8_t kind;
};

struct hook {
	mmu_end_fn *fn;
	void *ctx;
};

struct mmu_batch {
	unsigned int depth;
	unsigned int insists; /* mmu_batch_insist(): what is sent takes back earlier sections */
	bool masked;	      /* upcalls, before the section */
	bool ending;	      /* riders and hooks are served: nobody may queue */
	bool undoing; /* what goes to Xen now takes back what was done: a failure can't be passed on */
	bool sync;
	int failed; /* the section can't succeed any more: sync mode's first error, or a rollback's -EIO */
	struct mmu_batch_mark n, sent;
	unsigned int
		refused; /* of what insists: how much was sent before what Xen has refused once */

	/* TLB work that is due: after what has been queued, unless a later entry flushes it anyway. */
	unsigned int invlpgs;
	bool flush;
	uint64_t invlpg[MMU_BATCH_INVLPGS];

	struct mmu_batch_error error;
	struct mmu_batch_counters counters;
	struct mmu_update requests[MMU_BATCH_ENTRIES];
	uint64_t old[MMU_BATCH_ENTRIES];
	struct seg segs[SEGS_MAX];
	/* Room behind the operations for TLB work. */
	struct mmuext_op ops[MMU_BATCH_OPS + MMU_BATCH_INVLPGS];
	struct rider riders[RIDERS_MAX];
	struct hook hooks[HOOKS_MAX];
};

static inline void frame_set_flag(struct frame *frame, unsigned int flag, bool on)
{
	if (on)
		frame->flags |= (uint8_t)flag;
	else
		frame->flags &= (uint8_t)~flag;
}

/* This vCPU's. */
struct mmu_batch *mmu_batch_this(void);

/* Sends what has not been sent, and the TLB work that is due. Returns 0 or the first failure, noted
 * in ->error; what was done before it stays done. */
__must_check int mmu_batch_send(struct mmu_batch *b);

/* Full flush or INVLPGs, whichever is due, by a call of its own. */
void mmu_batch_send_tlb(struct mmu_batch *b);

/* Request @at of @seg has been done, or with @back, undone: what its frame is to us from now on. */
void mmu_batch_entry_done(const struct mmu_batch *b, const struct seg *seg, unsigned int at,
			  bool back);

/* The same for an operation: pinned or not. */
void mmu_batch_op_done(const struct mmu_batch *b, const struct seg *seg, bool back);

/*
 * Ends everything behind @mark: with @rc 0 as done, else it undoes what was sent of it and drops
 * the rest. Riders and hooks behind it are served. Returns @rc, or -EIO if an undo was refused.
 */
int mmu_batch_finish(struct mmu_batch *b, const struct mmu_batch_mark *mark, int rc);

#endif
