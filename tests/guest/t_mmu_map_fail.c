/* SPDX-License-Identifier: MIT */
/*
 * mmu_map when something fails, and the backends that it takes frames from. Seed: there was no way
 * for an allocation to fail, and nothing was ever given back.
 */
#include <pinion/mm/audit.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include "batch.h"
#include "mmu_map_kit.h"
#include "suite.h"

/* Nothing is left of a hold of KIT_VA that failed, and the same call works once it may. */
static void check_undone(uint64_t left)
{
	CHECK(kit_shows_nothing(A));
	CHECK_EQ(pool.in, left);
	CHECK_EQ(pool.gave, pool.took);
	CHECK_EQ(kit_as.holds, 0);
	CHECK_EQ(mmu_batch_depth(), 0);
	CHECK_EQ(table_read(kit_as.l4, va_index(KIT_VA, 4)), 0);
	CHECK_EQ(frame_at(kit_as.l4)->live, frame_at(kernel_aspace.l4)->live);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), -EINVAL);
}

static void check_works(void)
{
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK(kit_shows(A, 1));
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
}

TEST(mmu_map, map_alloc_fails, "out of memory at the first, second or third table: all as before")
{
	uint64_t calls;
	unsigned int i;

	REQUIRE(kit_start(&pool_backend));
	for (i = 0; i < 3; i++) {
		pool.left = i;
		calls = mmu_batch_calls();
		CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), -ENOMEM);
		CHECK_EQ(mmu_batch_calls(), calls);
		check_undone(POOL_FRAMES);
		pool.left = 3;
		check_works();
	}
	kit_end();
}

/* Another mapping of a frame, writable, that nothing but Xen knows of when the frame is to become a table. */
TEST(mmu_map, map_xen_refuses, "Xen refuses the first, second or third table: all as before",
     .together = true)
{
	struct aspace_range alias = { KIT_VA + 2 * L4_SPAN, 1, NULL };
	struct mmu_batch_error error;
	unsigned int i, j;
	uint64_t calls;

	REQUIRE(kit_start(&pool_backend));
	for (i = 0; i < 3; i++) {
		CHECK_EQ(aspace_map(&kit_as, &alias, &pool.frame[POOL_FRAMES - 1 - i], ASPACE_RW),
			 0);
		calls = mmu_batch_calls();
		CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), -EINVAL);
		/* One call of four entries, the link refused, three to undo, and a flush. */
		CHECK_EQ(mmu_batch_calls() - calls, 2);
		error = mmu_batch_error();
		CHECK_EQ(error.undone, 3);
		CHECK_EQ(error.stuck, 0);
		CHECK_EQ(error.index, 3);
		/* frames are back, writable and plain */
		for (j = 0; j < POOL_FRAMES; j++) {
			CHECK_EQ(frame_at(pool.frame[j])->kind, FRAME_DATA);
			CHECK_EQ(frame_at(pool.frame[j])->flags, FRAME_PLAIN);
			*(volatile uint64_t *)direct_va(pool.frame[j]) = j;
		}
		CHECK_EQ(aspace_unmap(&kit_as, &alias), 0);
		check_undone(POOL_FRAMES);
		check_works();
	}
	kit_end();
}

/* What a backend gives is made a page table: what is one already, or is read-only, or is not where it says, can't. */
static void *bad_va, *bad_shown;
static pfn_t bad_pfn;
static unsigned int bad_taken_back;

static void *bad_alloc(size_t size)
{
	return size == PAGE_SIZE ? bad_va : NULL;
}

static void bad_free(void *va)
{
	bad_taken_back += va == bad_va;
}

static void *bad_ptov(pfn_t pfn)
{
	return pfn_eq(pfn, bad_pfn) ? bad_shown : NULL;
}

static pfn_t bad_vtop(const void *va)
{
	return va == bad_va ? bad_pfn : INVALID_PFN;
}

static const struct mmu_map_mbackend bad_backend = { bad_alloc, bad_free, bad_ptov, bad_vtop };

static void check_bad(mmu_map_t map, void *va, pfn_t pfn)
{
	bad_va = bad_shown = va;
	bad_pfn = pfn;
	bad_taken_back = 0;
	CHECK_EQ(mmu_map_hold_va(&kit_as, map, KIT_VA), -EINVAL);
	CHECK_EQ(bad_taken_back, 1);
	CHECK_EQ(kit_as.holds, 0);
	CHECK_EQ(table_read(kit_as.l4, va_index(KIT_VA, 4)), 0);
}

TEST(mmu_map, map_bad_frames, "frames that are not plain memory of ours are refused and given back")
{
	map_room room = { 0 };
	mmu_map_t map = (mmu_map_t)room;
	uint64_t quarantined = mmu_batch_counters().quarantined;
	pfn_t data, other;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &other) == 0);
	CHECK_EQ(mmu_map_t_init(map, &bad_backend), 0);
	check_bad(map, table_entries(kit_as.l4), kit_as.l4); /* a table */
	check_bad(map, direct_va(boot_va_pfn(__text_start)), boot_va_pfn(__text_start));
	check_bad(map, direct_va(direct_map_end()), direct_map_end()); /* no RAM */
	check_bad(map, &room, INVALID_PFN);
	check_bad(map, direct_va(_pfn(0xf8)), _pfn(0xf8)); /* a hole, as dom0 */
	CHECK_EQ(mmu_batch_counters().quarantined, quarantined);
	/* And a good one, after all that. */
	bad_va = bad_shown = direct_va(data);
	bad_pfn = data;
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA + L2_SPAN), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, map, KIT_VA), 0);
	CHECK(mmu_map_pt(map) == direct_va(data));
	CHECK_EQ(mmu_map_release_va(&kit_as, map, KIT_VA), 0);
	/* ptov says another place than alloc did. */
	bad_shown = direct_va(other);
	CHECK_EQ(mmu_map_hold_va(&kit_as, map, KIT_VA), -EINVAL);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA + L2_SPAN), 0);
	CHECK_EQ(mmu_map_t_fini(map), 0);
	frame_free(data, 0);
	frame_free(other, 0);
	kit_end();
}

/* The same page twice: the second time it is a table already. */
TEST(mmu_map, map_frame_twice, "a backend that gives one frame twice is caught at the second")
{
	map_room room = { 0 };
	mmu_map_t map = (mmu_map_t)room;
	pfn_t data;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	CHECK_EQ(mmu_map_t_init(map, &bad_backend), 0);
	bad_va = bad_shown = direct_va(data);
	bad_pfn = data;
	bad_taken_back = 0;
	CHECK_EQ(mmu_map_hold_va(&kit_as, map, KIT_VA), -EINVAL);
	CHECK_EQ(bad_taken_back, 2);
	CHECK_EQ(frame_at(data)->kind, FRAME_DATA);
	CHECK_EQ(mmu_map_t_fini(map), 0);
	frame_free(data, 0);
	kit_end();
}

/* A different function makes a different backend. */
#define OTHER_BACKEND(n)                                       \
	static void *alloc_##n(size_t size)                    \
	{                                                      \
		return size > (n) ? NULL : direct_va(_pfn(n)); \
	}
OTHER_BACKEND(0)
OTHER_BACKEND(1)
OTHER_BACKEND(2)
OTHER_BACKEND(3)
OTHER_BACKEND(4)
OTHER_BACKEND(5)
OTHER_BACKEND(6)
OTHER_BACKEND(7)

TEST(mmu_map, map_backends,
     "as many backends as there may be, one more is refused, ended ones make room")
{
	static void *(*const allocs[MMU_MAP_BACKENDS])(size_t) = { alloc_0, alloc_1, alloc_2,
								   alloc_3, alloc_4, alloc_5,
								   alloc_6, alloc_7 };
	static map_room rooms[MMU_MAP_BACKENDS];
	struct mmu_map_mbackend backend = pool_no_free;
	map_room frames = { 0 }, again = { 0 };
	unsigned int i;

	backend.alloc = NULL;
	CHECK_EQ(mmu_map_t_init((mmu_map_t)again, &backend), -EINVAL);
	CHECK_EQ(mmu_map_t_init((mmu_map_t)again, NULL), -EINVAL);
	backend = pool_no_free;
	backend.ptov = NULL;
	CHECK_EQ(mmu_map_t_init((mmu_map_t)again, &backend), -EINVAL);
	backend = pool_no_free;
	backend.vtop = NULL;
	CHECK_EQ(mmu_map_t_init((mmu_map_t)again, &backend), -EINVAL);
	backend = pool_no_free;
	/* The frame allocator's own number is none of those that are handed out. */
	for (i = 0; i < MMU_MAP_BACKENDS - 1; i++) {
		backend.alloc = allocs[i];
		CHECK_EQ(mmu_map_t_init((mmu_map_t)rooms[i], &backend), 0);
	}
	backend.alloc = allocs[i];
	CHECK_EQ(mmu_map_t_init((mmu_map_t)rooms[i], &backend), -ENOSPC);
	CHECK_EQ(mmu_map_t_init((mmu_map_t)frames, &mmu_map_frames), 0);
	backend.alloc = allocs[0];
	CHECK_EQ(mmu_map_t_init((mmu_map_t)again, &backend), 0);
	CHECK_EQ(mmu_map_t_fini((mmu_map_t)rooms[0]), 0);
	backend.alloc = allocs[i];
	CHECK_EQ(mmu_map_t_init((mmu_map_t)rooms[i], &backend), -ENOSPC);
	CHECK_EQ(mmu_map_t_fini((mmu_map_t)again), 0);
	CHECK_EQ(mmu_map_t_init((mmu_map_t)rooms[i], &backend), 0);
	for (i = 1; i < MMU_MAP_BACKENDS; i++)
		CHECK_EQ(mmu_map_t_fini((mmu_map_t)rooms[i]), 0);
	CHECK_EQ(mmu_map_t_fini((mmu_map_t)frames), 0);
}

/* A table can outlive the map that made it; whoever ends it must still know where its frame came from. */
TEST(mmu_map, map_outlived,
     "tables that outlive their map go back to its backend, which stays known till then")
{
	struct aspace_range r = { KIT_VA, 1, NULL };
	pfn_t data;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(aspace_map(&kit_as, &r, &data, ASPACE_RW), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_t_fini(A), 0);
	CHECK_EQ(mmu_map_t_fini(B), 0);
	CHECK_EQ(pool.took, 0);
	CHECK_EQ(mmu_map_t_init(A, &mmu_map_frames), 0);
	CHECK_EQ(mmu_map_t_init(B, &pool_no_free), 0);
	CHECK_EQ(aspace_unmap(&kit_as, &r), 0);
	CHECK_EQ(pool.took, 3);
	frame_free(data, 0);
	kit_end();
}

/* The frame allocator as a backend: its frames are the only ones, and come back to it. */
TEST(mmu_map, map_frames, "the frame allocator is a backend like any other")
{
	uint64_t frames;

	REQUIRE(kit_start(&mmu_map_frames));
	frames = frame_alloc_free() + frame_alloc_reserve();
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(frame_alloc_free() + frame_alloc_reserve(), frames - 3);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(frame_alloc_free() + frame_alloc_reserve(), frames);
	kit_end();
}

TEST(mmu_map, map_no_free,
     "without free tables stay, linked and empty, and failures take no memory for good")
{
	struct aspace_range r = { KIT_VA, 1, NULL };
	uint64_t calls;
	unsigned int i;
	pfn_t data;

	REQUIRE(kit_start(&pool_no_free));
	REQUIRE(frame_alloc(0, OWNER_TEST, &data) == 0);
	/* What a failed hold was given is what the next one takes first. */
	for (i = 0; i < 3; i++) {
		pool.left = i;
		CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), i < 2 ? -ENOMEM : 0);
	}
	CHECK_EQ(pool.gave, 3);
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 1);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_batch_calls(), calls);
	/* Unmapping all that such a table maps leaves it as well. */
	CHECK_EQ(aspace_map(&kit_as, &r, &data, ASPACE_RW), 0);
	CHECK_EQ(aspace_unmap(&kit_as, &r), 0);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, A, KIT_VA), 1);
	CHECK_EQ(frame_at(direct_va_pfn(mmu_map_pt(A)))->live, 0);
	CHECK_EQ(pool.gave, 3);
	frame_free(data, 0);
	CHECK_EQ(mmu_map_t_fini(A), 0);
	CHECK_EQ(mmu_map_t_fini(B), 0);
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&kit_as), 0);
	pool_take_all_back();
	pool_end();
}

/* Tables of such an address space are as Xen left them: nobody touches them any more, but a holder must be able to go. */
TEST(mmu_map, map_broken,
     "in a broken address space nothing is held any more, and what is can be given up")
{
	struct aspace broken;
	uint64_t calls;

	REQUIRE(kit_start(&pool_backend));
	REQUIRE(aspace_create(&broken) == 0);
	CHECK_EQ(aspace_activate(&broken), 0);
	CHECK_EQ(mmu_map_hold_va(&broken, A, KIT_VA), 0);
	CHECK_EQ(aspace_activate(&kit_as), 0);
	broken.broken = true;
	calls = mmu_batch_calls();
	CHECK_EQ(mmu_map_hold_va(&broken, B, KIT_VA), -EIO);
	CHECK_EQ(aspace_destroy(&broken), -EBUSY);
	CHECK_EQ(mmu_map_release_va(&broken, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_inspect_va(&broken, A, KIT_VA), 1);
	CHECK_EQ(mmu_batch_calls(), calls);
	CHECK_EQ(aspace_destroy(&broken), 0);
	CHECK_EQ(pool.took, 3);
	kit_end();
}

/*
 * In good order Xen never refuses an undo. So in sync mode, behind the batch's back, the L1 gets an alias that can be written
 * while it is plain memory, and can't be a table again. All three tables are unlinked then; none may be lost.
 */
TEST(mmu_map, map_stuck,
     "a release that Xen won't undo leaves all three tables in quarantine, and the holder free to "
     "go",
     .together = true)
{
	uint64_t quarantined = mmu_batch_counters().quarantined;
	pfn_t l1, other;

	REQUIRE(kit_start(&pool_backend));
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, B, KIT_VA + L4_SPAN), 0);
	l1 = direct_va_pfn(mmu_map_pt(A));
	other = direct_va_pfn(mmu_map_pt(B));
	mmu_batch_set_sync(true);
	mmu_batch_begin();
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(batch_raw_set(other, 5, batch_leaf(l1, USER_RW)), 0);
	CHECK_EQ(mmu_batch_end(-ENOENT), -EIO);
	mmu_batch_set_sync(false);
	CHECK(kit_as.broken);
	CHECK_EQ(kit_as.holds, 2);
	CHECK_EQ(mmu_map_t_fini(A), -EBUSY);
	CHECK_EQ(mmu_batch_counters().quarantined - quarantined, 3);
	CHECK_EQ(frame_at(l1)->owner, OWNER_QUARANTINE);
	CHECK_EQ(batch_raw_set(other, 5, 0), 0);
	CHECK_EQ(mmu_batch_retry_quarantine(), 3);
	CHECK_EQ(pool.took, 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, B, KIT_VA + L4_SPAN), 0);
	CHECK_EQ(mmu_batch_retry_quarantine(), 0);
	CHECK_EQ(pool.took, 3);
	CHECK_EQ(frame_at(l1)->owner, OWNER_MAP);
	kit_end();
}

TEST(mmu_map, map_stuck_hold,
     "a hold that Xen won't undo leaves no hold, and a table in quarantine", .together = true)
{
	pfn_t l1;

	REQUIRE(kit_start(&pool_backend));
	mmu_batch_set_sync(true);
	mmu_batch_begin();
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	l1 = direct_va_pfn(mmu_map_pt(A));
	CHECK_EQ(batch_raw_ext(MMUEXT_PIN_L1_TABLE, l1), 0);
	CHECK_EQ(mmu_batch_end(-ENOENT), -EIO);
	mmu_batch_set_sync(false);
	CHECK(kit_as.broken);
	CHECK_EQ(kit_as.holds, 0);
	CHECK_EQ(frame_at(l1)->holds, 0);
	CHECK_EQ(frame_at(l1)->owner, OWNER_QUARANTINE);
	CHECK(kit_shows_nothing(A));
	CHECK_EQ(pool.took, 2);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), -EINVAL);
	CHECK_EQ(batch_raw_ext(MMUEXT_UNPIN_TABLE, l1), 0);
	CHECK_EQ(mmu_batch_retry_quarantine(), 0);
	kit_end();
}

/* A pin that the batch does not know of keeps the L1 a table: it can't be made writable. */
TEST(mmu_map, map_release_refused, "a release that Xen refuses leaves all as it was, the hold too")
{
	uint64_t l4e;
	pfn_t l1;

	REQUIRE(kit_start(&pool_backend));
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	l1 = direct_va_pfn(mmu_map_pt(A));
	l4e = table_read(kit_as.l4, va_index(KIT_VA, 4));
	CHECK_EQ(batch_raw_ext(MMUEXT_PIN_L1_TABLE, l1), 0);
	CHECK(mmu_map_release_va(&kit_as, A, KIT_VA) < 0);
	CHECK_EQ(mmu_batch_error().undone, 3);
	CHECK_EQ(mmu_batch_error().stuck, 0);
	CHECK_EQ(table_read(kit_as.l4, va_index(KIT_VA, 4)), l4e);
	CHECK_EQ(mmu_map_inspect_va(&kit_as, B, KIT_VA), 1);
	CHECK_EQ(frame_at(l1)->holds, 1);
	CHECK_EQ(kit_as.holds, 1);
	CHECK_EQ(pool.took, 0);
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), -EBUSY);
	CHECK_EQ(batch_raw_ext(MMUEXT_UNPIN_TABLE, l1), 0);
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	CHECK_EQ(pool.took, 3);
	kit_end();
}

/* A count that is wrong would keep a table for ever, or free one that is held. */
TEST(mmu_map, map_audited,
     "the audit finds a hold too many or too few, of a table or an address space")
{
	struct audit_report report;
	struct frame *l2;

	REQUIRE(kit_start(&pool_backend));
	CHECK_EQ(mmu_map_hold_va(&kit_as, A, KIT_VA), 0);
	l2 = frame_at(direct_va_pfn(mmu_map_pdt(A)));
	CHECK_EQ(mm_audit(boot_info(), &report), 0);
	l2->holds++;
	CHECK_EQ(mm_audit(boot_info(), &report), 1);
	CHECK_EQ(report.first[0].fact, AUDIT_HOLDS);
	CHECK_EQ(report.first[0].expected, 1);
	CHECK_EQ(report.first[0].found, 2);
	l2->holds--;
	kit_as.holds--;
	CHECK_EQ(mm_audit(boot_info(), &report), 3);
	kit_as.holds++;
	CHECK_EQ(mmu_map_release_va(&kit_as, A, KIT_VA), 0);
	kit_end();
}
