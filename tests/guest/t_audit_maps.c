/* SPDX-License-Identifier: MIT */
/*
 * The audit, tested by breaking what it checks (see t_audit.c): here what is mapped where, over all aliases, and the
 * books of those who give frames out.
 */
#include <pinion/lib/string.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include "audit_play.h"

#define OTHER (PLAY_VA + (UINT64_C(1) << 40))

static const struct aspace_range other = { OTHER, 1, NULL };
static const struct aspace_range first = { PLAY_VA, 1, NULL };

/*
 * Data frames carry no count of their mappings: their owner unmaps first. Who makes a table of a frame that is still
 * mapped somewhere hears of it from Xen, but only when the table goes live; the audit tells at once.
 */
TEST(audit, audit_table_writable, "a table that an alias lets write is found, offline too")
{
	uint64_t leaf;

	REQUIRE(play_set_up(true));
	leaf = table_read(play.table[1], va_index(PLAY_VA, 1));
	REQUIRE(table_begin(play.data, 1, true) == 0);
	play_only(AUDIT_TABLE_WRITABLE, play.data, leaf & ~PTE_RW, leaf);
	table_forget(play.data);
	play_broken(0);
	play_tear_down();
}

/* The same for code: the direct map is narrowed by the kernel, other aliases are their owners'. */
TEST(audit, audit_wx, "a frame writable at one address and executable at another is found")
{
	REQUIRE(play_set_up(true));
	CHECK_EQ(aspace_map(&play.as, &other, &play.data, ASPACE_RX), 0);
	play_only(AUDIT_WX, play.data, 0, 1);
	CHECK_EQ(aspace_protect(&play.as, &first, ASPACE_R), 0);
	play_broken(0);
	CHECK_EQ(aspace_unmap(&play.as, &other), 0);
	play_broken(0);
	play_tear_down();
}

/* Leaves that could write, under an entry that lets nobody: the entry is what counts. */
TEST(audit, audit_wx_upper, "rights are those of all levels together", .needs = "mem>=16M")
{
	unsigned int index = va_index(PLAY_VA, 2);
	uint64_t link;

	REQUIRE(play_set_up(true));
	CHECK_EQ(aspace_map(&play.as, &other, &play.data, ASPACE_RX), 0);
	link = table_read(play.table[2], index);
	play_raw_entry(play.table[2], index, link & ~PTE_RW);
	play_broken(0);
	play_raw_entry(play.table[2], index, link);
	play_only(AUDIT_WX, play.data, 0, 1);
	play_raw_entry(table_below(table_read(play.as.l4, va_index(OTHER, 4))), 0,
		       table_read(table_below(table_read(play.as.l4, va_index(OTHER, 4))), 0) |
			       PTE_NX);
	play_broken(0);
	CHECK_EQ(aspace_unmap(&play.as, &other), 0);
	play_broken(0);
	play_tear_down();
}

/* One too few, and the frame becomes writable while it still runs. */
TEST(audit, audit_execs,
     "a wrong count of executable leaves, or of frames that have some, and an L1 that does not say "
     "it has some")
{
	struct frame *data, *l1;
	pfn_t table;

	REQUIRE(play_set_up(true));
	CHECK_EQ(aspace_unmap(&play.as, &first), 0);
	CHECK_EQ(aspace_map(&play.as, &first, &play.data, ASPACE_RX), 0);
	table = play.as.l4;
	for (unsigned int level = 4; level > 1; level--)
		table = table_below(table_read(table, va_index(PLAY_VA, level)));
	data = frame_at(play.data);
	l1 = frame_at(table);
	play_broken(0);
	data->execs = 2;
	play_only(AUDIT_EXECS, play.data, 1, 2);
	data->execs = 1;
	frame_exec_nr++;
	play_only(AUDIT_EXECS, INVALID_PFN, 1, 2);
	frame_exec_nr--;
	l1->flags &= (uint8_t)~FRAME_EXEC;
	play_only(AUDIT_EXEC_FLAG, table, FRAME_EXEC, 0);
	l1->flags |= FRAME_EXEC;
	play_broken(0);
	play_tear_down();
}

/* The next owner of the frame would share it with whoever still has that address. */
TEST(audit, audit_free_mapped, "a frame that is free and still mapped is found")
{
	uint64_t leaf;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(play_set_up(true));
	REQUIRE(frame_alloc(1, OWNER_TEST, &pfn) == 0);
	play_raw_leaf(PLAY_VA + PAGE_SIZE, pte_make(pfn_to_mfn(pfn), PTE_KERNEL_RO | PTE_US));
	play.l1->live++;
	play_broken(0);
	frame_free(pfn, 1);
	leaf = table_read(play.table[1], va_index(PLAY_VA, 1) + 1);
	play_only(AUDIT_FREE_MAPPED, pfn, 0, leaf);
	play_raw_leaf(PLAY_VA + PAGE_SIZE, 0);
	play.l1->live--;
	play_broken(0);
	play_tear_down();
}

/* What the allocator's audit says, as the whole one hands it on. */
static void alloc_says(const char *what, pfn_t pfn)
{
	const struct audit_finding *f = &play_report.first[0];

	mm_audit(boot_info(), &play_report);
	if (!CHECK(f->fact == AUDIT_ALLOC && f->what && strcmp(f->what, what) == 0))
		test_note("it says: %s", f->what ? f->what : audit_fact_name(f->fact));
	CHECK_EQ(pfn_x(f->pfn), pfn_x(pfn));
}

/* Two blocks of order 3 whose first is free, its buddy out. */
TEST(audit, audit_alloc, "blocks, lists and counts of the allocator are worked out again")
{
	struct frame *head, was;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(4, OWNER_TEST, &pfn) == 0);
	frame_free(pfn, 3);
	head = frame_at(pfn);
	was = *head;
	play_broken(0);
	head->flags &= (uint8_t)~FRAME_FREE_HEAD;
	alloc_says("a free frame is in no block", pfn);
	*head = was;
	head->level = FRAME_ORDER_MAX + 1;
	alloc_says("a block has an impossible order", pfn);
	head->level = 4;
	alloc_says("a frame of a free block is not free", pfn_add(pfn, 8));
	*head = was;
	frame_at(pfn_add(pfn, 5))->flags |= FRAME_FREE_HEAD;
	alloc_says("a frame is in two blocks", pfn_add(pfn, 5));
	frame_at(pfn_add(pfn, 5))->flags &= (uint8_t)~FRAME_FREE_HEAD;
	head->prev = (uint32_t)pfn_x(pfn) + 5;
	alloc_says("a list is not linked both ways", pfn);
	*head = was;
	play_broken(0);
	frame_free(pfn_add(pfn, 8), 3);
	play_broken(0);
}

/* Lists and counts that no frame shows by itself. */
TEST(audit, audit_alloc_lists,
     "a list that ends early or never is found, and a frame too much for the reserve")
{
	pfn_t pfn = INVALID_PFN, next;
	struct frame *head, was;

	REQUIRE(frame_alloc(5, OWNER_TEST, &pfn) == 0);
	frame_free(pfn, 3);
	frame_free(pfn_add(pfn, 16), 3);
	head = frame_at(pfn_add(pfn, 16));
	was = *head;
	next = _pfn(head->next);
	CHECK_EQ(pfn_x(next), pfn_x(pfn));
	head->next = FRAME_NIL;
	alloc_says("a free block is in no list", INVALID_PFN);
	*head = was;
	was = *frame_at(pfn);
	frame_at(pfn)->next = (uint32_t)pfn_x(pfn_add(pfn, 16));
	alloc_says("a list is not linked both ways", pfn_add(pfn, 16));
	*frame_at(pfn) = was;
	frame_at(pfn_add(pfn, 8))->owner = OWNER_RESERVE;
	alloc_says("the count of the reserve is wrong", INVALID_PFN);
	frame_at(pfn_add(pfn, 8))->owner = OWNER_TEST;
	play_broken(0);
	frame_free(pfn_add(pfn, 8), 3);
	frame_free(pfn_add(pfn, 24), 3);
	play_broken(0);
}

TEST(audit, audit_p2m, "what is wrong with the P2M is handed on, and a frame that it does not know")
{
	struct frame was;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	kernel_p2m.max_pfn++;
	play_broken(1);
	CHECK_EQ(play_report.first[0].fact, AUDIT_P2M);
	CHECK(play_report.first[0].what != NULL);
	kernel_p2m.max_pfn--;
	was = *frame_at(pfn);
	frame_at(pfn)->kind = 8;
	play_broken(3);
	play_named(AUDIT_KIND, pfn, FRAME_DATA, 8);
	frame_table[pfn_x(pfn)] = was;
	play_broken(0);
	frame_free(pfn, 0);
}

/* A report has room for eight; the count goes on. */
TEST(audit, audit_many, "more broken facts than a report holds are counted all the same")
{
	pfn_t pfn = INVALID_PFN;
	uint64_t i;

	REQUIRE(frame_alloc(4, OWNER_TEST, &pfn) == 0);
	for (i = 0; i < 16; i++)
		frame_at(pfn_add(pfn, i))->owner = OWNER_NONE;
	play_broken(16);
	for (i = 0; i < AUDIT_FINDINGS; i++)
		CHECK_EQ(pfn_x(play_report.first[i].pfn), pfn_x(pfn) + i);
	for (i = 0; i < 16; i++)
		frame_at(pfn_add(pfn, i))->owner = OWNER_TEST;
	play_broken(0);
	frame_free(pfn, 4);
}
