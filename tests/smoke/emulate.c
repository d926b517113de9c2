/* SPDX-License-Identifier: MIT */
/*
 * What ring 3 may not do, and Xen does for a guest's kernel that tries:
 *
 *   #GP at   mov cr, clts, rdmsr, wrmsr, wbinvd, xsetbv        emulate_privileged()
 *   #UD at   ud2a "xen" cpuid: the way to ask for Xen's leaves  emulate_forced()
 *   #PF at   a store to a live L1 table, by MOV: as if by mmu_update                emulate_table_store()
 *
 * Whatever else is tried gets its fault: hlt, lgdt, in and out (no port is the guest's), debug registers, a store
 * by another instruction.
 *
 * Source: pv/emul-priv-op.c, pv/emul-inv-op.c, pv/ro-page-fault.c in Xen's arch/x86.
 */
#include <stdint.h>
#include <xen/arch-x86/cpuid.h>
#include <pinion/arch/io.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include "../model/internal.h"
#include "smoke.h"

#define INSN_MAX 15

#define CR0_TS UINT64_C(0x8)

#define REX_W 8
#define REX_R 4
#define REX_B 1

#define MSR_PAT 0x277

/* An instruction, as far as it is understood: its bytes, prefixes told apart. */
struct insn {
	uint8_t bytes[INSN_MAX];
	unsigned int n;	 /* bytes that could be read */
	unsigned int at; /* the next to be looked at */
	uint8_t rex;
	bool operand16;
};

static bool next_byte(struct insn *insn, uint8_t *byte)
{
	if (insn->at >= insn->n)
		return false;
	*byte = insn->bytes[insn->at++];
	return true;
}

static bool is_segment(uint8_t byte)
{
	return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 ||
	       byte == 0x65;
}

/* Reads the instruction at rip, and leaves insn->at behind the prefixes. */
static void fetch(struct insn *insn, uint64_t rip)
{
	uint8_t byte;

	*insn = (struct insn){ .n = 0 };
	while (insn->n < INSN_MAX && !guest_copy_from(&insn->bytes[insn->n], rip + insn->n, 1))
		insn->n++;
	while (next_byte(insn, &byte)) {
		if (byte == 0x66) {
			insn->operand16 = true;
		} else if ((byte & 0xf0) == 0x40) {
			insn->rex = byte;
			return;
		} else if (!is_segment(byte) && byte != 0xf2 && byte != 0xf3) {
			insn->at--;
			return;
		}
	}
}

/* General register @n by its number in the encoding. */
static uint64_t *gpr(struct cpu_regs *r, unsigned int n)
{
#define AT(reg) offsetof(struct cpu_regs, reg)
	static const uint8_t at[16] = { AT(rax), AT(rcx), AT(rdx), AT(rbx), AT(rsp), AT(rbp),
					AT(rsi), AT(rdi), AT(r8),  AT(r9),  AT(r10), AT(r11),
					AT(r12), AT(r13), AT(r14), AT(r15) };
#undef AT

	return (uint64_t *)((char *)r + at[n & 15]);
}

static uint64_t read_cr0(void)
{
	uint64_t cr0;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	return (cr0 & ~CR0_TS) | (guest.ts ? CR0_TS : 0);
}

static void set_ts(bool ts)
{
	uint64_t args[6] = { ts };

	guest.ts = ts;
	(void)service_hypercall(&guest.model, __HYPERVISOR_fpu_taskswitch, args);
}

static bool mov_from_cr(unsigned int cr, uint64_t *reg)
{
	switch (cr) {
	case 0:
		*reg = read_cr0();
		return true;
	case 2:
		*reg = guest.shared_info->vcpu_info[0].arch.cr2;
		return true;
	case 3:
		*reg = mfn_x(guest.model.l4) << PAGE_SHIFT;
		return true;
	case 4:
		__asm__ volatile("mov %%cr4, %0" : "=r"(*reg));
		return true;
	default:
		return false;
	}
}

/* CR3 is not written here: MMUEXT_NEW_BASEPTR is the way. */
static bool mov_to_cr(unsigned int cr, uint64_t value)
{
	switch (cr) {
	case 0:
		if ((value ^ read_cr0()) & ~CR0_TS)
			return false;
		set_ts(value & CR0_TS);
		return true;
	case 2:
		guest.shared_info->vcpu_info[0].arch.cr2 = value;
		return true;
	case 4:
		return true; /* what it may change is nobody's here */
	default:
		return false;
	}
}

static bool is_base_msr(uint32_t msr)
{
	return msr == MSR_FS_BASE || msr == MSR_GS_BASE || msr == MSR_GS_BASE_KERNEL;
}

static bool do_rdmsr(struct cpu_regs *regs)
{
	uint32_t msr = (uint32_t)regs->rcx;
	uint64_t value;

	if (!is_base_msr(msr) && msr != MSR_EFER && msr != MSR_PAT)
		return false;
	value = rdmsr(msr);
	regs->rax = (uint32_t)value;
	regs->rdx = value >> 32;
	return true;
}

static bool do_wrmsr(struct cpu_regs *regs)
{
	uint32_t msr = (uint32_t)regs->rcx;
	uint64_t value = regs->rdx << 32 | (uint32_t)regs->rax;

	if (msr == MSR_EFER || msr == MSR_PAT)
		return value == rdmsr(msr);
	if (!is_base_msr(msr) || !va_canonical(value))
		return false;
	wrmsr(msr, value);
	return true;
}

/* The features that stay on; XCR0 is the guest's else, and a value that the CPU refuses would fault here. */
static bool do_xsetbv(const struct cpu_regs *regs)
{
	uint64_t value = regs->rdx << 32 | (uint32_t)regs->rax, now;
	uint32_t low, high;

	if ((uint32_t)regs->rcx != 0)
		return false;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	now = (uint64_t)high << 32 | low;
	return value == now;
}

/* The second byte of a two-byte opcode; @insn is behind it. */
static bool two_bytes(struct cpu_regs *regs, struct insn *insn, uint8_t op)
{
	unsigned int reg, cr;
	uint8_t byte;

	switch (op) {
	case 0x01:
		return next_byte(insn, &byte) && byte == 0xd1 && do_xsetbv(regs);
	case 0x06:
		set_ts(false);
		return true;
	case 0x08:
	case 0x09:
		return true; /* invd, wbinvd: no device here looks at memory behind the caches */
	case 0x20:
	case 0x22:
		if (!next_byte(insn, &byte))
			return false;
		reg = (byte & 7) | (insn->rex & REX_B ? 8 : 0);
		cr = (byte >> 3 & 7) | (insn->rex & REX_R ? 8 : 0);
		return op == 0x20 ? mov_from_cr(cr, gpr(regs, reg))
				  : mov_to_cr(cr, *gpr(regs, reg));
	case 0x30:
		return do_wrmsr(regs);
	case 0x32:
		return do_rdmsr(regs);
	default:
		return false;
	}
}

bool emulate_privileged(struct cpu_regs *regs)
{
	struct insn insn;
	uint8_t op;

	fetch(&insn, regs->rip);
	if (!next_byte(&insn, &op) || op != 0x0f || !next_byte(&insn, &op))
		return false;
	if (!two_bytes(regs, &insn, op))
		return false;
	regs->rip += insn.at;
	return true;
}

/* Xen's own leaves, and the CPU's below them. */
static void guest_cpuid(struct cpu_regs *regs)
{
	uint32_t leaf = (uint32_t)regs->rax, eax, ebx, ecx, edx;

	__asm__ volatile("cpuid"
			 : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx)
			 : "a"(leaf), "c"((uint32_t)regs->rcx));
	if (leaf - XEN_CPUID_FIRST_LEAF < 0x100) {
		eax = ebx = ecx = edx = 0;
		if (leaf == XEN_CPUID_FIRST_LEAF) {
			eax = XEN_CPUID_FIRST_LEAF + 2;
			ebx = XEN_CPUID_SIGNATURE_EBX;
			ecx = XEN_CPUID_SIGNATURE_ECX;
			edx = XEN_CPUID_SIGNATURE_EDX;
		} else if (leaf == XEN_CPUID_FIRST_LEAF + 1) {
			eax = XEN_MAJOR << 16 | XEN_MINOR;
		}
	}
	regs->rax = eax;
	regs->rbx = ebx;
	regs->rcx = ecx;
	regs->rdx = edx;
}

bool emulate_forced(struct cpu_regs *regs)
{
	static const uint8_t forced[] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2 };
	struct insn insn;

	fetch(&insn, regs->rip);
	if (insn.n < sizeof(forced) || memcmp(insn.bytes, forced, sizeof(forced)) != 0)
		return false;
	guest_cpuid(regs);
	regs->rip += sizeof(forced);
	return true;
}

/* Passes by a ModRM byte that names memory; its register field in *@reg. False for a register operand. */
static bool skip_modrm(struct insn *insn, unsigned int *reg)
{
	uint8_t modrm, sib = 0;
	unsigned int mod, rm;

	if (!next_byte(insn, &modrm) || modrm >> 6 == 3)
		return false;
	mod = modrm >> 6;
	rm = modrm & 7;
	*reg = (modrm >> 3 & 7) | (insn->rex & REX_R ? 8 : 0);
	if (rm == 4 && !next_byte(insn, &sib))
		return false;
	if (mod == 1)
		insn->at += 1;
	else if (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5))))
		insn->at += 4;
	return insn->at <= insn->n;
}

/* Bytes that an instruction with opcode @op stores: of each pair of opcodes the even one is for bytes. */
static unsigned int operand_bytes(const struct insn *insn, uint8_t op)
{
	if (!(op & 1))
		return 1;
	if (insn->rex & REX_W)
		return 8;
	return insn->operand16 ? 2 : 4;
}

/* The immediate operand of a MOV of @bytes: four at most, the rest is its sign. */
static bool next_immediate(struct insn *insn, unsigned int bytes, uint64_t *value)
{
	unsigned int n = bytes < 4 ? bytes : 4;
	int32_t immediate = 0;

	if (insn->at + n > insn->n)
		return false;
	memcpy(&immediate, &insn->bytes[insn->at], n);
	insn->at += n;
	*value = (uint64_t)(int64_t)immediate;
	return true;
}

/* A MOV to memory: how many bytes (0: it is none), and what. */
static unsigned int decode_store(struct insn *insn, struct cpu_regs *regs, uint64_t *value)
{
	unsigned int bytes, reg;
	uint8_t op;

	if (!next_byte(insn, &op) || !skip_modrm(insn, &reg))
		return 0;
	bytes = operand_bytes(insn, op);
	switch (op) {
	case 0x88:
		if (!insn->rex && reg >= 4)
			return 0; /* ah, ch, dh, bh */
		*value = *gpr(regs, reg);
		return bytes;
	case 0x89:
		*value = *gpr(regs, reg);
		return bytes;
	case 0xc6:
	case 0xc7:
		return next_immediate(insn, bytes, value) ? bytes : 0;
	default:
		return 0;
	}
}

bool emulate_table_store(struct cpu_regs *regs, uint64_t cr2)
{
	struct model *m = &guest.model;
	uint64_t rights, value, whole, mask, shift;
	const struct model_frame *frame;
	unsigned int level, bytes, index;
	struct insn insn;
	mfn_t mfn;

	if (!m->profile.dom0 || !model_va_ok(m, cr2) ||
	    !model_walk(m, cr2, &mfn, &rights, &level) || (rights & PTE_RW))
		return false;
	frame = model_frame(m, mfn);
	if (!frame || frame->owner != MODEL_GUEST || frame->type != MODEL_L1 || !frame->type_count)
		return false;
	fetch(&insn, regs->rip);
	bytes = decode_store(&insn, regs, &value);
	if (!bytes || cr2 % bytes)
		return false;
	shift = cr2 % sizeof(whole) * 8;
	mask = bytes == 8 ? UINT64_MAX : ((UINT64_C(1) << bytes * 8) - 1) << shift;
	index = (unsigned int)(cr2 & PAGE_OFFSET_MASK) / sizeof(whole);
	whole = ((uint64_t *)mfn_to_va(mfn))[index];
	whole = (whole & ~mask) | (value << shift & mask);
	if (model_mod_entry(m, mfn, index, 1, whole, MODEL_GUEST, false))
		return false;
	regs->rip += insn.at;
	return true;
}
