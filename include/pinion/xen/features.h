/* SPDX-License-Identifier: MIT */
/* What Xen offers this domain: XENVER_get_features, read once. */
#ifndef PINION_XEN_FEATURES_H
#define PINION_XEN_FEATURES_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/features.h>
#include <pinion/lib/compiler.h>

/* Reads all feature words. Returns 0 or Xen's error. */
__must_check int features_read(void);

/* Whether Xen has @feature (XENFEAT_*); false before features_read() and for unknown numbers. */
bool feature(unsigned int feature_nr);

#endif
