/* SPDX-License-Identifier: MIT */
/*
 * Event channels (2-level ABI): how Xen, other domains and virtual devices call on this one.
 *
 *   sender -> pending bit of the port -> selector bit of its word -> evtchn_upcall_pending -> upcall
 *              unless the mask bit          (vcpu_info)                unless evtchn_upcall_mask
 *
 * A port can be waited for in two ways: with a handler, called from the upcall with upcalls masked;
 * or by evtchn_poll(), which blocks the vCPU until the port is pending and needs no upcall at all.
 *
 * Source: Xen's public/xen.h (struct shared_info), public/event_channel.h; event_2l.c.
 */
#ifndef PINION_XEN_EVTCHN_H
#define PINION_XEN_EVTCHN_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <pinion/lib/compiler.h>

typedef void evtchn_handler_fn(evtchn_port_t port);

/*
 * Masks every port, and takes the upcall. A hypervisor without event channels (-ENOSYS) is said so in the log:
 * the kernel goes on without events, and every call below gives its error. => shared_info is mapped
 */
void evtchn_init(void);

/* Whether there are any. => evtchn_init() */
bool evtchn_present(void);

/* Makes @fn the handler of @port and unmasks it. -EINVAL for a port that can't be, -EBUSY if it has
 * one already. */
__must_check int evtchn_set_handler(evtchn_port_t port, evtchn_handler_fn *fn);

/* Binds @virq (VIRQ_*) of vCPU 0 to a new port. Returns the port, or Xen's error. */
__must_check long evtchn_bind_virq(unsigned int virq);

/* A new port, unbound, to be connected to by this domain itself. Returns it, or Xen's error. */
__must_check long evtchn_alloc_unbound_self(void);

/* Closes @port; its handler is forgotten. Returns 0 or Xen's error. */
__must_check int evtchn_close(evtchn_port_t port);

/* Tells the other end of @port. A closed port is no error here: nobody is there to be told. */
void evtchn_notify(evtchn_port_t port);

/* Forgets that @port is pending. */
void evtchn_clear(evtchn_port_t port);

/*
 * Blocks until @port is pending or system time is @deadline_ns. Upcalls stay as they are; events
 * for other ports end nothing. Before shared_info is mapped it only yields the CPU.
 */
void evtchn_poll(evtchn_port_t port, uint64_t deadline_ns);

/* Ports that Xen says are open in this domain (EVTCHNOP_status), for leak checks. */
unsigned int evtchn_count_open(void);

#endif
