/* SPDX-License-Identifier: MIT */
/* The frame table and the allocator on it. */
#include <pinion/arch/pte.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/p2m.h>
#include "suite.h"

/* What the table says of tables must be what the tables say: counts are what release is decided by. */
TEST(frames, frame_table_tables, "live tables are known by level, entries and parents")
{
	const struct frame *l4 = frame_at(kernel_l4()), *l3, *l1;
	struct frame_run direct = direct_map_tables();
	uint64_t pfn, ram = 0;
	unsigned int i;

	REQUIRE(l4 != NULL);
	CHECK(l4->kind == FRAME_TABLE && l4->level == 4 && (l4->flags & FRAME_PINNED));
	CHECK_EQ(l4->live, 3);
	CHECK_EQ(l4->parents, 0);
	l3 = frame_at(direct.start);
	REQUIRE(l3 != NULL);
	CHECK(l3->kind == FRAME_TABLE && l3->level == 3 && l3->owner == OWNER_DIRECT_MAP);
	CHECK_EQ(l3->parents, 1);
	/* The first L1 of the direct map: as many entries as there are frames of RAM under it. */
	l1 = frame_at(pfn_add(direct.start, 2));
	REQUIRE(l1 != NULL);
	for (pfn = 0; pfn < TABLE_ENTRIES; pfn++)
		ram += pfn < pfn_x(direct_map_end()) && p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM;
	CHECK(l1->kind == FRAME_TABLE && l1->level == 1);
	CHECK_EQ(l1->live, ram);
	for (i = 0; i < direct.nr; i++)
		REQUIRE(frame_at(pfn_add(direct.start, i))->kind == FRAME_TABLE);
}

TEST(frames, frame_table_owners, "every frame of RAM has an owner, and nothing else has an entry")
{
	const struct boot_info *bi = boot_info();
	const struct frame *frame;
	uint64_t pfn, end = pfn_x(direct_map_end());

	for (pfn = 0; pfn < end; pfn++) {
		frame = frame_at(_pfn(pfn));
		REQUIRE((frame != NULL) == (p2m_kind(&kernel_p2m, _pfn(pfn)) == P2M_RAM));
		if (frame && frame->kind != FRAME_FREE)
			REQUIRE(frame->owner != OWNER_NONE);
	}
	CHECK(frame_at(_pfn(end)) == NULL && frame_at(INVALID_PFN) == NULL);
	CHECK_EQ(frame_at(bi->image.start)->owner, OWNER_IMAGE);
	CHECK_EQ(frame_at(bi->mfn_list.start)->owner, OWNER_BOOT);
	if (!bi->initdomain)
		CHECK_EQ(frame_at(bi->console.pfn)->owner, OWNER_RING);
}

/* 0.4 % for the table, 0.2 % for the direct map's tables: 1.1 % is the bound for all. */
TEST(frames, memory_budget, "P2M, frame table and page tables take less than 1.1 % of RAM",
     .needs = "mem>=64M")
{
	uint64_t pages = kernel_p2m.pages + kernel_p2m.list_pages + frame_table_pages() +
			 direct_map_tables().nr + kernel_map_tables().nr;

	test_note("%lu pages of %lu, %lu per 10000", pages, boot_info()->nr_pages,
		  pages * 10000 / boot_info()->nr_pages);
	CHECK(pages * 1000 < boot_info()->nr_pages * 11);
}

/* Frames that hold their own number while they are out: one given twice shows. */
static void stamp(pfn_t pfn, uint64_t value)
{
	*(uint64_t *)direct_va(pfn) = value;
}

static uint64_t stamped(pfn_t pfn)
{
	return *(const uint64_t *)direct_va(pfn);
}

static bool audit(void)
{
	pfn_t where;
	const char *wrong = frame_alloc_audit(&where);

	if (wrong)
		test_fail(__FILE__, __LINE__, "pfn %#lx: %s", pfn_x(where), wrong);
	return wrong == NULL;
}

/* To the last frame and back: a list of all, linked through the frames themselves. */
TEST(frames, frame_alloc_exhaust, "every free frame can be had, then -ENOMEM, then all come back")
{
	uint64_t free = frame_alloc_free(), got = 0;
	pfn_t pfn, last = INVALID_PFN;
	int rc;

	while ((rc = frame_alloc(0, OWNER_TEST, &pfn)) == 0) {
		stamp(pfn, pfn_x(last));
		last = pfn;
		got++;
	}
	CHECK_EQ(rc, -ENOMEM);
	CHECK_EQ(got, free);
	CHECK_EQ(frame_alloc_free(), 0);
	CHECK_EQ(frame_alloc(3, OWNER_TEST, &pfn), -ENOMEM);
	CHECK_EQ(frame_alloc_reserve(), FRAME_RESERVE);
	audit();
	while (!pfn_eq(last, INVALID_PFN)) {
		pfn = last;
		last = _pfn(stamped(pfn));
		frame_free(pfn, 0);
		got--;
	}
	CHECK_EQ(got, 0);
	CHECK_EQ(frame_alloc_free(), free);
	audit();
}

/* The reserve gives when there is nothing else, and is the first to be filled again. */
TEST(frames, frame_reserve, "the reserve gives its frames last and gets them back first")
{
	pfn_t held[FRAME_RESERVE], pfn, last = INVALID_PFN;
	unsigned int i;

	while (frame_alloc(0, OWNER_TEST, &pfn) == 0) {
		stamp(pfn, pfn_x(last));
		last = pfn;
	}
	for (i = 0; i < FRAME_RESERVE; i++)
		CHECK_EQ(frame_alloc_reserved(OWNER_TEST, &held[i]), 0);
	CHECK_EQ(frame_alloc_reserved(OWNER_TEST, &pfn), -ENOMEM);
	CHECK_EQ(frame_alloc_reserve(), 0);
	for (i = 0; i < FRAME_RESERVE; i++) {
		CHECK_EQ(frame_alloc_free(), 0);
		frame_free(held[i], 0);
	}
	CHECK_EQ(frame_alloc_reserve(), FRAME_RESERVE);
	CHECK_EQ(frame_alloc_free(), 0);
	while (!pfn_eq(last, INVALID_PFN)) {
		pfn = last;
		last = _pfn(stamped(pfn));
		frame_free(pfn, 0);
	}
	audit();
}

/* What is not out can't come back: the second owner of a frame would find out much later. */
TEST(frames, frame_free_wrong, "double, misaligned and foreign frees are caught")
{
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(2, OWNER_TEST, &pfn) == 0);
	CHECK_EQ(pfn_x(pfn) & 3, 0);
	CHECK_EQ(frame_at(pfn)->owner, OWNER_TEST);
	/* Two frames that may be freed, but no block. */
	CHECK(EXPECT_PANIC(frame_free(pfn_add(pfn, 1), 1)) != NULL);
	frame_free(pfn_add(pfn, 2), 1);
	frame_free(pfn, 1);
	CHECK(EXPECT_PANIC(frame_free(pfn, 1)) != NULL);
	CHECK(EXPECT_PANIC(frame_free(pfn_add(pfn, 1), 0)) != NULL);
	CHECK(EXPECT_PANIC(frame_free(kernel_l4(), 0)) != NULL);
	CHECK(EXPECT_PANIC(frame_free(direct_map_end(), 0)) != NULL);
	CHECK(EXPECT_PANIC(frame_free(_pfn(0), FRAME_ORDER_MAX + 1)) != NULL);
	CHECK_EQ(frame_alloc(FRAME_ORDER_MAX + 1, OWNER_TEST, &pfn), -EINVAL);
	audit();
}

#define BLOCKS 64

/* Random sizes in random order, each block stamped on both ends: overlap, loss and lists. */
TEST(frames, frame_alloc_random, "random blocks never overlap, and all come back joined")
{
	static struct {
		pfn_t pfn;
		unsigned int order;
		bool out;
	} block[BLOCKS];
	uint64_t ops = boot_info()->options.ops ? boot_info()->options.ops : 10000;
	uint64_t seed = boot_info()->options.seed, free = frame_alloc_free(), i;
	struct rng rng;
	unsigned int b;

	test_note("seed=%lu ops=%lu", seed, ops);
	rng_seed(&rng, seed);
	memset(block, 0, sizeof(block));
	for (i = 0; i < ops; i++) {
		b = (unsigned int)rng_below(&rng, BLOCKS);
		if (block[b].out) {
			pfn_t last = pfn_add(block[b].pfn, (UINT64_C(1) << block[b].order) - 1);

			REQUIRE(stamped(last) == b && stamped(block[b].pfn) == b);
			frame_free(block[b].pfn, block[b].order);
			block[b].out = false;
			continue;
		}
		block[b].order = (unsigned int)rng_below(&rng, 7);
		if (frame_alloc(block[b].order, OWNER_TEST, &block[b].pfn))
			continue;
		block[b].out = true;
		REQUIRE((pfn_x(block[b].pfn) & ((UINT64_C(1) << block[b].order) - 1)) == 0);
		stamp(block[b].pfn, b);
		stamp(pfn_add(block[b].pfn, (UINT64_C(1) << block[b].order) - 1), b);
		if (i % 500 == 0)
			REQUIRE(audit());
	}
	for (b = 0; b < BLOCKS; b++)
		if (block[b].out)
			frame_free(block[b].pfn, block[b].order);
	CHECK_EQ(frame_alloc_free(), free);
	audit();
}

/*
 * A write through a pointer that was kept is found when the frame goes out again: alone, in the middle of a block, in the
 * reserve. The panic comes before anything has changed, so that the word can be put right here.
 */
TEST(frames, frame_poison, "a write to a free frame is found, and where it was")
{
	bool was = frame_alloc_poison();
	pfn_t pfn = INVALID_PFN, again = INVALID_PFN;
	uint64_t *word, good, free;
	const char *message;
	char want[96];

	frame_alloc_set_poison(true);
	REQUIRE(frame_alloc(3, OWNER_TEST, &pfn) == 0);
	stamp(pfn, 1);
	frame_free(pfn, 3);
	word = (uint64_t *)direct_va(pfn_add(pfn, 5)) + 511;
	good = *word;
	CHECK_EQ(*(uint64_t *)direct_va(pfn_add(pfn, 5)), good);
	/* Of a frame with an odd number: taken for an entry it is not present, taken for an address it faults. */
	CHECK(!(good & PTE_P) && !va_canonical(good));
	CHECK(stamped(pfn) != 1 && stamped(pfn) != good);
	*word = 0x1234;
	free = frame_alloc_free();
	/* The lowest block of the smallest order that does: the same. */
	message = EXPECT_PANIC(CHECK_EQ(frame_alloc(3, OWNER_TEST, &again), 0));
	snprintf(want, sizeof(want),
		 "pfn %#lx was written at offset 0xff8 after it was freed: 0x1234", pfn_x(pfn) + 5);
	CHECK(message && strcmp(message, want) == 0);
	CHECK_EQ(frame_alloc_free(), free);
	audit();
	*word = good;
	REQUIRE(frame_alloc(3, OWNER_TEST, &again) == 0);
	CHECK_EQ(pfn_x(again), pfn_x(pfn));
	frame_free(again, 3);
	frame_alloc_set_poison(was);
}

/* Halves that were freed one after the other, and joined: each one's first frame has been the head of a block. */
TEST(frames, frame_poison_joined,
     "a write to a frame that was a block's head is found in what it was joined to")
{
	bool was = frame_alloc_poison();
	pfn_t pfn = INVALID_PFN;
	uint64_t good, i;

	frame_alloc_set_poison(true);
	REQUIRE(frame_alloc(3, OWNER_TEST, &pfn) == 0);
	for (i = 0; i < 8; i++)
		stamp(pfn_add(pfn, i), i);
	frame_free(pfn, 2);
	frame_free(pfn_add(pfn, 4), 1);
	frame_free(pfn_add(pfn, 6), 1);
	for (i = 0; i < 8; i++) {
		pfn_t again = INVALID_PFN, frame = pfn_add(pfn, i);

		good = stamped(frame);
		CHECK(good != i);
		stamp(frame, i);
		CHECK(EXPECT_PANIC(CHECK_EQ(frame_alloc(3, OWNER_TEST, &again), 0)) != NULL);
		stamp(frame, good);
	}
	frame_alloc_set_poison(was);
}

/* What was freed while it was off holds anything, and is nobody's fault. */
TEST(frames, frame_poison_switched, "frames freed without poison are not looked at when it is on")
{
	bool was = frame_alloc_poison();
	pfn_t pfn = INVALID_PFN, again = INVALID_PFN;

	frame_alloc_set_poison(false);
	REQUIRE(frame_alloc(2, OWNER_TEST, &pfn) == 0);
	stamp(pfn, 7);
	frame_free(pfn, 2);
	CHECK_EQ(stamped(pfn), 7);
	frame_alloc_set_poison(true);
	REQUIRE(frame_alloc(2, OWNER_TEST, &again) == 0);
	CHECK_EQ(pfn_x(again), pfn_x(pfn));
	frame_free(again, 2);
	CHECK(stamped(again) != 7);
	frame_alloc_set_poison(was);
}

/* Its frames are in no list, but as free as any. */
TEST(frames, frame_poison_reserve, "a write to a frame of the reserve is found")
{
	bool was = frame_alloc_poison();
	pfn_t pfn, held = INVALID_PFN, last = INVALID_PFN;
	uint64_t good;

	frame_alloc_set_poison(true);
	while (frame_alloc(0, OWNER_TEST, &pfn) == 0) {
		stamp(pfn, pfn_x(last));
		last = pfn;
	}
	CHECK_EQ(frame_alloc_reserved(OWNER_TEST, &held), 0);
	stamp(held, 77);
	frame_free(held, 0);
	good = stamped(held);
	CHECK(good != 77);
	stamp(held, 0);
	CHECK(EXPECT_PANIC(CHECK_EQ(frame_alloc_reserved(OWNER_TEST, &pfn), 0)) != NULL);
	CHECK_EQ(frame_alloc_reserve(), FRAME_RESERVE);
	stamp(held, good);
	CHECK_EQ(frame_alloc_reserved(OWNER_TEST, &pfn), 0);
	CHECK_EQ(pfn_x(pfn), pfn_x(held));
	frame_free(pfn, 0);
	while (!pfn_eq(last, INVALID_PFN)) {
		pfn = last;
		last = _pfn(stamped(pfn));
		frame_free(pfn, 0);
	}
	frame_alloc_set_poison(was);
}
