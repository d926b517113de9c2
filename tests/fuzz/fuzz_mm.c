/* SPDX-License-Identifier: MIT */
/* A domU's memory: mm.c. */
#include "mm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return mm_input(false, data, size);
}
