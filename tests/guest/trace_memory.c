/* SPDX-License-Identifier: MIT */
/*
 * memory_op of a trace: any command with any argument, good or bad in each of its parts.
 *
 *   op->bits:  where argument and lists are | orders | domains | flags | done before     (enum trace_memory)
 *
 * What Xen gives beyond the pool goes back at once. Some it gives without telling, where the list can't be written: those
 * frames stay the guest's and nobody knows them. Traces do that rarely, and the guest may have some more.
 *
 * Numbers of the machine (its last frame, how much the guest has) are told as 1.
 */
#include "trace.h"
#include <xen/memory.h>
#include <pinion/lib/string.h>

#define CALLS (TRACE_SUBCALLS + 1)

/* Just more than UINT_MAX >> MEMOP_EXTENT_SHIFT. */
#define MANY_EXTENTS ((UINT64_C(1) << 26) + 1)
/* More than E820MAX. */
#define MANY_REGIONS 1025
#define MEMOP_SHIFT  6

/* An entry of a memory map. */
struct region {
	uint64_t addr, size;
	uint32_t type;
} __packed;

#define REGIONS (PAGE_SIZE / sizeof(struct region))

static union {
	struct xen_memory_reservation reservation;
	struct xen_memory_exchange exchange;
	struct xen_memory_domain domain;
	struct xen_add_to_physmap add;
	struct xen_add_to_physmap_batch batch;
	struct xen_remove_from_physmap remove;
	struct xen_foreign_memory_map foreign_map;
	struct xen_memory_map map;
} args[CALLS];

static struct region regions[REGIONS];

/* The guest's own map. */
static struct {
	struct region region[REGIONS];
	unsigned int nr;
	bool set; /* a trace has set another */
} own;

static const uint32_t mem_flags[] = {
	0,
	XENMEMF_address_bits(PAGE_SHIFT), /* too few */
	XENMEMF_address_bits(70),	  /* more than there are */
	XENMEMF_address_bits(26),	  /* fewer than the machine has */
	XENMEMF_address_bits(50),	  /* enough */
	XENMEMF_node(0),
	XENMEMF_exact_node(0),
	XENMEMF_exact_node(1), /* which the machine has not */
	XENMEMF_exact_node(70),
	XENMEMF_vnode,
	XENMEMF_populate_on_demand,
};

static uint64_t how_many(unsigned int count)
{
	switch (count) {
	case TRACE_MANY:
		return MANY_EXTENTS;
	case TRACE_MANY_BYTES:
		return UINT64_C(1) << 62;
	case TRACE_MANY_FRAMES:
		return UINT64_C(1) << 60;
	default:
		return count;
	}
}

static uint64_t before(const struct trace_op *op)
{
	return op->index == TRACE_MANY_BEFORE ? UINT64_C(1) << 20 : op->index;
}

static uint32_t flags_of(const struct trace_op *op)
{
	unsigned int which = trace_field(op, TRACE_M_FLAGS);

	return which < ARRAY_SIZE(mem_flags) ? mem_flags[which] : 0;
}

static uint64_t pool_pfn(unsigned int name)
{
	return pfn_x(boot_va_pfn(raw_page(name % TRACE_POOL)));
}

static void *list_of(struct trace_call *call, enum trace_memory field, uint64_t *list)
{
	return raw_ptr(
		trace_where_const(trace_field(call->op, field), list, sizeof(call->extents)));
}

static void encode_reservation(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	struct xen_memory_reservation *res = &args[n].reservation;

	res->nr_extents = how_many(op->count);
	res->extent_order = trace_field(op, TRACE_M_ORDER);
	res->mem_flags = flags_of(op);
	res->domid = trace_domid(trace_field(op, TRACE_M_DOMAIN));
	set_xen_guest_handle(res->extent_start, list_of(call, TRACE_M_LIST, call->extents));
}

static void encode_exchange(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	struct xen_memory_exchange *x = &args[n].exchange;

	encode_reservation(call, n);
	x->in.mem_flags = 0;
	x->out = (struct xen_memory_reservation){
		.nr_extents = how_many(trace_field(op, TRACE_M_OUT_COUNT)),
		.extent_order = trace_field(op, TRACE_M_OUT_ORDER),
		.mem_flags = flags_of(op),
		.domid = trace_domid(trace_field(op, TRACE_M_OUT_DOMAIN)),
	};
	set_xen_guest_handle(x->out.extent_start, list_of(call, TRACE_M_OUT, call->out));
	x->nr_exchanged = trace_field(op, TRACE_M_DONE);
}

static void encode_map(struct xen_memory_map *map, const struct trace_op *op)
{
	map->nr_entries = op->count >= TRACE_MANY ? MANY_REGIONS : op->count;
	set_xen_guest_handle(map->buffer, raw_ptr(trace_where_const(trace_field(op, TRACE_M_LIST),
								    regions, PAGE_SIZE / 4)));
}

static void encode_argument(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	domid_t domid = trace_domid(trace_field(op, TRACE_M_DOMAIN));
	unsigned int space = trace_field(op, TRACE_M_SPACE);

	switch (op->mode) {
	case XENMEM_exchange:
		encode_exchange(call, n);
		break;
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
		args[n].domain.domid = domid;
		break;
	case XENMEM_add_to_physmap:
		args[n].add = (struct xen_add_to_physmap){ .domid = domid, .space = space };
		break;
	case XENMEM_add_to_physmap_batch:
		args[n].batch.domid = domid;
		args[n].batch.space = (uint16_t)space;
		break;
	case XENMEM_remove_from_physmap:
		args[n].remove.domid = domid;
		break;
	case XENMEM_set_memory_map:
		args[n].foreign_map.domid = domid;
		encode_map(&args[n].foreign_map.map, op);
		break;
	case XENMEM_memory_map:
	case XENMEM_machine_memory_map:
		encode_map(&args[n].map, op);
		break;
	default:
		encode_reservation(call, n);
		break;
	}
}

void trace_memory_encode(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;
	unsigned int i;

	memset(&args[n], 0, sizeof(args[n]));
	for (i = 0; i < TRACE_EXTENTS; i++) {
		const unsigned int name = i ? op->value : op->frame;

		call->extents[i] = op->mode == XENMEM_populate_physmap ? pool_pfn(name)
								       : mfn_x(trace_mfn(name));
		call->out[i] = pool_pfn(name);
	}
	encode_argument(call, n);
	call->nr = __HYPERVISOR_memory_op;
	call->args[0] = op->mode | before(op) << MEMOP_SHIFT;
	call->args[1] = trace_where_const(trace_field(op, TRACE_M_ARG), &args[n], sizeof(args[n]));
}

void trace_memory_result(struct trace_call *call, unsigned int n)
{
	const struct trace_op *op = call->op;

	switch (op->mode) {
	case XENMEM_maximum_ram_page:
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
		call->rc = call->rc > 0 ? 1 : call->rc;
		break;
	case XENMEM_exchange:
		call->done = (unsigned int)args[n].exchange.nr_exchanged;
		break;
	case XENMEM_memory_map:
		call->done = args[n].map.nr_entries;
		break;
	}
}

bool trace_memory_untold(const struct trace_op *op)
{
	switch (op->mode) {
	case XENMEM_increase_reservation:
	case XENMEM_populate_physmap:
		return trace_field(op, TRACE_M_LIST) != TRACE_GOOD;
	case XENMEM_exchange:
		return trace_field(op, TRACE_M_OUT) != TRACE_GOOD;
	default:
		return false;
	}
}

void trace_memory_follow(const struct trace_call *call)
{
	const struct trace_op *op = call->op;
	uint64_t i;

	if (op->mode == XENMEM_set_memory_map && call->rc == 0)
		own.set = true;
	if (op->mode != XENMEM_populate_physmap && op->mode != XENMEM_increase_reservation)
		return;
	if (trace_field(op, TRACE_M_LIST) != TRACE_GOOD || call->rc < 0 || call->rc > TRACE_EXTENTS)
		return;
	for (i = before(op); i < (uint64_t)call->rc; i++)
		trace_own_give(call->extents[i], trace_field(op, TRACE_M_ORDER));
}

void trace_memory_keep_map(void)
{
	struct xen_memory_map map = { .nr_entries = REGIONS };

	set_xen_guest_handle(map.buffer, own.region);
	own.nr = hypercall_memory_op(XENMEM_memory_map, &map) == 0 ? map.nr_entries : 0;
}

void trace_memory_restore_map(void)
{
	struct xen_foreign_memory_map map = { .domid = DOMID_SELF, .map.nr_entries = own.nr };

	if (!own.set)
		return;
	set_xen_guest_handle(map.map.buffer, own.region);
	CHECK_EQ(hypercall_memory_op(XENMEM_set_memory_map, &map), 0);
	own.set = false;
}
