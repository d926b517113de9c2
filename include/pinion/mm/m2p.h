/* SPDX-License-Identifier: MIT */
/*
 * The M2P: Xen's table from mfn to pfn, mapped read-only into every PV guest, one for the whole
 * machine.
 *
 * What it says of a frame that is not ours is not ours to believe: another domain's pfn looks like
 * one of ours, a guest may have Xen store any number for its own frames (MMU_MACHPHYS_UPDATE does not
 * check it), and where the machine has no RAM the table itself is not mapped. So it is read
 * through the exception table, and an answer counts only if the P2M says the same the other way round.
 *
 * Source: public/xen.h (MMU_MACHPHYS_UPDATE); ABI: 'M2P, P2M, memory'.
 */
#ifndef PINION_MM_M2P_H
#define PINION_MM_M2P_H

#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

struct p2m;

/*
 * The pfn that is frame @mfn of ours; for an identity frame that is its own number. INVALID_PFN for
 * every other MFN, whatever it is; never a fault. MFNs from 2^35 on are not looked up.
 */
pfn_t mfn_to_pfn(mfn_t mfn);

/* Has Xen note that @mfn is @pfn, whatever number that is. Returns 0; -EINVAL for a frame that is
 * not this domain's, with nothing changed. */
__must_check int m2p_set(mfn_t mfn, pfn_t pfn);

/*
 * Has Xen note what @p2m says of the RAM among the @nr pfns from @start on. Returns 0, or Xen's
 * error for the first frame that it refused; those before it are done then.
 */
__must_check int m2p_sync(const struct p2m *p2m, pfn_t start, uint64_t nr);

#endif
