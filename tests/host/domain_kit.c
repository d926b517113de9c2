/* SPDX-License-Identifier: MIT */
/* A machine for the domain builder; see domain_kit.h. */
#include "host.h"
#include "domain_kit.h"

#define SPARE_FRAMES 64

struct domain_kit it;

void *frame_page(mfn_t mfn)
{
	assert_true(mfn_x(mfn) < it.nr_frames);
	return it.memory + mfn_x(mfn) * PAGE_SIZE;
}

static void *page(struct model *m, mfn_t mfn)
{
	(void)m;
	return frame_page(mfn);
}

static void load_base(struct model *m)
{
	(void)m;
	it.loads++;
}

static void flush_all(struct model *m)
{
	(void)m;
}

static void crash(struct model *m, const char *text)
{
	(void)m;
	fail_msg("the guest was crashed: %s", text);
}

static const struct model_ops ops = {
	.page = page, .load_base = load_base, .flush_all = flush_all, .crash = crash
};

/* MFNs in no order; none is 0, as in Xen, and none is its pfn. */
static void shuffle(uint64_t nr)
{
	struct rng rng;

	rng_seed(&rng, nr);
	for (uint64_t i = 0; i < nr; i++)
		it.list[i] = i + SPARE_FRAMES / 2;
	for (uint64_t i = nr - 1; i > 0; i--) { /* Sattolo's: one cycle */
		uint64_t j = rng_below(&rng, i), other = it.list[j];

		it.list[j] = it.list[i];
		it.list[i] = other;
	}
}

static void fill(uint8_t *bytes, uint64_t n, uint8_t salt)
{
	for (uint64_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8) + salt);
}

void domain_setup(const struct guest *g)
{
	struct model_profile profile = { .dom0 = g->dom0,
					 .linear_pt = true,
					 .maddr_bits = 46,
					 .xen_slot = 256,
					 .xen_slots = 16 };

	libc_memset(&it, 0, sizeof(it));
	it.nr_frames = g->nr_pages + SPARE_FRAMES;
	it.frame = calloc(it.nr_frames, sizeof(*it.frame));
	it.m2p = calloc(it.nr_frames, sizeof(uint64_t));
	it.list = fence_after(g->nr_pages * sizeof(uint64_t));
	it.memory = calloc(it.nr_frames, PAGE_SIZE);
	libc_memset(it.memory, 0xd5, it.nr_frames * PAGE_SIZE);
	it.bytes = fence_after(g->bytes);
	it.module = fence_after(g->module_size);
	fill(it.bytes, g->bytes, 1);
	fill(it.module, g->module_size, 2);
	shuffle(g->nr_pages);
	model_init(&it.m, &ops, &profile, it.frame, it.m2p, it.nr_frames);
	it.image = (struct image){
		.virt_base = g->base,
		.start = g->base + g->offset,
		.end = g->base + g->offset + g->bytes,
		.entry = g->base + g->offset,
		/* the second half is .bss */
		.segment[0] = { g->base + g->offset, it.bytes, g->bytes / 2, g->bytes },
		.nr_segments = 1,
		.module_unmapped = g->unmapped,
	};
	it.config = (struct domain_config){
		.image = &it.image,
		.cmd_line = "tests=@boot nonce=12",
		.module = g->module_size ? it.module : NULL,
		.module_size = g->module_size,
		.mfn_list = it.list,
		.nr_pages = g->nr_pages,
		.shared_info = _mfn(3),
		.store_evtchn = 1,
		.console_evtchn = 2,
	};
}

void domain_teardown(const struct guest *g)
{
	fence_free(it.bytes, g->bytes);
	fence_free(it.module, g->module_size);
	fence_free(it.list, g->nr_pages * sizeof(uint64_t));
	free(it.frame);
	free(it.m2p);
	free(it.memory);
}

int domain_kit_build(void)
{
	return domain_build(&it.m, &it.config, &it.d, it.why, sizeof(it.why));
}
