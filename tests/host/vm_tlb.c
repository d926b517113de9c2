/* SPDX-License-Identifier: MIT */
/*
 * The guest's translations: the host's mappings of single pages of the memory file are the TLB, and this is the
 * part of the CPU that fills it.
 *
 *     access --miss--> SIGSEGV --> walk of the tables in memory (A and D set) --> mmap of that page, with those rights
 *
 * Where hardware leaves something open it is the stricter that happens: a translation stays until it is
 * flushed; one whose rights don't do is dropped and the fault given to the guest, whatever the tables say by
 * now. One thing no guest can tell: a flush keeps translations that a walk would give again, since a CPU may
 * load them again at once. Some are lost at random when there are many.
 *
 * The host's mapping of a page is writable only from the first store on, which sets D in the leaf and notes that the frame
 * is written (vm_snapshot.c).
 */
#include <stdlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <pinion/arch/regs.h>
#include "vm.h"

#define ENTRIES	   40000
#define HASH_SLOTS 65536
#define NONE	   UINT32_MAX

struct translation {
	uint64_t va, mfn;
	bool writable, executable; /* the guest's rights */
	bool stored;		   /* the host's mapping is writable: it has been written to */
	uint32_t next;		   /* in its hash chain */
};

static struct translation tlb[ENTRIES];
static uint32_t used, chain[HASH_SLOTS];
static uint32_t victim;

static uint32_t *chain_of(uint64_t va)
{
	return &chain[(va >> PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >> 48];
}

static struct translation *find(uint64_t va)
{
	uint32_t i;

	if (!used)
		return NULL;
	for (i = *chain_of(va); i != NONE; i = tlb[i].next)
		if (tlb[i].va == va)
			return &tlb[i];
	return NULL;
}

/* The link that leads to entry @i. */
static uint32_t *link_to(uint32_t i)
{
	uint32_t *link = chain_of(tlb[i].va);

	while (*link != i)
		link = &tlb[*link].next;
	return link;
}

static void drop(struct translation *t)
{
	uint32_t i = (uint32_t)(t - tlb), last = used - 1;

	munmap((void *)t->va, PAGE_SIZE);
	*link_to(i) = t->next;
	if (i != last) {
		*link_to(last) = i;
		tlb[i] = tlb[last];
	}
	used--;
}

void tlb_empty(void)
{
	while (used)
		drop(&tlb[used - 1]);
	for (uint32_t i = 0; i < HASH_SLOTS; i++)
		chain[i] = NONE;
}

struct walk {
	uint64_t mfn, rights;
	uint64_t *leaf;
	unsigned int level; /* of the entry that is not present; 0: none */
};

/* An entry of the table @mfn that @va goes through; NULL where there is no memory. */
static uint64_t *entry_at(uint64_t mfn, uint64_t va, unsigned int level)
{
	if (mfn >= vm->nr_frames)
		return NULL;
	return (uint64_t *)(vm->mem + mfn * PAGE_SIZE) + va_index(va, level);
}

static void set_bits(uint64_t table, uint64_t *entry, uint64_t bits)
{
	if ((*entry & bits) == bits)
		return;
	*entry |= bits;
	vm_dirty(table);
}

/* The walk itself; sets A in the entries above the leaf if @mark. Returns the leaf's table in *@table. */
static struct walk walk(uint64_t va, bool mark, uint64_t *table)
{
	struct walk w = { .rights = PTE_RW | PTE_US, .level = 4 };
	uint64_t at = mfn_x(vm->model.l4);

	for (; w.level > 0; w.level--) {
		w.leaf = entry_at(at, va, w.level);
		if (!w.leaf || !(*w.leaf & PTE_P))
			return w;
		*table = at;
		if (mark && w.level > 1)
			set_bits(at, w.leaf, PTE_A);
		w.rights &= *w.leaf | PTE_NX;
		w.rights |= *w.leaf & PTE_NX;
		at = mfn_x(pte_mfn(*w.leaf));
	}
	w.mfn = at;
	return w;
}

static bool allows(const struct walk *w, unsigned int access)
{
	return w->level == 0 && (w->rights & PTE_US) &&
	       !((access & PF_WRITE) && !(w->rights & PTE_RW)) &&
	       !((access & PF_FETCH) && (w->rights & PTE_NX));
}

static void map(struct translation *t)
{
	int prot = PROT_READ | (t->stored ? PROT_WRITE : 0) | (t->executable ? PROT_EXEC : 0);
	/* What is no memory reads as ones from a bus that nobody answers on. */
	bool memory = t->mfn < vm->nr_frames;
	int flags = MAP_FIXED | (memory ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	void *page = mmap((void *)t->va, PAGE_SIZE, prot, flags, memory ? vm->fd : -1,
			  memory ? (off_t)(t->mfn * PAGE_SIZE) : 0);

	if (page != (void *)t->va) {
		perror("mapping a page of the guest's");
		abort();
	}
	if (memory && t->stored)
		vm_dirty(t->mfn);
}

static struct translation *add(uint64_t va)
{
	struct translation *t;

	if (!used)
		tlb_empty();
	if (used == ENTRIES) {
		victim = victim * 1664525 + 1013904223;
		drop(&tlb[victim % ENTRIES]);
	}
	t = &tlb[used];
	t->va = va;
	t->next = *chain_of(va);
	*chain_of(va) = used++;
	return t;
}

/* Whether the cached @t is only waiting for the first store to set D. */
static bool waits_for_dirty(const struct translation *t, const struct walk *w)
{
	return !t->writable && w->mfn == t->mfn && allows(w, PF_WRITE) && !(*w->leaf & PTE_D);
}

/* What is cached does for the access, and the host's mapping was narrower, to see the first store. */
static bool widen(struct translation *t, unsigned int access)
{
	if (!t || !(access & PF_WRITE) || !t->writable || t->stored)
		return false;
	t->stored = true;
	map(t);
	return true;
}

int tlb_fill(uint64_t va, unsigned int access, unsigned int *error)
{
	struct translation *t = find(va & ~PAGE_OFFSET_MASK);
	uint64_t table = 0;
	struct walk w;
	bool stale;

	if (widen(t, access))
		return 0;
	w = walk(va, true, &table);
	stale = t && !((access & PF_WRITE) && waits_for_dirty(t, &w));
	if (stale)
		drop(t);
	if (stale || !allows(&w, access)) {
		*error =
			(access & (PF_WRITE | PF_FETCH)) | (stale || w.level == 0 ? PF_PRESENT : 0);
		return -EFAULT;
	}
	set_bits(table, w.leaf, access & PF_WRITE ? PTE_A | PTE_D : PTE_A);
	if (!t)
		t = add(va & ~PAGE_OFFSET_MASK);
	t->mfn = w.mfn;
	t->writable = (w.rights & PTE_RW) && (*w.leaf & PTE_D);
	t->executable = !(w.rights & PTE_NX);
	t->stored = (access & PF_WRITE) != 0;
	map(t);
	vm->stats.fills++;
	return 0;
}

void *tlb_access(uint64_t va, unsigned int access, unsigned int *error)
{
	struct translation *t = find(va & ~PAGE_OFFSET_MASK);

	if (!t || ((access & PF_WRITE) && !t->stored)) {
		if (tlb_fill(va, access, error))
			return NULL;
		t = find(va & ~PAGE_OFFSET_MASK);
	}
	*error = access;
	if (t->mfn >= vm->nr_frames)
		return NULL;
	return vm->mem + t->mfn * PAGE_SIZE + (va & PAGE_OFFSET_MASK);
}

void tlb_flush_va(uint64_t va)
{
	struct translation *t = find(va & ~PAGE_OFFSET_MASK);

	if (t)
		drop(t);
}

/* The way down to the tables of level 1, one remembered: translations next to each other share it. */
struct way {
	uint64_t region; /* the va's 2 MiB */
	uint64_t rights;
	const uint64_t *l1; /* NULL: not present */
};

static void way_to(struct way *way, uint64_t va)
{
	uint64_t at = mfn_x(vm->model.l4);

	way->region = va >> L2_SHIFT;
	way->rights = PTE_RW | PTE_US;
	way->l1 = NULL;
	for (unsigned int level = 4; level > 1; level--) {
		const uint64_t *entry = entry_at(at, va, level);

		if (!entry || !(*entry & PTE_P))
			return;
		way->rights = (way->rights & (*entry | PTE_NX)) | (*entry & PTE_NX);
		at = mfn_x(pte_mfn(*entry));
	}
	way->l1 = entry_at(at, 0, 1);
}

/* Whether a walk would give @t again, and so a CPU may have it at any time. */
static bool still_so(const struct translation *t, struct way *way)
{
	uint64_t leaf, rights;

	if (way->region != t->va >> L2_SHIFT)
		way_to(way, t->va);
	if (!way->l1)
		return false;
	leaf = way->l1[va_index(t->va, 1)];
	rights = (way->rights & (leaf | PTE_NX)) | (leaf & PTE_NX);
	return (leaf & PTE_P) && (leaf & PTE_A) && (rights & PTE_US) &&
	       mfn_x(pte_mfn(leaf)) == t->mfn &&
	       t->writable == ((rights & PTE_RW) && (leaf & PTE_D)) &&
	       t->executable == !(rights & PTE_NX);
}

void tlb_flush_all(void)
{
	struct way way = { .region = UINT64_MAX };

	vm->stats.flushes++;
	for (uint32_t i = used; i-- > 0;)
		if (!still_so(&tlb[i], &way))
			drop(&tlb[i]);
}

/* Whether the tables do not allow what @t does. A and D are nobody's concern. */
static bool is_stale(const struct translation *t, struct way *way)
{
	uint64_t leaf, rights;

	if (way->region != t->va >> L2_SHIFT)
		way_to(way, t->va);
	leaf = way->l1 ? way->l1[va_index(t->va, 1)] : 0;
	rights = (way->rights & (leaf | PTE_NX)) | (leaf & PTE_NX);
	return !(leaf & PTE_P) || mfn_x(pte_mfn(leaf)) != t->mfn ||
	       (t->writable && !(rights & PTE_RW)) || (t->executable && (rights & PTE_NX));
}

uint64_t machine_stale(void)
{
	struct way way = { .region = UINT64_MAX };

	for (uint32_t i = 0; i < used; i++)
		if (is_stale(&tlb[i], &way))
			return tlb[i].va;
	return 0;
}

void tlb_watch_stores(void)
{
	for (uint32_t i = 0; i < used; i++) {
		if (!tlb[i].stored)
			continue;
		tlb[i].stored = false;
		map(&tlb[i]);
	}
}
