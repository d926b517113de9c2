/* SPDX-License-Identifier: MIT */
/*
 * tests/model/segment.c: descriptors, and the frames that hold them.
 *
 * Seen on Xen by the in-guest tests neg_desc. After each call all invariants hold.
 */
#include "model_kit.h"

/* A data segment of ring 3, present; an available 64-bit TSS; a call gate to the guest's own selector 0x33, privilege 3. */
#define DATA	  UINT64_C(0x00cff3000000ffff)
#define TSS	  UINT64_C(0x0000890000000067)
#define CALL_GATE UINT64_C(0x0000ec0000331000)

#define GDT_MAX 7168

static struct kit *begin(void)
{
	struct kit *kit = kit_new(&kit_domu);

	kit->m.check_every = 1;
	return kit;
}

static long set_gdt(struct kit *kit, const uint64_t *mfns, unsigned int nr, unsigned int entries)
{
	return kit_call(kit, __HYPERVISOR_set_gdt, kit_put(kit, 0, mfns, nr * sizeof(*mfns)),
			entries, 0, 0);
}

static long update_descriptor(struct kit *kit, mfn_t mfn, unsigned int index, uint64_t desc)
{
	return kit_call(kit, __HYPERVISOR_update_descriptor, kit_ptr(mfn, index), desc, 0, 0);
}

/* How long it may be: 14 pages; the frames beyond what is used are not looked at. */
static void test_gdt_length(void **state)
{
	static const struct {
		unsigned int entries, frames;
		long rc;
	} rows[] = {
		{ 0, 0, 0 },
		{ 1, 1, 0 },
		{ 511, 1, 0 },
		{ 512, 1, 0 },
		{ 513, 2, 0 },
		{ GDT_MAX - 512, 13, 0 },
		{ GDT_MAX, 14, 0 },
		{ GDT_MAX + 1, 0, -EINVAL },
		{ UINT32_MAX, 0, -EINVAL },
	};
	struct kit *kit = begin();
	uint64_t mfns[14];

	(void)state;
	for (unsigned int i = 0; i < 14; i++)
		mfns[i] = mfn_x(kit_page(kit));
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		const unsigned int before = kit->descriptors, flushes = kit->flushes;

		assert_int_equal(set_gdt(kit, mfns, 14, rows[r].entries), rows[r].rc);
		assert_int_equal(kit->descriptors - before, rows[r].rc == 0);
		if (rows[r].rc) {
			assert_int_equal(kit->flushes, flushes);
			continue;
		}
		assert_true(kit->flushes > flushes);
		assert_int_equal(kit->m.gdt_ents, rows[r].entries);
		for (unsigned int i = 0; i < 14; i++)
			assert_int_equal(kit_frame(kit, _mfn(mfns[i]))->type_count,
					 i < rows[r].frames);
	}
	kit_free(kit);
}

static void test_gdt_frames(void **state)
{
	struct kit *kit = begin();
	const mfn_t good = kit_page(kit);
	const uint64_t bad[] = { mfn_x(kit->data), mfn_x(kit->l1),    0,	 17, 25, 250,
				 KIT_FRAMES,	   UINT64_C(1) << 39, UINT64_MAX };
	uint64_t mfns[3] = { mfn_x(good), mfn_x(good) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		mfns[2] = bad[i];
		assert_int_equal(set_gdt(kit, mfns, 3, 1025), -EINVAL);
		EXPECT_FRAME(kit, good, 1, MODEL_SEGDESC, 0); /* given back */
	}
	assert_int_equal(set_gdt(kit, mfns, 3, 1024), 0); /* the third is not used */
	EXPECT_FRAME(kit, good, 3, MODEL_SEGDESC, 2);	  /* one frame twice */
	assert_int_equal(kit_call(kit, __HYPERVISOR_set_gdt, 8, 1, 0, 0), -EFAULT);
	EXPECT_FRAME(kit, good, 3, MODEL_SEGDESC, 2);
	assert_int_equal(kit_call(kit, __HYPERVISOR_set_gdt, 0, 0, 0, 0), 0);
	EXPECT_FRAME(kit, good, 1, MODEL_SEGDESC, 0);
	kit_free(kit);
}

/* In use it is as much Xen's as a table is. */
static void test_gdt_in_use(void **state)
{
	struct kit *kit = begin();
	const mfn_t gdt = kit_page(kit);
	const uint64_t mfn = mfn_x(gdt);

	(void)state;
	assert_int_equal(set_gdt(kit, &mfn, 1, 512), 0);
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(gdt, LEAF)), -EBUSY);
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(gdt, LEAF_RO)), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn, 0), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_CLEAR_PAGE, mfn, 0), -EINVAL);
	assert_int_equal(kit_update(kit, gdt, 3, DATA), -EINVAL);
	assert_int_equal(update_descriptor(kit, gdt, 3, TSS), -EINVAL);
	assert_int_equal(*kit_pte(kit, gdt, 3), 0);
	assert_int_equal(update_descriptor(kit, gdt, 3, DATA), 0);
	assert_int_equal(*kit_pte(kit, gdt, 3), DATA);
	EXPECT_FRAME(kit, gdt, 3, MODEL_SEGDESC, 1);
	assert_int_equal(set_gdt(kit, &mfn, 1, 0), 0);
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(gdt, LEAF)), 0);
	kit_free(kit);
}

/* What each descriptor becomes, or that it is refused; the same by update_descriptor and when a frame gets its type. */
static void test_descriptors(void **state)
{
	const uint64_t bad = UINT64_MAX;
	static const struct {
		const char *what;
		uint64_t desc, stored;
	} rows[] = {
		{ "absent, whatever it says", UINT64_C(0x0000090000000067), 1 },
		{ "data, ring 3", DATA, 1 },
		{ "data, ring 0", UINT64_C(0x00cf93000000ffff), DATA },
		{ "code, ring 1", UINT64_C(0x00afbb000000ffff), UINT64_C(0x00affb000000ffff) },
		{ "type 0, ring 0: as it is", UINT64_C(0x0000800000001234), 1 },
		{ "16-bit TSS", UINT64_C(0x0000810000000000), 0 },
		{ "LDT", UINT64_C(0x0000820000000000), 0 },
		{ "16-bit call gate", UINT64_C(0x0000840000000000), 0 },
		{ "task gate", UINT64_C(0x0000850000000000), 0 },
		{ "TSS", TSS, 0 },
		{ "busy TSS", UINT64_C(0x00008b0000000000), 0 },
		{ "interrupt gate", UINT64_C(0x00008e0000000000), 0 },
		{ "trap gate", UINT64_C(0x00008f0000000000), 0 },
		{ "call gate", CALL_GATE, UINT64_C(0x00008c0000331000) },
		{ "call gate, ring 0", UINT64_C(0x00008c0000301000), UINT64_C(0x00008c0000331000) },
		{ "call gate, parameters", CALL_GATE | UINT64_C(1) << 32, 0 },
		{ "call gate, last reserved bit", CALL_GATE | UINT64_C(1) << 39, 0 },
		{ "call gate, the last selector", UINT64_C(0x0000ec00dfff0000),
		  UINT64_C(0x00008c00dfff0000) },
		{ "call gate, Xen's first selector", UINT64_C(0x0000ec00e0080000), 0 },
		{ "call gate, Xen's flat segment", UINT64_C(0x0000ec00e0330000),
		  UINT64_C(0x00008c00e0330000) },
		{ "call gate, the LDT", UINT64_C(0x0000ec00fff40000),
		  UINT64_C(0x00008c00fff70000) },
	};
	struct kit *kit = begin();

	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		const mfn_t page = kit_page(kit);
		const uint64_t mfn = mfn_x(page);
		uint64_t want = rows[r].stored == 1 ? rows[r].desc
				: rows[r].stored    ? rows[r].stored
						    : bad;

		print_message("%s\n", rows[r].what);
		assert_int_equal(update_descriptor(kit, page, 7, rows[r].desc),
				 want == bad ? -EINVAL : 0);
		assert_int_equal(*kit_pte(kit, page, 7), want == bad ? 0 : want);
		*kit_pte(kit, page, 0) = UINT64_C(0x00cf93000000ffff);
		*kit_pte(kit, page, 511) = rows[r].desc;
		assert_int_equal(set_gdt(kit, &mfn, 1, 1), want == bad ? -EINVAL : 0);
		assert_int_equal(*kit_pte(kit, page, 511), want == bad ? rows[r].desc : want);
		assert_int_equal(*kit_pte(kit, page, 0),
				 DATA); /* stays, also where the last is bad */
		assert_int_equal(set_gdt(kit, &mfn, 1, 0), 0);
	}
	kit_free(kit);
}

/* Any 8 bytes of what the guest could write itself. */
static void test_update_descriptor(void **state)
{
	struct kit *kit = begin();
	const mfn_t page = kit_page(kit);
	const uint64_t bad[] = { 5, 17, 25, 250, KIT_FRAMES, UINT64_C(1) << 39 };

	(void)state;
	assert_int_equal(update_descriptor(kit, kit->l1, 1, 0), -EINVAL);
	assert_int_equal(update_descriptor(kit, kit->l1, 1, DATA), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(update_descriptor(kit, _mfn(bad[i]), 0, 0), -EINVAL);
	for (unsigned int off = 1; off < 8; off++)
		assert_int_equal(kit_call(kit, __HYPERVISOR_update_descriptor,
					  kit_ptr(page, 0) + off, 0, 0, 0),
				 -EINVAL);
	assert_int_equal(update_descriptor(kit, page, 0, DATA), 0);
	assert_int_equal(update_descriptor(kit, page, 511, DATA), 0);
	assert_int_equal(*kit_pte(kit, page, 511), DATA);
	EXPECT_FRAME(kit, page, 1, MODEL_WRITABLE, 0);
	EXPECT_FRAME(kit, kit->l1, 2, MODEL_L1, 1);
	kit_free(kit);
}

/* Only where it is and how long is said by SET_LDT; a page gets its type when the CPU first reads it. */
static void test_ldt(void **state)
{
	struct kit *kit = begin();
	const uint64_t bad[] = { 0x1008, 0x1fff, UINT64_C(0xffff800000000000),
				 UINT64_C(0x800000000000) };
	const mfn_t ldt = kit_page(kit), next = kit_page(kit);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, bad[i], 1), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 8193), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, UINT32_MAX), -EINVAL);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 8192), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 513), 0);
	assert_false(model_map_ldt(&kit->m, 0)); /* nothing there */
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(ldt, LEAF)), 0);
	assert_false(model_map_ldt(&kit->m, 0)); /* writable */
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(ldt, LEAF_RO)), 0);
	assert_int_equal(kit_update(kit, kit->l1, 2, pte_make(next, LEAF_RO)), 0);
	assert_true(model_map_ldt(&kit->m, 8));
	EXPECT_FRAME(kit, ldt, 3, MODEL_SEGDESC, 1);
	assert_false(model_map_ldt(&kit->m, 16)); /* is mapped */
	assert_true(model_map_ldt(&kit->m, 4096));
	EXPECT_FRAME(kit, next, 3, MODEL_SEGDESC, 1);
	assert_false(model_map_ldt(&kit->m, 4104)); /* past the end */
	kit_check(kit);
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(ldt, LEAF)), -EBUSY);
	assert_int_equal(kit_update(kit, kit->l1, 1, 0), 0); /* it stays the LDT's */
	EXPECT_FRAME(kit, ldt, 2, MODEL_SEGDESC, 1);

	kit->flushes = 0;
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 513), 0); /* the same */
	EXPECT_FRAME(kit, ldt, 2, MODEL_SEGDESC, 1);
	assert_int_equal(kit->flushes, 0);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 512), 0);
	EXPECT_FRAME(kit, ldt, 1, MODEL_SEGDESC, 0);
	EXPECT_FRAME(kit, next, 2, MODEL_SEGDESC, 0);
	assert_int_equal(kit->flushes, 1);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0xffff, 0), 0); /* whatever the address */
	assert_int_equal(kit->m.ldt_base, 0);
	assert_int_equal(kit->flushes, 1);
	kit_free(kit);
}

/* A page of it with a bad descriptor never gets there; a new base pointer drops all of it. */
static void test_ldt_drop(void **state)
{
	struct kit *kit = begin();
	const mfn_t ldt = kit_page(kit), l4 = kit_page(kit);

	(void)state;
	kit_set(kit, l4, 0, kit->l3, LINK);
	*kit_pte(kit, ldt, 100) = TSS;
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(ldt, LEAF_RO)), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 1), 0);
	assert_false(model_map_ldt(&kit->m, 0));
	EXPECT_FRAME(kit, ldt, 2, MODEL_NONE, 0);
	*kit_pte(kit, ldt, 100) = 0;
	assert_true(model_map_ldt(&kit->m, 0));
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(kit->l4), 0), 0); /* the same */
	EXPECT_FRAME(kit, ldt, 3, MODEL_SEGDESC, 1);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_BASEPTR, mfn_x(l4), 0), 0);
	EXPECT_FRAME(kit, ldt, 2, MODEL_SEGDESC, 0);
	assert_int_equal(kit->m.ldt_ents, 1);
	assert_true(model_map_ldt(&kit->m, 0));
	kit_check(kit);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gdt_length),	  cmocka_unit_test(test_gdt_frames),
		cmocka_unit_test(test_gdt_in_use),	  cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_update_descriptor), cmocka_unit_test(test_ldt),
		cmocka_unit_test(test_ldt_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
