/* SPDX-License-Identifier: MIT */
/*
 * Inspect, hold and release; the rules stand in <pinion/mm/mmu_map.h>.
 *
 * A hold finds tables or has them built (mmu_map_build.c). It counts in each of the three, so that none of them is swapped for a copy
 * or unlinked.
 *
 * Every hold and release leaves a record of what its map held before, and a hook in the section. A section that fails
 * calls the hooks, and each undoes the newest record: so all is taken back in the opposite order,
 * and a part of a section (mmu_batch_rollback) as well as the whole. Tables that Xen was to know go with the section's own
 * entries. Those of an address space that it knows nothing of are plain stores, which the records take back;
 * and there a release lets tables go only when the section has succeeded.
 */
#include <pinion/arch/cpu.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/panic.h>
#include "mmu_map_internal.h"

#define SANE UINT64_C(0x6d6d755f6d617021)

/* An address that is held, and the tables that count it; as NULL: none. */
struct hold {
	struct aspace *as;
	uint64_t va;
	uint32_t table[LEVELS]; /* by level, 1 to 3 */
};

struct mmu_map {
	uint64_t sane; /* SANE and the address of the map itself */
	struct hold held;
	uint32_t shown[LEVELS + 1]; /* by level: what the views show, or FRAME_NIL */
	uint32_t backend;
};

static_assert(sizeof(struct mmu_map) <= MMU_MAP_T_WORDS * sizeof(uint64_t), "as the header says");

/* A hold or release of the section under way. */
struct change {
	struct mmu_map *map;
	struct hold was;
	/* A hold in tables that Xen does not know: the entry that links what was built, and its value before. */
	pfn_t parent;
	unsigned int index, top; /* top: the highest level that was built, or 0 */
	uint64_t old;
};

/* As many as a section has hooks. */
#define CHANGES_MAX 64

struct mmu_map_changes {
	unsigned int nr;
	struct change change[CHANGES_MAX];
};

static struct mmu_map_changes *changes_this(void)
{
	static struct mmu_map_changes first;
	struct cpu *cpu = this_cpu();

	if (!cpu->map_changes)
		cpu->map_changes = &first;
	return cpu->map_changes;
}

static uint64_t sane(const struct mmu_map *map)
{
	return SANE ^ (uintptr_t)map;
}

static void check_map(const struct mmu_map *map)
{
	if (!map || map->sane != sane(map))
		panic("mmu_map is given a map that is not in use");
}

static void show_nothing(struct mmu_map *map)
{
	unsigned int level;

	for (level = 1; level <= LEVELS; level++)
		map->shown[level] = FRAME_NIL;
}

static void show(struct mmu_map *map, const struct piece *p)
{
	unsigned int level;

	for (level = 1; level <= LEVELS; level++)
		map->shown[level] =
			level < p->bottom ? FRAME_NIL : (uint32_t)pfn_x(p->table[level]);
}

size_t mmu_map_t_size(void)
{
	return sizeof(struct mmu_map);
}

int mmu_map_t_init(mmu_map_t map, const struct mmu_map_mbackend *backend)
{
	int rc;

	if (!aspace_current())
		panic("mmu_map before the kernel runs on its own tables");
	if (map->sane == sane(map))
		return -EBUSY;
	rc = backend_get(backend);
	if (rc < 0)
		return rc;
	*map = (struct mmu_map){ .sane = sane(map), .backend = (uint32_t)rc };
	show_nothing(map);
	return 0;
}

int mmu_map_t_fini(mmu_map_t map)
{
	const struct mmu_map_changes *changes = changes_this();
	unsigned int i;

	check_map(map);
	if (map->held.as)
		return -EBUSY;
	for (i = 0; i < changes->nr; i++)
		if (changes->change[i].map == map)
			return -EBUSY;
	backend_put(map->backend);
	map->sane = 0;
	return 0;
}

/* The tables behind @va, as they will be. Returns 0, or -EINVAL for a superpage. */
static int walk(const struct aspace *as, uint64_t va, struct piece *p)
{
	unsigned int level;
	uint64_t entry;

	p->va = va;
	p->upper = PTE_RW;
	p->table[1] = p->table[2] = p->table[3] = INVALID_PFN;
	p->table[LEVELS] = as->l4;
	for (level = LEVELS; level > 1; level--) {
		entry = mmu_batch_peek(p->table[level], va_index(va, level));
		p->entry[level] = entry;
		if (!(entry & PTE_P))
			break;
		if (level < LEVELS && (entry & PTE_PSE))
			return -EINVAL;
		p->upper = combine(p->upper, entry);
		p->table[level - 1] = table_below(entry);
	}
	p->bottom = level;
	return 0;
}

int mmu_map_inspect_va(const struct aspace *as, mmu_map_t map, uint64_t va)
{
	struct piece p;
	int rc;

	check_map(map);
	show_nothing(map);
	if (!va_canonical(va) || (va >= XEN_VA_BASE && va < XEN_VA_END))
		return -EINVAL;
	rc = walk(as, va, &p);
	if (rc)
		return rc;
	show(map, &p);
	return (int)p.bottom;
}

/* One hold more, or less. A table that went with a failed section took its counts with it. */
static void count_hold(const struct hold *hold, int by)
{
	struct frame *frame;
	unsigned int level;

	for (level = 1; level < LEVELS; level++) {
		frame = frame_at(_pfn(hold->table[level]));
		if (frame && frame->kind == FRAME_TABLE)
			frame->holds = (uint32_t)((int64_t)frame->holds + by);
	}
	hold->as->holds = (uint32_t)((int64_t)hold->as->holds + by);
}

static void start_hold(struct mmu_map *map, struct aspace *as, const struct piece *p)
{
	unsigned int level;

	map->held.as = as;
	map->held.va = p->va & ~PAGE_OFFSET_MASK;
	for (level = 1; level < LEVELS; level++)
		map->held.table[level] = (uint32_t)pfn_x(p->table[level]);
	count_hold(&map->held, 1);
	show(map, p);
}

static void end_hold(struct mmu_map *map)
{
	count_hold(&map->held, -1);
	map->held.as = NULL;
	show_nothing(map);
}

static bool is_offline(const struct aspace *as, uint64_t va)
{
	return va_is_user(va) && (frame_at(as->l4)->flags & FRAME_PENDING) == FRAME_OFFLINE;
}

/* The tables of an L1 that nobody needs go. => p->bottom is 1 */
static int let_go(const struct aspace *as, const struct piece *p, bool offline)
{
	struct range_op op = { .as = NULL, .offline = offline };

	if (as->broken || !is_empty(p->table[1], 1))
		return 0;
	return range_unlink(&op, p, 1);
}

/* What was built offline for a hold is plain memory again. */
static void unbuild(const struct change *change, const struct hold *hold)
{
	unsigned int level;
	pfn_t table;

	table_store(change->parent, change->index, change->old);
	for (level = change->top; level > 0; level--) {
		table = _pfn(hold->table[level]);
		table_forget(table);
		table_release(table);
	}
}

/* The section has failed: the map is what it was. */
static void undo(const struct change *change, int rc)
{
	struct mmu_map *map = change->map;
	struct hold had = map->held;

	if (had.as) {
		end_hold(map);
		had.as->broken |= rc == -EIO;
		if (change->top > 0)
			unbuild(change, &had);
	}
	show_nothing(map);
	map->held = change->was;
	if (change->was.as) {
		change->was.as->broken |= rc == -EIO;
		count_hold(&map->held, 1);
	}
}

/* Nothing can refuse plain stores. */
static void let_go_offline(const struct hold *was)
{
	struct piece p;

	if (walk(was->as, was->va, &p) == 0 && p.bottom == 1 && let_go(was->as, &p, true))
		panic("tables that Xen does not know can't be unlinked");
}

/* The section has ended, with one record for each of these hooks: the newest first. */
static void ended(void *ctx, int rc)
{
	struct mmu_map_changes *changes = ctx;
	const struct change *change = &changes->change[--changes->nr];

	if (rc)
		undo(change, rc);
	else if (change->was.as && is_offline(change->was.as, change->was.va))
		let_go_offline(&change->was);
}

/* Records what the map holds. The record is the section's last. */
static int record(struct mmu_map *map)
{
	struct mmu_map_changes *changes = changes_this();
	int rc = changes->nr < CHANGES_MAX ? mmu_batch_on_end(ended, changes) : -ENOSPC;

	if (!rc)
		changes->change[changes->nr++] = (struct change){ .map = map, .was = map->held };
	return rc;
}

static int hold_in_section(struct mmu_map *map, struct range_op *op, struct piece *p,
			   unsigned int top)
{
	struct mmu_map_changes *changes = changes_this();
	struct change *change;
	int rc = record(map);

	if (!rc && top > 0)
		rc = map_build(op, map->backend, p, top);
	if (rc)
		return rc;
	change = &changes->change[changes->nr - 1];
	if (op->offline && top > 0) {
		change->top = top;
		change->parent = p->table[top + 1];
		change->index = va_index(p->va, top + 1);
		change->old = p->entry[top + 1];
	}
	start_hold(map, op->as, p);
	return 0;
}

/* Ends what one call has queued, from @mark on: at the outermost level it is sent. */
static int end_call(const struct mmu_batch_mark *mark, int rc)
{
	if (rc && mmu_batch_depth() > 1)
		mmu_batch_rollback(mark);
	return mmu_batch_end(rc);
}

int mmu_map_hold_va(struct aspace *as, mmu_map_t map, uint64_t va)
{
	struct range_op op = { .as = as, .user = va_is_user(va) };
	struct mmu_batch_mark mark;
	unsigned int top;
	struct piece p;
	int rc;

	check_map(map);
	if (map->held.as)
		return -EBUSY;
	show_nothing(map);
	rc = as->broken ? -EIO : range_check_place(as, va, va);
	if (!rc)
		rc = walk(as, va, &p);
	if (rc)
		return rc;
	op.offline = is_offline(as, va);
	top = map_to_build(&p);
	if (top == 0 && mmu_batch_depth() == 0) {
		start_hold(map, as, &p);
		return 0;
	}
	mmu_batch_begin();
	mark = mmu_batch_mark();
	return end_call(&mark, hold_in_section(map, &op, &p, top));
}

static int release_in_section(struct mmu_map *map)
{
	struct hold was = map->held;
	struct piece p;
	int rc = record(map);

	if (rc)
		return rc;
	end_hold(map);
	/* Plain stores can't be undone by the section: they wait for its end. Of a broken address space's tables nobody knows
	 * where they are. */
	if (was.as->broken || is_offline(was.as, was.va))
		return 0;
	if (walk(was.as, was.va, &p) || p.bottom > 1 || pfn_x(p.table[1]) != was.table[1])
		panic("the table of a hold, pfn %#x, is not where it was", was.table[1]);
	return let_go(was.as, &p, false);
}

int mmu_map_release_va(struct aspace *as, mmu_map_t map, uint64_t va)
{
	const struct hold *held = &map->held;
	const struct frame *l1;
	struct mmu_batch_mark mark;

	check_map(map);
	if (!as || held->as != as || held->va != (va & ~PAGE_OFFSET_MASK))
		return -EINVAL;
	l1 = frame_at(_pfn(held->table[1]));
	if (mmu_batch_depth() == 0 && (l1->live > 0 || l1->holds > 1)) {
		end_hold(map);
		return 0;
	}
	mmu_batch_begin();
	mark = mmu_batch_mark();
	return end_call(&mark, release_in_section(map));
}

static const uint64_t *view(const struct mmu_map *map, unsigned int level)
{
	const struct frame *frame;
	pfn_t table;

	check_map(map);
	table = _pfn(map->shown[level]);
	frame = frame_at(table);
	/* One that was only looked at may have gone. */
	return frame && frame->kind == FRAME_TABLE ? backend_view(table) : NULL;
}

const uint64_t *mmu_map_pml4t(mmu_map_t map)
{
	return view(map, 4);
}

const uint64_t *mmu_map_pdpt(mmu_map_t map)
{
	return view(map, 3);
}

const uint64_t *mmu_map_pdt(mmu_map_t map)
{
	return view(map, 2);
}

const uint64_t *mmu_map_pt(mmu_map_t map)
{
	return view(map, 1);
}
