/* SPDX-License-Identifier: MIT */
/*
 * Giving frames back and getting others. The calls count rather than fail, and a frame that
 * something still refers to is not free: a mapping, a pin, a table's entry each hold it.
 *
 * Where a scratch page's frame changes, raw_adopt() gives it the new one, in the mfn_list too.
 *
 * Source: common/memory.c, steal_page in arch/x86/mm.c.
 */
#include "raw.h"
#include <xen/memory.h>

static struct xen_memory_reservation reservation(uint64_t *frames, unsigned long nr)
{
	struct xen_memory_reservation res = { .nr_extents = nr, .domid = DOMID_SELF };

	set_xen_guest_handle(res.extent_start, frames);
	return res;
}

static long decrease(uint64_t mfn)
{
	struct xen_memory_reservation res = reservation(&mfn, 1);

	return hypercall_memory_op(XENMEM_decrease_reservation, &res);
}

/* A new frame for @page; its MFN, or INVALID_MFN_X if Xen gives none. */
static uint64_t populate(const void *page)
{
	uint64_t frame = pfn_x(boot_va_pfn(page));
	struct xen_memory_reservation res = reservation(&frame, 1);

	return hypercall_memory_op(XENMEM_populate_physmap, &res) == 1 ? frame : INVALID_MFN_X;
}

static long owned(void)
{
	domid_t self = DOMID_SELF;

	return hypercall_memory_op(XENMEM_current_reservation, &self);
}

/* Success is 1 frame given back, though it is not free yet: Xen counts it as the guest's until the
 * last mapping goes, and then it is gone for good. */
RAW_TEST(neg_memory, neg_decrease_mapped,
	 "a mapped frame is given back with success, and freed when unmapped")
{
	uint64_t *page = raw_page(0), mfn = mfn_x(raw_mfn(page)), word = 0, fresh;
	long before = owned();

	page[0] = 0x5a;
	CHECK_EQ(decrease(mfn), 1);
	CHECK_EQ(owned(), before);
	CHECK(probe_load64(page, &word) == 0 && word == 0x5a);
	CHECK_EQ(decrease(mfn), 1); /* again: the mapping still lets it be found */
	CHECK_EQ(raw_m2p(mfn), pfn_x(boot_va_pfn(page)));
	CHECK_EQ(raw_unmap(page), 0);
	CHECK_EQ(owned(), before - 1);
	CHECK_EQ(raw_m2p(mfn), INVALID_PFN_X);
	CHECK_EQ(decrease(mfn), 0);
	CHECK_EQ(raw_rw(page), -EBUSY); /* nobody's now */
	fresh = populate(page);
	REQUIRE(fresh != INVALID_MFN_X);
	CHECK_EQ(owned(), before);
	CHECK_EQ(raw_m2p(fresh), pfn_x(boot_va_pfn(page)));
	raw_adopt(page, fresh);
}

RAW_TEST(neg_memory, neg_decrease_pinned,
	 "a pinned frame is given back with success, and freed when unpinned")
{
	uint64_t *page = raw_page(0), mfn = mfn_x(raw_mfn(page)), fresh;
	long before = owned();

	CHECK_EQ(raw_ro(page), 0);
	CHECK_EQ(raw_pin(1, page), 0);
	CHECK_EQ(raw_unmap(page), 0);
	CHECK_EQ(decrease(mfn), 1);
	CHECK_EQ(owned(), before);
	CHECK_EQ(raw_rw(page), -EBUSY); /* a table yet */
	CHECK_EQ(raw_unpin(page), 0);
	CHECK_EQ(owned(), before - 1);
	CHECK_EQ(raw_unpin(page), -EINVAL);
	fresh = populate(page);
	REQUIRE(fresh != INVALID_MFN_X);
	raw_adopt(page, fresh);
}

/* The count is the answer. A caller that looks for a negative number sees none. */
RAW_TEST(neg_memory, neg_decrease_unowned,
	 "frames that are not the guest's: 0 given back, and no errno")
{
	const uint64_t mfns[] = { raw_unowned_mfn(), 0,		 UINT64_C(1) << 28,
				  UINT64_C(1) << 39, UINT64_MAX, raw_foreign_mfn() };
	long before = owned();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mfns); i++)
		CHECK_EQ(decrease(mfns[i]), 0);
	CHECK_EQ(owned(), before);
}

/* An exchange takes the frame out of the guest's hands, so nothing may refer to it. */
RAW_TEST(neg_memory, neg_exchange,
	 "a mapped or pinned frame is not exchanged (-EINVAL), an unmapped one is")
{
	uint64_t *page = raw_page(0), in = mfn_x(raw_mfn(page)), out = pfn_x(boot_va_pfn(page));
	struct xen_memory_exchange exch = { .in = reservation(&in, 1),
					    .out = reservation(&out, 1) };
	long before = owned();

	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EINVAL);
	CHECK_EQ(exch.nr_exchanged, 0);
	CHECK_EQ(raw_ro(page), 0);
	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EINVAL);
	CHECK_EQ(raw_pin(1, page), 0);
	CHECK_EQ(raw_unmap(page), 0);
	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EINVAL);
	CHECK_EQ(raw_unpin(page), 0);
	CHECK_EQ(out, pfn_x(boot_va_pfn(page)));
	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), 0);
	CHECK_EQ(exch.nr_exchanged, 1);
	CHECK(out != in);
	CHECK_EQ(raw_m2p(out), pfn_x(boot_va_pfn(page)));
	CHECK_EQ(raw_m2p(in), INVALID_PFN_X);
	CHECK_EQ(owned(), before);
	raw_adopt(page, out);
}

#define EXTENT_ORDER 9
#define EXTENTS_MAX  64

/*
 * Xen gives no more than the toolstack allows. In pieces of 2 MiB until it refuses, then all
 * given back; where the limit is too far away to be reached so, as for a dom0, it is not.
 */
RAW_TEST(neg_memory, neg_populate_limit, "beyond the domain's limit 0 frames come, and no errno",
	 .needs = "domU")
{
	static uint64_t given[EXTENTS_MAX];
	uint64_t beyond = boot_info()->nr_pages + (UINT64_C(1) << 20), frame;
	domid_t self = DOMID_SELF;
	struct xen_memory_reservation res = reservation(&frame, 1);
	long limit = hypercall_memory_op(XENMEM_maximum_reservation, &self), before = owned();
	unsigned int nr = 0;

	res.extent_order = EXTENT_ORDER;
	REQUIRE(limit >= before);
	if (limit - before >= (EXTENTS_MAX - 1L) << EXTENT_ORDER) {
		test_note("the limit, %ld frames, is too far away", limit);
		return;
	}
	for (; nr < EXTENTS_MAX; nr++) {
		frame = beyond;
		if (hypercall_memory_op(XENMEM_populate_physmap, &res) != 1)
			break;
		given[nr] = frame;
	}
	CHECK_EQ(hypercall_memory_op(XENMEM_populate_physmap, &res), 0);
	CHECK_EQ(nr, (unsigned long)(limit - before) >> EXTENT_ORDER);
	CHECK_EQ(owned(), before + ((long)nr << EXTENT_ORDER));
	while (nr > 0) {
		frame = given[--nr];
		CHECK_EQ(hypercall_memory_op(XENMEM_decrease_reservation, &res), 1);
	}
	CHECK_EQ(owned(), before);
}
