/* SPDX-License-Identifier: MIT */
/*
 * Names for what gcc and clang can be told about a function, an object or a branch.
 *
 * The rest of the kernel uses these and spells no __attribute__ of its own, so that a reader meets
 * each of them once, here, with its reason.
 */
#ifndef PINION_LIB_COMPILER_H
#define PINION_LIB_COMPILER_H

#include <stddef.h>

/* C11 has the keyword; only a libc's <assert.h> would give it the short name. */
#ifndef static_assert
#define static_assert _Static_assert
#endif

/* The result is an error code (or owns something): dropping it is a warning, thus a build error. */
#define __must_check   __attribute__((__warn_unused_result__))
/* Argument @f (from 1) is a printf format, its values begin at argument @v (0: a va_list). */
#define __printf(f, v) __attribute__((__format__(__printf__, f, v)))
#define __noreturn     __attribute__((__noreturn__))
#define __aligned(n)   __attribute__((__aligned__(n)))
#define __packed       __attribute__((__packed__))
#define __section(s)   __attribute__((__section__(s)))
/* Kept though nothing in C refers to it: linker-section tables, operands of assembly. */
#define __used	       __attribute__((__used__))
#define __maybe_unused __attribute__((__unused__))
#define __noinline     __attribute__((__noinline__))
/* Another definition, if there is one, is taken instead. */
#define __weak	       __attribute__((__weak__))
/* Loads and stores through this type may touch an object of any type (C11 6.5p7's exception). */
#define __may_alias    __attribute__((__may_alias__))

#ifndef __always_inline /* glibc has it too, and the host tests include both */
#define __always_inline inline __attribute__((__always_inline__))
#endif

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Elements of an array; a pointer in its place does not compile (the two types would be equal). */
#define ARRAY_SIZE(a)                                                                             \
	(sizeof(a) / sizeof((a)[0]) +                                                             \
	 0 * sizeof(struct {                                                                      \
		 static_assert(!__builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0])), \
			       "ARRAY_SIZE of a pointer");                                        \
		 int dummy;                                                                       \
	 }))

/* The structure of @type whose @member is what @ptr points to. */
#define container_of(ptr, type, member)                                     \
	({                                                                  \
		const __typeof__(((type *)0)->member) *member_ptr_ = (ptr); \
		(type *)((char *)member_ptr_ - offsetof(type, member));     \
	})

/*
 * The compiler forgets what it knows of a variable. Else it computes a part that two addresses have in common by itself,
 * and then adds to it, where each has room for all of it in one instruction.
 */
#define OPAQUE(var) __asm__("" : "+r"(var))

/* The compiler neither moves memory accesses across this nor keeps memory in registers over it. */
#define barrier() __asm__ volatile("" ::: "memory")

/*
 * One load or store, done exactly once. For memory that another party writes (rings, shared_info,
 * page tables whose A/D bits the CPU sets): without it the compiler may read twice, and a value
 * that was checked is not the value that is used.
 */
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#endif
