/* SPDX-License-Identifier: MIT */
/*
 * Which errors a hypercall can give: one table, for fault injection, which gives each of them where a test
 * wants one. (The model's own answers are not held against it.)
 *
 * Two kinds: what a call that is right in itself may be answered, because of what frames, entries or Xen's own memory
 * are at that moment; and what only a wrong argument brings (a bad pointer, an unknown command, another domain's
 * name). A kernel must live with the first kind at any of its calls.
 */
#ifndef PINION_TESTS_MODEL_ERRNOS_H
#define PINION_TESTS_MODEL_ERRNOS_H

#include <stdint.h>

#define MODEL_ERRNOS 6 /* of one kind, at most; the rest of an array is 0 */

/* A command that stands for all of a call's that have no row of their own. */
#define MODEL_ANY_COMMAND UINT32_MAX

struct model_errnos {
	uint32_t call;	  /* __HYPERVISOR_* */
	uint32_t command; /* mmu_update's, mmuext_op's, memory_op's, or MODEL_ANY_COMMAND */
	int state[MODEL_ERRNOS], args[MODEL_ERRNOS]; /* positive */
	const char *source;			     /* Xen's function */
};

/*
 * The row of @call and @command: of mmu_update the low 3 bits of ptr, of the others the number. NULL for a call that
 * the model does not know.
 */
const struct model_errnos *model_errnos(uint32_t call, uint32_t command);

#endif
