/* SPDX-License-Identifier: MIT */
/*
 * Xen's rules for the memory of an x86-64 PV guest, as a library: one machine with one guest.
 *
 * Xen lets a guest write its own page tables, and checks each entry. The whole of the safety rests on one rule for each
 * machine frame: it has one *type* at a time (none, L1 to L4, segment descriptors, writable), and a count of
 * what uses it as that. A table can't be written because a frame that is typed as a table can't get the type `writable` before its
 * count is back at 0. Beside it stands a count of all references, whatever their kind; a frame is free when that is 0.
 *
 *     guest:  mmu_update(L2 entry := frame 7)
 *                 |
 *     model:  get_page(7), get_type(7, L1)     7 has no type yet: *promotion*, each of its 512
 *                 |                            entries is validated, which gets the page and the
 *                 |                            type of what it maps, and so on down
 *             store the entry as Xen stores it; put what the old entry had
 *
 * What embeds the model (tests/host, tests/smoke) gives it the frames and does what only a machine can do: `struct
 * model_ops`. The model knows no guest: all comes in through model_hypercall(), by numbers, as in Xen.
 *
 * Each rule names the function of Xen's that it comes from; where no file is named it is in xen/arch/x86/mm.c.
 * Preemption is not played: a hypercall runs to its end. What else is left out is told in docs/model.md.
 *
 * It is freestanding: lib/ is all it uses besides Xen's public headers.
 */
#ifndef PINION_TESTS_MODEL_H
#define PINION_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <pinion/lib/compiler.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/frames.h>

/* Whose a frame is (page_get_owner() and what stands for no page at all). */
enum model_owner {
	MODEL_NOBODY, /* on the free heap */
	MODEL_GUEST,  /* the domain under test */
	MODEL_OTHER,  /* another domain's */
	MODEL_XEN,    /* Xen's own, or the heap's own use */
	MODEL_IO,     /* no RAM: mfn_valid(), but dom_io's */
};

/* PGT_* of xen/arch/x86/include/asm/mm.h. L1 to L4 are their levels' numbers. */
enum model_type {
	MODEL_NONE,
	MODEL_L1,
	MODEL_L2,
	MODEL_L3,
	MODEL_L4,
	MODEL_SEGDESC,
	MODEL_WRITABLE,
};

/* struct page_info: what Xen knows of a machine frame. */
struct model_frame {
	uint32_t count;	     /* PGC_count_mask: all references */
	uint32_t type_count; /* PGT_count_mask: those that use it as `type` */
	uint8_t owner;	     /* enum model_owner */
	uint8_t type;	     /* enum model_type; stays when type_count is 0, as in Xen */
	bool allocated;	     /* PGC_allocated: the owner's own reference, one of `count` */
	bool pinned;	     /* PGT_pinned: one of `count` and of `type_count` */
	bool validated;	     /* PGT_validated */
	bool partial;	     /* PGT_partial */
	uint16_t
		nr_validated; /* nr_validated_ptes: entries got so far, of a partly validated table */
	bool partial_flags; /* PTF_partial_set: entry nr_validated has its reference, its table is half done too */
	bool xen_heap; /* PGC_xen_heap: shared with the guest, never freed (shared_info) */
	bool stolen;   /* by an exchange under way (steal_page()); false between calls */
	bool quiet; /* nobody's, and freed by an exchange: given anew without a flush (need_tlbflush) */
	/* linear_pt_count: entries in it that map a table of its own level, or (negative) tables of its level that map it. */
	int16_t linear_pt_count;
	uint64_t
		stamp; /* tlbflush_timestamp: model.flush_clock when its type count last fell to 0 or it was freed */
	/* References that a failed promotion has forgotten, and nobody will drop: Xen's known leak (type.c). */
	uint32_t leaked;
	/* Xen may have forgotten one if it was preempted in such a promotion, which is not played (table.c). */
	bool may_leak;
	/* model_check()'s own: what it has found that refers to the frame, uses it as its type, and of linear entries. */
	uint32_t seen, seen_uses;
	int32_t seen_linear;
};

struct model;

/*
 * What the model asks of what embeds it. A VA is the guest's; the copies check it as Xen does (an address of Xen's own or not mapped
 * with the rights needed: -EFAULT), and copy nothing or a part.
 */
struct model_ops {
	/* The 4096 bytes of a frame of the machine, to be read and written whatever the guest's tables say. */
	void *(*page)(struct model *m, mfn_t mfn);
	/* 0 or -EFAULT. */
	__must_check int (*copy_from)(struct model *m, void *dst, uint64_t va, size_t n);
	__must_check int (*copy_to)(struct model *m, uint64_t va, const void *src, size_t n);
	/* The guest's translations go: all of them, or those of @va's page. Called only where Xen flushes. */
	void (*flush_all)(struct model *m);
	void (*flush_va)(struct model *m, uint64_t va);
	/* m->l4 is to be the CPU's base, changed or not; a flush of all follows. m->user_l4 counts at the next change of mode. */
	void (*load_base)(struct model *m);
	/* m->gdt_* or m->ldt_* have changed, but for frames of the LDT that a new base pointer drops. May be NULL. */
	void (*load_descriptors)(struct model *m);
	/*
	 * A hypercall that is not about memory, or a command of memory_op that the model does not know; -ENOSYS for what the embedder
	 * does not know either.
	 */
	long (*other)(struct model *m, unsigned int nr, const uint64_t *args);
	/* The guest must die, as Xen's domain_crash() has it; @why says what it did. Does not return into the guest. */
	void (*crash)(struct model *m, const char *why);
};

/* What kind of guest, on what kind of machine. */
struct model_profile {
	bool dom0; /* is_hardware_domain, and has I/O memory: cacheability bits and MMIO are allowed */
	bool l1tf; /* opt_pv_l1tf for this domain: a non-present entry with an address crashes it */
	bool debug;	    /* a debug build's rules: bit 62 is refused */
	bool linear_pt;	    /* CONFIG_PV_LINEAR_PT and pv-linear-pt */
	uint8_t maddr_bits; /* of the CPU: an MFN beyond is -EINVAL or -EPERM, by the call */
	/* L4 slots that are Xen's, 256 to 271; a machine whose guest lives elsewhere in the address space says so here. */
	uint16_t xen_slot, xen_slots;
};

#define MODEL_XEN_SLOTS 16 /* at most */

#define MODEL_GDT_FRAMES  16
#define MODEL_GDT_ENTRIES 7168 /* FIRST_RESERVED_GDT_ENTRY: Xen's own are behind */
#define MODEL_LDT_FRAMES  16
#define MODEL_LDT_ENTRIES 8192

/* An entry of a memory map (struct e820entry), as memory_op gives it. */
struct model_region {
	uint64_t addr, size;
	uint32_t type;
} __packed;

#define MODEL_REGIONS 32

struct model {
	const struct model_ops *ops;
	void *ctx; /* the embedder's */
	struct model_profile profile;

	/* All machine frames, by MFN: those from nr_frames on are no RAM. */
	struct model_frame *frame;
	uint64_t nr_frames;
	/* The M2P, Xen's view of it; entries of frames from nr_frames on do not exist. */
	uint64_t *m2p;
	/*
	 * What the slots of Xen's hold in every L4 (init_xen_l4_slots()), profile.xen_slots of them: whatever the embedder
	 * puts here after model_init(), but for the third, in which the table maps itself. All 0 if it has no tables of its own.
	 */
	uint64_t xen_l4e[MODEL_XEN_SLOTS];

	/* struct domain, struct vcpu */
	domid_t domid;
	bool in_multicall;
	bool crashed;	  /* crash() has been called */
	bool old_partial; /* see old_table */
	unsigned int gdt_ents, ldt_ents;
	uint64_t tot_pages, max_pages;
	mfn_t l4, user_l4; /* v->arch.guest_table, guest_table_user; INVALID_MFN: none */
	mfn_t gdt_frame[MODEL_GDT_FRAMES];
	uint64_t ldt_base;
	mfn_t ldt_frame
		[MODEL_LDT_FRAMES]; /* shadow LDT: frames that are mapped, INVALID_MFN where not yet */
	uint64_t vm_assist;
	/*
	 * The guest's memory map, of which there may be none (d->arch.e820; a domU's toolstack sets one), and the machine's, for a
	 * dom0. Both are the embedder's to fill in after model_init().
	 */
	struct model_region map[MODEL_REGIONS];
	uint32_t nr_regions, nr_machine_regions;
	const struct model_region *machine_map;
	uint64_t next_free; /* where the search for a frame of the heap goes on */
	/*
	 * v->arch.old_guest_table: a table whose last use is dropped when the call has done its work, or one whose promotion
	 * failed part-way, to be taken back then; INVALID_MFN: none. old_partial: the latter. old_parent: whose entry it was.
	 */
	mfn_t old_table, old_parent;
	uint64_t flush_clock; /* tlbflush_clock: one more at each flush of all */

	/*
	 * What was answered last, and the first answer that the table of errors does not have (errnos.h), a broken invariant at once:
	 * `answer` 0 is none.
	 */
	long answer;
	struct {
		uint32_t call, command;
		long answer;
	} wrong;

	/* The checker: after each call when `check_every` is 1, never when it is 0. */
	unsigned int check_every;
	uint64_t calls;
};

/*
 * Makes a machine of @nr_frames frames, all NOBODY's, in the arrays that the caller gives (@frame and @m2p, @nr_frames
 * entries each). Whose they are is said by model_give() and the domain builder. The guest is domain 0 or, of a domU's
 * profile, 1, and may own any number of pages; the builder may set domid, max_pages, check_every, ctx and xen_l4e[].
 */
void model_init(struct model *m, const struct model_ops *ops, const struct model_profile *profile,
		struct model_frame *frame, uint64_t *m2p, uint64_t nr_frames);

/* NOBODY's frame @mfn becomes @owner's; the guest's gets the M2P entry @pfn (else ~0). => it is nobody's */
void model_give(struct model *m, mfn_t mfn, enum model_owner owner, uint64_t pfn);

/*
 * shared_info: a frame of Xen's heap that the guest may map writable (share_xen_page_with_guest()). Its M2P entry stays ~0.
 */
void model_share(struct model *m, mfn_t mfn);

/*
 * The guest's first tables as its builder leaves them: @l4 is validated, pinned, and loaded. 0 or Xen's error.
 * => every mapping that the tables ask for is legal
 */
__must_check int model_start(struct model *m, mfn_t l4);

/*
 * A hypercall of the guest's by its number (__HYPERVISOR_*), arguments as in the registers rdi, rsi, rdx, r10, r8, r9. Returns
 * what goes to rax. Those that are not about memory go to ops->other.
 */
long model_hypercall(struct model *m, unsigned int nr, const uint64_t args[6]);

/*
 * The leaf that translates @va through m->l4, as the CPU walks: rights in *@rights combined over the levels (PTE_RW, PTE_US,
 * PTE_NX as in <pinion/arch/pte.h>). Returns false if an entry is not present; *@level is then the level of that entry.
 */
bool model_walk(struct model *m, uint64_t va, mfn_t *mfn, uint64_t *rights, unsigned int *level);

/*
 * The CPU has read the LDT at @offset bytes and found nothing mapped: gives that frame its type and maps it. False if it can't be: the
 * guest gets the fault (pv_map_ldt_shadow_page() in pv/mm.c).
 */
bool model_map_ldt(struct model *m, uint64_t offset);

/*
 * The invariants, from the tables themselves: every count is the number of its references, no frame is writable and a
 * table, none of another's is mapped, types fit levels. Returns how many are broken; each is told to @say (may be NULL).
 */
unsigned int model_check(struct model *m, void (*say)(const char *line));

#endif
