/* SPDX-License-Identifier: MIT */
/* Accesses through an address, memory that runs out, frames that Xen refuses; see range_help.h. */
#include "range_help.h"
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/tables.h>
#include <pinion/xen/hypercall.h>

#define RET UINT64_C(0xc3)

static uint64_t tag(pfn_t pfn)
{
	return pfn_x(pfn) << 8 | RET;
}

void range_tag(pfn_t first, uint64_t nr)
{
	uint64_t i;

	for (i = 0; i < nr; i++)
		*(uint64_t *)direct_va(pfn_add(first, i)) = tag(pfn_add(first, i));
}

/* By loads, stores and calls. The store writes what is there already. */
static const char *wrong_access(uint64_t va, pfn_t pfn, int want)
{
	void *at = (void *)va;
	uint64_t word = 0, present = want == HOLE ? 0 : PF_PRESENT;
	exinfo_t fault;

	if (probe_load64(at, &word) != (want == HOLE ? EXINFO_PF(0) : 0))
		return want == HOLE ? "it can be read" : "it can't be read";
	if (want != HOLE && word != tag(pfn))
		return "another frame is read";
	fault = probe_store64(at, tag(pfn));
	if (fault != (want == ASPACE_RW ? 0 : EXINFO_PF(PF_WRITE | present)))
		return fault ? "a store faults otherwise than it should" : "it can be written";
	fault = probe_call(at);
	if (fault != (want == ASPACE_RX ? 0 : EXINFO_PF(PF_FETCH | present)))
		return fault ? "a call faults otherwise than it should" : "it can be executed";
	return NULL;
}

const char *range_wrong(const struct aspace *as, uint64_t va, pfn_t pfn, int want, bool reach)
{
	struct aspace_info info;

	if (aspace_query(as, va, &info))
		return "the query fails";
	if (info.mapped != (want != HOLE))
		return info.mapped ? "it is mapped" : "it is not mapped";
	if (info.mapped && !pfn_eq(info.pfn, pfn))
		return "another frame is mapped";
	if (info.mapped && info.writable != (want == ASPACE_RW))
		return info.writable ? "it is writable" : "it is not writable";
	if (info.mapped && info.executable != (want == ASPACE_RX))
		return info.executable ? "it is executable" : "it is not executable";
	if (info.mapped && info.user != va_is_user(va))
		return "it is of the wrong half";
	return reach ? wrong_access(va, pfn, want) : NULL;
}

void range_expect(const struct aspace *as, uint64_t va, uint64_t nr, pfn_t first, int want)
{
	bool reach = as == aspace_current() || va >= VMAP_BASE;
	const char *wrong;
	uint64_t i;

	for (i = 0; i < nr; i++) {
		wrong = range_wrong(as, va + i * PAGE_SIZE, pfn_add(first, i), want, reach);
		if (!wrong)
			continue;
		test_fail(__FILE__, __LINE__, "page %lu of %#lx, of pfn %#" PRI_pfn ": %s", i, va,
			  pfn_x(first) + i, wrong);
		return;
	}
}

/* Blocks that are out, each with the next one's pfn and its own order in its first words; and where the list began when
 * memory was taken first, and when more was. */
static pfn_t hogged = { INVALID_PFN_X };
static pfn_t began[2];
static unsigned int depth;

static void hog(pfn_t pfn, unsigned int order)
{
	uint64_t *words = direct_va(pfn);

	words[0] = pfn_x(hogged);
	words[1] = order;
	hogged = pfn;
}

static void unhog_one(void)
{
	const uint64_t *words = direct_va(hogged);
	pfn_t pfn = hogged;

	hogged = _pfn(words[0]);
	frame_free(pfn, (unsigned int)words[1]);
}

void range_hog(unsigned int left)
{
	pfn_t single[256], pfn;
	unsigned int order, i;

	REQUIRE(left <= ARRAY_SIZE(single) && frame_alloc_free() + frame_alloc_reserve() >= left);
	REQUIRE(depth < ARRAY_SIZE(began));
	began[depth++] = hogged;
	for (i = 0; i < left; i++)
		REQUIRE(frame_alloc_reserved(OWNER_TEST, &single[i]) == 0);
	for (order = FRAME_ORDER_MAX + 1; order-- > 0;)
		while (frame_alloc(order, OWNER_TEST, &pfn) == 0)
			hog(pfn, order);
	while (frame_alloc_reserved(OWNER_TEST, &pfn) == 0)
		hog(pfn, 0);
	while (left > 0)
		frame_free(single[--left], 0);
}

void range_unhog(void)
{
	depth--;
	while (!pfn_eq(hogged, began[depth]))
		unhog_one();
}

static long direct_leaf(pfn_t pfn, uint64_t flags)
{
	return hypercall_update_va_mapping((uintptr_t)direct_va(pfn),
					   pte_make(pfn_to_mfn(pfn), flags), UVMF_INVLPG);
}

long range_pin(pfn_t table, bool on)
{
	struct mmuext_op op = { .cmd = on ? MMUEXT_PIN_L1_TABLE : MMUEXT_UNPIN_TABLE,
				.arg1.mfn = mfn_x(pfn_to_mfn(table)) };

	return hypercall_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

void range_poison(pfn_t pfn)
{
	memset(direct_va(pfn), 0, PAGE_SIZE);
	CHECK_EQ(direct_leaf(pfn, PTE_KERNEL_RO), 0);
	CHECK_EQ(range_pin(pfn, true), 0);
}

void range_cure(pfn_t pfn)
{
	CHECK_EQ(range_pin(pfn, false), 0);
	CHECK_EQ(direct_leaf(pfn, PTE_KERNEL_RW), 0);
	range_tag(pfn, 1);
}

bool range_block(unsigned int order, pfn_t *block)
{
	if (!CHECK_EQ(frame_alloc(order, OWNER_TEST, block), 0))
		return false;
	range_tag(*block, UINT64_C(1) << order);
	return true;
}

void range_block_back(pfn_t block, unsigned int order)
{
	CHECK_EQ(frame_try_free(block, order), 0);
}

bool range_begin(struct aspace *as, bool active)
{
	return CHECK_EQ(aspace_create(as), 0) && (!active || CHECK_EQ(aspace_activate(as), 0));
}

void range_end(struct aspace *as)
{
	if (as == aspace_current())
		CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(as), 0);
}

uint64_t range_taken(const struct planner_counters *before, enum planner_way way)
{
	return planner_counters().taken[way] - before->taken[way];
}
