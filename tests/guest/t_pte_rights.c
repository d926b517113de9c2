/* SPDX-License-Identifier: MIT */
/*
 * Rights by permutation: every combination of flags, in the leaf and above it, is written in both
 * ways that there are, and Xen's answer, what reads back, and then the access itself are held
 * against a prediction.
 *
 * The prediction is written from the rules alone, in these few lines:
 *
 *   - an entry without P is taken as it is; without address bits it is nobody's business
 *   - PCD, PWT and PAT of an L1 are for domains with devices; above L1 nobody's, like PSE and G
 *   - a leaf maps own frames only, and a table only without RW
 *   - a link leads to a table of the level below, or read-only to its own table
 *   - a store needs RW at every level, a fetch NX at none; U is Xen's business: it is always set
 *
 * Source: get_page_from_l1e to _l4e in Xen's arch/x86/mm.c; Intel's SDM, volume 3, 4.6 and 4.7.
 */
#include "raw.h"

/* A RET as the last byte of the word at the page's start; as an entry that word is not present. */
#define WORD_RET   (UINT64_C(0xc3) << 56)
#define RET_OFFSET 7

/* Where the leaf under test is in the tree's L1, and what it then maps. */
#define LEAF	7
#define LEAF_VA (RAW_VA + LEAF * PAGE_SIZE)

enum frame { DATA, TABLE, FOREIGN, FRAMES };

static uint64_t *l3, *l2, *l1;
static mfn_t frames[FRAMES];

static unsigned long tried;

/* The flags of @bits, bit i standing for @flag[i]. */
static uint64_t flags_of(unsigned int bits, const uint64_t *flag, unsigned int nr)
{
	uint64_t flags = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		flags |= bits >> i & 1 ? flag[i] : 0;
	return flags;
}

/* The entry with @flags for @mfn; without P it has no address. */
static uint64_t entry_of(uint64_t flags, mfn_t mfn)
{
	return (flags & PTE_P) ? pte_make(mfn, flags) : flags;
}

static long predict_leaf(uint64_t flags, enum frame frame)
{
	if (!(flags & PTE_P))
		return 0;
	if ((flags & (PTE_PCD | PTE_PWT | PTE_PAT)) && !boot_info()->initdomain)
		return -EINVAL;
	if (frame == FOREIGN || (frame == TABLE && (flags & PTE_RW)))
		return -EBUSY;
	return 0;
}

/* @access is what the fault's code has for it: 0 for a load, PF_WRITE, PF_FETCH. */
static exinfo_t predict_access(bool present, bool rw, bool nx, uint64_t access)
{
	if (!present)
		return EXINFO_PF(access);
	if ((access == PF_WRITE && !rw) || (access == PF_FETCH && nx))
		return EXINFO_PF(PF_PRESENT | access);
	return 0;
}

/*
 * The three accesses to @va, and their faults. False, with a failed check, at the first surprise.
 */
static bool check_access(uint64_t va, bool present, bool rw, bool nx)
{
	uint64_t word = 0;

	return CHECK_EQ(probe_load64(raw_ptr(va), &word), predict_access(present, rw, nx, 0)) &&
	       CHECK_EQ(word, present ? WORD_RET : 0) &&
	       CHECK_EQ(probe_store64(raw_ptr(va), WORD_RET),
			predict_access(present, rw, nx, PF_WRITE)) &&
	       CHECK_EQ(probe_call(raw_ptr(va + RET_OFFSET)),
			predict_access(present, rw, nx, PF_FETCH));
}

static void set_up(void)
{
	uint64_t *data = raw_page(3), *table = raw_page(4);

	l3 = raw_page(0);
	l2 = raw_page(1);
	l1 = raw_page(2);
	data[0] = table[0] = WORD_RET;
	raw_link_tree(l3, l2, l1);
	CHECK_EQ(raw_ro(table), 0);
	/* An L2, since stores to an L1 are emulated for a dom0. */
	CHECK_EQ(raw_pin(2, table), 0);
	frames[DATA] = raw_mfn(data);
	frames[TABLE] = raw_mfn(table);
	frames[FOREIGN] = _mfn(raw_unowned_mfn());
	tried = 0;
}

static void tear_down(void)
{
	CHECK_EQ(raw_unpin(raw_page(4)), 0);
	CHECK_EQ(raw_rw(raw_page(4)), 0);
	raw_unlink_tree(l3, l2, l1);
	test_note("%lu combinations", tried);
}

/* Writes the leaf one way or the other, and sees to it that the CPU knows. */
static long set_leaf(unsigned int index, uint64_t val, bool by_va)
{
	uint64_t va = RAW_VA + index * PAGE_SIZE;
	long rc;

	tried++;
	if (by_va)
		return raw_uva(raw_ptr(va), val);
	rc = raw_set(&l1[index], val);
	CHECK_EQ(raw_ext(MMUEXT_INVLPG_LOCAL, va, 0), 0);
	return rc;
}

/* What the CPU has put in by itself since the entry was written: A by any access, D by a store. */
static bool check_ad(uint64_t flags)
{
	uint64_t ad = READ_ONCE(l1[LEAF]) & PTE_AD;
	uint64_t want = flags & PTE_AD;

	if (flags & PTE_P)
		want |= PTE_A | ((flags & PTE_RW) ? PTE_D : 0);

	return CHECK_EQ(ad, want);
}

static bool try_leaf(uint64_t flags, enum frame frame, bool by_va)
{
	uint64_t before = READ_ONCE(l1[LEAF]), val = entry_of(flags, frames[frame]);
	long want = predict_leaf(flags, frame);

	if (!CHECK_EQ(set_leaf(LEAF, val, by_va), want))
		return false;
	if (want)
		return CHECK_EQ(READ_ONCE(l1[LEAF]), before);
	raw_check_stored(&l1[LEAF], 1, val);
	return check_access(LEAF_VA, flags & PTE_P, flags & PTE_RW, flags & PTE_NX) &&
	       check_ad(flags);
}

RAW_TEST(pte_rights, pte_rights_leaf,
	 "all flags of a leaf, over a data page, a table and a foreign frame, both ways of writing "
	 "it")
{
	static const uint64_t flag[] = { PTE_P, PTE_RW,	 PTE_US,  PTE_NX, PTE_A,
					 PTE_D, PTE_PCD, PTE_PWT, PTE_PAT };
	unsigned int bits, way;
	enum frame frame;
	uint64_t flags;

	set_up();
	for (way = 0; way < 2; way++) {
		for (frame = DATA; frame < FRAMES; frame++) {
			for (bits = 0; bits < 1U << ARRAY_SIZE(flag); bits++) {
				flags = flags_of(bits, flag, ARRAY_SIZE(flag));
				if (!try_leaf(flags, frame, way)) {
					test_note("flags %#lx frame %u way %u", flags, frame, way);
					goto out;
				}
			}
		}
	}
out:
	CHECK_EQ(set_leaf(LEAF, 0, true), 0);
	tear_down();
}

/* Leaves 0 to 3 map the data page with RW, or not, and NX, or not. */
static const uint64_t four_leaves[] = { PTE_P, PTE_P | PTE_RW, PTE_P | PTE_NX,
					PTE_P | PTE_RW | PTE_NX };

/* Under the upper levels' rights @rw and @nx: each access through each leaf. */
static bool try_accesses(bool rw, bool nx)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(four_leaves); i++)
		if (!check_access(RAW_VA + i * PAGE_SIZE, true, rw && (four_leaves[i] & PTE_RW),
				  nx || (four_leaves[i] & PTE_NX)))
			return false;
	return true;
}

/* A leaf's own rights decide what it may map, whatever the levels above take away. */
static bool try_mappings(void)
{
	static const uint64_t flags[] = { PTE_P, PTE_P | PTE_RW };
	enum frame frame;
	unsigned int i;

	for (frame = DATA; frame < FRAMES; frame++)
		for (i = 0; i < ARRAY_SIZE(flags); i++)
			if (!CHECK_EQ(set_leaf(LEAF, entry_of(flags[i], frames[frame]),
					       i ^ (frame & 1)),
				      predict_leaf(flags[i], frame)))
				return false;
	return true;
}

/*
 * In the order of a Gray code, so that one entry changes from step to step, by one bit; between
 * them the 512 steps make each combination of three bits at three levels once.
 */
RAW_TEST(pte_rights, pte_rights_above,
	 "RW, U and NX at L2, L3 and L4 in all combinations: what a leaf may map, and each access")
{
	static const uint64_t flag[] = { PTE_RW, PTE_US, PTE_NX };
	const uint64_t *entry[3];
	void *table[3];
	uint64_t flags[3], all_rw, any_nx;
	unsigned int step, gray, i, changed;

	set_up();
	entry[0] = &l2[0];
	entry[1] = &l3[0];
	entry[2] = raw_l4e(RAW_SLOT);
	table[0] = l1;
	table[1] = l2;
	table[2] = l3;
	for (i = 0; i < ARRAY_SIZE(four_leaves); i++)
		CHECK_EQ(set_leaf(i, pte_make(frames[DATA], four_leaves[i]), true), 0);
	for (i = 0; i < 3; i++)
		CHECK_EQ(raw_set(entry[i], raw_pte(table[i], PTE_P)), 0);
	for (step = 0; step < 512; step++) {
		gray = step ^ step >> 1;
		changed = step ? (unsigned int)__builtin_ctz(step) / 3 : 0;
		all_rw = PTE_RW;
		any_nx = 0;
		for (i = 0; i < 3; i++) {
			flags[i] = PTE_P | flags_of(gray >> 3 * i & 7, flag, 3);
			all_rw &= flags[i];
			any_nx |= flags[i] & PTE_NX;
		}
		tried++;
		CHECK_EQ(raw_set(entry[changed], raw_pte(table[changed], flags[changed])), 0);
		raw_check_stored(entry[changed], changed + 2,
				 raw_pte(table[changed], flags[changed]));
		if (!try_accesses(all_rw, any_nx) || !try_mappings()) {
			test_note("L2 %#lx L3 %#lx L4 %#lx", flags[0], flags[1], flags[2]);
			break;
		}
	}
	for (i = 0; i < ARRAY_SIZE(four_leaves); i++)
		CHECK_EQ(set_leaf(i, 0, true), 0);
	CHECK_EQ(set_leaf(LEAF, 0, true), 0);
	tear_down();
}

enum target { LOWER, PLAIN, OTHERS, SELF, WRONG_LEVEL, TARGETS };

static long predict_link(uint64_t flags, enum target target)
{
	if (!(flags & PTE_P))
		return 0;
	if (flags & (PTE_PCD | PTE_PWT | PTE_PSE | PTE_G))
		return -EINVAL;
	if (target == LOWER || (target == SELF && !(flags & PTE_RW)))
		return 0;
	return -EINVAL;
}

static bool try_link(const uint64_t *entry, unsigned int level, uint64_t flags, mfn_t mfn,
		     long want)
{
	uint64_t before = READ_ONCE(entry[0]), val = entry_of(flags, mfn);

	tried++;
	if (!CHECK_EQ(raw_set(entry, val), want))
		return false;
	if (want)
		return CHECK_EQ(READ_ONCE(*entry), before);
	raw_check_stored(entry, level, val);
	return true;
}

/*
 * All flags of a link from the table of @level to @mfn, which is a @target to it; but not PSE
 * without P: even without an address that is fatal to a domU on a CPU with L1TF, which may load
 * what would lie behind (pv_l1tf_check_pte in Xen's asm/shadow.h).
 */
static bool try_links(const uint64_t *entry, unsigned int level, mfn_t mfn, enum target target)
{
	static const uint64_t flag[] = { PTE_P, PTE_RW,	 PTE_US,  PTE_NX,  PTE_A,
					 PTE_D, PTE_PCD, PTE_PWT, PTE_PSE, PTE_G };
	unsigned int bits;
	uint64_t flags;

	for (bits = 0; bits < 1U << ARRAY_SIZE(flag); bits++) {
		flags = flags_of(bits, flag, ARRAY_SIZE(flag));
		if (!(flags & PTE_P))
			flags &= ~PTE_PSE;
		if (!try_link(entry, level, flags, mfn, predict_link(flags, target))) {
			test_note("L%u flags %#lx target %u", level, flags, target);
			return false;
		}
	}
	return true;
}

/* The tables linked are pinned, so that a link is counted and not checked through: it is quick. */
RAW_TEST(pte_rights, pte_rights_link,
	 "all flags of an L2, L3 or L4 entry, to its lower level, itself, and what is no table for "
	 "it")
{
	const uint64_t *entry[3];
	mfn_t mfn[TARGETS];
	unsigned int i;
	enum target target;
	bool good = true;

	set_up();
	/* Pages 5, 6 and 7: an L1, an L2 and an L3. */
	raw_ro_all(5, 7);
	for (i = 0; i < 3; i++)
		CHECK_EQ(raw_pin(i + 1, raw_page(5 + i)), 0);
	entry[0] = &l2[9];
	entry[1] = &l3[9];
	entry[2] = raw_l4e(RAW_SLOT + 1);
	for (i = 0; i < 3; i++) {
		mfn[LOWER] = raw_mfn(raw_page(5 + i));
		mfn[PLAIN] = frames[DATA];
		mfn[OTHERS] = frames[FOREIGN];
		mfn[SELF] = raw_mfn(entry[i]);
		/* Not of the same level: read-only that would be a linear map. */
		mfn[WRONG_LEVEL] = raw_mfn(raw_page(i == 0 ? 7 : 5));
		for (target = 0; good && target < TARGETS; target++)
			good = try_links(entry[i], i + 2, mfn[target], target);
		CHECK_EQ(raw_set(entry[i], 0), 0);
	}
	for (i = 0; i < 3; i++)
		CHECK_EQ(raw_unpin(raw_page(5 + i)), 0);
	raw_rw_all(5, 7);
	tear_down();
}
