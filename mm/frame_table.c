/* SPDX-License-Identifier: MIT */
/* The frame table; see <pinion/mm/frame_table.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>

struct frame *frame_table;
uint64_t frame_table_nr;
uint16_t *frame_plain;
uint64_t frame_exec_nr;
static struct frame_run own;

uint64_t frame_table_pages(void)
{
	return own.nr;
}

void frame_count_execs(pfn_t pfn, int by)
{
	struct frame *frame = frame_at(pfn);

	ASSERT(frame && frame->kind == FRAME_DATA && (by > 0 || frame->execs > 0));
	frame_exec_nr -= frame->execs > 0;
	frame->execs = (uint32_t)((int64_t)frame->execs + by);
	frame_exec_nr += frame->execs > 0;
}

static void set_owner(const struct frame_run *run, enum frame_owner owner)
{
	struct frame *frame;
	uint64_t i;

	for (i = 0; i < run->nr; i++) {
		frame = frame_at(pfn_add(run->start, i));
		if (frame)
			frame->owner = owner;
	}
}

static void set_ring(const struct boot_ring *ring)
{
	struct frame_run run = { ring->pfn, 1 };

	if (!pfn_eq(ring->pfn, INVALID_PFN))
		set_owner(&run, OWNER_RING);
}

/*
 * Enters the table @pfn of @level, and what it links. A table is entered once, however many link
 * it; each link counts. Below the L4 the slots of Xen's don't exist.
 */
static int enter_table(pfn_t pfn, unsigned int level);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static int enter_entry(uint64_t entry, unsigned int level)
{
	struct frame *lower;
	pfn_t pfn;
	int rc = 0;

	pfn = mfn_to_pfn(pte_mfn(entry));
	lower = frame_at(pfn);
	if (!lower)
		return -EINVAL;
	if (lower->kind != FRAME_TABLE)
		rc = enter_table(pfn, level - 1);
	lower->parents++;
	return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tables are, which is four. */
static int enter_table(pfn_t pfn, unsigned int level)
{
	const uint64_t *entries = direct_va(pfn);
	struct frame *frame = frame_at(pfn);
	unsigned int i;
	int rc = 0;

	frame->kind = FRAME_TABLE;
	frame->level = (uint8_t)level;
	frame->flags = 0;
	for (i = 0; i < TABLE_ENTRIES && !rc; i++) {
		if (!(entries[i] & PTE_P))
			continue;
		if (level == 4 && l4_slot_is_xens(i))
			continue;
		frame->live++;
		if (level > 1)
			rc = enter_entry(entries[i], level);
	}
	return rc;
}

static int enter_tables(void)
{
	struct frame_run direct = direct_map_tables();
	struct frame *l4 = frame_at(kernel_l4());
	int rc;

	/* The boot allocator has given it, and gives frames of RAM. */
	ASSERT(l4 != NULL);
	rc = enter_table(kernel_l4(), 4);
	l4->flags |= FRAME_PINNED;
	set_owner(&direct, OWNER_DIRECT_MAP);
	return rc;
}

/* Text and rodata are no plain memory. */
static void enter_read_only(void)
{
	pfn_t pfn;

	for (pfn = boot_va_pfn(__text_start); pfn_x(pfn) < pfn_x(boot_va_pfn(__rodata_end));
	     pfn = pfn_add(pfn, 1))
		frame_at(pfn)->flags = 0;
}

static void count_plain(void)
{
	uint64_t pfn;

	for (pfn = 0; pfn < frame_table_nr; pfn++)
		if ((frame_word(&frame_table[pfn]) & FRAME_WORD_PLAIN) == FRAME_WORD_PLAIN)
			frame_count_plain(pfn, 1);
}

int frame_table_init(const struct boot_info *bi)
{
	uint64_t end = pfn_x(direct_map_end()), pfn;
	uint64_t runs = (end + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
	uint64_t pages = frames_up(end * sizeof(struct frame) + runs * sizeof(*frame_plain));
	struct frame_run kernel = kernel_map_tables();
	int rc = boot_alloc_run(pages, &own.start);

	if (rc)
		return rc;
	own.nr = pages;
	frame_table = direct_va(own.start);
	memset(frame_table, 0, pages << PAGE_SHIFT);
	frame_table_nr = end;
	frame_plain = (uint16_t *)(frame_table + end);
	for (pfn = 0; pfn < end; pfn++) {
		if (p2m_kind(&kernel_p2m, _pfn(pfn)) != P2M_RAM)
			continue;
		frame_table[pfn].kind = FRAME_DATA;
		frame_table[pfn].owner = OWNER_BOOT;
		frame_table[pfn].flags = FRAME_PLAIN;
	}
	set_owner(&bi->image, OWNER_IMAGE);
	enter_read_only();
	set_owner(&bi->module, OWNER_MODULE);
	set_owner(&own, OWNER_FRAME_TABLE);
	set_owner(&kernel, OWNER_KERNEL);
	set_ring(&bi->console);
	set_ring(&bi->store);
	rc = enter_tables();
	count_plain();
	return rc;
}
