/* SPDX-License-Identifier: MIT */
/* The memory of a dom0, which may map the machine's devices: mm.c. */
#include "mm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return mm_input(true, data, size);
}
