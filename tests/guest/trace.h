/* SPDX-License-Identifier: MIT */
/*
 * Traces: hypercalls over abstract frames, made on another machine, carried out here, and told in a hash.
 *
 * The same trace has the same outcome on Xen and on the model of Xen (tests/model), or one of the two is not what we
 * think it is. No machine number is in a trace or in its outcome: a frame has a name (P0 to P15, the guest's own
 * pool; others for what is not the guest's), and an entry is a name and flags.
 *
 *     generator ---> boot module ---> replayer on Xen ------> a line for each trace ---+
 *                        |                                                             +--> equal?
 *                        +----------> replayer on the model -> a line for each trace --+
 *
 *     module:  header | head, op, op, ... | head, op, ... |        little-endian, as the structures below
 *
 * A trace may do what Xen allows and still break this kernel, so what could is refused before the first trace runs
 * (trace_check.c); docs/model.md has the list.
 */
#ifndef PINION_TESTS_GUEST_TRACE_H
#define PINION_TESTS_GUEST_TRACE_H

#include "raw.h"

#define TRACE_MAGIC   UINT64_C(0x65636172546e6950) /* "PinTrace" */
#define TRACE_VERSION 2

#define TRACE_POOL     16
#define TRACE_RECORDS  256 /* of one trace */
#define TRACE_BATCH    16  /* requests of one call */
#define TRACE_SUBCALLS 8   /* calls of one multicall */
#define TRACE_EXTENTS  4

struct trace_header {
	uint64_t magic;
	uint32_t version;
	uint32_t traces;
	uint32_t records; /* of all traces, heads not counted */
	uint32_t crc;	  /* of what follows the header */
	uint64_t bytes;	  /* of that; the module may be longer, by a part of a page */
};

#define TRACE_VERBOSE 1 /* each call is printed with its result */

struct trace_head {
	uint32_t id;
	uint16_t records;
	uint16_t flags;
};

/* Frames by name. */
enum trace_name {
	TRACE_P0 = 0,	/* the pool, as far as TRACE_POOL - 1 */
	TRACE_KL4 = 16, /* the kernel's L4 of start of day */
	TRACE_KL3,	/* ... the L3 of its own slot, ... */
	TRACE_KL2,	/* ... an L2 of that, ... */
	TRACE_KL1,	/* ... and an L1, the one that maps the pool */
	TRACE_KDATA,	/* a page of zeroes of the kernel's, mapped writable for good */
	TRACE_SHARED,	/* shared_info */
	TRACE_UNOWNED,	/* RAM of nobody's */
	TRACE_XEN,	/* a frame of Xen's own */
	TRACE_FOREIGN,	/* another domain's; TRACE_UNOWNED where there is none */
	TRACE_IO,	/* below 1 MiB: dom_io's */
	TRACE_ABOVE,	/* above all RAM, within the CPU's physical addresses */
	TRACE_HUGE,	/* beyond them */
	TRACE_ONES,	/* all bits of a frame number */
	TRACE_NONE,	/* frame 0, or no address at all */
	TRACE_IOAPIC,	/* where the I/O APIC is, ... */
	TRACE_MSI,	/* ... and where devices write interrupts to: not even a dom0's */
	TRACE_NAMES,
	TRACE_DEAD = 254, /* was the pool's in this trace, and has gone back to Xen; in no trace */
	TRACE_RAW = 255,  /* an entry that is all in `bits` */
};

enum trace_kind {
	TRACE_STORE = 1,  /* plain stores: value to frame[index] and `count` entries after it */
	TRACE_UPDATE,	  /* mmu_update; `count` records TRACE_REQUEST follow */
	TRACE_REQUEST,	  /* mode (0-7): frame[index] := value */
	TRACE_EXT,	  /* mmuext_op; `count` records TRACE_EXT_OP follow */
	TRACE_EXT_OP,	  /* command `mode` */
	TRACE_UVA,	  /* update_va_mapping */
	TRACE_UVA_OTHER,  /* update_va_mapping_otherdomain */
	TRACE_MULTICALL,  /* `count` calls follow, each with its records */
	TRACE_MEMORY,	  /* memory_op: command `mode` */
	TRACE_SET_GDT,	  /* `index` entries in frame, value, value, ... */
	TRACE_DESCRIPTOR, /* update_descriptor of frame[index]: bits */
	TRACE_OTHER,	  /* mode TRACE_UNKNOWN .. */
	TRACE_KINDS,
};

enum trace_other {
	TRACE_UNKNOWN,
	TRACE_NESTED,
	TRACE_ASSIST_TYPE,
	TRACE_ASSIST_COMMAND,
	TRACE_ASSIST_NO_TYPE, /* beyond the bits of a word */
	TRACE_STRICT,	      /* vm_assist: m2p_strict, ... */
	TRACE_UNSTRICT,	      /* ... and no longer */
	TRACE_WIDE,	      /* of a multicall: a number of more than 32 bits */
	TRACE_TOUCH, /* no call: the CPU reads descriptor `index` of the LDT. -EFAULT if Xen lets it fault */
	TRACE_OTHERS
};

/* Where something is that Xen reads or writes: the requests of a batch, say. */
enum trace_where {
	TRACE_GOOD,
	TRACE_NULL,
	TRACE_BAD,   /* at Xen's */
	TRACE_HOLE,  /* at an address of the guest's where nothing is */
	TRACE_CONST, /* where it can be read only */
	TRACE_WHERES
};

/* Whose frames (`mode` of TRACE_UPDATE, TRACE_EXT and TRACE_UVA_OTHER). */
enum trace_domain {
	TRACE_SELF,
	TRACE_OWN_NUMBER,
	TRACE_OTHER_DOMAIN,
	TRACE_DOMID_IO,
	TRACE_DOMID_XEN,
	TRACE_DOMID_NOBODY,
	TRACE_DOMAINS
};

/* Addresses: the low three bits of a number are the kind, what follows is the kind's own. */
enum trace_va {
	TRACE_VA_WINDOW, /* 2 bits each: L4, L3, L2 and L1 index, by the tables of trace_names.c; a bit for + 0x123 */
	TRACE_VA_HOME, /* the pool frame's own address */
	TRACE_VA_XEN,
	TRACE_VA_NONCANONICAL,
	TRACE_VA_HOLE, /* of the kernel's half, where there is no L1 */
	TRACE_VA_LAST, /* the last page of the lower half */
	TRACE_VAS
};

/* UVMF_* with a pointer or without (`count` of TRACE_UVA). */
enum trace_flush {
	TRACE_FLUSH_NONE,
	TRACE_FLUSH_LOCAL,
	TRACE_INVLPG_LOCAL,
	TRACE_FLUSH_ALL,
	TRACE_INVLPG_ALL,
	TRACE_FLUSH_BITMAP,
	TRACE_INVLPG_BITMAP,
	TRACE_FLUSH_FAULT,
	TRACE_INVLPG_FAULT,
	TRACE_FLUSH_TYPE3,
	TRACE_FLUSHES
};

/*
 * A record. What a kind makes of the fields is said above and here:
 *
 *   UPDATE, EXT, MULTICALL   frame: where the requests are; value: where *done goes; mode: whose frames;
 *                            index: 1 for a call begun anew; bits: whose tables (of UPDATE), plus one, or 0
 *   EXT_OP                   frame, value: MFN arguments; index: an address; bits: entries, or 1: a bad bitmap, 2: one
 *                            without the vCPU
 *   UVA, UVA_OTHER           index: the address; value | bits: the entry; count: flush; mode: whose frames
 *   MEMORY                   frame, value, value, ..: the list; count: how long it is, or enum trace_many; index: how many
 *                            extents were done before, or TRACE_MANY_BEFORE; bits: enum trace_memory
 */
struct trace_op {
	uint8_t kind;
	uint8_t label; /* what the generator meant by it; means nothing here */
	uint8_t mode;
	uint8_t frame;
	uint16_t index;
	uint8_t value;
	uint8_t count;
	uint64_t bits;
};

_Static_assert(sizeof(struct trace_op) == 16, "as in the module");

/* Fields of a MEMORY's bits, by the number of their first bit; each has 5 but the last. */
enum trace_memory {
	TRACE_M_ARG = 0,	 /* where the argument is (enum trace_where) ... */
	TRACE_M_LIST = 5,	 /* ... the list, or a map's buffer ... */
	TRACE_M_OUT = 10,	 /* ... and an exchange's other list */
	TRACE_M_ORDER = 15,	 /* of extents, */
	TRACE_M_OUT_ORDER = 20,	 /* and of those that an exchange gives */
	TRACE_M_DOMAIN = 25,	 /* whose (enum trace_domain), */
	TRACE_M_OUT_DOMAIN = 30, /* and of an exchange's other side */
	TRACE_M_FLAGS = 35,	 /* mem_flags: one of trace_memory.c's */
	TRACE_M_DONE = 40,	 /* nr_exchanged */
	TRACE_M_SPACE = 45,	 /* XENMAPSPACE_* */
	TRACE_M_OUT_COUNT = 50,	 /* extents that an exchange gives, as `count` */
	TRACE_M_END = 58
};

enum trace_many {
	TRACE_MANY =
		253, /* just more extents than a call can tell, more entries than any map has */
	TRACE_MANY_BYTES, /* 2^62: more bytes than there are addresses */
	TRACE_MANY_FRAMES /* 2^60: more frames than there are numbers, of extents of order 9 */
};

/* A command of memory_op that is none. */
#define TRACE_NO_MEMOP 63

#define TRACE_MANY_BEFORE 0xffff /* stands for 2^20 */

static inline unsigned int trace_field(const struct trace_op *op, enum trace_memory field)
{
	return op->bits >> field & (field == TRACE_M_OUT_COUNT ? 0xff : 0x1f);
}

/*
 * Indices of tables. What of an L4 is whose is not the same everywhere, so an index is a code too; codes have the
 * order of what they stand for, for the first bad entry of a table decides.
 */
enum trace_index {
	TRACE_AT_LAST_USER = 127,		     /* below it a code is the index */
	TRACE_AT_XEN = 128,			     /* 16 slots of Xen's */
	TRACE_AT_KERNEL_FIRST = TRACE_AT_XEN + 16,   /* the slot after them */
	TRACE_AT_WINDOW = TRACE_AT_KERNEL_FIRST + 1, /* two */
	TRACE_AT_LINK =
		TRACE_AT_WINDOW + RAW_SLOTS, /* two, on no path of an address of a trace's */
	TRACE_AT_SHARE = TRACE_AT_LINK + 2,  /* of a pool frame holds the kernel's L3 or nothing */
	TRACE_INDICES
};

static inline bool trace_is_pool(unsigned int name)
{
	return name < TRACE_POOL;
}

static inline bool trace_is_kernel_table(unsigned int name)
{
	return name >= TRACE_KL4 && name <= TRACE_KL1;
}

/* trace_names.c */

/* Finds the frames of all names. Fails the test if one is not to be had. */
bool trace_names_find(void);
mfn_t trace_mfn(unsigned int name);
/* A name of @mfn, or TRACE_NAMES. */
unsigned int trace_name_of(mfn_t mfn);
/* Pool frame @n has the frame @mfn from now on; what it had is dead until all such are buried. */
void trace_names_set(unsigned int n, mfn_t mfn);
bool trace_is_dead(mfn_t mfn);
/* Number @i of them; false if there are not so many. */
bool trace_dead(unsigned int i, mfn_t *mfn);
void trace_names_bury(void);
const char *trace_name(unsigned int name);

/* The index that a code stands for, and back: TRACE_INDICES if none does. */
unsigned int trace_index(unsigned int code);
unsigned int trace_index_code(unsigned int index);

uint64_t trace_value(const struct trace_op *op);
/* The entry by which every L4 has the kernel's half. */
uint64_t trace_share(void);
uint64_t trace_va(unsigned int number);
bool trace_va_is(unsigned int number, enum trace_va kind);
domid_t trace_domid(unsigned int domain);

/* The frame's 512 entries as far as they can be read now: the kernel's L4, and pool frames mapped at home; else NULL. */
const uint64_t *trace_readable(mfn_t mfn);
/* The live L1 entry of pool frame @n's own address. */
uint64_t trace_home(unsigned int n);

/* trace_check.c: all of a module. NULL, or what is wrong with it; *@at is the record. */
const char *trace_check(const void *module, uint64_t bytes, uint64_t *at);

/* How many records the call at @op has with itself, within @left; 0: too many. */
unsigned int trace_records(const struct trace_op *op, unsigned int left);

/* trace_call.c */

/* A call with its arguments in memory, and what came of it. */
struct trace_call {
	const struct trace_op *op;
	long rc;
	unsigned int nr;
	unsigned int done; /* where Xen puts it; 99 before */
	uint64_t args[4];
	uint64_t extents[TRACE_EXTENTS], out[TRACE_EXTENTS];
};

/* The CPU reads descriptor @entry of the LDT: false if that faulted. On the model there is another of this name. */
bool trace_touch(unsigned int entry);

/* Carries out the call at @op; *@made becomes the calls that it was: a multicall, then those in it. Returns how many. */
unsigned int trace_run(const struct trace_op *op, const struct trace_call **made);

/* A call is about to be made. On the model, which can see what its targets are, there is another of this name. */
void trace_about_to(const struct trace_op *op);

/* Where something is that is well at @good. */
uint64_t trace_where(unsigned int which, const void *good);
/* The same of the @bytes at @good, for TRACE_CONST: they are copied to where they can only be read until the call is over. */
uint64_t trace_where_const(unsigned int which, const void *good, size_t bytes);

/* trace_memory.c: memory_op. */

/* Makes up the call, of which there may be @n others at the same time. */
void trace_memory_encode(struct trace_call *call, unsigned int n);
/* The call @n has been made: what it said beside its result. */
void trace_memory_result(struct trace_call *call, unsigned int n);
/* Whether Xen may give a frame by it and not tell which. */
bool trace_memory_untold(const struct trace_op *op);
/* What Xen gave in excess goes back. */
void trace_memory_follow(const struct trace_call *call);
/* The guest's own map is kept, and put back if a trace has set another. */
void trace_memory_keep_map(void);
void trace_memory_restore_map(void);

/* trace_own.c: frames of the pool that were given back to Xen. */

/*
 * What is gone by now is replaced; before a call by which Xen gives frames, or it might give one that has a name yet.
 */
void trace_own_refresh(void);
/* @call may have given some back: what is gone is replaced. */
void trace_own_follow(const struct trace_call *call);
/* Gives the extent of @order at @mfn back to Xen. */
void trace_own_give(uint64_t mfn, unsigned int order);
/* Pool frame @n, whose own address maps nothing, goes back if it was to. Returns whether something still holds it. */
bool trace_own_settle(unsigned int n);
/* Whether Xen may have forgotten a reference to pool frame @n, which only the model can say: there is another of this name. */
bool trace_own_doubtful(unsigned int n);
/*
 * Changes pool frame @n for another. Returns whether something still refers to what it was, though nothing is left
 * that might.
 */
bool trace_own_renew(unsigned int n);

/* trace_state.c */

bool trace_base_is_kernel(void);
/* Whether the call at @op may be made now: no L4 becomes the base that lacks the kernel's half. */
bool trace_allowed(const struct trace_op *op);
/* What the replayer has to keep up with after a call: the base, frames given back. */
void trace_follow(const struct trace_call *call);
/* What can be seen of a call's outcome, mixed into @hash. */
uint64_t trace_observe(uint64_t hash, const struct trace_call *call);
/* The plain stores of @op, if its frame is mapped writable at home. */
bool trace_store(const struct trace_op *op);
/* All that can be seen of the pool, its types probed; mixed into @hash. Verbose: printed. */
uint64_t trace_probe(uint64_t hash, bool verbose);
/*
 * The pool as before the first trace. Returns a bit for each frame that Xen has lost count of (trace_own_renew()), and in
 * *@doubtful for each that it may have; the test fails if the pool is not to be had otherwise.
 */
unsigned int trace_clean(unsigned int *doubtful);

/* trace_print.c */
void trace_print_call(const struct trace_call *call, bool inner);
void trace_print_entry(uint64_t entry);
char trace_letter(long rc);

static inline uint64_t trace_mix(uint64_t hash, uint64_t v)
{
	hash = (hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

/* An entry without machine numbers, A and D. */
uint64_t trace_abstract(uint64_t entry);

#endif
