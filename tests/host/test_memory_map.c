/* SPDX-License-Identifier: MIT */
/*
 * boot/memory_map: from Xen's E820 to pages.
 *
 * With e820_host=1 the map is the machine's own, firmware bugs included. A page wrongly called RAM
 * is written to by the allocator, a page wrongly called a hole becomes identity in the P2M: both
 * end in corruption far from here.
 */
#include "host.h"
#include <pinion/boot/memory_map.h>
#include <pinion/lib/errno.h>

#define LIMIT_ADDR (MEMORY_MAP_END_PFN << PAGE_SHIFT)

static struct memory_map map;

/* Whether @m keeps the promises of memory_map.h. */
static void expect_sane(const struct memory_map *m)
{
	assert_true(m->nr <= MEMORY_MAP_MAX);
	for (unsigned int i = 0; i < m->nr; i++) {
		const struct memory_range *r = &m->range[i];

		assert_true(pfn_x(r->start) < pfn_x(r->end));
		assert_true(pfn_x(r->end) <= MEMORY_MAP_END_PFN);
		assert_in_range(r->kind, MEMORY_RAM, MEMORY_UNUSABLE);
		if (i) {
			assert_true(pfn_x(r[-1].end) <= pfn_x(r->start));
			assert_true(pfn_x(r[-1].end) < pfn_x(r->start) || r[-1].kind != r->kind);
		}
	}
}

/* Builds the map of entries that lie before a fence. An error must leave it as it was. */
static int build(const struct e820_entry *raw, size_t nr)
{
	struct e820_entry *mem = fence_after(nr * sizeof(*raw));
	struct memory_map before = map;
	int rc;

	libc_memcpy(mem, raw, nr * sizeof(*raw));
	rc = memory_map_build(&map, mem, nr);
	fence_free(mem, nr * sizeof(*raw));
	if (rc)
		assert_int_equal(libc_memcmp(&map, &before, sizeof(map)), 0);
	else
		expect_sane(&map);
	return rc;
}

/* The map of @raw is @want, as memory_map_print() writes it. */
#define EXPECT_MAP(raw, want)                                     \
	do {                                                      \
		assert_int_equal(build(raw, ARRAY_SIZE(raw)), 0); \
		host_console_reset();                             \
		memory_map_print(&map);                           \
		EXPECT_CONSOLE(want);                             \
	} while (0)

/* xl's default: one entry up to maxmem. */
static void test_domu(void **state)
{
	static const struct e820_entry raw[] = { { 0, 128 << 20, E820_RAM } };

	(void)state;
	EXPECT_MAP(raw, "memory: pfn [0x0, 0x8000) RAM, 32768 pages\n");
	assert_true(memory_map_ram_pages(&map) == 32768);
}

/* e820_host=1 on a machine as QEMU makes it: entries of every kind, one beyond 512 GiB. */
static void test_e820_host(void **state)
{
	static const struct e820_entry raw[] = {
		{ 0, 0x8000000, E820_RAM },
		{ 0x8000000, 0x37fe0000, E820_UNUSABLE },
		{ 0x3ffe0000, 0x20000, E820_RESERVED },
		{ 0xfec00000, 0x1000, E820_RESERVED },
		{ 0xfee00000, 0x100000, E820_RESERVED },
		{ 0xfffc0000, 0x40000, E820_RESERVED },
		{ 0xfd00000000, 0x300000000, E820_RESERVED },
	};

	(void)state;
	EXPECT_MAP(raw, "memory: pfn [0x0, 0x8000) RAM, 32768 pages\n"
			"memory: pfn [0x8000, 0x3ffe0) unusable, 229344 pages\n"
			"memory: pfn [0x3ffe0, 0x40000) reserved, 32 pages\n"
			"memory: pfn [0xfec00, 0xfec01) reserved, 1 pages\n"
			"memory: pfn [0xfee00, 0xfef00) reserved, 256 pages\n"
			"memory: pfn [0xfffc0, 0x100000) reserved, 64 pages\n"
			"memory: pfn [0xfd00000, 0x10000000) reserved, 3145728 pages\n");
	assert_true(memory_map_ram_pages(&map) == 0x8000);
}

/* Rule: RAM rounds inwards, all else outwards, by one byte as by any number. */
static void test_rounding(void **state)
{
	static const struct {
		struct e820_entry raw;
		uint64_t start, end; /* pfns; equal: nothing */
	} rows[] = {
		{ { 0x1000, 0x2000, E820_RAM }, 1, 3 },	 { { 0x1001, 0x1fff, E820_RAM }, 2, 3 },
		{ { 0x0fff, 0x2001, E820_RAM }, 1, 3 },	 { { 0x1000, 0x1fff, E820_RAM }, 1, 2 },
		{ { 0x1000, 0x2001, E820_RAM }, 1, 3 },	 { { 0x1001, 0x1ffe, E820_RAM }, 2, 2 },
		{ { 0x1001, 1, E820_RAM }, 0, 0 },	 { { 0x1000, 0xfff, E820_RAM }, 0, 0 },
		{ { 0x1000, 0, E820_RAM }, 0, 0 },	 { { 0x1000, 0x2000, E820_ACPI }, 1, 3 },
		{ { 0x1001, 0x1fff, E820_ACPI }, 1, 3 }, { { 0x0fff, 0x2001, E820_ACPI }, 0, 3 },
		{ { 0x1000, 0x1fff, E820_ACPI }, 1, 3 }, { { 0x1000, 0x2001, E820_ACPI }, 1, 4 },
		{ { 0x1fff, 1, E820_ACPI }, 1, 2 },	 { { 0x1000, 0, E820_ACPI }, 0, 0 },
		{ { 0x1800, 0, E820_ACPI }, 0, 0 }, /* says nothing about page 1 */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(build(&rows[i].raw, 1), 0);
		assert_int_equal(map.nr, rows[i].start < rows[i].end);
		if (map.nr) {
			assert_int_equal(pfn_x(map.range[0].start), rows[i].start);
			assert_int_equal(pfn_x(map.range[0].end), rows[i].end);
		}
	}
}

/*
 * Rule: a page is RAM if RAM entries cover it together, though none does alone; with one byte less
 * it is not.
 */
static void test_shared_page(void **state)
{
	static const struct e820_entry whole[] = {
		{ 0x2900, 0x1700, E820_RAM },
		{ 0x0000, 0x2800, E820_RAM },
		{ 0x2700, 0x0200, E820_RAM },
	};
	static const struct e820_entry torn[] = {
		{ 0x2901, 0x16ff, E820_RAM },
		{ 0x0000, 0x2800, E820_RAM },
		{ 0x2700, 0x0200, E820_RAM },
	};
	static const struct e820_entry touched[] = {
		{ 0x0000, 0x5000, E820_RAM },
		{ 0x2fff, 0x0001, E820_NVS },
	};

	(void)state;
	EXPECT_MAP(whole, "memory: pfn [0x0, 0x4) RAM, 4 pages\n");
	EXPECT_MAP(torn, "memory: pfn [0x0, 0x2) RAM, 2 pages\n"
			 "memory: pfn [0x3, 0x4) RAM, 1 pages\n");
	EXPECT_MAP(touched, "memory: pfn [0x0, 0x2) RAM, 2 pages\n"
			    "memory: pfn [0x2, 0x3) NVS, 1 pages\n"
			    "memory: pfn [0x3, 0x5) RAM, 2 pages\n");
	assert_true(memory_map_ram_pages(&map) == 4);
}

/* Rule: kinds win over each other in one order, in whichever order the entries come. */
static void test_precedence(void **state)
{
	static const struct {
		uint32_t type;
		enum memory_kind kind;
	} order[] = {
		{ E820_RAM, MEMORY_RAM },	    { E820_RESERVED, MEMORY_RESERVED },
		{ E820_ACPI, MEMORY_ACPI },	    { E820_NVS, MEMORY_NVS },
		{ E820_UNUSABLE, MEMORY_UNUSABLE },
	};

	(void)state;
	for (size_t a = 0; a < ARRAY_SIZE(order); a++) {
		for (size_t b = 0; b < ARRAY_SIZE(order); b++) {
			struct e820_entry raw[] = { { 0, 0x2000, order[a].type },
						    { 0x1000, 0x2000, order[b].type } };

			assert_int_equal(build(raw, 2), 0);
			assert_int_equal(memory_map_kind_at(&map, _pfn(0)), order[a].kind);
			assert_int_equal(memory_map_kind_at(&map, _pfn(1)),
					 order[a > b ? a : b].kind);
			assert_int_equal(memory_map_kind_at(&map, _pfn(2)), order[b].kind);
			assert_int_equal(memory_map_kind_at(&map, _pfn(3)), MEMORY_HOLE);
		}
	}
}

/* Rule: a type that this kernel does not know is reserved: ACPI has added some before. */
static void test_unknown_types(void **state)
{
	static const uint32_t types[] = { 0, 6, 7, 12, 0x80000001, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct e820_entry raw[] = { { 0, 0x2000, E820_RAM }, { 0x1000, 0x1000, types[i] } };

		assert_int_equal(build(raw, 2), 0);
		assert_int_equal(memory_map_kind_at(&map, _pfn(1)), MEMORY_RESERVED);
	}
}

/* Rule: neighbours of one kind become one range; a hole between them stays. */
static void test_merge(void **state)
{
	static const struct e820_entry raw[] = {
		{ 0x3000, 0x1000, E820_RAM }, { 0x0000, 0x1000, E820_RAM },
		{ 0x1000, 0x1000, E820_RAM }, { 0x4000, 0x1000, E820_RESERVED },
		{ 0x5000, 0x1000, 77 },	      { 0x5000, 0x1000, E820_RESERVED },
	};

	(void)state;
	EXPECT_MAP(raw, "memory: pfn [0x0, 0x2) RAM, 2 pages\n"
			"memory: pfn [0x3, 0x4) RAM, 1 pages\n"
			"memory: pfn [0x4, 0x6) reserved, 2 pages\n");
}

/* Rule: nothing lies beyond 2^52, and an entry that would wrap past 2^64 ends there too. */
static void test_top(void **state)
{
	static const struct e820_entry rows[] = {
		{ LIMIT_ADDR - 0x1000, 0x1000, E820_RAM },
		{ LIMIT_ADDR - 0x1000, 0x1001, E820_RAM },
		{ LIMIT_ADDR - 0x1000, UINT64_MAX, E820_RAM },
		{ LIMIT_ADDR - 0x1000, UINT64_MAX - LIMIT_ADDR + 0x1001, E820_RAM }, /* to 2^64 */
		{ LIMIT_ADDR - 1, 1, E820_RESERVED },
		{ LIMIT_ADDR - 1, UINT64_MAX, E820_RESERVED },
	};
	static const struct e820_entry beyond[] = {
		{ LIMIT_ADDR, 0x1000, E820_RAM },	  { LIMIT_ADDR, UINT64_MAX, E820_RESERVED },
		{ UINT64_MAX, 1, E820_RESERVED },	  { UINT64_MAX, UINT64_MAX, E820_RESERVED },
		{ UINT64_MAX - 0xfff, 0x1000, E820_RAM },
	};
	static const struct e820_entry everything[] = { { 0, UINT64_MAX, E820_RAM } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(build(&rows[i], 1), 0);
		assert_int_equal(map.nr, 1);
		assert_true(pfn_x(map.range[0].start) == MEMORY_MAP_END_PFN - 1);
		assert_true(pfn_x(map.range[0].end) == MEMORY_MAP_END_PFN);
	}
	EXPECT_MAP(beyond, "");
	assert_int_equal(build(everything, 1), 0);
	assert_true(memory_map_ram_pages(&map) == MEMORY_MAP_END_PFN);
	assert_int_equal(memory_map_kind_at(&map, _pfn(MEMORY_MAP_END_PFN - 1)), MEMORY_RAM);
	assert_int_equal(memory_map_kind_at(&map, _pfn(MEMORY_MAP_END_PFN)), MEMORY_HOLE);
	assert_int_equal(memory_map_kind_at(&map, INVALID_PFN), MEMORY_HOLE);
}

/*
 * Rule: -E2BIG for what does not fit, and the map stays as it was (build() sees to that). 128
 * disjoint entries fit; 64 reserved ones within one of RAM make 129 ranges.
 */
static void test_capacity(void **state)
{
	struct e820_entry raw[E820_MAX + 1];

	(void)state;
	for (size_t i = 0; i <= E820_MAX; i++)
		raw[i] = (struct e820_entry){ i * 0x2000, 0x1000, E820_RAM };
	assert_int_equal(build(raw, E820_MAX), 0);
	assert_int_equal(map.nr, MEMORY_MAP_MAX);
	assert_int_equal(build(raw, E820_MAX + 1), -E2BIG);
	raw[E820_MAX] = raw[0]; /* which adds no range, but is one entry too many */
	assert_int_equal(build(raw, E820_MAX + 1), -E2BIG);
	assert_int_equal(build(raw, 0), 0);
	assert_int_equal(map.nr, 0);

	/* RAM with n reserved pages in it is 2n + 1 ranges. */
	raw[0] = (struct e820_entry){ 0, 0x1000000, E820_RAM };
	for (size_t i = 1; i <= 64; i++)
		raw[i] = (struct e820_entry){ i * 0x2000, 0x1000, E820_RESERVED };
	assert_int_equal(build(raw, 65), -E2BIG);
	assert_int_equal(build(raw, 64), 0);
	assert_int_equal(map.nr, 127);
}

static void test_fallback(void **state)
{
	(void)state;
	memory_map_fallback(&map, 4096);
	expect_sane(&map);
	assert_int_equal(map.nr, 1);
	assert_int_equal(memory_map_kind_at(&map, _pfn(0)), MEMORY_RAM);
	assert_int_equal(memory_map_kind_at(&map, _pfn(4095)), MEMORY_RAM);
	assert_int_equal(memory_map_kind_at(&map, _pfn(4096)), MEMORY_HOLE);
	assert_true(memory_map_ram_pages(&map) == 4096);
	memory_map_fallback(&map, 0);
	assert_int_equal(map.nr, 0);
	memory_map_fallback(&map, UINT64_MAX);
	expect_sane(&map);
	assert_true(memory_map_ram_pages(&map) == MEMORY_MAP_END_PFN);
}

static void test_names(void **state)
{
	static const char *const names[] = { "hole", "RAM", "reserved", "ACPI", "NVS", "unusable" };

	(void)state;
	assert_int_equal(ARRAY_SIZE(names), MEMORY_KINDS);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(memory_kind_name(i), names[i]);
	assert_string_equal(memory_kind_name(MEMORY_KINDS), "?");
	assert_string_equal(memory_kind_name(-1), "?");
}

/*
 * The oracle: the rule of memory_map.h word by word, in flat arrays with a cell for each @unit
 * bytes. It knows nothing of edges, and is compared for every page.
 */
#define CELLS 16384

static void check_against_cells(const struct e820_entry *raw, size_t nr, uint64_t base,
				uint64_t unit, size_t cells)
{
	static unsigned char other[CELLS]; /* the greatest kind but RAM */
	static bool ram[CELLS];
	size_t per_page = PAGE_SIZE / unit;
	uint64_t ram_pages = 0;

	libc_memset(other, MEMORY_HOLE, cells);
	libc_memset(ram, false, cells);
	for (size_t i = 0; i < nr; i++) {
		/* The entry's cells; its end may be anywhere up to 2^65. */
		uint64_t first = (raw[i].addr - base) / unit, count = raw[i].size / unit;
		unsigned char kind =
			raw[i].type >= 2 && raw[i].type <= 5 ? raw[i].type : MEMORY_RESERVED;

		for (size_t c = first; c < cells && c - first < count; c++) {
			if (raw[i].type == E820_RAM)
				ram[c] = true;
			else if (kind > other[c])
				other[c] = kind;
		}
	}
	for (size_t page = 0; page < cells / per_page; page++) {
		enum memory_kind want = MEMORY_RAM;
		pfn_t pfn = _pfn(base / PAGE_SIZE + page);

		for (size_t c = page * per_page; c < (page + 1) * per_page; c++)
			if (!ram[c] && want == MEMORY_RAM)
				want = MEMORY_HOLE;
		for (size_t c = page * per_page; c < (page + 1) * per_page; c++)
			if (other[c] && (want <= MEMORY_RAM || other[c] > want))
				want = other[c];
		if (memory_map_kind_at(&map, pfn) != want)
			fail_msg("page %zu: %s, not %s", page,
				 memory_kind_name(memory_map_kind_at(&map, pfn)),
				 memory_kind_name(want));
		ram_pages += want == MEMORY_RAM;
	}
	assert_true(memory_map_ram_pages(&map) == ram_pages);
}

static uint32_t random_type(struct rng *rng)
{
	return rng_below(rng, 2) ? E820_RAM : rng_below(rng, 9);
}

/* Random entries in a small space, so that they overlap in every way. */
static void test_random(void **state)
{
	static const struct {
		uint64_t base, unit;
		size_t cells;
		int rounds;
	} spaces[] = {
		{ 0, 512, 8 * 64, 50000 },			     /* 64 pages */
		{ LIMIT_ADDR - 64 * PAGE_SIZE, 512, 8 * 64, 20000 }, /* entries reach beyond 2^52 */
		{ 0, 1, CELLS, 2000 },				     /* 4 pages, each byte */
	};
	struct e820_entry raw[12];
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (size_t s = 0; s < ARRAY_SIZE(spaces); s++) {
		for (int round = 0; round < spaces[s].rounds; round++) {
			size_t nr = rng_below(&rng, ARRAY_SIZE(raw) + 1);

			for (size_t i = 0; i < nr; i++) {
				uint64_t start = rng_below(&rng, spaces[s].cells);
				uint64_t count = rng_below(&rng, spaces[s].cells / 2);

				if (rng_below(&rng, 2)) /* page-aligned, as real ones are */
					start -= start % (PAGE_SIZE / spaces[s].unit);
				if (spaces[s].base && rng_below(&rng, 8) == 0)
					count = UINT64_MAX / spaces[s].unit; /* wraps */
				else if (!spaces[s].base && count > spaces[s].cells - start)
					count = spaces[s].cells - start;
				raw[i] = (struct e820_entry){ spaces[s].base +
								      start * spaces[s].unit,
							      count * spaces[s].unit,
							      random_type(&rng) };
			}
			assert_int_equal(build(raw, nr), 0);
			check_against_cells(raw, nr, spaces[s].base, spaces[s].unit,
					    spaces[s].cells);
		}
	}
}

/* What a pfn must be by the rule, from 128-bit arithmetic: for entries anywhere in 64 bits. */
static enum memory_kind kind_oracle(const struct e820_entry *raw, size_t nr, uint64_t pfn)
{
	unsigned __int128 start = (unsigned __int128)pfn * PAGE_SIZE, end = start + PAGE_SIZE;
	enum memory_kind kind = MEMORY_HOLE;

	for (size_t i = 0; i < nr; i++) {
		unsigned __int128 from = raw[i].addr, to = from + raw[i].size;

		if (raw[i].type == E820_RAM && kind == MEMORY_HOLE && from <= start && end <= to)
			kind = MEMORY_RAM;
		else if (raw[i].type == E820_RESERVED && from < end && start < to && from < to)
			kind = MEMORY_RESERVED;
	}
	return kind;
}

/* Hostile maps: up to 128 entries of any 64-bit numbers. Asked at and around every edge. */
static void test_hostile(void **state)
{
	struct e820_entry raw[E820_MAX];
	unsigned int built = 0, refused = 0;
	struct rng rng;

	(void)state;
	host_seed(&rng);
	for (int round = 0; round < 1000; round++) {
		size_t nr = rng_below(&rng, E820_MAX + 1);
		bool nested = rng_below(&rng, 2);

		/* Numbers of every magnitude, or small reserved pieces within one piece of RAM. */
		for (size_t i = 0; i < nr; i++) {
			raw[i].addr = rng_next(&rng) >> (nested ? 32 : rng_below(&rng, 50));
			raw[i].size = rng_next(&rng) >> (nested ? 50 : rng_below(&rng, 64));
			raw[i].type = nested ? E820_RESERVED : 1 + rng_below(&rng, 2);
		}
		if (nested && nr)
			raw[0] = (struct e820_entry){ 0, UINT64_C(1) << 32, E820_RAM };
		if (build(raw, nr)) {
			refused++;
			continue;
		}
		built++;
		for (size_t i = 0; i < 3 * nr; i++) {
			const struct e820_entry *e = &raw[i / 3];
			uint64_t pfn =
				(i % 2 ? e->addr : e->addr + e->size) / PAGE_SIZE - 1 + i % 3;
			enum memory_kind want = kind_oracle(raw, nr, pfn);

			/* RAM of which no single entry has a whole page: the other oracle's job. */
			if (pfn < MEMORY_MAP_END_PFN &&
			    !(want == MEMORY_HOLE &&
			      memory_map_kind_at(&map, _pfn(pfn)) == MEMORY_RAM))
				assert_int_equal(memory_map_kind_at(&map, _pfn(pfn)), want);
		}
	}
	printf("# %u maps built, %u refused\n", built, refused);
	assert_true(built > 100 && refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_domu),	   cmocka_unit_test(test_e820_host),
		cmocka_unit_test(test_rounding),   cmocka_unit_test(test_shared_page),
		cmocka_unit_test(test_precedence), cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_merge),	   cmocka_unit_test(test_top),
		cmocka_unit_test(test_capacity),   cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_random),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests_name("memory_map", tests, NULL, NULL);
}
