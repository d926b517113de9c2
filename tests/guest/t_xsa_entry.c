/* SPDX-License-Identifier: MIT */
/*
 * Published holes around page tables, but not in the check of their entries: ways into Xen, and
 * what it flushes. Each test says what the hole was and what a Xen without it answers. XSA-259
 * (int $0x80 by a guest that has no handler for it) is left out: this kernel has a handler for
 * every vector.
 *
 * Source: Xen's security advisories, by number; do_multicall and do_iret (pv/iret.c).
 */
#include "raw.h"

#define IRET_RAX 0x213

/*
 * A multicall whose caller's stack holds what HYPERVISOR_iret wants, which leads to the
 * instruction after: rax is then the one in that frame, else the multicall's result. The kernel's
 * RPL there is 0.
 *
 *     rsp -> rax, r11, rcx, flags | rip, cs, rflags, rsp, ss
 */
static long multicall_over_iret_frame(struct multicall_entry *calls, uint64_t count)
{
	uint64_t rax = __HYPERVISOR_multicall;

	__asm__ volatile(
		"mov %%rsp, %%rbx\n"
		"pushq %[ss]\n"
		"pushq %%rbx\n"
		"pushf\n"
		"pushq %[cs]\n"
		"lea 1f(%%rip), %%rcx\n"
		"pushq %%rcx\n"
		"pushq $0\n"
		"pushq $0\n"
		"pushq $0\n"
		"pushq %[iret_rax]\n"
		"syscall\n"
		"1:	mov %%rbx, %%rsp\n"
		: "+a"(rax), "+D"(calls), "+S"(count)
		: [ss] "i"(FLAT_KERNEL_SS), [cs] "i"(FLAT_KERNEL_CS & ~3), [iret_rax] "i"(IRET_RAX)
		: "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	return (long)rax;
}

/*
 * XSA-213: a multicall went on with its next entry after one that was an iret to user mode, and
 * so updated page tables while the wrong ones were in use. A fixed Xen ends the multicall with
 * the iret, whatever mode it leads to: the entry after it is not run.
 */
RAW_TEST(xsa, xsa_213, "an iret in a multicall ends it: the entry behind is not run")
{
	uint64_t *page = raw_page(0);
	struct multicall_entry calls[3] = {
		{ .op = __HYPERVISOR_xen_version },
		{ .op = __HYPERVISOR_iret },
		{ .op = __HYPERVISOR_update_va_mapping, .result = 0x1111 },
	};

	calls[2].args[0] = (uintptr_t)page;
	CHECK_EQ(multicall_over_iret_frame(calls, 3), IRET_RAX);
	CHECK_EQ(calls[0].result, hypercall_raw(__HYPERVISOR_xen_version, 0, 0, 0, 0, 0));
	CHECK_EQ(calls[2].result, 0x1111);
	CHECK_EQ(probe_store64(page, 0), 0);
	/* Without an iret in it, the same comes back the usual way. */
	calls[1].op = __HYPERVISOR_xen_version;
	calls[2].args[1] = raw_pte(page, RAW_RO);
	calls[2].args[2] = UVMF_INVLPG | UVMF_LOCAL;
	CHECK_EQ(multicall_over_iret_frame(calls, 3), 0);
	CHECK_EQ(calls[2].result, 0);
	CHECK_EQ(raw_rw(page), 0);
}

/*
 * XSA-279: Xen handed the guest's address to INVPCID as it was, which faults on a non-canonical
 * one, and Xen crashed. A fixed Xen ignores such an address, as INVLPG itself would; and one of
 * Xen's own.
 */
RAW_TEST(xsa, xsa_279,
	 "INVLPG of a non-canonical address or of Xen's is a success, and does nothing")
{
	static const uint64_t vas[] = {
		UINT64_C(1) << 63,
		UINT64_C(0x0000800000000000),
		UINT64_C(0xffff7fffffffffff),
		UINT64_C(0x7fffffffffffffff),
		XEN_VA_BASE,
		XEN_VA_BASE + UINT64_C(0x2d080000000),
	};
	static uint64_t vcpus = 1;
	uint64_t val = raw_pte(raw_page(0), RAW_RW);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vas); i++) {
		CHECK_EQ(raw_ext(MMUEXT_INVLPG_LOCAL, vas[i], 0), 0);
		CHECK_EQ(raw_ext(MMUEXT_INVLPG_ALL, vas[i], 0), 0);
		CHECK_EQ(raw_ext(MMUEXT_INVLPG_MULTI, vas[i], (uintptr_t)&vcpus), 0);
		CHECK_EQ(hypercall_update_va_mapping(vas[i], val, UVMF_INVLPG | UVMF_LOCAL),
			 -EINVAL);
		CHECK_EQ(hypercall_update_va_mapping(vas[i], val, UVMF_INVLPG | UVMF_ALL), -EINVAL);
	}
}
