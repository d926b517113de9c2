/* SPDX-License-Identifier: MIT */
/* A frame is two words: [rbp] the caller's rbp, [rbp + 8] the return address. */
#include <pinion/arch/backtrace.h>
#include <pinion/arch/probe.h>

size_t backtrace(uint64_t rbp, uint64_t *out, size_t max)
{
	uint64_t next = 0, ret = 0;
	size_t n = 0;

	while (n < max && rbp && rbp % sizeof(uint64_t) == 0) {
		if (probe_load64((const void *)rbp, &next) ||
		    probe_load64((const void *)(rbp + sizeof(uint64_t)), &ret) || !ret)
			break;
		out[n++] = ret;
		if (next <= rbp)
			break;
		rbp = next;
	}
	return n;
}
