/* SPDX-License-Identifier: MIT */
/*
 * tests/model/memory.c, memory_exchange.c: frames for frames, and memory maps.
 *
 * Seen on Xen by the in-guest tests neg_exchange and xsa. After each call all invariants hold.
 */
#include "model_kit.h"

#define IN  512 /* offsets of the lists */
#define OUT 1024

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

/* An exchange of @in extents of @in_order for as many frames in extents of @out_order. */
static struct xen_memory_exchange exchange(unsigned long in, unsigned int in_order,
					   unsigned int out_order)
{
	struct xen_memory_exchange x = {
		.in = { .nr_extents = in, .extent_order = in_order, .domid = DOMID_SELF },
		.out = { .nr_extents = in << in_order >> out_order,
			 .extent_order = out_order,
			 .domid = DOMID_SELF },
	};

	set_xen_guest_handle(x.in.extent_start, (xen_pfn_t *)(KIT_VA + IN));
	set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)(KIT_VA + OUT));
	return x;
}

/* The exchange, and what nr_exchanged is then. */
static long run(struct kit *kit, const struct xen_memory_exchange *x, uint64_t *done)
{
	long rc = memory_op(kit, XENMEM_exchange, kit_put(kit, 0, x, sizeof(*x)));
	struct xen_memory_exchange after;

	memcpy(&after, kit->mem, sizeof(after));
	*done = after.nr_exchanged;
	return rc;
}

static uint64_t out(const struct kit *kit, unsigned int i)
{
	uint64_t mfn;

	memcpy(&mfn, kit->mem + OUT + i * sizeof(mfn), sizeof(mfn));
	return mfn;
}

static void put_in(struct kit *kit, unsigned int i, mfn_t mfn)
{
	kit_put(kit, IN + i * sizeof(mfn), &mfn, sizeof(mfn));
}

static void put_out(struct kit *kit, unsigned int i, uint64_t pfn)
{
	kit_put(kit, OUT + i * sizeof(pfn), &pfn, sizeof(pfn));
}

/* Frames to which nothing refers are another's after; the guest has as many as before. */
static void test_exchange(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const struct xen_memory_exchange x = exchange(2, 0, 0);
	const mfn_t in[2] = { kit_page(kit), kit_page(kit) };
	const uint64_t before = kit->m.tot_pages;
	uint64_t done;

	(void)state;
	kit->m.max_pages = before; /* the limit is not asked */
	for (unsigned int i = 0; i < 2; i++) {
		put_in(kit, i, in[i]);
		put_out(kit, i, 70 + i);
	}
	assert_int_equal(run(kit, &x, &done), 0);
	assert_int_equal(done, 2);
	assert_int_equal(kit->m.tot_pages, before);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(kit_frame(kit, in[i])->owner, MODEL_NOBODY);
		EXPECT_FRAME(kit, _mfn(out(kit, i)), 1, MODEL_NONE, 0);
		assert_int_equal(kit->m2p[out(kit, i)], 70 + i);
	}
	kit_free(kit);
}

/*
 * What was exchanged has no owner in the heap, and Xen takes what has none to be in no TLB: given anew it is not flushed, and what
 * the guest had not flushed still reaches it, until the frame gets a type. What the guest has freed is flushed.
 */
static void test_exchange_stale(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const struct xen_memory_exchange x = exchange(1, 0, 0);
	const mfn_t page = kit_page(kit), other = kit_page(kit), freed = kit_page(kit);
	uint64_t done;

	(void)state;
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(page, LEAF)), 0);
	assert_int_equal(kit_update(kit, kit->l1, 1, 0), 0);
	put_in(kit, 0, page);
	assert_int_equal(run(kit, &x, &done), 0);
	for (uint64_t i = 0; i < KIT_FRAMES; i++) /* the heap has nothing else */
		if (kit_frame(kit, _mfn(i))->owner == MODEL_NOBODY && i != mfn_x(page))
			model_give(&kit->m, _mfn(i), MODEL_XEN, 0);
	put_in(kit, 0, other);
	assert_int_equal(run(kit, &x, &done), 0);
	assert_int_equal(out(kit, 0), mfn_x(page));
	assert_int_equal(kit->flushes, 0);
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(page, LEAF_RO)), 0);
	assert_int_equal(kit->flushes, 0);
	assert_int_equal(kit_update(kit, kit->l1, 2, pte_make(page, LEAF)), 0);
	assert_int_equal(kit->flushes, 1);

	model_give(&kit->m, other, MODEL_XEN, 0);
	kit_frame(kit, freed)->allocated = false;
	model_put_page(&kit->m, freed);
	assert_true(mfn_eq(model_alloc(&kit->m), freed));
	assert_int_equal(kit->flushes, 2);
	kit_free(kit);
}

/* Anything that refers to a frame keeps it; those before it are given back, unless their chunk is done. */
static void test_exchange_refused(void **state)
{
	struct kit *kit = begin(&kit_domu);
	const struct xen_memory_exchange x = exchange(3, 0, 0), quad = exchange(8, 0, 2);
	const mfn_t page = kit_page(kit), gone = kit_page(kit), mapped = kit_page(kit),
		    pinned = kit_page(kit);
	const mfn_t bad[] = { mapped,	 pinned,    kit->l1,	      KIT_SHARED,  KIT_IO, KIT_XEN,
			      KIT_OTHER, _mfn(250), _mfn(KIT_FRAMES), INVALID_MFN, page };
	const uint64_t before = kit->m.tot_pages;
	uint64_t done;

	(void)state;
	assert_int_equal(kit_update(kit, kit->l1, 1, pte_make(mapped, LEAF_RO)), 0);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn_x(pinned), 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		/* one chunk a frame: the first is done, `page` being the first of it */
		put_in(kit, 0, page);
		put_in(kit, 1, bad[i]);
		put_in(kit, 2, gone);
		put_out(kit, 0, 70);
		put_out(kit, 1, 71);
		assert_int_equal(run(kit, &x, &done), -EINVAL);
		assert_int_equal(done, 1);
		assert_int_equal(out(kit, 1), 71);
		assert_int_equal(kit->m.tot_pages, before);
		EXPECT_FRAME(kit, gone, 1, MODEL_NONE, 0);
		/* so `page` is another now: give it back its name */
		kit_frame(kit, _mfn(out(kit, 0)))->allocated = false;
		model_put_page(&kit->m, _mfn(out(kit, 0)));
		model_give(&kit->m, page, MODEL_GUEST, 5);
	}
	/* in a chunk of four, the three before are the guest's again */
	for (unsigned int i = 0; i < 8; i++)
		put_in(kit, i, i == 3 ? mapped : kit_page(kit));
	assert_int_equal(run(kit, &quad, &done), -EINVAL);
	assert_int_equal(done, 0);
	assert_int_equal(kit->m.tot_pages, before + 7);
	kit_free(kit);
}

/* Extents of different orders, either way; a chunk is what the larger takes. */
static void test_exchange_orders(void **state)
{
	struct kit *kit = begin(&kit_domu);
	struct xen_memory_exchange x = exchange(8, 0, 2);
	const uint64_t tot = kit->m.tot_pages + 8;
	mfn_t in[8];
	uint64_t done;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		in[i] = kit_page(kit);
		put_in(kit, i, in[i]);
	}
	put_out(kit, 0, 100);
	put_out(kit, 1, 200);
	x.nr_exchanged = 4; /* the first chunk was done before */
	assert_int_equal(run(kit, &x, &done), 0);
	assert_int_equal(done, 8);
	assert_int_equal(out(kit, 0), 100);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(kit->m2p[out(kit, 1) + i], 200 + i);
		EXPECT_FRAME(kit, in[i], 1, MODEL_NONE, 0);
		assert_int_equal(kit_frame(kit, in[4 + i])->owner, MODEL_NOBODY);
	}
	/* and back in small */
	x = exchange(1, 2, 0);
	put_in(kit, 0, _mfn(out(kit, 1)));
	for (unsigned int i = 0; i < 4; i++)
		put_out(kit, i, 300 + i);
	assert_int_equal(run(kit, &x, &done), 0);
	assert_int_equal(done, 1);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(kit->m2p[out(kit, i)], 300 + i);
	assert_int_equal(kit->m.tot_pages, tot);
	kit_free(kit);
}

/* What is not there can't be given; what can't be told is given. */
static void test_exchange_fails(void **state)
{
	struct kit *kit = begin(&kit_domu);
	struct xen_memory_exchange x = exchange(1, 0, 0);
	const mfn_t page = kit_page(kit), second = kit_page(kit), third = kit_page(kit);
	const uint64_t tot = kit->m.tot_pages;
	uint64_t done, number;

	(void)state;
	put_in(kit, 0, page);
	x.out.mem_flags = XENMEMF_address_bits(17);
	assert_int_equal(run(kit, &x, &done), -ENOMEM);
	EXPECT_FRAME(kit, page, 1, MODEL_NONE, 0);
	assert_int_equal(kit->m2p[mfn_x(page)], 1000 + mfn_x(page));
	x.out.mem_flags = 0;
	set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)(KIT_VA + KIT_BYTES));
	assert_int_equal(run(kit, &x, &done), -EFAULT);
	assert_int_equal(done, 0);
	assert_int_equal(kit_frame(kit, page)->owner, MODEL_NOBODY);
	assert_int_equal(kit->m.tot_pages, tot);
	/* the list can be read, not written */
	x = exchange(1, 0, 0);
	put_in(kit, 0, second);
	put_out(kit, 0, 70);
	kit->writable = OUT;
	assert_int_equal(run(kit, &x, &done), -EFAULT);
	number = out(kit, 0);
	assert_int_equal(number, 70);
	assert_int_equal(done, 0);
	assert_int_equal(kit->m.tot_pages, tot);
	/* nor the argument itself */
	put_in(kit, 0, third);
	kit->writable = 8;
	assert_int_equal(run(kit, &x, &done), -EFAULT);
	kit_free(kit);
}

static void test_exchange_arguments(void **state)
{
	const uint64_t xen = UINT64_C(0xffff800000000000);
	struct kit *kit = begin(&kit_domu);
	const mfn_t page = kit_page(kit);
	struct xen_memory_exchange x[16];
	const long want[16] = { -EPERM,	 -EPERM,  -EPERM,  -EINVAL, -EINVAL, -EINVAL,
				-EINVAL, -EFAULT, -EFAULT, -EINVAL, -ESRCH,  -EPERM,
				0,	 -EFAULT, -EINVAL, -EFAULT };
	uint64_t done;

	(void)state;
	for (unsigned int i = 0; i < 16; i++)
		x[i] = exchange(1, 0, 0);
	put_in(kit, 0, page);
	x[0].in.extent_order = 10;
	x[1].out.extent_order = 10;
	x[2].in.extent_order = UINT32_MAX;
	x[3].nr_exchanged = 2;
	x[4].out.domid = kit->m.domid; /* the same, but not by the number */
	x[5].in.nr_extents = UINT64_MAX;
	x[5].in.extent_order = 1;
	x[6].out.nr_extents = 2;
	set_xen_guest_handle(x[7].in.extent_start, (xen_pfn_t *)xen);
	set_xen_guest_handle(x[8].out.extent_start, (xen_pfn_t *)xen);
	x[9].out.mem_flags = XENMEMF_exact_node(0);
	x[10].in.domid = x[10].out.domid = 77;
	x[11].in.domid = x[11].out.domid = 0;
	x[12].nr_exchanged = 1; /* nothing left */
	set_xen_guest_handle(x[13].in.extent_start, (xen_pfn_t *)8);
	x[14].in.nr_extents = 0;
	x[14].nr_exchanged = 1;
	/* where it begins lies in Xen's memory, though the list begins elsewhere */
	x[15] = exchange(3, 0, 0);
	x[15].nr_exchanged = 2;
	set_xen_guest_handle(x[15].out.extent_start, (xen_pfn_t *)(xen - 16));
	for (unsigned int i = 0; i < 16; i++) {
		const uint64_t before = x[i].nr_exchanged;

		assert_int_equal(run(kit, &x[i], &done), want[i]);
		assert_int_equal(done, before);
		EXPECT_FRAME(kit, page, 1, MODEL_NONE, 0);
	}
	assert_int_equal(memory_op(kit, XENMEM_exchange, 8), -EFAULT);
	assert_int_equal(memory_op(kit, XENMEM_exchange | 64, KIT_VA), -EINVAL);
	kit_free(kit);
}

/* A domU's toolstack sets its map; the guest may, too. */
static void test_memory_map(void **state)
{
	const struct model_region regions[2] = { { 0, 0xa0000, 1 }, { 0x100000, 0x1000, 2 } };
	struct xen_memory_map map = { .nr_entries = 8 };
	struct xen_foreign_memory_map set = { .domid = DOMID_SELF, .map.nr_entries = 2 };
	struct kit *kit = begin(&kit_domu);

	(void)state;
	set_xen_guest_handle(map.buffer, (void *)(KIT_VA + OUT));
	set_xen_guest_handle(set.map.buffer, (void *)(KIT_VA + IN));
	kit_put(kit, 0, &map, sizeof(map));
	assert_int_equal(memory_op(kit, XENMEM_memory_map, KIT_VA), -ENOSYS); /* none yet */
	assert_int_equal(memory_op(kit, XENMEM_memory_map, 8), -EFAULT);
	kit_put(kit, IN, regions, sizeof(regions));
	kit_put(kit, 64, &set, sizeof(set));
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, KIT_VA + 64), 0);
	assert_int_equal(memory_op(kit, XENMEM_memory_map, KIT_VA), 0);
	memcpy(&map, kit->mem, sizeof(map));
	assert_int_equal(map.nr_entries, 2);
	assert_memory_equal(kit->mem + OUT, regions, sizeof(regions));
	map.nr_entries = 1; /* as many as there is room for */
	memset(kit->mem + OUT, 0x5a, sizeof(regions));
	assert_int_equal(memory_op(kit, XENMEM_memory_map, kit_put(kit, 0, &map, sizeof(map))), 0);
	assert_memory_equal(kit->mem + OUT, regions, sizeof(regions[0]));
	assert_int_equal(kit->mem[OUT + sizeof(regions[0])], 0x5a);
	set_xen_guest_handle(map.buffer, (void *)8);
	assert_int_equal(memory_op(kit, XENMEM_memory_map, kit_put(kit, 0, &map, sizeof(map))),
			 -EFAULT);

	set.map.nr_entries = 1025;
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, kit_put(kit, 64, &set, sizeof(set))),
			 -EINVAL);
	set.map.nr_entries = 1024;
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, kit_put(kit, 64, &set, sizeof(set))),
			 -ENOMEM);
	set.domid = 77;
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, kit_put(kit, 64, &set, sizeof(set))),
			 -ESRCH);
	set.domid = 0;
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, kit_put(kit, 64, &set, sizeof(set))),
			 -EPERM);
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, 8), -EFAULT);
	set.domid = DOMID_SELF;
	set.map.nr_entries = 1;
	set_xen_guest_handle(set.map.buffer, (void *)8);
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map, kit_put(kit, 64, &set, sizeof(set))),
			 -EFAULT);
	assert_int_equal(kit->m.nr_regions, 2);
	kit_free(kit);
}

static void test_machine_map(void **state)
{
	static const struct model_region regions[2] = { { 0, 0xa0000, 1 },
							{ 0x100000, 0x1000, 1 } };
	struct xen_memory_map map = { .nr_entries = 3 };
	struct xen_machphys_mapping mapping;
	struct kit *kit = begin(&kit_domu);

	(void)state;
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map, 8), -EPERM);
	assert_int_equal(memory_op(kit, XENMEM_machphys_mapping, KIT_VA), 0);
	memcpy(&mapping, kit->mem, sizeof(mapping));
	assert_int_equal(mapping.v_start, UINT64_C(0xffff800000000000));
	assert_int_equal(mapping.v_end, UINT64_C(0xffff804000000000));
	assert_int_equal(mapping.max_mfn, UINT64_C(0x7ffffffff));
	assert_int_equal(memory_op(kit, XENMEM_machphys_mapping, 8), -EFAULT);
	kit_free(kit);

	kit = begin(&kit_dom0);
	kit->m.machine_map = regions;
	kit->m.nr_machine_regions = 2;
	set_xen_guest_handle(map.buffer, (void *)(KIT_VA + OUT));
	kit_put(kit, 0, &map, sizeof(map));
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map, KIT_VA), 0);
	assert_memory_equal(kit->mem + OUT, regions, sizeof(regions));
	memcpy(&map, kit->mem, sizeof(map));
	assert_int_equal(map.nr_entries, 2); /* one fewer than there must be room for */
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map, KIT_VA), -EINVAL);
	set_xen_guest_handle(map.buffer, NULL); /* how many? */
	map.nr_entries = 0;
	kit_put(kit, 0, &map, sizeof(map));
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map, KIT_VA), 0);
	memcpy(&map, kit->mem, sizeof(map));
	assert_int_equal(map.nr_entries, 2);
	map.nr_entries = 3;
	set_xen_guest_handle(map.buffer, (void *)8);
	kit_put(kit, 0, &map, sizeof(map));
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map, KIT_VA), -EFAULT);
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map, 8), -EFAULT);
	assert_int_equal(memory_op(kit, XENMEM_machphys_mapping, KIT_VA), 0);
	memcpy(&mapping, kit->mem, sizeof(mapping));
	assert_int_equal(mapping.max_mfn, KIT_FRAMES - 1);
	/* None of them can be begun anew: with a start extent they are other commands. */
	assert_int_equal(memory_op(kit, XENMEM_machine_memory_map | 1 << 6, KIT_VA), -ENOSYS);
	assert_int_equal(memory_op(kit, XENMEM_set_memory_map | 1 << 6, KIT_VA), -ENOSYS);
	assert_int_equal(memory_op(kit, XENMEM_machphys_mapping | 1 << 6, KIT_VA), -ENOSYS);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),       cmocka_unit_test(test_exchange_refused),
		cmocka_unit_test(test_exchange_stale), cmocka_unit_test(test_exchange_orders),
		cmocka_unit_test(test_exchange_fails), cmocka_unit_test(test_exchange_arguments),
		cmocka_unit_test(test_memory_map),     cmocka_unit_test(test_machine_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
