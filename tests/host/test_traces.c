/* SPDX-License-Identifier: MIT */
/*
 * Modules of traces that are not what tests/diff has written: a replayer in a guest can't trust what it is booted with.
 *
 *     good module --spoiled at random places--> refused, with the record that is wrong
 *          |                                or  replayed, as any other: the pool is had back, nothing is lost
 *          +--its checksum made right again, mostly, so that what lies behind it is tried
 *
 * The module is two directories above this program's own (diff.mk). The machine checks itself at each call.
 */
#include "host.h"
#include <unistd.h>
#include <pinion/boot/boot_info.h>
#include <pinion/boot/hooks.h>
#include <pinion/lib/crc32.h>
#include <pinion/mm/frames.h>
#undef EXPECT_PANIC /* the suite has its own */
#include "../guest/trace.h"
#include "guest.h"

#define ROUNDS	   600
#define MOST_BYTES (64 * 1024)

static uint8_t good[MOST_BYTES], bad[MOST_BYTES];
static size_t bytes;

static void read_module(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	FILE *file;

	assert_true(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	strcpy(strrchr(path, '/'), "/traces.module");
	file = fopen(path, "rb");
	assert_non_null(file);
	bytes = fread(good, 1, sizeof(good), file);
	assert_true(bytes > sizeof(struct trace_header) && bytes < sizeof(good));
	fclose(file);
}

/* The guest's module becomes what is in bad[]. */
static void place(void)
{
	struct model *m = machine_model();
	size_t at, n;

	for (at = 0; at < bytes; at += n) {
		const pfn_t pfn = pfn_add(boot_info()->module.start, at / PAGE_SIZE);

		n = bytes - at < PAGE_SIZE ? bytes - at : PAGE_SIZE;
		memcpy(m->ops->page(m, boot_mfn(boot_info(), pfn)), &bad[at], n);
	}
}

static void replay(void *arg)
{
	struct boot_options *options = (struct boot_options *)&boot_info()->options;

	options->tests = arg;
	boot_run_hooks(BOOT_EARLY);
}

static void spoil(struct rng *rng)
{
	struct trace_header *header = (struct trace_header *)bad;
	uint64_t places = 1 + rng_below(rng, 4);

	memcpy(bad, good, bytes);
	while (places--) {
		uint64_t at =
			rng_below(rng, 8) ? rng_below(rng, bytes) : rng_below(rng, sizeof(*header));

		switch (rng_below(rng, 4)) {
		case 0:
			bad[at] ^= (uint8_t)(1 << rng_below(rng, 8));
			break;
		case 1:
			bad[at] = (uint8_t)rng_next(rng);
			break;
		case 2:
			bad[at] = rng_below(rng, 2) ? 0 : 0xff;
			break;
		default: /* a record, or what looks like one, of another place */
			at -= at % sizeof(struct trace_op);
			if (at + sizeof(struct trace_op) <= bytes)
				memcpy(&bad[at],
				       &good[rng_below(rng, bytes - sizeof(struct trace_op))],
				       sizeof(struct trace_op));
			break;
		}
	}
	if (rng_below(rng, 8) && header->bytes <= bytes - sizeof(*header))
		header->crc = crc32(0, bad + sizeof(*header), header->bytes);
}

/* One round: whether the module was taken. Its frames are the guest's yet, or what they were. */
static bool one(void)
{
	static char test[] = "trace_replay";
	const uint64_t pages = machine_model()->tot_pages;
	bool taken;

	place();
	machine_console_reset();
	if (machine_run(replay, test) != MACHINE_RETURNED)
		fail_msg("the guest ended: %s\n%s", machine_why(), machine_console());
	taken = libc_strstr(machine_console(), "traces end: ") != NULL;
	/* A check of the replayer's that fails says so; that Xen gave more than the guest was told of is the suite's to say. */
	if (libc_strstr(machine_console(), "# trace_replay: ") ||
	    (!taken && !libc_strstr(machine_console(), "of the module: ")))
		fail_msg("neither replayed nor refused:\n%s", machine_console());
	if (!taken)
		assert_int_equal(machine_model()->tot_pages, pages);
	machine_check();
	return taken;
}

static void test_spoiled(void **state)
{
	struct machine_config config = { .dom0 = true,
					 .seed = 1,
					 .nr_pages = 4096,
					 .max_pages = 4096 + 256,
					 .spare = 2048,
					 .check_every = UINT32_MAX,
					 .cmdline = "tests=-* oracle=off" };
	struct machine_snapshot *snapshot;
	const char *seed = getenv("PINION_SEED");
	unsigned int i, taken = 0;
	struct rng rng;

	(void)state;
	rng_seed(&rng, seed ? strtoull(seed, NULL, 0) : 1);
	print_message("PINION_SEED=%s\n", seed ? seed : "1");
	read_module();
	config.module = good;
	config.module_bytes = bytes;
	assert_int_equal(machine_start(&config), 0);
	assert_int_equal(machine_boot_early(), MACHINE_RETURNED);
	snapshot = machine_snapshot();
	memcpy(bad, good, bytes);
	assert_true(one());
	for (i = 0; i < ROUNDS; i++) {
		machine_restore(snapshot);
		spoil(&rng);
		taken += one();
	}
	print_message("%u of %u taken\n", taken, ROUNDS);
	assert_true(taken > ROUNDS / 20 && taken < ROUNDS);
	machine_snapshot_free(snapshot);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_spoiled) };

	return cmocka_run_group_tests_name("traces", tests, NULL, NULL);
}
