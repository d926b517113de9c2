/* SPDX-License-Identifier: MIT */
/*
 * tests/model/domain: start of day, walked and compared with what Xen's two builders leave ('Start of day' in Xen's
 * public/xen.h, dom0_construct_pv(), libxenguest).
 *
 * The host's machine and the smoke lane begin here. A kernel that boots on a start of day that Xen never makes has
 * been tested on nothing; so the tables are read back by their own addresses, entry by entry, and the order of the
 * tables is worked out once more the slow way, page by page.
 */
#include "host.h"
#include <pinion/arch/pte.h>
#include <pinion/boot/start_info.h>
#include <pinion/lib/errno.h>
#include <pinion/mm/layout.h>
#include "domain_kit.h"

static const struct guest guests[] = {
	{ "dom0", true, VIRT_BASE, 0x100000, 0x137000, 4096, 0, false },
	{ "domU", false, VIRT_BASE, 0x100000, 0x137000, 4096, 0, false },
	{ "dom0, module", true, VIRT_BASE, 0x100000, 0x137000, 4096, 70001, false },
	{ "domU, module", false, VIRT_BASE, 0x100000, 0x137000, 4096, 70001, false },
	{ "dom0, module unmapped", true, VIRT_BASE, 0, 0x5000, 4096, 4096, true },
	{ "domU, module unmapped", false, VIRT_BASE, 0, 0x5000, 4096, 4097, true },
	{ "domU, as small as can be", false, VIRT_BASE, 0, 0x1000, 1024, 0, false },
	{ "dom0, as small as can be", true, VIRT_BASE, 0, 0x1000, 1024, 0, false },
	{ "dom0, over two L2 tables", true, 0x3ff00000, 0x1008, 0x300001, 8000, 12, false },
	{ "domU, over two L2 tables", false, 0x3ff00000, 0x1000, 0x300001, 8000, 12, false },
	{ "dom0, over two L3 tables", true, 0x7fffe00000, 0, 0x700000, 8192, 0, false },
	{ "domU, over two L3 tables", false, 0x7fffe00000, 0, 0x700000, 8192, 0, false },
	{ "domU, image ends on a page", false, 0, 0x3000, 0x2000, 2048, 4096, false },
};

static uint64_t entry_of(mfn_t table, uint64_t va, unsigned int level)
{
	return ((uint64_t *)frame_page(table))[va_index(va, level)];
}

/* The pfn of the table of @level that maps @va, by the entries above it; ~0 if there is none. */
static uint64_t table_at(uint64_t va, unsigned int level)
{
	mfn_t table = it.d.l4;

	for (unsigned int l = 4; l > level; l--) {
		uint64_t entry = entry_of(table, va, l);

		if (!(entry & PTE_P))
			return UINT64_MAX;
		assert_int_equal(pte_flags(entry) & (PTE_RW | PTE_US | PTE_NX | PTE_PSE),
				 PTE_RW | PTE_US);
		table = pte_mfn(entry);
	}
	return it.m2p[mfn_x(table)];
}

static uint64_t leaf_at(uint64_t va)
{
	uint64_t pfn = table_at(va, 1);

	return pfn == UINT64_MAX ? 0 : entry_of(_mfn(it.list[pfn]), va, 1);
}

/* The guest's bytes at a VA of the region, through its own tables. */
static void *at(uint64_t va)
{
	return (char *)frame_page(pte_mfn(leaf_at(va))) + (va & PAGE_OFFSET_MASK);
}

static uint64_t region_end(void)
{
	return it.d.virt_base + it.d.region_pages * PAGE_SIZE;
}

/* Page for page, read-write but for the tables, and nothing else mapped. */
static void expect_mappings(const struct guest *g)
{
	uint64_t first = (it.d.tables - g->base) >> PAGE_SHIFT, present = 0;

	for (uint64_t pfn = 0; pfn < it.d.region_pages; pfn++) {
		uint64_t want = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_GK;

		if (pfn >= first && pfn < first + it.d.nr_tables)
			want &= ~PTE_RW;
		assert_int_equal(leaf_at(g->base + pfn * PAGE_SIZE),
				 pte_make(_mfn(it.list[pfn]), want));
	}
	for (uint64_t pfn = first; pfn < first + it.d.nr_tables; pfn++) {
		const uint64_t *table = frame_page(_mfn(it.list[pfn]));

		for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
			present += table[i] & PTE_P;
	}
	/* each leaf, and each table once; the L4 by itself, in a slot of Xen's */
	assert_int_equal(present, it.d.region_pages + it.d.nr_tables);
}

/* The tables' order, found by mapping page after page as dom0_construct_pv() does, or level by level. */
static void expect_order(const struct guest *g)
{
	uint64_t first = (it.d.tables - g->base) >> PAGE_SHIFT, next = first;

	assert_int_equal(mfn_x(it.d.l4), it.list[next++]);
	if (g->dom0)
		for (uint64_t va = g->base; va != region_end(); va += PAGE_SIZE)
			for (unsigned int level = 1; level < 4; level++)
				if (va == g->base ||
				    va % (UINT64_C(1) << level_shift(level + 1)) == 0)
					assert_int_equal(table_at(va, level), next++);
	for (unsigned int level = 3; !g->dom0 && level > 0; level--) {
		uint64_t span = UINT64_C(1) << level_shift(level + 1);

		uint64_t nr = (region_end() - 1) / span - g->base / span + 1;

		for (uint64_t va = g->base; nr-- > 0; va = (va | (span - 1)) + 1)
			assert_int_equal(table_at(va, level), next++);
	}
	assert_int_equal(next, first + it.d.nr_tables);
}

/* One pin, on the L4; a table's uses are its links; data has one writable mapping and no more. */
static void expect_types(const struct guest *g)
{
	uint64_t first = (it.d.tables - g->base) >> PAGE_SHIFT;

	for (uint64_t pfn = 0; pfn < g->nr_pages; pfn++) {
		const struct model_frame *f = &it.frame[it.list[pfn]];
		bool table = pfn >= first && pfn < first + it.d.nr_tables, l4 = pfn == first;

		assert_int_equal(f->owner, MODEL_GUEST);
		assert_int_equal(f->pinned, l4);
		if (table)
			assert_int_equal(f->type_count, l4 ? 2 : 1);
		else
			assert_int_equal(f->type_count, pfn < it.d.region_pages);
		if (pfn < it.d.region_pages && !table)
			assert_int_equal(f->type, MODEL_WRITABLE);
		for (unsigned int level = 1; table && !l4 && level < 4; level++)
			if (table_at(g->base, level) == pfn)
				assert_int_equal(f->type, (int)level);
		assert_int_equal(it.m2p[it.list[pfn]], pfn);
	}
	assert_int_equal(it.frame[mfn_x(it.d.l4)].type, MODEL_L4);
	assert_true(mfn_eq(it.m.l4, it.d.l4));
	assert_int_equal(it.loads, 1);
	assert_int_equal(it.m.tot_pages, g->nr_pages);
	assert_int_equal(it.m.max_pages, g->dom0 ? UINT32_MAX : g->nr_pages);
}

/* Image, module, mfn_list, start_info, rings, tables, stack: without gaps, in this order; then the spare. */
static void expect_layout(const struct guest *g)
{
	uint64_t next = (it.d.image_end + PAGE_SIZE - 1) & ~PAGE_OFFSET_MASK, end = region_end();
	uint64_t stack = it.d.stack_top - PAGE_SIZE;

	assert_int_equal(it.d.image_start, g->base + g->offset);
	assert_int_equal(it.d.entry, it.image.entry);
	if (g->module_size && !g->unmapped) {
		assert_int_equal(it.d.module, next);
		next += frames_up(g->module_size) * PAGE_SIZE;
	}
	assert_int_equal(it.d.mfn_list, next);
	next += frames_up(g->nr_pages * 8) * PAGE_SIZE;
	assert_int_equal(it.d.start_info, next);
	next += PAGE_SIZE;
	if (!g->dom0) {
		assert_int_equal(it.d.store, next);
		assert_int_equal(it.d.console, next + PAGE_SIZE);
		next += 2 * PAGE_SIZE;
	}
	assert_int_equal(it.d.tables, next);
	assert_int_equal(stack, next + it.d.nr_tables * PAGE_SIZE);
	assert_int_equal(end % (UINT64_C(4) << 20), 0);
	assert_true(end - it.d.stack_top >= 512UL << 10);
	/* no larger than one boundary more than it must be */
	assert_true(end - it.d.stack_top < (UINT64_C(4) << 20) + (512UL << 10) + 16 * PAGE_SIZE);
	assert_true(it.d.region_pages <= g->nr_pages);
	assert_int_equal(*(uint64_t *)at(stack), 0);
}

static void expect_bytes(uint64_t va, const uint8_t *bytes, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(*(uint8_t *)at(va + i), bytes ? bytes[i] : 0);
}

static void expect_contents(const struct guest *g)
{
	uint64_t page_entries = frames_up(g->nr_pages * 8) * TABLE_ENTRIES;
	uint64_t half = g->bytes / 2;

	expect_bytes(it.d.image_start, it.bytes, half > 9000 ? 9000 : half);
	expect_bytes(it.d.image_start + half, NULL,
		     g->bytes - half > 9000 ? 9000 : g->bytes - half);
	if (g->module_size && !g->unmapped)
		expect_bytes(it.d.module, it.module, g->module_size);
	if (g->unmapped)
		assert_memory_equal(frame_page(_mfn(it.list[it.d.module])), it.module, 4096);
	for (uint64_t i = 0; i < page_entries; i++) {
		uint64_t tail = g->dom0 ? it.list[0] : 0;

		assert_int_equal(*(uint64_t *)at(it.d.mfn_list + i * 8),
				 i < g->nr_pages ? it.list[i] : tail);
	}
}

static void expect_start_info(const struct guest *g)
{
	const struct start_info *si = at(it.d.start_info);
	const struct shared_info *shared = frame_page(it.config.shared_info);
	uint32_t by_pfn = g->unmapped ? SIF_MOD_START_PFN : 0;

	assert_string_equal(si->magic, "xen-3.0-x86_64");
	assert_int_equal(si->nr_pages, g->nr_pages);
	assert_int_equal(si->shared_info, 3 * PAGE_SIZE);
	assert_int_equal(si->pt_base, it.d.tables);
	assert_int_equal(si->nr_pt_frames, it.d.nr_tables);
	assert_int_equal(si->mfn_list, it.d.mfn_list);
	assert_string_equal((const char *)si->cmd_line, it.config.cmd_line);
	assert_int_equal(si->mod_start, it.d.module);
	assert_int_equal(si->nr_p2m_frames, 0);
	if (g->dom0) {
		assert_int_equal(si->flags, 0x303 | by_pfn);
		assert_int_equal(si->store_mfn, 0);
		assert_int_equal(si->console.dom0.info_off, sizeof(*si));
		assert_int_equal(si->mod_len, g->module_size);
	} else {
		assert_int_equal(si->flags, by_pfn);
		assert_int_equal(si->store_mfn, mfn_x(pte_mfn(leaf_at(it.d.store))));
		assert_int_equal(si->console.domU.mfn, mfn_x(pte_mfn(leaf_at(it.d.console))));
		assert_int_equal(si->store_evtchn, 1);
		assert_int_equal(si->console.domU.evtchn, 2);
		/* exact where it is mapped, whole pages where it is not */
		assert_int_equal(si->mod_len, g->unmapped ? frames_up(g->module_size) * PAGE_SIZE
							  : g->module_size);
		expect_bytes(it.d.console, NULL, PAGE_SIZE);
	}
	assert_int_equal(shared->evtchn_pending[0], 0);
	for (int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		assert_int_equal(shared->vcpu_info[i].evtchn_upcall_mask, 1);
	assert_true(it.frame[3].xen_heap);
}

/* The kernel's own check takes it. */
static void expect_accepted(const struct guest *g)
{
	struct boot_region region = { region_end(), g->base + g->offset + g->bytes };
	struct boot_info bi;

	libc_memset(&bi, 0, sizeof(bi));
	if (start_info_check(&bi, at(it.d.start_info), it.d.start_info, &region, it.why,
			     sizeof(it.why)))
		fail_msg("%s", it.why);
	assert_int_equal(bi.nr_pages, g->nr_pages);
	assert_int_equal(pfn_x(bi.l4), it.m2p[mfn_x(it.d.l4)]);
	assert_int_equal(bi.initdomain, g->dom0);
	start_info_rings(&bi, at(it.d.start_info), it.list);
	if (!g->dom0)
		assert_int_equal(pfn_x(bi.console.pfn), (it.d.console - g->base) >> PAGE_SHIFT);
	assert_int_equal(bi.module.nr, frames_up(g->module_size));
}

static void test_built(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const struct guest *g = &guests[i];

		print_message("%s\n", g->name);
		domain_setup(g);
		assert_int_equal(domain_kit_build(), 0);
		expect_layout(g);
		expect_mappings(g);
		expect_order(g);
		expect_types(g);
		expect_contents(g);
		expect_start_info(g);
		if (g->base == VIRT_BASE && g->offset == IMAGE_BASE - VIRT_BASE)
			expect_accepted(g);
		assert_int_equal(model_check(&it.m, NULL), 0);
		domain_teardown(g);
	}
}

/* The image grows page by page until 512 KiB would not be left: the region takes 4 MiB more just in time. */
static void test_sizes(void **state)
{
	struct guest g = { "", false, VIRT_BASE, 0, 0, 2048, 0, false };
	uint64_t least = 0, most = 0;

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++)
		for (g.bytes = 0x368000; g.bytes < 0x378000; g.bytes += 0x1000) {
			g.dom0 = dom0;
			domain_setup(&g);
			assert_int_equal(domain_kit_build(), 0);
			expect_layout(&g);
			expect_order(&g);
			least = least && least < it.d.region_pages ? least : it.d.region_pages;
			most = most > it.d.region_pages ? most : it.d.region_pages;
			domain_teardown(&g);
		}
	assert_int_equal(least, 1024);
	assert_int_equal(most, 2048);
}

/* What Xen makes of the image beside loading it: the magic's p, and stubs that issue the hypercall of their number. */
static void test_image_says(void **state)
{
	static const uint8_t stub[] = { 0x51, 0x41, 0x53, 0xb8, 17,   0,    0,
					0,    0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };

	(void)state;
	for (int dom0 = 0; dom0 < 2; dom0++) {
		const struct guest *g = &guests[!dom0];
		const struct start_info *si;

		domain_setup(g);
		it.image.pae_note = true;
		it.image.hypercall_page = it.image.start + PAGE_SIZE;
		assert_int_equal(domain_kit_build(), 0);
		si = at(it.d.start_info);
		assert_string_equal(si->magic, dom0 ? "xen-3.0-x86_64p" : "xen-3.0-x86_64");
		assert_memory_equal(at(it.image.hypercall_page + 17UL * 32), stub, sizeof(stub));
		assert_int_equal(*(uint8_t *)at(it.image.hypercall_page + 23UL * 32 + 5), 23);
		expect_bytes(it.image.start, it.bytes, PAGE_SIZE);
		domain_teardown(g);
	}
}

/* A command line that is too long is cut and ended; none is empty. */
static void test_command_line(void **state)
{
	static char line[2 * MAX_GUEST_CMDLINE];
	const struct start_info *si;

	(void)state;
	libc_memset(line, 'x', sizeof(line) - 1);
	for (int i = 0; i < 2; i++) {
		domain_setup(&guests[i]);
		it.config.cmd_line = i ? line : NULL;
		assert_int_equal(domain_kit_build(), 0);
		si = at(it.d.start_info);
		assert_int_equal(libc_strlen((const char *)si->cmd_line), i ? 1023 : 0);
		domain_teardown(&guests[i]);
	}
}

#define EXPECT_REFUSED(guest, change, rc, text)                             \
	do {                                                                \
		domain_setup(guest);                                        \
		change;                                                     \
		assert_int_equal(domain_kit_build(), rc);                   \
		if (!libc_strstr(it.why, text))                             \
			fail_msg("'%s' does not say '%s'", it.why, text);   \
		assert_int_equal(it.m.tot_pages, 0);                        \
		assert_int_equal(it.frame[it.list[0]].owner, MODEL_NOBODY); \
		domain_teardown(guest);                                     \
	} while (0)

/* What no builder of Xen's would build, before anything was given. */
static void test_refused(void **state)
{
	const struct guest *dom0 = &guests[0], *domu = &guests[1];
	struct guest few = guests[1];

	(void)state;
	EXPECT_REFUSED(dom0, it.image.no_dom0 = true, -EINVAL, "dom0");
	EXPECT_REFUSED(domu, it.image.virt_base -= 1, -EINVAL, "VIRT_BASE");
	EXPECT_REFUSED(domu, it.image.start += 8, -EINVAL, "no page");
	EXPECT_REFUSED(domu, it.config.nr_pages = 0, -EINVAL, "0 pages");
	EXPECT_REFUSED(domu, it.config.nr_pages = UINT64_MAX, -EINVAL, "pages");
	EXPECT_REFUSED(domu, it.config.module_size = UINT64_MAX, -ENOMEM, "needs");
	EXPECT_REFUSED(domu, it.image.end += UINT64_C(1) << 30, -ENOMEM, "needs");
	EXPECT_REFUSED(domu, it.image.virt_base = 0, -ENOMEM, "needs");
	few.base = UINT64_C(0) - (UINT64_C(16) << 20);
	EXPECT_REFUSED(&few, , -EINVAL, "end of all addresses");
	few.base = 0xffff87ffffe00000;
	EXPECT_REFUSED(&few, , -EINVAL, "overlaps Xen's");
	few.base = 0x00007fffffe00000;
	EXPECT_REFUSED(&few, , -EINVAL, "canonical");
	few.base = 0x0000900000000000;
	EXPECT_REFUSED(&few, , -EINVAL, "canonical");
	few = guests[10]; /* slots 0 and 1 */
	EXPECT_REFUSED(&few, it.m.profile.xen_slot = 1, -EINVAL, "overlaps Xen's");
	few = guests[6];
	few.nr_pages--;
	EXPECT_REFUSED(&few, , -ENOMEM, "needs 0x400 pages, the guest has 0x3ff");
	few = guests[7];
	few.module_size = 1;
	EXPECT_REFUSED(&few, , -ENOMEM, "needs 0x401 pages");
}

/* The first addresses behind Xen's are the guest's. */
static void test_next_to_xen(void **state)
{
	struct guest g = guests[1];

	(void)state;
	g.base = 0xffff880000000000;
	domain_setup(&g);
	assert_int_equal(domain_kit_build(), 0);
	expect_order(&g);
	domain_teardown(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_built),	   cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_image_says), cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_refused),	   cmocka_unit_test(test_next_to_xen),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
