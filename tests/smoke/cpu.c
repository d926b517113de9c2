/* SPDX-License-Identifier: MIT */
/*
 * Descriptor tables and MSRs.
 *
 * The CPU's GDT is one window: the guest's frames in its first 14 pages, mapped when the guest sets them, and
 * Xen's own page behind, whose selectors are public. So a guest's descriptors are used by the CPU in the
 * guest's own memory, and the model is what keeps the guest from writing there. The LDT's window is filled by
 * faults, a page when a selector of it is first loaded, as Xen does (pv_map_ldt_shadow_page()).
 */
#include <pinion/arch/io.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include "../model/internal.h"
#include "smoke.h"

#define MSR_STAR  0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084

/* TF, IF, DF, IOPL, NT, AC: what SYSCALL takes out of rflags. */
#define FLAGS_OFF 0x47700

#define CR4_OSFXSR     0x200
#define CR4_OSXMMEXCPT 0x400
#define CR4_FSGSBASE   0x10000
#define CR4_OSXSAVE    0x40000

#define CPUID1_ECX_XSAVE    (1U << 26)
#define CPUID7_EBX_FSGSBASE (1U << 0)

#define DESC_TSS 0x890000000000
#define DESC_LDT 0x820000000000

#define GUEST_GDT_PAGES 14
#define LDT_PAGES	16

#define GATE_INTERRUPT 0x8e00
#define GATE_USER      0x6000

#define IST_STACK 4096

struct gate {
	uint16_t offset_low, selector, flags, offset_mid;
	uint32_t offset_high, reserved;
};

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3], reserved1, ist[7], reserved2;
	uint16_t reserved3, iomap;
} __packed;

/* What LGDT and LIDT read. */
struct table_pointer {
	uint16_t limit; /* cppcheck-suppress unusedStructMember */
	uint64_t base;	/* cppcheck-suppress unusedStructMember */
} __packed;

static struct gate idt[256] __aligned(4096);
static struct tss tss;
static uint64_t xen_gdt[512] __aligned(4096);
static uint64_t zero_page[512] __aligned(4096);
static uint64_t window_l3[512] __aligned(4096), window_l2[512] __aligned(4096);
static uint64_t window[512] __aligned(4096);
static char ist_stacks[3][IST_STACK] __aligned(16);

static uint64_t image_maddr(const void *va)
{
	return (uint64_t)va - IMAGE_VA;
}

/* A system descriptor of 16 bytes at selector @sel. */
static void set_system(unsigned int sel, uint64_t type, uint64_t base, uint32_t last_byte)
{
	uint64_t *desc = &xen_gdt[(sel - SEL_XEN_PAGE) / sizeof(uint64_t)];

	desc[0] = type | (last_byte & 0xffff) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	desc[1] = base >> 32;
}

static void set_segment(unsigned int sel, uint64_t desc)
{
	xen_gdt[(sel - SEL_XEN_PAGE) / sizeof(uint64_t)] = desc;
}

/* Page @n of the window, in no TLB afterwards. */
static void set_window(unsigned int n, uint64_t pte)
{
	window[n] = pte;
	__asm__ volatile("invlpg (%0)" : : "r"(GDT_VA + n * PAGE_SIZE) : "memory");
}

static void gdt_init(void)
{
	struct table_pointer gdtr = { (GUEST_GDT_PAGES + 1) * PAGE_SIZE - 1, GDT_VA };
	unsigned int i;

	set_segment(SEL_XEN_CS, 0x00af9b000000ffff);
	set_segment(SEL_XEN_DS, 0x00cf93000000ffff);
	set_segment(SEL_GUEST_CS32, 0x00cffb000000ffff);
	set_segment(SEL_GUEST_SS, 0x00cff3000000ffff);
	set_segment(SEL_GUEST_CS, 0x00affb000000ffff);
	set_system(SEL_TSS, DESC_TSS, (uint64_t)&tss, sizeof(tss) - 1);
	hypervisor_l4[DESC_SLOT] = image_maddr(window_l3) | PTE_LINK;
	window_l3[va_index(GDT_VA, 3)] = image_maddr(window_l2) | PTE_LINK;
	window_l2[va_index(GDT_VA, 2)] = image_maddr(window) | PTE_LINK;
	for (i = 0; i < GUEST_GDT_PAGES; i++)
		set_window(i, image_maddr(zero_page) | PTE_P | PTE_A | PTE_NX);
	set_window(GUEST_GDT_PAGES, image_maddr(xen_gdt) | PTE_KERNEL_RW);
	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	__asm__ volatile("pushq %0\n"
			 "lea 1f(%%rip), %%rax\n"
			 "push %%rax\n"
			 "lretq\n"
			 "1: mov %k1, %%ss\n"
			 :
			 : "i"(SEL_XEN_CS), "r"(SEL_XEN_DS)
			 : "rax", "memory");
	tss.rsp[0] = (uint64_t)stack_top;
	tss.iomap = sizeof(tss);
	for (i = 0; i < ARRAY_SIZE(ist_stacks); i++)
		tss.ist[i] = (uint64_t)ist_stacks[i] + IST_STACK;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* NMI, #DF and #MC must not depend on the stack that they interrupt. INT3 and INTO are for ring 3 too. */
static void idt_init(void)
{
	struct table_pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };
	unsigned int vector;

	for (vector = 0; vector < ARRAY_SIZE(idt); vector++) {
		uint64_t offset = (uint64_t)exception_stubs + vector * 16UL;
		uint16_t ist = vector == 2 ? 1 : vector == 8 ? 2 : vector == 18 ? 3 : 0;
		uint16_t dpl = vector == 3 || vector == 4 ? GATE_USER : 0;

		idt[vector] = (struct gate){ .offset_low = (uint16_t)offset,
					     .selector = SEL_XEN_CS,
					     .flags = GATE_INTERRUPT | dpl | ist,
					     .offset_mid = (uint16_t)(offset >> 16),
					     .offset_high = (uint32_t)(offset >> 32) };
	}
	__asm__ volatile("lidt %0" : : "m"(idtr));
}

static void features_init(void)
{
	uint32_t eax, ebx, ecx, edx;
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
	cpuid(1, &eax, &ebx, &ecx, &edx);
	if (ecx & CPUID1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	cpuid(7, &eax, &ebx, &ecx, &edx);
	if (ebx & CPUID7_EBX_FSGSBASE)
		cr4 |= CR4_FSGSBASE;
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
	__asm__ volatile("fninit");
}

void cpu_init(void)
{
	gdt_init();
	idt_init();
	features_init();
	wrmsr(MSR_STAR, (uint64_t)SEL_GUEST_CS32 << 48 | (uint64_t)SEL_XEN_CS << 32);
	wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
	wrmsr(MSR_CSTAR, 0);
	wrmsr(MSR_FMASK, FLAGS_OFF);
	/* Both PICs masked: interrupts are on while the guest runs, and none come. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

/* pv_map_ldt_shadow_page() */
bool cpu_ldt_fault(struct model *m, uint64_t cr2)
{
	uint64_t offset = cr2 - LDT_VA, rights;
	unsigned int level;
	mfn_t mfn;

	if (cr2 < LDT_VA || offset / 8 >= m->ldt_ents)
		return false;
	if (!model_walk(m, m->ldt_base + offset, &mfn, &rights, &level) ||
	    model_get_page_and_type(m, mfn, MODEL_SEGDESC))
		return false;
	m->ldt_frame[offset >> PAGE_SHIFT] = mfn;
	cpu_load_descriptors(m);
	return true;
}

void cpu_load_descriptors(const struct model *m)
{
	uint64_t pte;
	unsigned int i;

	for (i = 0; i < GUEST_GDT_PAGES; i++) {
		pte = image_maddr(zero_page) | PTE_P | PTE_A | PTE_NX;
		if (!mfn_eq(m->gdt_frame[i], INVALID_MFN))
			pte = pte_make(m->gdt_frame[i], PTE_KERNEL_RW);
		set_window(i, pte);
	}
	for (i = 0; i < LDT_PAGES; i++) {
		pte = 0;
		if (!mfn_eq(m->ldt_frame[i], INVALID_MFN))
			pte = pte_make(m->ldt_frame[i], PTE_KERNEL_RW);
		set_window(i + (LDT_VA - GDT_VA) / PAGE_SIZE, pte);
	}
	if (m->ldt_ents)
		set_system(SEL_LDT, DESC_LDT, LDT_VA, m->ldt_ents * 8 - 1);
	__asm__ volatile("lldt %w0" : : "r"(m->ldt_ents ? SEL_LDT : 0));
}
