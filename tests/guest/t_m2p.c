/* SPDX-License-Identifier: MIT */
/* The M2P: whatever MFN is asked for, the answer is right or INVALID, and never a fault. */
#include <pinion/arch/probe.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/va_base.h>
#include "suite.h"

static bool invalid(uint64_t mfn)
{
	return pfn_eq(mfn_to_pfn(_mfn(mfn)), INVALID_PFN);
}

/*
 * What is left to say of @mfn if no RAM is known to be there: nothing, or, where the memory map has a
 * hole at that number, that it is the page of a device.
 */
static bool not_ram(mfn_t mfn)
{
	pfn_t pfn = _pfn(mfn_x(mfn));

	return pfn_eq(mfn_to_pfn(mfn),
		      p2m_kind(&kernel_p2m, pfn) == P2M_IDENTITY ? pfn : INVALID_PFN);
}

/* Frames of [@mfn, @end) that are this domain's RAM; every answer has to be confirmed by the P2M. */
static uint64_t found_ram(uint64_t mfn, uint64_t end)
{
	uint64_t mine = 0;

	for (; mfn < end; mfn++) {
		pfn_t pfn = mfn_to_pfn(_mfn(mfn));

		if (pfn_eq(pfn, INVALID_PFN))
			continue;
		if (!CHECK(mfn_x(pfn_to_mfn(pfn)) == mfn))
			break;
		mine += p2m_kind(&kernel_p2m, pfn) == P2M_RAM;
	}
	return mine;
}

/* Another domain's frame, Xen's, a hole in the table, beyond the table: none of them is ours. */
TEST(m2p, m2p_wild, "wild, foreign, hole and Xen's MFNs are INVALID, without a fault")
{
	uint64_t mfn, bit, low, mine, holes = 0, word = 0;

	for (bit = 20; bit < 64; bit++) {
		mfn_t wild = _mfn((UINT64_C(1) << bit) + 12345);

		CHECK(invalid(mfn_x(wild)) ||
		      (bit < 35 && mfn_eq(pfn_to_mfn(mfn_to_pfn(wild)), wild)));
	}
	CHECK(invalid(UINT64_MAX) && invalid(M2P_MFNS) && invalid(UINT64_MAX - 1));
	/* The first 4 GiB of the machine with its devices, and 256 MiB around a frame of ours. */
	low = found_ram(0, 0x100000);
	mfn = mfn_x(pfn_to_mfn(_pfn(0))) & ~UINT64_C(0xffff);
	mine = found_ram(mfn, mfn + 0x10000);
	for (mfn = M2P_MFNS - 1; mfn > 1 << 20; mfn >>= 1)
		holes += probe_load64((const void *)(M2P_BASE + mfn * 8), &word) != 0;
	test_note("%lu frames found below 4 GiB, %lu around pfn 0's, %lu holes met", low, mine,
		  holes);
	CHECK(mine > 0);
	CHECK(holes > 0);
}

/* Xen stores any number for a frame of ours: so its word alone is worth nothing. */
TEST(m2p, m2p_cross_check, "an M2P entry that the P2M does not confirm is not believed")
{
	pfn_t pfn = INVALID_PFN, other;
	mfn_t mfn;

	REQUIRE(frame_alloc(1, OWNER_TEST, &pfn) == 0);
	other = pfn_add(pfn, 1);
	mfn = pfn_to_mfn(pfn);
	CHECK(pfn_eq(mfn_to_pfn(mfn), pfn));
	CHECK_EQ(m2p_set(mfn, other), 0);
	CHECK(not_ram(mfn));
	CHECK_EQ(m2p_set(mfn, INVALID_PFN), 0);
	CHECK(not_ram(mfn));
	CHECK_EQ(m2p_set(mfn, _pfn(UINT64_C(1) << 60)), 0);
	CHECK(not_ram(mfn));
	CHECK_EQ(m2p_set(mfn, pfn), 0);
	CHECK(pfn_eq(mfn_to_pfn(mfn), pfn));
	frame_free(pfn, 1);
}

/* What the kernel tells Xen when RAM has moved, for a run of frames at once. */
TEST(m2p, m2p_sync_run, "after m2p_sync each frame of a run is found under its own pfn")
{
	pfn_t pfn = INVALID_PFN;
	uint64_t i;

	REQUIRE(frame_alloc(6, OWNER_TEST, &pfn) == 0);
	for (i = 0; i < 64; i++)
		CHECK_EQ(m2p_set(pfn_to_mfn(pfn_add(pfn, i)), INVALID_PFN), 0);
	CHECK_EQ(m2p_sync(&kernel_p2m, pfn_add(pfn, 1), 62), 0);
	CHECK(not_ram(pfn_to_mfn(pfn)) && not_ram(pfn_to_mfn(pfn_add(pfn, 63))));
	CHECK_EQ(m2p_sync(&kernel_p2m, pfn, 64), 0);
	for (i = 0; i < 64; i++)
		CHECK(pfn_eq(mfn_to_pfn(pfn_to_mfn(pfn_add(pfn, i))), pfn_add(pfn, i)));
	frame_free(pfn, 6);
}

/* Frames that Xen's builder chose and the kernel runs on: each is found under its own pfn. */
TEST(m2p, m2p_boot_region, "the live frames of the boot region are found by their MFNs")
{
	const struct boot_info *bi = boot_info();
	uint64_t pfn;

	for (pfn = 0; pfn < pfn_x(bi->region_end); pfn++)
		if (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM)
			REQUIRE(pfn_x(mfn_to_pfn(pfn_to_mfn(_pfn(pfn)))) == pfn);
}

/*
 * Frames that no domain's pfn stands for. What Xen keeps for itself, shared_info's among it, reads ~0;
 * a device's page is where the P2M says it is, or nowhere. 0xfee00 is the local APIC's.
 */
TEST(m2p, m2p_xen_and_mmio,
     "Xen's own frame is INVALID, a device's page is itself if it is identity")
{
	pfn_t apic = _pfn(0xfee00), back = mfn_to_pfn(_mfn(0xfee00));

	CHECK(invalid(mfn_x(maddr_to_mfn(boot_info()->shared_info))));
	if (p2m_kind(&kernel_p2m, apic) == P2M_IDENTITY)
		CHECK(pfn_eq(back, apic));
	else
		CHECK(pfn_eq(back, INVALID_PFN));
	/* As dom0 the VGA text page: RAM had that pfn at start of day, and has moved. */
	if (boot_info()->initdomain) {
		CHECK_EQ(p2m_kind(&kernel_p2m, _pfn(0xb8)), P2M_IDENTITY);
		CHECK(pfn_eq(mfn_to_pfn(_mfn(0xb8)), _pfn(0xb8)));
	}
}

/* A frame that is mapped as foreign is not ours, though our P2M has its MFN and the M2P, whose word
 * for it is another domain's, may name the very pfn. */
TEST(m2p, m2p_foreign, "a foreign frame is not found by its MFN")
{
	pfn_t far = _pfn(P2M_PFNS - 3000), pfn = INVALID_PFN;
	enum p2m_kind before = p2m_kind(&kernel_p2m, far);
	mfn_t mfn;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	mfn = pfn_to_mfn(pfn);
	if (CHECK_EQ(p2m_set_foreign(&kernel_p2m, far, mfn), 0)) {
		CHECK_EQ(m2p_set(mfn, far), 0);
		CHECK(not_ram(mfn));
		CHECK_EQ(m2p_sync(&kernel_p2m, pfn, 1), 0);
		CHECK(pfn_eq(mfn_to_pfn(mfn), pfn));
	}
	if (before == P2M_IDENTITY)
		CHECK_EQ(p2m_set_identity_range(&kernel_p2m, far, pfn_add(far, 1)), 0);
	else
		CHECK_EQ(p2m_clear(&kernel_p2m, far), 0);
	frame_free(pfn, 0);
}

TEST(m2p, m2p_not_ours, "MMU_MACHPHYS_UPDATE of a frame that is not ours is -EINVAL")
{
	CHECK_EQ(m2p_set(_mfn((UINT64_C(1) << 40) - 1), _pfn(0)), -EINVAL);
	CHECK_EQ(m2p_set(_mfn(M2P_MFNS), _pfn(0)), -EINVAL);
}

/* The table is Xen's: not to be written. */
TEST(m2p, m2p_read_only, "a store to the M2P faults")
{
	uint64_t mfn = mfn_x(pfn_to_mfn(_pfn(0)));

	CHECK_EQ(probe_store64((void *)(M2P_BASE + mfn * 8), 0), EXINFO_PF(PF_PRESENT | PF_WRITE));
}
