/* SPDX-License-Identifier: MIT */
/*
 * Error numbers: Xen's, under their usual names.
 *
 * A hypercall answers -XEN_Efoo, and the kernel's own functions answer in the same numbers, so that
 * Xen's error can be handed up as it is. The list is Xen's public header itself, expanded with
 * another macro: no number is written down here. (EINTR is not in it: Xen keeps it to itself.)
 */
#ifndef PINION_LIB_ERRNO_H
#define PINION_LIB_ERRNO_H

#define XEN_ERRNO(name, value) name = (value),
enum errno_value {
#include <xen/errno.h> /* undefines XEN_ERRNO when done */
};

/**
 * errno_name() - an error code in words, for messages
 * @err: 0 or a negative errno, as functions return it
 *
 * Of two names for one number the first of Xen's list is given (-EAGAIN, not -EWOULDBLOCK).
 *
 * Return: a static string: "0", "-EINVAL", ..., or "-E?" for a number that has no name.
 */
const char *errno_name(int err);

#endif
