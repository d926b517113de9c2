/* SPDX-License-Identifier: MIT */
/* The oracle, tested by making the frame table lie: one claim of each kind, each named by Xen's answer. */
#include <pinion/lib/string.h>
#include <pinion/mm/p2m.h>
#include <pinion/xen/hypercall.h>
#include "audit_play.h"
#include "oracle.h"

static struct oracle_report answers;

static void truth(pfn_t pfn)
{
	CHECK_EQ(oracle_ask_one(pfn, &answers), 0);
	CHECK_EQ(answers.asked, 1);
	CHECK_EQ(answers.lies, 0);
}

static void a_lie(pfn_t pfn, uint64_t lies, const char *claim, long answer)
{
	CHECK_EQ(oracle_ask_one(pfn, &answers), 0);
	if (!CHECK_EQ(answers.lies, lies))
		return;
	CHECK_EQ(pfn_x(answers.first[lies - 1].pfn), pfn_x(pfn));
	if (!CHECK(strcmp(answers.first[lies - 1].claim, claim) == 0))
		test_note("instead: %s", answers.first[lies - 1].claim);
	CHECK_EQ(answers.first[lies - 1].answer, answer);
}

static long pin(unsigned int cmd, pfn_t pfn)
{
	struct mmuext_op op = { .cmd = cmd, .arg1.mfn = mfn_x(pfn_to_mfn(pfn)) };

	return hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

/* A table that is called memory would be written to, or given away. */
TEST(oracle, oracle_plain, "a table that the frame table calls plain is refused a writable mapping")
{
	struct frame was;

	REQUIRE(play_set_up(true));
	truth(play.data);
	truth(play.table[1]);
	was = *play.l1;
	*play.l1 = (struct frame){ .kind = FRAME_DATA, .owner = OWNER_TEST, .flags = FRAME_PLAIN };
	a_lie(play.table[1], 1, "plain: a writable mapping", -EBUSY);
	*play.l1 = was;
	truth(play.table[1]);
	play_tear_down();
}

/* Memory that is called a table is lost, or Xen refuses to use it as one. */
TEST(oracle, oracle_table, "memory that the frame table calls a table takes a writable mapping")
{
	struct frame *data, was;

	REQUIRE(play_set_up(true));
	data = frame_at(play.data);
	was = *data;
	*data = (struct frame){ .kind = FRAME_TABLE, .owner = OWNER_TEST, .level = 1 };
	CHECK_EQ(oracle_ask_one(play.data, &answers), 0);
	CHECK_EQ(answers.lies, 2);
	CHECK(strcmp(answers.first[0].claim, "a table: a writable mapping") == 0);
	CHECK_EQ(answers.first[0].answer, 0);
	CHECK(strcmp(answers.first[1].claim, "not pinned: a pin") == 0);
	CHECK_EQ(answers.first[1].answer, -EINVAL);
	*data = was;
	truth(play.data);
	play_tear_down();
}

/* A pin too much keeps a table for good; one too few lets it go while it is in use. */
TEST(oracle, oracle_pins, "a pin that is not Xen's, and one of Xen's that is not known, are found")
{
	REQUIRE(play_set_up(true));
	truth(play.as.l4);
	play.l1->flags |= FRAME_PINNED;
	a_lie(play.table[1], 1, "pinned: a pin", 0);
	play.l1->flags &= (uint8_t)~FRAME_PINNED;
	truth(play.table[1]);
	CHECK_EQ(pin(MMUEXT_PIN_L1_TABLE, play.table[1]), 0);
	a_lie(play.table[1], 1, "not pinned: a pin", -EINVAL);
	CHECK_EQ(pin(MMUEXT_UNPIN_TABLE, play.table[1]), 0);
	truth(play.table[1]);
	play_tear_down();
}

/* A level that is wrong shows as a pin that Xen does not give. */
TEST(oracle, oracle_level, "a table of another level than the frame table has it is found")
{
	REQUIRE(play_set_up(true));
	play.l1->level = 2;
	a_lie(play.table[1], 1, "not pinned: a pin", -EINVAL);
	play.l1->level = 1;
	truth(play.table[1]);
	play_tear_down();
}

/* One refusal among many requests: those before and behind it are asked all the same. */
TEST(oracle, oracle_among_all, "among all frames the one that is wrong is found")
{
	uint64_t asked;
	struct frame was;

	REQUIRE(play_set_up(true));
	CHECK_EQ(oracle_ask_all(&answers), 0);
	CHECK_EQ(answers.lies, 0);
	asked = answers.asked;
	test_note("%lu frames asked for", asked);
	was = *play.l1;
	*play.l1 = (struct frame){ .kind = FRAME_DATA, .owner = OWNER_TEST, .flags = FRAME_PLAIN };
	CHECK_EQ(oracle_ask_all(&answers), 0);
	CHECK_EQ(answers.asked, asked);
	CHECK_EQ(answers.lies, 1);
	CHECK_EQ(pfn_x(answers.first[0].pfn), pfn_x(play.table[1]));
	*play.l1 = was;
	play_tear_down();
}

/* Without memory it can't ask, and says so. */
TEST(oracle, oracle_nomem, "an oracle that has no memory for its table is no answer")
{
	pfn_t pfn, last = INVALID_PFN;

	while (frame_alloc(0, OWNER_TEST, &pfn) == 0) {
		*(uint64_t *)direct_va(pfn) = pfn_x(last);
		last = pfn;
	}
	CHECK_EQ(oracle_ask_one(_pfn(0), &answers), -ENOMEM);
	while (!pfn_eq(last, INVALID_PFN)) {
		pfn = last;
		last = _pfn(*(uint64_t *)direct_va(pfn));
		frame_free(pfn, 0);
	}
}
