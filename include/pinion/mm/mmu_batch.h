/* SPDX-License-Identifier: MIT */
/*
 * The batch: an ordered queue of page-table work, carried out in as few hypercalls as its order allows,
 * all of it or nothing.
 *
 *     mmu_batch_begin();
 *     rc = mmu_batch_make_table(l1, free_it);         read-only in the direct map
 *     if (!rc)
 *             rc = mmu_batch_set(l2, 7, link, 0);     now Xen validates it
 *     rc = mmu_batch_end(rc);                         one mmu_update of two requests
 *
 * Between the outermost begin and end is a *section*. Calls in it only queue; the end sends:
 *
 *     queue      u u u u | p | u u | t          u  table entries       -> mmu_update
 *     calls      1         2   3     with 3     p  pin, base pointer   -> mmuext_op
 *                                               t  TLB work            -> rides behind 3 in a multicall
 *
 * A multicall goes on past a call that fails, so nothing but TLB work, which harms nobody, may share
 * one with updates; and it rides only where there is one upper entry at most (mmu_batch_send.c).
 * A single entry of a leaf whose address is known goes out as update_va_mapping: 827
 * instructions against 1018.
 *
 * mmu_update stops at its first failing request. Then everything of the section that was done is
 * undone, backwards, from the old values kept beside each request: no memory is needed. What was to be freed is not,
 * what was new goes back, and mmu_batch_end() returns the first failure, which mmu_batch_error() describes.
 * An undo that Xen refuses leaves tables as nobody planned them: frames that rode in the section go into
 * quarantine (OWNER_QUARANTINE), and the result is -EIO.
 *
 * TLB work is collected, and coalesced: nothing for an entry that was not present; one full flush instead of many
 * INVLPGs; and nothing at all where a change of an L2-L4 entry later in the section flushes anyway. (Not an earlier one:
 * Xen restarts the call after an upper entry that was replaced or cleared, and flushes before it goes on.)
 *
 * Upcalls are masked for the length of a section: Xen may preempt a batch for a pending event, and
 * code that an upcall runs must not find half of one. Trap and event code never uses the queue.
 *
 * Tables change through the batch alone: one door, where a lock or an audit can be put. It wants the P2M, so that it is usable
 * from phase 5 on. What goes past it (tests/lint/layers.py holds the same list):
 *
 *     mm/pmap.c             the window, and its two tables: before there is a P2M; a slot is one call, and costs nothing else
 *     mm/p2m_boot.c         start of day's mapping of a frame that moves: the P2M is being made
 *     mm/boot_alloc.c       the same of frames that become the direct map's tables: what gives the batch its memory can't use it
 *     boot/kmain.c          the guard page under the first stack, in phase 3
 *     xen/shared_info.c     shared_info's page, in phase 3
 *     mm/m2p.c              MMU_MACHPHYS_UPDATE, which is no change of a table
 *     tables.h              plain stores, into pages that are no tables yet
 *
 * Source: do_mmu_update, do_mmuext_op in Xen's arch/x86/mm.c, do_multicall in common/multicall.c;
 * ABI: 'Batches, preemption, flushes'; seed 2012 (xen_queue_pt_update).
 */
#ifndef PINION_MM_MMU_BATCH_H
#define PINION_MM_MMU_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>
#include <pinion/xen/hypercall.h>

/* Requests, and mmuext operations, that a section can hold. What is not one of many leaves (mmu_batch_open) takes
 * one of MMU_BATCH_SINGLES too. */
#define MMU_BATCH_ENTRIES 1024U
#define MMU_BATCH_SINGLES 512U
#define MMU_BATCH_OPS	  32

/* Up to so many pages of a section are flushed one by one. */
#define MMU_BATCH_INVLPGS 8

/* Gives a frame back to where it came from. */
typedef void mmu_release_fn(pfn_t pfn);
/* Called when a section has ended, @rc as mmu_batch_end() returns it. It must not use the batch. */
typedef void mmu_end_fn(void *ctx, int rc);

/*
 * Opens a section; they nest, and all but the outermost pair only count. => not in a trap or an
 * event handler
 */
void mmu_batch_begin(void);

/*
 * Closes it. With @rc 0 the outermost end sends what is queued; with an error of the caller's all
 * of the section is dropped, and what sync mode has done of it undone. An inner end just returns @rc,
 * and what its caller queued stays: see mmu_batch_rollback(). Returns @rc if that is an error, 0 if all was
 * done, else Xen's error for the first failure with everything as before, or -EIO if that can't be.
 */
__must_check int mmu_batch_end(int rc);

/*
 * From mmu_batch_insist(true) to mmu_batch_insist(false), which nest, sections take back what earlier ones did, or give
 * back what can't be kept: their failure could not be passed on. What Xen refuses is asked for once more, each request,
 * before the section fails.
 */
void mmu_batch_insist(bool on);

/* How deep sections are nested: 0, no section is open. */
unsigned int mmu_batch_depth(void);

/* A place in the open section. */
struct mmu_batch_mark {
	uint16_t segs, requests, ops, riders, hooks;
};

struct mmu_batch_mark mmu_batch_mark(void);

/* How many more entries, each with a frame that rides along, the open section has room for. */
unsigned int mmu_batch_room(void);

/* Drops everything that was queued since @mark, as an end with an error would: its riders and hooks are served with
 * -EAGAIN. If sync mode has done some of it and Xen refuses to undo that, the section can only end with -EIO. */
void mmu_batch_rollback(const struct mmu_batch_mark *mark);

/*
 * The functions that queue. Each takes effect in the order of the calls, and returns 0, or -ENOSPC with nothing
 * queued if the section is full; in sync mode also Xen's error, and the section is then failed, but a frame that
 * was to ride is still the caller's. Queuing an entry of a table that leaves in the same section panics: by
 * then its page may be anything.
 * `who` is for the report of a failure; the macros below give the caller's name.
 */

/*
 * Entry @index of @table becomes @value. @va: an address that it maps in the current address space, if
 * it is a leaf; 0 if there is none, and then its old translation is flushed with all others.
 * => table is a page table that Xen knows, or will by then, and its frame is the kernel's
 */
__must_check int mmu_batch_set_for(const char *who, pfn_t table, unsigned int index, uint64_t value,
				   uint64_t va);
#define mmu_batch_set(...) mmu_batch_set_for(__func__, __VA_ARGS__)

/* The same for a leaf that maps a frame of domain @domid's. An undo asks for the old value in the same domain's
 * name: MMIO and our own frames come back, a third domain's frame does not (-EIO). */
__must_check int mmu_batch_set_foreign_for(const char *who, pfn_t table, unsigned int index,
					   uint64_t value, uint64_t va, domid_t domid);
#define mmu_batch_set_foreign(...) mmu_batch_set_foreign_for(__func__, __VA_ARGS__)

/* What entry @index of a table will be when what is queued has been done. Not for the leaves of the direct map. */
uint64_t mmu_batch_peek(pfn_t table, unsigned int index);

/*
 * The offline table @table becomes read-only in the direct map, so that Xen may validate it. On
 * failure of the section it is forgotten (table_forget) and goes to @release; with NULL it stays offline,
 * as it is.
 */
__must_check int mmu_batch_make_table_for(const char *who, pfn_t table, mmu_release_fn *release);
#define mmu_batch_make_table(...) mmu_batch_make_table_for(__func__, __VA_ARGS__)

/*
 * @table, whose last link or pin went earlier in this section, is writable again. When the section has
 * succeeded, after its flush, it is forgotten and goes to @release; with NULL it stays, offline.
 * A table is queued before those that it links.
 */
__must_check int mmu_batch_unmake_table_for(const char *who, pfn_t table, mmu_release_fn *release);
#define mmu_batch_unmake_table(...) mmu_batch_unmake_table_for(__func__, __VA_ARGS__)

/* A data frame's rights in the direct map. -EINVAL for another frame. */
__must_check int mmu_batch_direct_for(const char *who, pfn_t pfn, bool writable);
#define mmu_batch_direct(...) mmu_batch_direct_for(__func__, __VA_ARGS__)

/* @pfn goes to @release when the section has succeeded, after its flush. */
__must_check int mmu_batch_free(pfn_t pfn, mmu_release_fn *release);

/* @fn(@ctx, rc) at the section's end, hooks in the order of the calls. */
__must_check int mmu_batch_on_end(mmu_end_fn *fn, void *ctx);

/* Pins and unpins a table of its level; the frame table's record follows. */
__must_check int mmu_batch_pin_for(const char *who, pfn_t table, unsigned int level);
__must_check int mmu_batch_unpin_for(const char *who, pfn_t table, unsigned int level);
/* The kernel's base pointer; @old is what it was, for an undo. */
__must_check int mmu_batch_new_baseptr_for(const char *who, pfn_t l4, pfn_t old);
#define mmu_batch_pin(...)	   mmu_batch_pin_for(__func__, __VA_ARGS__)
#define mmu_batch_unpin(...)	   mmu_batch_unpin_for(__func__, __VA_ARGS__)
#define mmu_batch_new_baseptr(...) mmu_batch_new_baseptr_for(__func__, __VA_ARGS__)

/*
 * Many leaves of one table, written by the caller itself. mmu_batch_open() says where: the next
 * requests and their old values, and how many there is room for. The caller writes them, each with
 * ptr = @ptr + 8 * index, and says with mmu_batch_close() how many. All are of one kind, @kind:
 * only of leaves that disappear the old values are to be written too. @va is the address that the table's entry 0
 * maps, or 0.
 */
enum mmu_batch_kind {
	MMU_BATCH_MAP,	 /* they were 0 */
	MMU_BATCH_UNMAP, /* they become 0 */
	MMU_BATCH_RW,	 /* only RW changes, in each of them */
	MMU_BATCH_NX, /* only NX, of frames of ours; who closes has counted them in the frames' execs */
};

struct mmu_batch_room {
	struct mmu_update *requests;
	uint64_t *old;
	unsigned int room;
	uint64_t ptr;
};

/* Returns 0, or -ENOSPC if the section is full, or -EBUSY if entries of the table are queued already. */
__must_check int mmu_batch_open(pfn_t table, struct mmu_batch_room *room);
__must_check int mmu_batch_close_for(const char *who, pfn_t table, unsigned int count,
				     enum mmu_batch_kind kind, uint64_t va);
#define mmu_batch_close(...) mmu_batch_close_for(__func__, __VA_ARGS__)

/*
 * A whole section for one leaf: entry @index of @table, now @old, becomes @value. @va is the address that it maps
 * in the tables that the vCPU runs on. Returns 0, -EBUSY inside a section, or Xen's error, with nothing changed.
 */
__must_check int mmu_batch_one_for(const char *who, pfn_t table, unsigned int index, uint64_t old,
				   uint64_t value, uint64_t va);
#define mmu_batch_one(...) mmu_batch_one_for(__func__, __VA_ARGS__)

/* What the last section that failed failed at. */
enum mmu_batch_op {
	MMU_BATCH_NONE,	   /* nothing that was sent: rc is its caller's own */
	MMU_BATCH_UPDATE,  /* ptr, val: as in mmu_update */
	MMU_BATCH_UVA,	   /* the same, by update_va_mapping */
	MMU_BATCH_PIN,	   /* ptr: the mfn; val: the level */
	MMU_BATCH_UNPIN,   /* the same */
	MMU_BATCH_BASEPTR, /* ptr: the mfn */
};

struct mmu_batch_error {
	enum mmu_batch_op op;
	int rc;		    /* Xen's */
	unsigned int index; /* in the section, counted from 0 over all that was queued */
	uint64_t ptr, val;
	const char *who;
	unsigned int undone, stuck; /* of what was done before it: undone; refused by Xen */
};

struct mmu_batch_error mmu_batch_error(void);

/* Prints it, as one line. */
void mmu_batch_print_error(void);

/* What has been done since the start. */
struct mmu_batch_counters {
	uint64_t sections; /* done, with something queued */
	uint64_t ones;	   /* of them by mmu_batch_one(), done */
	uint64_t mmu_update, update_va_mapping, mmuext_op, multicall; /* calls */
	uint64_t entries;					      /* of tables */
	uint64_t ops;						      /* pins and base pointers */
	uint64_t invlpg, flushes;				      /* TLB work sent */
	uint64_t failed, undone, stuck;	 /* sections; entries and ops */
	uint64_t quarantined, recovered; /* frames */
	uint64_t most_entries, most_ops; /* in one section */
};

struct mmu_batch_counters mmu_batch_counters(void);

/* All hypercalls among them. */
uint64_t mmu_batch_calls(void);

/* Sync mode: each thing is sent when it is queued, so that the guilty one is found where it is made. */
void mmu_batch_set_sync(bool on);
bool mmu_batch_sync(void);

/*
 * Data frame @pfn is nobody's from now on, for it may be mapped still where an undo was refused: counted, and not given
 * again.
 */
void mmu_batch_quarantine(pfn_t pfn);

/*
 * Data frame @pfn, whom nothing executes any more, is writable in the direct map again, by a section of its own. Returns
 * whether it is: one that Xen refuses is FRAME_STUCK, and mmu_batch_retry_quarantine() tries again. => no section is open
 */
bool mmu_batch_widen(pfn_t pfn);

/*
 * Tries once more to make plain memory of each frame in quarantine. Returns how many are left; those
 * recovered are free again. => no section is open
 */
uint64_t mmu_batch_retry_quarantine(void);

#endif
