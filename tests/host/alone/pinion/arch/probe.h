/* SPDX-License-Identifier: MIT */
/*
 * The host's <pinion/arch/probe.h>: the same names, without the exception table. This folder comes
 * before include/ in the host lane, so that the kernel's sources find a machine of the test's here;
 * each test that links one of them brings the functions.
 */
#ifndef PINION_ARCH_PROBE_H
#define PINION_ARCH_PROBE_H

#include <stdint.h>

typedef uint64_t exinfo_t;

#define EXINFO_PF(error) (UINT64_C(1) << 63 | UINT64_C(14) << 32 | (error))

exinfo_t probe_load64(const void *va, uint64_t *value);

#endif
