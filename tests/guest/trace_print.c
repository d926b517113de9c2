/* SPDX-License-Identifier: MIT */
/* Traces as text: a letter for each result, and verbosely a line for each call that reads like a program. */
#include "trace.h"
#include <xen/memory.h>

char trace_letter(long rc)
{
	static const struct {
		int error;
		char letter;
	} letters[] = { { -EPERM, 'P' },  { -ENOENT, 'E' },	{ -ESRCH, 'S' },  { -EBUSY, 'B' },
			{ -EINVAL, 'I' }, { -EFAULT, 'F' },	{ -ENOSYS, 'N' }, { -EACCES, 'A' },
			{ -ENOMEM, 'M' }, { -EOPNOTSUPP, 'O' }, { -ENXIO, 'X' },  { -EDOM, 'D' } };
	static const char counts[] = ".123456789";
	unsigned int i;

	if (rc >= (long)sizeof(counts) - 1)
		return '+';
	if (rc >= 0)
		return counts[rc];
	for (i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].error == rc)
			return letters[i].letter;
	return '?';
}

void trace_print_entry(uint64_t entry)
{
	unsigned int name = trace_name_of(pte_mfn(entry));

	if (entry == 0)
		print("0");
	else if (name != TRACE_NAMES || trace_is_dead(pte_mfn(entry)))
		print("%s|%#lx", trace_name(name != TRACE_NAMES ? name : TRACE_DEAD),
		      pte_flags(entry) & ~PTE_AD);
	else
		print("%#lx", entry);
}

static const char *domain(unsigned int which)
{
	static const char *const text[] = { "",
					    " of own number",
					    " of another domain",
					    " of DOMID_IO",
					    " of DOMID_XEN",
					    " of nobody" };
	_Static_assert(ARRAY_SIZE(text) == TRACE_DOMAINS, "a text for each");

	return text[which];
}

static const char *where(unsigned int which, const char *null, const char *bad)
{
	switch (which) {
	case TRACE_GOOD:
		return "";
	case TRACE_NULL:
		return null;
	case TRACE_HOLE:
		return " at a hole";
	case TRACE_CONST:
		return " where it can be read only";
	default:
		return bad;
	}
}

static void print_va(unsigned int number)
{
	static const char *const kinds[] = { "window",	      "home", "xen",
					     "non-canonical", "hole", "last" };

	print("%s:%#lx", kinds[number & 7], trace_va(number));
}

static void print_request(const struct trace_op *op)
{
	static const char *const modes[] = { "",   "M2P", "PRESERVE_AD", "NO_TRANSLATE",
					     "4?", "5?",  "6?",		 "7?" };

	print(" %s %s[%u] := ", modes[op->mode], trace_name(op->frame), op->index);
	if (op->mode == MMU_MACHPHYS_UPDATE)
		print("%#lx;", op->bits);
	else
		print("%s|%#lx;", trace_name(op->value), op->bits);
}

static void print_ext_op(const struct trace_op *op)
{
	static const char *const commands[] = {
		"PIN_L1",
		"PIN_L2",
		"PIN_L3",
		"PIN_L4",
		"UNPIN",
		"NEW_BASEPTR",
		"TLB_FLUSH_LOCAL",
		"INVLPG_LOCAL",
		"TLB_FLUSH_MULTI",
		"INVLPG_MULTI",
		"TLB_FLUSH_ALL",
		"INVLPG_ALL",
		"FLUSH_CACHE",
		"SET_LDT",
		"14?",
		"NEW_USER_BASEPTR",
		"CLEAR_PAGE",
		"COPY_PAGE",
		"FLUSH_CACHE_GLOBAL",
		"MARK_SUPER",
		"UNMARK_SUPER",
	};

	if (op->mode < ARRAY_SIZE(commands))
		print(" %s", commands[op->mode]);
	else
		print(" command %u", op->mode);
	print(" %s", trace_name(op->frame));
	if (op->mode == MMUEXT_COPY_PAGE)
		print(" from %s", trace_name(op->value));
	if (op->mode == MMUEXT_SET_LDT || op->mode == MMUEXT_INVLPG_LOCAL) {
		print(" ");
		print_va(op->index);
	}
	print("%s;", op->bits ? " (bad bitmap, or entries)" : "");
}

static void print_batch(const struct trace_op *op)
{
	unsigned int i;

	print("%s%s%s%s%s", op->kind == TRACE_UPDATE ? "mmu_update" : "mmuext_op", domain(op->mode),
	      where(op->frame, " at NULL", " at Xen's"), where(op->value, " no done", " bad done"),
	      op->index ? " begun anew" : "");
	if (op->bits)
		print(" in tables%s", domain((unsigned int)op->bits - 1));
	print(" {");
	for (i = 1; i <= op->count; i++) {
		if (op->kind == TRACE_UPDATE)
			print_request(&op[i]);
		else
			print_ext_op(&op[i]);
	}
	print(" }");
}

static void print_uva(const struct trace_op *op)
{
	print("update_va_mapping%s ", op->kind == TRACE_UVA ? "" : domain(op->mode));
	print_va(op->index);
	print(" := %s|%#lx flush %u", trace_name(op->value), op->bits, op->count);
}

static void print_memory(const struct trace_op *op)
{
	print("memory_op %u%s: %u of order %u%s, from %u: %s %s%s, flags %u", op->mode,
	      where(trace_field(op, TRACE_M_ARG), " at NULL", " at Xen's"), op->count,
	      trace_field(op, TRACE_M_ORDER), domain(trace_field(op, TRACE_M_DOMAIN)), op->index,
	      trace_name(op->frame), trace_name(op->value),
	      where(trace_field(op, TRACE_M_LIST), " at NULL", " at Xen's"),
	      trace_field(op, TRACE_M_FLAGS));
	if (op->mode == XENMEM_exchange)
		print(", for %u of order %u%s%s, %u before", trace_field(op, TRACE_M_OUT_COUNT),
		      trace_field(op, TRACE_M_OUT_ORDER),
		      domain(trace_field(op, TRACE_M_OUT_DOMAIN)),
		      where(trace_field(op, TRACE_M_OUT), " at NULL", " at Xen's"),
		      trace_field(op, TRACE_M_DONE));
}

static void print_op(const struct trace_op *op)
{
	switch (op->kind) {
	case TRACE_STORE:
		print("store %s[%u] := %s|%#lx, %u times", trace_name(op->frame), op->index,
		      trace_name(op->value), op->bits, op->count ? op->count : 1);
		break;
	case TRACE_UPDATE:
	case TRACE_EXT:
		print_batch(op);
		break;
	case TRACE_UVA:
	case TRACE_UVA_OTHER:
		print_uva(op);
		break;
	case TRACE_MULTICALL:
		print("multicall of %u%s", op->count, where(op->frame, " at NULL", " at Xen's"));
		break;
	case TRACE_MEMORY:
		print_memory(op);
		break;
	case TRACE_SET_GDT:
		print("set_gdt %u of %s %s%s", op->index, trace_name(op->frame),
		      trace_name(op->value), where(op->mode, " at NULL", " at Xen's"));
		break;
	case TRACE_DESCRIPTOR:
		print("update_descriptor %s[%u]+%u := %#lx", trace_name(op->frame), op->index,
		      op->mode, op->bits);
		break;
	default:
		print("other %u (%u)", op->mode, op->index);
		break;
	}
}

void trace_print_call(const struct trace_call *call, bool inner)
{
	print("%s", inner ? "    " : "  ");
	print_op(call->op);
	print(" = %s", call->rc < 0 ? errno_name((int)call->rc) : "");
	if (call->rc >= 0)
		print("%ld", call->rc);
	if (call->op->kind == TRACE_UPDATE || call->op->kind == TRACE_EXT)
		print(", %u done", call->done);
	print("\n");
}
