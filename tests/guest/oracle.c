/* SPDX-License-Identifier: MIT */
/*
 * Asking Xen (see oracle.h), in as few calls as the answers allow. Where yes is expected, 512 requests go in one mmu_update,
 * which stops at a no, and goes on behind it. Where no is expected, each request is a call of its own in a multicall, which goes on.
 * A pin that was given though it should not have been is taken back.
 */
#include "oracle.h"
#include <xen/xen.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/xen/hypercall.h>

#define SCRATCH_VA UINT64_C(0x0000355500000000)
#define CALLS	   64

static struct {
	struct oracle_report *report;
	uint64_t l1; /* machine address of the scratch table */
	unsigned int plain, tables;
	uint32_t plain_pfn[TABLE_ENTRIES], table_pfn[CALLS];
} oracle;

static void lie(uint32_t pfn, const char *claim, long expected, long answer)
{
	struct oracle_report *r = oracle.report;

	if (r->lies < ORACLE_LIES)
		r->first[r->lies] = (struct oracle_lie){ _pfn(pfn), claim, expected, answer };
	r->lies++;
}

static struct mmu_update map_request(unsigned int index, uint32_t pfn)
{
	return (struct mmu_update){
		.ptr = oracle.l1 + index * sizeof(uint64_t),
		.val = pte_make(pfn_to_mfn(_pfn(pfn)), PTE_P | PTE_RW | PTE_US | PTE_NX),
	};
}

/* Each takes a writable mapping. */
static void ask_plain(void)
{
	static struct mmu_update requests[TABLE_ENTRIES];
	unsigned int i, done;
	long rc;

	for (i = 0; i < oracle.plain; i++)
		requests[i] = map_request(i, oracle.plain_pfn[i]);
	for (i = 0; i < oracle.plain; i++) {
		done = 0;
		rc = hypercall_mmu_update(requests + i, oracle.plain - i, &done, DOMID_SELF);
		i += done;
		if (rc)
			lie(oracle.plain_pfn[i], "plain: a writable mapping", 0, rc);
	}
	oracle.plain = 0;
}

/* One mmuext operation a table, all at once; the answers are in calls[]. */
static void ask_ops(const struct mmuext_op *ops, struct multicall_entry *calls, unsigned int n)
{
	unsigned int i;
	long rc;

	for (i = 0; i < n; i++)
		calls[i] = (struct multicall_entry){
			.op = __HYPERVISOR_mmuext_op,
			.args = { (uintptr_t)&ops[i], 1, 0, DOMID_SELF },
		};
	rc = hypercall_multicall(calls, n);
	for (i = 0; rc && i < n; i++)
		calls[i].result = (unsigned long)rc;
}

/* None is to be pinned that is; each other is. */
static void ask_pins(void)
{
	static struct multicall_entry calls[CALLS];
	static struct mmuext_op ops[CALLS];
	const struct frame *frame;
	uint32_t given[CALLS];
	unsigned int i, n = 0;
	long want;

	for (i = 0; i < oracle.tables; i++) {
		ops[i] = (struct mmuext_op){ .arg1.mfn =
						     mfn_x(pfn_to_mfn(_pfn(oracle.table_pfn[i]))) };
		ops[i].cmd = MMUEXT_PIN_L1_TABLE + frame_at(_pfn(oracle.table_pfn[i]))->level - 1U;
	}
	ask_ops(ops, calls, oracle.tables);
	for (i = 0; i < oracle.tables; i++) {
		frame = frame_at(_pfn(oracle.table_pfn[i]));
		want = (frame->flags & FRAME_PINNED) ? -EINVAL : 0;
		if ((long)calls[i].result != want)
			lie(oracle.table_pfn[i], want ? "pinned: a pin" : "not pinned: a pin", want,
			    (long)calls[i].result);
		if ((long)calls[i].result != 0)
			continue;
		given[n] = oracle.table_pfn[i];
		ops[n] = (struct mmuext_op){ .cmd = MMUEXT_UNPIN_TABLE,
					     .arg1.mfn = ops[i].arg1.mfn };
		n++;
	}
	ask_ops(ops, calls, n);
	for (i = 0; i < n; i++)
		if (calls[i].result)
			lie(given[i], "pinned by the oracle: an unpin", 0, (long)calls[i].result);
}

/* None takes a writable mapping. */
static void ask_tables(void)
{
	static struct multicall_entry calls[CALLS];
	static struct mmu_update requests[CALLS];
	unsigned int i;
	long rc;

	for (i = 0; i < oracle.tables; i++) {
		requests[i] = map_request(i, oracle.table_pfn[i]);
		calls[i] = (struct multicall_entry){
			.op = __HYPERVISOR_mmu_update,
			.args = { (uintptr_t)&requests[i], 1, 0, DOMID_SELF },
		};
	}
	rc = hypercall_multicall(calls, oracle.tables);
	for (i = 0; i < oracle.tables; i++)
		if (rc || (long)calls[i].result != -EBUSY)
			lie(oracle.table_pfn[i], "a table: a writable mapping", -EBUSY,
			    rc ? rc : (long)calls[i].result);
	ask_pins();
	oracle.tables = 0;
}

static void flush(void)
{
	if (oracle.plain)
		ask_plain();
	if (oracle.tables)
		ask_tables();
}

/* Of what is read-only for the kernel's own reasons, and of the quarantine, nothing is claimed. */
static void add(uint64_t pfn)
{
	const struct frame *frame = frame_at(_pfn(pfn));
	bool table;

	if (!frame || frame->owner == OWNER_QUARANTINE ||
	    (frame->kind == FRAME_DATA && !(frame->flags & FRAME_PLAIN)))
		return;
	table = frame->kind == FRAME_TABLE && !(frame->flags & FRAME_OFFLINE);
	oracle.report->asked++;
	if (table)
		oracle.table_pfn[oracle.tables++] = (uint32_t)pfn;
	else
		oracle.plain_pfn[oracle.plain++] = (uint32_t)pfn;
	if (oracle.plain == TABLE_ENTRIES || oracle.tables == CALLS)
		flush();
}

/* Xen forgets all mappings of the scratch table, and so does the TLB. */
static int clear(uint64_t first)
{
	struct mmuext_op tlb = { .cmd = MMUEXT_TLB_FLUSH_LOCAL };
	struct mmu_update request;
	unsigned int i;
	long rc = 0;

	for (i = 0; i < TABLE_ENTRIES && !rc; i++) {
		request = (struct mmu_update){ oracle.l1 + i * sizeof(uint64_t), i ? 0 : first };
		rc = hypercall_mmu_update(&request, 1, NULL, DOMID_SELF);
	}
	if (!rc)
		rc = hypercall_mmuext_op(&tlb, 1, NULL, DOMID_SELF);
	return (int)rc;
}

static void draw(struct rng *rng, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		add(rng ? rng_below(rng, frame_table_nr) : i);
}

/* In an address space of its own, whose one page makes the table that is played with. */
static int ask_in(struct aspace *as, pfn_t page, struct rng *rng, pfn_t only, uint64_t n)
{
	struct aspace_range r = { SCRATCH_VA, 1, NULL };
	struct aspace *was = aspace_current();
	unsigned int level;
	pfn_t table;
	int rc = aspace_map(as, &r, &page, ASPACE_RW), back;

	if (!rc)
		rc = aspace_activate(as);
	if (rc)
		return rc;
	for (table = as->l4, level = 4; level > 1; level--)
		table = table_below(table_read(table, va_index(SCRATCH_VA, level)));
	oracle.l1 = maddr_x(mfn_to_maddr(pfn_to_mfn(table)));
	if (pfn_eq(only, INVALID_PFN))
		draw(rng, n);
	else
		add(pfn_x(only));
	flush();
	rc = clear(table_read(table, 0));
	back = aspace_activate(was);
	return rc ? rc : back;
}

static int ask(struct rng *rng, pfn_t only, uint64_t n, struct oracle_report *report)
{
	struct aspace as;
	pfn_t page;
	int rc = frame_alloc(0, OWNER_TEST, &page), end;

	memset(report, 0, sizeof(*report));
	oracle.report = report;
	if (rc)
		return rc;
	rc = aspace_create(&as);
	if (!rc) {
		rc = ask_in(&as, page, rng, only, n);
		end = aspace_destroy(&as);
		rc = rc ? rc : end;
	}
	frame_free(page, 0);
	return rc;
}

int oracle_ask_one(pfn_t pfn, struct oracle_report *report)
{
	return ask(NULL, pfn, 0, report);
}

int oracle_ask_some(struct rng *rng, unsigned int n, struct oracle_report *report)
{
	return ask(rng, INVALID_PFN, n, report);
}

int oracle_ask_all(struct oracle_report *report)
{
	return ask(NULL, INVALID_PFN, frame_table_nr, report);
}
