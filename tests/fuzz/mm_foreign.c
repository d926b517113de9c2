/* SPDX-License-Identifier: MIT */
/*
 * Mappings of what is no memory of ours; see mm.c for the bytes. A dom0 may map all of the machine's devices, a domU none;
 * nobody another domain's frames.
 *
 * Which frames lie in the list is told by a byte: devices one after the other, and among them what Xen refuses, so that
 * a part of the range is done when it does.
 */
#include <pinion/arch/pte.h>
#include <pinion/mm/p2m.h>
#include "mm.h"

#define NR_MAX 64u

static struct {
	unsigned int space, first, nr;
	enum aspace_rights rights;
	domid_t domid;
	uint64_t cache;
	unsigned int frame; /* POOL, and how many MFNs on */
	unsigned int bad;   /* the page that is no device's; nr: none */
	mfn_t mfns[NR_MAX];
} op;

static void decode(struct fuzz *f)
{
	static const unsigned int places[] = { 0, 500, 511, 512, 1023, 1024, 1536, 2047 };
	static const domid_t domids[] = { DOMID_IO, DOMID_IO, DOMID_SELF, 0, 7, DOMID_XEN };
	static const uint64_t caches[] = {
		0, PTE_PCD | PTE_PWT, PTE_PCD, PTE_PWT, PTE_PAT, PTE_RW
	};
	const mfn_t wrong[] = { _mfn(UINT64_MAX), _mfn(UINT64_C(1) << 40), _mfn(0xfee00),
				_mfn((UINT64_C(1) << 40) - 1), pfn_to_mfn(oracle.pool) };
	uint8_t form = fuzz_u8(f), how = fuzz_u8(f), bad;

	op.space = form & 3;
	op.rights = (enum aspace_rights)((form >> 2 & 3) % 3);
	op.first = places[form >> 4 & 7];
	op.nr = form & 128 ? 1 + fuzz_u8(f) % NR_MAX : 1;
	op.domid = domids[(how & 7) % ARRAY_SIZE(domids)];
	op.cache = caches[(how >> 3 & 7) % ARRAY_SIZE(caches)];
	op.frame = POOL + fuzz_u8(f) % (IO_FRAMES - NR_MAX);
	for (unsigned int i = 0; i < op.nr; i++)
		op.mfns[i] = _mfn(IO_MFN + op.frame - POOL + i);
	op.bad = op.nr;
	if (how & 64) {
		bad = fuzz_u8(f);
		op.bad = (bad >> 3) % op.nr;
		op.mfns[op.bad] = wrong[(bad & 7) % ARRAY_SIZE(wrong)];
	}
}

static bool is_offline(unsigned int space)
{
	return space != KERNEL && (frame_at(oracle.space[space].as->l4)->flags & FRAME_OFFLINE);
}

/* Whether the operation must fail. */
static bool must_fail(void)
{
	bool taken = false;

	for (unsigned int i = 0; i < op.nr; i++)
		taken |= oracle.space[op.space].page[op.first + i].rights != HOLE;
	return taken || !oracle.dom0 || op.bad < op.nr || op.rights == ASPACE_RX ||
	       op.cache == PTE_RW || (op.domid != DOMID_IO && op.domid != DOMID_SELF) ||
	       is_offline(op.space);
}

static bool can_be(int rc)
{
	switch (rc) {
	case -EEXIST:
	case -EINVAL:
	case -EPERM:
	case -ESRCH:
		return must_fail();
	case -EBUSY: /* its piece is read-only as a whole; or the frame is somebody's */
		return op.rights == ASPACE_RW || op.bad < op.nr;
	default:
		return rc == 0 && !must_fail();
	}
}

void mm_foreign(struct fuzz *f)
{
	struct aspace_range range;
	int rc;

	decode(f);
	range = (struct aspace_range){ mm_va(op.space, op.first), op.nr, NULL };
	rc = aspace_map_foreign(oracle.space[op.space].as, &range, op.mfns, op.domid, op.rights,
				op.cache);
	fuzz_say("foreign in space %u, pages %u+%u, rights %u, domid %#x, frame %#x, bad %u: %d",
		 op.space, op.first, op.nr, op.rights, op.domid, op.frame, op.bad, rc);
	fuzz_check(mm_excused(op.space, rc) || (can_be(rc) && !oracle.space[op.space].broken),
		   "foreign frames in space %u, pages %u+%u: %d", op.space, op.first, op.nr, rc);
	fuzz_check(rc || !must_fail(), "foreign frames in space %u, pages %u+%u are mapped",
		   op.space, op.first, op.nr);
	for (unsigned int i = 0; i < op.nr; i++) {
		if (rc == 0)
			mm_set(op.space, op.first + i, op.frame + i, op.rights);
		mm_check_page(op.space, op.first + i);
	}
	for (unsigned int piece = 0; piece < PIECES; piece++)
		mm_check_tables(op.space, piece * PIECE);
}
