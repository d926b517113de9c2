/* SPDX-License-Identifier: MIT */
/*
 * The console driver; the two ways out stand in <pinion/xen/console.h>.
 *
 * Every byte must reach the log, in order and once: so a full ring is waited for, not overrun, and
 * what console_io takes is counted off piece by piece. Waiting is for ever in normal life (losing
 * output would be worse) and for a few seconds in a crash, when the next thing to do is to go down.
 *
 * Text written before a way out is chosen is kept, and comes out by console_release_early(), after
 * the first line, or in the report of a crash.
 */
#include <pinion/arch/cpu.h>
#include <pinion/lib/print.h>
#include <pinion/lib/string.h>
#include <pinion/xen/console.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/time.h>

/* Xen's console_io prints pieces of this many bytes; a call a line keeps lines whole on a serial
 * port that Xen writes to as well. (CONSOLE_MAX is 127 and a NUL: guest_console_write.) */
#define LINE_BYTES 127

#define EARLY_BYTES 2048

/* How long one wait for the reader is, and all of them together in a crash. */
#define POLL_NS	 (100 * NS_PER_MS)
#define CRASH_NS (10 * NS_PER_S)

/* Polls that a crash waits for at most, in case there is no clock yet or it stands still. */
#define CRASH_POLLS 100000

enum way_out { EARLY, HYPERCALL, RING };

static struct {
	enum way_out way;
	struct console_ring ring;
	evtchn_port_t port;
	char line[LINE_BYTES];
	size_t line_used;
	char early[EARLY_BYTES];
	size_t early_used;
	bool crash;
	uint64_t give_up_ns;
	unsigned int polls_left;
	unsigned long lost;
} console;

static void line_flush(void)
{
	if (console.line_used && hypercall_console_write(console.line, console.line_used))
		console.lost += console.line_used;
	console.line_used = 0;
}

static void write_hypercall(const char *text, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		console.line[console.line_used++] = text[i];
		if (text[i] == '\n' || console.line_used == LINE_BYTES)
			line_flush();
	}
}

/* Blocks until the reader has (perhaps) made progress; false if it's time to give up on it. */
static bool wait_for_reader(void)
{
	evtchn_notify(console.port);
	if (console.crash && (console.polls_left == 0 || time_now_ns() > console.give_up_ns))
		return false;
	if (console.crash)
		console.polls_left--;
	evtchn_poll(console.port, time_now_ns() + POLL_NS);
	return true;
}

static void write_ring(const char *text, size_t n)
{
	size_t done = console_ring_put(&console.ring, text, n), more;

	while (done < n) {
		/* Clear before the look: what the reader does after it ends the poll. */
		evtchn_clear(console.port);
		more = console_ring_put(&console.ring, text + done, n - done);
		done += more;
		if (!more && !wait_for_reader()) {
			console.lost += n - done;
			break;
		}
	}
	if (n && text[n - 1] == '\n')
		evtchn_notify(console.port);
}

static void write_early(const char *text, size_t n)
{
	size_t room = EARLY_BYTES - console.early_used;

	if (n > room) {
		console.lost += n - room;
		n = room;
	}
	memcpy(console.early + console.early_used, text, n);
	console.early_used += n;
}

void console_write(const char *s, size_t n)
{
	/* A handler that prints must not cut into the middle of a line. */
	bool masked = upcalls_mask();

	switch (console.way) {
	case EARLY:
		write_early(s, n);
		break;
	case HYPERCALL:
		write_hypercall(s, n);
		break;
	case RING:
		write_ring(s, n);
		break;
	}
	upcalls_restore(masked);
}

void console_use_hypercall(void)
{
	console.way = HYPERCALL;
}

void console_use_ring(struct xencons_interface *ring, uint32_t port)
{
	console_ring_init(&console.ring, ring);
	console.port = port;
	console.way = RING;
}

void console_move_ring(struct xencons_interface *ring)
{
	console.ring.shared = ring;
}

void console_release_early(void)
{
	size_t n = console.early_used;

	console.early_used = 0;
	console_write(console.early, n);
}

void console_drain(void)
{
	if (console.way == HYPERCALL)
		line_flush();
	if (console.way != RING)
		return;
	for (;;) {
		evtchn_clear(console.port);
		if (console_ring_drained(&console.ring) || !wait_for_reader())
			return;
	}
}

void console_crash_mode(void)
{
	console.crash = true;
	console.give_up_ns = time_now_ns() + CRASH_NS;
	console.polls_left = CRASH_POLLS;
	if (console.way == EARLY) {
		console_use_hypercall();
		console_release_early();
	}
}

struct console_stats console_stats(void)
{
	return (struct console_stats){ console.ring.bad_indices, console.lost };
}
