/* SPDX-License-Identifier: MIT */
/*
 * Loads, stores and calls that may fault, with the fault as a value.
 *
 * The exception table pairs the address of an instruction that may fault with the address to go on
 * at. When it faults, trap_dispatch() puts an exinfo_t in rax and goes on there, so that a probe
 * costs nothing when all is well. This is one of the four headers through which mm/ knows the
 * machine: the M2P and whatever else may have holes is read through it.
 */
#ifndef PINION_ARCH_PROBE_H
#define PINION_ARCH_PROBE_H

#include <stddef.h>
#include <stdint.h>
#include <pinion/arch/regs.h>
#include <pinion/lib/compiler.h>

/* One pair of the exception table, for use inside an asm statement. */
#define EXTABLE(fault, fixup)                       \
	".pushsection .extable, \"a\", @progbits\n" \
	".balign 8\n"                               \
	".quad " fault ", " fixup "\n"              \
	".popsection\n"

/* 0: no fault. Else the vector, the error code, and a bit that tells #DE from none. */
typedef uint64_t exinfo_t;

#define EXINFO(vector, error) (UINT64_C(1) << 63 | (uint64_t)(vector) << 32 | (error))
#define EXINFO_PF(error)      EXINFO(VECTOR_PF, error)

/* Copies @n bytes; byte by byte, in order. Returns 0, or -EFAULT with the bytes before the fault
 * copied. */
__must_check int probe_read(void *dst, const void *src, size_t n);
__must_check int probe_write(void *dst, const void *src, size_t n);

/* One aligned 8-byte access; on a fault *@value (memory at @va) is as it was. */
static inline exinfo_t probe_load64(const void *va, uint64_t *value)
{
	exinfo_t exinfo = 0;
	uint64_t loaded = *value;

	__asm__ volatile("1:	mov (%[va]), %[loaded]\n"
			 "2:\n" EXTABLE("1b", "2b")
			 : "+a"(exinfo), [loaded] "+r"(loaded)
			 : [va] "r"(va)
			 : "memory");
	*value = loaded;
	return exinfo;
}

exinfo_t probe_store64(void *va, uint64_t value);

/* Calls the code at @va, which must be a function of no arguments; a fault that hits its first
 * instruction, the fetch included, comes back as a value. */
exinfo_t probe_call(const void *va);

/*
 * Runs one instruction that may fault. Its fault, or trap (which reports the address after the
 * instruction, or after the next one for single steps), is the value. The instruction must leave
 * rax alone and the stack as it was.
 */
#define PROBE_INSN(insn, ...)                                                   \
	({                                                                      \
		exinfo_t exinfo_ = 0;                                           \
		__asm__ volatile("1:	" insn "\n"                             \
				 "2:	nop\n"                                     \
				 "3:	nop\n"                                     \
				 "4:\n" EXTABLE("1b", "4b") EXTABLE("2b", "4b") \
					 EXTABLE("3b", "4b")                    \
				 : "+a"(exinfo_)                                \
				 : __VA_ARGS__                                  \
				 : "memory", "cc");                             \
		exinfo_;                                                        \
	})

#endif
