/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the model.
 *
 *   frame.c     frames and references; flushes                              get_page, put_page
 *   type.c      types                                                       _get_page_type, _put_page_type
 *   entry.c     what one entry of each level may be, and gets and puts      get_page_from_l1e ...
 *   table.c     promotion, demotion, one entry of a live table              promote_l1_table ..., mod_l1_entry ...
 *   update.c    mmu_update, update_va_mapping                               do_mmu_update, do_update_va_mapping
 *   ext.c       mmuext_op                                                   do_mmuext_op
 *   memory.c    memory_op; memory_exchange.c its exchange                    do_memory_op, common/memory.c
 *   segment.c   set_gdt, update_descriptor, LDT                             pv/descriptor-tables.c
 *   call.c      the dispatcher, multicall, vm_assist                        pv/hypercall.c, common/multicall.c
 *   errnos.c    which errors each call can give
 *   check.c     the invariants; check_tables.c the tables' part of them
 */
#ifndef PINION_TESTS_MODEL_INTERNAL_H
#define PINION_TESTS_MODEL_INTERNAL_H

#include <pinion/arch/pte.h>
#include "model.h"

/* What a call ends with, to nobody's ears, once the guest has been crashed. */
#define MODEL_CRASHED (-1000)

/* What vm_assist may set (PV64_VM_ASSIST_MASK): all but m2p_strict are old, and most do nothing. */
#define MODEL_VM_ASSISTS (UINT64_C(0x3f) | UINT64_C(1) << VMASST_TYPE_m2p_strict)

/* In the count of mmu_update and mmuext_op: the call has begun anew (MMU_UPDATE_PREEMPTED). */
#define MODEL_PREEMPTED (UINT32_C(1) << 31)

/*
 * frame.c and type.c. @mfn may be any number where a function can fail; else it is a frame.
 *
 * A table that fails to be promoted part-way is not undone on the spot: it becomes m->old_table, which keeps the reference that
 * the caller took, and model_finish() undoes it when the call has done the rest. So who drops a reference after a failed
 * model_get_type() first asks whether m->old_table is that frame, as Xen's do_mmuext_op() does.
 */

/* The frame, or NULL where there is none (mfn_valid()). */
struct model_frame *model_frame(struct model *m, mfn_t mfn);

/* One more reference to a frame of @owner's, the guest's (get_page_from_mfn()); false if it is not that, or not in use. */
__must_check bool model_get_page_of(struct model *m, mfn_t mfn, enum model_owner owner);
__must_check bool model_get_page(struct model *m, mfn_t mfn);
/* One less; at 0 the frame goes back to the heap (put_page(), free_domheap_page()). */
void model_put_page(struct model *m, mfn_t mfn);

/*
 * One more use as @type (_get_page_type()) of a frame that the caller has a reference to. -EINVAL if it is in use as another;
 * else, if it has to be promoted first, the error of its first bad entry.
 */
__must_check int model_get_type(struct model *m, mfn_t mfn, enum model_type type);
/* One less (put_page_type()). */
void model_put_type(struct model *m, mfn_t mfn);

/* Both, undone together (get_page_and_type_from_mfn(), put_page_and_type()). */
__must_check int model_get_page_and_type(struct model *m, mfn_t mfn, enum model_type type);
void model_put_page_and_type(struct model *m, mfn_t mfn);

/* The use by an entry of the table @parent, or by a half-done promotion if @partial (_put_page_type()). */
void model_put_type_of(struct model *m, mfn_t mfn, bool partial, mfn_t parent);

/* What the call has left in m->old_table is undone (put_old_guest_table()); nothing if there is none. */
void model_finish(struct model *m);

/* All of the guest's translations go, and of one page; and those of a frame with that stamp, if none did since (tlbflush_filter()). */
void model_flush(struct model *m);
void model_flush_va(struct model *m, uint64_t va);
void model_flush_stale(struct model *m, uint64_t stamp);

/* domain_crash(): @why is told to the embedder; the call under way ends, with MODEL_CRASHED. */
void model_crash(struct model *m, const char *why);

/* entry.c */

/* Whether slot @index of an L4 is the guest's (is_guest_l4_slot()). */
bool model_guest_slot(const struct model *m, unsigned int index);
/* Whether a CPU with L1TF could read what the absent @pte points to. */
bool model_l1tf_unsafe(const struct model *m, unsigned int level, uint64_t pte);
/* Whether @pte, not present, must not be stored: the guest has then been crashed (pv_l1tf_check_pte()). */
__must_check bool model_l1tf(struct model *m, unsigned int level, uint64_t pte);
/* The bits of @pte that an entry of @level must not have (L1_DISALLOW_MASK ..). */
uint64_t model_bad_bits(const struct model *m, unsigned int level, uint64_t pte);
/* What is stored for the present or absent @pte (adjust_guest_l1e() .. l4e). */
uint64_t model_adjust(unsigned int level, uint64_t pte);

/*
 * What a present L1 entry maps gets a reference, and the type writable if it says RW; frames are to be @pg_owner's (get_page_from_l1e()).
 * 0 or an error; *@flip: bits of the entry that must be flipped, for MMIO.
 */
__must_check int model_get_leaf(struct model *m, uint64_t pte, enum model_owner pg_owner,
				uint64_t *flip);
void model_put_leaf(struct model *m, uint64_t pte);

/*
 * What a present entry of @table, of @level 2 to 4, links gets a reference and its type, or becomes a linear use (get_page_from_l2e() ..).
 */
__must_check int model_get_link(struct model *m, unsigned int level, uint64_t pte, mfn_t table);
/* @partial: the entry is where a promotion failed. @defer: by model_finish(), when the call has done the rest. */
void model_put_link(struct model *m, uint64_t pte, mfn_t table, bool partial, bool defer);

/* table.c */

/* Validates the 512 entries of a table, as promotion does (promote_l1_table() ...), and puts them back (demote_...). */
__must_check int model_promote(struct model *m, mfn_t table, unsigned int level);
void model_demote(struct model *m, mfn_t table, unsigned int level);

/* What slot @slot of Xen's, from 0, holds in the L4 @table, unless the guest is not to see the M2P. */
uint64_t model_xen_entry(const struct model *m, mfn_t table, unsigned int slot);

/*
 * One entry of a live table of @level becomes @pte (mod_l1_entry() .. mod_l4_entry()). @pg_owner: whose frames an L1 entry may map.
 * @preserve_ad: MMU_PT_UPDATE_PRESERVE_AD.
 */
__must_check int model_mod_entry(struct model *m, mfn_t table, unsigned int index,
				 unsigned int level, uint64_t pte, enum model_owner pg_owner,
				 bool preserve_ad);

/* update.c */

/*
 * The domain that a foreigndom argument names (get_pg_owner()): *@owner; false where there is none, the guest's own number
 * included. What the guest may do to it is model_may_target()'s to say (xsm_default_action(XSM_TARGET)).
 */
__must_check bool model_pg_owner(const struct model *m, domid_t domid, enum model_owner *owner);
bool model_may_target(const struct model *m, enum model_owner owner);

/* vcpumask_to_pcpumask() of a guest with one vCPU: whether the bitmap at @va names it. 0 or -EFAULT. */
__must_check int model_read_vcpus(struct model *m, uint64_t va, bool *named);

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

/*
 * errnos.c: @rc is what @command of @call (errnos.h) is answered: it is returned, and held against the table of errors. A call
 * whose answer is none that it has passed here is held against the row of the call itself (call.c).
 */
long model_answer(struct model *m, uint32_t call, uint32_t command, long rc);

/* ext.c: the M2P is in the slot of an L4 that becomes the base, unless m2p_strict has said so before (fill_ro_mpt()). */
void model_fill_m2p(struct model *m, mfn_t l4);

/* segment.c: the promotion of a frame of descriptors (validate_segdesc_page()); 0 or -EINVAL. */
__must_check int model_promote_segdesc(struct model *m, mfn_t mfn);

/* segment.c: SET_LDT of mmuext_op, and dropping what is mapped of the LDT (pv_destroy_ldt()): whether that was anything. */
__must_check int model_set_ldt(struct model *m, uint64_t base, unsigned int ents);
bool model_drop_ldt(struct model *m);

/* memory.c. In a command of memory_op: how many extents earlier passes have done stands above this bit. */
#define MODEL_MEMOP_SHIFT 6
#define MODEL_MEMOP_MASK  ((1U << MODEL_MEMOP_SHIFT) - 1)

/* The largest extents that the guest may ask for (max_order()). */
unsigned int model_max_order(const struct model *m);
/* The domain of that number, the guest's own included (rcu_lock_domain_by_any_id()); false where there is none. */
__must_check bool model_any_domain(const struct model *m, domid_t domid, enum model_owner *owner);
/* Whether the node in @flags may be asked for (propagate_node()). *@elsewhere: it must be one that this machine has not. */
__must_check bool model_node_ok(const struct model *m, uint32_t flags, bool *elsewhere);
/* Frames have to be below this by the address bits in @flags; 0: by too few of them. */
uint64_t model_mfn_limit(const struct model *m, uint32_t flags);
/* The first free extent from frame @from, a multiple of its size, to below @limit, or INVALID_MFN. */
mfn_t model_find_extent(const struct model *m, unsigned int order, uint64_t limit, uint64_t from);
/* A free extent, its M2P entries ~0, becomes the guest's: not the one given back last. INVALID_MFN if there is none. */
mfn_t model_take_extent(struct model *m, unsigned int order, uint64_t limit);
/* memory_exchange.c */
long model_memory_exchange(struct model *m, uint64_t va);

/* A frame of the heap for the guest, or INVALID_MFN (alloc_domheap_page()); contents undefined. */
mfn_t model_alloc(struct model *m);

/* Whether @va is the guest's: neither Xen's nor non-canonical (__addr_ok(); access_ok() looks at the first byte alone, too). */
bool model_va_ok(const struct model *m, uint64_t va);

#endif
