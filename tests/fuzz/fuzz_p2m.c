/* SPDX-License-Identifier: MIT */
/*
 * Operations on a P2M tree: tests/guest/p2m_random.c with its flat table, where an input's bytes are what is drawn.
 *
 *   u8         bit 0: the tree is published before, so that frame lists follow; bit 1: in the middle of the bytes the tree goes
 *              over to another mapping of its pages
 *   ...        what p2m_random() draws, each draw of as few bytes as it takes: whether memory is short, which operation, its range
 *
 * Of a tree that is published the pool's pages are RAM, above what the operations change; so what a toolstack finds by the frame
 * lists can be compared with the tree.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <pinion/lib/errno.h>
#include <pinion/xen/hypercall.h>
#include "../guest/p2m_random.h"
#include "../host/p2m_pool.h"

#define POOL_FIRST P2M_RANDOM_END
#define POOL_PAGES 64
#define POOL_MFN   0x70000 /* of the pool's first page; the others follow downwards */

/* Draws that an operation takes, at the least: so many operations are left in so many bytes. */
#define DRAWS 5

static struct p2m tree;
static struct shared_info shared;
static struct fuzz input;

/* In the place of lib/rand.c: what the random run draws comes from the input. */
uint64_t rng_next(struct rng *rng)
{
	(void)rng;
	return fuzz_u64(&input);
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	(void)rng;
	return fuzz_below(&input, n);
}

static void audit(void)
{
	pfn_t where = INVALID_PFN;
	const char *wrong = p2m_audit(&tree, &where);

	fuzz_check(!wrong, "pfn %#lx: %s", pfn_x(where), wrong);
}

static const uint64_t *by_mfn(uint64_t mfn)
{
	fuzz_check(mfn <= POOL_MFN && mfn > POOL_MFN - POOL_PAGES, "MFN %#lx in a frame list", mfn);
	return pool_page(POOL_FIRST + (POOL_MFN - mfn));
}

/* What a toolstack finds: MFNs and ~0. */
static void check_published(void)
{
	const uint64_t *lists = by_mfn(shared.arch.pfn_to_mfn_frame_list_list);

	for (uint64_t pfn = 0; pfn < P2M_RANDOM_END; pfn += 511) {
		const uint64_t *list = by_mfn(lists[pfn / P2M_SLOT_PFNS]);
		uint64_t seen = by_mfn(list[pfn / P2M_ENTRIES % P2M_ENTRIES])[pfn % P2M_ENTRIES];
		uint64_t entry = p2m_get(&tree, _pfn(pfn));

		fuzz_check(seen == entry || (seen == INVALID_P2M_ENTRY &&
					     entry == (pfn | IDENTITY_FRAME_BIT)),
			   "pfn %#lx is %#lx to a toolstack, not %#lx", pfn, seen, entry);
	}
}

/* p2m_random() calls it before each operation: a good time for a look from outside. */
static void limit(uint64_t n)
{
	if (tree.shared)
		check_published();
	pool_limit(n);
}

static int open_tree(bool published)
{
	int rc = p2m_init(&tree, &pool_source, pool_base());

	for (uint64_t i = 0; published && i < POOL_PAGES && !rc; i++) {
		rc = p2m_set(&tree, _pfn(POOL_FIRST + i), _mfn(POOL_MFN - i));
		if (rc)
			p2m_fini(&tree);
	}
	return rc;
}

static void run(uint64_t ops)
{
	const char *wrong;
	struct rng rng;
	uint64_t at;

	rng_seed(&rng, 0);
	wrong = p2m_random(&tree, &rng, ops, limit, &at);
	fuzz_check(!wrong, "operation %lu: %s", at, wrong);
	fuzz_check(tree.pages + tree.list_pages == pool_used(),
		   "%lu pages are used, the tree has %lu", pool_used(),
		   tree.pages + tree.list_pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t form;

	input = fuzz_bytes(data, size);
	form = fuzz_u8(&input);
	libc_memset(&shared, 0, sizeof(shared));
	pool_open(POOL_FIRST, POOL_PAGES);
	fuzz_check(open_tree(form & 1) == 0, "no tree");
	if (form & 1)
		fuzz_check(p2m_publish(&tree, &shared) == 0, "the tree can't be published");
	run(form & 2 ? input.left / DRAWS / 2 : input.left / DRAWS);
	if (form & 2) {
		p2m_rebase(&tree, pool_map_again());
		pool_forget_first();
		audit();
		run(input.left / DRAWS);
	}
	audit();
	p2m_fini(&tree);
	fuzz_check(pool_used() == 0, "%lu pages are left", pool_used());
	fuzz_check(shared.arch.max_pfn == 0 && shared.arch.pfn_to_mfn_frame_list_list == 0,
		   "shared_info still names the tree");
	pool_close();
	return 0;
}
