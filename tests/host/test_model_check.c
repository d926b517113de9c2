/* SPDX-License-Identifier: MIT */
/*
 * tests/model/check.c: whatever is wrong in the model's state, the checker finds it.
 *
 * A machine with something of each kind in it is sound. Then each field of each kind of frame, of the model itself, and entries of
 * the tables get every other value that there is or some that are near, one at a time: each must be found, and the machine
 * must be sound again when the old value is back.
 */
#include "model_kit.h"

static struct kit *kit;
static mfn_t linear, user, gdt, ldt, pinned, spare, half, l1;

static void set(mfn_t table, unsigned int index, mfn_t target, uint64_t flags)
{
	assert_int_equal(kit_update(kit, table, index, pte_make(target, flags)), 0);
}

/* Xen's leak (type.c): the one way to have a half-done table between calls. */
static mfn_t make_half(void)
{
	const mfn_t l4 = kit_page(kit), l3 = kit_page(kit), l2 = kit_page(kit);

	kit_set(kit, l2, 0, kit->l1, LINK);
	kit_set(kit, l2, 1, kit->data, LINK); /* bad */
	kit_set(kit, l3, 0, l2, LINK);
	kit_set(kit, l4, 0, kit->l3, LINK);
	kit_set(kit, l4, 1, l3, LINK);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L4_TABLE, mfn_x(l4), 0), -EINVAL);
	assert_true(kit_frame(kit, l2)->partial);
	return l2;
}

static int begin(void **state)
{
	uint64_t frame;

	(void)state;
	kit = kit_new(&kit_dom0);
	kit->m.xen_l4e[0] = pte_make(KIT_XEN, PTE_P | PTE_US | PTE_A);
	kit->m.xen_l4e[15] = pte_make(KIT_XEN, PTE_P | PTE_A);
	*kit_pte(kit, kit->l4, 256) = kit->m.xen_l4e[0];
	*kit_pte(kit, kit->l4, 271) = kit->m.xen_l4e[15];
	linear = kit_page(kit);
	user = kit_page(kit);
	gdt = kit_page(kit);
	ldt = kit_page(kit);
	pinned = kit_page(kit);
	spare = kit_page(kit);
	l1 = kit->l1;
	kit_set(kit, linear, 5, kit->l3, LINK);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L4_TABLE, mfn_x(linear), 0), 0);
	set(kit->l4, 300, linear, LINK_RO);
	set(kit->l4, 301, kit->l4, LINK_RO);
	assert_int_equal(kit_ext(kit, MMUEXT_NEW_USER_BASEPTR, mfn_x(user), 0), 0);
	frame = mfn_x(gdt);
	assert_int_equal(kit_call(kit, __HYPERVISOR_set_gdt, kit_put(kit, 0, &frame, sizeof(frame)),
				  8, 0, 0),
			 0);
	set(l1, 1, ldt, LEAF_RO);
	assert_int_equal(kit_ext(kit, MMUEXT_SET_LDT, 0x1000, 8), 0);
	assert_true(model_map_ldt(&kit->m, 0));
	kit_set(kit, pinned, 0, kit->data, LEAF_RO);
	assert_int_equal(kit_ext(kit, MMUEXT_PIN_L1_TABLE, mfn_x(pinned), 0), 0);
	set(l1, 2, KIT_SHARED, LEAF);
	set(l1, 3, KIT_IO, LEAF | PTE_PCD);
	set(l1, 4, _mfn(KIT_FRAMES), LEAF_RO | PTE_PCD);
	half = make_half();
	kit_check(kit);
	return 0;
}

static int end(void **state)
{
	(void)state;
	kit_free(kit);
	return 0;
}

/* @size bytes at @field get the bits of @flip flipped: found, and sound again after. */
static void corrupt(void *field, size_t size, uint64_t flip)
{
	uint64_t was = 0, now;

	libc_memcpy(&was, field, size);
	now = was ^ flip;
	libc_memcpy(field, &now, size);
	if (!model_check(&kit->m, NULL))
		fail_msg("%zu bytes, %lx instead of %lx: not found", size, (unsigned long)now,
			 (unsigned long)was);
	libc_memcpy(field, &was, size);
	kit_check(kit);
}

#define CORRUPT(lvalue, flip) corrupt(&(lvalue), sizeof(lvalue), flip)

/* One of each kind: free, Xen's, another's, I/O, shared, data, unused, and each sort of table. */
static void test_frames(void **state)
{
	const mfn_t kinds[] = { _mfn(200), KIT_XEN, KIT_OTHER, KIT_IO,	KIT_SHARED, kit->data,
				spare,	   kit->l4, kit->l3,   kit->l2, l1,	    linear,
				user,	   gdt,	    ldt,       pinned,	half };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct model_frame *f = kit_frame(kit, kinds[i]);

		print_message("frame %lx\n", (unsigned long)mfn_x(kinds[i]));
		for (unsigned int bit = 0; bit < 32; bit++) {
			CORRUPT(f->count, UINT64_C(1) << bit);
			CORRUPT(f->type_count, UINT64_C(1) << bit);
			CORRUPT(f->leaked, UINT64_C(1) << bit);
		}
		CORRUPT(f->allocated, 1);
		CORRUPT(f->pinned, 1);
		CORRUPT(f->validated, 1);
		CORRUPT(f->partial, 1);
		CORRUPT(f->partial_flags, 1);
		CORRUPT(f->xen_heap, 1);
		CORRUPT(f->stolen, 1);
		if (f->owner != MODEL_NOBODY)
			CORRUPT(f->quiet, 1);
		for (unsigned int bit = 0; bit < 16; bit++) {
			CORRUPT(f->nr_validated, UINT64_C(1) << bit);
			CORRUPT(f->linear_pt_count, UINT64_C(1) << bit);
		}
		CORRUPT(f->stamp, UINT64_C(1) << 63);
		for (unsigned int flip = 1; flip < 256;
		     flip++) /* nobody's or Xen's: both uncounted */
			if (!(f->owner == MODEL_NOBODY && flip == MODEL_XEN) &&
			    !(f->owner == MODEL_XEN && flip == MODEL_XEN))
				CORRUPT(f->owner, flip);
	}
}

/* The type of a frame that has none, or is a table that is not in use, means nothing; any other does. */
static void test_types(void **state)
{
	const mfn_t kinds[] = { _mfn(200), KIT_XEN, KIT_OTHER, KIT_IO, KIT_SHARED, kit->data,
				kit->l4,   kit->l3, kit->l2,   l1,     linear,	   user,
				gdt,	   ldt,	    pinned,    half };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (unsigned int flip = 1; flip < 256; flip++)
			CORRUPT(kit_frame(kit, kinds[i])->type, flip);
	for (unsigned int flip = 1; flip < 256; flip++)
		if (flip > MODEL_L4)
			CORRUPT(kit_frame(kit, spare)->type, flip);
}

/* What another domain says of its own frames is that domain's to say. */
static void test_m2p(void **state)
{
	const mfn_t kinds[] = { _mfn(200), KIT_XEN };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (unsigned int bit = 0; bit < 64; bit++)
			CORRUPT(kit->m2p[mfn_x(kinds[i])], UINT64_C(1) << bit);
}

static void test_model(void **state)
{
	struct model *m = &kit->m;

	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		CORRUPT(m->tot_pages, UINT64_C(1) << bit);
		CORRUPT(m->l4.mfn, UINT64_C(1) << bit);
		CORRUPT(m->user_l4.mfn, UINT64_C(1) << bit);
		CORRUPT(m->gdt_frame[0].mfn, UINT64_C(1) << bit);
		CORRUPT(m->gdt_frame[1].mfn, UINT64_C(1) << bit);
		CORRUPT(m->gdt_frame[15].mfn, UINT64_C(1) << bit);
		CORRUPT(m->ldt_frame[0].mfn, UINT64_C(1) << bit);
		CORRUPT(m->ldt_frame[1].mfn, UINT64_C(1) << bit);
		CORRUPT(m->old_table.mfn, UINT64_C(1) << bit);
		CORRUPT(m->old_parent.mfn, UINT64_C(1) << bit);
		if (bit < 12 || bit >= 47)
			CORRUPT(m->ldt_base, UINT64_C(1) << bit);
		if (bit > 5 && bit != VMASST_TYPE_m2p_strict)
			CORRUPT(m->vm_assist, UINT64_C(1) << bit);
		if (bit > 8)
			CORRUPT(m->next_free, UINT64_C(1) << bit);
		if (bit > 0)
			CORRUPT(m->xen_l4e[0], bit == 5 ? 0xf000 : UINT64_C(1) << bit);
	}
	CORRUPT(m->max_pages, UINT64_MAX);
	CORRUPT(m->max_pages, UINT64_MAX - (m->tot_pages - 1));
	CORRUPT(m->user_l4.mfn, mfn_x(user) ^ INVALID_MFN_X);
	CORRUPT(m->gdt_frame[0].mfn, mfn_x(gdt) ^ INVALID_MFN_X);
	CORRUPT(m->ldt_frame[0].mfn, mfn_x(ldt) ^ INVALID_MFN_X);
	CORRUPT(m->gdt_frame[0].mfn, mfn_x(gdt) ^ mfn_x(ldt));
	CORRUPT(m->gdt_ents, 8);       /* none */
	CORRUPT(m->gdt_ents, 8 ^ 513); /* two pages */
	CORRUPT(m->gdt_ents, 8 ^ 7169);
	CORRUPT(m->ldt_ents, 8); /* none, but an address */
	CORRUPT(m->ldt_ents, 8 ^ 8193);
	CORRUPT(m->old_partial, 1);
	CORRUPT(m->in_multicall, 1);
	CORRUPT(m->wrong.answer, 1);
	CORRUPT(m->nr_regions, MODEL_REGIONS + 1);
	CORRUPT(m->flush_clock, m->flush_clock); /* back to 0 */
}

/* Every bit of every kind of entry that is not the guest's to choose; and entries that should not be. */
static void test_entries(void **state)
{
	const uint64_t free_bits = PTE_AVL | PTE_NX | PTE_AD | UINT64_C(0x7fe0000000000000);
	const struct {
		mfn_t table;
		unsigned int index;
		uint64_t any; /* bits that make no difference */
	} rows[] = {
		{ kit->l4, 0, (free_bits & ~PTE_A) | PTE_RW | PTE_GK },
		{ kit->l3, 0, free_bits | PTE_RW | PTE_GK },
		{ kit->l2, 0, free_bits | PTE_RW | PTE_GK },
		{ kit->l4, 300, (free_bits & ~PTE_A) | PTE_GK },
		{ kit->l4, 301, (free_bits & ~PTE_A) | PTE_GK | PTE_P }, /* itself: not counted */
		/* a dom0's leaves: of any caching; a user's or, with Xen's bit, the kernel's */
		{ l1, 0, free_bits | PTE_PWT | PTE_PCD | PTE_PAT | PTE_GK | PTE_G },
		{ l1, 1, free_bits | PTE_PWT | PTE_PCD | PTE_PAT | PTE_GK | PTE_G },
		{ l1, 2, free_bits | PTE_GK | PTE_G },
		{ kit->l4, 256, PTE_A },
		{ kit->l4, 271, PTE_A },
		{ half, 0, free_bits | PTE_RW | PTE_GK },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t *pte = kit_pte(kit, rows[i].table, rows[i].index);

		print_message("entry %u of frame %lx\n", rows[i].index,
			      (unsigned long)mfn_x(rows[i].table));
		for (unsigned int bit = 0; bit < 64; bit++)
			if (!(rows[i].any & UINT64_C(1) << bit))
				CORRUPT(*pte, UINT64_C(1) << bit);
		if (!(rows[i].any & PTE_P) && rows[i].index != 256) /* the M2P's may be left out */
			CORRUPT(*pte, *pte);			    /* gone */
	}
	CORRUPT(*kit_pte(kit, l1, 0), pte_make(kit->data, 0) ^ pte_make(pinned, 0));
	CORRUPT(*kit_pte(kit, l1, 0), pte_make(kit->data, 0) ^ pte_make(KIT_OTHER, 0));
	CORRUPT(*kit_pte(kit, l1, 3), PTE_PCD); /* I/O memory cached */
	CORRUPT(*kit_pte(kit, l1, 4), PTE_PCD | PTE_PWT);
	CORRUPT(*kit_pte(kit, l1, 4), PTE_PCD | PTE_PWT | PTE_PAT);
	CORRUPT(*kit_pte(kit, l1, 9), pte_make(spare, LEAF_RO | PTE_G)); /* not counted */
	CORRUPT(*kit_pte(kit, l1, 511), pte_make(pinned, LEAF | PTE_G));
	CORRUPT(*kit_pte(kit, pinned, 511), pte_make(KIT_XEN, LEAF_RO | PTE_G));
	CORRUPT(*kit_pte(kit, kit->l3, 511), pte_make(pinned, LINK)); /* of a wrong level */
	CORRUPT(*kit_pte(kit, kit->l3, 511), pte_make(kit->l3, LINK));
	CORRUPT(*kit_pte(kit, user, 511), pte_make(_mfn(300), LINK | PTE_A));
	CORRUPT(*kit_pte(kit, user, 511), pte_make(spare, LINK | PTE_A));
	kit->m.profile.dom0 = false;
	assert_int_not_equal(model_check(&kit->m, NULL), 0); /* I/O memory and caching */
	kit->m.profile.dom0 = true;
	kit->m.profile.linear_pt = false;
	assert_int_not_equal(model_check(&kit->m, NULL), 0);
	kit->m.profile.linear_pt = true;
	*kit_pte(kit, pinned, 7) = 0x5000;
	kit_check(kit);
	kit->m.profile.l1tf = true;
	assert_int_not_equal(model_check(&kit->m, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),	cmocka_unit_test(test_types),
		cmocka_unit_test(test_m2p),	cmocka_unit_test(test_model),
		cmocka_unit_test(test_entries),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
