/* SPDX-License-Identifier: MIT */
/*
 * A machine with nothing on it but memory and a guest to be built: what the tests of the domain builder start from.
 * MFNs are in no order, memory holds junk.
 */
#ifndef TESTS_HOST_DOMAIN_KIT_H
#define TESTS_HOST_DOMAIN_KIT_H

#include "../model/domain.h"

/* A guest to be built. */
struct guest {
	const char *name;
	bool dom0;
	uint64_t base, offset, bytes; /* of the image, from base */
	uint64_t nr_pages;
	uint64_t module_size;
	bool unmapped;
};

/* The machine, and what was built on it. */
extern struct domain_kit {
	struct model m;
	struct model_frame *frame;
	uint64_t *m2p, *list, nr_frames;
	char *memory;
	struct image image;
	uint8_t *bytes, *module;
	struct domain_config config;
	struct domain d;
	char why[200];
	unsigned int loads;
} it;

/* The machine, and the config of @g. domain_teardown() ends it. */
void domain_setup(const struct guest *g);
void domain_teardown(const struct guest *g);

/* domain_build() of that config. */
int domain_kit_build(void);

/* The memory of a frame. */
void *frame_page(mfn_t mfn);

#endif
