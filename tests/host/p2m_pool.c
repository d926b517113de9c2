/* SPDX-License-Identifier: MIT */
/* Pages for P2M trees; see p2m_pool.h. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
#include "host.h"
#include "p2m_pool.h"

static struct {
	uint64_t first, nr, used, most, left;
	char *map, *again; /* again: the second mapping, once there is one */
	bool *out;
	int fd;
} pool;

static char *map_file(void)
{
	char *map = mmap(NULL, pool.nr * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, pool.fd, 0);

	assert_true(map != MAP_FAILED);
	return map;
}

static uintptr_t base_of(const char *map)
{
	return (uintptr_t)map - pool.first * PAGE_SIZE;
}

void pool_open(uint64_t first, uint64_t nr)
{
	pool.first = first;
	pool.nr = nr;
	pool.used = pool.most = 0;
	pool.left = UINT64_MAX;
	pool.out = calloc(nr, sizeof(bool));
	pool.fd = memfd_create("p2m", 0);
	assert_true(pool.fd >= 0);
	assert_int_equal(ftruncate(pool.fd, (off_t)(nr * PAGE_SIZE)), 0);
	pool.map = map_file();
	pool.again = NULL;
}

void pool_close(void)
{
	assert_int_equal(munmap(pool.map, pool.nr * PAGE_SIZE), 0);
	close(pool.fd);
	free(pool.out);
}

uintptr_t pool_base(void)
{
	return base_of(pool.map);
}

void *pool_page(uint64_t pfn)
{
	assert_true(pfn >= pool.first && pfn - pool.first < pool.nr);
	return pool.map + (pfn - pool.first) * PAGE_SIZE;
}

void pool_reserve(uint64_t pfn)
{
	assert_false(pool.out[pfn - pool.first]);
	pool.out[pfn - pool.first] = true;
	pool.used++;
}

void pool_unreserve(uint64_t pfn)
{
	assert_true(pool.out[pfn - pool.first]);
	pool.out[pfn - pool.first] = false;
	pool.used--;
}

static pfn_t pool_alloc(void *ctx)
{
	(void)ctx;
	if (pool.left == 0)
		return INVALID_PFN;
	for (uint64_t i = 0; i < pool.nr; i++) {
		if (pool.out[i])
			continue;
		pool.left--;
		pool_reserve(pool.first + i);
		libc_memset(pool.map + i * PAGE_SIZE, 0xa5, PAGE_SIZE);
		if (pool.used > pool.most)
			pool.most = pool.used;
		return _pfn(pool.first + i);
	}
	return INVALID_PFN;
}

static void pool_free(void *ctx, pfn_t pfn)
{
	(void)ctx;
	libc_memset(pool_page(pfn_x(pfn)), 0x5a, PAGE_SIZE);
	pool_unreserve(pfn_x(pfn));
}

const struct p2m_source pool_source = { pool_alloc, pool_free, NULL };

void pool_limit(uint64_t n)
{
	pool.left = n;
}

uint64_t pool_used(void)
{
	return pool.used;
}

uint64_t pool_most(void)
{
	return pool.most;
}

uintptr_t pool_map_again(void)
{
	pool.again = map_file();
	return base_of(pool.again);
}

void pool_forget_first(void)
{
	assert_int_equal(munmap(pool.map, pool.nr * PAGE_SIZE), 0);
	pool.map = pool.again;
	pool.again = NULL;
}
