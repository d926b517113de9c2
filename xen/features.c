/* SPDX-License-Identifier: MIT */
/* Features come 32 to a word; XENFEAT_NR_SUBMAPS words exist. */
#include <stdint.h>
#include <xen/xen.h>
#include <xen/version.h>
#include <pinion/xen/features.h>
#include <pinion/xen/hypercall.h>

#define WORD_BITS 32

static uint32_t words[XENFEAT_NR_SUBMAPS];

int features_read(void)
{
	struct xen_feature_info info;
	unsigned int i;
	long rc;

	for (i = 0; i < XENFEAT_NR_SUBMAPS; i++) {
		info = (struct xen_feature_info){ .submap_idx = i };
		rc = hypercall_xen_version(XENVER_get_features, &info);
		if (rc)
			return (int)rc;
		words[i] = info.submap;
	}
	return 0;
}

bool feature(unsigned int feature_nr)
{
	unsigned int word = feature_nr / WORD_BITS;

	return word < XENFEAT_NR_SUBMAPS && (words[word] >> (feature_nr % WORD_BITS) & 1);
}
