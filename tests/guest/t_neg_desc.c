/* SPDX-License-Identifier: MIT */
/*
 * Descriptor tables, the trap table and assists. A frame of the GDT or the LDT has a type of its
 * own, so that no guest writes a descriptor that Xen has not looked at: a call gate or a TSS
 * would lead to ring 0.
 *
 * Source: pv/descriptor-tables.c, pv/misc-hypercalls.c; vm_assist in common/kernel.c.
 */
#include "raw.h"
#include <pinion/arch/cpu.h>

/* A data segment, present, writable, of ring 3; an available 64-bit TSS. */
#define DESC_DATA UINT64_C(0x00cff3000000ffff)
#define DESC_TSS  UINT64_C(0x0000890000000067)

#define GDT_MAX 7168 /* 14 pages: Xen's own descriptors begin there */

static long set_gdt(const uint64_t *mfns, unsigned int entries)
{
	return hypercall_raw(__HYPERVISOR_set_gdt, (uintptr_t)mfns, entries, 0, 0, 0);
}

static long update_descriptor(uint64_t maddr, uint64_t desc)
{
	return hypercall_raw(__HYPERVISOR_update_descriptor, maddr, desc, 0, 0, 0);
}

static long set_ldt(uint64_t va, uint64_t entries)
{
	return raw_ext(MMUEXT_SET_LDT, va, entries);
}

/* Loads a selector into %es, which nothing uses, and back. */
static exinfo_t load_selector(uint16_t selector)
{
	exinfo_t exinfo = PROBE_INSN("mov %1, %%es", "r"((uint32_t)selector));

	__asm__ volatile("mov %0, %%es" : : "r"(0));
	return exinfo;
}

RAW_TEST(neg_desc, neg_gdt,
	 "the GDT: no writable frame, none of another's, no bad descriptor, not too long")
{
	uint64_t *gdt = raw_page(0), mfn = mfn_x(raw_mfn(gdt));
	const uint64_t bad[] = { raw_unowned_mfn(), UINT64_C(1) << 28, UINT64_C(1) << 39,
				 UINT64_MAX, mfn_x(boot_mfn(boot_info(), boot_info()->l4)) };
	uint64_t two[2] = { mfn, 0 };
	size_t i;

	CHECK_EQ(set_gdt(&mfn, 512), -EINVAL); /* still writable */
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(set_gdt(&bad[i], 512), -EINVAL);
	CHECK_EQ(set_gdt(&mfn, GDT_MAX + 1), -EINVAL);
	CHECK_EQ(set_gdt(&mfn, UINT32_MAX), -EINVAL);
	CHECK_EQ(set_gdt(NULL, 1), -EFAULT);
	CHECK_EQ(set_gdt(raw_ptr(XEN_VA_BASE), 1), -EFAULT);
	gdt[511] = DESC_TSS;
	CHECK_EQ(raw_ro(gdt), 0);
	CHECK_EQ(set_gdt(&mfn, 1), -EINVAL); /* all of the page is looked at */
	CHECK_EQ(raw_rw(gdt), 0);
	gdt[511] = 0;
	CHECK_EQ(raw_ro(gdt), 0);
	two[1] = raw_unowned_mfn();
	CHECK_EQ(set_gdt(two, 513), -EINVAL);
	CHECK_EQ(raw_rw(gdt), 0); /* and the first frame's type was given back */
}

/*
 * A frame of the GDT in use is as much Xen's as a table is. Its entries are changed by
 * update_descriptor, which looks at what it writes; mmu_update does not take it.
 */
RAW_TEST(neg_desc, neg_gdt_in_use,
	 "a GDT frame in use can't be mapped writable, pinned, or written by mmu_update")
{
	uint64_t *gdt = raw_page(0), mfn = mfn_x(raw_mfn(gdt));

	CHECK_EQ(raw_ro(gdt), 0);
	CHECK_EQ(set_gdt(&mfn, 512), 0);
	CHECK_EQ(raw_rw(gdt), -EBUSY);
	CHECK_EQ(raw_set(raw_entry(gdt, 1), raw_pte(gdt, RAW_RW)), -EBUSY);
	CHECK_EQ(raw_uva(raw_page(1), raw_pte(gdt, RAW_RW)), -EBUSY);
	CHECK_EQ(raw_uva(raw_page(1), raw_pte(gdt, RAW_RO)), 0);
	CHECK_EQ(raw_rw(raw_page(1)), 0);
	CHECK_EQ(raw_pin(1, gdt), -EINVAL);
	CHECK_EQ(raw_set(&gdt[3], DESC_DATA), -EINVAL);
	CHECK_EQ(raw_ext(MMUEXT_CLEAR_PAGE, mfn, 0), -EINVAL);
	CHECK_EQ(probe_store64(&gdt[3], DESC_DATA), EXINFO_PF(PF_PRESENT | PF_WRITE));
	CHECK_EQ(load_selector(3 << 3 | 3), EXINFO(VECTOR_GP, 3 << 3));
	CHECK_EQ(update_descriptor(raw_maddr(&gdt[3]), DESC_TSS), -EINVAL);
	CHECK_EQ(READ_ONCE(gdt[3]), 0);
	CHECK_EQ(update_descriptor(raw_maddr(&gdt[3]), DESC_DATA), 0);
	CHECK_EQ(load_selector(3 << 3 | 3), 0);
	CHECK_EQ(set_gdt(NULL, 0), 0);
	CHECK_EQ(load_selector(3 << 3 | 3), EXINFO(VECTOR_GP, 3 << 3));
	CHECK_EQ(raw_rw(gdt), 0);
}

RAW_TEST(neg_desc, neg_ldt, "the LDT: aligned, at most 8192 entries, not at Xen's addresses")
{
	uint64_t *ldt = raw_page(0);

	ldt[0] = DESC_DATA;
	CHECK_EQ(set_ldt((uintptr_t)ldt + 8, 1), -EINVAL);
	CHECK_EQ(set_ldt((uintptr_t)ldt, 8193), -EINVAL);
	CHECK_EQ(set_ldt((uintptr_t)ldt, UINT32_MAX), -EINVAL);
	CHECK_EQ(set_ldt(XEN_VA_BASE, 1), -EINVAL);
	CHECK_EQ(set_ldt(UINT64_C(1) << 63, 1), -EINVAL);
	CHECK_EQ(load_selector(7), EXINFO(VECTOR_GP, 4));
	/*
	 * A page of it gets its type by the first use, which fails for a writable page as it does
	 * for one that is not there: by a page fault in the LDT (handle_ldt_mapping_fault in
	 * traps.c).
	 */
	CHECK_EQ(set_ldt((uintptr_t)ldt, 1), 0);
	CHECK_EQ(load_selector(7), EXINFO_PF(0));
	CHECK_EQ(cpu_cr2(), (uintptr_t)ldt);
	CHECK_EQ(raw_ro(ldt), 0);
	CHECK_EQ(load_selector(7), 0);
	CHECK_EQ(raw_rw(ldt), -EBUSY);
	CHECK_EQ(raw_pin(1, ldt), -EINVAL);
	CHECK_EQ(load_selector(15), EXINFO(VECTOR_GP, 12)); /* the second entry */
	CHECK_EQ(set_ldt(0, 0), 0);
	CHECK_EQ(load_selector(7), EXINFO(VECTOR_GP, 4));
	CHECK_EQ(raw_rw(ldt), 0);
}

/*
 * The address is a machine address of the guest's choice: any of 8 bytes in any of its plain
 * frames.
 */
RAW_TEST(neg_desc, neg_update_descriptor,
	 "update_descriptor: aligned, no TSS or gate, no page table; a plain page takes it")
{
	uint64_t *l1 = raw_page(0), *page = raw_page(1);

	CHECK_EQ(raw_ro(l1), 0);
	CHECK_EQ(raw_pin(1, l1), 0);
	CHECK_EQ(update_descriptor(raw_maddr(&l1[3]), DESC_DATA), -EINVAL);
	CHECK_EQ(update_descriptor(raw_maddr(&l1[3]), 0), -EINVAL);
	CHECK_EQ(update_descriptor(raw_maddr(&page[3]) + 4, DESC_DATA), -EINVAL);
	CHECK_EQ(update_descriptor(raw_maddr(&page[3]) + 1, 0), -EINVAL);
	CHECK_EQ(update_descriptor(raw_maddr(&page[3]), DESC_TSS), -EINVAL);
	CHECK_EQ(update_descriptor(raw_unowned_mfn() << PAGE_SHIFT, 0), -EINVAL);
	CHECK_EQ(update_descriptor(UINT64_C(1) << 51, 0), -EINVAL);
	CHECK(page[3] == 0 && page[4] == 0 && l1[3] == 0);
	CHECK_EQ(update_descriptor(raw_maddr(&page[3]), DESC_DATA), 0);
	CHECK_EQ(READ_ONCE(page[3]), DESC_DATA);
	CHECK_EQ(raw_unpin(l1), 0);
	CHECK_EQ(raw_rw(l1), 0);
}

/*
 * An address that Xen sends the guest to; a non-canonical one would fault in Xen, on its way out.
 */
RAW_TEST(neg_desc, neg_trap_table,
	 "a handler at a non-canonical address is -EINVAL, a bad list -EFAULT")
{
	struct trap_info traps[2] = { { .vector = VECTOR_UD, .cs = FLAT_KERNEL_CS },
				      { .vector = 0 } };

	traps[0].address = UINT64_C(1) << 63;
	CHECK_EQ(hypercall_set_trap_table(traps), -EINVAL);
	traps[0].address = UINT64_C(0x0000800000000000);
	CHECK_EQ(hypercall_set_trap_table(traps), -EINVAL);
	CHECK_EQ(hypercall_set_trap_table(raw_ptr(XEN_VA_BASE)), -EFAULT);
	CHECK_EQ(hypercall_set_trap_table(raw_ptr(RAW_VA)), -EFAULT);
	/* What was there is there still. */
	CHECK_EQ(PROBE_INSN("ud2"), EXINFO(VECTOR_UD, 0));
}

/* Assists change what the rest of this suite tests; those unknown must stay off. */
RAW_TEST(neg_desc, neg_vm_assist, "unknown assists are -EINVAL, unknown commands -ENOSYS")
{
	static const unsigned int types[] = { 6, 31, 63, 64, 100, UINT32_MAX };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		CHECK_EQ(
			hypercall_raw(__HYPERVISOR_vm_assist, VMASST_CMD_enable, types[i], 0, 0, 0),
			-EINVAL);
		CHECK_EQ(hypercall_raw(__HYPERVISOR_vm_assist, VMASST_CMD_disable, types[i], 0, 0,
				       0),
			 -EINVAL);
	}
	CHECK_EQ(hypercall_raw(__HYPERVISOR_vm_assist, 5, VMASST_TYPE_m2p_strict, 0, 0, 0),
		 -ENOSYS);
	CHECK_EQ(hypercall_raw(__HYPERVISOR_vm_assist, UINT32_MAX, 0, 0, 0, 0), -ENOSYS);
}
