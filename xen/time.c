/* SPDX-License-Identifier: MIT */
/*
 * Time. Xen updates the clock page between two increments of its version, so a copy is good if the
 * version was even and the same before and after it (a sequence lock whose writer is Xen).
 */
#include <stdint.h>
#include <xen/vcpu.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/io.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/time.h>

/* 0, which is no port: there is no timer. */
static evtchn_port_t timer_port;

uint64_t time_from_tsc(const struct vcpu_time_info *time, uint64_t tsc)
{
	uint64_t delta = tsc - time->tsc_timestamp;

	if (time->tsc_shift >= 0)
		delta <<= time->tsc_shift;
	else
		delta >>= -time->tsc_shift;
	return time->system_time +
	       (uint64_t)((unsigned __int128)delta * time->tsc_to_system_mul >> 32);
}

uint64_t time_now_ns(void)
{
	struct vcpu_info *vcpu = this_cpu()->vcpu_info;
	struct vcpu_time_info copy;
	uint32_t version;
	uint64_t tsc;

	if (!vcpu)
		return 0;
	do {
		version = READ_ONCE(vcpu->time.version);
		barrier();
		copy = vcpu->time;
		tsc = rdtsc();
		barrier();
	} while ((version & 1) || version != READ_ONCE(vcpu->time.version));
	return time_from_tsc(&copy, tsc);
}

int time_init(void)
{
	long rc = hypercall_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);

	if (!rc)
		rc = evtchn_bind_virq(VIRQ_TIMER);
	if (rc == -ENOSYS) {
		print("time: no timer (-ENOSYS), sleeping will spin\n");
		return 0;
	}
	if (rc < 0)
		return (int)rc;
	timer_port = (evtchn_port_t)rc;
	return 0;
}

/* A deadline in the past fires at once, so there is no race to lose; poll ends early only on an
 * error, and then this spins. */
void time_sleep_until(uint64_t deadline_ns)
{
	struct vcpu_set_singleshot_timer timer = { .timeout_abs_ns = deadline_ns, .flags = 0 };

	while (time_now_ns() < deadline_ns) {
		if (!timer_port)
			continue;
		evtchn_clear(timer_port);
		if (hypercall_vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer))
			continue;
		evtchn_poll(timer_port, deadline_ns);
	}
}
