/* SPDX-License-Identifier: MIT */
/*
 * Published holes in operations that Xen breaks off in the middle. A long operation on page
 * tables is preempted when an event is pending that the guest has not masked: Xen notes how far
 * it got, delivers the event, and the guest's SYSCALL is done again for the rest. Between the two
 * the guest runs, with a table half promoted or half taken down.
 *
 *     guest    event pending, unmasked     upcall: during()     goes on
 *     ---------------|hypercall            |---------|          |-----------
 *     Xen            |  1st entry, breaks off        |  the rest|
 *
 * Here that happens on purpose. An event is made pending while upcalls are masked; then the mask
 * is cleared by a plain store, of which Xen learns only when it is next entered: by the
 * hypercall, if no interrupt comes first. If one does, the upcall comes too early, and the try is
 * made again.
 *
 * Source: Xen's security advisories, by number; hypercall_preempt_check and promote_l3_table in
 * arch/x86/mm.c.
 */
#include "raw.h"
#include <pinion/arch/cpu.h>
#include <pinion/lib/compiler.h>
#include <pinion/xen/evtchn.h>

#define TRIES 200

static struct {
	evtchn_port_t port;
	bool calling; /* between the store to the mask and the hypercall's end */
	bool broken_off;
	unsigned int tries;
	void (*during)(void);
} preempt;

static struct {
	evtchn_port_t ends[2];
} channel;

/*
 * The upcall. @calling tells it nothing of whether the hypercall has begun; during() finds that
 * out.
 */
static void upcall(evtchn_port_t port)
{
	if (preempt.calling && port == preempt.port)
		preempt.during();
}

static bool channel_open(void)
{
	long port = evtchn_alloc_unbound_self();
	struct evtchn_bind_interdomain bind = { .remote_dom = DOMID_SELF };

	if (!CHECK(port > 0))
		return false;
	bind.remote_port = (evtchn_port_t)port;
	CHECK_EQ(hypercall_event_channel_op(EVTCHNOP_bind_interdomain, &bind), 0);
	preempt.port = (evtchn_port_t)port;
	preempt.calling = false;
	CHECK_EQ(evtchn_set_handler(preempt.port, upcall), 0);
	channel.ends[0] = bind.local_port;
	channel.ends[1] = preempt.port;
	return true;
}

static void channel_close(void)
{
	CHECK_EQ(evtchn_close(channel.ends[0]), 0);
	CHECK_EQ(evtchn_close(channel.ends[1]), 0);
}

/* A loop of tries: until one was broken off, something failed, or luck can't be the reason. */
static void preempt_first(void)
{
	preempt.broken_off = false;
	preempt.tries = 0;
}

static bool preempt_more(void)
{
	return !preempt.broken_off && !test_failed() && preempt.tries++ < TRIES;
}

/*
 * Has an event become due at the next entry to Xen, whose upcall calls @during, which sets
 * preempt.broken_off if it comes in the middle.
 */
static void preempt_arm(void (*during)(void))
{
	preempt.broken_off = false;
	preempt.during = during;
	upcalls_mask();
	evtchn_notify(channel.ends[0]);
	preempt.calling = true;
	barrier();
	WRITE_ONCE(this_cpu()->vcpu_info->evtchn_upcall_mask, 0);
	barrier();
}

static void preempt_disarm(void)
{
	barrier();
	preempt.calling = false;
}

#define BATCH 8
static const uint64_t *batch_l1;

/* The first entry is written and the last is not: the call is under way. */
static void during_batch(void)
{
	preempt.broken_off = READ_ONCE(batch_l1[0]) != 0 && READ_ONCE(batch_l1[BATCH - 1]) == 0;
}

/*
 * XSA-45: lists of updates, pins and base pointers could keep a CPU for seconds, since Xen did
 * them in one go. A fixed Xen breaks off after any entry; who made the call sees nothing of it
 * but the upcall.
 */
RAW_TEST(xsa, xsa_45, "a batch is broken off by an event after its first entry, and done in full",
	 .needs = "events")
{
	uint64_t *l3 = raw_page(0), *l2 = raw_page(1), *l1 = raw_page(2);
	struct mmu_update req[BATCH];
	unsigned int i, done = 0;

	if (!channel_open())
		return;
	raw_link_tree(l3, l2, l1);
	batch_l1 = l1;
	for (preempt_first(); preempt_more();) {
		for (i = 0; i < BATCH; i++) {
			CHECK_EQ(raw_set(&l1[i], 0), 0);
			req[i].ptr = raw_maddr(&l1[i]);
			req[i].val = raw_pte(raw_page(3), RAW_RO);
		}
		preempt_arm(during_batch);
		CHECK_EQ(hypercall_mmu_update(req, BATCH, &done, DOMID_SELF), 0);
		preempt_disarm();
		CHECK_EQ(done, BATCH);
		for (i = 0; i < BATCH; i++)
			raw_check_stored(&l1[i], 1, req[i].val);
	}
	CHECK(preempt.broken_off);
	/*
	 * An error behind the break is reported for the whole call, with the count from its
	 * beginning.
	 */
	for (preempt_first(); preempt_more();) {
		for (i = 0; i < BATCH; i++)
			CHECK_EQ(raw_set(&l1[i], 0), 0);
		req[5].val = pte_make(_mfn(raw_unowned_mfn()), RAW_RO);
		preempt_arm(during_batch);
		CHECK_EQ(hypercall_mmu_update(req, BATCH, &done, DOMID_SELF), -EBUSY);
		preempt_disarm();
		CHECK_EQ(done, 5);
		CHECK(READ_ONCE(l1[4]) != 0 && READ_ONCE(l1[5]) == 0);
	}
	CHECK(preempt.broken_off);
	for (i = 0; i < BATCH; i++)
		CHECK_EQ(raw_set(&l1[i], 0), 0);
	raw_unlink_tree(l3, l2, l1);
	channel_close();
}

/* An L3, page 0, that links two L2s, pages 1 and 2, each with an L1, page 3 and 4. */
static void build_l3(void)
{
	raw_page(0)[0] = raw_pte(raw_page(1), RAW_LINK);
	raw_page(0)[1] = raw_pte(raw_page(2), RAW_LINK);
	raw_page(1)[0] = raw_pte(raw_page(3), RAW_LINK);
	raw_page(2)[0] = raw_pte(raw_page(4), RAW_LINK);
	raw_ro_all(0, 4);
}

/* Every page is plain again and nothing refers to its frame. */
static void check_free(unsigned int last)
{
	unsigned int i;

	raw_rw_all(0, last);
	for (i = 0; i <= last; i++)
		CHECK_EQ(raw_exchange(raw_page(i)), 0);
}

/*
 * Half promoted, the L3 has its type, and the L2 behind its first entry too; the second has none
 * yet. An L3 that can be made writable now is a table that Xen takes for checked.
 */
static void during_promotion(void)
{
	/* Not begun yet: then it is still a frame like any other. */
	if (raw_rw(raw_page(0)) == 0) {
		CHECK_EQ(raw_ro(raw_page(0)), 0);
		return;
	}
	preempt.broken_off = true;
	CHECK_EQ(raw_rw(raw_page(1)), -EBUSY);
	CHECK_EQ(raw_set(raw_entry(raw_page(0), 1), raw_pte(raw_page(0), RAW_RW)), -EBUSY);
	CHECK_EQ(raw_unpin(raw_page(0)), -EINVAL);
	CHECK_EQ(raw_pin(2, raw_page(0)), -EINVAL);
	CHECK_EQ(raw_pin(4, raw_page(0)), -EINVAL);
}

/* Who gets there first has the pin: the promotion that was broken off is finished by this one. */
static void during_promotion_pin(void)
{
	if (raw_rw(raw_page(0)) == 0) {
		CHECK_EQ(raw_ro(raw_page(0)), 0);
		return;
	}
	preempt.broken_off = true;
	CHECK_EQ(raw_pin(3, raw_page(0)), 0);
}

/*
 * XSA-299 and 310: the state of a half-promoted or half-dropped table was kept wrongly, so that
 * references were lost or counted twice when it was gone on with, also by another operation than
 * the one that was broken off. With a fixed Xen the table stays a table at every moment, and
 * nothing refers to it in the end.
 */
RAW_TEST(xsa, xsa_299,
	 "a half-promoted L3 is a table already, and leaves no reference when it is taken down",
	 .needs = "events")
{
	long rc;

	if (!channel_open())
		return;
	for (preempt_first(); preempt_more();) {
		build_l3();
		preempt_arm(during_promotion);
		CHECK_EQ(raw_pin(3, raw_page(0)), 0);
		preempt_disarm();
		CHECK_EQ(raw_unpin(raw_page(0)), 0);
		raw_rw_all(0, 4);
	}
	CHECK(preempt.broken_off);
	check_free(4);
	for (preempt_first(); preempt_more();) {
		build_l3();
		preempt_arm(during_promotion_pin);
		rc = raw_pin(3, raw_page(0));
		preempt_disarm();
		CHECK_EQ(rc, preempt.broken_off ? -EINVAL : 0); /* pinned already */
		CHECK_EQ(raw_unpin(raw_page(0)), 0);
		CHECK_EQ(raw_unpin(raw_page(0)), -EINVAL);
		raw_rw_all(0, 4);
	}
	CHECK(preempt.broken_off);
	check_free(4);
	channel_close();
}

/*
 * XSA-310: a promotion that fails for good after it has been broken off has to give back what it
 * took before the break too. The L3's last entry links a writable page.
 */
RAW_TEST(xsa, xsa_310, "a promotion that is broken off and then fails gives everything back",
	 .needs = "events")
{
	if (!channel_open())
		return;
	for (preempt_first(); preempt_more();) {
		raw_page(0)[511] = raw_pte(raw_page(5), RAW_LINK);
		build_l3();
		preempt_arm(during_promotion);
		CHECK_EQ(raw_pin(3, raw_page(0)), -EINVAL);
		preempt_disarm();
		raw_rw_all(0, 4);
	}
	CHECK(preempt.broken_off);
	check_free(5);
	channel_close();
}

/*
 * Without its pin but not taken down in full, it can't be writable; unpinned by this if it is too
 * early.
 */
static void during_drop(void)
{
	CHECK_EQ(raw_rw(raw_page(0)), -EBUSY);
	preempt.broken_off = raw_unpin(raw_page(0)) == -EINVAL;
	if (!preempt.broken_off)
		CHECK_EQ(raw_pin(3, raw_page(0)), 0);
}

/*
 * XSA-58 and 252: the first version of breaking off lost count of the reference to the table, and
 * L3 and L4 were taken down in one go all the same. With a fixed Xen an unpin can be broken off,
 * and the frames can be freed.
 */
RAW_TEST(xsa, xsa_58, "an L3 whose unpin is broken off leaves no reference", .needs = "events")
{
	if (!channel_open())
		return;
	for (preempt_first(); preempt_more();) {
		build_l3();
		CHECK_EQ(raw_pin(3, raw_page(0)), 0);
		preempt_arm(during_drop);
		CHECK_EQ(raw_unpin(raw_page(0)), 0);
		preempt_disarm();
		raw_rw_all(0, 4);
	}
	CHECK(preempt.broken_off);
	check_free(4);
	channel_close();
}
