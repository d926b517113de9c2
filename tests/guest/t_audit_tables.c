/* SPDX-License-Identifier: MIT */
/*
 * The audit, tested by breaking what it checks (see t_audit.c): here what links a table and what it may link, who may
 * map one, and what stands in the place of a table and is none.
 */
#include <pinion/lib/string.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/m2p.h>
#include <pinion/mm/p2m.h>
#include "audit_play.h"

/* The entry that links the playground's L1. */
static unsigned int l1_index(void)
{
	return va_index(PLAY_VA, 2);
}

/*
 * All counts of it are right: it has no parent, and says so. But nobody will ever free it, and Xen may have made it
 * plain memory long ago. What is in quarantine is known to be nobody's.
 */
TEST(audit, audit_lost, "a live table that nothing links or pins is found, by that alone")
{
	struct frame *l2;
	uint64_t link;
	uint8_t owner;

	REQUIRE(play_set_up(true));
	l2 = frame_at(play.table[2]);
	link = table_read(play.table[2], l1_index());
	play_raw_entry(play.table[2], l1_index(), 0);
	l2->live = 0;
	play.l1->parents = 0;
	play_only(AUDIT_LOST, play.table[1], 0, 1);
	owner = play.l1->owner;
	play.l1->owner = OWNER_QUARANTINE;
	play_broken(0);
	play.l1->parents = 1;
	play_only(AUDIT_PARENTS, play.table[1], 0, 1);
	play.l1->owner = owner;
	l2->live = 1;
	play_raw_entry(play.table[2], l1_index(), link);
	play_broken(0);
	play_tear_down();
}

/* A level decides what entries are: of a table that is two things at once, each is right for one and wrong for the other. */
TEST(audit, audit_two_levels, "a table that is linked at two levels is found, and one of none")
{
	uint64_t *entry;

	REQUIRE(play_set_up(false));
	entry = &table_entries(play.table[3])[va_index(PLAY_VA, 3) + 1];
	*entry = table_read(play.table[2], l1_index());
	/* Its leaf is followed as a link: once, for it is read once. */
	play_broken(5);
	play_named(AUDIT_LIVE, play.table[3], 2, 1);
	play_named(AUDIT_LEVEL, play.table[1], 2, 1);
	play_named(AUDIT_NO_TABLE, play.data, FRAME_TABLE, FRAME_DATA);
	play_named(AUDIT_PARENTS, play.table[1], 2, 1);
	/* It says it is what the upper of the two makes of it: the lower one disagrees all the same. */
	play.l1->level = 2;
	play_broken(4);
	play_named(AUDIT_LEVEL, play.table[1], 2, 1);
	*entry = 0;
	play.l1->level = 0;
	play_only(AUDIT_LEVEL, play.table[1], 1, 0);
	play.l1->level = 5;
	play_only(AUDIT_LEVEL, play.table[1], 1, 5);
	play.l1->level = 1;
	play_broken(0);
	play_tear_down();
}

/* What the vCPU is told to walk. */
TEST(audit, audit_l4_no_table,
     "an address space whose L4 is no table, or no frame of ours, is found")
{
	pfn_t l4;

	REQUIRE(play_set_up(false));
	l4 = play.as.l4;
	play.as.l4 = play.data;
	play_only(AUDIT_NO_TABLE, play.data, FRAME_TABLE, FRAME_DATA);
	play.as.l4 = frame_table_end();
	play_only(AUDIT_NO_TABLE, frame_table_end(), FRAME_TABLE, FRAME_NONE);
	play.as.l4 = l4;
	play_broken(0);
	play_tear_down();
}

/* Xen allows it, and linear tables are made of nothing else. */
TEST(audit, audit_table_read, "a table may be mapped anywhere, read-only")
{
	uint64_t va = PLAY_VA + PAGE_SIZE;

	REQUIRE(play_set_up(true));
	play_raw_leaf(va, pte_make(pfn_to_mfn(play.table[2]), PTE_KERNEL_RO | PTE_US));
	play_only(AUDIT_LIVE, play.table[1], 2, 1);
	play.l1->live = 2;
	play_broken(0);
	play_raw_leaf(va, 0);
	play.l1->live = 1;
	play_broken(0);
	play_tear_down();
}

/* The reserve is free memory in all but its list. */
TEST(audit, audit_reserve_mapped, "a frame of the reserve that is still mapped is found")
{
	uint64_t leaf;

	REQUIRE(play_set_up(true));
	leaf = table_read(play.table[1], va_index(PLAY_VA, 1));
	frame_at(play.data)->owner = OWNER_RESERVE;
	play_broken(2);
	play_named(AUDIT_FREE_MAPPED, play.data, 0, leaf);
	CHECK_EQ(play_report.first[1].fact, AUDIT_ALLOC);
	frame_at(play.data)->owner = OWNER_TEST;
	play_broken(0);
	play_tear_down();
}

/*
 * The kernel maps one frame that is not its own: shared_info, at Xen's word. To an audit that is told of another it is a
 * stranger.
 */
TEST(audit, audit_kernel_foreign, "a foreign frame in the kernel's own tables is found")
{
	static struct boot_info bi;
	uint64_t va = (uint64_t)shared_info_page;
	pfn_t table = kernel_l4();
	unsigned int level;

	bi = *boot_info();
	CHECK_EQ(mm_audit(&bi, &play_report), 0);
	bi.shared_info = _maddr(maddr_x(bi.shared_info) + PAGE_SIZE);
	for (level = 4; level > 1; level--)
		table = table_below(table_read(table, va_index(va, level)));
	CHECK_EQ(mm_audit(&bi, &play_report), 1);
	play_named(AUDIT_FOREIGN_FLAG, table, 0, table_read(table, va_index(va, 1)));
}

/* Leaves that could not be better, under an entry that lets nobody write, and under none. */
TEST(audit, audit_direct_links,
     "a piece of the direct map that an upper entry narrows, or that has no table, is found",
     .needs = "mem>=32M")
{
	pfn_t run = INVALID_PFN, l2 = INVALID_PFN, l1;
	unsigned int index = 0, i;
	uint64_t link, rw;

	REQUIRE(frame_alloc(9, OWNER_TEST, &run) == 0);
	REQUIRE(direct_map_l2(run, &l2, &index));
	link = table_read(l2, index);
	l1 = table_below(link);
	play_raw_entry(l2, index, link & ~PTE_RW);
	play_broken(TABLE_ENTRIES);
	for (i = 0; i < AUDIT_FINDINGS; i++) {
		rw = pte_make(pfn_to_mfn(pfn_add(run, i)), PTE_P | PTE_RW | PTE_NX);
		play_named(AUDIT_DIRECT_RIGHTS, pfn_add(run, i), rw, rw & ~PTE_RW);
	}
	/* Each of its pages, a wrong count in the L2, one in the L1, and that one is lost. */
	play_raw_entry(l2, index, 0);
	play_broken(TABLE_ENTRIES + 3);
	play_named(AUDIT_LIVE, l2, frame_at(l2)->live - 1U, frame_at(l2)->live);
	for (i = 0; i < AUDIT_FINDINGS - 1; i++) {
		rw = pte_make(pfn_to_mfn(pfn_add(run, i)), PTE_P | PTE_RW | PTE_NX);
		play_named(AUDIT_DIRECT_MFN, pfn_add(run, i), rw, 0);
	}
	play_raw_entry(l2, index, link);
	CHECK_EQ(frame_at(l1)->parents, 1);
	play_broken(0);
	frame_free(run, 9);
}

/* Xen's table has no entry there, or no memory for one: nothing that could vouch for the P2M. */
TEST(audit, audit_m2p_beyond, "a frame number that the M2P can't know is found")
{
	const uint64_t beyond[] = { M2P_MFNS, M2P_MFNS - 1, UINT64_C(1) << 34 };
	pfn_t pfn = INVALID_PFN;
	uint64_t leaf;
	unsigned int i;
	mfn_t mfn;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	mfn = pfn_to_mfn(pfn);
	leaf = pte_make(mfn, PTE_P | PTE_RW | PTE_NX);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		REQUIRE(p2m_set(&kernel_p2m, pfn, _mfn(beyond[i])) == 0);
		play_broken(2);
		play_named(AUDIT_M2P, pfn, pfn_x(pfn), INVALID_PFN_X);
		play_named(AUDIT_DIRECT_MFN, pfn,
			   pte_make(_mfn(beyond[i]), PTE_P | PTE_RW | PTE_NX), leaf);
	}
	CHECK_EQ(p2m_set(&kernel_p2m, pfn, mfn), 0);
	play_broken(0);
	frame_free(pfn, 0);
}

/* In a log the text is all that there is. */
TEST(audit, audit_text, "a finding as text names frame, fact and values; each fact has its name")
{
	struct audit_finding f = { AUDIT_LIVE, .pfn = _pfn(0x12), .expected = 3, .found = 0x1f };
	char text[96];
	unsigned int i, k;

	audit_describe(&f, text, sizeof(text));
	CHECK(strcmp(text, "pfn 0x12: live entries: expected 0x3, found 0x1f") == 0);
	f.fact = AUDIT_P2M;
	f.what = "is odd";
	audit_describe(&f, text, sizeof(text));
	CHECK(strcmp(text, "pfn 0x12: the P2M: is odd") == 0);
	audit_describe(&f, text, 9);
	CHECK(strcmp(text, "pfn 0x12") == 0);
	for (i = 0; i < AUDIT_FACTS; i++) {
		REQUIRE(audit_fact_name((enum audit_fact)i) != NULL);
		for (k = 0; k < i; k++)
			CHECK(strcmp(audit_fact_name((enum audit_fact)i),
				     audit_fact_name((enum audit_fact)k)) != 0);
	}
	CHECK(strcmp(audit_fact_name(AUDIT_FACTS), "?") == 0);
}

TEST(audit, audit_init_again, "memory for the audit is set aside once")
{
	uint64_t free = frame_alloc_free();

	CHECK_EQ(mm_audit_init(), 0);
	CHECK_EQ(frame_alloc_free(), free);
}
