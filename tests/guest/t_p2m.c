/* SPDX-License-Identifier: MIT */
/*
 * The P2M tree, on trees of the tests' own; and the kernel's, looked over. Sources of the rules: seed
 * p2m-identity-2011, and what its review and later life found wrong in it: bits that collided with MFNs,
 * shared pages written through, a leaf's other 511 entries changed with one, ranges dropped at the end.
 */
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/shared_info.h>
#include "p2m_random.h"
#include "suite.h"

/* Pages from the frame allocator, counted; none from the n-th on. */
static struct {
	uint64_t out;
	uint64_t left;
} stock;

static pfn_t stock_alloc(void *ctx __maybe_unused)
{
	pfn_t pfn;

	if (stock.left == 0 || frame_alloc(0, OWNER_TEST, &pfn))
		return INVALID_PFN;
	stock.left--;
	stock.out++;
	return pfn;
}

static void stock_free(void *ctx __maybe_unused, pfn_t pfn)
{
	stock.out--;
	frame_free(pfn, 0);
}

static const struct p2m_source source = { stock_alloc, stock_free, NULL };
static struct p2m tree;

static bool tree_init(void)
{
	stock.out = 0;
	stock.left = UINT64_MAX;
	return CHECK_EQ(p2m_init(&tree, &source, DIRECT_MAP), 0);
}

/* Everything given back, to the page. */
static void tree_fini(void)
{
	p2m_fini(&tree);
	CHECK_EQ(stock.out, 0);
}

static bool audited(const struct p2m *p2m)
{
	pfn_t where;
	const char *wrong = p2m_audit(p2m, &where);

	if (wrong)
		test_fail(__FILE__, __LINE__, "pfn %#lx: %s", pfn_x(where), wrong);
	return wrong == NULL;
}

static uint64_t get(uint64_t pfn)
{
	return p2m_get(&tree, _pfn(pfn));
}

static bool is_identity(uint64_t pfn)
{
	return get(pfn) == (pfn | IDENTITY_FRAME_BIT) && mfn_x(p2m_mfn(&tree, _pfn(pfn))) == pfn;
}

static bool is_missing(uint64_t pfn)
{
	return get(pfn) == INVALID_P2M_ENTRY && p2m_mfn(&tree, _pfn(pfn)).mfn == INVALID_MFN_X;
}

static int identity(uint64_t start, uint64_t end)
{
	return p2m_set_identity_range(&tree, _pfn(start), _pfn(end));
}

/*
 * The worked example of the seed: E820 with a gap from 1029 MiB to 2001 MiB. 248,832 frames for three
 * pages, and every cell where the seed has it (its own end, [488][256], is one too far).
 */
TEST(p2m, p2m_seed_example, "the seed's example: cells, counts and three pages")
{
	uint64_t pfn, count = 0, pages, *leaf;

	REQUIRE(tree_init());
	pages = tree.pages;
	CHECK_EQ(identity(0x40500, 0x7d100), 0);
	CHECK_EQ(tree.pages - pages, 3);
	for (pfn = 0x40000; pfn < 0x80000; pfn++) {
		bool in = pfn >= 0x40500 && pfn < 0x7d100;

		REQUIRE(in ? is_identity(pfn) : is_missing(pfn));
		count += in;
	}
	CHECK_EQ(count, 248832);
	leaf = tree.top[1][2];
	CHECK(leaf != tree.shared_leaf[P2M_IDENTITY] && leaf[255] == INVALID_P2M_ENTRY);
	CHECK_EQ(leaf[256], 0x40500 | IDENTITY_FRAME_BIT);
	CHECK_EQ(leaf[511], 0x405ff | IDENTITY_FRAME_BIT);
	for (pfn = 3; pfn <= 487; pfn++)
		REQUIRE(tree.top[1][pfn] == tree.shared_leaf[P2M_IDENTITY]);
	leaf = tree.top[1][488];
	CHECK_EQ(leaf[255], 0x7d0ff | IDENTITY_FRAME_BIT);
	CHECK_EQ(leaf[256], INVALID_P2M_ENTRY);
	CHECK(tree.top[1][489] == tree.shared_leaf[P2M_MISSING]);
	CHECK(tree.top[0] == tree.shared_mid[P2M_MISSING]);
	audited(&tree);
	tree_fini();
}

/* What a range costs, by how it lies. */
TEST(p2m, p2m_range_costs,
     "aligned ranges take no leaf, empty ones nothing, whole GiB no page at all")
{
	static const struct {
		uint64_t start, end, pages;
	} cases[] = {
		{ 0x40600, 0x40800, 1 },       /* one aligned leaf: a middle page */
		{ 0x40600, 0x40600, 0 },       /* empty */
		{ 0x40601, 0x40602, 2 },       /* one pfn: middle page and leaf */
		{ 0x40000, 0x80000, 0 },       /* a whole GiB: the shared middle page */
		{ 0x40000, 0x140000, 0 },      /* several */
		{ 0x3ffff, 0x140001, 4 },      /* and one pfn on each side */
		{ P2M_PFNS - 1, P2M_PFNS, 2 }, /* the last */
		{ P2M_PFNS - 1, UINT64_MAX, 2 },
		{ P2M_PFNS, UINT64_MAX, 0 }, /* wholly beyond */
		{ 0, P2M_PFNS, 0 },	     /* everything */
	};
	uint64_t base;
	unsigned int i;

	REQUIRE(tree_init());
	base = tree.pages;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_EQ(identity(cases[i].start, cases[i].end), 0);
		if (!CHECK_EQ(tree.pages - base, cases[i].pages))
			test_note("case %u", i);
		if (cases[i].start < cases[i].end && cases[i].start < P2M_PFNS) {
			CHECK(is_identity(cases[i].start));
			CHECK(cases[i].start == 0 || is_missing(cases[i].start - 1));
			CHECK(cases[i].end >= P2M_PFNS ? is_identity(P2M_PFNS - 1)
						       : is_missing(cases[i].end));
		}
		audited(&tree);
		CHECK_EQ(p2m_clear_range(&tree, _pfn(0), _pfn(P2M_PFNS)), 0);
		CHECK_EQ(tree.pages, base);
	}
	CHECK_EQ(identity(2, 1), -EINVAL);
	CHECK(is_missing(P2M_PFNS) && is_missing(UINT64_MAX));
	/* Adjacent and overlapping ranges join to one form. */
	CHECK_EQ(identity(0x40100, 0x40200) | identity(0x40200, 0x40300), 0);
	CHECK_EQ(identity(0x40180, 0x40400) | identity(0x40000, 0x40101), 0);
	CHECK_EQ(tree.pages - base, 1);
	audited(&tree);
	tree_fini();
}

/* One frame in a shared leaf: the other 511 keep their meaning, and the shared page its content. */
TEST(p2m, p2m_split_keeps_meaning, "replacing one entry of a shared leaf changes one entry")
{
	uint64_t pfn;

	REQUIRE(tree_init());
	CHECK_EQ(identity(0x40000, 0x80000), 0);
	CHECK_EQ(p2m_set(&tree, _pfn(0x41234), _mfn(0x777)), 0);
	for (pfn = 0x40000; pfn < 0x80000; pfn++)
		REQUIRE(pfn == 0x41234 ? get(pfn) == 0x777 : is_identity(pfn));
	CHECK_EQ(identity(0x1000, 0x1001), 0);
	for (pfn = 0; pfn < 0x2000; pfn++)
		REQUIRE(pfn == 0x1000 ? is_identity(pfn) : is_missing(pfn));
	/* And back: the leaf, then the middle page, are the shared ones again. */
	CHECK_EQ(identity(0x41234, 0x41235), 0);
	CHECK(tree.top[1] == tree.shared_mid[P2M_IDENTITY]);
	CHECK_EQ(p2m_clear(&tree, _pfn(0x1000)), 0);
	CHECK(tree.top[0] == tree.shared_mid[P2M_MISSING]);
	audited(&tree);
	tree_fini();
}

/* The bits are at the top, where no MFN can be: 30 and 31, as posted first, are in the middle of them. */
TEST(p2m, p2m_kinds, "RAM, identity, foreign and missing are told apart, RAM with pfn == mfn too")
{
	REQUIRE(tree_init());
	CHECK_EQ(p2m_set(&tree, _pfn(0x5000), _mfn(0x5000)), 0);
	CHECK_EQ(p2m_kind(&tree, _pfn(0x5000)), P2M_RAM);
	CHECK_EQ(p2m_set(&tree, _pfn(0x5001), _mfn(0xc0000000)), 0);
	CHECK_EQ(p2m_kind(&tree, _pfn(0x5001)), P2M_RAM);
	CHECK_EQ(mfn_x(p2m_mfn(&tree, _pfn(0x5001))), 0xc0000000);
	CHECK_EQ(p2m_set_foreign(&tree, _pfn(0x5002), _mfn(0x1234)), 0);
	CHECK_EQ(p2m_kind(&tree, _pfn(0x5002)), P2M_FOREIGN);
	CHECK_EQ(mfn_x(p2m_mfn(&tree, _pfn(0x5002))), 0x1234);
	CHECK_EQ(get(0x5002), 0x1234 | FOREIGN_FRAME_BIT);
	CHECK_EQ(p2m_kind(&tree, _pfn(0x5003)), P2M_MISSING);
	CHECK_EQ(tree.max_pfn, 0x5002);
	CHECK_EQ(p2m_set(&tree, _pfn(P2M_PFNS), _mfn(1)), -EINVAL);
	CHECK_EQ(p2m_set(&tree, _pfn(1), _mfn(P2M_MFN_END)), -EINVAL);
	CHECK_EQ(p2m_set(&tree, _pfn(1), INVALID_MFN), -EINVAL);
	CHECK_EQ(pfn_x(p2m_ram_next(&tree, _pfn(0))), 0x5000);
	CHECK_EQ(pfn_x(p2m_ram_end(&tree, _pfn(0x5000))), 0x5002);
	CHECK(pfn_eq(p2m_ram_next(&tree, _pfn(0x5002)), INVALID_PFN));
	/* The last of either. */
	CHECK_EQ(p2m_set(&tree, _pfn(P2M_PFNS - 1), _mfn(P2M_MFN_END - 1)), 0);
	CHECK_EQ(get(P2M_PFNS - 1), P2M_MFN_END - 1);
	CHECK_EQ(tree.max_pfn, P2M_PFNS);
	audited(&tree);
	tree_fini();
}

/* Out of memory at each allocation that an operation makes: -ENOMEM, and nothing is as if it were begun. */
TEST(p2m, p2m_exhaustion, "failure at every allocation changes nothing")
{
	uint64_t n, pages, pfn;

	for (n = 0; n < 5; n++) {
		stock.out = 0;
		stock.left = n;
		CHECK_EQ(p2m_init(&tree, &source, DIRECT_MAP), -ENOMEM);
		CHECK_EQ(stock.out, 0);
	}
	REQUIRE(tree_init());
	pages = tree.pages;
	for (n = 0; n < 4; n++) {
		stock.left = n;
		CHECK_EQ(identity(0x3ff01, 0x80101), -ENOMEM);
		CHECK_EQ(tree.pages, pages);
		for (pfn = 0x3f000; pfn < 0x81000; pfn += 0x55)
			REQUIRE(is_missing(pfn));
		REQUIRE(audited(&tree));
	}
	stock.left = 4;
	CHECK_EQ(identity(0x3ff01, 0x80101), 0);
	for (n = 0; n < 2; n++) {
		stock.left = n;
		CHECK_EQ(p2m_set(&tree, _pfn(0x200000), _mfn(7)), -ENOMEM);
		CHECK_EQ(tree.max_pfn, 0);
	}
	/* No memory is needed where a leaf is there, nor to take a whole range away. */
	stock.left = 0;
	CHECK_EQ(p2m_set(&tree, _pfn(0x3ff00), _mfn(7)), 0);
	CHECK_EQ(p2m_clear_range(&tree, _pfn(0), _pfn(P2M_PFNS)), 0);
	CHECK_EQ(tree.pages, pages);
	stock.left = UINT64_MAX;
	tree_fini();
}

/* A list of Xen's with @nr entries, grafted; its end beyond them holds junk, as dom0's does. */
static void graft_and_check(uint64_t nr)
{
	uint64_t pages = frames_up(nr * sizeof(uint64_t)), i, *list;
	pfn_t run, bad;

	REQUIRE(tree_init());
	if (!CHECK_EQ(frame_alloc(2, OWNER_TEST, &run), 0))
		return;
	list = direct_va(run);
	for (i = 0; i < 4 * P2M_ENTRIES; i++)
		list[i] = i < nr ? 0x9000 - i : 0;
	list[nr - 1] = P2M_MFN_END;
	CHECK_EQ(p2m_graft(&tree, run, nr, &bad), -EINVAL);
	CHECK_EQ(pfn_x(bad), nr - 1);
	CHECK_EQ(stock.out, tree.pages);
	list[nr - 1] = 0x9000 - (nr - 1);
	stock.left = 0;
	CHECK_EQ(p2m_graft(&tree, run, nr, &bad), -ENOMEM);
	stock.left = UINT64_MAX;
	CHECK_EQ(p2m_graft(&tree, run, nr, &bad), 0);
	CHECK(tree.top[0][0] == list);
	for (i = 0; i < 4 * P2M_ENTRIES; i++)
		CHECK(i < nr ? get(i) == 0x9000 - i : is_missing(i));
	CHECK_EQ(tree.max_pfn, nr);
	audited(&tree);
	/* The list's pages leave the tree like any other; they were never the stock's. */
	stock.out += pages;
	tree_fini();
	for (i = pages; i < 4; i++)
		frame_free(pfn_add(run, i), 0);
}

TEST(p2m, p2m_graft_tails, "the mfn_list's last page: 1, 256, 511, 512 entries in it")
{
	graft_and_check(P2M_ENTRIES + 1);
	graft_and_check(P2M_ENTRIES + 256);
	graft_and_check(P2M_ENTRIES + 511);
	graft_and_check(2 * P2M_ENTRIES);
	graft_and_check(1);
}

static void stock_limit(uint64_t n)
{
	stock.left = n;
}

/* All that changes a tree, against a table as simple as can be; see p2m_random.c. */
TEST(p2m, p2m_random, "random changes agree with a flat table, also when memory runs out")
{
	const struct boot_options *options = &boot_info()->options;
	uint64_t ops = options->ops ? options->ops : 3000, at;
	const char *wrong;
	struct rng rng;

	test_note("seed=%lu ops=%lu", options->seed, ops);
	rng_seed(&rng, options->seed);
	REQUIRE(tree_init());
	wrong = p2m_random(&tree, &rng, ops, stock_limit, &at);
	if (wrong)
		test_fail(__FILE__, __LINE__, "operation %lu: %s", at, wrong);
	tree_fini();
}

/* What a toolstack does: shared_info, list of lists, lists, leaves, by MFNs alone. */
TEST(p2m, p2m_published, "a toolstack finds every entry through shared_info, and no 0 and no ~0")
{
	const struct arch_shared_info *arch = &shared_info()->arch;
	const uint64_t *lists, *list, *leaf;
	uint64_t pfn;

	audited(&kernel_p2m);
	CHECK_EQ(arch->max_pfn, kernel_p2m.max_pfn);
	lists = direct_va(mfn_to_pfn(_mfn(arch->pfn_to_mfn_frame_list_list)));
	for (pfn = 0; pfn < arch->max_pfn; pfn++) {
		list = direct_va(mfn_to_pfn(_mfn(lists[pfn >> 18])));
		REQUIRE(list[pfn >> 9 & 511] != 0 && list[pfn >> 9 & 511] != UINT64_MAX);
		leaf = direct_va(mfn_to_pfn(_mfn(list[pfn >> 9 & 511])));
		if (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM)
			REQUIRE(leaf[pfn & 511] == p2m_get(&kernel_p2m, _pfn(pfn)));
	}
}

/* NetBSD takes a page of frame lists for each *entry*: 512 times too many. A list is one page for the 512 leaves of a slot. */
TEST(p2m, p2m_list_pages, "frame lists take one page for a GiB that is not all alike, and four")
{
	uint64_t slot, i, named, pages = 4, mixed = 0;

	for (slot = 0; slot < P2M_ENTRIES; slot++) {
		for (i = named = 0; i < P2M_ENTRIES; i++)
			named += kernel_p2m.top[slot][i] != kernel_p2m.top[slot][0];
		mixed += named > 0;
		pages += kernel_p2m.top[slot] != kernel_p2m.shared_mid[P2M_MISSING] &&
			 kernel_p2m.top[slot] != kernel_p2m.shared_mid[P2M_IDENTITY];
	}
	CHECK_EQ(kernel_p2m.list_pages, pages);
	CHECK_EQ(pages, 4 + mixed);
}

/* A change of a published leaf pointer shows in the list at once: the kernel's own tree, far from RAM. */
TEST(p2m, p2m_published_changes, "the lists follow splits and joins")
{
	pfn_t far = _pfn(P2M_PFNS - 5000);
	uint64_t pages = kernel_p2m.pages, lists = kernel_p2m.list_pages;
	enum p2m_kind before = p2m_kind(&kernel_p2m, far);

	CHECK_EQ(p2m_set_foreign(&kernel_p2m, far, _mfn(0x123)), 0);
	audited(&kernel_p2m);
	CHECK_EQ(p2m_set_foreign(&kernel_p2m, pfn_add(far, 1), _mfn(0x124)), 0);
	if (before == P2M_IDENTITY)
		CHECK_EQ(p2m_set_identity_range(&kernel_p2m, far, pfn_add(far, 2)), 0);
	else
		CHECK_EQ(p2m_clear_range(&kernel_p2m, far, pfn_add(far, 2)), 0);
	audited(&kernel_p2m);
	CHECK(kernel_p2m.pages == pages && kernel_p2m.list_pages == lists);
}

/* Identity where the map has holes, RAM where it promises it: over all that the map speaks of below
 * 4 GiB, and what is above its end. */
TEST(p2m, p2m_holes, "holes and reserved ranges are identity, and no frame of RAM is lost")
{
	const struct boot_info *bi = boot_info();
	uint64_t pfn, ram = 0, map_end = bi->map.nr ? pfn_x(bi->map.range[bi->map.nr - 1].end) : 0;
	enum memory_kind kind;
	enum p2m_kind is;

	for (pfn = 0; pfn < kernel_p2m.max_pfn; pfn++)
		ram += p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM;
	CHECK_EQ(ram, bi->nr_pages);
	for (pfn = 0; pfn < 0x100000; pfn++) {
		kind = memory_map_kind_at(&bi->map, _pfn(pfn));
		is = p2m_kind(&kernel_p2m, _pfn(pfn));
		if (kind == MEMORY_RAM)
			REQUIRE(is == P2M_RAM || (is == P2M_MISSING && pfn >= bi->nr_pages));
		else if (kind != MEMORY_UNUSABLE && pfn < map_end)
			REQUIRE(is == P2M_IDENTITY);
		else
			REQUIRE(is == P2M_MISSING || is == P2M_RAM);
	}
	/* Each frame is where Xen now says it is. */
	for (pfn = 0; pfn < kernel_p2m.max_pfn; pfn++)
		if (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM)
			REQUIRE(pfn_x(mfn_to_pfn(pfn_to_mfn(_pfn(pfn)))) == pfn);
}
