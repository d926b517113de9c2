/* SPDX-License-Identifier: MIT */
/*
 * One entry of a table: what it may say, what Xen makes of it, and what it holds of the frame that it names.
 *
 *   level   the frame gets                     the entry must not have          Xen adds
 *   L1      a reference; if RW, `writable`     cacheability, unless the guest   US; GK if US was missing, else G
 *                                              has I/O memory
 *   L2-L4   a reference; `L(level - 1)`        PWT PCD PSE G                    US, and A in an L4
 *
 * An entry of L2 to L4 may also name a table of its *own* level, read-only: a linear page table, through which the guest reads its
 * tables. Such a table gets one more use as what it is, if it is that already; itself, nothing. Depth is held at one: a table
 * either has linear entries or is used by them.
 *
 * A frame that is no RAM is not counted at all. It may be mapped by a guest that has I/O memory, and uncached: an entry that
 * asks for a cached mapping is changed, not refused.
 */
#include <pinion/lib/panic.h>
#include "internal.h"

#define CACHE_BITS (PTE_PAT | PTE_PCD | PTE_PWT)

/* _PAGE_GNTTAB: in a debug build, bit 62 marks mappings of grants. */
#define PTE_GRANT (UINT64_C(1) << 62)

/* The MFN in an entry whose address bits are all set: what is left of INVALID_MFN. */
#define PTE_INVALID_MFN (PTE_ADDR_MASK >> PAGE_SHIFT)

/* What even a dom0 may only read (mmio_ro_ranges, ioapic_init()). */
#define IO_APIC_MFN   UINT64_C(0xfec00)
/* Pages that dom0_setup_permissions() keeps from dom0: local APICs and MSI. */
#define MSI_FIRST_MFN UINT64_C(0xfee00)
#define MSI_LAST_MFN  UINT64_C(0xfeeff)

/* l1d_maxphysaddr of Sandy Bridge to Kaby Lake: address bits that their L1 cache looks at (spec_ctrl.c). */
#define L1D_MADDR_BITS 46

bool model_guest_slot(const struct model *m, unsigned int index)
{
	return index < m->profile.xen_slot || index >= m->profile.xen_slot + m->profile.xen_slots;
}

/*
 * l1tf_calculations(), is_l1tf_safe_maddr(). An affected CPU reads what a non-present entry points to if that is in its cache. Safe
 * are address 0 and what no RAM can be at: beyond the CPU's own width, or in its upper quarter if the cache's is not wider.
 */
bool model_l1tf_unsafe(const struct model *m, unsigned int level, uint64_t pte)
{
	const unsigned int bits = m->profile.maddr_bits;
	const uint64_t safe =
		bits < L1D_MADDR_BITS ? UINT64_C(1) << bits : UINT64_C(3) << (bits - 2);
	const uint64_t maddr = pte & PTE_ADDR_MASK & ((UINT64_C(1) << L1D_MADDR_BITS) - 1);

	if (!m->profile.l1tf || (pte & PTE_P))
		return false;
	return (level > 1 && (pte & PTE_PSE)) || (maddr != 0 && maddr < safe);
}

/* pv_l1tf_check_pte() */
bool model_l1tf(struct model *m, unsigned int level, uint64_t pte)
{
	if (!model_l1tf_unsafe(m, level, pte))
		return false;
	model_crash(m, "an entry that L1TF makes readable");
	return true;
}

uint64_t model_bad_bits(const struct model *m, unsigned int level, uint64_t pte)
{
	if (level > 1)
		return pte & (PTE_PWT | PTE_PCD | PTE_PSE | PTE_G);
	return pte & ((m->profile.dom0 ? 0 : CACHE_BITS) | (m->profile.debug ? PTE_GRANT : 0));
}

uint64_t model_adjust(unsigned int level, uint64_t pte)
{
	if (!(pte & PTE_P))
		return pte;
	switch (level) {
	case 1:
		/* A user's page may stay in the TLB when the kernel is entered. */
		if ((pte & PTE_US) && !(pte & PTE_GK))
			return pte | PTE_G;
		return pte | PTE_US | PTE_GK;
	case 4:
		return pte | PTE_US | PTE_A;
	default:
		return pte | PTE_US;
	}
}

/* iomem_access_permitted(), of a guest that owns all I/O memory or none. */
static bool may_map_io(const struct model *m, uint64_t mfn)
{
	if (!m->profile.dom0 || mfn >> (m->profile.maddr_bits - PAGE_SHIFT))
		return false;
	return mfn < MSI_FIRST_MFN || mfn > MSI_LAST_MFN;
}

/* The part of get_page_from_l1e() for what is no RAM. */
static int get_io_leaf(const struct model *m, uint64_t pte, enum model_owner pg_owner,
		       uint64_t *flip)
{
	const uint64_t mfn = mfn_x(pte_mfn(pte));

	/* DOMID_IO is the caller itself, Xen's and other domains own no I/O memory. */
	if ((pg_owner != MODEL_IO && pg_owner != MODEL_GUEST) || !may_map_io(m, mfn))
		return mfn == PTE_INVALID_MFN ? -EINVAL : -EPERM;

	if (mfn == IO_APIC_MFN && (pte & PTE_RW))
		*flip = PTE_RW;
	/* PCD must be set: what would be cached becomes uncached in the nearest way. */
	if (!(pte & PTE_PCD)) {
		switch (pte & CACHE_BITS) {
		case 0:
			*flip |= PTE_PWT | PTE_PCD;
			break;
		case PTE_PWT:
			*flip |= PTE_PCD;
			break;
		case PTE_PWT | PTE_PAT:
			*flip |= PTE_PCD | PTE_PAT;
			break;
		default: /* write-combining is no cache */
			break;
		}
	}
	return 0;
}

int model_get_leaf(struct model *m, uint64_t pte, enum model_owner pg_owner, uint64_t *flip)
{
	const mfn_t mfn = pte_mfn(pte);
	struct model_frame *f = model_frame(m, mfn);

	*flip = 0;
	if (model_bad_bits(m, 1, pte))
		return -EINVAL;
	if (!f || f->owner == MODEL_IO)
		return get_io_leaf(m, pte, pg_owner, flip);

	/* Whoever's right pg_owner's is, it is not handed on: xsm_priv_mapping() with a domain that is no control domain. */
	if (pg_owner != MODEL_GUEST || !model_get_page(m, mfn))
		return -EBUSY;
	if ((pte & PTE_RW) && model_get_type(m, mfn, MODEL_WRITABLE)) {
		model_put_page(m, mfn);
		return -EBUSY;
	}
	if ((pte & CACHE_BITS) && f->xen_heap) {
		if (pte & PTE_RW)
			model_put_type(m, mfn);
		model_put_page(m, mfn);
		return -EACCES;
	}
	return 0;
}

void model_put_leaf(struct model *m, uint64_t pte)
{
	const mfn_t mfn = pte_mfn(pte);
	const struct model_frame *f = model_frame(m, mfn);

	if (!(pte & PTE_P) || !f || f->owner == MODEL_IO)
		return;
	if (pte & PTE_RW)
		model_put_type(m, mfn);
	model_put_page(m, mfn);
}

/* get_l2_linear_pagetable() ..: whether @pte of @table may map a table of the same level; it then has got it. */
static bool get_linear(struct model *m, unsigned int level, uint64_t pte, mfn_t table)
{
	struct model_frame *above = model_frame(m, table);
	const mfn_t mfn = pte_mfn(pte);
	struct model_frame *f;

	if (!m->profile.linear_pt || (pte & PTE_RW))
		return false;
	if (mfn_eq(mfn, table))
		return true;
	if (!model_get_page(m, mfn))
		return false;
	f = model_frame(m, mfn);
	/* inc_linear_entries(), inc_linear_uses(): neither may be the other already, nor wrap */
	if (above->linear_pt_count < 0 || above->linear_pt_count == INT16_MAX ||
	    f->linear_pt_count > 0 || f->linear_pt_count == INT16_MIN || f->type != level ||
	    !f->validated) {
		model_put_page(m, mfn);
		return false;
	}
	above->linear_pt_count++;
	f->linear_pt_count--;
	f->type_count++;
	return true;
}

int model_get_link(struct model *m, unsigned int level, uint64_t pte, mfn_t table)
{
	int rc;

	if (model_bad_bits(m, level, pte))
		return -EINVAL;
	rc = model_get_page_and_type(m, pte_mfn(pte), (enum model_type)(level - 1));
	if (rc == -EINVAL && get_linear(m, level, pte, table))
		rc = 0;
	return rc;
}

void model_put_link(struct model *m, uint64_t pte, mfn_t table, bool partial, bool defer)
{
	const mfn_t mfn = pte_mfn(pte);

	if (!(pte & PTE_P) || mfn_eq(mfn, table))
		return;
	if (defer) { /* one an entry: the call ends, or begins anew, before the next */
		ASSERT(mfn_eq(m->old_table, INVALID_MFN));
		m->old_table = mfn;
		m->old_parent = table;
		m->old_partial = false;
		return;
	}
	model_put_type_of(m, mfn, partial, table);
	model_put_page(m, mfn);
}
