/* SPDX-License-Identifier: MIT */
/* ptdump as text: address spaces made by hand, the kernel's own, sums. Hostile tables and W^X: t_ptdump_walk.c. */
#include <pinion/arch/cpu.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/ptdump.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "suite.h"

#define MAX_LINES 192

/* Where a line has its rights. */
#define RIGHTS_AT 41

static char lines[MAX_LINES][PTDUMP_LINE];
static unsigned int nr_lines;

static int capture(void *ctx, const char *line)
{
	const char *end = ctx;

	if ((end && strcmp(line, end) == 0) || nr_lines == MAX_LINES)
		return 7;
	strlcpy(lines[nr_lines++], line, PTDUMP_LINE);
	return 0;
}

/* All lines of @l4 up to @end, without that one. */
static int dump_until(pfn_t l4, char *end)
{
	nr_lines = 0;
	return ptdump_lines(l4, capture, end);
}

static bool has_line(const char *want)
{
	unsigned int i;

	for (i = 0; i < nr_lines; i++)
		if (strcmp(lines[i], want) == 0)
			return true;
	test_note("no line '%s'", want);
	return false;
}

static bool are_lines(const char *const *want, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n && i < nr_lines; i++)
		if (strcmp(lines[i], want[i]) != 0) {
			test_note("line %u: '%s', expected '%s'", i, lines[i], want[i]);
			return false;
		}
	return nr_lines == n;
}

static char kernel_half[] = "--- direct map";

/* Tables that Xen never sees, with data frames; what a leaf or link holds is each test's. */
enum { L3A, L3B, L2A, L2B, L1A, L1B, TABLES, D0 = TABLES, D1, FRAMES };

static struct aspace as;
static pfn_t frames[FRAMES];

static bool hand_begin(void)
{
	static const uint8_t levels[TABLES] = { 3, 3, 2, 2, 1, 1 };
	unsigned int i;

	for (i = 0; i < FRAMES; i++) {
		if (!CHECK_EQ(frame_alloc(0, OWNER_TEST, &frames[i]), 0))
			return false;
		if (i < TABLES && !CHECK_EQ(table_begin(frames[i], levels[i], true), 0))
			return false;
	}
	return CHECK_EQ(aspace_create(&as), 0);
}

static void hand_end(void)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		table_store(frames[L1A], i, 0);
		table_store(frames[L1B], i, 0);
	}
	CHECK_EQ(aspace_destroy(&as), 0);
	frame_free(frames[D0], 0);
	frame_free(frames[D1], 0);
}

static void put(pfn_t table, unsigned int index, unsigned int frame, uint64_t flags)
{
	table_store(table, index, pte_make(pfn_to_mfn(frames[frame]), flags));
}

#define USER_RW (PTE_P | PTE_RW | PTE_US | PTE_NX)
#define USER_RO (PTE_P | PTE_US | PTE_NX)
#define USER_RX (PTE_P | PTE_US)

/*
 * Runs: alike though the frames lie anywhere, over the end of an L1; broken by rights, by what the frame is, and for
 * devices by their order.
 */
TEST(ptdump, ptdump_by_hand, "a dump of tables made by hand is what they say, line by line")
{
	static const char *const want[] = {
		"--- user",
		"0000180000000000-0000180000003000    12K rw- ram      test",
		"0000180000003000-0000180000004000     4K r-- ram      test",
		"0000180000004000-0000180000005000     4K r-x ram      test",
		"0000180000006000-0000180000007000     4K r-- ram      L3 table of test, offline",
		"0000180000007000-0000180000009000     8K rw- identity mfn fee01, uc",
		"0000180000009000-000018000000a000     4K rw- identity mfn fee01, wc",
		"000018000000a000-000018000000b000     4K rw- identity mfn fee01, wb",
		"000018000000b000-000018000000d000     8K rw- foreign  mfn 1000000005, wb",
		"000018000000d000-000018000000e000     4K r-- foreign  mfn 1000000007, wb",
		"000018000000e000-000018000000f000     4K r-- foreign  mfn 1000000007, wb",
		"0000180000010000-0000180000011000     4K r-- ram      image",
		"0000180000011000-0000180000012000     4K rw- ram      test, uc-",
		"00001800001ff000-0000180000201000     8K rw- ram      test",
	};
	pfn_t device = _pfn(0xfee01);
	bool made = p2m_kind(&kernel_p2m, device) != P2M_IDENTITY;
	unsigned int i;
	uint64_t far = UINT64_C(0x1000000005);

	if (made)
		REQUIRE(p2m_set_identity_range(&kernel_p2m, device, pfn_add(device, 2)) == 0);
	REQUIRE(hand_begin());
	for (i = 0; i < 3; i++)
		put(frames[L1A], i, i % 2 ? D1 : D0, USER_RW | (i == 2 ? PTE_A | PTE_D : 0));
	put(frames[L1A], 3, D0, USER_RO);
	put(frames[L1A], 4, D0, USER_RX);
	put(frames[L1A], 6, L3A, USER_RO);
	for (i = 0; i < 4; i++)
		table_store(frames[L1A], 7 + i,
			    pte_make(_mfn(0xfee01 + (i == 1)), USER_RW | (i < 2 ? PTE_PCD | PTE_PWT
									  : i == 2 ? PTE_PAT
										   : 0)));
	table_store(frames[L1A], 11, pte_make(_mfn(far), USER_RW));
	table_store(frames[L1A], 12, pte_make(_mfn(far + 1), USER_RW));
	table_store(frames[L1A], 13, pte_make(_mfn(far + 2), USER_RO));
	table_store(frames[L1A], 14, pte_make(_mfn(far + 2), USER_RO));
	table_store(frames[L1A], 16, pte_make(pfn_to_mfn(boot_va_pfn(__text_start)), USER_RO));
	put(frames[L1A], 17, D0, USER_RW | PTE_PCD);
	put(frames[L1A], 511, D1, USER_RW);
	put(frames[L1B], 0, D0, USER_RW);
	put(frames[L2A], 0, L1A, PTE_LINK);
	put(frames[L2A], 1, L1B, PTE_LINK);
	put(frames[L3A], 0, L2A, PTE_LINK);
	put(as.l4, 48, L3A, PTE_LINK);
	put(frames[L3B], 0, L2B, PTE_LINK);
	put(as.l4, 49, L3B, PTE_LINK);
	CHECK_EQ(dump_until(as.l4, kernel_half), 7);
	CHECK(are_lines(want, ARRAY_SIZE(want)));
	hand_end();
	if (made)
		CHECK_EQ(p2m_clear_range(&kernel_p2m, device, pfn_add(device, 2)), 0);
}

/* The frame table may be what is broken: a dump says what it finds there, and goes on. */
TEST(ptdump, ptdump_odd_frames, "frames of no known owner, and tables of no level, are shown")
{
	static const char *const want[] = {
		"--- user",
		"0000180000000000-0000180000001000     4K rw- ram      an unknown owner",
		"0000180000001000-0000180000002000     4K r-- ram      L9 table of test, offline",
		"0000180000002000-0000180000003000     4K r-- ram      free",
		"0000180000003000-0000180000004000     4K r-- ram      not in the frame table",
	};
	struct frame was;

	REQUIRE(hand_begin());
	put(frames[L1A], 0, D0, USER_RW);
	put(frames[L1A], 1, L3B, USER_RO);
	put(frames[L1A], 2, D1, USER_RO);
	put(frames[L1A], 3, L2B, USER_RO);
	put(frames[L2A], 0, L1A, PTE_LINK);
	put(frames[L3A], 0, L2A, PTE_LINK);
	put(as.l4, 48, L3A, PTE_LINK);
	put(frames[L3B], 0, L2B, PTE_LINK);
	put(frames[L2B], 0, L1B, PTE_LINK);
	put(as.l4, 49, L3B, PTE_LINK);
	frame_at(frames[D0])->owner = 99;
	frame_at(frames[L3B])->level = 9;
	was = *frame_at(frames[D1]);
	*frame_at(frames[D1]) = (struct frame){ .kind = FRAME_FREE };
	frame_at(frames[L2B])->kind = FRAME_NONE;
	CHECK_EQ(dump_until(as.l4, kernel_half), 7);
	frame_table[pfn_x(frames[L2B])].kind = FRAME_TABLE;
	*frame_at(frames[D1]) = was;
	frame_at(frames[L3B])->level = 3;
	frame_at(frames[D0])->owner = OWNER_TEST;
	CHECK(are_lines(want, ARRAY_SIZE(want)));
	hand_end();
}

/* Whoever prints may have seen enough. */
TEST(ptdump, ptdump_line_ends, "a value of the line's function ends dump and sums at any line")
{
	char whole[3][PTDUMP_LINE];
	unsigned int i;

	CHECK_EQ(dump_until(kernel_l4(), NULL), 0);
	for (i = 0; i < 3; i++) {
		strlcpy(whole[i], lines[i], PTDUMP_LINE);
		REQUIRE(whole[i][0] != '\0');
	}
	for (i = 0; i < 3; i++) {
		CHECK_EQ(dump_until(kernel_l4(), whole[i]), 7);
		CHECK_EQ(nr_lines, i);
	}
	nr_lines = 0;
	CHECK_EQ(ptdump_summary(capture, NULL), 0);
	REQUIRE(nr_lines == 2);
	for (i = 0; i < 2; i++)
		strlcpy(whole[i], lines[i], PTDUMP_LINE);
	for (i = 0; i < 2; i++) {
		nr_lines = 0;
		CHECK_EQ(ptdump_summary(capture, whole[i]), 7);
		CHECK_EQ(nr_lines, i);
	}
}

/*
 * One leaf that allows everything, seen through links that don't: a dump that read leaves alone would say rwx of each.
 */
TEST(ptdump, ptdump_narrowed, "rights are those of all four levels together")
{
	static const char *const want[] = {
		"--- user",
		"0000180000000000-0000180000001000     4K rwx ram      test",
		"0000180000200000-0000180000201000     4K r-x ram      test",
		"0000180000400000-0000180000401000     4K rw- ram      test",
		"0000180000600000-0000180000601000     4K r-- ram      test",
		/* L3 entry without RW; below it one that has all, and one with NX. */
		"0000180040000000-0000180040001000     4K r-x ram      test",
		"0000180040200000-0000180040201000     4K r-- ram      test",
		/* L4 entry with NX. */
		"0000188000000000-0000188000001000     4K rw- ram      test",
		"0000188000200000-0000188000201000     4K rw- ram      test",
	};
	struct aspace_info info;
	unsigned int i;

	REQUIRE(hand_begin());
	put(frames[L1B], 0, D0, PTE_P | PTE_RW | PTE_US);
	put(frames[L2A], 0, L1B, PTE_LINK);
	put(frames[L2A], 1, L1B, PTE_LINK & ~PTE_RW);
	put(frames[L2A], 2, L1B, PTE_LINK | PTE_NX);
	put(frames[L2A], 3, L1B, (PTE_LINK & ~PTE_RW) | PTE_NX);
	put(frames[L2A], 4, L1A, PTE_LINK);
	put(frames[L2B], 0, L1B, PTE_LINK);
	put(frames[L2B], 1, L1B, PTE_LINK | PTE_NX);
	put(frames[L3A], 0, L2A, PTE_LINK);
	put(frames[L3A], 1, L2B, PTE_LINK & ~PTE_RW);
	put(frames[L3B], 0, L2B, PTE_LINK);
	put(as.l4, 48, L3A, PTE_LINK);
	put(as.l4, 49, L3B, PTE_LINK | PTE_NX);
	CHECK_EQ(dump_until(as.l4, kernel_half), 7);
	CHECK(are_lines(want, ARRAY_SIZE(want)));
	/* aspace_query() combines them by itself: the two must agree. */
	for (i = 0; i < 4; i++) {
		CHECK_EQ(aspace_query(&as, UINT64_C(0x180000000000) + i * L2_SPAN, &info), 0);
		CHECK_EQ(lines[1 + i][RIGHTS_AT + 1], info.writable ? 'w' : '-');
		CHECK_EQ(lines[1 + i][RIGHTS_AT + 2], info.executable ? 'x' : '-');
	}
	hand_end();
}

/* The rights of the image are phase 7's promise; text is the direct map's too, and not writable there. */
TEST(ptdump, ptdump_kernel,
     "the kernel's own tables: text, guard, data, the direct map's view of them")
{
	char want[PTDUMP_LINE], size[16];
	uint64_t text = (uint64_t)(__text_end - __text_start) >> PAGE_SHIFT;
	pfn_t l4 = kernel_l4();
	unsigned int i;

	CHECK_EQ(dump_until(l4, NULL), 0);
	CHECK_EQ(strcmp(lines[0], kernel_half), 0);
	snprintf(size, sizeof(size), "%luK", text * 4);
	snprintf(want, sizeof(want), "%016lx-%016lx %6s r-x ram      image", (uint64_t)__text_start,
		 (uint64_t)__text_end, size);
	CHECK(has_line("--- kernel image"));
	if (text % 256)
		CHECK(has_line(want));
	snprintf(want, sizeof(want), "%016lx-%016lx     4K r-- ram      L4 table of kernel, pinned",
		 (uint64_t)direct_va(l4), (uint64_t)direct_va(pfn_add(l4, 1)));
	CHECK(has_line(want));
	snprintf(want, sizeof(want), "%016lx-%016lx     4K rw- foreign  mfn %lx, wb",
		 (uint64_t)shared_info_page, (uint64_t)shared_info_page + PAGE_SIZE,
		 mfn_x(maddr_to_mfn(boot_info()->shared_info)));
	CHECK(has_line(want));
	/* What is under the stack is not mapped: a run begins with it. */
	snprintf(want, sizeof(want), "%016lx", (uint64_t)boot_stack);
	for (i = 0; i < nr_lines && strncmp(lines[i], want, 16) != 0; i++)
		;
	CHECK(i < nr_lines);
}

/* The line of @nr pages of the arena, from page @page of it on. */
static void arena_line(char *line, unsigned int page, unsigned int nr, const char *what)
{
	uint64_t va = VMAP_BASE + page * PAGE_SIZE;

	snprintf(line, PTDUMP_LINE, "%016lx-%016lx %5uK rw- %s", va, va + nr * PAGE_SIZE, nr * 4,
		 what);
}

/* Stacks with their guards, and a device. */
TEST(ptdump, ptdump_vmap, "the arena's areas are shown, and between them nothing")
{
	char stack[PTDUMP_LINE], device[PTDUMP_LINE] = "--- kernel image";
	volatile void *vga = NULL;
	unsigned int first;
	void *top = NULL;

	REQUIRE(vmap_areas() == 0);
	REQUIRE(vmap_stack_alloc(8, &top) == 0);
	arena_line(stack, 1, 8, "ram      vmap");
	if (boot_info()->initdomain) {
		CHECK_EQ(mmio_map(_pfn(0xb8), 1, MMIO_UC, &vga), 0);
		arena_line(device, 10, 1, "identity mfn b8, uc");
	}
	CHECK_EQ(dump_until(kernel_l4(), NULL), 0);
	for (first = 0; first < nr_lines && strcmp(lines[first], "--- vmap arena") != 0; first++)
		;
	REQUIRE(first + 3 < nr_lines);
	CHECK_EQ(strcmp(lines[first + 1], stack), 0);
	CHECK_EQ(strcmp(lines[first + 2], device), 0);
	if (vga)
		CHECK_EQ(mmio_unmap(vga), 0);
	CHECK_EQ(vmap_stack_free(top), 0);
}

/* A table of the direct map's in a second place, and a private one beside it. */
TEST(ptdump, ptdump_shared, "what is mapped through the direct map's own tables is marked",
     .needs = "mem>=32M")
{
	static const char *const want[] = {
		"--- user",
		"0000180000000000-0000180000200000     2M r-- ram      test, shared",
		"0000180000200000-0000180000201000     4K r-- ram      test",
	};
	struct aspace_range block = { UINT64_C(0x180000000000), 512, NULL };
	struct aspace_range page = { UINT64_C(0x180000200000), 1, NULL };
	pfn_t run;

	REQUIRE(frame_alloc(9, OWNER_TEST, &run) == 0);
	REQUIRE(aspace_create(&as) == 0);
	CHECK_EQ(aspace_map_block(&as, &block, run, ASPACE_R), 0);
	CHECK_EQ(aspace_map_block(&as, &page, run, ASPACE_R), 0);
	CHECK_EQ(dump_until(as.l4, kernel_half), 7);
	CHECK(are_lines(want, ARRAY_SIZE(want)));
	CHECK_EQ(aspace_destroy(&as), 0);
	frame_free(run, 9);
}

struct counts {
	uint64_t tables[5], pinned, shared, offline, quarantine;
};

static int count_entry(void *ctx, const struct ptdump_entry *e)
{
	struct counts *c = ctx;

	c->tables[e->level - 1] += e->level > 1 && !e->bad;
	return 0;
}

/* The two lines, with @c for the tables. */
static bool is_summary(const struct counts *c)
{
	uint64_t data = 0, free = 0, pfn;
	char want[2][PTDUMP_LINE];
	const struct frame *frame;

	for (pfn = 0; pfn < frame_table_nr; pfn++) {
		frame = frame_at(_pfn(pfn));
		data += frame && frame->kind == FRAME_DATA;
		free += frame && frame->kind == FRAME_FREE;
	}
	snprintf(want[0], PTDUMP_LINE,
		 "tables: %lu L4, %lu L3, %lu L2, %lu L1; %lu pinned, %lu shared, %lu offline",
		 c->tables[4], c->tables[3], c->tables[2], c->tables[1], c->pinned, c->shared,
		 c->offline);
	snprintf(want[1], PTDUMP_LINE,
		 "frames: %lu free, %lu data, %lu in quarantine; vmap: %u areas, %lu pages", free,
		 data, c->quarantine, vmap_areas(), vmap_pages());
	nr_lines = 0;
	return CHECK_EQ(ptdump_summary(capture, NULL), 0) && CHECK_EQ(nr_lines, 2) &&
	       CHECK(has_line(want[0])) && CHECK(has_line(want[1]));
}

/* Counted from the tables themselves as long as there is only the kernel's address space; then step by step. */
TEST(ptdump, ptdump_sums, "the sums: tables by level, pins, shared, offline, quarantine")
{
	struct counts c = { .tables[4] = 1, .pinned = 1 };
	struct aspace_range block = { UINT64_C(0x180000000000), 512, NULL };
	bool large = frame_alloc_free() > 2048;
	pfn_t run = INVALID_PFN;

	REQUIRE(ptdump_walk(kernel_l4(), count_entry, &c) == 0);
	CHECK(is_summary(&c));
	REQUIRE(frame_alloc(large ? 9 : 0, OWNER_TEST, &run) == 0);
	REQUIRE(aspace_create(&as) == 0);
	block.nr = large ? 512 : 1;
	CHECK_EQ(aspace_map_block(&as, &block, run, ASPACE_R), 0);
	/* The kernel's L3s have a second parent. */
	c.tables[4]++;
	c.tables[3]++;
	c.tables[2]++;
	c.tables[1] += !large;
	c.offline = large ? 3 : 4;
	c.shared = large ? 4 : 3;
	CHECK(is_summary(&c));
	CHECK_EQ(aspace_activate(&as), 0);
	c.offline = 0;
	c.pinned++;
	CHECK(is_summary(&c));
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
	c.tables[4]--;
	c.tables[3]--;
	c.tables[2]--;
	c.tables[1] -= !large;
	c.pinned--;
	c.shared = 0;
	frame_at(run)->owner = OWNER_QUARANTINE;
	c.quarantine = 1;
	CHECK(is_summary(&c));
	frame_at(run)->owner = OWNER_TEST;
	frame_free(run, large ? 9 : 0);
}
