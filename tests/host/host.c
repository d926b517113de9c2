/* SPDX-License-Identifier: MIT */
/* Seeds, fenced memory and panics for the host lane; see host.h. */
#include <sys/mman.h>
#include "host.h"
#include <pinion/lib/panic.h>
#include <pinion/lib/printf.h>

#define HOST_SEED 20240229
#define HOST_PAGE 4096

void host_seed(struct rng *rng)
{
	const char *given = getenv("PINION_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : HOST_SEED;

	printf("# PINION_SEED=%llu\n", (unsigned long long)seed);
	rng_seed(rng, seed);
}

static size_t whole_pages(size_t size)
{
	return (size + HOST_PAGE - 1) / HOST_PAGE * HOST_PAGE;
}

/* |fence| whole_pages(size) |fence| */
static char *fence(size_t size)
{
	size_t inner = whole_pages(size);
	char *map =
		mmap(NULL, inner + 2 * HOST_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + HOST_PAGE, inner, PROT_READ | PROT_WRITE), 0);
	libc_memset(map + HOST_PAGE, 0xa5, inner);
	return map + HOST_PAGE;
}

void *fence_after(size_t size)
{
	return fence(size) + whole_pages(size) - size;
}

void *fence_before(size_t size)
{
	return fence(size);
}

void fence_free(void *mem, size_t size)
{
	/* Memory before a fence of no bytes begins in the fence itself. */
	uintptr_t inner = (uintptr_t)mem / HOST_PAGE * HOST_PAGE;

	assert_int_equal(munmap((char *)inner - HOST_PAGE, whole_pages(size) + 2 * HOST_PAGE), 0);
}

void panic_at(const char *file, int line, const char *fmt, ...)
{
	static char text[512]; /* lives on in global_last_failed_assert */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Back to EXPECT_PANIC; where none is waiting the test fails and the message is shown. */
	mock_assert(0, text, file, line);
	abort();
}
