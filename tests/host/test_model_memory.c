/* SPDX-License-Identifier: MIT */
/*
 * tests/model/memory.c: frames to the guest and back, and what memory_op tells.
 *
 * Seen on Xen by the in-guest tests neg_memory and xsa. After each call all invariants hold.
 */
#include "model_kit.h"

#define LIST 256 /* offset of the extents */

static struct kit *begin(const struct model_profile *profile)
{
	struct kit *kit = kit_new(profile);

	kit->m.check_every = 1;
	return kit;
}

static long memory_op(struct kit *kit, uint64_t cmd, uint64_t va)
{
	return kit_call(kit, __HYPERVISOR_memory_op, cmd, va, 0, 0);
}

static struct xen_memory_reservation extents(unsigned long nr, unsigned int order)
{
	struct xen_memory_reservation r = { .nr_extents = nr,
					    .extent_order = order,
					    .domid = DOMID_SELF };

	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)(KIT_VA + LIST));
	return r;
}

/* The call with that reservation and @n numbers in its list, which are then as it left them. */
static long reserve(struct kit *kit, uint64_t cmd, const struct xen_memory_reservation *r,
		    uint64_t *list, size_t n)
{
	long rc;

	kit_put(kit, LIST, list, n * sizeof(*list));
	rc = memory_op(kit, cmd, kit_put(kit, 0, r, sizeof(*r)));
	memcpy(list, kit->mem + LIST, n * sizeof(*list));
	return rc;
}

static long one(struct kit *kit, uint64_t cmd, uint64_t *number)
{
	const struct xen_memory_reservation r = extents(1, 0);

	return reserve(kit, cmd, &r, number, 1);
}

static void test_populate(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const struct xen_memory_reservation r = extents(3, 0), quad = extents(2, 2);
	uint64_t list[3] = { 70, 71, UINT64_MAX }, pfns[3] = { 70, 71, UINT64_MAX };
	const uint64_t before = kit->m.tot_pages;

	(void)state;
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &r, list, 3), 3);
	assert_int_equal(kit->m.tot_pages, before + 3);
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_FRAME(kit, _mfn(list[i]), 1, MODEL_NONE, 0);
		assert_int_equal(kit->m2p[list[i]], pfns[i]);
	}
	list[0] = 1000;
	list[1] = 2000;
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &quad, list, 2), 2);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(list[i / 4] % 4, 0);
		assert_int_equal(kit->m2p[list[i / 4] + i % 4], (i < 4 ? 1000 : 2000) + i % 4);
	}
	assert_int_equal(kit->m.tot_pages, before + 11);
	kit_free(kit);
}

/* The list is only told the numbers, and there need not be one. */
static void test_increase(void **state)
{
	struct kit *kit = begin(&kit_domu);
	struct xen_memory_reservation r = extents(2, 1);
	const uint64_t before = kit->m.tot_pages;
	uint64_t list[2] = { 7, 7 };

	(void)state;
	assert_int_equal(reserve(kit, XENMEM_increase_reservation, &r, list, 2), 2);
	assert_true(list[0] != 7 && list[1] != list[0]);
	assert_int_equal(kit->m2p[list[1] + 1], UINT64_MAX);
	set_xen_guest_handle(r.extent_start, NULL);
	assert_int_equal(reserve(kit, XENMEM_increase_reservation, &r, list, 0), 2);
	assert_int_equal(kit->m.tot_pages, before + 8);
	kit_free(kit);
}

/* As many as fit below the limit, or as the heap has; the rest is not told apart from success. */
static void test_limits(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const struct xen_memory_reservation r = extents(4, 0), pairs = extents(4, 1);
	uint64_t list[4] = { 0 };

	(void)state;
	kit->m.max_pages = kit->m.tot_pages + 5;
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &pairs, list, 4), 2);
	assert_int_equal(reserve(kit, XENMEM_increase_reservation, &r, list, 4), 1);
	assert_int_equal(reserve(kit, XENMEM_increase_reservation, &r, list, 4), 0);
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &pairs, list, 4), 0);
	kit->m.max_pages = UINT64_MAX;
	while (reserve(kit, XENMEM_populate_physmap, &pairs, list, 4) == 4) {}
	while (reserve(kit, XENMEM_populate_physmap, &r, list, 4) == 4) {}
	for (unsigned int i = KIT_HEAP; i < KIT_FRAMES; i++)
		assert_int_equal(kit_frame(kit, _mfn(i))->owner, MODEL_GUEST);
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &r, list, 4), 0);
	kit_free(kit);
}

/* The owner's reference goes at once, the frame when the last goes. */
static void test_decrease(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const mfn_t page = kit_page(kit), table = kit_page(kit);
	const uint64_t before = kit->m.tot_pages;
	uint64_t mfn = mfn_x(page);

	(void)state;
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(page, LEAF)), 0);
	assert_int_equal(one(kit, XENMEM_decrease_reservation, &mfn), 1);
	assert_int_equal(one(kit, XENMEM_decrease_reservation, &mfn), 1); /* still found */
	assert_int_equal(kit->m.tot_pages, before);
	EXPECT_FRAME(kit, page, 1, MODEL_WRITABLE, 1);
	assert_int_equal(kit->m2p[mfn], 1000 + mfn);
	assert_int_equal(kit_update(kit, kit->l1, 1, 0), 0);
	assert_int_equal(kit_frame(kit, page)->owner, MODEL_NOBODY);
	assert_int_equal(kit->m2p[mfn], UINT64_MAX);
	assert_int_equal(kit->m.tot_pages, before - 1);
	assert_int_equal(one(kit, XENMEM_decrease_reservation, &mfn), 0);

	mfn = mfn_x(table);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn, 0), 0);
	assert_int_equal(one(kit, XENMEM_decrease_reservation, &mfn), 1);
	EXPECT_FRAME(kit, table, 1, MODEL_L1, 1);
	assert_int_equal(kit_ext(kit, MMUEXT_UNPIN_TABLE, mfn, 0), 0);
	assert_int_equal(kit_frame(kit, table)->owner, MODEL_NOBODY);
	assert_int_equal(kit->m.tot_pages, before - 2);
	kit_free(kit);
}

/* It stops at the first extent that is not wholly the guest's; what it gave back of that one stays so. */
static void test_decrease_part(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const struct xen_memory_reservation r = extents(4, 0), pair = extents(1, 1);
	uint64_t list[4];
	const uint64_t bad[] = { 0, 5, 17, 25, 250, KIT_FRAMES, UINT64_C(1) << 39, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		list[0] = bad[i];
		assert_int_equal(reserve(kit, XENMEM_decrease_reservation, &r, list, 1), 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		list[i] = mfn_x(kit_page(kit));
	kit_frame(kit, _mfn(list[2]))->allocated = false;
	model_put_page(&kit->m, _mfn(list[2]));
	assert_int_equal(reserve(kit, XENMEM_decrease_reservation, &r, list, 4), 2);
	EXPECT_FRAME(kit, _mfn(list[3]), 1, MODEL_NONE, 0);
	list[0] = list[3]; /* its neighbour is not the guest's */
	assert_int_equal(reserve(kit, XENMEM_decrease_reservation, &pair, list, 1), 0);
	assert_int_equal(kit_frame(kit, _mfn(list[3]))->owner, MODEL_NOBODY);
	/* Xen's own frame is only lost */
	list[0] = mfn_x(KIT_SHARED);
	assert_int_equal(one(kit, XENMEM_decrease_reservation, list), 1);
	assert_int_equal(one(kit, XENMEM_decrease_reservation, list), 0);
	assert_int_equal(kit_frame(kit, KIT_SHARED)->owner, MODEL_GUEST);
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(KIT_SHARED, LEAF)), -EBUSY);
	kit_free(kit);
}

/* What is wrong with a call that counts is a count, too: what earlier passes did, as the guest says. */
static void test_counting(void **state)
{
	static const unsigned int cmds[] = { XENMEM_increase_reservation, XENMEM_populate_physmap,
					     XENMEM_decrease_reservation };
	const uint64_t xen = UINT64_C(0xffff800000000000), from = 3 << 6;
	struct kit *kit = begin(&kit_domu);
	struct xen_memory_reservation bad[11];
	uint64_t list[4] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = extents(4, 0);
	bad[0].nr_extents = 3; /* nothing left */
	bad[1].nr_extents = UINT32_MAX >> 5;
	bad[2].domid = 0;
	bad[3].domid = 77;
	bad[4].extent_order = 10;
	bad[5].extent_order = 64;
	bad[6].extent_order = UINT32_MAX;
	bad[7].mem_flags = 12; /* address bits that no frame is below */
	bad[8].mem_flags = XENMEMF_exact_node(0);
	set_xen_guest_handle(bad[9].extent_start, (xen_pfn_t *)(xen - 3 * sizeof(xen_pfn_t)));
	set_xen_guest_handle(bad[10].extent_start, (xen_pfn_t *)(KIT_VA + KIT_BYTES));
	for (size_t c = 0; c < ARRAY_SIZE(cmds); c++) {
		const uint64_t before = kit->m.tot_pages;

		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			assert_int_equal(reserve(kit, cmds[c] | from, &bad[i], list, 4), 3);
		assert_int_equal(memory_op(kit, cmds[c] | from, 8), 3);
		/* a new frame whose number can't be told is there all the same */
		assert_int_equal(kit->m.tot_pages - before, c == 0);
	}
	kit_free(kit);
}

/* Frames below an address, of a node: where they can't be had, nothing. */
static void test_placement(void **state)
{
	struct kit *kit = begin(&kit_dom0);
	struct xen_memory_reservation r = extents(1, 0);
	uint64_t list[1] = { 0 };
	static const struct {
		unsigned int flags;
		long rc;
	} rows[] = {
		{ XENMEMF_address_bits(17), 0 }, /* below frame 32: nothing is free */
		{ XENMEMF_address_bits(18), 1 },   { XENMEMF_address_bits(255), 1 },
		{ XENMEMF_address_bits(1), 0 },	   { XENMEMF_node(0), 1 },
		{ XENMEMF_exact_node(0), 1 },	   { XENMEMF_node(1), 1 },
		{ XENMEMF_exact_node(1), 0 },	   { XENMEMF_node(63), 1 },
		{ XENMEMF_node(64), 0 },	   { XENMEMF_vnode | XENMEMF_node(64), 1 },
		{ XENMEMF_populate_on_demand, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		r.mem_flags = rows[i].flags;
		assert_int_equal(reserve(kit, XENMEM_populate_physmap, &r, list, 1), rows[i].rc);
		if (rows[i].flags == XENMEMF_address_bits(18))
			assert_in_range(list[0], 32, 63);
	}
	r = extents(2, 0);
	list[0] = 70; /* the second can't be read: one. The first can't be told: none */
	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)(KIT_VA + KIT_BYTES - sizeof(list[0])));
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &r, list, 1), 1);
	r = extents(1, 0);
	kit->writable = LIST;
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &r, list, 1), 0);
	kit->writable = KIT_BYTES;
	r = extents(1, 18);
	assert_int_equal(reserve(kit, XENMEM_populate_physmap, &r, list, 1), 0);
	kit_free(kit);
}

static void test_asked(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const domid_t self = DOMID_SELF, own = kit->m.domid, dom0 = 0, none = 77;

	(void)state;
	kit->m.max_pages = 1234;
	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int cmd =
			i ? XENMEM_maximum_reservation : XENMEM_current_reservation;
		const long want = i ? 1234 : (long)kit->m.tot_pages;

		assert_int_equal(memory_op(kit, cmd, kit_put(kit, 0, &self, 2)), want);
		assert_int_equal(memory_op(kit, cmd, kit_put(kit, 0, &own, 2)), want);
		assert_int_equal(memory_op(kit, cmd, kit_put(kit, 0, &dom0, 2)), -EPERM);
		assert_int_equal(memory_op(kit, cmd, kit_put(kit, 0, &none, 2)), -ESRCH);
		assert_int_equal(memory_op(kit, cmd, 8), -EFAULT);
		assert_int_equal(memory_op(kit, cmd | 64, KIT_VA), -EINVAL);
	}
	assert_int_equal(memory_op(kit, XENMEM_maximum_ram_page, 0), KIT_FRAMES);
	assert_int_equal(memory_op(kit, XENMEM_maximum_ram_page | 64, 0), -EINVAL);
	assert_int_equal(kit->others, 0);
	assert_int_equal(memory_op(kit, 63, 0), -ENOSYS);
	assert_int_equal(memory_op(kit, XENMEM_memory_map | 64, 0), -ENOSYS);
	assert_int_equal(kit->others, 2);
	kit_free(kit);
}

/* A PV guest has no physmap; what is wrong with the arguments comes first. */
static void test_physmap(void **state)
{
	struct kit *kit = begin(&kit_domu);
	struct xen_add_to_physmap add = { .domid = DOMID_SELF };
	struct xen_add_to_physmap_batch batch = { .domid = DOMID_SELF };
	struct xen_remove_from_physmap gone = { .domid = DOMID_SELF };

	(void)state;
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap, kit_put(kit, 0, &add, sizeof(add))),
			 -EACCES);
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap | UINT64_C(0x10000) << 6, KIT_VA),
			 -EDOM);
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap | UINT64_C(0xffff) << 6, KIT_VA),
			 -EACCES);
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap, 8), -EFAULT);
	add.space = XENMAPSPACE_gmfn_foreign;
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap, kit_put(kit, 0, &add, sizeof(add))),
			 -ENOSYS);
	add = (struct xen_add_to_physmap){ .domid = 77 };
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap, kit_put(kit, 0, &add, sizeof(add))),
			 -ESRCH);

	kit_put(kit, 0, &batch, sizeof(batch));
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap_batch, KIT_VA), -EACCES);
	assert_int_equal(
		memory_op(kit, XENMEM_add_to_physmap_batch | UINT64_C(0x10000) << 6, KIT_VA),
		-EDOM);
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap_batch, 8), -EFAULT);
	batch.space = XENMAPSPACE_gmfn_range;
	kit_put(kit, 0, &batch, sizeof(batch));
	assert_int_equal(memory_op(kit, XENMEM_add_to_physmap_batch, KIT_VA), -EOPNOTSUPP);

	kit_put(kit, 0, &gone, sizeof(gone));
	assert_int_equal(memory_op(kit, XENMEM_remove_from_physmap, KIT_VA), -EACCES);
	assert_int_equal(memory_op(kit, XENMEM_remove_from_physmap | 64, KIT_VA), -EINVAL);
	assert_int_equal(memory_op(kit, XENMEM_remove_from_physmap, 8), -EFAULT);
	gone.domid = 77;
	kit_put(kit, 0, &gone, sizeof(gone));
	assert_int_equal(memory_op(kit, XENMEM_remove_from_physmap, KIT_VA), -ESRCH);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_populate),      cmocka_unit_test(test_increase),
		cmocka_unit_test(test_limits),	      cmocka_unit_test(test_decrease),
		cmocka_unit_test(test_decrease_part), cmocka_unit_test(test_counting),
		cmocka_unit_test(test_placement),     cmocka_unit_test(test_asked),
		cmocka_unit_test(test_physmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
