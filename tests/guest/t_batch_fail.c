/* SPDX-License-Identifier: MIT */
/*
 * A section that Xen refuses somewhere leaves nothing behind, and says exactly what was refused. Each kind of entry is
 * refused, by real rules of Xen's, at each place among entries of all kinds that are good.
 *
 * Source: do_mmu_update and do_mmuext_op stop at their first failure (ABI: 'Batches, preemption,
 * flushes'); what is refused and with which errno: ABI, 'What must fail, and how'.
 */
#include "batch.h"
#include "raw.h"
#include <xen/memory.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>

static struct batch_tables t;

/* Frames prepared for being refused. */
static struct {
	pfn_t aliased; /* mapped writable in L1 2, entry 0: no table for Xen */
	pfn_t typed;   /* plain data to us, a pinned L1 to Xen */
	pfn_t gone;    /* its memory is Xen's again */
	uint64_t unowned;
} bad;

/* One frame goes back to Xen, or another comes in its place. */
static bool reserve(unsigned int cmd, xen_pfn_t *extent)
{
	struct xen_memory_reservation what = { .nr_extents = 1, .domid = DOMID_SELF };

	set_xen_guest_handle(what.extent_start, extent);
	return CHECK_EQ(hypercall_memory_op(cmd, &what), 1);
}

/* The P2M still says what it was. */
static bool give_back(pfn_t pfn)
{
	xen_pfn_t extent = mfn_x(pfn_to_mfn(pfn));

	return CHECK_EQ(hypercall_update_va_mapping((uintptr_t)direct_va(pfn), 0, UVMF_INVLPG),
			0) &&
	       reserve(XENMEM_decrease_reservation, &extent);
}

static void get_again(pfn_t pfn)
{
	xen_pfn_t extent = pfn_x(pfn);

	if (!reserve(XENMEM_populate_physmap, &extent))
		return;
	CHECK_EQ(p2m_set(&kernel_p2m, pfn, _mfn(extent)), 0);
	CHECK_EQ(hypercall_update_va_mapping((uintptr_t)direct_va(pfn),
					     pte_make(_mfn(extent), PTE_KERNEL_RW), UVMF_INVLPG),
		 0);
}

static bool bad_up(void)
{
	bad.gone = t.data[18];
	bad.aliased = t.data[16];
	bad.typed = t.data[17];
	bad.unowned = raw_unowned_mfn();
	memset(direct_va(bad.typed), 0, PAGE_SIZE);
	memset(direct_va(bad.aliased), 0, PAGE_SIZE);
	return CHECK_EQ(mmu_batch_one(t.l1[2], 0, 0, batch_leaf(bad.aliased, USER_RW),
				      batch_va(2, 0)),
			0) &&
	       CHECK_EQ(direct_map_protect(bad.typed, PTE_KERNEL_RO), 0) &&
	       CHECK_EQ(batch_raw_ext(MMUEXT_PIN_L1_TABLE, bad.typed), 0) && give_back(bad.gone);
}

static void bad_down(void)
{
	get_again(bad.gone);
	CHECK_EQ(batch_raw_ext(MMUEXT_UNPIN_TABLE, bad.typed), 0);
	CHECK_EQ(direct_map_protect(bad.typed, PTE_KERNEL_RW), 0);
}

/* Each queues something that Xen accepts, and adds to *@n how many entries that is. */
static int good_new_leaf(unsigned int *n)
{
	*n += 1;
	return mmu_batch_set(t.l1[0], 60, batch_leaf(t.data[3], USER_RO), batch_va(0, 60));
}

static int good_narrow_leaf(unsigned int *n)
{
	*n += 1;
	return mmu_batch_set(t.l1[0], 1, batch_leaf(t.data[1], USER_RO), batch_va(0, 1));
}

static int good_bulk(unsigned int *n)
{
	struct mmu_batch_room room;
	unsigned int i;
	int rc = mmu_batch_open(t.l1[1], &room);

	for (i = 0; i < 5 && !rc; i++) {
		room.requests[i].ptr = room.ptr + (i + 2) * sizeof(uint64_t);
		room.requests[i].val = 0;
		room.old[i] = table_read(t.l1[1], i + 2);
	}
	*n += 5;
	return rc ? rc : mmu_batch_close(t.l1[1], 5, MMU_BATCH_UNMAP, batch_va(1, 0));
}

static int good_make(unsigned int *n)
{
	pfn_t table = batch_new_table(1);
	int rc = mmu_batch_make_table(table, batch_release);

	*n += 2;
	if (rc) {
		table_forget(table);
		frame_free(table, 0);
	}
	return rc ? rc : mmu_batch_set(t.l2, 30, batch_link(table), 0);
}

static int good_leave(unsigned int *n)
{
	int rc = mmu_batch_set(t.l2, 3, 0, 0);

	*n += 2;
	return rc ? rc : mmu_batch_unmake_table(t.l1[3], batch_release);
}

static int good_pin(unsigned int *n)
{
	*n += 1;
	return mmu_batch_pin(t.l1[2], 1);
}

static int good_baseptr(unsigned int *n)
{
	*n += 1;
	return mmu_batch_new_baseptr(t.as.l4, t.as.l4);
}

static int good_direct(unsigned int *n)
{
	*n += 1;
	return mmu_batch_direct(t.data[20], false);
}

static int good_upper(unsigned int *n)
{
	*n += 1;
	return mmu_batch_set(t.l2, 1, batch_link(t.l1[1]) & ~PTE_RW, 0);
}

static int good_unpin(unsigned int *n)
{
	*n += 2;
	if (mmu_batch_unpin(t.as.l4, 4))
		return -ENOSPC;
	return mmu_batch_pin(t.as.l4, 4);
}

typedef int queue_fn(unsigned int *n);

static queue_fn *const good[] = {
	good_new_leaf, good_narrow_leaf, good_bulk,   good_make,  good_leave,
	good_pin,      good_baseptr,	 good_direct, good_upper, good_unpin,
};

/* Each queues something that Xen refuses; *@n grows by the good entries of it that come before. */
static int bad_leaf(unsigned int *n __maybe_unused)
{
	return mmu_batch_set(t.l1[0], 100, batch_leaf(t.l1[1], USER_RW), 0);
}

static int bad_unowned(unsigned int *n __maybe_unused)
{
	return mmu_batch_set(t.l1[0], 100, pte_make(_mfn(bad.unowned), USER_RW), 0);
}

/* Of nobody's domain. */
static int bad_domain(unsigned int *n __maybe_unused)
{
	return mmu_batch_set_foreign(t.l1[0], 100, batch_leaf(t.data[0], USER_RO), 0, 0x7000);
}

static int bad_link(unsigned int *n)
{
	int rc = table_begin(bad.aliased, 1, true);

	if (!rc)
		rc = mmu_batch_make_table(bad.aliased, batch_release_kept);
	*n += 1;
	return rc ? rc : mmu_batch_set(t.l2, 31, batch_link(bad.aliased), 0);
}

static unsigned int bulk_bad_at;

static int bad_bulk(unsigned int *n)
{
	struct mmu_batch_room room;
	unsigned int i;
	int rc = mmu_batch_open(t.l1[2], &room);

	for (i = 0; i < 9 && !rc; i++) {
		room.requests[i].ptr = room.ptr + (i + 100) * sizeof(uint64_t);
		room.requests[i].val = i == bulk_bad_at ? batch_leaf(t.l1[1], USER_RW)
							: batch_leaf(t.data[i], USER_RO);
		room.old[i] = 0;
	}
	*n += bulk_bad_at;
	return rc ? rc : mmu_batch_close(t.l1[2], 9, MMU_BATCH_MAP, 0);
}

static int bad_pin(unsigned int *n __maybe_unused)
{
	return mmu_batch_pin(bad.aliased, 1);
}

static int bad_unpin(unsigned int *n __maybe_unused)
{
	return mmu_batch_unpin(t.l1[1], 1);
}

static int bad_baseptr(unsigned int *n __maybe_unused)
{
	return mmu_batch_new_baseptr(t.l1[1], t.as.l4);
}

/* Still linked. */
static int bad_leave(unsigned int *n __maybe_unused)
{
	return mmu_batch_unmake_table(t.l3, batch_release);
}

static int bad_direct(unsigned int *n __maybe_unused)
{
	return mmu_batch_direct(bad.typed, true);
}

static int bad_make(unsigned int *n __maybe_unused)
{
	int rc = table_begin(bad.gone, 1, false);

	if (rc)
		return rc;
	rc = mmu_batch_make_table(bad.gone, batch_release_kept);
	if (rc)
		table_forget(bad.gone);
	return rc;
}

struct refusal {
	const char *who;
	queue_fn *queue;
	enum mmu_batch_op op, op_alone;
	int rc;
};

static const struct refusal refusals[] = {
	{ "bad_leaf", bad_leaf, MMU_BATCH_UPDATE, MMU_BATCH_UPDATE, -EBUSY },
	{ "bad_unowned", bad_unowned, MMU_BATCH_UPDATE, MMU_BATCH_UPDATE, -EBUSY },
	{ "bad_domain", bad_domain, MMU_BATCH_UPDATE, MMU_BATCH_UPDATE, -ESRCH },
	{ "bad_link", bad_link, MMU_BATCH_UPDATE, MMU_BATCH_UPDATE, -EINVAL },
	{ "bad_bulk", bad_bulk, MMU_BATCH_UPDATE, MMU_BATCH_UPDATE, -EBUSY },
	{ "bad_pin", bad_pin, MMU_BATCH_PIN, MMU_BATCH_PIN, -EINVAL },
	{ "bad_unpin", bad_unpin, MMU_BATCH_UNPIN, MMU_BATCH_UNPIN, -EINVAL },
	{ "bad_baseptr", bad_baseptr, MMU_BATCH_BASEPTR, MMU_BATCH_BASEPTR, -EINVAL },
	{ "bad_make", bad_make, MMU_BATCH_UPDATE, MMU_BATCH_UVA, -EBUSY },
	{ "bad_leave", bad_leave, MMU_BATCH_UPDATE, MMU_BATCH_UVA, -EBUSY },
	{ "bad_direct", bad_direct, MMU_BATCH_UPDATE, MMU_BATCH_UVA, -EBUSY },
};

/* A section of everything good, with one refusal before the good entry @place (or behind all). */
static void refuse_at(const struct refusal *r, unsigned int place, bool sync)
{
	struct mmu_batch_counters before = mmu_batch_counters(), after;
	uint64_t state = batch_state();
	/* A leaf alone behind the operations goes by its address. */
	enum mmu_batch_op op = sync || place == ARRAY_SIZE(good) ? r->op_alone : r->op;
	struct mmu_batch_error e;
	unsigned int i, n = 0, behind = 0;
	int rc = 0;

	mmu_batch_begin();
	for (i = 0; i < place && !rc; i++)
		rc = good[i](&n);
	CHECK_EQ(rc, 0);
	rc = r->queue(&n);
	CHECK_EQ(rc, sync ? r->rc : 0);
	for (i = place; i < ARRAY_SIZE(good) && !rc; i++)
		rc = good[i](&behind);
	if (!CHECK_EQ(mmu_batch_end(rc), r->rc))
		test_note("%s at %u", r->who, place);
	e = mmu_batch_error();
	after = mmu_batch_counters();
	if (e.index != n || e.rc != r->rc || e.op != op || strcmp(e.who, r->who) != 0)
		test_fail(__FILE__, __LINE__, "%s at %u is reported as %u, %d, op %u of %s", r->who,
			  n, e.index, e.rc, e.op, e.who);
	CHECK_EQ(e.undone, n);
	CHECK_EQ(e.stuck, 0);
	CHECK_EQ(after.undone - before.undone, n);
	CHECK_EQ(after.failed - before.failed, 1);
	CHECK_EQ(after.sections, before.sections);
	CHECK_EQ(after.quarantined, before.quarantined);
	if (batch_state() != state)
		test_fail(__FILE__, __LINE__, "%s at %u leaves something behind", r->who, place);
}

/* What all of it does when nothing is refused: else "as before" would prove nothing. */
static void accept_all(void)
{
	uint64_t state = batch_state();
	unsigned int i, n = 0;
	int rc = 0;

	mmu_batch_begin();
	for (i = 0; i < ARRAY_SIZE(good) && !rc; i++)
		rc = good[i](&n);
	CHECK_EQ(mmu_batch_end(rc), 0);
	CHECK(batch_state() != state);
	CHECK(frame_at(t.l1[2])->flags & FRAME_PINNED);
	CHECK(!(frame_at(t.data[20])->flags & FRAME_PLAIN));
	CHECK_EQ(frame_at(t.l1[1])->live, BATCH_MAPS - 5);
	CHECK_EQ(frame_at(t.l2)->live, BATCH_L1S);
	mmu_batch_begin();
	rc = mmu_batch_unpin(t.l1[2], 1);
	if (!rc)
		rc = mmu_batch_direct(t.data[20], true);
	CHECK_EQ(mmu_batch_end(rc), 0);
}

static void refuse_all(bool sync)
{
	static const unsigned int bulk_places[] = { 4, 0, 8 };
	unsigned int i, place;

	REQUIRE(batch_up(&t));
	REQUIRE(bad_up());
	mmu_batch_set_sync(sync);
	for (i = 0; i < ARRAY_SIZE(refusals) && !test_failed(); i++) {
		bulk_bad_at = bulk_places[i % 3];
		for (place = 0; place <= ARRAY_SIZE(good) && !test_failed(); place++)
			refuse_at(&refusals[i], place, sync);
	}
	for (i = 0; i < 9 && !test_failed(); i++) {
		bulk_bad_at = i;
		refuse_at(&refusals[4], i, sync);
	}
	accept_all();
	mmu_batch_set_sync(false);
	bad_down();
	batch_down(&t);
}

TEST(batch, batch_refused,
     "a refusal at any place of any section leaves nothing behind, and is named")
{
	refuse_all(false);
}

TEST(batch, batch_refused_sync, "the same when each entry goes out as it is queued")
{
	refuse_all(true);
}
