/* SPDX-License-Identifier: MIT */
/*
 * An ELF image for a PV guest: what a domain builder must know of it, read from bytes that nobody vouches for.
 *
 *   program headers   what is loaded where:  va = p_paddr + VIRT_BASE - PADDR_OFFSET
 *   notes "Xen"       where the guest wants to live (VIRT_BASE), where it begins (ENTRY), and whether it is one at all
 *                     (XEN_VERSION, LOADER or GUEST_OS)
 *
 * The rules are Xen's (common/libelf: libelf-loader.c, libelf-dominfo.c), which both of its builders use. One thing is
 * stricter: what does not fit into the file or wraps round is refused, where Xen ignores or clips it. And INIT_P2M is
 * ignored, as by any builder that has the mfn_list in one place only: start_info says where it is.
 */
#ifndef PINION_TESTS_MODEL_ELF_H
#define PINION_TESTS_MODEL_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pinion/lib/compiler.h>

#define IMAGE_SEGMENTS 16U /* more in one image are refused */

/* @size bytes that come from the image, and zeros up to @mem_size. */
struct image_segment {
	uint64_t va;
	const void *bytes;
	uint64_t size, mem_size;
};

/*
 * An image as the domain builder (domain.h) takes it. An embedder whose guest is no ELF file fills it in by itself.
 */
struct image {
	uint64_t virt_base;  /* the VA of pfn 0 */
	uint64_t start, end; /* of all segments, gaps included; start >= virt_base */
	uint64_t entry;
	struct image_segment segment[IMAGE_SEGMENTS];
	unsigned int nr_segments;
	uint64_t hypercall_page; /* VA of a page that the builder fills in; 0: none */
	bool no_dom0;		 /* SUPPORTED_FEATURES is there, and without XENFEAT_dom0 */
	bool pae_note;		 /* PAE_MODE: Xen's dom0 builder appends `p` to the magic */
	bool module_unmapped;	 /* MOD_START_PFN: the module stays out of the boot region */
};

/*
 * Reads the ELF image of @size bytes at @bytes, which must live as long as @image: its segments point into it.
 *
 * Returns 0; -EINVAL with one sentence in @why (@n bytes) if Xen would not build a 64-bit PV guest from it, and @image
 * undefined.
 */
__must_check int image_from_elf(struct image *image, const void *bytes, uint64_t size, char *why,
				size_t n);

#endif
