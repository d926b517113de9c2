/* SPDX-License-Identifier: MIT */
/* The M2P; see <pinion/mm/m2p.h>. */
#include <pinion/arch/probe.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/va_base.h>
#include <pinion/xen/hypercall.h>

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

int m2p_set(mfn_t mfn, pfn_t pfn)
{
	struct mmu_update request = {
		.ptr = maddr_x(mfn_to_maddr(mfn)) | MMU_MACHPHYS_UPDATE,
		.val = pfn_x(pfn),
	};

	return (int)hypercall_mmu_update(&request, 1, NULL, DOMID_SELF);
}
