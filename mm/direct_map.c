/* SPDX-License-Identifier: MIT */
/* Building the direct map; the plan stands in <pinion/mm/direct_map.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/string.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/pmap.h>
#include <pinion/mm/tables.h>

/* Frames that are read-only in the direct map, while it is built and as long as they are tables. */
#define READ_ONLY_RUNS 5

struct builder {
	struct frame_run tables; /* what is set aside */
	uint64_t used;		 /* of these */
	struct frame_run read_only[READ_ONLY_RUNS];
	uint64_t *l3, *l2; /* in the window */
	uint64_t gib;	   /* that l2 is for; UINT64_MAX: none yet */
};

static struct frame_run tables;
static pfn_t end;

struct frame_run direct_map_tables(void)
{
	return tables;
}

pfn_t direct_map_end(void)
{
	return end;
}

/* pfns of RAM that the kernel uses end here. */
static uint64_t ram_limit(const struct boot_info *bi)
{
	if (bi->ram_pages < bi->nr_pages)
		return bi->ram_pages;
	return kernel_p2m.max_pfn;
}

/* The first pfn of the next 2 MiB piece at or above @pfn that has RAM; @limit or more if none. */
static uint64_t next_piece(uint64_t pfn, uint64_t limit)
{
	pfn_t ram = p2m_ram_next(&kernel_p2m, _pfn(pfn));

	if (pfn_eq(ram, INVALID_PFN))
		return limit;
	return pfn_x(ram) & ~(uint64_t)(TABLE_ENTRIES - 1);
}

static uint64_t count_tables(uint64_t limit)
{
	uint64_t pfn, count = 1, gib = UINT64_MAX;

	for (pfn = next_piece(0, limit); pfn < limit;
	     pfn = next_piece(pfn + TABLE_ENTRIES, limit)) {
		count += 1 + (pfn >> 18 != gib);
		gib = pfn >> 18;
	}
	return count;
}

static bool overlaps(const struct frame_run *run, uint64_t pfn, uint64_t nr)
{
	return pfn_x(run->start) < pfn + nr && pfn < pfn_x(run->start) + run->nr;
}

/* Narrows the entries of the piece at @piece that belong to @run; one that is 0 stays 0. */
static void narrow(uint64_t *l1, uint64_t piece, const struct frame_run *run)
{
	unsigned int i;

	if (!overlaps(run, piece, TABLE_ENTRIES))
		return;
	for (i = 0; i < TABLE_ENTRIES; i++)
		if (overlaps(run, piece + i, 1))
			l1[i] &= ~(PTE_RW | PTE_D);
}

/* Every entry of @l1 is written. What is no RAM has bits in the P2M that no MFN has. */
static void fill_l1(const struct builder *b, uint64_t *l1, uint64_t piece, uint64_t limit)
{
	const uint64_t *leaf = kernel_p2m.top[piece >> 18][piece >> 9 & (P2M_ENTRIES - 1)];
	unsigned int i,
		nr = piece + TABLE_ENTRIES <= limit ? TABLE_ENTRIES : (unsigned int)(limit - piece);

	for (i = 0; i < nr; i++)
		l1[i] = leaf[i] < P2M_MFN_END ? pte_make(_mfn(leaf[i]), PTE_KERNEL_RW) : 0;
	for (; i < TABLE_ENTRIES; i++)
		l1[i] = 0;
	for (i = 0; i < READ_ONLY_RUNS; i++)
		narrow(l1, piece, &b->read_only[i]);
}

/* The next of the frames set aside, in the window, content undefined; its machine frame in *@mfn. */
static uint64_t *take_table(struct builder *b, mfn_t *mfn)
{
	ASSERT(b->used < b->tables.nr);
	*mfn = pfn_to_mfn(pfn_add(b->tables.start, b->used++));
	return pmap_map(*mfn, PMAP_READ_WRITE);
}

static void build_piece(struct builder *b, uint64_t piece, uint64_t limit)
{
	uint64_t *l1;
	mfn_t mfn;

	if (piece >> 18 != b->gib) {
		if (b->l2)
			pmap_unmap(b->l2);
		b->gib = piece >> 18;
		b->l2 = take_table(b, &mfn);
		memset(b->l2, 0, PAGE_SIZE);
		b->l3[b->gib] = pte_make(mfn, PTE_LINK);
	}
	l1 = take_table(b, &mfn);
	fill_l1(b, l1, piece, limit);
	pmap_unmap(l1);
	b->l2[piece >> 9 & (TABLE_ENTRIES - 1)] = pte_make(mfn, PTE_LINK);
}

static struct frame_run image_run(const char *from, const char *to)
{
	return (struct frame_run){ boot_va_pfn(from), (uint64_t)(to - from) >> PAGE_SHIFT };
}

int direct_map_build(const struct boot_info *bi)
{
	struct builder b = { .gib = UINT64_MAX };
	uint64_t limit = ram_limit(bi), pfn;
	mfn_t l3;
	int rc;

	b.tables.nr = count_tables(limit);
	rc = boot_alloc_run(b.tables.nr, &b.tables.start);
	if (rc)
		return rc;
	b.read_only[0] = b.tables;
	b.read_only[1] = bi->tables;
	b.read_only[2] = image_run(__text_start, __rodata_end);
	b.read_only[3] = (struct frame_run){ pmap_table(0), 1 };
	b.read_only[4] = (struct frame_run){ pmap_table(1), 1 };

	b.l3 = take_table(&b, &l3);
	memset(b.l3, 0, PAGE_SIZE);
	for (pfn = next_piece(0, limit); pfn < limit; pfn = next_piece(pfn + TABLE_ENTRIES, limit))
		build_piece(&b, pfn, limit);
	if (b.l2)
		pmap_unmap(b.l2);
	pmap_unmap(b.l3);

	mmu_batch_begin();
	rc = mmu_batch_end(mmu_batch_set(bi->l4, SLOT_DIRECT_MAP, pte_make(l3, PTE_LINK), 0));
	if (rc)
		return rc;
	tables = b.tables;
	end = _pfn(limit);
	return 0;
}

bool direct_map_l2(pfn_t pfn, pfn_t *table, unsigned int *index)
{
	uint64_t entry;

	if (pfn_x(pfn) >= pfn_x(end))
		return false;
	entry = table_read(tables.start, va_index((uintptr_t)direct_va(pfn), 3));
	if (!(entry & PTE_P))
		return false;
	*table = table_below(entry);
	*index = va_index((uintptr_t)direct_va(pfn), 2);
	return true;
}

bool direct_map_leaf(pfn_t pfn, pfn_t *table, unsigned int *index)
{
	uint64_t entry;

	if (!direct_map_l2(pfn, table, index))
		return false;
	entry = table_read(*table, *index);
	if (!(entry & PTE_P))
		return false;
	*table = table_below(entry);
	*index = va_index((uintptr_t)direct_va(pfn), 1);
	return true;
}

bool direct_map_shared(pfn_t pfn)
{
	unsigned int index;
	pfn_t l2, l1;

	if (!direct_map_leaf(pfn, &l1, &index) || !direct_map_l2(pfn, &l2, &index))
		return false;
	return frame_at(l1)->parents > 1 || frame_at(l2)->parents > 1;
}

int direct_map_protect(pfn_t pfn, uint64_t flags)
{
	struct frame *frame = frame_at(pfn);
	unsigned int index;
	pfn_t table;
	int rc;

	if (!direct_map_leaf(pfn, &table, &index))
		return -EINVAL;
	rc = mmu_batch_one(table, index, table_read(table, index), pte_make(pfn_to_mfn(pfn), flags),
			   (uintptr_t)direct_va(pfn));
	if (rc || !frame || frame->kind != FRAME_DATA)
		return rc;
	frame_set_plain(pfn_x(pfn), flags & PTE_RW);
	return 0;
}
