/* SPDX-License-Identifier: MIT */
/*
 * Ranges at random: maps of lists and blocks, unmaps, changes of rights, in several address spaces that are offline,
 * live, run on, destroyed and made again, and in the vmap arena; with memory that runs out and frames that Xen refuses.
 */
#include <pinion/arch/pte.h>
#include <pinion/lib/string.h>
#include <pinion/mm/direct_map.h>
#include <pinion/mm/frame_alloc.h>
#include "range_random.h"

static struct model model;

static void forget(struct model_space *space)
{
	unsigned int i;

	for (i = 0; i < WINDOW; i++)
		space->pages[i] = (struct model_page){ 0, HOLE };
}

static bool set_up(void)
{
	struct model_page *pages;
	unsigned int i;

	if (!range_block(POOL_ORDER, &model.pool) ||
	    !CHECK_EQ(frame_alloc(4, OWNER_TEST, &model.pages), 0))
		return false;
	pages = direct_va(model.pages);
	static_assert(SPACES * WINDOW * sizeof(*pages) <= 16 * PAGE_SIZE, "order 4");
	for (i = 0; i < SPACES; i++) {
		struct model_space *space = &model.space[i];

		space->pages = pages + (size_t)i * WINDOW;
		space->as = &space->own;
		space->va = RANGE_VA + (i + 1) * L4_SPAN - WINDOW / 2 * PAGE_SIZE;
		forget(space);
		if (i < SPACES - 1 && !range_begin(&space->own, i == 0))
			return false;
	}
	/* More than all address spaces together can need. */
	range_hog(250);
	model.space[SPACES - 1].as = &kernel_aspace;
	model.space[SPACES - 1].va = VMAP_BASE + 200 * L3_SPAN - WINDOW / 2 * PAGE_SIZE;
	return true;
}

static void tear_down(void)
{
	struct model_space *kernel = &model.space[SPACES - 1];
	struct aspace_range all = { kernel->va, WINDOW, NULL };
	unsigned int i;

	for (i = 0; i < SPACES - 1; i++)
		range_end(&model.space[i].own);
	CHECK_RC(aspace_unmap(&kernel_aspace, &all), 0);
	range_unhog();
	frame_free(model.pages, 4);
	range_block_back(model.pool, POOL_ORDER);
}

/* Another is run on; now and then one is made anew, or the kernel's own is run on. */
static const char *change_space(struct rng *rng)
{
	struct model_space *space = &model.space[rng_below(rng, SPACES)];

	if (rng_below(rng, 3) || space->as == &kernel_aspace)
		return aspace_activate(space->as) ? "it can't be activated" : NULL;
	if (space->as == aspace_current() && aspace_activate(&kernel_aspace))
		return "the kernel's can't be activated";
	if (aspace_destroy(space->as) || aspace_create(space->as))
		return "it can't be made anew";
	forget(space);
	return NULL;
}

/* Now the pages around the operation and some of the others, now and then all. */
static const char *compare(uint64_t done, struct rng *rng, unsigned int *at)
{
	const struct model_op *op = &model.op;
	unsigned int from = op->first > 2 ? op->first - 2 : 0, s;
	const char *wrong;

	wrong = model_compare(&model, op->space, from, op->nr / 40 + 1, at);
	for (s = 0; s < SPACES && !wrong; s++)
		wrong = model_compare(&model, &model.space[s], (unsigned int)rng_below(rng, 389),
				      done % 1024 ? 389 : 1, at);
	if (!wrong && done % 64 == 0)
		wrong = range_audited();
	return wrong;
}

static void say(uint64_t done, const char *wrong, unsigned int at)
{
	static const char *const names[] = { "map", "map_block", "unmap", "protect" };
	const struct model_op *op = &model.op;

	test_fail(__FILE__, __LINE__, "operation %lu: %s (page %u)", done, wrong, at);
	test_note("%s of space %u%s%s, pages %u+%u%s, rights %u, frame %u%s, poisoned %d",
		  names[op->kind], (unsigned int)(op->space - model.space),
		  op->space->as == aspace_current() ? ", run on" : "",
		  frame_at(op->space->as->l4)->flags & FRAME_OFFLINE ? ", offline" : "", op->first,
		  op->nr, op->picked ? ", picked" : "", op->rights, op->frame,
		  op->limited ? ", limited" : "", op->poisoned);
}

TEST(range, range_random,
     "random changes of several address spaces agree with flat tables, also when they fail",
     .needs = "mem>=64M")
{
	const struct boot_options *options = &boot_info()->options;
	uint64_t ops = options->ops ? options->ops : 2000, done;
	const char *wrong = NULL;
	unsigned int at = 0, s;
	struct rng rng;

	test_note("seed=%lu ops=%lu", options->seed, ops);
	rng_seed(&rng, options->seed);
	REQUIRE(set_up());
	for (done = 1; done <= ops && !wrong; done++) {
		if (rng_below(&rng, 16) == 0)
			wrong = change_space(&rng);
		model_draw(&model, &rng);
		if (!wrong)
			wrong = model_do(&model);
		if (!wrong)
			wrong = compare(done, &rng, &at);
		if (wrong)
			say(done, wrong, at);
	}
	for (s = 0; s < SPACES && !wrong; s++) {
		wrong = model_compare(&model, &model.space[s], 0, 1, &at);
		if (wrong)
			say(done, wrong, at);
	}
	test_note("%u done, %u exist, %u noent, %u busy, %u nomem, %u refused", model.done,
		  model.exist, model.noent, model.busy, model.nomem, model.refused);
	range_audit();
	tear_down();
	range_audit();
}
