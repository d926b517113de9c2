/* SPDX-License-Identifier: MIT */
/* Start of day: what Xen's builders promise, and what becomes of a start_info that breaks it. */
#include <stdint.h>
#include <xen/xen.h>
#include <pinion/arch/probe.h>
#include <pinion/boot/start_info.h>
#include <pinion/lib/string.h>
#include <pinion/mm/layout.h>
#include <pinion/xen/features.h>
#include "suite.h"

static bool run_in_region(const struct frame_run *run)
{
	uint64_t end = pfn_x(boot_info()->region_end);

	return run->nr > 0 && pfn_x(run->start) < end && run->nr <= end - pfn_x(run->start);
}

/*
 * The layout of the boot region (ABI: 'Start of day'). Everything later is placed by these fields:
 * a wrong one means that memory in use is given away.
 */
TEST(boot, boot_info, "start of day's structures lie in order inside the boot region",
     .phase = TEST_EARLY)
{
	const struct boot_info *bi = boot_info();

	CHECK(pfn_x(bi->region_end) <= bi->nr_pages);
	CHECK_EQ(pfn_x(bi->region_end) % (BOOT_REGION_ALIGN / PAGE_SIZE), 0);
	CHECK(run_in_region(&bi->image) && run_in_region(&bi->tables));
	CHECK(run_in_region(&bi->mfn_list));
	CHECK_EQ(pfn_x(bi->image.start), IMAGE_PADDR / PAGE_SIZE);
	CHECK(pfn_x(bi->mfn_list.start) >= pfn_x(bi->image.start) + bi->image.nr);
	CHECK(pfn_x(bi->start_info) >= pfn_x(bi->mfn_list.start) + bi->mfn_list.nr);
	CHECK(pfn_x(bi->tables.start) > pfn_x(bi->start_info));
	CHECK_EQ(pfn_x(bi->stack_end), pfn_x(bi->tables.start) + bi->tables.nr + 1);
	/* Builders leave at least this much behind the stack, mapped and free. */
	CHECK((pfn_x(bi->region_end) - pfn_x(bi->stack_end)) * PAGE_SIZE >= BOOT_REGION_PAD);
	CHECK(bi->ram_pages <= bi->nr_pages && bi->ram_pages >= start_info_need_pages(bi));
	CHECK_EQ(bi->initdomain, (bi->flags & SIF_INITDOMAIN) != 0);
}

/* As domU the rings are there; as dom0 start_info's union holds something else and must be left alone. */
TEST(boot, boot_rings, "a domU's rings are frames of the boot region, a dom0 has none",
     .phase = TEST_EARLY)
{
	const struct boot_info *bi = boot_info();
	uint64_t console = pfn_x(bi->console.pfn), store = pfn_x(bi->store.pfn);

	if (bi->initdomain) {
		CHECK(console == INVALID_PFN_X && store == INVALID_PFN_X);
		return;
	}
	CHECK(console < pfn_x(bi->region_end) && console > pfn_x(bi->start_info));
	CHECK(store < pfn_x(bi->region_end) && store > pfn_x(bi->start_info));
	CHECK(console != store && bi->console.port != bi->store.port);
	CHECK(console < pfn_x(bi->tables.start) && store < pfn_x(bi->tables.start));
}

/* No two PFNs share a frame, or what is written through one changes the other. Checked over what
 * the boot region maps: each page can tell whether it is itself. */
TEST(boot, boot_mfn_list, "Xen's mfn_list names each frame of the boot region once",
     .phase = TEST_EARLY)
{
	const struct boot_info *bi = boot_info();
	uint64_t pfn, other, mfn, end = pfn_x(bi->region_end);

	for (pfn = 0; pfn < end; pfn++) {
		mfn = mfn_x(boot_mfn(bi, _pfn(pfn)));
		if (!CHECK(mfn != 0 && mfn != INVALID_MFN_X))
			return;
		for (other = 0; other < pfn; other++)
			REQUIRE(mfn_x(boot_mfn(bi, _pfn(other))) != mfn);
	}
	CHECK_EQ(mfn_x(boot_mfn(bi, _pfn(bi->nr_pages))), INVALID_MFN_X);
}

/* Start-of-day tables are mapped read-only: they are live, and Xen lets nobody write to one. L2 and
 * above fault for any domain; writes to an L1 are emulated for a dom0. */
TEST(boot, boot_tables_read_only, "a store to the live L4 faults, a load does not",
     .phase = TEST_EARLY)
{
	uint64_t *l4 = boot_va(boot_info()->l4), entry = 0;

	CHECK_EQ(probe_load64(&l4[SLOT_IMAGE], &entry), 0);
	CHECK(entry & 1);
	CHECK_EQ(probe_store64(&l4[SLOT_IMAGE], entry), EXINFO_PF(PF_PRESENT | PF_WRITE));
}

/* Sorted, disjoint, not empty: p2m identity ranges are made from the gaps. */
TEST(boot, boot_memory_map, "the memory map has RAM, in ascending disjoint ranges",
     .phase = TEST_EARLY)
{
	const struct memory_map *map = &boot_info()->map;
	unsigned int i;

	CHECK(memory_map_ram_pages(map) > 0);
	for (i = 0; i < map->nr; i++) {
		CHECK(pfn_x(map->range[i].start) < pfn_x(map->range[i].end));
		if (i > 0)
			CHECK(pfn_x(map->range[i - 1].end) <= pfn_x(map->range[i].start));
	}
}

/* The page below the stack is not there: an overflow must not run into somebody's data. */
TEST(boot, stack_guard, "the page under the kernel's stack faults", .phase = TEST_EARLY)
{
	uint64_t word = 0;

	CHECK_EQ(probe_load64(boot_stack_guard + PAGE_SIZE - 8, &word), EXINFO_PF(0));
	CHECK_EQ(probe_load64(boot_stack, &word), 0);
	CHECK_EQ(probe_store64(boot_stack_guard + PAGE_SIZE - 8, 0), EXINFO_PF(PF_WRITE));
}

/* Nothing is mapped below VIRT_BASE, page 0 among it: a NULL pointer of the kernel is found. */
TEST(boot, null_page, "address 0 faults for loads, stores and calls")
{
	uint64_t word = 0;

	CHECK_EQ(probe_load64(NULL, &word), EXINFO_PF(0));
	CHECK_EQ(probe_store64(NULL, 0), EXINFO_PF(PF_WRITE));
	CHECK_EQ(probe_call(NULL) >> 32, EXINFO_PF(0) >> 32);
}

/* What a PV guest may count on (public/features.h): a writable-page-table or auto-translated
 * domain would break the rules that all of mm/ is built on. */
TEST(boot, features, "Xen offers PV's features, and not those of an auto-translated guest")
{
	CHECK(feature(XENFEAT_mmu_pt_update_preserve_ad));
	CHECK(!feature(XENFEAT_auto_translated_physmap));
	CHECK(!feature(XENFEAT_writable_page_tables));
	CHECK(!feature(100000));
}

/* A start_info that passes, made from what this boot has found. */
static struct start_info good_start_info(struct boot_region *region)
{
	const struct boot_info *bi = boot_info();
	struct start_info si = {
		.magic = "xen-3.0-x86_64",
		.nr_pages = bi->nr_pages,
		.shared_info = maddr_x(bi->shared_info),
		.flags = bi->flags & ~(uint32_t)SIF_MOD_START_PFN,
		.pt_base = (uint64_t)boot_va(bi->tables.start),
		.nr_pt_frames = bi->tables.nr,
		.mfn_list = (uint64_t)boot_va(bi->mfn_list.start),
	};

	region->end = (uint64_t)boot_va(bi->region_end);
	region->image_end = (uint64_t)__image_end;
	return si;
}

static void expect_refusal(const struct start_info *si, const char *field)
{
	static unsigned char untouched[sizeof(struct boot_info)];
	static struct boot_info result;
	struct boot_region region;
	char why[160] = "";

	good_start_info(&region);
	memset(untouched, 0x5a, sizeof(untouched));
	memcpy(&result, untouched, sizeof(result));
	if (start_info_check(&result, si, (uint64_t)boot_va(boot_info()->start_info), &region, why,
			     sizeof(why)) != -EINVAL)
		test_fail(__FILE__, __LINE__, "bad %s accepted", field);
	if (memcmp((const unsigned char *)&result, untouched, sizeof(result)) != 0)
		test_fail(__FILE__, __LINE__, "bad %s: result changed", field);
	/* The sentence must name the field that is wrong. */
	if (!glob_match(field, why))
		test_fail(__FILE__, __LINE__, "'%s' does not match '%s'", why, field);
}

/* The same checks that the boot goes through, each made to fail alone. */
TEST(boot, start_info_bad, "each bad field of start_info is refused by name", .phase = TEST_EARLY)
{
	static struct boot_info result;
	struct boot_region region;
	struct start_info si, good = good_start_info(&region);
	uint64_t va = (uint64_t)boot_va(boot_info()->start_info);
	char why[160];

#define BAD(field, value, pattern)            \
	do {                                  \
		si = good;                    \
		si.field = (value);           \
		expect_refusal(&si, pattern); \
	} while (0)

	CHECK_EQ(start_info_check(&result, &good, va, &region, why, sizeof(why)), 0);
	CHECK_EQ(result.nr_pages, good.nr_pages);

	BAD(magic[0], 'y', "*magic is 'yen-3.0-x86_64'*");
	BAD(magic[14], 'q', "*magic*");
	BAD(magic[0], '\0', "*magic is ''*");
	si = good;
	memset(si.magic, 'x', sizeof(si.magic));
	expect_refusal(&si, "*magic*");
	BAD(nr_pages, 0, "*nr_pages is 0*");
	BAD(nr_pages, (UINT64_C(1) << 27) + 1, "*nr_pages*");
	BAD(nr_pages, UINT64_MAX, "*nr_pages*");
	BAD(nr_pages, pfn_x(boot_info()->region_end) - 1, "*nr_pages*mapped*");
	BAD(flags, SIF_INITDOMAIN, "*flags*");
	BAD(shared_info, 0, "*shared_info*");
	BAD(shared_info, good.shared_info + 8, "*shared_info*");
	BAD(shared_info, UINT64_C(1) << 52, "*shared_info*");
	BAD(pt_base, 0, "*pt_base*");
	BAD(pt_base, good.pt_base + 8, "*pt_base*");
	BAD(pt_base, IMAGE_BASE, "*pt_base*");
	BAD(pt_base, region.end, "*nr_pt_frames*");
	BAD(pt_base, region.end + PAGE_SIZE, "*pt_base*");
	BAD(nr_pt_frames, 3, "*nr_pt_frames*");
	BAD(nr_pt_frames, UINT64_MAX, "*nr_pt_frames*");
	BAD(nr_pt_frames, (region.end - good.pt_base) / PAGE_SIZE, "*nr_pt_frames*");
	BAD(mfn_list, 0, "*mfn_list*");
	BAD(mfn_list, region.end - PAGE_SIZE, "*mfn_list*");
	BAD(mfn_list, UINT64_MAX - 7, "*mfn_list*");
#undef BAD
	/* A module needs both fields. */
	si = good;
	si.mod_len = UINT64_MAX;
	si.mod_start = VIRT_BASE;
	expect_refusal(&si, "*module*outside the boot region");
	si.flags |= SIF_MOD_START_PFN;
	si.mod_start = 1;
	expect_refusal(&si, "*module*outside RAM");
	si.mod_len = PAGE_SIZE + 1;
	si.mod_start = si.nr_pages - 1;
	expect_refusal(&si, "*module*outside RAM");

	/* The edges that are still right. */
	si = good;
	si.magic[14] = 'p';
	CHECK_EQ(start_info_check(&result, &si, va, &region, why, sizeof(why)), 0);
	si.mod_len = 1;
	si.mod_start = si.nr_pages - 1;
	si.flags |= SIF_MOD_START_PFN;
	CHECK_EQ(start_info_check(&result, &si, va, &region, why, sizeof(why)), 0);
	CHECK_EQ(result.module.nr, 1);
}

/* MFNs in start_info are claims: one that is not ours is looked for in vain, whatever it is. */
TEST(boot, start_info_rings_bad, "a ring's MFN that is not in the mfn_list gives no ring",
     .phase = TEST_EARLY)
{
	static const uint64_t wild[] = { 0, 1, UINT64_C(1) << 40, UINT64_MAX };
	static struct boot_info bi;
	struct start_info si = { .magic = "" };
	size_t i;

	bi = *boot_info();
	bi.initdomain = false;
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		si.console.domU.mfn = si.store_mfn = wild[i];
		start_info_rings(&bi, &si, boot_va(bi.mfn_list.start));
		CHECK_EQ(pfn_x(bi.console.pfn), INVALID_PFN_X);
		CHECK_EQ(pfn_x(bi.store.pfn), INVALID_PFN_X);
	}
	/* The first and the last frame of the region are found. */
	si.console.domU.mfn = mfn_x(boot_mfn(&bi, _pfn(0)));
	si.store_mfn = mfn_x(boot_mfn(&bi, _pfn(pfn_x(bi.region_end) - 1)));
	start_info_rings(&bi, &si, boot_va(bi.mfn_list.start));
	CHECK_EQ(pfn_x(bi.console.pfn), 0);
	CHECK_EQ(pfn_x(bi.store.pfn), pfn_x(bi.region_end) - 1);
}
