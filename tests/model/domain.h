/* SPDX-License-Identifier: MIT */
/*
 * A guest's start of day on the model: the two builders that a PV guest can meet.
 *
 *   virt_base                                                                              4 MiB up, 512 KiB spare
 *   | below the image | image | [module] | mfn_list | start_info | {store | console} | tables | stack | spare |
 *   pfn 0                                                                                          region_pages
 *
 *                    dom0 (Xen's dom0_construct_pv())           domU (libxenguest, as xl uses it)
 *   tables           L4, L1, L2, L3, L1 ...: as first needed    L4, the L3s, the L2s, the L1s
 *   leaves           P RW A U, bit 52                           P RW A
 *   rings            none; the union has video's offsets        store and console
 *   mfn_list's tail  whatever was there                         0
 *
 * The whole region is mapped, page for page, read-write but for the tables; frames beyond it are the guest's but have
 * no mapping. Which builder it is says the model's profile.
 *
 * Source: Xen's arch/x86/pv/dom0_build.c; tools/libs/guest/xg_dom_core.c and xg_dom_x86.c.
 */
#ifndef PINION_TESTS_MODEL_DOMAIN_H
#define PINION_TESTS_MODEL_DOMAIN_H

#include "elf.h"
#include "model.h"

/* What the embedder wants built. */
struct domain_config {
	const struct image *image;
	const char *cmd_line; /* NULL: none; cut at MAX_GUEST_CMDLINE, as Xen cuts it */
	const void *module;   /* NULL: none */
	uint64_t module_size;
	/*
	 * The guest's frames: pfn i is frame mfn_list[i]. => each is nobody's in the model, none is 0, none is there twice
	 */
	const uint64_t *mfn_list;
	uint64_t nr_pages;
	uint64_t max_pages; /* that it may ever have; 0: dom0 any number, a domU nr_pages */
	mfn_t shared_info;  /* a frame of nobody's, which becomes Xen's and shared */
	uint32_t store_evtchn, console_evtchn; /* ports of a domU; 0: none */
};

/* What was built: how to enter the guest, and where things are. VAs are the guest's. */
struct domain {
	uint64_t entry;	     /* rip */
	uint64_t start_info; /* rsi */
	uint64_t stack_top;  /* rsp */
	mfn_t l4;	     /* cr3; the model has it loaded */

	uint64_t virt_base, region_pages;
	uint64_t image_start, image_end;
	uint64_t module; /* VA, or the pfn if image->module_unmapped; 0: none */
	uint64_t mfn_list;
	uint64_t tables, nr_tables;
	uint64_t store, console; /* of a domU, else 0 */
	mfn_t shared_info;
};

/*
 * Gives the frames of @config to the guest of @m, lays its start of day out in them, and starts it (model_start()): the
 * L4 is pinned and loaded. Frames of which nothing is said above keep what they hold.
 *
 * Returns 0. -EINVAL if the image does not fit this builder, -ENOMEM if nr_pages are too few, both with one sentence in
 * @why (@n bytes) and @m as it was; any error of model_start()'s, with frames given.
 * => model_init() was called, and m->xen_l4e filled in
 */
__must_check int domain_build(struct model *m, const struct domain_config *config,
			      struct domain *domain, char *why, size_t n);

#endif
