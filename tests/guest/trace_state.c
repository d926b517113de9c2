/* SPDX-License-Identifier: MIT */
/*
 * What a trace stands on, and what is to be seen of it: the base, the pool's contents, the types that its frames have
 * at the end; and how all of it is had back.
 *
 * The type of a frame can't be asked for. So it is tried: a writable mapping, then a pin at each level, each taken
 * back. Which of them are refused, and how, tells the type, the pin and whether there is a writable mapping.
 */
#include "trace.h"
#include <pinion/lib/string.h>

#define UNREADABLE UINT64_C(0xdead)

/* The name of the base, which is the kernel's L4 but within a trace. */
static unsigned int base = TRACE_KL4;

/* The M2P is shown to the kernel alone (VMASST_TYPE_m2p_strict): an L4 that is loaded as the user's loses it. */
static bool strict;

bool trace_base_is_kernel(void)
{
	return base == TRACE_KL4;
}

static bool stored_as_share(uint64_t entry)
{
	return ((entry ^ trace_share()) & ~PTE_AD) == 0;
}

/* Records of the call at @op with that command. */
static unsigned int count_ext(const struct trace_op *op, unsigned int mode)
{
	unsigned int i, n = trace_records(op, TRACE_RECORDS), found = 0;

	for (i = 1; i < n; i++)
		found += op[i].kind == TRACE_EXT_OP && op[i].mode == mode;
	return found;
}

/* The pool frame becomes the base only with the kernel's half in it, and if nothing in the same call takes that away. */
static bool base_allowed(const struct trace_op *op, unsigned int frame)
{
	const uint64_t *table;

	if (!trace_is_pool(frame))
		return true;
	table = trace_readable(trace_mfn(frame));
	return table && stored_as_share(READ_ONCE(table[SLOT_IMAGE])) &&
	       !count_ext(op, MMUEXT_CLEAR_PAGE) && !count_ext(op, MMUEXT_COPY_PAGE);
}

/* Whether the kernel's own L4 would be the user's. */
static bool takes_m2p(const struct trace_op *op)
{
	unsigned int i, n = trace_records(op, TRACE_RECORDS);

	for (i = 1; i < n; i++)
		if (op[i].kind == TRACE_EXT_OP && op[i].mode == MMUEXT_NEW_USER_BASEPTR &&
		    op[i].frame == TRACE_KL4)
			return true;
	return false;
}

bool trace_allowed(const struct trace_op *op)
{
	unsigned int i, n = trace_records(op, TRACE_RECORDS);

	for (i = 1; i < n; i++)
		if (op[i].kind == TRACE_EXT_OP && op[i].mode == MMUEXT_NEW_BASEPTR &&
		    !base_allowed(op, op[i].frame))
			return false;
	return !strict || !takes_m2p(op);
}

void trace_follow(const struct trace_call *call)
{
	const struct trace_op *op = call->op;
	unsigned int i, done = call->done <= TRACE_BATCH ? call->done : 0;

	for (i = 1; op->kind == TRACE_EXT && i <= done && i <= op->count; i++)
		if (op[i].mode == MMUEXT_NEW_BASEPTR)
			base = op[i].frame;
	if (op->kind == TRACE_OTHER && op->mode == TRACE_STRICT)
		strict = true;
	trace_own_follow(call);
}

/* The entry that maps @va from the base down; false if a table on the way can't be read or is not there. */
static bool walk(uint64_t va, uint64_t *entry)
{
	mfn_t mfn = trace_mfn(base);
	const uint64_t *table;
	unsigned int level;

	for (level = 4; level; level--) {
		table = trace_readable(mfn);
		if (!table)
			return false;
		*entry = READ_ONCE(table[va_index(va, level)]);
		if (level > 1 && !(*entry & PTE_P))
			return false;
		mfn = pte_mfn(*entry);
	}
	return true;
}

static uint64_t mix_entry(uint64_t hash, unsigned int frame, unsigned int code)
{
	const uint64_t *table = trace_readable(trace_mfn(frame));

	if (!table || (code >= TRACE_AT_XEN && code < TRACE_AT_KERNEL_FIRST))
		return trace_mix(hash, UNREADABLE);
	return trace_mix(hash, trace_abstract(READ_ONCE(table[trace_index(code)])));
}

static uint64_t mix_update(uint64_t hash, const struct trace_op *op)
{
	unsigned int i;

	for (i = 1; i <= op->count; i++) {
		if (op[i].mode == MMU_MACHPHYS_UPDATE && trace_is_pool(op[i].frame) &&
		    trace_base_is_kernel()) /* another may be without the M2P */
			hash = trace_mix(hash,
					 raw_m2p(mfn_x(trace_mfn(op[i].frame))) == op[i].bits);
		else if (op[i].mode != MMU_MACHPHYS_UPDATE)
			hash = mix_entry(hash, op[i].frame, op[i].index);
	}
	return hash;
}

uint64_t trace_observe(uint64_t hash, const struct trace_call *call)
{
	const struct trace_op *op = call->op;
	uint64_t entry = 0;

	hash = trace_mix(hash, (uint64_t)call->rc);
	hash = trace_mix(hash, call->done);
	switch (op->kind) {
	case TRACE_UPDATE:
		return mix_update(hash, op);
	case TRACE_DESCRIPTOR:
		return mix_entry(hash, op->frame, op->index);
	case TRACE_UVA:
	case TRACE_UVA_OTHER:
		if ((op->index & 7) == TRACE_VA_HOME)
			entry = trace_home(op->index >> 3);
		else if ((op->index & 7) != TRACE_VA_WINDOW || !walk(trace_va(op->index), &entry))
			return trace_mix(hash, UNREADABLE);
		return trace_mix(hash, trace_abstract(entry));
	default:
		return hash;
	}
}

bool trace_store(const struct trace_op *op)
{
	uint64_t home = trace_home(op->frame), value = trace_value(op);
	unsigned int i, n = op->count ? op->count : 1;

	if (!(home & PTE_P) || !(home & PTE_RW))
		return false;
	for (i = 0; i < n; i++)
		raw_page(op->frame)[trace_index(op->index + i)] = value;
	return true;
}

/*
 * Contents: each word that is not 0 but for A and D, with its place; these the CPU sets also where Xen reads the guest's
 * tables through its linear map. Of an L4 some entries are Xen's.
 */
static uint64_t mix_page(uint64_t hash, unsigned int n)
{
	const uint64_t *page = trace_readable(trace_mfn(n));
	uint64_t entry;
	unsigned int i;

	for (i = 0; page && i < TABLE_ENTRIES; i++) {
		entry = READ_ONCE(page[i]);
		if ((entry & ~PTE_AD) && (i < SLOT_XEN_FIRST || i > SLOT_XEN_LAST))
			hash = trace_mix(trace_mix(hash, trace_index_code(i)),
					 trace_abstract(entry));
	}
	return trace_mix(hash, page ? trace_abstract(trace_home(n)) : UNREADABLE);
}

/*
 * What a pin as L4 wrote into Xen's slots of a frame that is nothing now goes again: as entries of another level they
 * are bad ones, late in the table, where the order of the probes would show.
 */
static void wipe_xen_slots(uint64_t mfn)
{
	struct mmu_update requests[SLOT_XEN_LAST + 1 - SLOT_XEN_FIRST];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		requests[i].ptr = maddr_x(mfn_to_maddr(_mfn(mfn))) | (SLOT_XEN_FIRST + i) << 3;
		requests[i].val = 0;
	}
	(void)!hypercall_mmu_update(requests, ARRAY_SIZE(requests), NULL, DOMID_SELF);
}

/* A pin at each level of @name's frame, taken back. */
static uint64_t mix_pins(uint64_t hash, unsigned int name, bool verbose)
{
	uint64_t mfn = mfn_x(trace_mfn(name));
	unsigned int level;
	long rc = -EINVAL;

	for (level = 1; level <= 4; level++) {
		rc = raw_ext(MMUEXT_PIN_L1_TABLE + level - 1, mfn, 0);
		hash = trace_mix(hash, (uint64_t)rc);
		if (rc == 0)
			hash = trace_mix(hash, (uint64_t)raw_ext(MMUEXT_UNPIN_TABLE, mfn, 0));
		if (verbose)
			print("%c", trace_letter(rc));
	}
	if (rc == 0 && trace_is_pool(name))
		wipe_xen_slots(mfn);
	return hash;
}

/* The frame's own mapping becomes writable if it can; then read-only, so that it may be a table. */
static uint64_t probe_one(uint64_t hash, unsigned int n, bool verbose)
{
	long rc = raw_rw(raw_page(n));

	if (verbose)
		print(" %s:%c", trace_name(n), trace_letter(rc));
	hash = trace_mix(hash, (uint64_t)rc);
	if (rc == 0)
		hash = trace_mix(hash, (uint64_t)raw_ro(raw_page(n)));
	return mix_pins(hash, n, verbose);
}

uint64_t trace_probe(uint64_t hash, bool verbose)
{
	unsigned int n;

	for (n = 0; n < TRACE_POOL; n++)
		hash = mix_page(hash, n);
	if (verbose)
		print("contents %016lx, types (writable, pins at L1 to L4):", hash);
	for (n = 0; n < TRACE_POOL; n++)
		hash = probe_one(hash, n, verbose);
	for (n = TRACE_KL3; n <= TRACE_KL1; n++)
		hash = mix_pins(hash, n, verbose);
	if (verbose)
		print("\n");
	return hash;
}

/* One request, whatever comes of it. */
static long ext(unsigned int cmd, uint64_t arg1)
{
	struct mmuext_op op = { .cmd = cmd };

	op.arg1.mfn = arg1;
	return hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

/* What holds tables besides pins; the window's slots first, for what they map may not become the base. */
static void clean_holders(void)
{
	unsigned int n;

	for (n = 0; n < RAW_SLOTS; n++)
		CHECK_EQ(raw_set(raw_l4e(RAW_SLOT + n), 0), 0);
	CHECK_EQ(ext(MMUEXT_NEW_BASEPTR, mfn_x(trace_mfn(TRACE_KL4))), 0);
	base = TRACE_KL4;
	CHECK_EQ(ext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
	CHECK_EQ(ext(MMUEXT_SET_LDT, 0), 0);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_set_gdt, 0, 0, 0, 0, 0), 0);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_m2p_strict,
			       0, 0, 0),
		 0);
	strict = false;
	trace_memory_restore_map();
}

unsigned int trace_clean(unsigned int *doubtful)
{
	uint64_t kl4 = mfn_x(trace_mfn(TRACE_KL4));
	unsigned int n, lost = 0;
	long rc;

	clean_holders();
	for (n = 0; n < TRACE_POOL; n++)
		(void)ext(MMUEXT_UNPIN_TABLE, mfn_x(trace_mfn(n)));
	for (n = TRACE_KL3; n <= TRACE_KL1; n++)
		(void)ext(MMUEXT_UNPIN_TABLE, mfn_x(trace_mfn(n)));
	rc = ext(MMUEXT_PIN_L4_TABLE, kl4);
	CHECK(rc == 0 || rc == -EINVAL); /* the trace had unpinned it, or not */
	for (n = 0; n < TRACE_POOL; n++) {
		CHECK_EQ(raw_unmap(raw_page(n)), 0);
		lost |= (unsigned int)trace_own_settle(n) << n;
	}
	for (n = 0; n < TRACE_POOL; n++)
		if (raw_rw(raw_page(n)))
			lost |= 1U << n;
	*doubtful = 0;
	for (n = 0; n < TRACE_POOL; n++)
		*doubtful |= (unsigned int)trace_own_doubtful(n) << n;
	for (n = 0; n < TRACE_POOL; n++)
		lost |= (unsigned int)trace_own_renew(n) << n;
	for (n = 0; n < TRACE_POOL; n++)
		memset(raw_page(n), 0, PAGE_SIZE);
	trace_names_bury();
	return lost;
}
