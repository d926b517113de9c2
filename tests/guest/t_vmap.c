/* SPDX-License-Identifier: MIT */
/* The vmap arena: blocks of scattered frames, guards, stacks, addresses. Devices: t_vmap_mmio.c. */
#include <pinion/arch/probe.h>
#include <pinion/arch/pte.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/string.h>
#include <pinion/mm/aspace.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/mmu_batch.h>
#include <pinion/mm/tables.h>
#include <pinion/mm/vmap.h>
#include "range_help.h"
#include "suite.h"

#define NOT_THERE EXINFO_PF(0)
#define NO_WRITE  EXINFO_PF(PF_PRESENT | PF_WRITE)

/* What has to be as it was when something failed, or has been undone. */
struct state {
	uint64_t frames, pages;
	unsigned int areas, live;
};

static struct state state_now(void)
{
	pfn_t l3 = table_below(table_read(kernel_l4(), SLOT_VMAP));

	return (struct state){
		.frames = frame_alloc_free() + frame_alloc_reserve(),
		.pages = vmap_pages(),
		.areas = vmap_areas(),
		.live = frame_at(l3)->live,
	};
}

static bool is_as_before(const struct state *before)
{
	struct state now = state_now();

	return CHECK_EQ(now.frames, before->frames) && CHECK_EQ(now.pages, before->pages) &&
	       CHECK_EQ(now.areas, before->areas) && CHECK_EQ(now.live, before->live);
}

static exinfo_t load(const void *va)
{
	uint64_t word = 0;

	return probe_load64(va, &word);
}

static bool has_guards(const char *va, uint64_t nr)
{
	return CHECK_EQ(load(va - 8), NOT_THERE) &&
	       CHECK_EQ(load(va + (nr << PAGE_SHIFT)), NOT_THERE) &&
	       CHECK_EQ(load(va + (nr << PAGE_SHIFT) + PAGE_SIZE - 8), NOT_THERE);
}

/* The frame behind a page of the arena. */
static pfn_t pfn_of(const void *va)
{
	struct aspace_info info;

	if (aspace_query(&kernel_aspace, (uintptr_t)va, &info) || !info.mapped)
		return INVALID_PFN;
	return info.pfn;
}

/* Each page is a frame of its own, the allocator's, known as vmap's; page @i holds @i. */
static void fill_and_check(uint64_t *va, uint64_t nr)
{
	uint64_t words = PAGE_SIZE / sizeof(*va), i;
	pfn_t pfn;

	for (i = 0; i < nr; i++)
		va[i * words] = i;
	for (i = 0; i < nr; i++) {
		REQUIRE(va[i * words] == i);
		pfn = pfn_of(&va[i * words]);
		REQUIRE(frame_at(pfn) && frame_at(pfn)->owner == OWNER_VMAP);
		REQUIRE(*(uint64_t *)direct_va(pfn) == i);
	}
	CHECK_EQ(va[nr * words - 1], va[nr * words - 1]);
}

/* One page; just under, at and over what is mapped in one go, and an L1's end inside. */
TEST(vmap, vmap_block, "a block is memory between two guards, and leaves nothing behind")
{
	static const uint64_t sizes[] = { 1, 2, 127, 128, 129, 256, 520 };
	struct state before = state_now();
	unsigned int i;
	void *va = NULL;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (sizes[i] > frame_alloc_free() / 2)
			continue;
		REQUIRE(vmap_alloc(sizes[i], &va) == 0);
		CHECK((uintptr_t)va > VMAP_BASE && (uintptr_t)va < VMAP_END);
		CHECK_EQ(vmap_areas(), before.areas + 1);
		CHECK_EQ(vmap_pages(), before.pages + sizes[i]);
		fill_and_check(va, sizes[i]);
		CHECK(has_guards(va, sizes[i]));
		CHECK_EQ(probe_call(va), EXINFO_PF(PF_PRESENT | PF_FETCH));
		CHECK_EQ(vmap_free(va), 0);
		CHECK_EQ(load(va), NOT_THERE);
		CHECK(is_as_before(&before));
	}
	CHECK_EQ(vmap_alloc(0, &va), -EINVAL);
}

/* All free frames, linked through themselves. */
static pfn_t take_all(void)
{
	pfn_t pfn, last = INVALID_PFN;

	while (frame_alloc(0, OWNER_TEST, &pfn) == 0) {
		*(uint64_t *)direct_va(pfn) = pfn_x(last);
		last = pfn;
	}
	return last;
}

static pfn_t next_taken(pfn_t pfn)
{
	return _pfn(*(uint64_t *)direct_va(pfn));
}

static void give_all(pfn_t last)
{
	pfn_t pfn;

	while (!pfn_eq(last, INVALID_PFN)) {
		pfn = last;
		last = next_taken(pfn);
		frame_free(pfn, 0);
	}
}

/*
 * Every allocation on the way is the one that fails, in turn: 5 frames, then an L2 and an L1. The frames
 * that there are have no neighbour that is free too, so that what succeeds in the end is scattered.
 */
TEST(vmap, vmap_no_memory, "without memory at any step -ENOMEM, and nothing has changed")
{
	pfn_t all = take_all(), from = all, pfn;
	struct state before;
	uint64_t i, free;
	void *va = NULL;

	for (free = 0; free < 7; free++) {
		REQUIRE(frame_alloc_free() == free);
		before = state_now();
		CHECK_EQ(vmap_alloc(5, &va), -ENOMEM);
		CHECK(va == NULL);
		CHECK(is_as_before(&before));
		/* One more: out of the list every second, from its end. */
		pfn = next_taken(from);
		*(uint64_t *)direct_va(from) = pfn_x(next_taken(pfn));
		from = next_taken(from);
		frame_free(pfn, 0);
	}
	before = state_now();
	if (CHECK_EQ(vmap_alloc(5, &va), 0)) {
		CHECK_EQ(frame_alloc_free(), 0);
		fill_and_check(va, 5);
		for (i = 1; i < 5; i++) {
			pfn = pfn_of((char *)va + (i << PAGE_SHIFT));
			CHECK(pfn_x(pfn) / 2 !=
			      pfn_x(pfn_of((char *)va + (i - 1) * PAGE_SIZE)) / 2);
		}
		CHECK_EQ(vmap_free(va), 0);
	}
	CHECK(is_as_before(&before));
	give_all(all);
}

/* More than there are frames, more than there are addresses: at once, not after all memory was tried. */
TEST(vmap, vmap_too_large, "more pages than RAM or the arena have: -ENOMEM, nothing changed")
{
	uint64_t arena = (VMAP_END - VMAP_BASE) >> PAGE_SHIFT, calls = mmu_batch_calls();
	uint64_t sizes[] = { frame_alloc_free() + 1,
			     pfn_x(frame_table_end()) + 1,
			     arena - 1,
			     arena,
			     UINT64_C(1) << 32,
			     UINT64_MAX };
	struct state before = state_now();
	void *va = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		CHECK_EQ(vmap_alloc(sizes[i], &va), -ENOMEM);
		CHECK_EQ(vmap_stack_alloc(sizes[i], &va), -ENOMEM);
		CHECK(is_as_before(&before));
	}
	CHECK_EQ(vmap_map(NULL, arena - 1, ASPACE_R, &va), -ENOMEM);
	CHECK_EQ(vmap_map(NULL, UINT64_MAX, ASPACE_R, &va), -ENOMEM);
	CHECK_EQ(vmap_map(NULL, 0, ASPACE_R, &va), -EINVAL);
	CHECK(va == NULL);
	CHECK_EQ(mmu_batch_calls(), calls);
}

/* The caller's own frames: also one of them twice, with fewer rights than the direct map's, and to run. */
TEST(vmap, vmap_map, "frames of the caller's are mapped side by side, and stay the caller's")
{
	struct state before;
	pfn_t a = INVALID_PFN, b = INVALID_PFN, list[3];
	uint64_t *va = NULL;

	REQUIRE(frame_alloc(0, OWNER_TEST, &a) == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &b) == 0);
	before = state_now();
	list[0] = list[2] = b;
	list[1] = a;
	REQUIRE(vmap_map(list, 3, ASPACE_RW, (void **)&va) == 0);
	va[0] = 0xb;
	va[512] = 0xa;
	CHECK_EQ(va[1024], 0xb);
	CHECK_EQ(*(uint64_t *)direct_va(a), 0xa);
	CHECK(has_guards((char *)va, 3));
	CHECK_EQ(vmap_free(va), 0);
	CHECK(is_as_before(&before));
	CHECK_EQ(frame_at(a)->owner, OWNER_TEST);

	REQUIRE(vmap_map(&a, 1, ASPACE_R, (void **)&va) == 0);
	CHECK_EQ(probe_store64(va, 1), NO_WRITE);
	CHECK_EQ(va[0], 0xa);
	CHECK_EQ(vmap_free(va), 0);
	*(uint64_t *)direct_va(a) = 0xc3;
	REQUIRE(vmap_map(&a, 1, ASPACE_RX, (void **)&va) == 0);
	CHECK_EQ(probe_call(va), 0);
	CHECK_EQ(probe_store64(direct_va(a), 0), NO_WRITE);
	CHECK_EQ(vmap_free(va), 0);
	CHECK_EQ(probe_store64(direct_va(a), 0), 0);
	CHECK(is_as_before(&before));
	frame_free(a, 0);
	frame_free(b, 0);
}

/* A part of a block may get other rights, and even run: freeing it takes its frames as they are. */
TEST(vmap, vmap_protect, "a block with a page made executable and one read-only is freed like any")
{
	struct state before = state_now();
	struct aspace_range range = { .nr = 1 };
	struct aspace_info info;
	char *va = NULL;
	pfn_t pfn;

	REQUIRE(vmap_alloc(3, (void **)&va) == 0);
	va[PAGE_SIZE] = (char)0xc3;
	pfn = pfn_of(va + PAGE_SIZE);
	range.va = (uintptr_t)va + PAGE_SIZE;
	CHECK_EQ(aspace_protect(&kernel_aspace, &range, ASPACE_RX), 0);
	CHECK_EQ(probe_call(va + PAGE_SIZE), 0);
	CHECK_EQ(probe_store64(direct_va(pfn), 0), NO_WRITE);
	range.va = (uintptr_t)va;
	CHECK_EQ(aspace_protect(&kernel_aspace, &range, ASPACE_R), 0);
	CHECK_EQ(probe_store64(va, 0), NO_WRITE);
	CHECK_EQ(vmap_free(va), 0);
	CHECK_EQ(aspace_query(&kernel_aspace, (uintptr_t)direct_va(pfn), &info), 0);
	CHECK(info.writable && !info.executable);
	CHECK(is_as_before(&before));
}

/* With frames of the caller's only the tables can fail: an L2, then an L1. */
TEST(vmap, vmap_map_no_memory, "without memory for a table -ENOMEM, for frames and for devices")
{
	volatile void *vga = NULL;
	struct state before;
	unsigned int left;
	void *va = NULL;
	pfn_t pfn;

	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	for (left = 0; left < 2; left++) {
		range_hog(FRAME_RESERVE + left);
		before = state_now();
		CHECK_EQ(vmap_map(&pfn, 1, ASPACE_RW, &va), -ENOMEM);
		if (boot_info()->initdomain)
			CHECK_EQ(mmio_map(_pfn(0xb8), 1, MMIO_UC, &vga), -ENOMEM);
		CHECK(is_as_before(&before));
		CHECK(va == NULL && vga == NULL);
		range_unhog();
	}
	range_hog(FRAME_RESERVE + 2);
	if (CHECK_EQ(vmap_map(&pfn, 1, ASPACE_RW, &va), 0))
		CHECK_EQ(vmap_free(va), 0);
	if (boot_info()->initdomain && CHECK_EQ(mmio_map(_pfn(0xb8), 1, MMIO_UC, &vga), 0))
		CHECK_EQ(mmio_unmap(vga), 0);
	range_unhog();
	frame_free(pfn, 0);
}

/* A frame in the middle that can't be mapped: a table, to be writable; a pfn that is no RAM. */
TEST(vmap, vmap_map_refused, "one frame that can't be mapped so, and nothing is")
{
	struct state before;
	pfn_t list[3] = { INVALID_PFN };
	void *va = NULL;

	REQUIRE(frame_alloc(0, OWNER_TEST, &list[0]) == 0);
	list[2] = list[0];
	before = state_now();
	list[1] = kernel_l4();
	CHECK_EQ(vmap_map(list, 3, ASPACE_RW, &va), -EBUSY);
	CHECK(is_as_before(&before));
	list[1] = INVALID_PFN;
	CHECK_EQ(vmap_map(list, 3, ASPACE_R, &va), -EINVAL);
	CHECK(is_as_before(&before));
	CHECK(va == NULL);
	frame_free(list[0], 0);
}

/* What is not an area's own address would take another area down, or its neighbour's frames. */
TEST(vmap, vmap_free_wrong, "freeing twice, in the middle or as another kind is refused")
{
	struct state before = state_now();
	char *block = NULL, *frames = NULL;
	uint64_t calls;
	void *top = NULL;
	pfn_t pfn = INVALID_PFN;

	REQUIRE(vmap_alloc(3, (void **)&block) == 0);
	REQUIRE(vmap_stack_alloc(2, &top) == 0);
	REQUIRE(frame_alloc(0, OWNER_TEST, &pfn) == 0);
	REQUIRE(vmap_map(&pfn, 1, ASPACE_RW, (void **)&frames) == 0);
	calls = mmu_batch_calls();
	CHECK_EQ(vmap_free(NULL), -EINVAL);
	CHECK_EQ(vmap_free(direct_va(pfn)), -EINVAL);
	CHECK_EQ(vmap_free((void *)VMAP_BASE), -EINVAL);
	CHECK_EQ(vmap_free((void *)VMAP_END), -EINVAL);
	CHECK_EQ(vmap_free(block + 8), -EINVAL);
	CHECK_EQ(vmap_free(block + PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_free(block - PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_free(block + 3 * PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_free((char *)top - 2 * PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_free(top), -EINVAL);
	CHECK_EQ(mmio_unmap(block), -EINVAL);
	CHECK_EQ(vmap_stack_free((char *)top - 2 * PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_stack_free((char *)top - PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_stack_free(block + 3 * PAGE_SIZE), -EINVAL);
	CHECK_EQ(vmap_stack_free((void *)VMAP_BASE), -EINVAL);
	CHECK_EQ(mmu_batch_calls(), calls);
	fill_and_check((uint64_t *)(void *)block, 3);
	CHECK_EQ(vmap_free(block), 0);
	CHECK_EQ(vmap_free(block), -EINVAL);
	CHECK_EQ(vmap_stack_free(top), 0);
	CHECK_EQ(vmap_stack_free(top), -EINVAL);
	CHECK_EQ(vmap_free(frames), 0);
	CHECK_EQ(vmap_free(frames), -EINVAL);
	frame_free(pfn, 0);
	CHECK(is_as_before(&before));
}

/* In a section the queue belongs to somebody else, whose failure would undo half of it. */
TEST(vmap, vmap_in_section, "inside a section of the batch all is refused")
{
	struct state before;
	void *va = NULL, *other = NULL;

	REQUIRE(vmap_alloc(1, &va) == 0);
	before = state_now();
	mmu_batch_begin();
	CHECK_EQ(vmap_alloc(1, &other), -EBUSY);
	CHECK_EQ(vmap_free(va), -EBUSY);
	CHECK_EQ(mmu_batch_end(0), 0);
	CHECK(other == NULL);
	CHECK(is_as_before(&before));
	CHECK_EQ(load(va), 0);
	CHECK_EQ(vmap_free(va), 0);
}

/* One L3 for all: what the kernel maps while another address space is in use, it finds in each. */
TEST(vmap, vmap_everywhere, "what is mapped in one address space is mapped in all")
{
	struct aspace as;
	uint64_t *va = NULL;

	REQUIRE(aspace_create(&as) == 0);
	REQUIRE(aspace_activate(&as) == 0);
	if (CHECK_EQ(vmap_alloc(2, (void **)&va), 0)) {
		va[512] = 0x77;
		CHECK_EQ(aspace_activate(&kernel_aspace), 0);
		CHECK_EQ(va[512], 0x77);
		CHECK_EQ(vmap_free(va), 0);
		CHECK_EQ(aspace_activate(&as), 0);
		CHECK_EQ(load(va), NOT_THERE);
	}
	CHECK_EQ(aspace_activate(&kernel_aspace), 0);
	CHECK_EQ(aspace_destroy(&as), 0);
}

static void on_stack(void *top, void (*fn)(void))
{
	__asm__ volatile("mov	%%rsp, %%rbx\n"
			 "mov	%0, %%rsp\n"
			 "call	*%1\n"
			 "mov	%%rbx, %%rsp\n"
			 :
			 : "r"(top), "r"(fn)
			 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
			   "memory", "cc");
}

static char *stack_bottom;
static uint64_t seen_rsp, below_stack, breakpoint;

static void use_stack(void)
{
	volatile char room[1024];

	memset((char *)room, 0x5a, sizeof(room));
	__asm__ volatile("mov %%rsp, %0" : "=r"(seen_rsp));
	breakpoint = PROBE_INSN("int3");
	/* What overflows writes downwards; here while there is room for the fault's own frame. */
	below_stack = probe_store64(stack_bottom - 8, 0);
}

/* Xen pushes a fault's frame on the stack in use: also on one of the arena's, whose mapping it knows from the tables. */
TEST(vmap, vmap_stack, "a stack of the arena takes traps, and what runs over its end faults")
{
	struct state before = state_now();
	void *top = NULL;

	REQUIRE(vmap_stack_alloc(2, &top) == 0);
	CHECK_EQ((uintptr_t)top % PAGE_SIZE, 0);
	stack_bottom = (char *)top - 2 * PAGE_SIZE;
	CHECK(has_guards(stack_bottom, 2));
	on_stack(top, use_stack);
	CHECK(seen_rsp > (uintptr_t)stack_bottom + PAGE_SIZE && seen_rsp < (uintptr_t)top);
	CHECK_EQ(breakpoint, EXINFO(VECTOR_BP, 0));
	CHECK_EQ(below_stack, EXINFO_PF(PF_WRITE));
	CHECK_EQ(vmap_stack_free(top), 0);
	CHECK(is_as_before(&before));
}

/* Nothing is left for the frame of the guard's own fault, so that Xen ends the domain. */
static void run_over(void)
{
	__asm__ volatile("mov	%0, %%rsp\n"
			 "push	%%rax\n" ::"r"(stack_bottom)
			 : "memory");
}

TEST(vmap, selfcheck_overflow_vmap, "a stack of the arena overflows: CRASH, by Xen", .manual = true)
{
	void *top = NULL;

	REQUIRE(vmap_stack_alloc(1, &top) == 0);
	stack_bottom = (char *)top - PAGE_SIZE;
	on_stack(top, run_over);
}
