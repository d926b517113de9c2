/* SPDX-License-Identifier: MIT */
/*
 * Which errors a hypercall can give: one table, for the model and for whoever puts errors in.
 *
 *   model ---- each answer ----> model_answer() ---- not in the table ----> a broken invariant
 *                                     |
 *                                     +---- in it, and counted ----> model_errnos_given() ---> an entry that no
 *   fault injection <---- model_errnos()                                 test has ever seen is none of Xen's
 *
 * Two kinds: what a call that is right in itself may be answered, because of what frames, entries or Xen's own memory
 * are at that moment; and what only a wrong argument brings (a bad pointer, an unknown command, another domain's
 * name). A kernel must live with the first kind at any of its calls.
 *
 * What Xen can give and the model never does, because it is of what the model leaves out (docs/model.md), says so, with the function
 * of Xen's that it comes from.
 */
#ifndef PINION_TESTS_MODEL_ERRNOS_H
#define PINION_TESTS_MODEL_ERRNOS_H

#include <stdint.h>

#define MODEL_ERRNOS 6 /* of one kind, at most; the rest of an array is 0 */

/* A command that stands for all of a call's that have no row of their own. */
#define MODEL_ANY_COMMAND UINT32_MAX
/* None: the call's own errors, of mmu_update and mmuext_op, before or between what is asked for. */
#define MODEL_THE_CALL	  (UINT32_MAX - 1)

struct model_errnos {
	uint32_t call; /* __HYPERVISOR_* */
	uint32_t
		command; /* mmu_update's, mmuext_op's, memory_op's, MODEL_THE_CALL, or MODEL_ANY_COMMAND */
	int state[MODEL_ERRNOS], args[MODEL_ERRNOS]; /* positive */
	const char *source;			     /* Xen's function */
	int unplayed;		     /* of these, what the model never gives, or 0 */
	const char *unplayed_source; /* where it comes from in Xen */
};

/*
 * The row of @call and @command: of mmu_update the low 3 bits of ptr, of the others the number. NULL for a call that
 * the model does not know.
 */
const struct model_errnos *model_errnos(uint32_t call, uint32_t command);

/* Each error of the table, and how often the model has given it since the program started. */
void model_errnos_given(void (*say)(const struct model_errnos *row, int error,
				    unsigned long times));

#endif
