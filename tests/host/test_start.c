/* SPDX-License-Identifier: MIT */
/*
 * Starts of day that are wrong, or that no xl makes: what the kernel can't do with it says in one sentence and ends, what it
 * can it says too, and comes up.
 */
#include "host.h"
#include <xen/xen.h>
#include <pinion/boot/boot_info.h>
#include "vm.h"

/* A dom0 has a console before anything has been believed. */
static void start(const char *cmdline)
{
	const struct machine_config config = { .dom0 = true, .seed = 8, .cmdline = cmdline };

	assert_int_equal(machine_start(&config), 0);
}

static void expect_refused(const char *why)
{
	assert_int_equal(machine_boot(), MACHINE_CRASH);
	if (!libc_strstr(machine_console(), why))
		fail_msg("it says %.200s", machine_console());
	assert_non_null(libc_strstr(machine_console(), "panic: cannot boot: "));
}

static void expect_up(const char *what)
{
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	if (!libc_strstr(machine_console(), what))
		fail_msg("it says %.200s", machine_console());
	machine_check();
	machine_stop();
}

static void put(size_t at, uint64_t value, size_t n)
{
	assert_int_equal(guest_store(vm->domain.start_info + at, &value, n, NULL), 0);
}

/* Each field has tests of its own (fuzz_start_info); here, that a check's sentence reaches the console. */
static void test_start_info(void **state)
{
	(void)state;
	start("");
	put(offsetof(struct start_info, magic), '?', 1);
	expect_refused("start_info.magic is '?en-3.0-x86_64'");
	start("");
	put(offsetof(struct start_info, nr_pages), 0, 8);
	expect_refused("start_info.nr_pages is 0");
	start("");
	vm->domain.start_info = VIRT_BASE - 2 * PAGE_SIZE;
	expect_refused("start_info is not readable");
	machine_stop();
}

/* What a domU without a ring says by console_io, which some Xens show: this one refuses it. */
static char heard[4096];
static size_t heard_bytes;

static long listen(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	(void)ctx;
	(void)entry;
	if (nr != __HYPERVISOR_console_io || args[0] != CONSOLEIO_write)
		return 0;
	for (uint64_t i = 0; i < args[1] && heard_bytes < sizeof(heard) - 1; i++)
		assert_int_equal(guest_load(args[2] + i, &heard[heard_bytes++], 1, NULL), 0);
	return 0;
}

/* The ring's MFN is only a claim: one that is no frame of the boot region is not written to. */
static void test_no_ring(void **state)
{
	const struct machine_config config = { .seed = 8, .cmdline = "" };

	(void)state;
	machine_on_hypercall(listen, NULL);
	assert_int_equal(machine_start(&config), 0);
	put(offsetof(struct start_info, console.domU.mfn), 1, 8);
	assert_int_equal(machine_boot(), MACHINE_CRASH);
	machine_on_hypercall(NULL, NULL);
	assert_string_equal(machine_console(), "");
	assert_non_null(libc_strstr(heard, "cannot boot: start_info.console.domU.mfn is no frame"));
	machine_stop();
}

/* mem= below what is in use is no memory to come up in, and above what there is it changes nothing. */
static void test_memory(void **state)
{
	(void)state;
	start("mem=1M");
	expect_refused("KiB, has 1024");
	start("mem=1G");
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	assert_int_equal(boot_info()->ram_pages, 4096);
	machine_stop();
}

static void test_module(void **state)
{
	const struct machine_config config = {
		.seed = 8, .cmdline = "", .module = "a boot module", .module_bytes = 13
	};

	(void)state;
	assert_int_equal(machine_start(&config), 0);
	expect_up("boot: module of 13 bytes at pfn ");
}

/* A map without RAM says nothing about this guest's; nor does a toolstack that has set none. */
static void test_no_map(void **state)
{
	const struct machine_config config = { .seed = 8, .cmdline = "" };

	(void)state;
	assert_int_equal(machine_start(&config), 0);
	machine_model()->map[0].type = E820_RESERVED;
	expect_up("no memory map from Xen (it has no RAM), taking RAM to be [0, nr_pages)");
	assert_int_equal(machine_start(&config), 0);
	machine_model()->nr_regions = 0;
	expect_up("no memory map from Xen (-ENOSYS), taking RAM to be [0, nr_pages)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_info), cmocka_unit_test(test_no_ring),
		cmocka_unit_test(test_memory),	   cmocka_unit_test(test_module),
		cmocka_unit_test(test_no_map),
	};

	return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
