/* SPDX-License-Identifier: MIT */
/*
 * tests/model/call.c: the door, the multicall, the assists, and the checker behind the door.
 *
 * Seen on Xen by the in-guest tests neg_multicall and neg_vm_assist.
 */
#include "model_kit.h"

#define ENTRY sizeof(struct multicall_entry)

static struct multicall_entry uva(uint64_t va, uint64_t pte)
{
	return (struct multicall_entry){ .op = __HYPERVISOR_update_va_mapping,
					 .args = { va, pte, UVMF_NONE } };
}

static uint64_t result(const struct kit *kit, size_t at)
{
	struct multicall_entry entry;

	memcpy(&entry, kit->mem + at, sizeof(entry));
	return entry.result;
}

static long multicall(struct kit *kit, uint64_t va, uint32_t nr)
{
	return kit_call(kit, __HYPERVISOR_multicall, va, nr, 0, 0);
}

/* What the model does not know goes to who embeds it, with its number; what it knows does not. */
static void test_numbers(void **state)
{
	static const unsigned int known[] = {
		__HYPERVISOR_mmu_update,	__HYPERVISOR_set_gdt,
		__HYPERVISOR_update_descriptor, __HYPERVISOR_memory_op,
		__HYPERVISOR_multicall,		__HYPERVISOR_update_va_mapping,
		__HYPERVISOR_vm_assist,		__HYPERVISOR_update_va_mapping_otherdomain,
		__HYPERVISOR_mmuext_op,
	};
	struct kit *kit = kit_new(&kit_domu);

	(void)state;
	for (unsigned int nr = 0; nr < 64; nr++) {
		const unsigned int before = kit->others;
		bool is_known = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			is_known |= known[i] == nr;
		kit_call(kit, nr, 0, 0, 0, DOMID_SELF);
		assert_int_equal(kit->others - before, !is_known);
		assert_true(is_known || kit->other_nr == nr);
	}
	assert_int_equal(kit_call(kit, 999, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(kit->m.calls, 65);
	kit_free(kit);
}

/* It goes on past all that fails; each entry has its own result. */
static void test_goes_on(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const struct multicall_entry calls[] = {
		uva(0x1000, pte_make(kit->data, LEAF_RO)),
		{ .op = 999 },
		{ .op = __HYPERVISOR_multicall, .args = { KIT_VA, 1 } },
		uva(0x2000, pte_make(KIT_XEN, LEAF_RO)),
		{ .op = UINT64_C(1) << 32 | __HYPERVISOR_update_va_mapping },
		uva(0x3000, pte_make(kit->data, LEAF_RO)),
	};
	const long want[] = { 0, -ENOSYS, -EINVAL, -EBUSY, -ENOSYS, 0 };
	const unsigned int n = ARRAY_SIZE(calls);
	uint8_t before[sizeof(calls)];

	(void)state;
	kit->m.check_every = 1;
	memcpy(before, calls, sizeof(before));
	for (unsigned int i = 0; i < n; i++)
		memcpy(before + i * ENTRY + offsetof(struct multicall_entry, result), &want[i],
		       sizeof(want[i]));
	assert_int_equal(multicall(kit, kit_put(kit, 0, calls, sizeof(calls)), n), 0);
	/* nothing else of it has changed */
	assert_memory_equal(kit->mem, before, sizeof(before));
	EXPECT_FRAME(kit, kit->data, 4, MODEL_WRITABLE, 1);
	assert_int_equal(kit->m.calls, 1);
	kit_free(kit);
}

/* A debug build spoils what was passed, in all entries that it came to. */
static void test_debug(void **state)
{
	struct model_profile profile = kit_domu;
	const struct multicall_entry calls[2] = { { .op = 999 }, { .op = 998 } };
	struct kit *kit;

	(void)state;
	profile.debug = true;
	kit = kit_new(&profile);
	assert_int_equal(multicall(kit, kit_put(kit, 0, calls, sizeof(calls)), 1), 0);
	assert_int_equal(result(kit, 0), -ENOSYS);
	for (size_t i = 0; i < ENTRY; i++)
		if (i - offsetof(struct multicall_entry, result) >= sizeof(uint64_t))
			assert_int_equal(kit->mem[i], 0xaa);
	assert_memory_equal(kit->mem + ENTRY, &calls[1], ENTRY);
	kit_free(kit);
}

/* What stands before the fault is done. A result that can't be written is found out after the entry ran. */
static void test_pointers(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const uint64_t xen = UINT64_C(0xffff800000000000);
	struct multicall_entry call = uva(0x1000, pte_make(kit->data, LEAF_RO));
	uint64_t last = kit_put(kit, KIT_BYTES - ENTRY, &call, ENTRY);

	(void)state;
	assert_int_equal(multicall(kit, 0, 1), -EFAULT);
	assert_int_equal(multicall(kit, 0, 0), 0);
	assert_int_equal(multicall(kit, xen, 0), -EFAULT);
	assert_int_equal(multicall(kit, KIT_VA + KIT_BYTES, 1), -EFAULT);
	assert_int_equal(multicall(kit, last, 2), -EFAULT);
	assert_int_equal(result(kit, KIT_BYTES - ENTRY), 0);
	EXPECT_FRAME(kit, kit->data, 3, MODEL_WRITABLE, 1);

	call = uva(0x2000, pte_make(kit->data, LEAF_RO));
	kit_put(kit, 0, &call, ENTRY);
	call = uva(0x3000, pte_make(kit->data, LEAF_RO));
	kit_put(kit, ENTRY, &call, ENTRY);
	kit->writable = 0;
	assert_int_equal(multicall(kit, KIT_VA, 2), -EFAULT);
	EXPECT_FRAME(kit, kit->data, 4, MODEL_WRITABLE, 1); /* the first alone */
	kit->writable = KIT_BYTES;
	assert_false(kit->m.in_multicall);
	kit_check(kit);
	kit_free(kit);
}

/* A guest that has been crashed runs no further. */
static void test_crash(void **state)
{
	struct model_profile profile = kit_domu;
	const struct multicall_entry calls[2] = { uva(0x1000, UINT64_C(0x5000)), { .op = 999 } };
	struct kit *kit;

	(void)state;
	profile.l1tf = true;
	kit = kit_new(&profile);
	multicall(kit, kit_put(kit, 0, calls, sizeof(calls)), 2);
	assert_int_equal(kit->crashes, 1);
	assert_int_equal(kit->others, 0);
	kit_check(kit);
	kit_free(kit);
}

static void test_assists(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	const unsigned int bad[] = { 6, 31, 33, 63, 64, 100, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (unsigned int cmd = 0; cmd < 6; cmd++)
			assert_int_equal(kit_call(kit, __HYPERVISOR_vm_assist, cmd, bad[i], 0, 0),
					 -EINVAL);
	}
	for (unsigned int type = 0; type <= 32; type += type == 5 ? 27 : 1) {
		assert_int_equal(
			kit_call(kit, __HYPERVISOR_vm_assist, VMASST_CMD_enable, type, 0, 0), 0);
		assert_int_equal(kit->m.vm_assist, UINT64_C(1) << type);
		assert_int_equal(kit_call(kit, __HYPERVISOR_vm_assist, 2, type, 0, 0), -ENOSYS);
		assert_int_equal(
			kit_call(kit, __HYPERVISOR_vm_assist, VMASST_CMD_disable, type, 0, 0), 0);
		assert_int_equal(kit->m.vm_assist, 0);
	}
	kit_free(kit);
}

/* As often as it is told to, and it says what is wrong. */
static void test_checker(void **state)
{
	struct kit *kit = kit_new(&kit_domu);

	(void)state;
	kit_frame(kit, kit->data)->count++;
	kit_call(kit, 999, 0, 0, 0, 0); /* never, if not told */
	kit->m.check_every = 4;
	for (unsigned int i = 2; i <= 3; i++)
		kit_call(kit, 999, 0, 0, 0, 0);
	host_console_reset();
	EXPECT_PANIC(kit_call(kit, 999, 0, 0, 0, 0),
		     "1 invariants broken at call 4, hypercall 999");
	assert_non_null(
		libc_strstr(host_console(), "model: frame 24: count 3, but 1 and 1 references"));
	kit_free(kit);
}

/*
 * An answer that the table of errors does not have is a broken invariant, at once, and said whatever the checker is told: here the
 * embedder's copy fails with what no Xen answers. So it is with a request, a call itself, and a call in a multicall.
 */
static int copy_fails(struct model *m, void *dst, uint64_t va, size_t n)
{
	(void)m, (void)dst, (void)va, (void)n;
	return -ENOSPC;
}

static void test_answers(void **state)
{
	struct kit *kit = kit_new(&kit_domu);
	struct model_ops ops = *kit->m.ops;

	(void)state;
	assert_int_equal(
		model_answer(&kit->m, __HYPERVISOR_mmu_update, MMU_MACHPHYS_UPDATE, -EINVAL),
		-EINVAL);
	assert_int_equal(kit->m.wrong.answer, 0);
	/* one of that call's, but not of that command; a count from what counts nothing */
	assert_int_equal(
		model_answer(&kit->m, __HYPERVISOR_mmu_update, MMU_MACHPHYS_UPDATE, -EBUSY),
		-EBUSY);
	assert_int_equal(kit->m.wrong.answer, -EBUSY);
	kit->m.wrong.answer = 0;
	model_answer(&kit->m, __HYPERVISOR_mmuext_op, MMUEXT_UNPIN_TABLE, 1);
	assert_int_equal(kit->m.wrong.answer, 1);
	kit->m.wrong.answer = 0;
	model_answer(&kit->m, __HYPERVISOR_memory_op, XENMEM_populate_physmap, 1);
	kit_check(kit);

	ops.copy_from = copy_fails;
	kit->m.ops = &ops;
	host_console_reset();
	EXPECT_PANIC(kit_call(kit, __HYPERVISOR_mmuext_op, KIT_VA, 1, 0, DOMID_SELF),
		     "1 invariants broken at call 1, hypercall 26");
	assert_non_null(
		libc_strstr(host_console(), "hypercall 26, command fffffffe, answers -ENOSPC"));
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_debug),	cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_crash),	cmocka_unit_test(test_assists),
		cmocka_unit_test(test_checker), cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
