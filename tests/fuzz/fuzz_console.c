/* SPDX-License-Identifier: MIT */
/*
 * The console's whole way out of a domU, with a hostile reader: xen/console.c on a machine of tests/host/guest.h. Where the kernel waits
 * for the reader, the reader does something; so indices change in the middle of a line too.
 *
 *   u8         what happens: 0, 1 text is written, of so many bytes (u16), the last a newline or not (u8); 2 all that was written is
 *              waited for; 3 the system goes down: waits are bounded from now on; others: the reader acts
 *   u8         the reader: 0 reads so many, rightly; 1 out_cons becomes any number; 2 out_prod does; 3 the ring is overwritten;
 *              4 the input ring's indices and bytes become anything; 5, 6 nothing; 7 reads all
 *   ...        until the bytes end; then the reader reads all
 *
 * There is no input, so what stands in the input ring is nobody's business: the kernel reads none of it and writes none.
 *
 * The oracle plays the same: what is accepted when by how much seems to be unread, modulo 2^32. So it knows where each byte of text
 * must lie, when the kernel may wait, how many bytes are lost, and how often an index was impossible.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <pinion/arch/cpu.h>
#include <pinion/boot/boot_info.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>
#include <pinion/mm/direct_map.h>
#include <pinion/xen/console.h>
#include <pinion/xen/time.h>
#include "../host/guest.h"
#include "fuzz.h"

#define RING_BYTES 2048u
#define TEXT_MAX   5000u
#define POLL_NS	   (150 * NS_PER_MS)

/* A crash gives up after 10 s; the machine's clock goes on by itself meanwhile, a little. */
#define GIVE_UP_MIN 40
#define GIVE_UP_MAX 67

static struct {
	struct machine_snapshot *snap;
	struct fuzz f;
	struct console_stats before;
} the;

static struct {
	struct xencons_interface page; /* as it must be */
	uint32_t prod;		       /* the kernel's own */
	unsigned long bad, lost;
	char text[TEXT_MAX];
	size_t n, done; /* of the text that is being written */
	bool draining, waiting, crash;
	unsigned int polls; /* since the system goes down */
} model;

static struct xencons_interface *ring(void)
{
	return direct_va(boot_info()->console.pfn);
}

static uint32_t used(void)
{
	uint32_t n = model.prod - model.page.out_cons;

	if (n <= RING_BYTES)
		return n;
	model.bad++;
	return 0;
}

static bool put(void)
{
	size_t room = RING_BYTES - used(), n = model.n - model.done;

	n = n < room ? n : room;
	for (size_t i = 0; i < n; i++)
		model.page.out[(model.prod + i) % RING_BYTES] = model.text[model.done + i];
	model.prod += (uint32_t)n;
	model.page.out_prod = model.prod;
	model.done += n;
	return n > 0;
}

/* What the kernel does till it waits, or has done what it was asked for. */
static void go_on(void)
{
	model.waiting = false;
	while (model.done < model.n && !model.waiting)
		model.waiting = !put();
	if (model.draining && !model.waiting)
		model.waiting = used() != 0;
}

static void check(void)
{
	const struct xencons_interface *is = ring();
	struct console_stats stats = console_stats();

	fuzz_check(memcmp(is->out, model.page.out, RING_BYTES) == 0, "other bytes in the ring");
	fuzz_check(memcmp(is->in, model.page.in, sizeof(is->in)) == 0 &&
			   is->in_cons == model.page.in_cons && is->in_prod == model.page.in_prod,
		   "the input ring was written");
	fuzz_check(is->out_cons == model.page.out_cons, "out_cons was written");
	fuzz_check(is->out_prod == model.page.out_prod, "out_prod is %#x, not %#x", is->out_prod,
		   model.page.out_prod);
	fuzz_check(stats.bad_indices - the.before.bad_indices == model.bad,
		   "%lu bad indices, not %lu", stats.bad_indices - the.before.bad_indices,
		   model.bad);
}

static void read_all(void)
{
	ring()->out_cons = model.page.out_cons = model.prod;
}

static void reader(uint8_t form)
{
	struct xencons_interface *page = &model.page;
	uint32_t unread = model.prod - page->out_cons;

	switch (form & 7) {
	case 0:
		if (unread <= RING_BYTES)
			page->out_cons += (uint32_t)fuzz_below(&the.f, unread + 1);
		break;
	case 1:
		page->out_cons = (uint32_t)(model.prod - fuzz_number(&the.f));
		break;
	case 2:
		page->out_prod = (uint32_t)fuzz_number(&the.f);
		break;
	case 3:
		memset(page->out, fuzz_u8(&the.f), RING_BYTES);
		break;
	case 4:
		page->in_cons = (uint32_t)fuzz_number(&the.f);
		page->in_prod = (uint32_t)fuzz_number(&the.f);
		memset(page->in, fuzz_u8(&the.f), sizeof(page->in));
		break;
	case 7:
		read_all();
		break;
	default:
		break;
	}
	memcpy(ring(), page, sizeof(*page));
}

/* The kernel waits: time passes, and the reader acts. */
static void on_poll(void)
{
	fuzz_check(model.waiting, "the kernel waits, and has no reason");
	check();
	model.polls += model.crash;
	fuzz_check(model.polls <= GIVE_UP_MAX, "a crash waits for ever");
	this_cpu()->vcpu_info->time.system_time += POLL_NS;
	if (the.f.left)
		reader(fuzz_u8(&the.f));
	else
		read_all();
	go_on();
}

/* Xen's answer is an error, which nobody may mind. */
static long on_hypercall(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	(void)ctx;
	(void)entry;
	if (nr == __HYPERVISOR_event_channel_op && args[0] == EVTCHNOP_send) {
		check();
		return -EINVAL;
	}
	if (nr != __HYPERVISOR_sched_op || args[0] != SCHEDOP_poll)
		return 0;
	on_poll();
	return -EINVAL;
}

/* What was asked for is done, or given up. */
static void finish(void)
{
	unsigned long lost = console_stats().lost - the.before.lost;

	if (model.waiting) {
		fuzz_check(model.crash && model.polls >= GIVE_UP_MIN,
			   "the kernel does not wait for the reader");
		model.lost += model.n - model.done;
	}
	fuzz_check(lost == model.lost, "%lu bytes are lost, not %lu", lost, model.lost);
	model.n = model.done = 0;
	model.draining = model.waiting = false;
	check();
}

static void write_text(void)
{
	uint8_t end;

	model.n = fuzz_u16(&the.f) % TEXT_MAX;
	end = fuzz_u8(&the.f);
	for (size_t i = 0; i < model.n; i++)
		model.text[i] = (char)(model.prod + i * 7);
	if (model.n)
		model.text[model.n - 1] = end & 1 ? '\n' : 'x';
	fuzz_say("%zu bytes, out_cons %#x of %#x", model.n, model.page.out_cons, model.prod);
	(void)put();
	go_on();
	console_write(model.text, model.n);
	finish();
}

static void play(void *arg)
{
	(void)arg;
	memset(&model, 0, sizeof(model));
	memcpy(&model.page, ring(), sizeof(model.page));
	model.prod = model.page.out_prod;
	the.before = console_stats();
	while (the.f.left) {
		uint8_t form = fuzz_u8(&the.f);

		switch (form >> 3 & 7) {
		case 0:
		case 1:
			write_text();
			break;
		case 2:
			model.draining = true;
			go_on();
			console_drain();
			finish();
			break;
		case 3:
			model.crash = true;
			model.polls = 0;
			console_crash_mode();
			break;
		default:
			reader(form);
			check();
		}
	}
}

static void run(void (*fn)(void *arg))
{
	enum machine_end how = machine_run(fn, NULL);

	fuzz_check(how == MACHINE_RETURNED, "the guest ended (%d): %s", how,
		   machine_why() ? machine_why() : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_config config = { .nr_pages = 1024, .seed = 1, .check_every = UINT32_MAX };

	if (!the.snap) {
		fuzz_check(machine_start(&config) == 0 && machine_boot() == MACHINE_RETURNED,
			   "the kernel does not come up:\n%s", machine_console());
		machine_on_hypercall(on_hypercall, NULL);
		the.snap = machine_snapshot();
	}
	machine_restore(the.snap);
	the.f = fuzz_bytes(data, size);
	run(play);
	return 0;
}
