/* SPDX-License-Identifier: MIT */
/*
 * Where the things of start of day lie; see domain.h. What they hold is domain_fill.c's.
 *
 * The region has to be as large as what is in it, and one thing in it grows with its size: the tables. Both builders
 * guess, count, and guess again, in ways that differ by a few pages; a guest must live with either.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include "domain_internal.h"

#define REGION_ALIGN (UINT64_C(4) << 20)
#define SPARE	     (UINT64_C(512) << 10)

/* The frames that a guest can have here: with more, sums of page numbers might leave 64 bits. */
#define MAX_PAGES (UINT64_C(1) << 40)

struct failure {
	char *why;
	size_t n;
};

#define refuse(f, rc, ...) (snprintf((f)->why, (f)->n, __VA_ARGS__), (rc))

uint64_t domain_count_tables(uint64_t start, uint64_t end, unsigned int level)
{
	unsigned int shift = level_shift(level + 1);

	return ((end - 1) >> shift) - (start >> shift) + 1;
}

/* The one L4, and the tables below it that map the first @pages of the region. */
static uint64_t count_all_tables(const struct plan *plan, uint64_t pages)
{
	uint64_t end = plan->virt_base + pages * PAGE_SIZE, nr = 1;

	for (unsigned int level = 1; level < 4; level++)
		nr += domain_count_tables(plan->virt_base, end, level);
	return nr;
}

/* @va up to a multiple of 4 MiB, as a number of pages of the region. */
static uint64_t pages_to(const struct plan *plan, uint64_t va)
{
	uint64_t end = (va + REGION_ALIGN - 1) & ~(REGION_ALIGN - 1);

	return (end - plan->virt_base) >> PAGE_SHIFT;
}

/* dom0_construct_pv(): the least number of tables that is enough; 4 MiB more if under 512 KiB are left at the end. */
static void size_dom0(struct plan *plan)
{
	uint64_t nr = 2;

	for (;; nr++) {
		uint64_t stack_end = plan->virt_base + (plan->tables + nr + 1) * PAGE_SIZE;

		plan->region_pages = pages_to(plan, stack_end);
		if (plan->virt_base + plan->region_pages * PAGE_SIZE - stack_end < SPARE)
			plan->region_pages += REGION_ALIGN >> PAGE_SHIFT;
		if (count_all_tables(plan, plan->region_pages) <= nr)
			break;
	}
	plan->nr_tables = nr;
}

/* alloc_pgtables_pv(): stack and spare count as used from the start, and the tables that this takes are enough. */
static void size_domu(struct plan *plan)
{
	uint64_t extra = 1 + (SPARE >> PAGE_SHIFT), pages = extra;

	do {
		uint64_t va = plan->virt_base + (plan->tables + pages) * PAGE_SIZE;

		plan->region_pages = pages_to(plan, va);
		plan->nr_tables = count_all_tables(plan, plan->region_pages);
		pages = plan->nr_tables + extra;
	} while (plan->tables + pages > plan->region_pages);
}

/* What Xen allocates for dom0's region at once: a power of two, without the module, which it has already. */
static uint64_t dom0_chunk(const struct plan *plan, bool module_inside)
{
	uint64_t want = plan->region_pages - (module_inside ? plan->module_pages : 0), chunk = 1;

	while (chunk < want)
		chunk *= 2;
	return chunk;
}

/* The parts before the tables, in order. Returns the first page behind them. */
static uint64_t place_parts(struct plan *plan, const struct domain_config *config)
{
	const struct image *image = config->image;
	uint64_t next = frames_up(image->end - image->virt_base);

	plan->image = (image->start - image->virt_base) >> PAGE_SHIFT;
	plan->image_pages = next - plan->image;
	plan->module_pages = frames_up(config->module_size);
	if (plan->module_pages && !image->module_unmapped) {
		plan->module = next;
		next += plan->module_pages;
	}
	plan->list = next;
	plan->list_pages = frames_up(config->nr_pages * sizeof(uint64_t));
	plan->info = plan->list + plan->list_pages;
	next = plan->info + 1;
	if (!plan->dom0) {
		plan->store = next++;
		plan->console = next++;
	}
	return next;
}

static int too_small(struct failure *f, uint64_t need, uint64_t nr_pages)
{
	return refuse(f, -ENOMEM, "the boot region needs %#lx pages, the guest has %#lx", need,
		      nr_pages);
}

/* Whether the region's addresses are the guest's to have: one half of the address space, none of Xen's slots. */
static int check_addresses(const struct plan *plan, struct failure *f)
{
	const struct model_profile *profile = &plan->m->profile;
	uint64_t last = plan->virt_base + plan->region_pages * PAGE_SIZE - 1;
	uint64_t from = va_index(plan->virt_base, 4), to = va_index(last, 4);

	if (last < plan->virt_base || !va_canonical(plan->virt_base) || !va_canonical(last) ||
	    (plan->virt_base >> 63) != (last >> 63))
		return refuse(f, -EINVAL, "the boot region (%#lx to %#lx) is not canonical",
			      plan->virt_base, last);
	if (from < (uint64_t)profile->xen_slot + profile->xen_slots && to >= profile->xen_slot)
		return refuse(f, -EINVAL, "the boot region (%#lx to %#lx) overlaps Xen's",
			      plan->virt_base, last);
	return 0;
}

static int lay_out(struct plan *plan, struct failure *f)
{
	const struct domain_config *config = plan->config;
	bool outside = config->image->module_unmapped;
	uint64_t need;

	plan->tables = place_parts(plan, config);
	if (plan->tables >= config->nr_pages)
		return too_small(f, plan->tables, config->nr_pages);
	/* more than the tables and the spare can come to, so that no address wraps round on the way */
	if (plan->tables + plan->tables / 128 + 8192 > (UINT64_MAX - plan->virt_base) >> PAGE_SHIFT)
		return refuse(f, -EINVAL, "%#lx pages from %#lx on reach the end of all addresses",
			      plan->tables, plan->virt_base);
	if (plan->dom0)
		size_dom0(plan);
	else
		size_domu(plan);
	plan->stack = plan->tables + plan->nr_tables;
	need = plan->region_pages;
	if (plan->dom0) {
		plan->chunk = dom0_chunk(plan, !outside);
		need = plan->chunk + plan->module_pages;
	} else if (outside) {
		need += plan->module_pages;
	}
	if (need > config->nr_pages)
		return too_small(f, need, config->nr_pages);
	if (plan->module_pages && outside)
		plan->module = need - plan->module_pages;
	return check_addresses(plan, f);
}

/* What the builders look at before they lay anything out. */
static int check_config(const struct plan *plan, struct failure *f)
{
	const struct domain_config *config = plan->config;
	const struct image *image = config->image;

	if (plan->dom0 && image->no_dom0)
		return refuse(f, -EINVAL, "the image does not support being dom0");
	if (image->virt_base & PAGE_OFFSET_MASK)
		return refuse(f, -EINVAL, "VIRT_BASE (%#lx) is no page", image->virt_base);
	/* xc_dom_alloc_pad() */
	if (!plan->dom0 && (image->start & PAGE_OFFSET_MASK))
		return refuse(f, -EINVAL, "the image starts at %#lx: no page", image->start);
	if (config->nr_pages == 0 || config->nr_pages > MAX_PAGES)
		return refuse(f, -EINVAL, "a guest of %#lx pages", config->nr_pages);
	if (frames_up(config->module_size) > config->nr_pages)
		return too_small(f, frames_up(config->module_size), config->nr_pages);
	return 0;
}

static void give_frames(const struct plan *plan)
{
	const struct domain_config *config = plan->config;
	struct model *m = plan->m;

	m->max_pages = config->max_pages ? config->max_pages
		       : plan->dom0	 ? UINT32_MAX
					 : config->nr_pages;
	for (uint64_t pfn = 0; pfn < config->nr_pages; pfn++)
		model_give(m, _mfn(config->mfn_list[pfn]), MODEL_GUEST, pfn);
	model_share(m, config->shared_info);
}

static void describe(const struct plan *plan, struct domain *domain)
{
	const struct image *image = plan->config->image;
	uint64_t base = plan->virt_base;

	memset(domain, 0, sizeof(*domain));
	domain->entry = image->entry;
	domain->start_info = base + plan->info * PAGE_SIZE;
	domain->stack_top = base + (plan->stack + 1) * PAGE_SIZE;
	domain->l4 = _mfn(plan->config->mfn_list[plan->tables]);
	domain->virt_base = base;
	domain->region_pages = plan->region_pages;
	domain->image_start = image->start;
	domain->image_end = image->end;
	if (plan->module_pages)
		domain->module =
			image->module_unmapped ? plan->module : base + plan->module * PAGE_SIZE;
	domain->mfn_list = base + plan->list * PAGE_SIZE;
	domain->tables = base + plan->tables * PAGE_SIZE;
	domain->nr_tables = plan->nr_tables;
	if (!plan->dom0) {
		domain->store = base + plan->store * PAGE_SIZE;
		domain->console = base + plan->console * PAGE_SIZE;
	}
	domain->shared_info = plan->config->shared_info;
}

int domain_build(struct model *m, const struct domain_config *config, struct domain *domain,
		 char *why, size_t n)
{
	struct plan plan = { .m = m,
			     .config = config,
			     .dom0 = m->profile.dom0,
			     .virt_base = config->image->virt_base };
	struct failure f = { why, n };
	int rc;

	rc = check_config(&plan, &f);
	if (!rc)
		rc = lay_out(&plan, &f);
	if (rc)
		return rc;
	give_frames(&plan);
	domain_fill(&plan);
	describe(&plan, domain);
	rc = model_start(m, domain->l4);
	return rc ? refuse(&f, rc, "the tables of start of day are refused: %d", rc) : 0;
}
