/* SPDX-License-Identifier: MIT */
/* Between domain.c, which says where things go, and domain_fill.c, which puts them there. */
#ifndef PINION_TESTS_MODEL_DOMAIN_INTERNAL_H
#define PINION_TESTS_MODEL_DOMAIN_INTERNAL_H

#include "domain.h"

/* Where everything lies: pfns, each from the end of what is before it. 0 for what is not there. */
struct plan {
	struct model *m;
	const struct domain_config *config;
	bool dom0;
	uint64_t virt_base;
	uint64_t image, image_pages;
	uint64_t module, module_pages;
	uint64_t list, list_pages;
	uint64_t info;
	uint64_t store, console;
	uint64_t tables, nr_tables;
	uint64_t stack;
	uint64_t region_pages;
	uint64_t chunk; /* dom0: pages that Xen allocates in one piece for the region */
};

/* How many tables of @level (1 to 3) map [@start, @end). => neither wraps, start < end */
uint64_t domain_count_tables(uint64_t start, uint64_t end, unsigned int level);

/* Puts all of start of day into the guest's frames. => they are the guest's */
void domain_fill(const struct plan *plan);

#endif
