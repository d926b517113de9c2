/* SPDX-License-Identifier: MIT */
/*
 * The suite's own look for what a test left behind (leak.c): each thing left, seen, and taken back. What ends in a last
 * line of its own has a boot of its own, in t_selfcheck.c.
 */
#include <pinion/arch/cpu.h>
#include <pinion/lib/string.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/pmap.h>
#include "audit_play.h"
#include "internal.h"

static struct leak_state before;

/* What is different now; "" if nothing is. */
static const char *left(void)
{
	static char what[128];
	struct leak_state now;

	leak_read(&now);
	if (!leak_found(&before, &now, what, sizeof(what)))
		return "";
	return what;
}

#define CHECK_LEFT(want)                                                                        \
	({                                                                                      \
		const char *got_ = left();                                                      \
		if (strcmp(got_, want) != 0)                                                    \
			test_fail(__FILE__, __LINE__, "left: '%s', expected '%s'", got_, want); \
	})

TEST(leak, leak_pmap, "a PMAP slot left in use is seen", .phase = TEST_EARLY)
{
	void *va;

	leak_read(&before);
	CHECK_LEFT("");
	va = pmap_map(pfn_to_mfn(_pfn(0)), PMAP_READ_ONLY);
	CHECK_LEFT("leak: pmap: slots in use: were 0, are 0x1");
	pmap_unmap(va);
	CHECK_LEFT("");
}

/* A section that stays open swallows what later tests queue. */
TEST(leak, leak_batch, "an open section, sync mode and poison are seen")
{
	bool sync = mmu_batch_sync(), poison = frame_alloc_poison();

	leak_read(&before);
	mmu_batch_begin();
	CHECK(strcmp(left(), "") != 0);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK_LEFT("");
	mmu_batch_set_sync(!sync);
	CHECK(strncmp(left(), "leak: batch: sync mode", 22) == 0);
	mmu_batch_set_sync(sync);
	frame_alloc_set_poison(!poison);
	CHECK(strncmp(left(), "leak: poison", 12) == 0);
	frame_alloc_set_poison(poison);
	CHECK_LEFT("");
}

/* Frames alone don't tell it all: a test may free one and keep another. */
TEST(leak, leak_tables, "address spaces, tables, pins, holds and quarantine are seen")
{
	uint8_t owner;

	leak_read(&before);
	REQUIRE(play_set_up(true));
	CHECK(strncmp(left(), "leak: frames", 12) == 0);
	leak_read(&before);
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK(strncmp(left(), "leak: aspace: the current one", 29) == 0);
	leak_read(&before);
	/* What takes a pass over all frames a large guest is spared. */
	if (!audit_each()) {
		play_tear_down();
		return;
	}
	play.l1->holds = 2;
	CHECK_LEFT("leak: hold: holds: were 0, are 0x2");
	play.l1->holds = 0;
	frame_at(play.as.l4)->flags &= (uint8_t)~FRAME_PINNED;
	CHECK_LEFT("leak: pin: pinned tables: were 0x2, are 0x1");
	frame_at(play.as.l4)->flags |= FRAME_PINNED;
	owner = play.l1->owner;
	play.l1->owner = OWNER_QUARANTINE;
	CHECK_LEFT("leak: quarantine: frames: were 0, are 0x1");
	play.l1->owner = owner;
	frame_at(play.data)->execs = 3;
	CHECK_LEFT("leak: exec: executable leaves: were 0, are 0x3");
	frame_at(play.data)->execs = 0;
	CHECK_LEFT("");
	play_tear_down();
}
