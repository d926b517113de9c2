/* SPDX-License-Identifier: MIT */
/*
 * What start of day holds: the image, the module, the mfn_list, start_info, shared_info, and the page tables.
 *
 * The two orders of the tables, for a region that begins at the end of what one L2 maps (numbers count tables of a
 * level):
 *
 *   dom0   L4  L1 0  L2 0  L3 0  L1 1  L2 1  L1 2 ...     a table is made when the first page below it is mapped
 *   domU   L4  L3 0  L2 0  L2 1  L1 0  L1 1  L1 2 ...
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include "domain_internal.h"

/* SIF_PM_MASK as Xen sets it on a machine with C- and P-states (xen_processor_pmbits). */
#define PM_BITS 3

#define DOM0_LEAF (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_GK)
#define DOMU_LEAF (PTE_P | PTE_RW | PTE_A)
#define LINK	  (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)

static uint64_t mfn_of(const struct plan *plan, uint64_t pfn)
{
	return plan->config->mfn_list[pfn];
}

static void *page_of(const struct plan *plan, uint64_t pfn)
{
	return plan->m->ops->page(plan->m, _mfn(mfn_of(plan, pfn)));
}

/* @n bytes to the guest's pseudo-physical address @paddr; they may cross pages, which need not be neighbours. */
static void copy_in(const struct plan *plan, uint64_t paddr, const void *bytes, uint64_t n)
{
	const uint8_t *from = bytes;

	while (n) {
		uint64_t offset = paddr & PAGE_OFFSET_MASK, part = PAGE_SIZE - offset;

		if (part > n)
			part = n;
		memcpy((uint8_t *)page_of(plan, paddr >> PAGE_SHIFT) + offset, from, part);
		paddr += part;
		from += part;
		n -= part;
	}
}

static void clear(const struct plan *plan, uint64_t pfn, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		memset(page_of(plan, pfn + i), 0, PAGE_SIZE);
}

/*
 * The stubs through which a guest may issue its hypercalls: 32 bytes each, all else int3. HYPERVISOR_iret does not come
 * back and leaves its frame on the stack (hypercall_page_initialise_ring3_kernel()).
 */
static void fill_hypercall_page(const struct plan *plan, uint64_t paddr)
{
	static const uint8_t call[] = { 0x51, 0x41, 0x53, 0xb8, 0,    0,    0,
					0,    0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };
	static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, 0, 0, 0, 0, 0x0f, 0x05 };
	uint8_t *page = page_of(plan, paddr >> PAGE_SHIFT);

	memset(page, 0xcc, PAGE_SIZE);
	for (uint32_t nr = 0; nr < PAGE_SIZE / 32; nr++) {
		uint8_t *stub = page + nr * 32UL;

		if (nr == __HYPERVISOR_iret) {
			memcpy(stub, iret, sizeof(iret));
			memcpy(stub + 5, &nr, sizeof(nr));
		} else {
			memcpy(stub, call, sizeof(call));
			memcpy(stub + 4, &nr, sizeof(nr));
		}
	}
}

static void load_image(const struct plan *plan)
{
	const struct image *image = plan->config->image;

	clear(plan, plan->image, plan->image_pages);
	for (unsigned int i = 0; i < image->nr_segments; i++) {
		const struct image_segment *segment = &image->segment[i];

		copy_in(plan, segment->va - plan->virt_base, segment->bytes, segment->size);
	}
	if (image->hypercall_page)
		fill_hypercall_page(plan, image->hypercall_page - plan->virt_base);
}

/*
 * All MFNs, by pfn. Behind them dom0 finds what the page held before: here the MFN of pfn 0 again and again, which
 * looks right and is not.
 */
static void fill_list(const struct plan *plan)
{
	uint64_t nr = plan->config->nr_pages, end = plan->list_pages * TABLE_ENTRIES;
	uint64_t tail = plan->dom0 ? mfn_of(plan, 0) : 0;
	uint64_t at = plan->list << PAGE_SHIFT;

	copy_in(plan, at, plan->config->mfn_list, nr * sizeof(uint64_t));
	for (uint64_t i = nr; i < end; i++)
		copy_in(plan, at + i * sizeof(tail), &tail, sizeof(tail));
}

/* What only dom0's start_info has, and the video mode behind it. => @si has the rest of its page behind it */
static void fill_info_dom0(const struct plan *plan, struct start_info *si)
{
	struct dom0_vga_console_info *video = (struct dom0_vga_console_info *)(si + 1);

	si->flags = SIF_PRIVILEGED | SIF_INITDOMAIN | PM_BITS << 8;
	si->console.dom0.info_off = sizeof(*si);
	si->console.dom0.info_size = sizeof(*video);
	video->video_type = XEN_VGATYPE_TEXT_MODE_3;
	video->u.text_mode_3.rows = 25;
	video->u.text_mode_3.columns = 80;
	video->u.text_mode_3.font_height = 16;
	si->first_p2m_pfn = plan->chunk + plan->module_pages;
	si->mod_len = plan->config->module_size;
	if (plan->config->image->pae_note)
		si->magic[strlen(si->magic)] = 'p';
}

static void fill_info_domu(const struct plan *plan, struct start_info *si)
{
	si->store_mfn = mfn_of(plan, plan->store);
	si->store_evtchn = plan->config->store_evtchn;
	si->console.domU.mfn = mfn_of(plan, plan->console);
	si->console.domU.evtchn = plan->config->console_evtchn;
	/* alloc_segment's length of bytes for a mapped one, of pages for one that is not (xc_dom_build_image()) */
	si->mod_len = plan->config->image->module_unmapped ? plan->module_pages * PAGE_SIZE
							   : plan->config->module_size;
}

static void fill_info(const struct plan *plan)
{
	const struct domain_config *config = plan->config;
	struct start_info *si = page_of(plan, plan->info);
	uint64_t base = plan->virt_base;

	memset(si, 0, PAGE_SIZE);
	memcpy(si->magic, "xen-3.0-x86_64", sizeof("xen-3.0-x86_64"));
	if (plan->dom0)
		fill_info_dom0(plan, si);
	else
		fill_info_domu(plan, si);
	si->nr_pages = config->nr_pages;
	si->shared_info = mfn_x(config->shared_info) << PAGE_SHIFT;
	si->pt_base = base + plan->tables * PAGE_SIZE;
	si->nr_pt_frames = plan->nr_tables;
	si->mfn_list = base + plan->list * PAGE_SIZE;
	if (plan->module_pages) {
		bool by_pfn = config->image->module_unmapped;

		si->mod_start = by_pfn ? plan->module : base + plan->module * PAGE_SIZE;
		si->flags |= by_pfn ? SIF_MOD_START_PFN : 0;
	}
	if (config->cmd_line)
		memcpy(si->cmd_line, config->cmd_line,
		       strnlen(config->cmd_line, sizeof(si->cmd_line) - 1));
}

/* A vCPU's upcalls are masked until it unmasks them. */
static void fill_shared_info(const struct plan *plan)
{
	struct shared_info *shared = plan->m->ops->page(plan->m, plan->config->shared_info);

	memset(shared, 0, PAGE_SIZE);
	for (unsigned int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		shared->vcpu_info[i].evtchn_upcall_mask = 1;
}

/* The number among the region's tables of @level of the one that maps @va. */
static uint64_t table_number(const struct plan *plan, unsigned int level, uint64_t va)
{
	if (level == 4)
		return 0;
	return (va >> level_shift(level + 1)) - (plan->virt_base >> level_shift(level + 1));
}

/* The first address of the region that table @n of @level maps. */
static uint64_t table_va(const struct plan *plan, unsigned int level, uint64_t n)
{
	unsigned int shift = level_shift(level + 1);

	return n ? ((plan->virt_base >> shift) + n) << shift : plan->virt_base;
}

/* The place of table @n of @level among all: after those that the pages before its first one needed. */
static uint64_t place_dom0(const struct plan *plan, unsigned int level, uint64_t n)
{
	uint64_t va = table_va(plan, level, n), place = 1;

	if (level == 4)
		return 0;
	if (va != plan->virt_base)
		for (unsigned int l = 1; l < 4; l++)
			place += domain_count_tables(plan->virt_base, va, l);
	return place + level - 1;
}

static uint64_t place_domu(const struct plan *plan, unsigned int level, uint64_t n)
{
	uint64_t end = plan->virt_base + plan->region_pages * PAGE_SIZE, place = 1;

	if (level == 4)
		return 0;
	for (unsigned int l = 3; l > level; l--)
		place += domain_count_tables(plan->virt_base, end, l);
	return place + n;
}

static uint64_t table_pfn(const struct plan *plan, unsigned int level, uint64_t va)
{
	uint64_t n = table_number(plan, level, va);

	return plan->tables +
	       (plan->dom0 ? place_dom0(plan, level, n) : place_domu(plan, level, n));
}

static void set_entry(const struct plan *plan, unsigned int level, uint64_t va, uint64_t pfn,
		      uint64_t flags)
{
	uint64_t *table = page_of(plan, table_pfn(plan, level, va));

	table[va_index(va, level)] = pte_make(_mfn(mfn_of(plan, pfn)), flags);
}

static void fill_tables(const struct plan *plan)
{
	uint64_t end = plan->virt_base + plan->region_pages * PAGE_SIZE;

	for (uint64_t pfn = 0; pfn < plan->region_pages; pfn++) {
		bool table = pfn - plan->tables < plan->nr_tables;
		uint64_t flags = plan->dom0 ? DOM0_LEAF : DOMU_LEAF;

		set_entry(plan, 1, plan->virt_base + pfn * PAGE_SIZE, pfn,
			  table ? flags & ~PTE_RW : flags);
	}
	for (unsigned int level = 1; level < 4; level++)
		for (uint64_t n = 0; n < domain_count_tables(plan->virt_base, end, level); n++) {
			uint64_t va = table_va(plan, level, n);

			set_entry(plan, level + 1, va, table_pfn(plan, level, va), LINK);
		}
}

void domain_fill(const struct plan *plan)
{
	load_image(plan);
	if (plan->module_pages) {
		clear(plan, plan->module, plan->module_pages);
		copy_in(plan, plan->module << PAGE_SHIFT, plan->config->module,
			plan->config->module_size);
	}
	fill_list(plan);
	fill_info(plan);
	fill_shared_info(plan);
	if (!plan->dom0) {
		clear(plan, plan->store, 1);
		clear(plan, plan->console, 1);
	}
	clear(plan, plan->tables, plan->nr_tables + 1);
	fill_tables(plan);
}
