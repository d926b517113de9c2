/* SPDX-License-Identifier: MIT */
/*
 * Multicalls: many hypercalls by one entry to Xen. Unlike a list of updates it does not stop: each
 * entry has its own result, and the call's own says only whether the list could be read.
 *
 * Source: do_multicall in common/multicall.c.
 */
#include "raw.h"

static struct multicall_entry uva_entry(const void *va, uint64_t val)
{
	struct multicall_entry call = { .op = __HYPERVISOR_update_va_mapping };

	call.args[0] = (uintptr_t)va;
	call.args[1] = val;
	call.args[2] = UVMF_INVLPG | UVMF_LOCAL;
	return call;
}

/* A queue that looks at the call's result alone never learns of a failure. */
RAW_TEST(neg_multicall, neg_multicall_goes_on,
	 "a multicall is 0 and goes on past an unknown call, a nested multicall and a failing "
	 "update")
{
	uint64_t *page = raw_page(0);
	struct multicall_entry calls[5] = {
		uva_entry(page, raw_pte(page, RAW_RO)),
		{ .op = 999 },
		{ .op = __HYPERVISOR_multicall },
		uva_entry(page, pte_make(_mfn(raw_unowned_mfn()), RAW_RO)),
		{ .op = __HYPERVISOR_xen_version },
	};

	/* The fifth runs too, and the nested one has nothing to do. */
	CHECK_EQ(hypercall_multicall(calls, 5), 0);
	CHECK_EQ(calls[0].result, 0);
	CHECK_EQ(calls[1].result, -ENOSYS);
	CHECK_EQ(calls[2].result, -EINVAL);
	CHECK_EQ(calls[3].result, -EBUSY);
	CHECK_EQ(calls[4].result, hypercall_raw(__HYPERVISOR_xen_version, 0, 0, 0, 0, 0));
	CHECK_EQ(probe_store64(page, 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
	CHECK_EQ(raw_rw(page), 0);
}

/* A list whose end is not readable is found out only there: what stands before it has been done. */
RAW_TEST(neg_multicall, neg_multicall_pointers,
	 "a multicall list that can't be read is -EFAULT, an empty one 0; entries before the fault "
	 "are done")
{
	uint64_t *page = raw_page(0), *list = raw_page(1);
	struct multicall_entry *last = (struct multicall_entry *)(list + TABLE_ENTRIES) - 1;

	CHECK_EQ(hypercall_multicall(NULL, 1), -EFAULT);
	CHECK_EQ(hypercall_multicall(raw_ptr(XEN_VA_BASE), 1), -EFAULT);
	CHECK_EQ(hypercall_multicall(raw_ptr(RAW_VA), 1), -EFAULT);
	CHECK_EQ(hypercall_multicall(NULL, 0), 0);
	*last = uva_entry(page, raw_pte(page, RAW_RO));
	CHECK_EQ(raw_unmap(raw_page(2)), 0);
	CHECK_EQ(hypercall_multicall(last, 2), -EFAULT);
	CHECK_EQ(last->result, 0);
	CHECK_EQ(probe_store64(page, 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
	raw_rw_all(0, 2);
}

/* Results must be written: a list in memory that can't be is an error after the entry has run. */
RAW_TEST(neg_multicall, neg_multicall_read_only,
	 "a read-only list gives -EFAULT after its first entry ran")
{
	uint64_t *page = raw_page(0);
	struct multicall_entry *calls = (struct multicall_entry *)raw_page(1);

	calls[0] = uva_entry(page, raw_pte(page, RAW_RO));
	calls[1] = uva_entry(page, 0);
	CHECK_EQ(raw_ro(calls), 0);
	CHECK_EQ(hypercall_multicall(calls, 2), -EFAULT);
	raw_check_stored(raw_entry(page, 1), 1, raw_pte(page, RAW_RO));
	raw_rw_all(0, 1);
}
