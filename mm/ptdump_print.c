/* SPDX-License-Identifier: MIT */
/*
 * The walk as text; see <pinion/mm/ptdump.h>.
 *
 * A run is what lies side by side and is mapped alike: the same rights and cacheability, frames of the same class that the
 * frame table says the same of. The frames of RAM may be scattered, those of devices follow each other too. It is
 * printed when something else begins.
 */
#include <pinion/arch/probe.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frame_table.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/ptdump.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>

/* What a crash report prints of it: enough for a small kernel's own tables. */
#define CRASH_LINES   64
#define CRASH_ENTRIES (1U << 22)

/* What the pages of a run have in common. */
struct kin {
	uint64_t rights; /* PTE_RW, PTE_NX and the cacheability */
	uint32_t frame;	 /* frame_word(); 0: it has no entry */
	uint8_t class;
	bool shared; /* through a table of the direct map's, elsewhere */
};

struct dump {
	ptdump_line_fn *fn;
	void *ctx;
	const char *region; /* of the heading printed last */
	uint64_t start, pages;
	mfn_t mfn; /* of the first page */
	struct kin kin;
	struct ptdump_entry bad; /* the first of some that are bad alike, side by side, */
	unsigned int nr_bad;	 /* and how many there are */
	uint64_t entries, max;	 /* looked at; how many before it ends */
};

#define CACHE_BITS (PTE_PWT | PTE_PCD | PTE_PAT)

/* Flags of a frame that are worth a line of its own. */
#define SHOWN_FLAGS (FRAME_PINNED | FRAME_OFFLINE)

static const char *region_of(uint64_t va)
{
	if (va_is_user(va))
		return "user";
	if (va >= DIRECT_MAP && va < DIRECT_MAP_END)
		return "direct map";
	if (va >= VMAP_BASE && va < VMAP_END)
		return "vmap arena";
	return va >= VIRT_BASE ? "kernel image" : "nobody's";
}

static const char *owner_name(unsigned int owner)
{
	static const char *const names[] = {
		[OWNER_NONE] = "nobody",
		[OWNER_IMAGE] = "image",
		[OWNER_BOOT] = "boot",
		[OWNER_RING] = "ring",
		[OWNER_MODULE] = "module",
		[OWNER_P2M] = "p2m",
		[OWNER_FRAME_TABLE] = "frame table",
		[OWNER_DIRECT_MAP] = "direct map",
		[OWNER_KERNEL] = "kernel",
		[OWNER_RESERVE] = "reserve",
		[OWNER_ASPACE] = "aspace",
		[OWNER_MAP] = "map",
		[OWNER_VMAP] = "vmap",
		[OWNER_QUARANTINE] = "quarantine",
		[OWNER_TEST] = "test",
	};

	return owner < ARRAY_SIZE(names) && names[owner] ? names[owner] : "an unknown owner";
}

/* By the index that PAT, PCD and PWT make; Xen's PAT, which a PV guest lives with. */
static const char *cache_name(uint64_t rights)
{
	static const char *const names[] = { "wb", "wt", "uc-", "uc", "wc", "wp", "uc", "uc" };

	return names[((rights & PTE_PWT) ? 1 : 0) | ((rights & PTE_PCD) ? 2 : 0) |
		     ((rights & PTE_PAT) ? 4 : 0)];
}

/* In the largest unit that leaves no rest. */
static void format_size(char *buf, size_t n, uint64_t pages)
{
	uint64_t size = pages * 4;
	unsigned int unit;

	for (unit = 0; unit < 3 && size % 1024 == 0; unit++)
		size /= 1024;
	snprintf(buf, n, "%lu%c", size, "KMGT"[unit]);
}

static void format_frame(char *buf, size_t n, const struct dump *d)
{
	unsigned int kind = d->kin.frame & 0xff, owner = d->kin.frame >> 8 & 0xff,
		     level = d->kin.frame >> 16 & 0xff, flags = d->kin.frame >> 24;

	if (d->kin.class != PTDUMP_RAM)
		snprintf(buf, n, "mfn %" PRI_mfn ", %s", mfn_x(d->mfn), cache_name(d->kin.rights));
	else if (d->kin.frame == 0)
		snprintf(buf, n, "not in the frame table");
	else if (kind == FRAME_FREE)
		snprintf(buf, n, "free");
	else if (kind == FRAME_TABLE)
		snprintf(buf, n, "L%u table of %s%s%s", level, owner_name(owner),
			 flags & FRAME_PINNED ? ", pinned" : "",
			 flags & FRAME_OFFLINE ? ", offline" : "");
	else
		snprintf(buf, n, "%s%s%s", owner_name(owner),
			 (d->kin.rights & CACHE_BITS) ? ", " : "",
			 (d->kin.rights & CACHE_BITS) ? cache_name(d->kin.rights) : "");
}

/* The heading of a region, where one begins. */
static int heading(struct dump *d, uint64_t va)
{
	const char *region = region_of(va);
	char line[PTDUMP_LINE];

	if (d->region == region)
		return 0;
	d->region = region;
	snprintf(line, sizeof(line), "--- %s", region);
	return d->fn(d->ctx, line);
}

static int end_bad(struct dump *d)
{
	const struct ptdump_entry *e = &d->bad;
	char line[PTDUMP_LINE], more[24] = "";
	int rc = heading(d, e->va);

	if (rc)
		return rc;
	if (d->nr_bad > 1)
		snprintf(more, sizeof(more), ", and %u more", d->nr_bad - 1);
	snprintf(line, sizeof(line), "%016lx L%u entry %016lx: %s%s", e->va, e->level, e->entry,
		 e->bad, more);
	d->nr_bad = 0;
	return d->fn(d->ctx, line);
}

/* Prints the run under way, if there is one. */
static int end_run(struct dump *d)
{
	static const char *const classes[] = { "ram", "identity", "foreign" };
	char line[PTDUMP_LINE], size[24], frame[56];
	int rc;

	if (d->nr_bad > 0)
		return end_bad(d);
	if (d->pages == 0)
		return 0;
	rc = heading(d, d->start);
	if (rc)
		return rc;
	format_size(size, sizeof(size), d->pages);
	format_frame(frame, sizeof(frame), d);
	snprintf(line, sizeof(line), "%016lx-%016lx %6s r%c%c %-8s %s%s", d->start,
		 d->start + (d->pages << PAGE_SHIFT), size, d->kin.rights & PTE_RW ? 'w' : '-',
		 d->kin.rights & PTE_NX ? '-' : 'x', classes[d->kin.class], frame,
		 d->kin.shared ? ", shared" : "");
	d->pages = 0;
	return d->fn(d->ctx, line);
}

static int bad_entry(struct dump *d, const struct ptdump_entry *e)
{
	int rc;

	if (d->nr_bad > 0 && e->bad == d->bad.bad && pfn_eq(e->table, d->bad.table) &&
	    e->index == d->bad.index + d->nr_bad) {
		d->nr_bad++;
		return 0;
	}
	rc = end_run(d);
	d->bad = *e;
	d->nr_bad = 1;
	return rc;
}

static struct kin kin_of(const struct ptdump_entry *e)
{
	const struct frame *frame = frame_at(e->pfn), *table = frame_at(e->table);
	struct kin kin = {
		.rights = (e->writable ? PTE_RW : 0) | (e->executable ? 0 : PTE_NX) |
			  (e->entry & CACHE_BITS),
		.class = (uint8_t)e->class,
		.shared = table && table->owner == OWNER_DIRECT_MAP &&
			  va_index(e->va, 4) != SLOT_DIRECT_MAP,
	};
	uint32_t level = 0;

	if (!frame)
		return kin;
	if (frame->kind == FRAME_TABLE)
		level = frame->level;
	kin.frame = frame->kind | (uint32_t)frame->owner << 8 | level << 16;
	if (frame->kind == FRAME_TABLE)
		kin.frame |= (uint32_t)(frame->flags & SHOWN_FLAGS) << 24;
	return kin;
}

static bool is_alike(const struct kin *a, const struct kin *b)
{
	return a->rights == b->rights && a->frame == b->frame && a->class == b->class &&
	       a->shared == b->shared;
}

static int dump_entry(void *ctx, const struct ptdump_entry *e)
{
	struct dump *d = ctx;
	struct kin kin;
	int rc;

	if (d->max && ++d->entries > d->max)
		return 1;
	if (e->bad)
		return bad_entry(d, e);
	if (e->level > 1)
		return 0;
	kin = kin_of(e);
	if (d->pages > 0 && e->va == d->start + (d->pages << PAGE_SHIFT) &&
	    is_alike(&kin, &d->kin) &&
	    (kin.class == PTDUMP_RAM || mfn_eq(e->mfn, mfn_add(d->mfn, d->pages)))) {
		d->pages++;
		return 0;
	}
	rc = end_run(d);
	d->kin = kin;
	d->start = e->va;
	d->mfn = e->mfn;
	d->pages = 1;
	return rc;
}

static int dump_lines(struct dump *d, pfn_t l4)
{
	int rc = ptdump_walk(l4, dump_entry, d);

	return rc ? rc : end_run(d);
}

int ptdump_lines(pfn_t l4, ptdump_line_fn *fn, void *ctx)
{
	struct dump d = { .fn = fn, .ctx = ctx };

	return dump_lines(&d, l4);
}

struct sums {
	uint64_t tables[5], pinned, offline, shared, free, data, quarantine;
};

static void sum_frame(struct sums *s, const struct frame *frame)
{
	s->quarantine += frame->owner == OWNER_QUARANTINE;
	s->free += frame->kind == FRAME_FREE;
	s->data += frame->kind == FRAME_DATA;
	if (frame->kind != FRAME_TABLE)
		return;
	s->tables[frame->level <= 4 ? frame->level : 0]++;
	s->pinned += (frame->flags & FRAME_PINNED) != 0;
	s->offline += (frame->flags & FRAME_OFFLINE) != 0;
	s->shared += frame->parents > 1;
}

int ptdump_summary(ptdump_line_fn *fn, void *ctx)
{
	struct sums s = { 0 };
	const struct frame *frame;
	char line[PTDUMP_LINE];
	uint64_t pfn;
	int rc;

	for (pfn = 0; pfn < frame_table_nr; pfn++) {
		frame = frame_at(_pfn(pfn));
		if (frame)
			sum_frame(&s, frame);
	}
	snprintf(line, sizeof(line),
		 "tables: %lu L4, %lu L3, %lu L2, %lu L1; %lu pinned, %lu shared, %lu offline",
		 s.tables[4], s.tables[3], s.tables[2], s.tables[1], s.pinned, s.shared, s.offline);
	rc = fn(ctx, line);
	if (rc)
		return rc;
	snprintf(line, sizeof(line),
		 "frames: %lu free, %lu data, %lu in quarantine; vmap: %u areas, %lu pages", s.free,
		 s.data, s.quarantine, vmap_areas(), vmap_pages());
	return fn(ctx, line);
}

static int print_line(void *ctx, const char *line)
{
	print("%s%s\n", (const char *)ctx, line);
	return 0;
}

void ptdump(pfn_t l4)
{
	static char prefix[] = "ptdump: ";

	if (ptdump_lines(l4, print_line, prefix) || ptdump_summary(print_line, prefix))
		print("%sthe L4, pfn %#" PRI_pfn ", can't be read\n", prefix, pfn_x(l4));
}

/* @ctx counts down. */
static int crash_line(void *ctx, const char *line)
{
	unsigned int *left = ctx;

	if (*left == 0)
		return 1;
	--*left;
	print("panic:   %s\n", line);
	return 0;
}

static void crash_path(pfn_t l4, uint64_t va)
{
	uint64_t entries[5];
	unsigned int last = ptdump_path(l4, va, entries), level;

	print("panic: entries for %016lx:", va);
	for (level = 4; level >= last; level--)
		print(" L%u %lx", level, entries[level]);
	print("\n");
}

/* The tables in use; the kernel's own if what is broken is the record of them. */
static pfn_t crash_l4(void)
{
	uint64_t l4 = INVALID_PFN_X, entries[5];

	if (probe_load64(&aspace_current()->l4, &l4) || ptdump_path(_pfn(l4), 0, entries) > 4)
		return kernel_l4();
	return _pfn(l4);
}

void ptdump_crash(uint64_t fault)
{
	unsigned int left = CRASH_LINES;
	struct dump d = { .fn = crash_line, .ctx = &left, .max = CRASH_ENTRIES };
	pfn_t l4;
	int rc;

	/* Its record comes after the frame table. */
	if (!aspace_current())
		return;
	l4 = crash_l4();
	if (fault != UINT64_MAX)
		crash_path(l4, fault);
	print("panic: tables: L4 is pfn %#" PRI_pfn "\n", pfn_x(l4));
	rc = dump_lines(&d, l4);
	if (rc)
		print("panic:   %s\n", rc == -EFAULT ? "the L4 can't be read" : "and more");
	left = CRASH_LINES;
	if (ptdump_summary(crash_line, &left))
		print("panic:   and more\n");
}
