/* SPDX-License-Identifier: MIT */
/*
 * The P2M tree: long random runs, publishing, the move to another mapping, the audit. The cells and
 * costs of single operations are tested in the guest (tests/guest/t_p2m.c), the move out of holes in
 * test_p2m_boot.c.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/xen/hypercall.h>
#include "../guest/p2m_random.h"
#include "p2m_pool.h"

/* Above what the random runs change: a published tree must know its own pages as RAM. */
#define POOL_FIRST P2M_RANDOM_END
#define POOL_PAGES 256
#define POOL_MFN   0x70000 /* of the pool's first page; the others follow downwards */

static struct p2m tree;
static struct shared_info shared;

static void check_audit(const char *want)
{
	pfn_t where = INVALID_PFN;
	const char *wrong = p2m_audit(&tree, &where);

	if (!want && wrong)
		fail_msg("pfn %#llx: %s", (unsigned long long)pfn_x(where), wrong);
	if (want)
		assert_true(wrong && libc_strstr(wrong, want));
}

static uint64_t pool_mfn(uint64_t pfn)
{
	return POOL_MFN - (pfn - POOL_FIRST);
}

/* An empty tree, whose pages are RAM by it. */
static int open_tree(void **state)
{
	(void)state;
	libc_memset(&shared, 0, sizeof(shared));
	pool_open(POOL_FIRST, POOL_PAGES);
	assert_int_equal(p2m_init(&tree, &pool_source, pool_base()), 0);
	assert_int_equal(tree.pages, pool_used());
	for (uint64_t pfn = POOL_FIRST; pfn < POOL_FIRST + POOL_PAGES; pfn++)
		assert_int_equal(p2m_set(&tree, _pfn(pfn), _mfn(pool_mfn(pfn))), 0);
	return 0;
}

static int close_tree(void **state)
{
	(void)state;
	check_audit(NULL);
	p2m_fini(&tree);
	assert_int_equal(pool_used(), 0);
	assert_int_equal(shared.arch.max_pfn, 0);
	assert_int_equal(shared.arch.pfn_to_mfn_frame_list_list, 0);
	pool_close();
	return 0;
}

/* The page that has @mfn, as a toolstack maps it. */
static const uint64_t *by_mfn(uint64_t mfn)
{
	assert_true(mfn <= POOL_MFN && mfn > POOL_MFN - POOL_PAGES);
	return pool_page(POOL_FIRST + (POOL_MFN - mfn));
}

/* The entry that a toolstack finds; it knows MFNs and ~0. */
static uint64_t seen_from_outside(uint64_t pfn)
{
	const uint64_t *lists = by_mfn(shared.arch.pfn_to_mfn_frame_list_list);
	const uint64_t *list = by_mfn(lists[pfn / P2M_SLOT_PFNS]);

	return by_mfn(list[pfn / P2M_ENTRIES % P2M_ENTRIES])[pfn % P2M_ENTRIES];
}

static void random_run(uint64_t ops)
{
	const char *wrong;
	struct rng rng;
	uint64_t at;

	host_seed(&rng);
	wrong = p2m_random(&tree, &rng, ops, pool_limit, &at);
	if (wrong)
		fail_msg("operation %llu: %s", (unsigned long long)at, wrong);
}

static void test_random(void **state)
{
	(void)state;
	random_run(60000);
}

/* The same while a toolstack could look at any time: now a middle page takes a list with it. */
static void test_random_published(void **state)
{
	(void)state;
	assert_int_equal(p2m_publish(&tree, &shared), 0);
	random_run(20000);
	assert_int_equal(tree.pages + tree.list_pages, pool_used());
}

/* A tree with something of every kind in it. */
static void furnish(void)
{
	assert_int_equal(p2m_set_identity_range(&tree, _pfn(0xa0), _pfn(0x100)), 0);
	assert_int_equal(p2m_set_identity_range(&tree, _pfn(0x40500), _pfn(0xc0001)), 0);
	assert_int_equal(p2m_set(&tree, _pfn(0x41234), _mfn(0x777)), 0);
	assert_int_equal(p2m_set_foreign(&tree, _pfn(0x2000), _mfn(0x888)), 0);
}

static void check_furnished(void)
{
	assert_int_equal(p2m_kind(&tree, _pfn(0x9f)), P2M_MISSING);
	assert_int_equal(p2m_kind(&tree, _pfn(0xa0)), P2M_IDENTITY);
	assert_int_equal(p2m_kind(&tree, _pfn(0x404ff)), P2M_MISSING);
	assert_int_equal(p2m_kind(&tree, _pfn(0x7ffff)), P2M_IDENTITY);
	assert_int_equal(p2m_kind(&tree, _pfn(0xbffff)), P2M_IDENTITY);
	assert_int_equal(p2m_kind(&tree, _pfn(0xc0000)), P2M_IDENTITY);
	assert_int_equal(p2m_kind(&tree, _pfn(0xc0001)), P2M_MISSING);
	assert_int_equal(p2m_get(&tree, _pfn(0x41234)), 0x777);
	assert_true(p2m_get(&tree, _pfn(0x2000)) == (0x888 | FOREIGN_FRAME_BIT));
	assert_int_equal(p2m_mfn(&tree, _pfn(POOL_FIRST + 9)).mfn, pool_mfn(POOL_FIRST + 9));
	check_audit(NULL);
}

/* What p2m_get() says and what is seen from outside: the same, but for identity by a shared page. */
static void check_outside(void)
{
	assert_int_equal(shared.arch.max_pfn, tree.max_pfn);
	for (uint64_t pfn = 0; pfn < tree.max_pfn; pfn += pfn % 1021 ? 1 : 311) {
		uint64_t entry = p2m_get(&tree, _pfn(pfn)), seen = seen_from_outside(pfn);

		if (seen != entry)
			assert_true(seen == INVALID_P2M_ENTRY &&
				    p2m_entry_kind(entry) == P2M_IDENTITY);
	}
}

/* Rule: not a word in shared_info before p2m_publish(), and from then on no moment without sense. */
static void test_publish(void **state)
{
	uint64_t pages;

	(void)state;
	furnish();
	assert_int_equal(shared.arch.max_pfn, 0);
	pages = tree.pages;
	assert_int_equal(p2m_publish(&tree, &shared), 0);
	/* Slots 0, 1, 3 and the pool's; slot 2 is the shared identity page. */
	assert_int_equal(tree.list_pages, 4 + 4);
	assert_int_equal(tree.pages, pages);
	check_furnished();
	check_outside();

	/* A hole of a whole slot is split, and joined: in one call, tree and list. */
	assert_int_equal(p2m_set(&tree, _pfn(0x90000), _mfn(0x999)), 0);
	assert_int_equal(seen_from_outside(0x90000), 0x999);
	assert_true(seen_from_outside(0x90001) == (0x90001 | IDENTITY_FRAME_BIT));
	assert_true(seen_from_outside(0x90200) == INVALID_P2M_ENTRY);
	assert_int_equal(tree.list_pages, 4 + 5);
	check_audit(NULL);
	assert_int_equal(p2m_set_identity_range(&tree, _pfn(0x90000), _pfn(0x90001)), 0);
	assert_int_equal(tree.list_pages, 4 + 4);
	check_outside();

	/* max_pfn goes up with RAM and down again, not with a foreign frame. */
	assert_int_equal(p2m_set_foreign(&tree, _pfn(0x600000), _mfn(5)), 0);
	assert_int_equal(shared.arch.max_pfn, POOL_FIRST + POOL_PAGES);
	assert_int_equal(p2m_set(&tree, _pfn(0x600000), _mfn(5)), 0);
	assert_int_equal(shared.arch.max_pfn, 0x600001);
	check_outside();
	assert_int_equal(p2m_clear(&tree, _pfn(0x600000)), 0);
	assert_int_equal(shared.arch.max_pfn, POOL_FIRST + POOL_PAGES);
	check_outside();
}

static void test_publish_fails(void **state)
{
	uint64_t used;

	(void)state;
	furnish();
	used = pool_used();
	for (uint64_t n = 0; n < 8; n++) {
		pool_limit(n);
		assert_int_equal(p2m_publish(&tree, &shared), -ENOMEM);
		assert_int_equal(pool_used(), used);
		assert_int_equal(shared.arch.pfn_to_mfn_frame_list_list, 0);
		check_furnished();
	}
	/* A leaf that the tree itself does not know as RAM can't be named. */
	pool_limit(UINT64_MAX);
	assert_int_equal(p2m_clear(&tree, _pfn(POOL_FIRST + 7)), 0);
	assert_int_equal(p2m_publish(&tree, &shared), -EINVAL);
	assert_int_equal(pool_used(), used);
	assert_int_equal(shared.arch.max_pfn, 0);
	assert_int_equal(p2m_set(&tree, _pfn(POOL_FIRST + 7), _mfn(pool_mfn(POOL_FIRST + 7))), 0);
	pool_limit(8);
	assert_int_equal(p2m_publish(&tree, &shared), 0);
	/* A middle page takes its list along: with one page short nothing happens. */
	for (uint64_t n = 0; n < 3; n++) {
		pool_limit(n);
		assert_int_equal(p2m_set(&tree, _pfn(0x600000), _mfn(1)), -ENOMEM);
		check_furnished();
	}
	pool_limit(3);
	assert_int_equal(p2m_set(&tree, _pfn(0x600000), _mfn(1)), 0);
	pool_limit(UINT64_MAX);
	p2m_unpublish(&tree);
	assert_int_equal(tree.pages, pool_used());
	p2m_unpublish(&tree);
}

/* After a restore every MFN is another one: lists made before it name strangers' frames. */
static void test_publish_again(void **state)
{
	struct shared_info elsewhere = { 0 };
	uint64_t used;

	(void)state;
	furnish();
	assert_int_equal(p2m_publish(&tree, &shared), 0);
	used = pool_used();
	for (uint64_t pfn = POOL_FIRST; pfn < POOL_FIRST + POOL_PAGES; pfn++)
		assert_int_equal(p2m_set(&tree, _pfn(pfn), _mfn(pool_mfn(pfn) + 0x1000)), 0);
	check_audit("frame list");
	assert_int_equal(p2m_publish(&tree, &elsewhere), 0);
	assert_int_equal(pool_used(), used);
	check_audit(NULL);
	assert_int_equal(elsewhere.arch.max_pfn, tree.max_pfn);
	assert_int_equal(p2m_publish(&tree, &shared), 0);
}

/* Rule: after the move the old mapping may go; a pointer that was left behind faults here. */
static void test_rebase(void **state)
{
	uintptr_t base;

	(void)state;
	furnish();
	assert_int_equal(p2m_publish(&tree, &shared), 0);
	base = pool_map_again();
	p2m_rebase(&tree, base);
	pool_forget_first();
	assert_true(pool_base() == base);
	check_furnished();
	check_outside();
	assert_int_equal(p2m_clear_range(&tree, _pfn(0), _pfn(P2M_RANDOM_END)), 0);
	random_run(2000);
	furnish();
	check_furnished();
	check_outside();
}

/* Each kind of fact broken once: an audit that finds nothing is worth nothing. */
static void test_audit(void **state)
{
	uint64_t *leaf, *foreign, **mid;

	(void)state;
	furnish();
	assert_int_equal(p2m_publish(&tree, &shared), 0);

#define BREAK(lvalue, value, want)                \
	do {                                      \
		__typeof__(lvalue) old_ = lvalue; \
		lvalue = value;                   \
		check_audit(want);                \
		lvalue = old_;                    \
		check_audit(NULL);                \
	} while (0)

	BREAK(tree.shared_leaf[P2M_MISSING][77], 0, "shared leaf");
	BREAK(tree.shared_leaf[P2M_IDENTITY][511], 5, "shared leaf");
	BREAK(tree.shared_mid[P2M_IDENTITY][3], tree.shared_leaf[P2M_MISSING], "shared middle");
	BREAK(tree.shared_mid[P2M_MISSING][0], tree.shared_leaf[P2M_IDENTITY], "shared middle");
	leaf = tree.top[0][0];
	BREAK(leaf[0xa1], 0xa2 | IDENTITY_FRAME_BIT, "another pfn");
	BREAK(leaf[0xa1], P2M_MFN_END, "no MFN");
	BREAK(leaf[0xa1], FOREIGN_FRAME_BIT | IDENTITY_FRAME_BIT, "no MFN");
	BREAK(tree.max_pfn, tree.max_pfn + 1, "max_pfn");
	BREAK(tree.pages, tree.pages + 1, "count of pages");
	BREAK(tree.list_pages, tree.list_pages - 1, "count of list pages");
	BREAK(shared.arch.max_pfn, 1, "another max_pfn");
	BREAK(shared.arch.pfn_to_mfn_frame_list_list, 1, "list of lists");
	BREAK(tree.lists[0][5], 0, "frame list");
	BREAK(tree.list_list[2], UINT64_MAX, "frame list");
	BREAK(tree.shared_list[P2M_IDENTITY][9], 0, "frame list");
	BREAK(tree.lists[5], tree.lists[0], "one kind");
	BREAK(tree.lists[2], tree.shared_list[P2M_MISSING], "another kind");

	/* Pages of one kind that are not the shared ones. */
	mid = tree.top[0];
	for (uint64_t i = 0xa0; i < 0x100; i++)
		leaf[i] = INVALID_P2M_ENTRY;
	check_audit("leaf of one kind");
	for (uint64_t i = 0xa0; i < 0x100; i++)
		leaf[i] = i | IDENTITY_FRAME_BIT;
	foreign = mid[0x2000 / P2M_ENTRIES];
	mid[0] = mid[0x2000 / P2M_ENTRIES] = tree.shared_leaf[P2M_MISSING];
	check_audit("middle page of one kind");
	mid[0] = leaf;
	check_audit("count of pages");
	mid[0x2000 / P2M_ENTRIES] = foreign;
}

int main(void)
{
#define with_tree(test) cmocka_unit_test_setup_teardown(test, open_tree, close_tree)
	const struct CMUnitTest tests[] = {
		with_tree(test_random),	       with_tree(test_random_published),
		with_tree(test_publish),       with_tree(test_publish_fails),
		with_tree(test_publish_again), with_tree(test_rebase),
		with_tree(test_audit),
	};

	return cmocka_run_group_tests_name("p2m", tests, NULL, NULL);
}
