/* SPDX-License-Identifier: MIT */
/*
 * The P2M as the kernel sees it, for the rig to hold against what a toolstack sees: `xl dump-core`
 * finds the same table from outside, through max_pfn and the frame lists alone.
 *
 *     # p2m_print: run 0x0 0x3e00 1024          from pfn 0x0 on, 1024 frames from MFN 0x3e00 on
 *     # p2m_print: 32768 frames in 9 runs, max_pfn 0x8000
 *
 * A run is one of RAM in both numbers; what is not named is no RAM. tests/rig/dumpcore.py reads this.
 */
#include <pinion/mm/p2m.h>
#include "suite.h"

/* The pfn after the run of RAM that begins at @pfn, as far as the MFNs go up with the pfns. */
static uint64_t run_end(uint64_t pfn)
{
	uint64_t mfn = p2m_get(&kernel_p2m, _pfn(pfn)), nr = 1;

	while (p2m_get(&kernel_p2m, _pfn(pfn + nr)) == mfn + nr)
		nr++;
	return pfn + nr;
}

/*
 * Every pfn is looked up, and the walk over runs of RAM is not used: it is the tree's to be right
 * about its holes, and this is a list that others are compared with.
 */
TEST(p2m, p2m_print, "prints the P2M, for the rig to compare with xl dump-core's", .manual = true)
{
	uint64_t pfn = 0, frames = 0, runs = 0, end;

	while (pfn < kernel_p2m.max_pfn) {
		end = pfn + 1;
		if (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM) {
			end = run_end(pfn);
			test_note("run 0x%lx 0x%" PRI_mfn " %lu", pfn, mfn_x(pfn_to_mfn(_pfn(pfn))),
				  end - pfn);
			frames += end - pfn;
			runs++;
		}
		pfn = end;
	}
	test_note("%lu frames in %lu runs, max_pfn %#lx", frames, runs, kernel_p2m.max_pfn);
	CHECK(frames > 0);
}
