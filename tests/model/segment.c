/* SPDX-License-Identifier: MIT */
/*
 * Segment descriptors: the GDT, the LDT, and single descriptors.
 *
 * A frame of descriptors has a type of its own, so that the guest can't write into it what would lead to ring 0. All 512
 * descriptors of a frame are looked at when it gets the type, and made harmless where they can be: a code or data segment gets
 * privilege 3, a call gate 0 with its own privilege kept in the selector. What can't be (a TSS, an interrupt gate) is refused.
 *
 * The GDT's frames have their type while they are set. Those of the LDT get it one by one, when the CPU first reads a descriptor
 * of each and faults; they lose it all together, at SET_LDT of another or at a new base pointer.
 *
 * Source: arch/x86/pv/descriptor-tables.c, pv/mm.c.
 */
#include "internal.h"

/* The high half of a descriptor (asm/desc.h). */
#define DESC_TYPE      (UINT32_C(15) << 8)
#define DESC_S	       (UINT32_C(1) << 12)
#define DESC_DPL_SHIFT 13
#define DESC_DPL       (UINT32_C(3) << DESC_DPL_SHIFT)
#define DESC_P	       (UINT32_C(1) << 15)
#define CALL_GATE      (UINT32_C(12) << 8)
/* What must be 0 in a call gate: this is where there would be a count of parameters. */
#define GATE_RESERVED  UINT32_C(0xff)

#define GUEST_RPL 3

/* guest_gate_selector_okay(): the guest's own, Xen's flat code segment for it, or of the LDT. */
static bool gate_selector_ok(uint32_t selector)
{
	return (selector >> 3) < MODEL_GDT_ENTRIES || selector == FLAT_KERNEL_CS || (selector & 4);
}

/* check_descriptor(): whether *@desc is harmless, or has been made so. */
static bool check_descriptor(uint64_t *desc)
{
	uint32_t a = (uint32_t)*desc, b = (uint32_t)(*desc >> 32);

	if (!(b & DESC_P))
		return true;
	b |= DESC_DPL; /* __fixup_guest_selector(): a 64-bit guest has 3 alone */
	if (!(b & DESC_S)) {
		if ((b & DESC_TYPE) == 0) /* the second half of a call gate; left as it is */
			return true;
		if ((b & DESC_TYPE) != CALL_GATE || !gate_selector_ok(a >> 16))
			return false;
		b &= ~DESC_DPL;
		a |= GUEST_RPL << 16;
		if (b & GATE_RESERVED)
			return false;
	}
	*desc = (uint64_t)b << 32 | a;
	return true;
}

/* validate_segdesc_page(): what stands before a bad one stays corrected. */
int model_promote_segdesc(struct model *m, mfn_t mfn)
{
	uint64_t *desc = m->ops->page(m, mfn);

	for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
		if (!check_descriptor(&desc[i]))
			return -EINVAL;
	return 0;
}

static void load_descriptors(struct model *m)
{
	if (m->ops->load_descriptors)
		m->ops->load_descriptors(m);
}

/* pv_destroy_gdt() */
static void drop_gdt(struct model *m)
{
	m->gdt_ents = 0;
	for (unsigned int i = 0; i < MODEL_GDT_FRAMES; i++) {
		if (!mfn_eq(m->gdt_frame[i], INVALID_MFN))
			model_put_page_and_type(m, m->gdt_frame[i]);
		m->gdt_frame[i] = INVALID_MFN;
	}
}

/* do_set_gdt(), pv_set_gdt(). The new frames are got before the old ones go. */
long model_set_gdt(struct model *m, const uint64_t *args)
{
	const unsigned int entries = (unsigned int)args[1];
	uint64_t mfns[MODEL_GDT_FRAMES];
	unsigned int nr, i;

	if (entries > MODEL_GDT_ENTRIES)
		return -EINVAL;
	nr = (entries + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
	if (nr && m->ops->copy_from(m, mfns, args[0], nr * sizeof(mfns[0])))
		return -EFAULT;

	for (i = 0; i < nr; i++) {
		if (model_get_page_and_type(m, _mfn(mfns[i]), MODEL_SEGDESC) == 0)
			continue;
		while (i-- > 0)
			model_put_page_and_type(m, _mfn(mfns[i]));
		return -EINVAL;
	}
	drop_gdt(m);
	m->gdt_ents = entries;
	for (i = 0; i < nr; i++)
		m->gdt_frame[i] = _mfn(mfns[i]);
	load_descriptors(m);
	model_flush(m);
	return 0;
}

/* do_update_descriptor(): any 8 bytes of a frame of descriptors, or of one that is no table. */
long model_update_descriptor(struct model *m, const uint64_t *args)
{
	const uint64_t maddr = args[0];
	const mfn_t mfn = maddr_to_mfn(_maddr(maddr));
	uint64_t desc = args[1];
	enum model_type type;
	int rc;

	if (maddr % sizeof(desc) || !check_descriptor(&desc) || !model_get_page(m, mfn))
		return -EINVAL;
	type = model_frame(m, mfn)->type == MODEL_SEGDESC ? MODEL_SEGDESC : MODEL_WRITABLE;
	rc = model_get_type(m, mfn, type);
	if (!rc) {
		uint64_t *page = m->ops->page(m, mfn);

		WRITE_ONCE(page[(maddr & PAGE_OFFSET_MASK) / sizeof(desc)], desc);
		model_put_type(m, mfn);
	}
	model_put_page(m, mfn);
	return rc ? -EINVAL : 0;
}

bool model_drop_ldt(struct model *m)
{
	bool dropped = false;

	for (unsigned int i = 0; i < MODEL_LDT_FRAMES; i++) {
		if (mfn_eq(m->ldt_frame[i], INVALID_MFN))
			continue;
		model_put_page_and_type(m, m->ldt_frame[i]);
		m->ldt_frame[i] = INVALID_MFN;
		dropped = true;
	}
	return dropped;
}

/* MMUEXT_SET_LDT in do_mmuext_op(): the same one again keeps what is mapped of it. */
int model_set_ldt(struct model *m, uint64_t base, unsigned int ents)
{
	if (ents > MODEL_LDT_ENTRIES)
		return -EINVAL;
	if (!ents)
		base = 0;
	else if ((base & PAGE_OFFSET_MASK) || !model_va_ok(m, base))
		return -EINVAL;
	if (m->ldt_ents == ents && m->ldt_base == base)
		return 0;
	if (model_drop_ldt(m))
		model_flush(m);
	m->ldt_base = base;
	m->ldt_ents = ents;
	load_descriptors(m);
	return 0;
}

bool model_map_ldt(struct model *m, uint64_t offset)
{
	const uint64_t i = offset >> PAGE_SHIFT;
	unsigned int level;
	uint64_t rights;
	mfn_t mfn;

	if (offset / sizeof(uint64_t) >= m->ldt_ents || !mfn_eq(m->ldt_frame[i], INVALID_MFN))
		return false;
	if (!model_walk(m, m->ldt_base + offset, &mfn, &rights, &level) || level != 1 ||
	    model_get_page_and_type(m, mfn, MODEL_SEGDESC))
		return false;
	m->ldt_frame[i] = mfn;
	load_descriptors(m);
	return true;
}
