/* SPDX-License-Identifier: MIT */
/* Raw calls for tests of Xen's rules, and the proof that a test left nothing behind. See raw.h. */
#include "raw.h"
#include <xen/memory.h>
#include <pinion/lib/string.h>
#include <pinion/mm/p2m.h>

static uint8_t scratch[RAW_PAGES][PAGE_SIZE] __aligned(PAGE_SIZE);

/* More tables than this share a place, which finds a change all the same. */
#define HASHES 64

static struct {
	bool known;		 /* pte[] is filled: the first RAW_TEST has begun */
	uint64_t pte[RAW_PAGES]; /* the scratch pages' own mappings, flags alone */
	uint64_t hash[HASHES];	 /* of the tables of start of day, A and D aside */
} state;

uint64_t *raw_page(unsigned int n)
{
	return (uint64_t *)scratch[n];
}

mfn_t raw_mfn(const void *va)
{
	return boot_mfn(boot_info(), boot_va_pfn(va));
}

uint64_t raw_maddr(const void *va)
{
	return maddr_x(mfn_to_maddr(raw_mfn(va))) | ((uintptr_t)va & PAGE_OFFSET_MASK);
}

uint64_t raw_pte(const void *page, uint64_t flags)
{
	return pte_make(raw_mfn(page), flags);
}

uint64_t raw_m2p(uint64_t mfn)
{
	const uint64_t *m2p = raw_ptr(M2P_BASE);
	uint64_t pfn = INVALID_PFN_X;

	if (mfn >= M2P_MFNS || probe_load64(&m2p[mfn], &pfn))
		return INVALID_PFN_X;
	return pfn;
}

const uint64_t *raw_l4e(unsigned int slot)
{
	return (const uint64_t *)boot_va(boot_info()->l4) + slot;
}

const uint64_t *raw_entry(const void *va, unsigned int level)
{
	const uint64_t *entry = raw_l4e(va_index((uintptr_t)va, 4));
	uint64_t pfn;
	unsigned int at;

	for (at = 4; at > level; at--) {
		if (!(*entry & PTE_P))
			return NULL;
		pfn = raw_m2p(mfn_x(pte_mfn(*entry)));
		if (pfn >= pfn_x(boot_info()->region_end))
			return NULL;
		entry = (const uint64_t *)boot_va(_pfn(pfn)) + va_index((uintptr_t)va, at - 1);
	}
	return entry;
}

/* Whether @mfn is the guest's own: the M2P and the P2M agree. */
static bool own(uint64_t mfn)
{
	return p2m_is(&kernel_p2m, _pfn(raw_m2p(mfn)), _mfn(mfn));
}

/* MFNs that one piece of the M2P is for: it is populated in 2 MiB at least. */
#define M2P_PIECE (UINT64_C(0x200000) / sizeof(uint64_t))
#define MFN_4G	  (UINT64_C(1) << (32 - PAGE_SHIFT))

/*
 * The highest frame below 16 GiB that is somebody else's, or nobody's. Searched from the highest
 * frame that has an owner at all down to 16 MiB, below which are the devices of old; a machine's RAM
 * has a hole below 4 GiB, so there the highest with an owner is looked for anew. What lies between
 * is RAM on any machine that Xen runs on. Frames of nobody, or of Xen, read ~0 in the M2P.
 */
static uint64_t find_mfn(bool has_owner)
{
	const uint64_t *m2p = raw_ptr(M2P_BASE);
	uint64_t mfn, pfn = 0;
	bool in_ram = false;

	for (mfn = 0x400000; mfn-- > 0x1000;) {
		if (mfn == MFN_4G - 1)
			in_ram = false;
		if (probe_load64(&m2p[mfn], &pfn)) {
			mfn -= mfn % M2P_PIECE;
			continue;
		}
		in_ram |= pfn != INVALID_PFN_X;
		if (in_ram && (pfn != INVALID_PFN_X) == has_owner && !own(mfn))
			return mfn;
	}
	return 0;
}

/*
 * A free frame may have become this guest's meanwhile, by an exchange: looked at again each time.
 */
uint64_t raw_unowned_mfn(void)
{
	static uint64_t mfn;

	if (!mfn || raw_m2p(mfn) != INVALID_PFN_X)
		mfn = find_mfn(false);
	if (!mfn)
		test_error("no frame of Xen's is found");
	return mfn;
}

uint64_t raw_foreign_mfn(void)
{
	static uint64_t mfn;

	if (!boot_info()->initdomain && (!mfn || own(mfn)))
		mfn = find_mfn(true);
	return mfn;
}

/* A domain may ask for its own reservation only, or for anybody's if it is dom0, which is 0. */
domid_t raw_own_domid(void)
{
	domid_t domid, ask;

	for (domid = 0; domid < DOMID_FIRST_RESERVED; domid++) {
		ask = domid;
		if (hypercall_memory_op(XENMEM_current_reservation, &ask) >= 0)
			return domid;
	}
	test_error("this domain's number is not found");
	return DOMID_SELF;
}

long raw_update(uint64_t ptr, uint64_t val)
{
	struct mmu_update request = { .ptr = ptr, .val = val };
	unsigned int done = 99;
	long rc = hypercall_mmu_update(&request, 1, &done, DOMID_SELF);

	CHECK_EQ(done, rc == 0);
	return rc;
}

long raw_set(const uint64_t *entry, uint64_t val)
{
	return raw_update(raw_maddr(entry) | MMU_NORMAL_PT_UPDATE, val);
}

long raw_ext(unsigned int cmd, uint64_t arg1, uint64_t arg2)
{
	struct mmuext_op op = { .cmd = cmd };
	unsigned int done = 99;
	long rc;

	op.arg1.linear_addr = arg1;
	/* arg2 is a union of a frame, a count and a pointer: 64 bits of it hold any. */
	op.arg2.src_mfn = arg2;
	rc = hypercall_mmuext_op(&op, 1, &done, DOMID_SELF);
	CHECK_EQ(done, rc == 0);
	return rc;
}

long raw_pin(unsigned int level, const void *page)
{
	return raw_ext(MMUEXT_PIN_L1_TABLE + level - 1, mfn_x(raw_mfn(page)), 0);
}

long raw_unpin(const void *page)
{
	return raw_ext(MMUEXT_UNPIN_TABLE, mfn_x(raw_mfn(page)), 0);
}

long raw_uva(const void *va, uint64_t val)
{
	return hypercall_update_va_mapping((uintptr_t)va, val, UVMF_INVLPG | UVMF_LOCAL);
}

long raw_unmap(const void *page)
{
	return raw_uva(page, 0);
}

static uint64_t own_flags(const void *page)
{
	return state.pte[((uintptr_t)page - (uintptr_t)scratch) / PAGE_SIZE];
}

long raw_ro(const void *page)
{
	return raw_uva(page, raw_pte(page, own_flags(page) & ~PTE_RW));
}

long raw_rw(const void *page)
{
	return raw_uva(page, raw_pte(page, own_flags(page)));
}

void raw_ro_all(unsigned int first, unsigned int last)
{
	for (; first <= last; first++)
		CHECK_EQ(raw_ro(raw_page(first)), 0);
}

void raw_rw_all(unsigned int first, unsigned int last)
{
	for (; first <= last; first++)
		CHECK_EQ(raw_rw(raw_page(first)), 0);
}

void raw_link_tree(uint64_t *l3, uint64_t *l2, uint64_t *l1)
{
	l3[0] = raw_pte(l2, RAW_LINK);
	l2[0] = raw_pte(l1, RAW_LINK);
	CHECK_EQ(raw_ro(l1), 0);
	CHECK_EQ(raw_ro(l2), 0);
	CHECK_EQ(raw_ro(l3), 0);
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT), raw_pte(l3, RAW_LINK)), 0);
}

void raw_unlink_tree(uint64_t *l3, uint64_t *l2, uint64_t *l1)
{
	CHECK_EQ(raw_set(raw_l4e(RAW_SLOT), 0), 0);
	CHECK_EQ(raw_rw(l3), 0);
	CHECK_EQ(raw_rw(l2), 0);
	CHECK_EQ(raw_rw(l1), 0);
}

void raw_check_stored(const uint64_t *entry, unsigned int level, uint64_t written)
{
	uint64_t read = READ_ONCE(entry[0]);

	if (!pte_reads_as(level, read, written, false))
		test_fail(__FILE__, __LINE__, "L%u entry written %#lx reads %#lx, not %#lx", level,
			  written, read, pte_as_stored(level, written, false));
}

void raw_adopt(const void *page, uint64_t mfn)
{
	uint64_t *mfn_list = boot_va(boot_info()->mfn_list.start);

	mfn_list[pfn_x(boot_va_pfn(page))] = mfn;
	CHECK_EQ(raw_rw(page), 0);
}

long raw_exchange(const void *page)
{
	uint64_t in = mfn_x(raw_mfn(page)), out = pfn_x(boot_va_pfn(page));
	struct xen_memory_exchange exch = {
		.in = { .nr_extents = 1, .domid = DOMID_SELF },
		.out = { .nr_extents = 1, .domid = DOMID_SELF },
	};
	long rc;

	set_xen_guest_handle(exch.in.extent_start, &in);
	set_xen_guest_handle(exch.out.extent_start, &out);
	CHECK_EQ(raw_unmap(page), 0);
	rc = hypercall_memory_op(XENMEM_exchange, &exch);
	if (rc)
		CHECK_EQ(raw_rw(page), 0);
	else
		raw_adopt(page, out);
	return rc;
}

/* What one entry adds to its table's hash, whose only use is to see a change. */
static uint64_t mix(const uint64_t *entry)
{
	uint64_t v = (READ_ONCE(*entry) & ~PTE_AD) * UINT64_C(0x9e3779b97f4a7c15);

	return (v ^ (v >> 32) ^ ((uintptr_t)entry & PAGE_OFFSET_MASK)) *
	       UINT64_C(0xbf58476d1ce4e5b9);
}

/*
 * A sum over each table of start of day, but for the scratch pages' own entries: a test may have
 * changed their frames for others on purpose, and check_page() looks at them.
 */
static void hash_all(uint64_t hash[HASHES])
{
	const uint64_t *tables = boot_va(boot_info()->tables.start), *entry;
	uint64_t i, words = boot_info()->tables.nr * TABLE_ENTRIES;

	memset(hash, 0, HASHES * sizeof(hash[0]));
	for (i = 0; i < words; i++)
		hash[i / TABLE_ENTRIES % HASHES] += mix(&tables[i]);
	for (i = 0; i < RAW_PAGES; i++) {
		entry = raw_entry(scratch[i], 1);
		if (entry)
			hash[(uint64_t)(entry - tables) / TABLE_ENTRIES % HASHES] -= mix(entry);
	}
}

/*
 * One scratch page: mapped as it was, with the frame that the mfn_list says; untyped but
 * writable.
 */
static void check_page(unsigned int n)
{
	const uint64_t *page = raw_page(n), *entry = raw_entry(page, 1);

	if (!entry || ((READ_ONCE(*entry) ^ raw_pte(page, state.pte[n])) & ~PTE_AD))
		test_fail(__FILE__, __LINE__, "scratch page %u: its PTE is %#lx, was %#lx", n,
			  entry ? *entry : 0, raw_pte(page, state.pte[n]));
	if (probe_store64(raw_page(n), 0))
		test_fail(__FILE__, __LINE__, "scratch page %u can't be written", n);
	if (raw_pin(1, page) != -EINVAL || raw_unpin(page) != -EINVAL)
		test_fail(__FILE__, __LINE__, "scratch page %u is a table, or pinned", n);
	if (raw_m2p(mfn_x(raw_mfn(page))) != pfn_x(boot_va_pfn(page)))
		test_fail(__FILE__, __LINE__, "scratch page %u: the M2P says %#lx", n,
			  raw_m2p(mfn_x(raw_mfn(page))));
}

/* What holds a page with a type of its own, besides tables: the base, the LDT and the GDT. */
static long mend_holders(void)
{
	struct mmuext_op ops[] = { { .cmd = MMUEXT_NEW_BASEPTR },
				   { .cmd = MMUEXT_NEW_USER_BASEPTR },
				   { .cmd = MMUEXT_SET_LDT } };
	struct mmu_update request = { .val = 0 };
	unsigned int n;
	long rc;

	ops[0].arg1.mfn = mfn_x(boot_mfn(boot_info(), boot_info()->l4));
	rc = hypercall_mmuext_op(ops, ARRAY_SIZE(ops), NULL, DOMID_SELF);
	rc |= hypercall_raw(__HYPERVISOR_set_gdt, 0, 0, 0, 0, 0);
	for (n = 0; n < RAW_SLOTS; n++) {
		request.ptr = raw_maddr(raw_l4e(RAW_SLOT + n));
		rc |= hypercall_mmu_update(&request, 1, NULL, DOMID_SELF);
	}
	return rc;
}

/* After a test that left something: what later tests stand on is made good as far as Xen lets. */
static void mend(void)
{
	struct mmuext_op op = { .cmd = MMUEXT_UNPIN_TABLE };
	long rc = mend_holders();
	unsigned int n;

	for (n = 0; n < RAW_PAGES; n++) {
		op.arg1.mfn = mfn_x(raw_mfn(raw_page(n)));
		if (hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF) == 0)
			test_note("unpinned scratch page %u", n);
	}
	for (n = 0; n < RAW_PAGES; n++)
		rc |= raw_rw(raw_page(n));
	if (rc)
		test_note("the scratch pages could not all be had back");
}

void raw_run(void (*test)(void))
{
	const void *l4 = boot_va(boot_info()->l4);
	uint64_t after[HASHES];
	unsigned int n;

	if (!state.known) {
		state.known = true;
		for (n = 0; n < RAW_PAGES; n++)
			state.pte[n] = pte_flags(*raw_entry(raw_page(n), 1)) | PTE_A;
	}
	memset(scratch, 0, sizeof(scratch));
	hash_all(state.hash);
	test();
	hash_all(after);
	for (n = 0; n < HASHES; n++)
		if (after[n] != state.hash[n])
			test_fail(__FILE__, __LINE__, "start of day's table %u has changed", n);
	for (n = 0; n < RAW_PAGES; n++)
		check_page(n);
	if (raw_pin(4, l4) != -EINVAL)
		test_fail(__FILE__, __LINE__, "the live L4 was left unpinned");
	if (test_failed())
		mend();
}
