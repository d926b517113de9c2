/* SPDX-License-Identifier: MIT */
/* The walker: what it makes of tables that nobody checked, and what it proves of those that are live. */
#include <pinion/arch/cpu.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/bitmap.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/ptdump.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include <pinion/xen/hypercall.h>
#include "suite.h"

/* What a walk found bad, in order. */
#define MAX_BAD 16

struct found {
	unsigned int n, leaves, links;
	struct ptdump_entry bad[MAX_BAD];
	struct ptdump_entry last_leaf;
};

static int find(void *ctx, const struct ptdump_entry *e)
{
	struct found *f = ctx;

	if (e->bad && f->n < MAX_BAD)
		f->bad[f->n] = *e;
	f->n += e->bad != NULL;
	f->leaves += !e->bad && e->level == 1;
	f->links += !e->bad && e->level > 1;
	if (!e->bad && e->level == 1)
		f->last_leaf = *e;
	return 0;
}

static bool is_bad(const struct found *f, unsigned int i, uint64_t va, unsigned int level,
		   const char *why)
{
	const struct ptdump_entry *e = &f->bad[i];

	return CHECK(i < f->n) && CHECK_EQ(e->va, va) && CHECK_EQ(e->level, level) &&
	       CHECK(strcmp(e->bad, why) == 0);
}

/* Plain pages that are used as tables, a level each; Xen and the frame table know nothing of it. */
static pfn_t page[5];

static uint64_t *words(unsigned int level)
{
	return direct_va(page[level]);
}

static bool pages_begin(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(page); i++) {
		if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &page[i]), 0))
			return false;
		memset(words(i), 0, PAGE_SIZE);
	}
	for (i = 4; i > 1; i--)
		words(i)[0] = pte_make(pfn_to_mfn(page[i - 1]), PTE_LINK);
	return true;
}

static void pages_end(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(page); i++)
		frame_free(page[i], 0);
}

/* Everything that can be wrong with an entry, at the first, second and last index of a table. */
TEST(ptdump, ptdump_hostile,
     "entries that lead nowhere, out of our memory or back are told, not followed")
{
	struct found f = { 0 };
	mfn_t self;

	REQUIRE(pages_begin());
	self = pfn_to_mfn(page[4]);
	words(1)[0] = pte_make(pfn_to_mfn(page[0]), PTE_KERNEL_RW);
	words(1)[1] = PTE_RW;
	words(1)[511] = pte_make(_mfn(UINT64_C(0xffffffffff)), PTE_P | PTE_NX);
	words(2)[1] = pte_make(pfn_to_mfn(page[1]), PTE_LINK | PTE_PSE);
	words(2)[2] = pte_make(pfn_to_mfn(page[2]), PTE_LINK);
	words(2)[511] = UINT64_MAX & ~PTE_PSE;
	words(3)[1] = pte_make(self, PTE_LINK);
	words(3)[2] = pte_make(maddr_to_mfn(boot_info()->shared_info), PTE_LINK);
	words(4)[100] = pte_make(self, PTE_LINK);
	/* Xen's are not looked at, the kernel's next to them are. */
	words(4)[SLOT_XEN_FIRST] = UINT64_MAX;
	words(4)[SLOT_XEN_LAST] = UINT64_MAX;
	words(4)[SLOT_XEN_LAST + 1] = 2;
	words(4)[511] = 4;
	CHECK_EQ(ptdump_walk(page[4], find, &f), 0);
	CHECK_EQ(f.leaves, 2);
	CHECK_EQ(f.links, 3);
	CHECK_EQ(f.n, 9);
	CHECK(is_bad(&f, 0, 0x1000, 1, "not present, but not 0"));
	CHECK(is_bad(&f, 1, 0x200000, 2, "a superpage"));
	CHECK(is_bad(&f, 2, 0x400000, 2, "links a table above it"));
	CHECK(is_bad(&f, 3, 0x3fe00000, 2, "links a frame that is not ours"));
	CHECK(is_bad(&f, 4, 0x40000000, 3, "links a table above it"));
	CHECK(is_bad(&f, 5, 0x80000000, 3, "links a frame that is not ours"));
	CHECK(is_bad(&f, 6, UINT64_C(100) << 39, 4, "links a table above it"));
	CHECK(is_bad(&f, 7, DIRECT_MAP, 4, "not present, but not 0"));
	CHECK(is_bad(&f, 8, UINT64_C(0xffffff8000000000), 4, "not present, but not 0"));
	CHECK_EQ(f.last_leaf.va, 0x1ff000);
	CHECK_EQ(f.last_leaf.class, PTDUMP_FOREIGN);
	CHECK(pfn_eq(f.last_leaf.pfn, INVALID_PFN) && !f.last_leaf.executable);
	pages_end();
}

static const char *const *want_line;

static int compare_line(void *ctx __maybe_unused, const char *line)
{
	if (!*want_line || strcmp(line, *want_line) != 0) {
		test_note("'%s', expected '%s'", line, *want_line ? *want_line : "no more");
		return -EINVAL;
	}
	want_line++;
	return 0;
}

/* A page of garbage in a crash report must not push out all the rest. */
TEST(ptdump, ptdump_bad_lines, "entries that are bad alike, side by side, are one line")
{
	static char garbage[PTDUMP_LINE], link[PTDUMP_LINE];
	static const char *const want[] = {
		"--- user",
		"0000180000001000-0000180000002000     4K rw- foreign  mfn 1000000000, wb",
		"0000180000002000 L1 entry 0000000000000002: not present, but not 0, and 1 more",
		"0000180000005000 L1 entry 0000000000000004: not present, but not 0",
		"0000180000006000-0000180000007000     4K rw- foreign  mfn 1000000000, wb",
		"0000188000000000 L4 entry ffffffffffffffff: a superpage, and 49 more",
		"--- nobody's",
		garbage,
		link,
		NULL,
	};
	uint64_t va = DIRECT_MAP + L4_SPAN;
	unsigned int i;

	REQUIRE(pages_begin());
	words(4)[48] = words(4)[0];
	words(4)[0] = 0;
	words(1)[1] = words(1)[6] = pte_make(_mfn(UINT64_C(0x1000000000)), PTE_KERNEL_RW);
	words(1)[2] = words(1)[3] = 2;
	words(1)[5] = 4;
	for (i = 49; i < 99; i++)
		words(4)[i] = UINT64_MAX;
	for (i = SLOT_DIRECT_MAP + 1; i < SLOT_DIRECT_MAP + 5; i++)
		words(4)[i] = UINT64_MAX;
	words(4)[SLOT_DIRECT_MAP + 5] = UINT64_C(0x1000000000000001);
	snprintf(garbage, sizeof(garbage), "%016lx L4 entry %016lx: a superpage, and 3 more", va,
		 UINT64_MAX);
	snprintf(link, sizeof(link),
		 "%016lx L4 entry 1000000000000001: links a frame that is not ours",
		 va + 4 * L4_SPAN);
	want_line = want;
	CHECK_EQ(ptdump_lines(page[4], compare_line, NULL), 0);
	CHECK(*want_line == NULL);
	pages_end();
}

/* Memory that is not in the direct map: of the L4 an error, of a lower table a bad link. */
TEST(ptdump, ptdump_unreadable, "a table that can't be read is told, not read")
{
	struct found f = { 0 };
	uint64_t *l1;

	CHECK_EQ(ptdump_walk(pfn_add(frame_table_end(), 1 << 20), find, &f), -EFAULT);
	CHECK_EQ(ptdump_walk(INVALID_PFN, find, &f), -EFAULT);
	/* Counted on, the direct map's addresses would come to the image's. */
	CHECK_EQ(ptdump_walk(_pfn((IMAGE_BASE - DIRECT_MAP) >> PAGE_SHIFT), find, &f), -EFAULT);
	CHECK_EQ(f.n + f.leaves + f.links, 0);
	REQUIRE(pages_begin());
	l1 = words(1);
	words(1)[0] = pte_make(pfn_to_mfn(page[0]), PTE_KERNEL_RW);
	REQUIRE(hypercall_update_va_mapping((uintptr_t)l1, 0, UVMF_INVLPG) == 0);
	CHECK_EQ(ptdump_walk(page[4], find, &f), 0);
	CHECK_EQ(hypercall_update_va_mapping(
			 (uintptr_t)l1, pte_make(pfn_to_mfn(page[1]), PTE_KERNEL_RW), UVMF_INVLPG),
		 0);
	CHECK_EQ(f.n, 1);
	CHECK_EQ(f.leaves, 0);
	CHECK(is_bad(&f, 0, 0, 2, "links a frame that can't be read"));
	pages_end();
}

static int end_at(void *ctx, const struct ptdump_entry *e __maybe_unused)
{
	unsigned int *left = ctx;

	return --*left == 0 ? 1234 : 0;
}

TEST(ptdump, ptdump_ends, "the callback's value ends the walk, at any entry")
{
	unsigned int left, n;

	for (n = 1; n < 600; n += 13) {
		left = n;
		CHECK_EQ(ptdump_walk(kernel_l4(), end_at, &left), 1234);
		CHECK_EQ(left, 0);
	}
}

/* A word as somebody hostile would choose it: garbage, or a link to any frame of ours. */
static uint64_t random_entry(struct rng *rng)
{
	pfn_t pfn = _pfn(rng_below(rng, frame_table_nr));

	switch (rng_below(rng, 4)) {
	case 0:
		return rng_next(rng);
	case 1:
		return 0;
	case 2:
		return pte_make(pfn_to_mfn(page[rng_below(rng, 5)]), PTE_LINK);
	default:
		return p2m_kind(&kernel_p2m, pfn) == P2M_RAM ? pte_make(pfn_to_mfn(pfn), PTE_LINK)
							     : rng_next(rng);
	}
}

/* What is checked of each entry, whatever it is. */
static int check_entry(void *ctx, const struct ptdump_entry *e)
{
	unsigned int *left = ctx;
	bool ok = e->level >= 1 && e->level <= 4 && va_canonical(e->va) && e->entry &&
		  va_index(e->va, e->level) == e->index;

	if (e->class == PTDUMP_FOREIGN)
		ok = ok && pfn_eq(e->pfn, INVALID_PFN);
	else
		ok = ok && mfn_eq(pfn_to_mfn(e->pfn), e->mfn);
	if (!ok)
		return -EINVAL;
	return --*left == 0;
}

TEST(ptdump, ptdump_random, "random tables, random memory as tables: the walk goes on and ends")
{
	uint64_t ops = boot_info()->options.ops, rounds = ops ? ops / 1000 + 1 : 40, round;
	unsigned int i, k, left;
	struct rng rng;
	int rc;

	REQUIRE(pages_begin());
	rng_seed(&rng, boot_info()->options.seed);
	test_note("seed %#lx, %lu rounds", boot_info()->options.seed, rounds);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < 5; i++)
			for (k = 0; k < 64; k++)
				words(i)[rng_below(&rng, TABLE_ENTRIES)] = random_entry(&rng);
		left = 50000;
		rc = ptdump_walk(page[4], check_entry, &left);
		REQUIRE(rc >= 0);
	}
	pages_end();
}

TEST(ptdump, ptdump_path, "the entries on the way to an address, as far as there are any")
{
	uint64_t e[5], va = (uint64_t)__text_start;
	pfn_t table = kernel_l4();
	unsigned int level;

	CHECK_EQ(ptdump_path(kernel_l4(), va, e), 1);
	for (level = 4; level >= 1; level--) {
		CHECK_EQ(e[level], table_read(table, va_index(va, level)));
		if (level > 1)
			table = table_below(e[level]);
	}
	CHECK_EQ(ptdump_path(kernel_l4(), 0, e), 4);
	CHECK_EQ(e[4], 0);
	CHECK_EQ(ptdump_path(kernel_l4(), VIRT_BASE - 1, e), 3);
	CHECK_EQ(e[3], 0);
	CHECK_EQ(ptdump_path(kernel_l4(), (uint64_t)boot_stack_guard, e), 1);
	CHECK_EQ(e[1], 0);
	/* Xen's tables are not ours to read. */
	CHECK_EQ(ptdump_path(kernel_l4(), XEN_VA_BASE, e), 4);
	CHECK_EQ(ptdump_path(kernel_l4(), UINT64_C(1) << 47, e), 5);
	CHECK_EQ(ptdump_path(INVALID_PFN, va, e), 5);
}

/* A crash report can't rely on the record of what is in use: it may be what broke. */
TEST(ptdump, selfcheck_no_aspace, "a panic with a wild address space: CRASH, tables shown",
     .manual = true)
{
	this_cpu()->aspace = (struct aspace *)(VIRT_BASE - PAGE_SIZE);
	panic("on purpose");
}

/* Bits of all pfns, in memory of the arena's. */
struct rights {
	uint64_t *writable, *executable, both, other;
};

static int note_rights(void *ctx, const struct ptdump_entry *e)
{
	struct rights *r = ctx;
	uint64_t pfn = pfn_x(e->pfn);

	if (e->level > 1 || e->bad)
		return 0;
	if (e->class != PTDUMP_RAM || pfn >= frame_table_nr) {
		r->other += e->writable && e->executable;
		return 0;
	}
	if (e->writable)
		bitmap_set(r->writable, pfn);
	if (e->executable)
		bitmap_set(r->executable, pfn);
	return 0;
}

/* Over every address space that there is: frames that some entry lets be written, and some entry be run. */
static uint64_t count_wx(struct rights *r, uint64_t nr_words)
{
	const struct aspace *each;
	uint64_t i, both;

	memset(r->writable, 0, nr_words * 8);
	memset(r->executable, 0, nr_words * 8);
	r->both = 0;
	r->other = 0;
	for (each = aspace_first(); each; each = each->next)
		CHECK_EQ(ptdump_walk(each->l4, note_rights, r), 0);
	for (i = 0; i < nr_words; i++)
		for (both = r->writable[i] & r->executable[i]; both; both &= both - 1)
			r->both++;
	return r->both + r->other;
}

/* With frames made executable in the arena and in a user's half, while others are written there. */
static void check_wx(struct rights *r, uint64_t nr_words, pfn_t frame)
{
	struct aspace_range user = { UINT64_C(0x180000000000), 1, NULL };
	struct aspace_range next = { UINT64_C(0x180000001000), 1, NULL };
	struct aspace as;
	void *code = NULL;
	pfn_t l1;

	CHECK_EQ(count_wx(r, nr_words), 0);
	CHECK(bitmap_test(r->executable, pfn_x(boot_va_pfn(__text_start))));
	CHECK_EQ(vmap_map(&frame, 1, ASPACE_RX, &code), 0);
	REQUIRE(aspace_create(&as) == 0);
	CHECK_EQ(aspace_map(&as, &user, &frame, ASPACE_RX), 0);
	CHECK_EQ(aspace_map(&as, &next, &frame, ASPACE_RW), -EBUSY);
	CHECK_EQ(aspace_map(&as, &next, &frame, ASPACE_R), 0);
	CHECK_EQ(count_wx(r, nr_words), 0);
	CHECK(bitmap_test(r->executable, pfn_x(frame)));
	/* A mapping that the kernel would not make, in a table that Xen does not know: it is found. */
	l1 = table_below(table_read(
		table_below(table_read(table_below(table_read(as.l4, va_index(user.va, 4))), 0)),
		0));
	table_store(l1, 2, pte_make(pfn_to_mfn(frame), PTE_KERNEL_RW | PTE_US));
	CHECK_EQ(count_wx(r, nr_words), 1);
	table_store(l1, 2, 0);
	table_store(l1, 3, pte_make(maddr_to_mfn(boot_info()->shared_info), PTE_P | PTE_RW));
	CHECK_EQ(count_wx(r, nr_words), 1);
	table_store(l1, 3, 0);
	CHECK_EQ(aspace_destroy(&as), 0);
	CHECK_EQ(vmap_free(code), 0);
	CHECK_EQ(count_wx(r, nr_words), 0);
	CHECK(bitmap_test(r->writable, pfn_x(frame)));
}

/*
 * W^X is a rule about frames: a page written through one address and run through another is both, though
 * no mapping says so. The proof has to look at all entries of all tables.
 */
TEST(ptdump, ptdump_wx, "no frame is both writable and executable, over all its mappings")
{
	uint64_t nr_words = BITMAP_WORDS(frame_table_nr), pages = frames_up(nr_words * 8);
	struct rights r = { 0 };
	pfn_t frame;

	REQUIRE(vmap_alloc(pages, (void **)&r.writable) == 0);
	REQUIRE(vmap_alloc(pages, (void **)&r.executable) == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &frame) == 0);
	check_wx(&r, nr_words, frame);
	frame_free(frame, 0);
	CHECK_EQ(vmap_free(r.executable), 0);
	CHECK_EQ(vmap_free(r.writable), 0);
}
