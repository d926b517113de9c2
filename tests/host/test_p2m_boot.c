/* SPDX-License-Identifier: MIT */
/*
 * Moving RAM out of holes at boot, and the M2P, on the machine of machine.h.
 *
 * check() holds for every map: no frame is lost or doubled, each is where Xen now says it is, only
 * frames in holes have moved, and the pfns of holes are identity. The cases add what is theirs.
 */
#include "host.h"
#include <pinion/lib/errno.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/va_base.h>
#include "machine.h"
#include "p2m_pool.h"

static bool in_use(uint64_t pfn)
{
	return (pfn >= IMAGE && pfn < pfn_x(bi.stack_end)) ||
	       pfn - pfn_x(bi.module.start) < bi.module.nr || pfn == pfn_x(bi.console.pfn) ||
	       pfn == pfn_x(bi.store.pfn);
}

/* One pfn after boot. Returns whether it is RAM. */
static bool check_pfn(uint64_t pfn)
{
	uint64_t entry = p2m_get(&kernel_p2m, _pfn(pfn)), old;
	bool given = pfn < bi.nr_pages;

	switch (p2m_entry_kind(entry)) {
	case P2M_IDENTITY:
		assert_true(entry == (pfn | IDENTITY_FRAME_BIT));
		assert_true(in_hole(pfn));
		assert_int_equal(pfn_x(mfn_to_pfn(_mfn(pfn))), pfn);
		return false;
	case P2M_RAM:
		old = bi.nr_pages - 1 - (entry - MFN_FIRST);
		assert_true(old < bi.nr_pages);
		assert_int_equal(xen.m2p[entry - MFN_FIRST], pfn);
		assert_int_equal(pfn_x(mfn_to_pfn(_mfn(entry))), pfn);
		if (given) {
			assert_int_equal(old, pfn);
			assert_false(pfn < pfn_x(bi.region_end) && xen.unmapped[pfn]);
		} else {
			assert_true(in_hole(old) && !in_use(old) && !in_hole(pfn));
			assert_true(old >= pfn_x(bi.region_end) || xen.unmapped[old]);
		}
		return true;
	default:
		assert_true(entry == INVALID_P2M_ENTRY && !in_hole(pfn) && !given);
		return false;
	}
}

/* See the top. @stay: frames that stay in holes. */
static void check(uint64_t stay)
{
	uint64_t ram = 0, identity = 0, holes = 0, moved_below = 0;
	pfn_t where;

	assert_null(p2m_audit(&kernel_p2m, &where));
	for (uint64_t pfn = 0; pfn < 0x180000; pfn++) {
		bool is_ram = check_pfn(pfn);

		ram += is_ram;
		moved_below += is_ram && pfn >= bi.nr_pages;
		holes += in_hole(pfn);
		identity += p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_IDENTITY;
	}
	for (uint64_t pfn = 0x180000; pfn < P2M_PFNS; pfn += 12345)
		check_pfn(pfn);
	check_pfn(P2M_PFNS - 1);
	assert_int_equal(ram, bi.nr_pages);
	assert_int_equal(identity, holes - stay);
	assert_int_equal(report.in_use, stay);
	assert_int_equal(report.moved, moved_below);
	assert_int_equal(xen.updates, report.moved);
	assert_int_equal(kernel_p2m.max_pfn,
			 pfn_x(p2m_ram_end(&kernel_p2m, _pfn(kernel_p2m.max_pfn - 1))));
}

/* dom0's: the machine's own map, here that of QEMU with 1 GiB. */
static const struct e820_entry machine_map[] = {
	{ 0, 0x9fc00, E820_RAM },
	{ 0x9fc00, 0x400, E820_RESERVED },
	PAGES(0xf0ULL, 0x100, E820_RESERVED),
	PAGES(0x100ULL, 0x3ffe0, E820_RAM),
	PAGES(0x3ffe0ULL, 0x40000, E820_RESERVED),
	PAGES(0xfec00ULL, 0xfec01, E820_RESERVED),
	PAGES(0xfee00ULL, 0xfef00, E820_RESERVED),
	PAGES(0xfffc0ULL, 0x100000, E820_RESERVED),
	PAGES(0xfd00000ULL, 0x10000000, E820_RESERVED),
	{ 0, 0, 0 },
};

static void test_dom0(void **state)
{
	(void)state;
	start(0x8000, machine_map, 200);
	assert_int_equal(boot(), 0);
	check(0);
	/* 0x9f-0xff, each to the lowest pfn there is, in order. */
	assert_int_equal(report.moved, 97);
	for (uint64_t pfn = 0x9f; pfn < 0x100; pfn++)
		assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(0x8000 + pfn - 0x9f)).mfn,
				 first_mfn(pfn));
	assert_int_equal(kernel_p2m.max_pfn, 0x8061);
	assert_int_equal(xen.unmaps, 97);
	/* The empty tree's five, a middle page, Xen's 64, a leaf for what moved, and one that ends in
	 * the hole from 0x3ffe0 on. */
	assert_int_equal(kernel_p2m.pages, 5 + 1 + 64 + 1 + 1);
	assert_true(report.clamped);
	assert_non_null(libc_strstr(host_console(), "beyond the tree"));
	finish();
}

/* RIG: e820_host=1 with 128 MiB. Nothing to move; unusable is not identity. */
static void test_e820_host(void **state)
{
	static const struct e820_entry map[] = {
		PAGES(0ULL, 0x8000, E820_RAM),
		PAGES(0x8000ULL, 0x3ffe0, E820_UNUSABLE),
		PAGES(0x3ffe0ULL, 0x40000, E820_RESERVED),
		PAGES(0xfec00ULL, 0xfec01, E820_RESERVED),
		PAGES(0xfee00ULL, 0xfef00, E820_RESERVED),
		PAGES(0xfffc0ULL, 0x100000, E820_RESERVED),
		PAGES(0xfd00000ULL, 0x10000000, E820_RESERVED),
		{ 0, 0, 0 },
	};

	(void)state;
	start(0x8000, map, 200);
	assert_int_equal(boot(), 0);
	check(0);
	assert_int_equal(report.moved, 0);
	assert_int_equal(p2m_kind(&kernel_p2m, _pfn(0x10000)), P2M_MISSING);
	assert_int_equal(p2m_kind(&kernel_p2m, _pfn(0xfee00)), P2M_IDENTITY);
	finish();
}

/* A plain domU whose map reaches past nr_pages: RAM not given is missing, and so is all above. */
static void test_plain_domu(void **state)
{
	static const struct e820_entry map[] = { PAGES(0ULL, 0x4000, E820_RAM), { 0, 0, 0 } };
	static const struct e820_entry none[] = { { 0, 0, 0 } };

	(void)state;
	start(0x1000, map, 200);
	assert_int_equal(boot(), 0);
	check(0);
	assert_int_equal(report.identity, 0);
	assert_int_equal(kernel_p2m.max_pfn, 0x1000);
	assert_int_equal(kernel_p2m.pages, 5 + 1 + 8);
	assert_false(report.clamped);
	finish();
	start(0x1000, none, 200);
	assert_int_equal(boot(), 0);
	check(0);
	finish();
}

/*
 * dom0 with 4 GiB and the hole below 4 GiB in the midst of it: a GiB moves, in whole pages of the
 * mfn_list, so that it takes a few pages where copying would take 512.
 */
static void test_4g(void **state)
{
	static const struct e820_entry map[] = {
		{ 0, 0x9fc00, E820_RAM },
		PAGES(0x100ULL, 0xbffe0, E820_RAM),
		PAGES(0xbffe0ULL, 0xc0000, E820_RESERVED),
		PAGES(0xfec00ULL, 0x100000, E820_RESERVED),
		PAGES(0x100000ULL, 0x240000, E820_RAM),
		{ 0, 0, 0 },
	};
	uint64_t before;

	(void)state;
	start(0x100000, map, 128);
	before = pool_used();
	assert_int_equal(boot(), 0);
	check(0);
	assert_int_equal(report.moved, 97 + 32 + 0x40000);
	assert_int_equal(report.relinked, 512);
	/* The single frames first; then whole leaves from the next border on, the very pages of Xen. */
	assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(0x100000)).mfn, first_mfn(0x9f));
	assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(0x100200)).mfn, first_mfn(0xc0000));
	assert_ptr_equal(kernel_p2m.top[4][1], (uint64_t *)pool_page(IMAGE + 16) + 0xc0000);
	assert_ptr_equal(kernel_p2m.top[3], kernel_p2m.shared_mid[P2M_IDENTITY]);
	assert_int_equal(xen.unmaps, 97);
	assert_true(pool_most() - before <= 5 + 4 + 2 + 1);
	finish();
}

/* The last page of the list is not full, and all of its frames lie in a hole: 1, 256 and 511 of them.
 * They move one by one, and the page goes back to the allocator. */
static void test_tails(void **state)
{
	static const uint64_t tails[] = { 1, 256, 511 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(tails); i++) {
		uint64_t nr = 0x1000 + tails[i];
		struct e820_entry map[] = {
			PAGES(0ULL, 0x1000, E820_RAM),
			PAGES(0x1000ULL, 0x1200, E820_RESERVED),
			PAGES(0x1200ULL, 0x4000, E820_RAM),
			{ 0, 0, 0 },
		};

		start(nr, map, 128);
		assert_int_equal(boot(), 0);
		check(0);
		assert_int_equal(report.moved, tails[i]);
		assert_int_equal(report.relinked, 0);
		assert_int_equal(kernel_p2m.max_pfn, 0x1200 + tails[i]);
		assert_ptr_equal(kernel_p2m.top[0][8], kernel_p2m.shared_leaf[P2M_IDENTITY]);
		pool_reserve(IMAGE + 16 + 8); /* it is free: this would panic otherwise */
		assert_int_equal(kernel_p2m.pages, 5 + 1 + 8 + 1);
		finish();
	}
}

/* Frames in use stay, and the log says which: the image, the module elsewhere, the rings. */
static void test_in_use(void **state)
{
	static const struct e820_entry map[] = {
		PAGES(0ULL, 0x108, E820_RAM),	    PAGES(0x108ULL, 0x10a, E820_RESERVED),
		PAGES(0x10aULL, 0x800, E820_RAM),   PAGES(0x800ULL, 0x1000, E820_NVS),
		PAGES(0x1000ULL, 0x4000, E820_RAM), { 0, 0, 0 },
	};

	(void)state;
	start(0x1000, map, 128);
	bi.module = (struct frame_run){ _pfn(0x900), 3 };
	bi.console.pfn = _pfn(0x88);
	bi.store.pfn = _pfn(0xc01);
	assert_int_equal(boot(), 0);
	check(2 + 3 + 1);
	assert_non_null(libc_strstr(host_console(), "[0x108, 0x10a) lies in a hole"));
	assert_non_null(libc_strstr(host_console(), "[0x900, 0x903)"));
	assert_non_null(libc_strstr(host_console(), "[0xc01, 0xc02)"));
	/* Two of the hole's leaves move whole, the other two by single frames. */
	assert_int_equal(report.relinked, 2);
	assert_int_equal(report.moved, 0x800 - 4);
	finish();
}

/* Where frames go: over what is a hole, into unusable pfns as well, above the map's last range. */
static void test_targets(void **state)
{
	static const struct e820_entry map[] = {
		PAGES(0ULL, 0x600, E820_RAM),	       PAGES(0x610ULL, 0x801, E820_RAM),
		PAGES(0x803ULL, 0x804, E820_UNUSABLE), PAGES(0x806ULL, 0x808, E820_RAM),
		PAGES(0x80aULL, 0x80c, E820_ACPI),     { 0, 0, 0 },
	};
	static const uint64_t want[] = { 0x800, 0x803, 0x806, 0x807, 0x80c, 0x80d, 0x80e };

	(void)state;
	start(0x800, map, 128);
	assert_int_equal(boot(), 0);
	check(0);
	assert_int_equal(report.moved, 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(want[i])).mfn, first_mfn(0x600 + i));
	finish();
}

/* A whole leaf goes right behind the last frame if a leaf ends there and no hole begins before the next: none is left out. */
static void test_leaf_target(void **state)
{
	static const struct e820_entry map[] = {
		PAGES(0ULL, 0x600, E820_RAM),
		PAGES(0x800ULL, 0x1200, E820_RAM),
		PAGES(0x1300ULL, 0x4000, E820_RAM),
		{ 0, 0, 0 },
	};
	static const struct e820_entry both[] = {
		PAGES(0ULL, 0x400, E820_RAM),
		PAGES(0x600ULL, 0x810, E820_RAM),
		PAGES(0x820ULL, 0x4000, E820_RAM),
		{ 0, 0, 0 },
	};

	(void)state;
	start(0x1000, map, 128);
	assert_int_equal(boot(), 0);
	check(0);
	assert_int_equal(report.relinked, 1);
	assert_int_equal(kernel_p2m.max_pfn, 0x1200);
	assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(0x1000)).mfn, first_mfn(0x600));
	finish();
	/* Single frames of a later hole come first all the same, and the leaf behind them. */
	start(0x1000, both, 128);
	assert_int_equal(boot(), 0);
	check(0);
	assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(0x1000)).mfn, first_mfn(0x810));
	assert_int_equal(p2m_mfn(&kernel_p2m, _pfn(0x1200)).mfn, first_mfn(0x400));
	finish();
}

/* All above is hole up to the tree's end and beyond: nowhere to go, so they stay, as RAM. */
static void test_no_target(void **state)
{
	static const struct e820_entry map[] = {
		PAGES(0ULL, 0x400, E820_RAM),
		PAGES(0x602ULL, 0x803, E820_RAM),
		PAGES(0xfd00000ULL, 0x10000000, E820_RESERVED),
		{ 0, 0, 0 },
	};

	(void)state;
	start(0x800, map, 128);
	assert_int_equal(boot(), 0);
	check(0x202 - 3);
	assert_int_equal(report.moved, 3);
	assert_int_equal(report.relinked, 0);
	finish();
}

/* Neither too little memory nor a refusal of Xen's is lost on the way up; the tree holds together. */
static void test_failures(void **state)
{
	pfn_t where;
	uint64_t n;
	int rc;

	(void)state;
	for (n = 0;; n++) {
		start(0x8000, machine_map, 200);
		pool_limit(n);
		rc = boot();
		if (rc == 0)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(kernel_p2m.pages == 0, n < 6);
		if (n >= 6)
			assert_null(p2m_audit(&kernel_p2m, &where));
		finish();
	}
	assert_int_equal(n, 5 + 1 + 2);
	finish();
	/* For each frame that moves a mapping is removed, and the M2P told. */
	for (n = 0; n < 2 * 97; n++) {
		start(0x8000, machine_map, 200);
		xen.refuse = n;
		assert_int_equal(boot(), -EINVAL);
		assert_null(p2m_audit(&kernel_p2m, &where));
		finish();
	}
	start(0x8000, machine_map, 200);
	xen.refuse = n;
	assert_int_equal(boot(), 0);
	finish();
}

/* Any map of a few MiB: RAM, holes and all kinds, by pages, with junk of lengths. */
static void test_random(void **state)
{
	unsigned int moved = 0, relinked = 0;
	struct rng rng;
	int rc;

	(void)state;
	host_seed(&rng);
	for (int round = 0; round < 60; round++) {
		struct e820_entry map[12] = { { 0 } };
		uint64_t nr = 1200 + rng_below(&rng, 5000), at = 0, stay = 0, n = 2;

		for (unsigned int i = 0; i < 11; i++, at += n) {
			at += rng_below(&rng, 3) ? 0 : rng_below(&rng, 700);
			n = 1 + rng_below(&rng, rng_below(&rng, 2) ? 2000 : 20);
			map[i] = (struct e820_entry)PAGES(at, at + n, 1 + rng_below(&rng, 5));
		}
		start(nr, map, 400);
		if (rng_below(&rng, 2))
			bi.module = (struct frame_run){ _pfn(700 + rng_below(&rng, 300)), 99 };
		for (uint64_t pfn = 0; pfn < nr; pfn++)
			stay += in_hole(pfn) && in_use(pfn);
		/* Where nearly all of the boot region is hole there are no pages for a tree. */
		rc = boot();
		if (rc == 0) {
			check(stay);
			moved += report.moved > 0;
			relinked += report.relinked > 0;
		} else {
			assert_int_equal(rc, -ENOMEM);
		}
		finish();
	}
	printf("# frames moved in %u rounds, whole leaves in %u\n", moved, relinked);
	assert_true(moved > 5 && relinked > 3);
}

/* mfn_to_pfn(): Xen's table says what it likes. */
static void test_m2p(void **state)
{
	uint64_t mfn;

	(void)state;
	start(0x8000, machine_map, 200);
	assert_int_equal(boot(), 0);
	/* Beyond the table: not even looked at. */
	for (mfn = M2P_MFNS; mfn; mfn <<= 1)
		assert_true(pfn_x(mfn_to_pfn(_mfn(mfn))) == INVALID_PFN_X);
	assert_true(pfn_x(mfn_to_pfn(INVALID_MFN)) == INVALID_PFN_X);
	/* Where the table has a hole: identity or nothing. */
	assert_true(pfn_x(mfn_to_pfn(_mfn(M2P_MFNS - 1))) == INVALID_PFN_X);
	assert_int_equal(pfn_x(mfn_to_pfn(_mfn(0xfee00))), 0xfee00);
	assert_true(pfn_x(mfn_to_pfn(_mfn(0x1234))) == INVALID_PFN_X);
	/* Lies: another frame's pfn, no pfn, one far out, SHARED, and a foreign frame's. */
	mfn = first_mfn(0x1234);
	assert_int_equal(pfn_x(mfn_to_pfn(_mfn(mfn))), 0x1234);
	assert_int_equal(m2p_set(_mfn(mfn), _pfn(0x1235)), 0);
	assert_true(pfn_x(mfn_to_pfn(_mfn(mfn))) == INVALID_PFN_X);
	for (uint64_t bit = 15; bit < 64; bit++) {
		assert_int_equal(m2p_set(_mfn(mfn), _pfn(UINT64_C(1) << bit)), 0);
		assert_true(pfn_x(mfn_to_pfn(_mfn(mfn))) == INVALID_PFN_X);
	}
	assert_int_equal(m2p_set(_mfn(mfn), _pfn(UINT64_MAX - 1)), 0);
	assert_true(pfn_x(mfn_to_pfn(_mfn(mfn))) == INVALID_PFN_X);
	assert_int_equal(p2m_set_foreign(&kernel_p2m, _pfn(0x20000), _mfn(mfn)), 0);
	assert_int_equal(m2p_set(_mfn(mfn), _pfn(0x20000)), 0);
	assert_true(pfn_x(mfn_to_pfn(_mfn(mfn))) == INVALID_PFN_X);
	assert_int_equal(m2p_set(_mfn(0x99), _pfn(1)), -EINVAL);

	/* m2p_sync(): RAM alone, all of it, and Xen's error as it is. */
	xen.updates = 0;
	assert_int_equal(m2p_sync(&kernel_p2m, _pfn(0x90), 1000), 0);
	assert_int_equal(xen.updates, 1000 - 97);
	assert_int_equal(m2p_sync(&kernel_p2m, _pfn(0x1234), 1), 0);
	assert_int_equal(pfn_x(mfn_to_pfn(_mfn(mfn))), 0x1234);
	assert_int_equal(m2p_sync(&kernel_p2m, _pfn(0xa0), 0x60), 0);
	assert_int_equal(m2p_sync(&kernel_p2m, _pfn(0), 0), 0);
	xen.refuse = 1;
	assert_int_equal(m2p_sync(&kernel_p2m, _pfn(0x1000), 100), -EINVAL);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dom0),	   cmocka_unit_test(test_e820_host),
		cmocka_unit_test(test_plain_domu), cmocka_unit_test(test_4g),
		cmocka_unit_test(test_tails),	   cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_targets),	   cmocka_unit_test(test_leaf_target),
		cmocka_unit_test(test_no_target),  cmocka_unit_test(test_failures),
		cmocka_unit_test(test_random),	   cmocka_unit_test(test_m2p),
	};

	return cmocka_run_group_tests_name("p2m_boot", tests, NULL, NULL);
}
