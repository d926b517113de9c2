/* SPDX-License-Identifier: MIT */
/*
 * What a guest's loads and stores meet in Xen's part of the address space; and no such hypercall.
 */
#include "raw.h"

#define M2P_END (M2P_BASE + M2P_MFNS * sizeof(uint64_t))

/*
 * The first MFN without RAM anywhere near: pieces of the M2P without RAM behind them are not
 * there.
 */
static uint64_t m2p_hole(void)
{
	uint64_t mfn, word = 0;
	const uint64_t *m2p = raw_ptr(XEN_VA_BASE);

	/* One piece is 2 MiB of the table at least. */
	for (mfn = 0; &m2p[mfn] < (const uint64_t *)M2P_END; mfn += (2 << 20) / sizeof(word))
		if (probe_load64(&m2p[mfn], &word))
			return mfn;
	return INVALID_MFN_X;
}

/* Every guest reads the M2P, so none may write it. */
RAW_TEST(neg_misc, neg_m2p_access,
	 "the M2P can be read but not written, its holes and Xen's other slots not even read")
{
	uint64_t *m2p = raw_ptr(XEN_VA_BASE), mfn = mfn_x(raw_mfn(raw_page(0))), word = 0, hole;

	CHECK_EQ(probe_load64(&m2p[mfn], &word), 0);
	CHECK_EQ(word, pfn_x(boot_va_pfn(raw_page(0))));
	CHECK_EQ(probe_store64(&m2p[mfn], word), EXINFO_PF(PF_PRESENT | PF_WRITE));
	CHECK_EQ(probe_load64(raw_ptr(M2P_END), &word), EXINFO_PF(0));
	hole = m2p_hole();
	if (CHECK(hole != INVALID_MFN_X)) {
		CHECK_EQ(probe_load64(&m2p[hole], &word), EXINFO_PF(0));
		CHECK_EQ(probe_store64(&m2p[hole], word), EXINFO_PF(PF_WRITE));
	}
}

/*
 * Xen's own entries have no U, and a guest's kernel runs in ring 3. What it is told is a fault by
 * protection as a kernel would see it: Xen takes the U out of the error code (pv_inject_event).
 * With XPTI the guest's CPU does not even see the entries, and the fault is one of 'not there'.
 */
RAW_TEST(neg_misc, neg_xen_access, "Xen's tables and text can be neither read nor written")
{
	/*
	 * Slot 258 shows the live tables as an array: at the entry of a page that is mapped for
	 * sure.
	 */
	uint64_t *linear = raw_ptr(XEN_VA_BASE + 2 * L4_SPAN);
	uint64_t *const vas[] = {
		linear + ((uintptr_t)raw_page(0) >> PAGE_SHIFT & ((UINT64_C(1) << 36) - 1)),
		raw_ptr(XEN_VA_BASE + UINT64_C(0x2d040200000)), /* Xen's text */
	};
	uint64_t word = 0, seen;
	size_t i;

	seen = probe_load64(vas[0], &word) & PF_PRESENT;
	for (i = 0; i < ARRAY_SIZE(vas); i++) {
		CHECK_EQ(probe_load64(vas[i], &word), EXINFO_PF(seen));
		CHECK_EQ(probe_store64(vas[i], 0), EXINFO_PF(seen | PF_WRITE));
	}
}

/* A number that is none must not do what some other number does. */
RAW_TEST(neg_misc, neg_hypercall_number, "hypercalls that there are not are -ENOSYS")
{
	static const unsigned int numbers[] = {
		11, 38, 47, 56, 63, 64, 999, 0x7fffffff, UINT32_MAX
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		CHECK_EQ(hypercall_raw(numbers[i], 0, 0, 0, 0, 0), -ENOSYS);
}
