/* SPDX-License-Identifier: MIT */
/* A machine for mm/ on the host; see machine.h. */
#include "host.h"
#include <pinion/arch/probe.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/va_base.h>
#include <pinion/xen/hypercall.h>
#include "machine.h"
#include "p2m_pool.h"

struct boot_info bi;
struct p2m_boot_report report;
struct machine xen;

long hypercall_mmu_update(const struct mmu_update *requests, unsigned int count, unsigned int *done,
			  domid_t domid)
{
	assert_null(done);
	assert_int_equal(domid, DOMID_SELF);
	assert_true(count > 0);
	if (xen.refuse-- == 0)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t index = (requests[i].ptr >> PAGE_SHIFT) - MFN_FIRST;

		assert_int_equal(requests[i].ptr & PAGE_OFFSET_MASK, MMU_MACHPHYS_UPDATE);
		if (index >= bi.nr_pages)
			return -EINVAL;
		xen.m2p[index] = requests[i].val;
		xen.updates++;
	}
	return 0;
}

long hypercall_update_va_mapping(uintptr_t va, uint64_t entry, unsigned long flags)
{
	uint64_t pfn = (va - VIRT_BASE) >> PAGE_SHIFT;

	assert_true(pfn < pfn_x(bi.region_end));
	assert_true(entry == 0 && flags == UVMF_INVLPG);
	assert_false(xen.unmapped[pfn]);
	if (xen.refuse-- == 0)
		return -EINVAL;
	xen.unmapped[pfn] = true;
	xen.unmaps++;
	return 0;
}

exinfo_t probe_load64(const void *va, uint64_t *value)
{
	uint64_t mfn = ((uintptr_t)va - M2P_BASE) / sizeof(*value);

	assert_true((uintptr_t)va >= M2P_BASE && mfn < M2P_MFNS);
	if (mfn - MFN_FIRST >= bi.nr_pages)
		return EXINFO_PF(0);
	*value = xen.m2p[mfn - MFN_FIRST];
	return 0;
}

uint64_t first_mfn(uint64_t pfn)
{
	return MFN_FIRST + bi.nr_pages - 1 - pfn;
}

bool in_hole(uint64_t pfn)
{
	enum memory_kind kind = memory_map_kind_at(&bi.map, _pfn(pfn));

	return bi.map.nr > 0 && pfn < pfn_x(bi.map.range[bi.map.nr - 1].end) &&
	       kind != MEMORY_RAM && kind != MEMORY_UNUSABLE;
}

/* The pages of the pool that a boot allocator has: behind the stack, outside holes. */
static void reserve_all_but_free(void)
{
	for (uint64_t pfn = 0; pfn < pfn_x(bi.region_end); pfn++)
		if (pfn < pfn_x(bi.stack_end) || in_hole(pfn))
			pool_reserve(pfn);
}

void start(uint64_t nr, const struct e820_entry *raw, uint64_t spare)
{
	uint64_t list_pages = frames_up(nr * 8), n = 0, *list;

	while (raw[n].size)
		n++;
	libc_memset(&bi, 0, sizeof(bi));
	bi.nr_pages = bi.ram_pages = nr;
	assert_int_equal(memory_map_build(&bi.map, raw, n), 0);
	bi.image = (struct frame_run){ _pfn(IMAGE), 16 };
	bi.mfn_list = (struct frame_run){ _pfn(IMAGE + 16), list_pages };
	bi.start_info = _pfn(IMAGE + 16 + list_pages);
	bi.stack_end = pfn_add(bi.start_info, 1 + 5 + 1);
	bi.region_end = pfn_add(bi.stack_end, spare);
	bi.console.pfn = bi.store.pfn = INVALID_PFN;
	assert_true(pfn_x(bi.region_end) <= nr);

	pool_open(0, pfn_x(bi.region_end));
	list = pool_page(IMAGE + 16);
	libc_memset(list, 0, list_pages * PAGE_SIZE);
	xen.m2p = calloc(nr, sizeof(uint64_t));
	xen.unmapped = calloc(pfn_x(bi.region_end), sizeof(bool));
	xen.updates = xen.unmaps = 0;
	xen.refuse = UINT64_MAX;
	for (uint64_t pfn = 0; pfn < nr; pfn++) {
		list[pfn] = first_mfn(pfn);
		xen.m2p[first_mfn(pfn) - MFN_FIRST] = pfn;
	}
	reserve_all_but_free();
	host_console_reset();
}

int boot(void)
{
	pfn_t bad;
	int rc;

	rc = p2m_init(&kernel_p2m, &pool_source, pool_base());
	if (rc)
		return rc;
	rc = p2m_graft(&kernel_p2m, bi.mfn_list.start, bi.nr_pages, &bad);
	if (rc)
		p2m_fini(&kernel_p2m);
	return rc ? rc : p2m_boot_holes(&kernel_p2m, &bi, &report);
}

void finish(void)
{
	if (kernel_p2m.pages)
		p2m_fini(&kernel_p2m);
	pool_close();
	free(xen.m2p);
	free(xen.unmapped);
}
