/* SPDX-License-Identifier: MIT */
/* The M2P; see <pinion/mm/m2p.h>. */
#include <pinion/arch/probe.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/va_base.h>
#include <pinion/xen/hypercall.h>

/* A hypercall's own cost is spread over this many frames: more would gain little and live on the stack. */
#define SYNC_BATCH 32

pfn_t mfn_to_pfn(mfn_t mfn)
{
	uint64_t pfn = INVALID_PFN_X, entry;

	if (unlikely(mfn_x(mfn) >= M2P_MFNS))
		return INVALID_PFN;
	if (likely(!probe_load64((const void *)(M2P_BASE + mfn_x(mfn) * sizeof(pfn)), &pfn))) {
		/* RAM's entry is the MFN with no bit set; nothing else can equal it. */
		if (likely(p2m_get(&kernel_p2m, _pfn(pfn)) == mfn_x(mfn)))
			return _pfn(pfn);
	}
	entry = p2m_get(&kernel_p2m, _pfn(mfn_x(mfn)));
	return p2m_entry_kind(entry) == P2M_IDENTITY ? _pfn(mfn_x(mfn)) : INVALID_PFN;
}

static struct mmu_update machphys_update(mfn_t mfn, pfn_t pfn)
{
	return (struct mmu_update){
		.ptr = maddr_x(mfn_to_maddr(mfn)) | MMU_MACHPHYS_UPDATE,
		.val = pfn_x(pfn),
	};
}

int m2p_set(mfn_t mfn, pfn_t pfn)
{
	struct mmu_update request = machphys_update(mfn, pfn);

	return (int)hypercall_mmu_update(&request, 1, NULL, DOMID_SELF);
}

int m2p_sync(const struct p2m *p2m, pfn_t start, uint64_t nr)
{
	struct mmu_update requests[SYNC_BATCH];
	pfn_t pfn = start, end = pfn_add(start, nr);
	unsigned int n;
	long rc = 0;

	while (!rc && pfn_x(pfn) < pfn_x(end)) {
		for (n = 0; n < SYNC_BATCH && pfn_x(pfn) < pfn_x(end); pfn = pfn_add(pfn, 1))
			if (p2m_kind(p2m, pfn) == P2M_RAM)
				requests[n++] = machphys_update(p2m_mfn(p2m, pfn), pfn);
		if (n > 0)
			rc = hypercall_mmu_update(requests, n, NULL, DOMID_SELF);
	}
	return (int)rc;
}
