/* SPDX-License-Identifier: MIT */
/*
 * The page that Xen and this domain share: event bits, vcpu_info (upcall mask, CR2, time), and the
 * words through which a toolstack finds the P2M. It is Xen's page, known by machine address, and
 * is mapped over a page of .bss.
 */
#ifndef PINION_XEN_SHARED_INFO_H
#define PINION_XEN_SHARED_INFO_H

#include <stdint.h>
#include <xen/xen.h>
#include <pinion/lib/compiler.h>
#include <pinion/mm/frames.h>

/*
 * Maps the page at machine address @where (page-aligned) and makes vCPU 0's vcpu_info known to
 * this_cpu(). Returns 0, or Xen's error with nothing changed. The frame of the guest's own that
 * was mapped there loses its only mapping.
 */
__must_check int shared_info_map(maddr_t where);

/* The page, or NULL before it is mapped. */
struct shared_info *shared_info(void);

#endif
