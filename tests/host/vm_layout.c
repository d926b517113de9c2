/* SPDX-License-Identifier: MIT */
/*
 * Whose which frame of the machine is.
 *
 *   0                    0x100          RAM_FIRST                                          nr_frames
 *   | no RAM             | Xen's        | the guest's, nobody's, another's, shuffled | M2P | ones | Xen's tables |
 *
 * The M2P is mapped as Xen maps it, read-only for the guest from XEN_VA_BASE on, in a piece of 2 MiB: behind
 * its end, entries that read ~0 (the frame `ones`, many times). Slot 2 of Xen's is the linear map of each
 * table, which the model fills in, without U.
 */
#include <string.h>
#include <pinion/lib/rand.h>
#include "vm.h"

#define FOREIGN	   8 /* frames of another domain's, on a machine that has one */
#define M2P_PIECES 4 /* of 2 MiB, for 1 GiB of machine memory each */
#define XEN_TABLES (2 + M2P_PIECES + 3)
#define XEN_TEXT   (XEN_VA_BASE + UINT64_C(0x2d040200000)) /* a page of it is there, without U */

static uint64_t pool_frames(void)
{
	return vm->config.nr_pages + vm->config.spare + (vm->config.dom0 ? 0 : FOREIGN) + 1;
}

void layout_count(void)
{
	uint64_t most = RAM_FIRST + pool_frames();

	/* The M2P has entries for its own frames too. */
	vm->m2p_first = most;
	vm->m2p_pages = frames_up((most + frames_up(most * 8) + 1 + 1 + XEN_TABLES) * 8);
	vm->nr_frames = most + vm->m2p_pages + 1 + XEN_TABLES;
}

static void shuffle(uint64_t *mfn, uint64_t nr)
{
	struct rng rng;

	rng_seed(&rng, vm->config.seed);
	for (uint64_t i = nr; i > 1; i--) {
		uint64_t j = rng_below(&rng, i), swap = mfn[i - 1];

		mfn[i - 1] = mfn[j];
		mfn[j] = swap;
	}
	/* None at its own number. */
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t j = i + 1 < nr ? i + 1 : 0, swap = mfn[i];

		if (mfn[i] != i)
			continue;
		mfn[i] = mfn[j];
		mfn[j] = swap;
	}
}

static void give(uint64_t first, uint64_t end, enum model_owner owner)
{
	for (; first < end; first++)
		model_give(&vm->model, _mfn(first), owner, UINT64_MAX);
}

void layout_give(void)
{
	uint64_t nr = pool_frames(), i, *mfn = vm->mfn_list;

	give(0, IO_FIRST, MODEL_IO);
	give(IO_FIRST, IO_END, MODEL_IO);
	give(IO_END, RAM_FIRST, MODEL_XEN);
	give(vm->m2p_first, vm->nr_frames, MODEL_XEN);
	for (i = 0; i < nr; i++)
		mfn[i] = RAM_FIRST + i;
	shuffle(mfn, nr);
	if (vm->config.dom0)
		return;
	for (i = nr - FOREIGN; i < nr; i++) {
		give(mfn[i], mfn[i] + 1, MODEL_OTHER);
		vm->model.m2p[mfn[i]] = i;
	}
}

static uint64_t *frame(uint64_t mfn)
{
	return (uint64_t *)(vm->mem + mfn * PAGE_SIZE);
}

static void map_xen_text(uint64_t tables, uint64_t page)
{
	uint64_t flags = PTE_P | PTE_A;

	vm->model.xen_l4e[va_index(XEN_TEXT, 4) - SLOT_XEN_FIRST] = pte_make(_mfn(tables), flags);
	frame(tables)[va_index(XEN_TEXT, 3)] = pte_make(_mfn(tables + 1), flags);
	frame(tables + 1)[va_index(XEN_TEXT, 2)] = pte_make(_mfn(tables + 2), flags);
	frame(tables + 2)[va_index(XEN_TEXT, 1)] = pte_make(_mfn(page), flags);
}

void layout_xen_tables(void)
{
	uint64_t ones = vm->m2p_first + vm->m2p_pages, l3 = ones + 1, l2 = l3 + 1, l1 = l2 + 1, i;
	uint64_t upper = PTE_P | PTE_RW | PTE_US | PTE_A;

	memset(frame(ones), 0xff, PAGE_SIZE);
	frame(l3)[0] = pte_make(_mfn(l2), upper);
	for (i = 0; i < M2P_PIECES; i++)
		frame(l2)[i] = pte_make(_mfn(l1 + i), upper);
	/* Tables one behind the other are one array. */
	for (i = 0; i < M2P_PIECES * TABLE_ENTRIES; i++)
		frame(l1)[i] = pte_make(_mfn(i < vm->m2p_pages ? vm->m2p_first + i : ones),
					PTE_P | PTE_US | PTE_A | PTE_D | PTE_NX);
	vm->model.xen_l4e[0] = pte_make(_mfn(l3), upper | PTE_D);
	map_xen_text(l1 + M2P_PIECES, ones);
}
