/* SPDX-License-Identifier: MIT */
/* The console: every byte, once, in order. */
#include <stdint.h>
#include <pinion/lib/crc32.h>
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/xen/console.h>
#include "suite.h"

#define VOLUME_LINES 3600 /* of 74 bytes: over 256 KiB, 130 times the ring */
#define PAYLOAD	     56

/*
 * More than any buffer on the way holds, so every wait for room is gone through many times. The rig
 * checks numbers and checksums: a line lost, repeated or changed in one byte fails this test there.
 * A console that drops what does not fit, or counts a partial write twice, looks fine until then.
 */
TEST(console, console_volume, "256 KiB of numbered, checksummed lines reach the log unharmed")
{
	struct console_stats before = console_stats(), after;
	char line[80];
	unsigned int i, j;
	int used;

	print("# console_volume: %u lines\n", VOLUME_LINES);
	for (i = 0; i < VOLUME_LINES; i++) {
		used = snprintf(line, sizeof(line), "V %05u ", i);
		for (j = 0; j < PAYLOAD; j++)
			line[used++] = (char)('!' + (i * 7 + j * (1 + i % 5)) % 94);
		line[used++] = ' ';
		snprintf(line + used, sizeof(line) - (size_t)used, "%08x\n",
			 crc32(0, line, (size_t)used));
		console_write(line, strlen(line));
	}
	after = console_stats();
	CHECK_EQ(after.lost, before.lost);
	CHECK_EQ(after.bad_indices, before.bad_indices);
}

/* A line longer than a ring and than a console_io piece, in one write. */
TEST(console, console_long_write, "one write of 5000 bytes is not cut")
{
	static char text[5000];
	size_t i;

	for (i = 0; i < sizeof(text); i++)
		text[i] = i % 100 == 99 ? '\n' : '#';
	console_write(text, sizeof(text));
	CHECK_EQ(console_stats().lost, 0);
}

/* The ring's rules on a ring of our own, with a reader that misbehaves. */
TEST(console, console_ring_indices, "a reader's index is never believed")
{
	static struct xencons_interface shared;
	struct console_ring ring;
	static char text[3000];
	XENCONS_RING_IDX start = UINT32_MAX - 100; /* so that the indices wrap on the way */

	memset(&shared, 0, sizeof(shared));
	shared.out_prod = shared.out_cons = start;
	memset(text, 'x', sizeof(text));
	console_ring_init(&ring, &shared);
	CHECK(console_ring_drained(&ring));
	CHECK_EQ(console_ring_put(&ring, text, 0), 0);
	CHECK_EQ(console_ring_put(&ring, text, 2000), 2000);
	CHECK_EQ(shared.out_prod, start + 2000);
	CHECK_EQ(console_ring_put(&ring, text, 2000), 48);
	CHECK_EQ(console_ring_put(&ring, text, 1), 0);
	CHECK(!console_ring_drained(&ring));
	shared.out_cons = start + 1;
	CHECK_EQ(console_ring_put(&ring, "yz", 2), 1);
	CHECK_EQ(shared.out[MASK_XENCONS_IDX(start + 2048, shared.out)], 'y');
	/* Theirs ahead of ours, or further behind than the ring is long: taken as all read. */
	shared.out_cons = start + 2050;
	CHECK(console_ring_drained(&ring));
	CHECK_EQ(console_ring_put(&ring, text, sizeof(text)), 2048);
	shared.out_cons = ring.prod - 2049;
	CHECK_EQ(console_ring_put(&ring, text, sizeof(text)), 2048);
	CHECK_EQ(ring.bad_indices, 3);
	/* Their writing over our published index changes nothing. */
	shared.out_prod = 12345;
	shared.out_cons = ring.prod;
	CHECK_EQ(console_ring_put(&ring, text, 1), 1);
	CHECK_EQ(shared.out_prod, ring.prod);
	CHECK_EQ(shared.in_prod, 0);
}
