/* SPDX-License-Identifier: MIT */
/* Probes: each access that may fault is one instruction with an exception-table entry. */
#include <pinion/arch/cpu.h>
#include <pinion/arch/probe.h>
#include <pinion/lib/errno.h>

exinfo_t probe_store64(void *va, uint64_t value)
{
	exinfo_t exinfo = 0;

	__asm__ volatile("1:	mov %[value], (%[va])\n"
			 "2:\n" EXTABLE("1b", "2b")
			 : "+a"(exinfo)
			 : [va] "r"(va), [value] "r"(value)
			 : "memory");
	return exinfo;
}

/*
 * REP MOVSB faults with rcx telling what is left, so one instruction covers any length and
 * the bytes before the fault are there.
 */
static int probe_copy(void *dst, const void *src, size_t n)
{
	exinfo_t exinfo = 0;

	__asm__ volatile("1:	rep movsb\n"
			 "2:\n" EXTABLE("1b", "2b")
			 : "+a"(exinfo), "+D"(dst), "+S"(src), "+c"(n)
			 :
			 : "memory");
	return exinfo ? -EFAULT : 0;
}

int probe_read(void *dst, const void *src, size_t n)
{
	return probe_copy(dst, src, n);
}

int probe_write(void *dst, const void *src, size_t n)
{
	return probe_copy(dst, src, n);
}

/*
 * A fetch that faults has @va itself as its rip, which can't be in a static table. So the target is
 * announced, and a fault there is made a return: the call has just pushed where to.
 */
exinfo_t probe_call(const void *va)
{
	struct cpu *cpu = this_cpu();

	cpu->probe_call_fault = 0;
	WRITE_ONCE(cpu->probe_call_target, (uintptr_t)va);
	((void (*)(void))(uintptr_t)va)();
	WRITE_ONCE(cpu->probe_call_target, NO_PROBE_CALL);
	return READ_ONCE(cpu->probe_call_fault);
}
