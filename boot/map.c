/* SPDX-License-Identifier: MIT */
/*
 * Asking Xen for the memory map. xl always sets one for a domU: one usable entry up to maxmem, or
 * with e820_host=1 a map like the host's. dom0 gets -ENOSYS from that call and is allowed the
 * machine's own map, since devices are where the machine has them.
 *
 * Source: pv/domain.c and arch/x86/mm.c (arch_memory_op) in Xen; tools/libs/light/libxl_x86.c.
 */
#include <stdint.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <pinion/boot/map.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>
#include <pinion/xen/hypercall.h>

static struct e820_entry raw[E820_MAX];

void boot_map_read(struct boot_info *bi)
{
	unsigned int cmd = bi->initdomain ? XENMEM_machine_memory_map : XENMEM_memory_map;
	struct xen_memory_map query = { .nr_entries = E820_MAX };
	long rc;

	set_xen_guest_handle(query.buffer, raw);
	rc = hypercall_memory_op(cmd, &query);
	if (!rc && query.nr_entries > E820_MAX)
		rc = -E2BIG;
	if (!rc)
		rc = memory_map_build(&bi->map, raw, query.nr_entries);
	if (!rc && memory_map_ram_pages(&bi->map) > 0)
		return;
	print("boot: no memory map from Xen (%s), taking RAM to be [0, nr_pages)\n",
	      rc ? errno_name((int)rc) : "it has no RAM");
	memory_map_fallback(&bi->map, bi->nr_pages);
}
