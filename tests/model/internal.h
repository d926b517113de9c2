/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the model.
 *
 *   frame.c     references and types: get, put, promotion, demotion         get_page, _get_page_type
 *   entry.c     what one entry of each level may be, and gets and puts      get_page_from_l1e ..., mod_l1_entry ...
 *   update.c    mmu_update, update_va_mapping                               do_mmu_update, do_update_va_mapping
 *   ext.c       mmuext_op                                                   do_mmuext_op
 *   memory.c    memory_op                                                   do_memory_op, common/memory.c
 *   segment.c   set_gdt, update_descriptor, LDT                             pv/descriptor-tables.c
 *   call.c      the dispatcher, multicall, vm_assist                        pv/hypercall.c, common/multicall.c
 *   check.c     the invariants
 */
#ifndef PINION_TESTS_MODEL_INTERNAL_H
#define PINION_TESTS_MODEL_INTERNAL_H

#include <pinion/arch/pte.h>
#include "model.h"

/* frame.c. @mfn may be any number. */

/* The frame, or NULL where there is none (mfn_valid()). */
struct model_frame *model_frame(struct model *m, mfn_t mfn);
mfn_t model_frame_mfn(const struct model *m, const struct model_frame *frame);

/* One more reference to a frame of the guest's (get_page_from_mfn(mfn, d)); false if it is not the guest's or not allocated. */
__must_check bool model_get_page(struct model *m, mfn_t mfn);
/* One less; at 0 the frame goes back to the heap (free_domheap_page()). */
void model_put_page(struct model *m, mfn_t mfn);

/*
 * One more use as @type (_get_page_type()). -EINVAL if it is in use as another or its entries are not valid; what get_page_and_type_from_mfn()
 * makes of that is the caller's.
 */
__must_check int model_get_type(struct model *m, mfn_t mfn, enum model_type type);
void model_put_type(struct model *m, mfn_t mfn);

/* Both, undone together (get_page_and_type_from_mfn(), put_page_and_type()). */
__must_check int model_get_page_and_type(struct model *m, mfn_t mfn, enum model_type type);
void model_put_page_and_type(struct model *m, mfn_t mfn);

/* entry.c */

/* Validates the 512 entries of a table, as promotion does (promote_l1_table() ...), and puts them back (demote_...). */
__must_check int model_promote(struct model *m, mfn_t table, unsigned int level);
void model_demote(struct model *m, mfn_t table, unsigned int level);

/*
 * One entry of a live table changes (mod_l1_entry() .. mod_l4_entry()). @pt_owner_other: frames come from DOMID_IO or another domain, as
 * mmu_update's foreigndom says. @preserve_ad: MMU_PT_UPDATE_PRESERVE_AD.
 */
__must_check int model_mod_entry(struct model *m, mfn_t table, unsigned int index,
				 unsigned int level, uint64_t value, domid_t foreigndom,
				 bool preserve_ad);

/* The calls; each is Xen's hypercall of that name with its registers. */
long model_mmu_update(struct model *m, const uint64_t *args);
long model_update_va_mapping(struct model *m, const uint64_t *args);
long model_update_va_mapping_otherdomain(struct model *m, const uint64_t *args);
long model_mmuext_op(struct model *m, const uint64_t *args);
long model_memory_op(struct model *m, const uint64_t *args);
long model_set_gdt(struct model *m, const uint64_t *args);
long model_update_descriptor(struct model *m, const uint64_t *args);
long model_multicall(struct model *m, const uint64_t *args);
long model_vm_assist(struct model *m, const uint64_t *args);

/* segment.c: SET_LDT of mmuext_op, and dropping shadow LDT frames (invalidate_shadow_ldt()). */
__must_check int model_set_ldt(struct model *m, uint64_t base, unsigned int ents);
bool model_drop_ldt(struct model *m);

/* A frame of the heap for the guest, or INVALID_MFN (alloc_domheap_page()); contents undefined. */
mfn_t model_alloc(struct model *m);

/* Whether @va .. @va + @n is no address of Xen's own or non-canonical (access_ok(), __addr_ok()). */
bool model_va_ok(const struct model *m, uint64_t va, uint64_t n);

#endif
