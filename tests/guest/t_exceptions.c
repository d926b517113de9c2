/* SPDX-License-Identifier: MIT */
/*
 * Exceptions: each vector that a kernel at ring 3 can raise by itself arrives as that vector, with
 * the right error code, and the kernel goes on. Left out, with the reason: INT n (QEMU 7.2 gives the
 * #GP of a refused one a wrong error code, so that Xen sees another vector), #SS (QEMU reports every
 * non-canonical access as #GP), #AC and #XM (QEMU does not raise them), #NP and #TS (no descriptor
 * of this kernel is absent), #DF, #MC, NMI (not the guest's to raise).
 *
 * Source: Xen's pv/traps.c (pv_inject_event); Intel's SDM, volume 3, 6.15.
 */
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/hypercall_raw.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include <pinion/mm/layout.h>
#include "suite.h"

#define NON_CANONICAL UINT64_C(0x8000000000000000)
#define UNMAPPED      (VIRT_BASE - 0x1000)

/* What a broken kernel meets first; a stub that lost or made up an error code shows here. */
TEST(exceptions, exc_faults, "#DE #UD #GP #PF arrive with their vector and error code",
     .phase = TEST_EARLY)
{
	CHECK_EQ(PROBE_INSN("divl %1", "m"((uint32_t){ 0 }), "d"(0)), EXINFO(VECTOR_DE, 0));
	CHECK_EQ(PROBE_INSN("ud2"), EXINFO(VECTOR_UD, 0));
	CHECK_EQ(PROBE_INSN("testb $1, (%1)", "r"(NON_CANONICAL)), EXINFO(VECTOR_GP, 0));
	CHECK_EQ(PROBE_INSN("hlt"), EXINFO(VECTOR_GP, 0));
	/* A selector beyond the GDT's limit: the error code is the selector without its RPL. */
	CHECK_EQ(PROBE_INSN("mov %1, %%es", "r"(0xfff3)), EXINFO(VECTOR_GP, 0xfff0));
	CHECK_EQ(PROBE_INSN("testb $1, (%1)", "r"(UNMAPPED)), EXINFO_PF(0));
	CHECK_EQ(cpu_cr2(), UNMAPPED);
	CHECK_EQ(PROBE_INSN("movb $1, (%1)", "r"(UNMAPPED + 8)), EXINFO_PF(PF_WRITE));
	CHECK_EQ(cpu_cr2(), UNMAPPED + 8);
}

/* Traps report the instruction after. TF must be off again afterwards, or every instruction traps. */
TEST(exceptions, exc_traps, "#BP and #DB (a single step) report the next instruction",
     .phase = TEST_EARLY)
{
	uint64_t flags;

	CHECK_EQ(PROBE_INSN("int3"), EXINFO(VECTOR_BP, 0));
	CHECK_EQ(PROBE_INSN("pushf; orl $0x100, (%%rsp); popf", "i"(0)), EXINFO(VECTOR_DB, 0));
	__asm__ volatile("pushf; pop %0" : "=r"(flags));
	CHECK_EQ(flags & RFLAGS_TF, 0);
}

/* The FPU is the guest's to guard: with TS set by hypercall the next use gives #NM, and an unmasked
 * x87 error gives #MF at the next waiting instruction. */
TEST(exceptions, exc_fpu, "#NM with TS set, #MF for an unmasked x87 division by zero")
{
	uint16_t control = 0x033b; /* as after FNINIT, but division by zero unmasked */

	CHECK_EQ(hypercall_raw(__HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0, 0), 0);
	CHECK_EQ(PROBE_INSN("fnop"), EXINFO(VECTOR_NM, 0));
	CHECK_EQ(hypercall_raw(__HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0, 0), 0);
	__asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(control));
	CHECK_EQ(PROBE_INSN("fwait"), EXINFO(VECTOR_MF, 0));
	__asm__ volatile("fninit");
}

static unsigned int handled;
static uint64_t inner_fault;

/* Faults on purpose while a trap is being handled, on the same stack. */
static bool faulting_handler(struct cpu_regs *regs)
{
	uint64_t word = 0;

	handled++;
	inner_fault = probe_load64((const void *)UNMAPPED, &word);
	return (regs->cs & 3) == 0 && regs->vector == VECTOR_BP;
}

static uint8_t masked_inside;

static bool looking_handler(struct cpu_regs *regs)
{
	masked_inside = READ_ONCE(this_cpu()->vcpu_info->evtchn_upcall_mask);
	return regs->vector == VECTOR_BP;
}

/* An upcall inside a handler would find its stack and its state half done. Flag 4 of struct trap_info has Xen mask them. */
TEST(exceptions, exc_masks_upcalls, "upcalls are masked in a trap handler, and only there")
{
	trap_handler_fn *old = trap_set_handler(VECTOR_BP, looking_handler);
	const uint8_t *mask = &this_cpu()->vcpu_info->evtchn_upcall_mask;

	masked_inside = 0;
	CHECK_EQ(READ_ONCE(*mask), 0);
	__asm__ volatile("int3");
	CHECK_EQ(READ_ONCE(*mask), 0);
	CHECK_EQ(masked_inside, 1);
	trap_set_handler(VECTOR_BP, old);
}

/* Xen does not switch stacks for a fault in the kernel: frames nest, and each must be whole. */
TEST(exceptions, exc_nested, "a fault inside a trap handler is handled, and the outer trap returns",
     .phase = TEST_EARLY)
{
	trap_handler_fn *old = trap_set_handler(VECTOR_BP, faulting_handler);

	handled = 0;
	__asm__ volatile("int3");
	__asm__ volatile("int3");
	trap_set_handler(VECTOR_BP, old);
	CHECK_EQ(handled, 2);
	CHECK_EQ(inner_fault, EXINFO_PF(0));
	CHECK(EXPECT_PANIC(trap_set_handler(TRAP_VECTORS, NULL)) != NULL);
}

/* A handler sees every register as it was, and what it changes is what the code goes on with. */
static struct cpu_regs seen;

static bool noting_handler(struct cpu_regs *regs)
{
	seen = *regs;
	regs->r15 = ~regs->r15;
	return true;
}

TEST(exceptions, exc_registers, "a trap frame has all registers, and all are restored from it",
     .phase = TEST_EARLY)
{
	trap_handler_fn *old = trap_set_handler(VECTOR_BP, noting_handler);
	uint64_t r15 = 15, rbx = 0xb, rcx = 0xc, rdx = 0xd, rsi = 0x51, rdi = 0xd1;
	register uint64_t r8 __asm__("r8") = 8;
	register uint64_t r11 __asm__("r11") = 11;

	__asm__ volatile("mov %[r15], %%r15\n"
			 "int3\n"
			 "mov %%r15, %[r15]\n"
			 : [r15] "+rm"(r15), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi),
			   "+r"(r8), "+r"(r11)
			 :
			 : "r15", "memory");
	trap_set_handler(VECTOR_BP, old);
	CHECK_EQ(r15, ~UINT64_C(15));
	CHECK(rbx == 0xb && rcx == 0xc && rdx == 0xd && rsi == 0x51 && rdi == 0xd1);
	CHECK(r8 == 8 && r11 == 11);
	CHECK(seen.rbx == 0xb && seen.rcx == 0xc && seen.rdx == 0xd && seen.r15 == 15);
	CHECK(seen.rsi == 0x51 && seen.rdi == 0xd1 && seen.r8 == 8 && seen.r11 == 11);
	CHECK_EQ(seen.vector, VECTOR_BP);
	CHECK(seen.rsp > (uint64_t)boot_stack && seen.rsp < (uint64_t)boot_stack_top);
	CHECK(seen.rip > (uint64_t)__text_start && seen.rip < (uint64_t)__text_end);
}

/* Probes copy up to the fault and say -EFAULT; the bytes before it are there. */
TEST(exceptions, probe_copy, "probe_read and probe_write stop at the first byte that faults",
     .phase = TEST_EARLY)
{
	const char *end = boot_va(boot_info()->region_end);
	char buffer[32];

	memset(buffer, 0, sizeof(buffer));
	CHECK_EQ(probe_write((void *)(end - 16), "sixteen bytes ok", 16), 0);
	CHECK_EQ(probe_read(buffer, end - 16, 16), 0);
	CHECK_EQ(memcmp(buffer, "sixteen bytes ok", 16), 0);
	CHECK_EQ(probe_read(buffer, end - 8, 9), -EFAULT);
	CHECK_EQ(memcmp(buffer, "bytes ok", 8), 0);
	CHECK_EQ(probe_write((void *)(end - 3), "abcd", 4), -EFAULT);
	CHECK_EQ(memcmp(end - 3, "abc", 3), 0);
	CHECK_EQ(probe_read(buffer, end, 0), 0);
	CHECK_EQ(probe_read(buffer, (const void *)NON_CANONICAL, 1), -EFAULT);
	CHECK_EQ(probe_write((void *)__text_start, NULL, 0), 0);
}

static void harmless(void)
{
	handled++;
}

TEST(exceptions, probe_call, "a call that can't be fetched comes back as a value",
     .phase = TEST_EARLY)
{
	handled = 0;
	CHECK_EQ(probe_call((const void *)harmless), 0);
	CHECK_EQ(handled, 1);
	CHECK_EQ(probe_call((const void *)UNMAPPED) & ~UINT64_C(PF_FETCH), EXINFO_PF(0));
	CHECK_EQ(probe_call((const void *)harmless), 0);
	CHECK_EQ(handled, 2);
}

/* EXPECT_PANIC itself: the message arrives, locals survive, and a second arming is refused. */
TEST(panic, panic_is_caught, "a panic inside EXPECT_PANIC is a value", .phase = TEST_EARLY)
{
	const char *volatile nothing = NULL;
	const char *message = EXPECT_PANIC(panic("seven is %d", 7));

	REQUIRE(message != NULL);
	CHECK_EQ(strcmp(message, "seven is 7"), 0);
	message = EXPECT_PANIC(ASSERT(nothing != NULL));
	REQUIRE(message != NULL);
	CHECK(strcmp(message, "assertion failed: nothing != NULL") == 0);
}
