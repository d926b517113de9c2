/* SPDX-License-Identifier: MIT */
/*
 * Errors put where a test wants them: the n-th allocation has no memory, the n-th request to Xen is refused, an undo
 * is refused too.
 *
 * A *story* is one operation of mm/'s on a stage that is set for it. It is played once as it is, which shows how many
 * allocations and requests it makes, and then from the same snapshot once for each of them and each error that the
 * table of the model's has for it (tests/model/errnos.h):
 *
 *     allocation or request fails    the error comes back, all is as before, and tried again it succeeds
 *     ...and all after it fail       the same: what is taken back needs none of them
 *     update_va_mapping: -EFAULT     Xen gives it after the change: the operation succeeds, or takes it back
 *     an undo fails, once            the same: it is tried again
 *     an undo fails for good         -EIO; what hangs on it is in quarantine, and no frame is lost
 *
 * Undos are refused after the first request, the middle one and the last; of the undos the first, the middle one and the
 * last; alone and with all after them. What is an undo is not guessed: the batch says so (`undoing` in
 * mm/mmu_batch_internal.h, where a section takes itself back; `insists`, where sections take back earlier ones).
 */
#ifndef TESTS_HOST_FAULT_H
#define TESTS_HOST_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/mmu_map.h>
#include "guest.h"

#define STAGE_PFNS 64
#define STAGE_MAPS 4

/* A pfn where the P2M has nothing, the first of a middle page of its own. */
#define STAGE_PFN (UINT64_C(5) << 18)

/* Where stories map. */
#define STAGE_VA     UINT64_C(0x123440000000)
#define STAGE_VA_END (STAGE_VA + (UINT64_C(4) << 30))

/* What a story keeps: memory of the guest's, so that a snapshot has it too. */
struct stage {
	struct aspace as;
	pfn_t block[2]; /* of 2 MiB each, where the story asks for them */
	pfn_t pfn[STAGE_PFNS];
	void *va[4];
	uint64_t map[STAGE_MAPS][MMU_MAP_T_WORDS];
};

struct story {
	const char *name;
	void (*set)(struct stage *s);	 /* what is there before */
	int (*play)(struct stage *s);	 /* the operation */
	void (*strike)(struct stage *s); /* ends all; it must succeed, whatever play() came to */
	bool kernels; /* it changes the kernel's own tables: an undo that is refused may panic, or break the arena */
	bool stays; /* a failure may leave other tables than before, which map the same: what was split stays */
};

/*
 * A cmocka test of a story, in an array of struct CMUnitTest. A program's group has fault_group_open() and
 * fault_group_close() as its set-up and teardown: a domU (or dom0), booted once.
 */
#define STORY(story)                                                   \
	{                                                              \
		(story)->name, story_test, NULL, NULL, (void *)(story) \
	}
void story_test(void **state);
int fault_group_open(void **state);
int fault_group_open_dom0(void **state);
int fault_group_close(void **state);

/*
 * In a story: ranges of @nr pages from page @at of STAGE_VA on, in the stage's address space; of its first block, from the
 * frame @from in it on. As the operations themselves return.
 */
int stage_map(struct stage *s, uint64_t at, uint64_t nr, unsigned int from,
	      enum aspace_rights rights);
int stage_unmap(struct stage *s, uint64_t at, uint64_t nr);
int stage_protect(struct stage *s, uint64_t at, uint64_t nr, enum aspace_rights rights);

/* Destroys the stage's address space; then its ->l4 is INVALID_PFN, so that strike() can tell. */
int stage_destroy(struct stage *s);

/* In a story: what must not fail. */
#define MUST(expr)                                                    \
	do {                                                          \
		int must_ = (expr);                                   \
		if (must_)                                            \
			fault_must(__FILE__, __LINE__, #expr, must_); \
	} while (0)
void fault_must(const char *file, int line, const char *what, int rc);

#define FAULT_CALLS 4096

struct fault_call {
	uint32_t call, command;
	bool first; /* of a call to Xen */
};

/* Where the next error goes, and what was counted. */
struct fault {
	int alloc;		/* the n-th allocation, from 0; -1: none */
	int call;		/* the n-th request that is no undo */
	int error;		/* its error, negative */
	bool for_good;		/* and all after it too, with the same error */
	bool alloc_for_good;	/* the same of allocations */
	int undos;		/* how many requests that undo are refused, from the first */
	unsigned int undo_skip; /* ...after so many */

	unsigned int nr_allocs, nr_calls, nr_undos;
	struct fault_call calls[FAULT_CALLS]; /* what they were */
};

/* From now on, with everything counted from 0; NULL: nothing is put in nor counted. */
void fault_arm(struct fault *fault);

#endif
