/* SPDX-License-Identifier: MIT */
/*
 * System time: nanoseconds since Xen booted, from the clock page that Xen keeps in vcpu_info.
 *
 *   now = system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32)
 *
 * Source: struct vcpu_time_info in Xen's public/xen.h.
 */
#ifndef PINION_XEN_TIME_H
#define PINION_XEN_TIME_H

#include <stdint.h>
#include <xen/xen.h>
#include <pinion/lib/compiler.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* System time in ns; 0 before shared_info is mapped. */
uint64_t time_now_ns(void);

/* The formula alone: @time is a consistent copy, @tsc a reading not before its timestamp. */
uint64_t time_from_tsc(const struct vcpu_time_info *time, uint64_t tsc);

/*
 * Binds the timer and stops Xen's periodic one. Returns 0 or Xen's error, but for a hypervisor without timers
 * (-ENOSYS): that is said so in the log, and sleeping spins. => evtchn_init()
 */
__must_check int time_init(void);

/* Blocks this vCPU (without a timer: keeps it busy) until system time is @deadline_ns, at least. => time_init() */
void time_sleep_until(uint64_t deadline_ns);

#endif
