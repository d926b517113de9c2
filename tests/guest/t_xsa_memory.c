/* SPDX-License-Identifier: MIT */
/*
 * Published holes in how Xen takes memory from a guest's hands and counts its frames. Each test
 * says what the hole was and what a Xen without it answers; on one with it the test may do harm.
 *
 * Source: Xen's security advisories, by number; common/memory.c, do_mmu_update.
 */
#include "raw.h"
#include <xen/memory.h>

static void fill(struct xen_memory_exchange *exch, uint64_t *in, uint64_t *out, unsigned long nr)
{
	*exch = (struct xen_memory_exchange){
		.in = { .nr_extents = nr, .domid = DOMID_SELF },
		.out = { .nr_extents = nr, .domid = DOMID_SELF },
	};
	set_xen_guest_handle(exch->in.extent_start, in);
	set_xen_guest_handle(exch->out.extent_start, out);
}

/*
 * XSA-29: XENMEM_exchange wrote the new frames' numbers wherever the guest said, without a look
 * at the address, so also into Xen's own memory. A fixed Xen refuses such lists with -EFAULT, and
 * takes nothing.
 */
RAW_TEST(xsa, xsa_29, "an exchange with its lists in Xen's memory is refused")
{
	struct xen_memory_exchange exch;
	uint64_t *page = raw_page(0), mfn = mfn_x(raw_mfn(page)), out = pfn_x(boot_va_pfn(page));

	CHECK_EQ(raw_unmap(page), 0);
	fill(&exch, &mfn, raw_ptr(XEN_VA_BASE), 1);
	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EFAULT);
	fill(&exch, &mfn, raw_ptr(XEN_VA_END - 8), 1);
	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EFAULT);
	fill(&exch, raw_ptr(XEN_VA_BASE), &out, 1);
	CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EFAULT);
	CHECK_EQ(raw_rw(page), 0);
	CHECK_EQ(raw_exchange(page), 0);
}

/*
 * XSA-31: the order of an extent was used as a shift without a limit, so that a huge one hung the
 * host or passed as a small one. A fixed Xen gives none of the extents, and an exchange -EPERM.
 */
RAW_TEST(xsa, xsa_31, "extents of an order that can't be are neither given nor taken")
{
	static const unsigned int orders[] = { 20, 32, 52, 63, 64, 255, UINT32_MAX };
	static const unsigned int ops[] = { XENMEM_populate_physmap, XENMEM_increase_reservation,
					    XENMEM_decrease_reservation };
	uint64_t frame = mfn_x(raw_mfn(raw_page(0))), out = frame;
	struct xen_memory_reservation res;
	struct xen_memory_exchange exch;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		res = (struct xen_memory_reservation){ .nr_extents = 1,
						       .extent_order = orders[i],
						       .domid = DOMID_SELF };
		set_xen_guest_handle(res.extent_start, &frame);
		for (j = 0; j < ARRAY_SIZE(ops); j++)
			CHECK_EQ(hypercall_memory_op(ops[j], &res), 0);
		fill(&exch, &frame, &out, 1);
		exch.in.extent_order = orders[i];
		CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EPERM);
		fill(&exch, &frame, &out, 1);
		exch.out.extent_order = orders[i];
		CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EPERM);
	}
	CHECK_EQ(frame, mfn_x(raw_mfn(raw_page(0))));
}

/*
 * XSA-32: several calls looked up a frame that the guest names without asking first whether there
 * is such a frame, and worked on memory that is none. A fixed Xen answers each of them with
 * -EINVAL.
 */
RAW_TEST(xsa, xsa_32, "no call takes a frame number that is far too high")
{
	static const uint64_t mfns[] = { UINT64_C(1) << 28, UINT64_C(1) << 35, UINT64_C(1) << 39,
					 (UINT64_C(1) << 40) - 1, UINT64_C(1) << 51 };
	unsigned int cmd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mfns); i++) {
		for (cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_NEW_BASEPTR; cmd++)
			CHECK_EQ(raw_ext(cmd, mfns[i], 0), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_NEW_USER_BASEPTR, mfns[i], 0), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_CLEAR_PAGE, mfns[i], 0), -EINVAL);
		CHECK_EQ(raw_ext(MMUEXT_COPY_PAGE, mfns[i], mfns[i]), -EINVAL);
		CHECK_EQ(raw_update(mfns[i] << PAGE_SHIFT, 0), -EINVAL);
		CHECK_EQ(raw_update(mfns[i] << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 0), -EINVAL);
		CHECK_EQ(hypercall_raw(__HYPERVISOR_update_descriptor, mfns[i] << PAGE_SHIFT, 0, 0,
				       0, 0),
			 -EINVAL);
		CHECK_EQ(hypercall_raw(__HYPERVISOR_set_gdt, (uintptr_t)&mfns[i], 1, 0, 0, 0),
			 -EINVAL);
	}
}

/*
 * XSA-113: an update of the M2P did not give back the reference that it took to the frame. Such a
 * frame could never be freed; a fixed Xen leaves none, and exchanges the frame.
 */
RAW_TEST(xsa, xsa_113, "updates of the M2P keep no reference to the frame")
{
	uint64_t *page = raw_page(0), ptr = raw_maddr(page) | MMU_MACHPHYS_UPDATE;
	unsigned int i;

	for (i = 0; i < 5; i++)
		CHECK_EQ(raw_update(ptr, pfn_x(boot_va_pfn(page))), 0);
	CHECK_EQ(raw_exchange(page), 0);
}

/*
 * XSA-212: the list for the results was checked from its start, but used from the entry that
 * nr_exchanged names, which a guest can set so high that the address lies in Xen's memory. A fixed
 * Xen checks what it uses: -EFAULT, before any frame has been taken.
 */
RAW_TEST(xsa, xsa_212,
	 "an exchange that begins so far in that its results fall into Xen's memory is refused")
{
	/* The IDT of the hole's demonstrations was here; entry nr of a list at the first page. */
	const uint64_t targets[] = { XEN_VA_BASE, XEN_VA_BASE + UINT64_C(0x2d080000000),
				     XEN_VA_END - 8 };
	struct xen_memory_exchange exch;
	uint64_t in = mfn_x(raw_mfn(raw_page(0))), done;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		/* The input list wraps likewise, to where the frame's number is. */
		done = (targets[i] - UINT64_C(0x1000)) / sizeof(uint64_t);
		fill(&exch, (uint64_t *)((uintptr_t)&in - done * sizeof(uint64_t)),
		     raw_ptr(UINT64_C(0x1000)), done + 1);
		exch.nr_exchanged = done;
		CHECK_EQ(hypercall_memory_op(XENMEM_exchange, &exch), -EFAULT);
		CHECK_EQ(exch.nr_exchanged, done);
	}
	CHECK_EQ(raw_exchange(raw_page(0)), 0);
}
