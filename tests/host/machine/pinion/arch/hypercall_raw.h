/* SPDX-License-Identifier: MIT */
/*
 * The host's <pinion/arch/hypercall_raw.h>: the way into the model of Xen (tests/host/vm_call.c) instead of
 * SYSCALL.
 */
#ifndef PINION_ARCH_HYPERCALL_RAW_H
#define PINION_ARCH_HYPERCALL_RAW_H

#include <stdint.h>

long hypercall_raw(unsigned int nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		   uint64_t a5);

#endif
