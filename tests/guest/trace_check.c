/* SPDX-License-Identifier: MIT */
/*
 * Whether a module may be replayed. It comes from outside, so its form is checked to the last byte; and Xen lets a
 * guest do to itself what this kernel would not live through. Such calls are refused here, each by a rule:
 *
 *   share    at the index of the kernel's own slot a pool frame holds the kernel's L3 or nothing: so whatever becomes
 *            the base has the kernel in it
 *   own      nothing of the kernel's own is written, cleared, given away, or given another number in the M2P
 *   slots    of the kernel's L4 only the window's two slots are written, and Xen's, which must fail
 *   paths    no entry for a kernel's table at an index that an address of the window goes through, or an
 *            update_va_mapping would reach the kernel's own leaves
 *   home     at a pool frame's own address stands that frame or nothing
 *   extent   of memory_op, no frames but those that have names: none behind them in an extent of several; nothing given of
 *            a size that might be had or not
 *   base, strict
 *            see trace_allowed(): what can only be said when the call is made
 */
#include "trace.h"
#include <xen/memory.h>
#include <pinion/lib/crc32.h>

#define KERNEL_LINK PTE_LINK

static const char *entry_wrong(const struct trace_op *op, unsigned int index)
{
	bool share = op->value == TRACE_KL3 && op->bits == KERNEL_LINK;

	if (op->value != TRACE_RAW && op->value >= TRACE_NAMES)
		return "no such frame";
	if (op->value != TRACE_RAW && (op->bits & PTE_ADDR_MASK))
		return "an address beside a name";
	if (index == TRACE_AT_SHARE && !share)
		return "share: not the kernel's half";
	if (index != TRACE_AT_SHARE && trace_is_kernel_table(op->value) &&
	    (index < TRACE_AT_LINK || index >= TRACE_AT_SHARE))
		return "paths: a kernel's table where addresses go through";
	if (op->value == TRACE_KL4 && (op->bits & PTE_RW))
		return "own: the kernel's L4 writable";
	return NULL;
}

static const char *store_wrong(const struct trace_op *op)
{
	unsigned int i, end = op->index + (op->count ? op->count : 1);
	const char *wrong = NULL;

	if (!trace_is_pool(op->frame) || end > TRACE_INDICES)
		return "own: a store elsewhere";
	for (i = op->index; i < end && !wrong; i++)
		wrong = entry_wrong(op, i);
	return wrong;
}

static const char *request_wrong(const struct trace_op *op)
{
	if (op->frame >= TRACE_NAMES || op->index >= TRACE_INDICES || op->mode > 7)
		return "no such target";
	if (op->mode == MMU_MACHPHYS_UPDATE)
		return trace_is_kernel_table(op->frame) || op->frame == TRACE_KDATA ||
				       op->frame == TRACE_SHARED
			       ? "own: its number"
			       : NULL;
	if (trace_is_pool(op->frame))
		return entry_wrong(op, op->index);
	if (op->frame == TRACE_KL4) {
		if (op->index >= TRACE_AT_XEN && op->index < TRACE_AT_KERNEL_FIRST)
			return NULL;
		if (op->index < TRACE_AT_WINDOW || op->index >= TRACE_AT_LINK)
			return "slots: not the window's";
		return entry_wrong(op, op->index);
	}
	return op->frame < TRACE_UNOWNED ? "own: an entry of the kernel's" : NULL;
}

static const char *ext_wrong(const struct trace_op *op)
{
	if (op->frame >= TRACE_NAMES || op->value >= TRACE_NAMES)
		return "no such frame";
	if (op->mode != MMUEXT_CLEAR_PAGE && op->mode != MMUEXT_COPY_PAGE)
		return NULL;
	if (op->frame == TRACE_KL4 || op->frame == TRACE_KDATA || op->frame == TRACE_SHARED)
		return "own: a page overwritten";
	if (op->mode == MMUEXT_COPY_PAGE &&
	    (trace_is_kernel_table(op->value) || op->value == TRACE_SHARED))
		return "own: a page copied, with machine numbers in it";
	return NULL;
}

static const char *uva_wrong(const struct trace_op *op)
{
	unsigned int kind = op->index & 7, index;

	if (kind >= TRACE_VAS || op->count >= TRACE_FLUSHES || op->mode >= TRACE_DOMAINS)
		return "no such address, flush or domain";
	if (kind == TRACE_VA_WINDOW) {
		index = trace_index_code(va_index(trace_va(op->index), 1));
		return entry_wrong(op, index);
	}
	if (kind != TRACE_VA_HOME)
		return entry_wrong(op, 0);
	if (op->value != op->index >> 3 && (op->value != TRACE_NONE || (op->bits & PTE_P)))
		return "home: another frame";
	return op->index >> 3 < TRACE_POOL ? entry_wrong(op, 0) : "home: no pool frame";
}

/* Orders that neither a dom0 nor a domU may ask for. */
#define ORDER_TOO_LARGE 19
/* An order that both may, and that is more than what they may have besides. */
#define ORDER_TOO_MUCH	9

/* Extents of the list are of one frame, or none is taken: they are another's, too large, or more than can be. */
static bool takes_named_only(const struct trace_op *op)
{
	const unsigned int order = trace_field(op, TRACE_M_ORDER);

	return order == 0 || order >= ORDER_TOO_LARGE || op->count >= TRACE_MANY ||
	       trace_field(op, TRACE_M_DOMAIN) > TRACE_OWN_NUMBER;
}

static const char *extents_wrong(const struct trace_op *op)
{
	const unsigned int order = trace_field(op, TRACE_M_ORDER),
			   out = trace_field(op, TRACE_M_OUT_ORDER);

	switch (op->mode) {
	case XENMEM_decrease_reservation:
		return takes_named_only(op) ? NULL : "extent: frames without a name";
	case XENMEM_exchange:
		return takes_named_only(op) && (out <= 2 || out >= ORDER_TOO_LARGE)
			       ? NULL
			       : "extent: frames without a name";
	case XENMEM_increase_reservation:
	case XENMEM_populate_physmap:
		return order <= 1 || order == ORDER_TOO_MUCH || order >= ORDER_TOO_LARGE
			       ? NULL
			       : "extent: a size that might be had or not";
	default:
		return NULL;
	}
}

/* Commands that traces know, and one that nobody does. */
static bool memory_command(unsigned int command)
{
	switch (command) {
	case XENMEM_increase_reservation:
	case XENMEM_decrease_reservation:
	case XENMEM_maximum_ram_page:
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
	case XENMEM_populate_physmap:
	case XENMEM_add_to_physmap:
	case XENMEM_memory_map:
	case XENMEM_machine_memory_map:
	case XENMEM_exchange:
	case XENMEM_machphys_mapping:
	case XENMEM_set_memory_map:
	case XENMEM_remove_from_physmap:
	case XENMEM_add_to_physmap_batch:
	case TRACE_NO_MEMOP:
		return true;
	default:
		return false;
	}
}

static bool is_kernels(unsigned int name)
{
	return name >= TRACE_KL4 && name < TRACE_UNOWNED;
}

static const char *memory_wrong(const struct trace_op *op)
{
	if (!memory_command(op->mode) || (op->count > TRACE_EXTENTS && op->count < TRACE_MANY))
		return "no such operation";
	if (op->frame >= TRACE_NAMES || op->value >= TRACE_NAMES)
		return "no such frame";
	if (trace_field(op, TRACE_M_ARG) >= TRACE_WHERES ||
	    trace_field(op, TRACE_M_LIST) >= TRACE_WHERES ||
	    trace_field(op, TRACE_M_OUT) >= TRACE_WHERES || op->bits >> TRACE_M_END)
		return "no such place";
	if (trace_field(op, TRACE_M_DOMAIN) >= TRACE_DOMAINS ||
	    trace_field(op, TRACE_M_OUT_DOMAIN) >= TRACE_DOMAINS)
		return "no such domain";
	if (trace_field(op, TRACE_M_OUT_COUNT) > TRACE_EXTENTS &&
	    trace_field(op, TRACE_M_OUT_COUNT) < TRACE_MANY)
		return "no such operation";
	if ((is_kernels(op->frame) &&
	     !(op->mode == XENMEM_exchange && op->frame == TRACE_SHARED)) ||
	    is_kernels(op->value))
		return "own: given away";
	if (trace_field(op, TRACE_M_ARG) == TRACE_NULL ||
	    trace_field(op, TRACE_M_OUT) == TRACE_NULL ||
	    (trace_field(op, TRACE_M_LIST) == TRACE_NULL &&
	     op->mode != XENMEM_increase_reservation && op->mode != XENMEM_machine_memory_map))
		return "null: an argument there";
	return extents_wrong(op);
}

static const char *descriptor_wrong(const struct trace_op *op)
{
	if (op->frame >= TRACE_NAMES || op->index >= TRACE_INDICES || op->mode > 7)
		return "no such target";
	if (trace_is_pool(op->frame) && op->index == TRACE_AT_SHARE)
		return "share: a descriptor";
	if (op->frame == TRACE_KL4 || op->frame == TRACE_KDATA || op->frame == TRACE_SHARED)
		return "own: a descriptor written";
	return NULL;
}

static const char *batch_wrong(const struct trace_op *op)
{
	unsigned int inner = op->kind == TRACE_UPDATE ? TRACE_REQUEST : TRACE_EXT_OP, i;

	if (op->frame > TRACE_BAD || op->value > TRACE_BAD || op->mode >= TRACE_DOMAINS ||
	    op->count > TRACE_BATCH || op->index > 1 || op->bits > TRACE_DOMAINS)
		return "no such batch";
	for (i = 1; i <= op->count; i++) {
		if (op[i].kind != inner)
			return "a batch of something else";
		if (inner == TRACE_EXT_OP && op[i].mode == MMUEXT_NEW_BASEPTR && op->value)
			return "base: nobody would know which it is";
	}
	return NULL;
}

static const char *op_wrong(const struct trace_op *op)
{
	switch (op->kind) {
	case TRACE_STORE:
		return store_wrong(op);
	case TRACE_REQUEST:
		return request_wrong(op);
	case TRACE_EXT_OP:
		return ext_wrong(op);
	case TRACE_UPDATE:
	case TRACE_EXT:
		return batch_wrong(op);
	case TRACE_UVA:
	case TRACE_UVA_OTHER:
		return uva_wrong(op);
	case TRACE_MULTICALL:
		return op->frame >= TRACE_WHERES || op->count > TRACE_SUBCALLS ? "no such multicall"
									       : NULL;
	case TRACE_MEMORY:
		return memory_wrong(op);
	case TRACE_SET_GDT:
		return op->frame >= TRACE_NAMES || op->value >= TRACE_NAMES ||
				       op->mode > TRACE_BAD || op->frame == TRACE_KL4 ||
				       op->value == TRACE_KL4
			       ? "no such GDT"
			       : NULL;
	case TRACE_DESCRIPTOR:
		return descriptor_wrong(op);
	case TRACE_OTHER:
		return op->mode >= TRACE_OTHERS ? "no such call" : NULL;
	default:
		return "no such kind";
	}
}

/*
 * Requests, stores and multicalls are no calls of a multicall. NULL is no address there: the base may change before
 * the call's turn. Nor is what Xen gives frames for, for which see trace_own_refresh(), nor what trace_allowed() must
 * have seen before.
 */
static bool may_be_inner(const struct trace_op *op)
{
	unsigned int where = op->kind == TRACE_SET_GDT ? op->mode : op->frame;

	if ((op->kind == TRACE_UPDATE || op->kind == TRACE_EXT || op->kind == TRACE_SET_GDT) &&
	    where == TRACE_NULL)
		return false;
	if (op->kind == TRACE_MEMORY &&
	    (op->mode == XENMEM_exchange || op->mode == XENMEM_populate_physmap ||
	     op->mode == XENMEM_increase_reservation))
		return false;
	if (op->kind == TRACE_OTHER && (op->mode == TRACE_STRICT || op->mode == TRACE_TOUCH))
		return false;
	return op->kind != TRACE_STORE && op->kind != TRACE_MULTICALL &&
	       op->kind != TRACE_REQUEST && op->kind != TRACE_EXT_OP;
}

/* Those of a call that is no multicall. */
static unsigned int plain_records(const struct trace_op *op)
{
	return op->kind == TRACE_UPDATE || op->kind == TRACE_EXT ? 1U + op->count : 1;
}

unsigned int trace_records(const struct trace_op *op, unsigned int left)
{
	unsigned int n = plain_records(op), i;

	for (i = 0; op->kind == TRACE_MULTICALL && i < op->count; i++) {
		if (n >= left || !may_be_inner(&op[n]))
			return 0;
		n += plain_records(&op[n]);
	}
	return n <= left ? n : 0;
}

/* The ops of one trace: whole calls, each record right. */
static const char *ops_wrong(const struct trace_op *op, unsigned int records, uint64_t *at)
{
	const char *wrong = NULL;
	unsigned int i = 0, n, j;

	while (i < records && !wrong) {
		n = trace_records(&op[i], records - i);
		if (!n || op[i].kind == TRACE_REQUEST || op[i].kind == TRACE_EXT_OP)
			return "a call that is not whole";
		for (j = 0; j < n && !wrong; j++, ++*at)
			wrong = op_wrong(&op[i + j]);
		i += n;
	}
	return wrong;
}

const char *trace_check(const void *module, uint64_t bytes, uint64_t *at)
{
	const struct trace_header *header = module;
	const uint8_t *next = (const uint8_t *)(header + 1), *end;
	const struct trace_head *head;
	const char *wrong;
	uint32_t n;

	*at = 0;
	if (bytes < sizeof(*header) || header->magic != TRACE_MAGIC)
		return "this is no trace";
	if (header->version != TRACE_VERSION)
		return "another version";
	if (header->bytes > bytes - sizeof(*header))
		return "it ends early";
	end = next + header->bytes;
	if (crc32(0, next, header->bytes) != header->crc)
		return "another checksum";
	for (n = 0; n < header->traces; n++) {
		head = (const struct trace_head *)next;
		if ((size_t)(end - next) < sizeof(*head))
			return "it ends early";
		next += sizeof(*head);
		if (head->records > TRACE_RECORDS || head->flags > TRACE_VERBOSE ||
		    (size_t)(end - next) / sizeof(struct trace_op) < head->records)
			return "a trace too long";
		wrong = ops_wrong((const struct trace_op *)next, head->records, at);
		if (wrong)
			return wrong;
		next += head->records * sizeof(struct trace_op);
	}
	return next == end && *at == header->records ? NULL : "it is longer than it says";
}
