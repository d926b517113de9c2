/* SPDX-License-Identifier: MIT */
/*
 * A small machine for tests of the model itself: 256 frames in an array, one guest, and nothing that translates. What a
 * hypercall reads or writes by address is a buffer of its own at KIT_VA; every flush is counted.
 *
 *   mfn   0 .. 15   dom_io's, as the first MiB of a PC
 *        16 .. 23   Xen's
 *        24 .. 31   another domain's
 *        32 .. 255  the heap, of which kit_page() takes
 */
#ifndef TESTS_HOST_MODEL_KIT_H
#define TESTS_HOST_MODEL_KIT_H

#include "host.h"
#include "../model/internal.h"

#define KIT_FRAMES 256
#define KIT_IO	   _mfn(5)
#define KIT_XEN	   _mfn(17)
#define KIT_OTHER  _mfn(25)
#define KIT_HEAP   32
#define KIT_SHARED _mfn(255)

#define KIT_VA	  UINT64_C(0x10000)
#define KIT_BYTES 4096

/* Bits that Xen adds, for comparisons. */
#define LINK	(PTE_P | PTE_RW | PTE_US)
#define LINK_RO (PTE_P | PTE_US)
#define LEAF	(PTE_P | PTE_RW | PTE_US)
#define LEAF_RO (PTE_P | PTE_US)

struct kit {
	struct model m;
	struct model_frame frame[KIT_FRAMES];
	uint64_t m2p[KIT_FRAMES];
	uint64_t page[KIT_FRAMES][TABLE_ENTRIES];
	uint8_t mem[KIT_BYTES]; /* at KIT_VA */
	size_t writable;	/* so many bytes of it, from the first on; kit_bare(): all */
	unsigned int flushes, flushes_va, loads, crashes;
	uint64_t flushed_va;
	unsigned int descriptors, others,
		other_nr; /* load_descriptors(); other(), and of which number */
	uint64_t next;
	/* The tables of the start of day: slot 0 of each links the next, L1 slot 0 maps `data` writable. */
	mfn_t l4, l3, l2, l1, data;
};

/* The profiles that most tests are about. */
extern const struct model_profile kit_dom0, kit_domu;

/* A machine with its frames given out, no guest pages; and one with a guest that runs on l4. kit_free() takes either. */
struct kit *kit_bare(const struct model_profile *profile);
struct kit *kit_new(const struct model_profile *profile);
void kit_free(struct kit *kit);

/* One more page of the guest's, zeroed: its only reference is the owner's. */
mfn_t kit_page(struct kit *kit);

struct model_frame *kit_frame(struct kit *kit, mfn_t mfn);
uint64_t *kit_pte(struct kit *kit, mfn_t table, unsigned int index);
/* Writes an entry into a page that is no table yet. */
void kit_set(struct kit *kit, mfn_t table, unsigned int index, mfn_t target, uint64_t flags);

/* mmu_update of one entry, all arguments usual. */
long kit_update(struct kit *kit, mfn_t table, unsigned int index, uint64_t pte);
/* mmu_update of the @n requests at KIT_VA; *done is what pdone has then, UINT32_MAX if it was not written. */
long kit_updates(struct kit *kit, unsigned int n, uint32_t foreigndom, uint32_t *done);
void kit_request(struct kit *kit, unsigned int i, uint64_t ptr, uint64_t val);
uint64_t kit_ptr(mfn_t table, unsigned int index);

/* A hypercall by its number, through the door. */
long kit_call(struct kit *kit, unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3);
/* Puts @n bytes into the buffer at offset @at; returns their address. */
uint64_t kit_put(struct kit *kit, size_t at, const void *src, size_t n);
/* mmuext_op of one operation; its count is checked to be that of the result. */
long kit_ext(struct kit *kit, unsigned int cmd, uint64_t arg1, uint64_t arg2);

/* All invariants hold. */
void kit_check(struct kit *kit);

/* As mmuext_op's pin and unpin do it. */
int kit_pin(struct kit *kit, mfn_t table, enum model_type level);
void kit_unpin(struct kit *kit, mfn_t table);

/* Checks a frame's counts: all references, type, uses as that. */
#define EXPECT_FRAME(kit, mfn, refs, want_type, uses)                   \
	do {                                                            \
		const struct model_frame *frame_ = kit_frame(kit, mfn); \
		assert_int_equal(frame_->count, refs);                  \
		assert_int_equal(frame_->type, want_type);              \
		assert_int_equal(frame_->type_count, uses);             \
		assert_int_equal(frame_->partial, false);               \
	} while (0)

#endif
