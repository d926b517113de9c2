/* SPDX-License-Identifier: MIT */
/* The M2P; see <pinion/mm/m2p.h>. */
#include <pinion/arch/probe.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/va_base.h>
#include <pinion/xen/hypercall.h>

/* A hypercall's own cost is spread over this many frames: more would gain little and live on the stack. */
#define SYNC_BATCH 32

/* Identity frames have no entry of their own in Xen's table. */
static pfn_t identity_pfn(mfn_t mfn)
{
	pfn_t pfn = _pfn(mfn_x(mfn));

	return p2m_kind(&kernel_p2m, pfn) == P2M_IDENTITY ? pfn : INVALID_PFN;
}

pfn_t mfn_to_pfn(mfn_t mfn)
{
	const void *entry = (const void *)(M2P_BASE + mfn_x(mfn) * sizeof(uint64_t));
	uint64_t pfn = 0;

	if (unlikely(mfn_x(mfn) >= M2P_MFNS))
		return INVALID_PFN;
	if (unlikely(probe_load64(entry, &pfn)) || !p2m_is(&kernel_p2m, _pfn(pfn), mfn))
		return identity_pfn(mfn);
	return _pfn(pfn);
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
