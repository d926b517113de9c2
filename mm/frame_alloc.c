/* SPDX-License-Identifier: MIT */
/* The buddy allocator; see <pinion/mm/frame_alloc.h>. */
#include <pinion/arch/pte.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include <pinion/mm/boot_alloc.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/mmu_batch.h>
#include "frame_poison.h"

static uint32_t heads[FRAME_ORDER_MAX + 1];
static uint64_t nr_free;
static pfn_t reserve[FRAME_RESERVE];
static unsigned int nr_reserve;

/* => @n is the PFN of a frame of RAM */
static struct frame *at(uint64_t n)
{
	struct frame *frame = frame_at(_pfn(n));

	ASSERT(frame != NULL);
	return frame;
}

static void list_add(uint64_t n, unsigned int order)
{
	struct frame *frame = at(n);

	frame->kind = FRAME_FREE;
	frame->owner = OWNER_NONE;
	frame->flags = FRAME_FREE_HEAD | (frame->flags & FRAME_POISONED);
	frame->level = (uint8_t)order;
	frame->prev = FRAME_NIL;
	frame->next = heads[order];
	if (frame->next != FRAME_NIL)
		at(frame->next)->prev = (uint32_t)n;
	heads[order] = (uint32_t)n;
}

static void list_remove(uint64_t n, unsigned int order)
{
	struct frame *frame = at(n);

	if (frame->prev == FRAME_NIL)
		heads[order] = frame->next;
	else
		at(frame->prev)->next = frame->next;
	if (frame->next != FRAME_NIL)
		at(frame->next)->prev = frame->prev;
	frame->flags &= FRAME_POISONED;
}

/* Whether the block of @order at @n is free, whole, and in a list of its own. */
static bool block_is_free(uint64_t n, unsigned int order)
{
	const struct frame *frame = frame_at(_pfn(n));

	return frame && frame->kind == FRAME_FREE && (frame->flags & FRAME_FREE_HEAD) &&
	       frame->level == order;
}

static void release(uint64_t n, unsigned int order)
{
	uint64_t buddy;

	nr_free += UINT64_C(1) << order;
	for (; order < FRAME_ORDER_MAX; order++) {
		buddy = n ^ (UINT64_C(1) << order);
		if (!block_is_free(buddy, order))
			break;
		list_remove(buddy, order);
		n &= ~(UINT64_C(1) << order);
	}
	list_add(n, order);
}

/* All frames of a block become plain data (@by 1), or cease to be (-1). */
static void count_plain(uint64_t n, unsigned int order, int by)
{
	uint64_t end = n + (UINT64_C(1) << order);

	if (order < 9)
		frame_count_plain(n, by * (1 << order));
	else
		for (; n < end; n += TABLE_ENTRIES)
			frame_count_plain(n, by * TABLE_ENTRIES);
}

/* Marks the frames of a block as @kind and @owner's, all else cleared. */
static void mark(uint64_t n, unsigned int order, enum frame_kind kind, enum frame_owner owner)
{
	uint64_t i;

	for (i = 0; i < UINT64_C(1) << order; i++)
		*at(n + i) = (struct frame){
			.kind = (uint8_t)kind,
			.owner = (uint8_t)owner,
			.flags = kind == FRAME_DATA ? FRAME_PLAIN : 0,
		};
}

int frame_alloc(unsigned int order, enum frame_owner owner, pfn_t *pfn)
{
	unsigned int have = order;
	uint64_t n;

	if (order > FRAME_ORDER_MAX)
		return -EINVAL;
	while (have <= FRAME_ORDER_MAX && heads[have] == FRAME_NIL)
		have++;
	if (have > FRAME_ORDER_MAX)
		return -ENOMEM;
	n = heads[have];
	frame_poison_check(n, UINT64_C(1) << order);
	list_remove(n, have);
	while (have > order) {
		have--;
		list_add(n + (UINT64_C(1) << have), have);
	}
	mark(n, order, FRAME_DATA, owner);
	count_plain(n, order, 1);
	nr_free -= UINT64_C(1) << order;
	*pfn = _pfn(n);
	return 0;
}

/*
 * What makes a block impossible to take back is a bug of the caller's. Returns whether Xen has refused to make a frame
 * of it writable again.
 */
static bool check_block(uint64_t n, unsigned int order)
{
	const struct frame *frame;
	bool stuck = false;
	uint64_t i;

	if (order > FRAME_ORDER_MAX || n & ((UINT64_C(1) << order) - 1))
		panic("frame_free: pfn %#" PRI_pfn " is no block of order %u", n, order);
	for (i = 0; i < UINT64_C(1) << order; i++) {
		frame = frame_at(_pfn(n + i));
		if (likely(frame && frame->kind == FRAME_DATA && frame->flags == FRAME_PLAIN))
			continue;
		if (frame && frame->kind == FRAME_DATA && frame->flags == FRAME_STUCK)
			stuck = true;
		else
			panic("frame_free: pfn %#" PRI_pfn " is %s", n + i,
			      !frame			   ? "no RAM"
			      : frame->kind == FRAME_FREE  ? "free already"
			      : frame->kind == FRAME_TABLE ? "in use as a table"
							   : "read-only in the direct map");
	}
	return stuck;
}

/* Whether any of the block's frames is mapped elsewhere by a table of the direct map's. */
static bool block_is_shared(uint64_t n, unsigned int order)
{
	uint64_t end = n + (UINT64_C(1) << order);

	for (; n < end; n += TABLE_ENTRIES)
		if (direct_map_shared(_pfn(n)))
			return true;
	return false;
}

/* The reserve is filled first. */
static void take_back(uint64_t n, unsigned int order)
{
	if (order == 0 && nr_reserve < FRAME_RESERVE) {
		mark(n, 0, FRAME_DATA, OWNER_RESERVE);
		frame_poison_fill(n, 1);
		reserve[nr_reserve++] = _pfn(n);
		return;
	}
	mark(n, order, FRAME_FREE, OWNER_NONE);
	count_plain(n, order, -1);
	frame_poison_fill(n, UINT64_C(1) << order);
	release(n, order);
}

/* Stuck frames go into quarantine, until a retry makes them writable (mmu_batch_retry_quarantine()). */
static void free_around_stuck(uint64_t n, unsigned int order)
{
	uint64_t i, end = n + (UINT64_C(1) << order);

	for (i = n; i < end; i++)
		if (frame_at(_pfn(i))->flags & FRAME_STUCK)
			mmu_batch_quarantine(_pfn(i));
		else
			take_back(i, 0);
}

int frame_try_free(pfn_t pfn, unsigned int order)
{
	uint64_t n = pfn_x(pfn);
	bool stuck = check_block(n, order);

	if (block_is_shared(n, order))
		return -EBUSY;
	if (unlikely(stuck))
		free_around_stuck(n, order);
	else
		take_back(n, order);
	return 0;
}

void frame_free(pfn_t pfn, unsigned int order)
{
	if (frame_try_free(pfn, order))
		panic("frame_free: pfn %#" PRI_pfn ", order %u, is shared", pfn_x(pfn), order);
}

int frame_alloc_reserved(enum frame_owner owner, pfn_t *pfn)
{
	if (frame_alloc(0, owner, pfn) == 0)
		return 0;
	if (nr_reserve == 0)
		return -ENOMEM;
	frame_poison_check(pfn_x(reserve[nr_reserve - 1]), 1);
	*pfn = reserve[--nr_reserve];
	mark(pfn_x(*pfn), 0, FRAME_DATA, owner);
	return 0;
}

void frame_alloc_set_poison(bool on)
{
	unsigned int i;

	frame_poison_on = on;
	for (i = 0; i < nr_reserve; i++)
		frame_poison_fill(pfn_x(reserve[i]), 1);
}

uint64_t frame_alloc_free(void)
{
	return nr_free;
}

unsigned int frame_alloc_reserve(void)
{
	return nr_reserve;
}

/* A run in the largest aligned blocks that fit in it. */
static void take_over(pfn_t start, uint64_t nr)
{
	uint64_t n = pfn_x(start), end = n + nr;
	unsigned int order;

	while (n < end) {
		order = (unsigned int)__builtin_ctzl(n | UINT64_C(1) << FRAME_ORDER_MAX);
		while (n + (UINT64_C(1) << order) > end)
			order--;
		mark(n, order, FRAME_FREE, OWNER_NONE);
		count_plain(n, order, -1);
		release(n, order);
		n += UINT64_C(1) << order;
	}
}

void frame_alloc_init(void)
{
	unsigned int order;
	pfn_t pfn;

	for (order = 0; order <= FRAME_ORDER_MAX; order++)
		heads[order] = FRAME_NIL;
	boot_alloc_drain(take_over);
	while (nr_reserve < FRAME_RESERVE && frame_alloc(0, OWNER_RESERVE, &pfn) == 0)
		reserve[nr_reserve++] = pfn;
}

/* A frame that is free begins a block: of a possible order, aligned, and free to its end. */
static const char *audit_block(uint64_t n, pfn_t *where)
{
	const struct frame *head = &frame_table[n];
	uint64_t i, nr = UINT64_C(1) << (head->level & 31);

	*where = _pfn(n);
	if (!(head->flags & FRAME_FREE_HEAD))
		return "a free frame is in no block";
	if (head->level > FRAME_ORDER_MAX || n % nr || n + nr > frame_table_nr)
		return "a block has an impossible order";
	if (head->level < FRAME_ORDER_MAX && block_is_free(n ^ nr, head->level))
		return "a free block was not joined with its buddy";
	for (i = 1; i < nr; i++) {
		*where = _pfn(n + i);
		if (frame_table[n + i].kind != FRAME_FREE)
			return "a frame of a free block is not free";
		if (frame_table[n + i].flags & FRAME_FREE_HEAD)
			return "a frame is in two blocks";
	}
	return NULL;
}

/*
 * One list. Adds how many blocks it has to *@blocks. It ends: a block that came a second time would have another one
 * before it than the first time, or none.
 */
static const char *audit_list(unsigned int order, uint64_t *blocks, pfn_t *where)
{
	uint32_t prev = FRAME_NIL, n;

	for (n = heads[order]; n != FRAME_NIL; prev = n, n = frame_table[n].next) {
		*where = _pfn(n);
		if (!block_is_free(n, order))
			return "a block in a list is not free, or of another order";
		if (frame_table[n].prev != prev)
			return "a list is not linked both ways";
		++*blocks;
	}
	return NULL;
}

static const char *audit_reserve(uint64_t owned, pfn_t *where)
{
	unsigned int i;

	for (i = 0; i < nr_reserve; i++) {
		*where = reserve[i];
		if (!frame_at(reserve[i]) || frame_at(reserve[i])->owner != OWNER_RESERVE)
			return "a frame of the reserve is not the reserve's";
	}
	*where = INVALID_PFN;
	return owned == nr_reserve ? NULL : "the count of the reserve is wrong";
}

const char *frame_alloc_audit(pfn_t *where)
{
	uint64_t sum = 0, blocks = 0, listed = 0, reserved = 0, n, nr;
	const char *why = NULL;
	unsigned int order;

	for (n = 0; n < frame_table_nr && !why; n += nr) {
		nr = 1;
		reserved += frame_table[n].owner == OWNER_RESERVE;
		if (frame_table[n].kind != FRAME_FREE)
			continue;
		why = audit_block(n, where);
		nr = UINT64_C(1) << (frame_table[n].level & 31);
		blocks++;
		sum += nr;
	}
	for (order = 0; order <= FRAME_ORDER_MAX && !why; order++)
		why = audit_list(order, &listed, where);
	if (!why)
		why = audit_reserve(reserved, where);
	if (why)
		return why;
	*where = INVALID_PFN;
	if (listed != blocks)
		return "a free block is in no list";
	return sum == nr_free ? NULL : "the count of free frames is wrong";
}
