/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of what Xen serves besides memory, at its edges: a console that nobody can be shown yet, that nobody
 * reads, or reads late; event channels and a timer that are not there, or refused; an end that Xen does not
 * grant at once.
 */
#include "host.h"
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <pinion/lib/print.h>
#include <pinion/xen/console.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/shutdown.h>
#include <pinion/xen/time.h>
#include "vm.h"

#define EARLY_BYTES 2048 /* what xen/console.c keeps */
#define RING_BYTES  2048 /* struct xencons_interface */
#define LONG_BYTES  5000

/* The console's driver is the guest's code, and its text is told apart by where in it a byte stands. */
static char long_text[LONG_BYTES + 1];

static void make_text(void)
{
	for (size_t i = 0; i < LONG_BYTES; i++)
		long_text[i] = i % 64 == 63 ? '\n' : (char)('0' + i / 64 % 64);
}

static void start(bool dom0)
{
	struct machine_config config = { .dom0 = dom0, .seed = 3, .cmdline = "" };

	machine_on_hypercall(NULL, NULL);
	assert_int_equal(machine_start(&config), 0);
}

static void boot(bool dom0)
{
	start(dom0);
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	machine_console_reset();
}

static void run(void (*fn)(void *arg), void *arg)
{
	assert_int_equal(machine_run(fn, arg), MACHINE_RETURNED);
}

/* Refuses the first @times calls of @nr with @command (or with any, if that is ANY) by @error. */
#define ANY UINT64_MAX

struct refusal {
	unsigned int nr;
	uint64_t command;
	unsigned int times;
	long error;
	unsigned int seen;
};

static long refuse(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	struct refusal *r = ctx;

	(void)entry;
	if (nr != r->nr || (r->command != ANY && args[0] != r->command))
		return 0;
	return r->seen++ < r->times ? r->error : 0;
}

/* Longer than what can be kept: its end is lost and counted, its beginning is the first that comes out. */
static void early_text(void *arg)
{
	(void)arg;
	console_write(long_text, 1500);
	console_write(long_text + 1500, 1500);
	console_use_hypercall();
	console_release_early();
	console_write("then\n", 5);
	console_drain();
}

static void test_early(void **state)
{
	const char *text;

	(void)state;
	start(true);
	run(early_text, NULL);
	text = machine_console();
	assert_int_equal(libc_strlen(text), EARLY_BYTES + 5);
	assert_memory_equal(text, long_text, EARLY_BYTES);
	assert_string_equal(text + EARLY_BYTES, "then\n");
	assert_int_equal(console_stats().lost, 3000 - EARLY_BYTES);
	machine_stop();
}

/* What Xen does not take of a dom0's text is counted, and the rest still comes. */
static void two_lines(void *arg)
{
	(void)arg;
	console_write("first\n", 6);
	console_write("second\n", 7);
}

static void test_line_refused(void **state)
{
	struct refusal r = { __HYPERVISOR_console_io, ANY, 1, -EFAULT, 0 };

	(void)state;
	boot(true);
	machine_on_hypercall(refuse, &r);
	run(two_lines, NULL);
	assert_string_equal(machine_console(), "second\n");
	assert_int_equal(console_stats().lost, 6);
	machine_stop();
}

/* xenconsoled reads when it is told to, or when the guest waits: @late calls of either don't reach it. */
struct reader {
	unsigned int late, polls, sends;
	uint64_t clock_step; /* ns that a poll takes */
};

static long slow_reader(void *ctx, unsigned int nr, const uint64_t *args, unsigned int entry)
{
	struct reader *reader = ctx;

	(void)entry;
	if (nr == __HYPERVISOR_sched_op && args[0] == SCHEDOP_poll) {
		vm_vcpu_info()->time.system_time += reader->clock_step;
		reader->polls++;
	} else if (nr == __HYPERVISOR_event_channel_op && args[0] == EVTCHNOP_send) {
		reader->sends++;
	} else {
		return 0;
	}
	return reader->polls + reader->sends <= reader->late ? -EINVAL : 0;
}

static void write_long(void *arg)
{
	if (arg)
		console_crash_mode();
	console_write(long_text, LONG_BYTES);
	console_drain();
}

/* Losing output is worse than waiting. */
static void test_reader_late(void **state)
{
	struct reader reader = { .late = 3000 };

	(void)state;
	boot(false);
	machine_on_hypercall(slow_reader, &reader);
	run(write_long, NULL);
	assert_true(reader.polls >= 1500);
	assert_string_equal(machine_console(), long_text);
	assert_int_equal(console_stats().lost, 0);
	machine_stop();
}

/* But in a crash there is an end to it: by the clock, or if that stands still, by the number of polls. */
static void test_reader_gone(void **state)
{
	struct reader reader = { .late = UINT32_MAX, .clock_step = UINT64_C(3000000000) };

	(void)state;
	boot(false);
	machine_on_hypercall(slow_reader, &reader);
	run(write_long, &reader);
	assert_int_equal(reader.polls, 4);
	assert_int_equal(console_stats().lost, LONG_BYTES - RING_BYTES);
	assert_string_equal(machine_console(), "");
	boot(false);
	vm_vcpu_info()->time.tsc_to_system_mul = 0;
	reader = (struct reader){ .late = UINT32_MAX };
	machine_on_hypercall(slow_reader, &reader);
	run(write_long, &reader);
	assert_int_equal(reader.polls, 100000);
	assert_int_equal(console_stats().lost, LONG_BYTES - RING_BYTES);
	machine_stop();
}

/* Nothing is left to do but to ask again. */
static void end(void *arg)
{
	shutdown(*(unsigned int *)arg);
}

static void test_shutdown_refused(void **state)
{
	struct refusal r = { __HYPERVISOR_sched_op, SCHEDOP_shutdown, 2, -EINVAL, 0 };
	unsigned int reason = SHUTDOWN_poweroff;

	(void)state;
	boot(true);
	machine_on_hypercall(refuse, &r);
	assert_int_equal(machine_run(end, &reason), MACHINE_POWEROFF);
	assert_int_equal(r.seen, 3);
	machine_stop();
}

/* Where there are no events, or no timer, the kernel says so once and comes up; sleeping takes as long as before. */
static uint64_t slept[2];
static long bound[2];

static void sleep_some(void *arg)
{
	(void)arg;
	slept[0] = time_now_ns() + 200000;
	time_sleep_until(slept[0]);
	slept[1] = time_now_ns();
}

static void open_ports(void *arg)
{
	(void)arg;
	bound[0] = evtchn_bind_virq(VIRQ_DEBUG);
	bound[1] = evtchn_alloc_unbound_self();
	sleep_some(NULL);
}

static void test_no_events(void **state)
{
	struct refusal r = { __HYPERVISOR_event_channel_op, ANY, UINT32_MAX, -ENOSYS, 0 };

	(void)state;
	start(true);
	machine_on_hypercall(refuse, &r);
	assert_int_equal(machine_boot(), MACHINE_RETURNED);
	assert_non_null(libc_strstr(machine_console(), "no event channels (-ENOSYS)"));
	assert_non_null(libc_strstr(machine_console(), "no timer (-ENOSYS)"));
	assert_false(evtchn_present());
	run(open_ports, NULL);
	assert_int_equal(bound[0], -ENOSYS);
	assert_int_equal(bound[1], -ENOSYS);
	assert_true(slept[1] >= slept[0]);
	machine_stop();
}

/* A timer that can't be set now is asked for again, and nothing is waited for without it. */
static void test_timer_refused(void **state)
{
	struct refusal r = { __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 2, -ETIME, 0 };

	(void)state;
	boot(true);
	machine_on_hypercall(refuse, &r);
	run(sleep_some, NULL);
	assert_true(r.seen >= 3);
	assert_true(slept[1] >= slept[0]);
	machine_stop();
}

/* Before shared_info is mapped Xen has nowhere to look for what is pending: it is asked for a turn instead. */
static void poll_early(void *arg)
{
	(void)arg;
	evtchn_clear(1);
	evtchn_poll(1, 0);
}

static void test_poll_early(void **state)
{
	struct refusal yields = { __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0 };

	(void)state;
	start(false);
	machine_on_hypercall(refuse, &yields);
	run(poll_early, NULL);
	assert_int_equal(yields.seen, 1);
	machine_stop();
}

static unsigned int handled;

static void handle(evtchn_port_t port)
{
	handled += port;
}

static void other_handler(evtchn_port_t port)
{
	(void)port;
	handled += 1000;
}

/* Ports that nobody can have are refused before Xen is asked; one has one handler; closed, it has none. */
static int results[8];

static void ports(void *arg)
{
	evtchn_port_t port = (evtchn_port_t)evtchn_alloc_unbound_self();

	*(evtchn_port_t *)arg = port;
	results[0] = evtchn_set_handler(0, handle);
	results[1] = evtchn_set_handler(256, handle);
	results[2] = evtchn_set_handler(port, NULL);
	results[3] = evtchn_set_handler(port, handle);
	results[4] = evtchn_set_handler(port, other_handler);
	results[5] = evtchn_close(port);
	results[6] = evtchn_close(300);
	results[7] = evtchn_close(UINT32_MAX);
}

static void test_ports(void **state)
{
	struct refusal unmasks = { __HYPERVISOR_event_channel_op, EVTCHNOP_unmask, 0, 0, 0 };
	struct shared_info *si;
	evtchn_port_t port = 0;

	(void)state;
	boot(false);
	si = (void *)((uint8_t *)vm_vcpu_info() - offsetof(struct shared_info, vcpu_info));
	machine_on_hypercall(refuse, &unmasks);
	run(ports, &port);
	assert_int_equal(unmasks.seen, 1);
	assert_int_equal(results[0], -EINVAL);
	assert_int_equal(results[1], -EINVAL);
	assert_int_equal(results[2], -EINVAL);
	assert_int_equal(results[3], 0);
	assert_int_equal(results[4], -EBUSY);
	assert_int_equal(results[5], 0);
	assert_int_equal(results[6], -EINVAL);
	assert_int_equal(results[7], -EINVAL);
	assert_true(si->evtchn_mask[port / 64] >> port % 64 & 1);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_line_refused),
		cmocka_unit_test(test_reader_late),
		cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_shutdown_refused),
		cmocka_unit_test(test_no_events),
		cmocka_unit_test(test_timer_refused),
		cmocka_unit_test(test_poll_early),
		cmocka_unit_test(test_ports),
	};

	make_text();
	return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
