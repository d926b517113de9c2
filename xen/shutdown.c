/* SPDX-License-Identifier: MIT */
/* SCHEDOP_shutdown, which does not return. */
#include <pinion/xen/console.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/shutdown.h>

void shutdown(unsigned int reason)
{
	struct sched_shutdown how = { .reason = reason };

	console_drain();
	/* It comes back only if Xen refused; there is nothing left to do but to ask again. */
	for (;;)
		(void)!hypercall_sched_op(SCHEDOP_shutdown, &how);
}
