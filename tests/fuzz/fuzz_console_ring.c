/* SPDX-License-Identifier: MIT */
/*
 * The console's ring with a hostile other end: xen/console_ring.c.
 *
 *   u8, ...    where out_cons and out_prod stand when the ring is taken over: a number each, or alike
 *   u8         what happens next: 0 text is put, of so many bytes (u16); 1 the reader reads so many, rightly; 2 out_cons becomes
 *              any number; 3 out_prod becomes any number; 4 the bytes of the ring are overwritten; 5 is all read?
 *   ...        until the bytes end
 *
 * The oracle: an index is what it is, modulo 2^32; if more than the ring would be unread by out_cons, the ring is empty. Text that was
 * accepted lies in the ring, byte by byte, from our own index on; nothing else of the shared page is written.
 */
#include "../host/host.h"
#include "fuzz.h"
#include <pinion/xen/console_ring.h>

#define RING_BYTES 2048u
#define PUT_MAX	   5000

static struct xencons_interface *page;

static struct {
	char out[RING_BYTES];
	uint32_t cons, prod; /* prod is ours: whatever the page says */
	unsigned long bad;
	uint8_t letter;
} model;

/* How much is unread, as the kernel must see it. */
static uint32_t used(void)
{
	uint32_t n = model.prod - model.cons;

	if (n <= RING_BYTES)
		return n;
	model.bad++;
	return 0;
}

/* All of the page. Our index in it may have been spoilt since it was published. */
static void check_page(const struct console_ring *ring, uint32_t published)
{
	static const char none[sizeof(page->in)];

	fuzz_check(libc_memcmp(page->out, model.out, RING_BYTES) == 0, "other bytes in the ring");
	fuzz_check(libc_memcmp(page->in, none, sizeof(none)) == 0 && page->in_cons == 0 &&
			   page->in_prod == 0,
		   "the input ring was written");
	fuzz_check(page->out_cons == model.cons, "out_cons was written");
	fuzz_check(page->out_prod == published, "out_prod is %#x, not %#x", page->out_prod,
		   published);
	fuzz_check(ring->prod == model.prod && ring->bad_indices == model.bad,
		   "own index %#x, %lu bad ones; not %#x, %lu", ring->prod, ring->bad_indices,
		   model.prod, model.bad);
}

static void put(struct console_ring *ring, size_t n)
{
	char *text = malloc(n + 1);
	size_t want = RING_BYTES - used(), done;

	fuzz_check(text, "no memory");
	for (size_t i = 0; i < n; i++)
		text[i] = (char)model.letter++;
	want = n < want ? n : want;
	done = console_ring_put(ring, text, n);
	fuzz_check(done == want, "%zu of %zu bytes put, not %zu", done, n, want);
	for (size_t i = 0; i < want; i++)
		model.out[(model.prod + i) % RING_BYTES] = text[i];
	model.prod += (uint32_t)want;
	free(text);
}

static void step(struct console_ring *ring, struct fuzz *f)
{
	uint32_t published = page->out_prod, unread = model.prod - model.cons;
	bool drained;

	switch (fuzz_u8(f) % 6) {
	case 0:
		put(ring, fuzz_u16(f) % PUT_MAX);
		published = model.prod;
		break;
	case 1:
		if (unread <= RING_BYTES)
			page->out_cons = model.cons += (uint32_t)fuzz_below(f, unread + 1);
		break;
	case 2:
		page->out_cons = model.cons = (uint32_t)(model.prod + fuzz_number(f));
		break;
	case 3:
		page->out_prod = published = (uint32_t)fuzz_number(f);
		break;
	case 4:
		libc_memset(page->out, fuzz_u8(f), RING_BYTES);
		libc_memcpy(model.out, page->out, RING_BYTES);
		break;
	default:
		drained = console_ring_drained(ring);
		fuzz_check(drained == (used() == 0), "drained is %d", drained);
	}
	check_page(ring, published);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = fuzz_bytes(data, size);
	struct console_ring ring;
	uint32_t published;

	page = calloc(1, sizeof(*page));
	fuzz_check(page, "no memory");
	libc_memset(&model, 0, sizeof(model));
	published = page->out_prod = model.prod = (uint32_t)fuzz_number(&f);
	page->out_cons = model.cons = fuzz_u8(&f) & 1 ? (uint32_t)fuzz_number(&f) : model.prod;
	libc_memset(&ring, 0xa5, sizeof(ring));
	console_ring_init(&ring, page);
	check_page(&ring, published);
	while (f.left)
		step(&ring, &f);
	free(page);
	return 0;
}
