/* SPDX-License-Identifier: MIT */
/* Frames, entries, addresses and domains of a trace, by name and back. See trace.h. */
#include "trace.h"
#include <pinion/lib/string.h>

/* Within 40 bits of physical address, which is the least that a 64-bit CPU has, and beyond 52. */
#define ABOVE UINT64_C(0x7000000)
#define HUGE  (UINT64_C(1) << 39)
#define LOW   UINT64_C(0xb8)

/* A domain that is not there; dom0 is, for a domU. */
#define ABSENT_DOMAIN 999

static uint8_t data_page[PAGE_SIZE] __aligned(PAGE_SIZE);

/* More frames than one trace can give back. */
#define DEAD 64

static struct {
	mfn_t mfn[TRACE_NAMES];
	const uint64_t *home[TRACE_POOL];
	domid_t domid;
	/* Frames that were the pool's in this trace, and have gone back to Xen. */
	mfn_t dead[DEAD];
	unsigned int nr_dead;
} names;

mfn_t trace_mfn(unsigned int name)
{
	return names.mfn[name];
}

unsigned int trace_name_of(mfn_t mfn)
{
	unsigned int name;

	for (name = 0; name < TRACE_NAMES && !mfn_eq(names.mfn[name], mfn); name++)
		;
	return name;
}

void trace_names_set(unsigned int n, mfn_t mfn)
{
	if (names.nr_dead < DEAD)
		names.dead[names.nr_dead++] = names.mfn[n];
	names.mfn[n] = mfn;
}

void trace_names_bury(void)
{
	names.nr_dead = 0;
}

bool trace_dead(unsigned int i, mfn_t *mfn)
{
	*mfn = i < names.nr_dead ? names.dead[i] : INVALID_MFN;
	return i < names.nr_dead;
}

bool trace_is_dead(mfn_t mfn)
{
	unsigned int i;

	for (i = 0; i < names.nr_dead && !mfn_eq(names.dead[i], mfn); i++)
		;
	return i < names.nr_dead;
}

const char *trace_name(unsigned int name)
{
	static const char *const text[] = {
		"P0",	   "P1",  "P2",	   "P3",   "P4",    "P5",     "P6",	 "P7",
		"P8",	   "P9",  "P10",   "P11",  "P12",   "P13",    "P14",	 "P15",
		"KL4",	   "KL3", "KL2",   "KL1",  "KDATA", "SHARED", "UNOWNED", "XEN",
		"FOREIGN", "IO",  "ABOVE", "HUGE", "ONES",  "NONE",   "IOAPIC",	 "MSI",
	};
	_Static_assert(ARRAY_SIZE(text) == TRACE_NAMES, "a text for each");

	return name < TRACE_NAMES ? text[name] : name == TRACE_DEAD ? "DEAD" : "?";
}

/* The table that an entry of the boot region's tables points to. */
static mfn_t below(const void *va, unsigned int level)
{
	return pte_mfn(*raw_entry(va, level));
}

bool trace_names_find(void)
{
	const void *pool = raw_page(0);
	mfn_t foreign = _mfn(raw_foreign_mfn());
	unsigned int n;

	for (n = 0; n < TRACE_POOL; n++) {
		names.mfn[n] = raw_mfn(raw_page(n));
		names.home[n] = raw_entry(raw_page(n), 1);
	}
	names.mfn[TRACE_KL4] = boot_mfn(boot_info(), boot_info()->l4);
	names.mfn[TRACE_KL3] = below(pool, 4);
	names.mfn[TRACE_KL2] = below(pool, 3);
	names.mfn[TRACE_KL1] = below(pool, 2);
	names.mfn[TRACE_KDATA] = raw_mfn(data_page);
	names.mfn[TRACE_SHARED] = maddr_to_mfn(boot_info()->shared_info);
	names.mfn[TRACE_UNOWNED] = _mfn(raw_unowned_mfn());
	names.mfn[TRACE_XEN] = pte_mfn(*raw_l4e(SLOT_XEN_FIRST));
	names.mfn[TRACE_FOREIGN] = mfn_x(foreign) ? foreign : names.mfn[TRACE_UNOWNED];
	names.mfn[TRACE_IO] = _mfn(LOW);
	names.mfn[TRACE_ABOVE] = _mfn(ABOVE);
	names.mfn[TRACE_HUGE] = _mfn(HUGE);
	names.mfn[TRACE_ONES] = _mfn(PTE_ADDR_MASK >> PAGE_SHIFT);
	names.mfn[TRACE_NONE] = _mfn(0);
	names.mfn[TRACE_IOAPIC] = _mfn(0xfec00);
	names.mfn[TRACE_MSI] = _mfn(0xfee00);
	names.domid = raw_own_domid();
	return CHECK(mfn_x(names.mfn[TRACE_UNOWNED]) && mfn_x(names.mfn[TRACE_XEN]));
}

unsigned int trace_index(unsigned int code)
{
	if (code < TRACE_AT_LAST_USER)
		return code;
	if (code == TRACE_AT_LAST_USER)
		return SLOT_XEN_FIRST - 1;
	if (code <= TRACE_AT_KERNEL_FIRST)
		return SLOT_XEN_FIRST + code - TRACE_AT_XEN;
	return code < TRACE_AT_SHARE ? RAW_SLOT + code - TRACE_AT_WINDOW : SLOT_IMAGE;
}

unsigned int trace_index_code(unsigned int index)
{
	unsigned int code;

	for (code = 0; code < TRACE_INDICES && trace_index(code) != index; code++)
		;
	return code;
}

uint64_t trace_value(const struct trace_op *op)
{
	return op->value == TRACE_RAW ? op->bits : pte_make(trace_mfn(op->value), op->bits);
}

uint64_t trace_share(void)
{
	return pte_make(trace_mfn(TRACE_KL3), PTE_LINK);
}

uint64_t trace_va(unsigned int number)
{
	static const uint16_t l4[] = { TRACE_AT_WINDOW, TRACE_AT_WINDOW + 1, 0, 1 },
			      upper[] = { 0, 1, 2, 5 }, leaf[] = { 0, 1, 2, TRACE_AT_LINK };
	uint64_t n = number >> 3, va;

	switch (number & 7) {
	case TRACE_VA_HOME:
		return (uintptr_t)raw_page((unsigned int)n % TRACE_POOL);
	case TRACE_VA_XEN:
		return XEN_VA_BASE + (n << PAGE_SHIFT);
	case TRACE_VA_NONCANONICAL:
		return UINT64_C(1) << 63 | n << PAGE_SHIFT;
	case TRACE_VA_LAST:
		return (UINT64_C(1) << 47) - PAGE_SIZE;
	case TRACE_VA_HOLE:
		return (PMAP_BASE & ~(L3_SPAN - 1)) + (n << PAGE_SHIFT);
	default:
		va = (uint64_t)trace_index(l4[n & 3]) << L4_SHIFT |
		     (uint64_t)upper[n >> 2 & 3] << L3_SHIFT |
		     (uint64_t)upper[n >> 4 & 3] << L2_SHIFT |
		     (uint64_t)trace_index(leaf[n >> 6 & 3]) << L1_SHIFT;
		if (n >> 8 & 1)
			va += 0x123;
		return (uint64_t)((int64_t)(va << 16) >> 16);
	}
}

domid_t trace_domid(unsigned int domain)
{
	switch (domain) {
	case TRACE_OWN_NUMBER:
		return names.domid;
	case TRACE_OTHER_DOMAIN:
		return names.domid == 0 ? ABSENT_DOMAIN : 0;
	case TRACE_DOMID_IO:
		return DOMID_IO;
	case TRACE_DOMID_XEN:
		return DOMID_XEN;
	case TRACE_DOMID_NOBODY:
		return DOMID_INVALID;
	default:
		return DOMID_SELF;
	}
}

uint64_t trace_home(unsigned int n)
{
	return READ_ONCE(*names.home[n]);
}

const uint64_t *trace_readable(mfn_t mfn)
{
	unsigned int name = trace_name_of(mfn);
	uint64_t home;

	if (name == TRACE_KL4)
		return raw_l4e(0);
	if (!trace_is_pool(name))
		return NULL;
	home = trace_home(name);
	return (home & PTE_P) && mfn_eq(pte_mfn(home), mfn) ? raw_page(name) : NULL;
}

/* What no name stands for came with the trace as it is: a descriptor, or an address that nobody has. */
uint64_t trace_abstract(uint64_t entry)
{
	unsigned int name = trace_name_of(pte_mfn(entry));

	entry &= ~PTE_AD;
	if (name == TRACE_NAMES && trace_is_dead(pte_mfn(entry)))
		name = TRACE_DEAD;
	return name == TRACE_NAMES ? entry : pte_flags(entry) | (uint64_t)name << PAGE_SHIFT;
}
