/* SPDX-License-Identifier: MIT */
/*
 * The model's entries: bits, L1TF, MMIO, foreign frames; and one entry of a live table that becomes another.
 */
#include "model_kit.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Every bit of an entry, at every level, by itself: allowed or -EINVAL, as ABI's 'Allowed bits'. */
static void test_bits(void **state)
{
	static const struct {
		const struct model_profile *profile;
		bool debug;
		uint64_t bad_l1;
	} kinds[] = {
		{ &kit_domu, false, BIT(3) | BIT(4) | BIT(7) },
		{ &kit_domu, true, BIT(3) | BIT(4) | BIT(7) | BIT(62) },
		{ &kit_dom0, false, 0 },
		{ &kit_dom0, true, BIT(62) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct kit *kit = kit_new(kinds[i].profile);

		kit->m.profile.debug = kinds[i].debug;
		for (unsigned int bit = 1; bit < 64; bit++) {
			if (bit >= 12 && bit < 52)
				continue;
			for (unsigned int level = 1; level <= 4; level++) {
				const mfn_t in[] = { kit->data, kit->l1, kit->l2, kit->l3,
						     kit->l4 };
				const uint64_t bad = level == 1 ? kinds[i].bad_l1
								: BIT(3) | BIT(4) | BIT(7) | BIT(8);
				const uint64_t pte = pte_make(in[level - 1], PTE_P | BIT(bit));

				assert_int_equal(kit_update(kit, in[level], 1, pte),
						 (bad & BIT(bit)) ? -EINVAL : 0);
				assert_int_equal(kit_update(kit, in[level], 1, 0), 0);
			}
		}
		kit_free(kit);
	}
}

/* What Xen stores, told here by cases and not by the rule. */
static void test_stored(void **state)
{
	static const struct {
		unsigned int level;
		uint64_t written, stored;
	} cases[] = {
		{ 1, PTE_P, PTE_P | PTE_US | PTE_GK },
		{ 1, PTE_P | PTE_US, PTE_P | PTE_US | PTE_G },
		{ 1, PTE_P | PTE_GK, PTE_P | PTE_US | PTE_GK },
		{ 1, PTE_P | PTE_US | PTE_GK, PTE_P | PTE_US | PTE_GK },
		{ 1, PTE_P | PTE_G, PTE_P | PTE_G | PTE_US | PTE_GK },
		{ 1, PTE_P | PTE_NX | PTE_A, PTE_P | PTE_NX | PTE_A | PTE_US | PTE_GK },
		{ 1, PTE_RW | PTE_AVL, PTE_RW | PTE_AVL },
		{ 2, PTE_P, PTE_P | PTE_US },
		{ 2, PTE_P | PTE_RW | PTE_NX, PTE_P | PTE_RW | PTE_NX | PTE_US },
		{ 2, PTE_RW, PTE_RW },
		{ 3, PTE_P | PTE_GK, PTE_P | PTE_GK | PTE_US },
		{ 3, 0, 0 },
		{ 4, PTE_P, PTE_P | PTE_US | PTE_A },
		{ 4, PTE_P | PTE_US | PTE_A, PTE_P | PTE_US | PTE_A },
		{ 4, PTE_US, PTE_US },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(model_adjust(cases[i].level, cases[i].written) == cases[i].stored);
}

/* The model's bits and the kernel's own idea of them (arch/x86/pte.c) were written apart, and agree on every combination of flags. */
static void test_stored_as_the_kernel_says(void **state)
{
	(void)state;
	for (unsigned int level = 1; level <= 4; level++) {
		for (uint64_t low = 0; low < 4096; low++) {
			for (uint64_t high = 0; high < 4; high++) {
				const uint64_t pte = low | (high & 1 ? PTE_GK : 0) |
						     (high & 2 ? PTE_NX : 0) | 0x1234000;

				assert_true(model_adjust(level, pte) ==
					    pte_as_stored(level, pte, false));
			}
		}
	}
}

/* MMIO: who may map it and what becomes of its cacheability. RW is no type here, and no count is kept. */
static void test_mmio(void **state)
{
	static const struct {
		uint64_t asked, got;
	} kinds[] = {
		{ 0, PTE_PCD | PTE_PWT },
		{ PTE_PWT, PTE_PCD | PTE_PWT },
		{ PTE_PCD, PTE_PCD },
		{ PTE_PCD | PTE_PWT, PTE_PCD | PTE_PWT },
		{ PTE_PAT, PTE_PAT },
		{ PTE_PAT | PTE_PWT, PTE_PCD | PTE_PWT },
		{ PTE_PAT | PTE_PCD, PTE_PAT | PTE_PCD },
		{ PTE_PAT | PTE_PCD | PTE_PWT, PTE_PAT | PTE_PCD | PTE_PWT },
	};
	static const mfn_t io[] = { { 5 }, { KIT_FRAMES }, { 0xfee00 - 1 }, { BIT(28) - 1 } };
	struct kit *kit = kit_new(&kit_dom0);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(io); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			assert_int_equal(
				kit_update(kit, kit->l1, 7, pte_make(io[i], LEAF | kinds[k].asked)),
				0);
			assert_true(*kit_pte(kit, kit->l1, 7) ==
				    pte_make(io[i], LEAF | PTE_G | kinds[k].got));
			assert_true(pte_as_stored(1, pte_make(io[i], LEAF | kinds[k].asked),
						  true) == *kit_pte(kit, kit->l1, 7));
		}
	}
	assert_int_equal(kit_update(kit, kit->l1, 7, 0), 0);
	EXPECT_FRAME(kit, KIT_IO, 1, MODEL_WRITABLE, 1);
	kit_free(kit);
}

/* The I/O APIC can be read only (mmio_ro_ranges): an entry that says more says less afterwards, one that does not is as any. */
static void test_mmio_read_only(void **state)
{
	const mfn_t io_apic = { 0xfec00 };
	const uint64_t uncached = PTE_G | PTE_PCD | PTE_PWT;
	struct kit *kit = kit_new(&kit_dom0);

	(void)state;
	assert_int_equal(kit_update(kit, kit->l1, 7, pte_make(io_apic, LEAF | PTE_RW)), 0);
	assert_true(*kit_pte(kit, kit->l1, 7) == pte_make(io_apic, (LEAF & ~PTE_RW) | uncached));
	assert_int_equal(kit_update(kit, kit->l1, 7, pte_make(io_apic, LEAF & ~PTE_RW)), 0);
	assert_true(*kit_pte(kit, kit->l1, 7) == pte_make(io_apic, (LEAF & ~PTE_RW) | uncached));
	assert_int_equal(kit_update(kit, kit->l1, 7, 0), 0);
	kit_free(kit);
}

/* MMIO in an L1 that is promoted is changed there too, and the next promotion finds it right already. */
static void test_mmio_promoted(void **state)
{
	struct kit *kit = kit_bare(&kit_dom0);
	const mfn_t l1 = kit_page(kit);

	(void)state;
	kit_set(kit, l1, 0, KIT_IO, LEAF);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kit_pin(kit, l1, MODEL_L1), 0);
		assert_true(*kit_pte(kit, l1, 0) ==
			    pte_make(KIT_IO, LEAF | PTE_G | PTE_PCD | PTE_PWT));
		kit_unpin(kit, l1);
	}
	EXPECT_FRAME(kit, KIT_IO, 1, MODEL_WRITABLE, 1);
	kit_free(kit);
}

/* Frames that an entry may not map, and the errno of each, for dom0 and for a domU. */
static void test_foreign_frames(void **state)
{
	static const struct {
		mfn_t mfn;
		int dom0, domu;
	} cases[] = {
		{ { 5 }, 0, -EPERM },	       /* MMIO that Xen knows */
		{ { KIT_FRAMES }, 0, -EPERM }, /* beyond RAM */
		{ { 0xfec00 }, 0, -EPERM },    /* I/O APIC */
		{ { 0xfec01 }, 0, -EPERM },
		{ { 0xfee00 }, -EPERM, -EPERM }, /* local APIC, and MSI */
		{ { 0xfeeff }, -EPERM, -EPERM },
		{ { 0xfef00 }, 0, -EPERM },
		{ { BIT(28) }, -EPERM, -EPERM }, /* beyond the CPU's 40 bits */
		{ { BIT(40) - 2 }, -EPERM, -EPERM },
		{ { BIT(40) - 1 }, -EINVAL, -EINVAL }, /* INVALID_MFN */
		{ { 17 }, -EBUSY, -EBUSY },	       /* Xen's */
		{ { 25 }, -EBUSY, -EBUSY },	       /* another domain's */
		{ { 200 }, -EBUSY, -EBUSY },	       /* the heap's */
	};

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		struct kit *kit = kit_new(dom0 ? &kit_dom0 : &kit_domu);

		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			const int want = dom0 ? cases[i].dom0 : cases[i].domu;
			const uint64_t before = *kit_pte(kit, kit->l1, 3);

			assert_int_equal(kit_update(kit, kit->l1, 3, pte_make(cases[i].mfn, LEAF)),
					 want);
			if (want)
				assert_true(*kit_pte(kit, kit->l1, 3) == before);
			assert_int_equal(kit_update(kit, kit->l1, 3, 0), 0);
			assert_int_equal(kit_update(kit, kit->l2, 3, pte_make(cases[i].mfn, LINK)),
					 -EINVAL);
		}
		EXPECT_FRAME(kit, KIT_OTHER, 1, MODEL_NONE, 0);
		kit_free(kit);
	}
}

/* What Xen shares with the guest may be mapped, writable too, but as RAM: cacheability is -EACCES, and nothing is kept of it. */
static void test_shared_frame(void **state)
{
	static const uint64_t kinds[] = { PTE_PAT, PTE_PCD, PTE_PWT };
	struct kit *kit = kit_new(&kit_dom0);

	(void)state;
	assert_int_equal(kit_update(kit, kit->l1, 3, pte_make(KIT_SHARED, LEAF)), 0);
	EXPECT_FRAME(kit, KIT_SHARED, 2, MODEL_WRITABLE, 2);
	assert_int_equal(kit_update(kit, kit->l1, 4, pte_make(KIT_SHARED, LEAF | PTE_PCD)),
			 -EACCES);
	assert_int_equal(kit_update(kit, kit->l1, 4, pte_make(KIT_SHARED, LEAF_RO | PTE_PAT)),
			 -EACCES);
	assert_int_equal(kit_update(kit, kit->l1, 4, pte_make(kit->data, LEAF_RO | PTE_PAT)), 0);
	EXPECT_FRAME(kit, KIT_SHARED, 2, MODEL_WRITABLE, 2);
	/* Also where it is mapped already, and only that would change. */
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(kit_update(kit, kit->l1, 3, pte_make(KIT_SHARED, LEAF | kinds[i])),
				 -EACCES);
		assert_true(*kit_pte(kit, kit->l1, 3) == pte_make(KIT_SHARED, LEAF | PTE_G));
	}
	assert_int_equal(kit_update(kit, kit->l1, 3, 0), 0);
	EXPECT_FRAME(kit, KIT_SHARED, 1, MODEL_WRITABLE, 1);
	kit_free(kit);
}

/* The same -EACCES comes from every operation that may have to look at such an entry, and each time nothing is kept. */
static void test_shared_frame_ways(void **state)
{
	static const unsigned int updates[] = { MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD,
						MMU_PT_UPDATE_NO_TRANSLATE };
	const uint64_t cached = pte_make(KIT_SHARED, LEAF | PTE_PCD);
	struct kit *kit = kit_new(&kit_dom0);
	const mfn_t l4 = kit_page(kit), l3 = kit_page(kit), l2 = kit_page(kit), l1 = kit_page(kit);
	const mfn_t tables[] = { l1, l2, l3, l4 };
	uint32_t done;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(updates); i++) {
		kit_request(kit, 0, kit_ptr(kit->l1, 3) | updates[i], cached);
		assert_int_equal(kit_updates(kit, 1, DOMID_SELF, &done), -EACCES);
	}
	assert_int_equal(kit_call(kit, __HYPERVISOR_update_va_mapping, 0x3000, cached, 0, 0),
			 -EACCES);
	assert_int_equal(kit_call(kit, __HYPERVISOR_update_va_mapping_otherdomain, 0x3000, cached,
				  0, DOMID_SELF),
			 -EACCES);
	*kit_pte(kit, l1, 9) = cached;
	kit_set(kit, l2, 0, l1, LINK);
	kit_set(kit, l3, 0, l2, LINK);
	kit_set(kit, l4, 0, l3, LINK);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		assert_int_equal(
			kit_ext(kit, MMUEXT_PIN_L1_TABLE + (unsigned int)i, mfn_x(tables[i]), 0),
			-EACCES);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(l4), 0), -EACCES);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(l4), 0), -EACCES);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		EXPECT_FRAME(kit, tables[i], 1, MODEL_NONE, 0);
	EXPECT_FRAME(kit, KIT_SHARED, 1, MODEL_WRITABLE, 1);
	kit_check(kit);
	kit_free(kit);
}

/* L1TF: non-present entries that crash the guest, at each level, by each way; and those that do not. */
static void test_l1tf(void **state)
{
	static const struct {
		uint64_t pte;
		bool leaf, upper; /* whether it is fatal */
		uint8_t bits;
	} cases[] = {
		{ 0, false, false, 40 },
		{ PTE_RW | PTE_AVL | PTE_NX | PTE_GK, false, false, 40 },
		{ PTE_PSE, false, true, 40 },
		{ 0x1000, true, true, 40 },
		{ BIT(39), true, true, 40 },
		{ BIT(40), false, false, 40 },
		{ BIT(45), false, false, 40 },
		{ BIT(46), false, false, 40 }, /* no bit that the cache looks at */
		{ BIT(46) | 0x1000, true, true, 40 },
		{ BIT(45), true, true, 46 },		 /* RAM may be there */
		{ BIT(45) | BIT(44), false, false, 46 }, /* the upper quarter */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int level = 1; level <= 4; level++) {
			struct kit *kit = kit_new(&kit_domu);
			const mfn_t in[] = { kit->data, kit->l1, kit->l2, kit->l3, kit->l4 };
			const bool fatal = level == 1 ? cases[i].leaf : cases[i].upper;
			const mfn_t fresh = kit_page(kit);

			kit->m.profile.maddr_bits = cases[i].bits;
			assert_int_equal(kit_update(kit, in[level], 3, cases[i].pte), 0);
			assert_true(*kit_pte(kit, in[level], 3) == cases[i].pte);
			kit->m.profile.l1tf = true;
			*kit_pte(kit, fresh, 3) = cases[i].pte;
			assert_int_equal(kit_pin(kit, fresh, (enum model_type)level) != 0, fatal);
			assert_int_equal(kit->crashes, fatal);
			assert_int_equal(kit_frame(kit, fresh)->type_count, !fatal);
			assert_int_equal(kit_update(kit, in[level], 4, cases[i].pte) != 0, fatal);
			assert_int_equal(kit->crashes, 2 * fatal);
			assert_int_equal(kit->m.crashed, fatal);
			assert_true(*kit_pte(kit, in[level], 4) == (fatal ? 0 : cases[i].pte));
			kit_free(kit);
		}
	}
}

/*
 * A change of a live leaf: the new frame's counts in, the old one's out; the same frame with other marks is no change of counts; RO and
 * RW of one frame are.
 */
static void test_mod_leaf(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t page = kit_page(kit);

	(void)state;
	assert_int_equal(kit_update(kit, kit->l1, 0, pte_make(page, LEAF_RO)), 0);
	EXPECT_FRAME(kit, page, 2, MODEL_NONE, 0);
	EXPECT_FRAME(kit, kit->data, 1, MODEL_WRITABLE, 0);
	assert_int_equal(kit_update(kit, kit->l1, 0, pte_make(page, LEAF)), 0);
	EXPECT_FRAME(kit, page, 2, MODEL_WRITABLE, 1);
	assert_int_equal(
		kit_update(kit, kit->l1, 0, pte_make(page, LEAF | PTE_NX | PTE_AVL | PTE_A)), 0);
	assert_true(*kit_pte(kit, kit->l1, 0) ==
		    pte_make(page, LEAF | PTE_NX | PTE_AVL | PTE_A | PTE_G));
	EXPECT_FRAME(kit, page, 2, MODEL_WRITABLE, 1);
	assert_int_equal(kit_update(kit, kit->l1, 0, pte_make(page, PTE_P | PTE_RW)), 0);
	assert_true(*kit_pte(kit, kit->l1, 0) == pte_make(page, LEAF | PTE_GK));
	assert_int_equal(kit_update(kit, kit->l1, 0, pte_make(page, LEAF_RO)), 0);
	EXPECT_FRAME(kit, page, 2, MODEL_WRITABLE, 0);
	/* Refused: all as it was. */
	assert_int_equal(kit_update(kit, kit->l1, 0, pte_make(kit->l4, LEAF)), -EBUSY);
	assert_true(*kit_pte(kit, kit->l1, 0) == pte_make(page, LEAF_RO | PTE_G));
	EXPECT_FRAME(kit, page, 2, MODEL_WRITABLE, 0);
	EXPECT_FRAME(kit, kit->l4, 3, MODEL_L4, 2);
	assert_int_equal(kit_update(kit, kit->l1, 0, PTE_RW | PTE_AVL), 0);
	assert_true(*kit_pte(kit, kit->l1, 0) == (PTE_RW | PTE_AVL));
	EXPECT_FRAME(kit, page, 1, MODEL_WRITABLE, 0);
	kit_free(kit);
}

/*
 * The fast path takes what is there at its word: an entry whose frame became something else meanwhile, which can't be, would
 * pass. Its edges are RW, cacheability and the address: each of them goes the long way.
 */
static void test_mod_link(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const mfn_t l1 = kit_page(kit);

	(void)state;
	assert_int_equal(kit_update(kit, kit->l2, 0, pte_make(kit->l1, LINK | PTE_NX | PTE_D)), 0);
	assert_int_equal(kit->flushes, 1);
	EXPECT_FRAME(kit, kit->l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l2, 0, pte_make(kit->l1, LINK_RO)), 0);
	EXPECT_FRAME(kit, kit->l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l2, 0, pte_make(l1, LINK)), 0);
	EXPECT_FRAME(kit, kit->l1, 1, MODEL_L1, 0);
	EXPECT_FRAME(kit, kit->data, 1, MODEL_WRITABLE, 0);
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l2, 0, pte_make(kit->l2, LINK)), -EINVAL);
	assert_true(*kit_pte(kit, kit->l2, 0) == pte_make(l1, LINK));
	EXPECT_FRAME(kit, l1, 2, MODEL_L1, 1);
	assert_int_equal(kit_update(kit, kit->l3, 0, 0), 0);
	EXPECT_FRAME(kit, l1, 1, MODEL_L1, 0);
	EXPECT_FRAME(kit, kit->l2, 1, MODEL_L2, 0);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_stored_as_the_kernel_says),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_mmio_read_only),
		cmocka_unit_test(test_mmio_promoted),
		cmocka_unit_test(test_foreign_frames),
		cmocka_unit_test(test_shared_frame_ways),
		cmocka_unit_test(test_shared_frame),
		cmocka_unit_test(test_l1tf),
		cmocka_unit_test(test_mod_leaf),
		cmocka_unit_test(test_mod_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
