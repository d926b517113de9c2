/* SPDX-License-Identifier: MIT */
/*
 * The way in: a hypercall by its number, the multicall, and the assists.
 *
 *   model_hypercall ---> dispatch ---> one of the model's own calls, or ops->other
 *        |                  ^
 *        v                  |  each entry; a multicall among them is -EINVAL
 *     model_check       model_multicall
 *
 * A multicall goes on past entries that fail: what the call itself returns says only whether the list could be read and the
 * results written. In a release build nothing but `result` of an entry changes unless Xen is preempted; a debug build spoils
 * all of it, so that nobody relies on that.
 */
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/lib/string.h>
#include "errnos.h"
#include "internal.h"

/* What a debug build leaves of an entry. */
#define SPOILED 0xaa

static long run(struct model *m, unsigned int nr, const uint64_t *args)
{
	switch (nr) {
	case __HYPERVISOR_mmu_update:
		return model_mmu_update(m, args);
	case __HYPERVISOR_set_gdt:
		return model_set_gdt(m, args);
	case __HYPERVISOR_update_descriptor:
		return model_update_descriptor(m, args);
	case __HYPERVISOR_memory_op:
		return model_memory_op(m, args);
	case __HYPERVISOR_multicall:
		return model_multicall(m, args);
	case __HYPERVISOR_update_va_mapping:
		return model_update_va_mapping(m, args);
	case __HYPERVISOR_vm_assist:
		return model_vm_assist(m, args);
	case __HYPERVISOR_update_va_mapping_otherdomain:
		return model_update_va_mapping_otherdomain(m, args);
	case __HYPERVISOR_mmuext_op:
		return model_mmuext_op(m, args);
	default:
		return m->ops->other(m, nr, args);
	}
}

/* An answer is a request's, which has been looked at where it was given, or the call's own. */
static long dispatch(struct model *m, unsigned int nr, const uint64_t *args)
{
	uint32_t command = MODEL_THE_CALL;
	long rc;

	m->answer = 0;
	rc = run(m, nr, args);
	if (nr == __HYPERVISOR_memory_op)
		command = (uint32_t)args[0] & MODEL_MEMOP_MASK;
	return rc == m->answer ? rc : model_answer(m, nr, command, rc);
}

static void say(const char *line)
{
	print("model: %s\n", line);
}

long model_hypercall(struct model *m, unsigned int nr, const uint64_t args[6])
{
	const long rc = dispatch(m, nr, args);
	unsigned int broken;

	m->calls++;
	if (m->wrong.answer || (m->check_every && m->calls % m->check_every == 0)) {
		broken = model_check(m, say);
		if (broken)
			panic("the model: %u invariants broken at call %lu, hypercall %u", broken,
			      m->calls, nr);
	}
	return rc;
}

/*
 * One entry of a multicall, at @va. Returns 0, or -EFAULT when it could not be read, or its result not written. *@exit: it was an iret,
 * after which the guest is elsewhere: the multicall ends with it, and returns what it does, whoever hears of its result (mc_exit).
 */
static long run_entry(struct model *m, uint64_t va, bool *exit)
{
	struct multicall_entry entry;
	uint64_t args[6];
	xen_ulong_t result = (xen_ulong_t)-ENOSYS;
	int rc;

	if (m->ops->copy_from(m, &entry, va, sizeof(entry)))
		return -EFAULT;
	memcpy(args, entry.args, sizeof(args));
	if (entry.op <= UINT32_MAX)
		result = (xen_ulong_t)dispatch(m, (unsigned int)entry.op, args);
	*exit = entry.op == __HYPERVISOR_iret;
	if (m->profile.debug) {
		memset(&entry, SPOILED, sizeof(entry));
		entry.result = result;
		rc = m->ops->copy_to(m, va, &entry, sizeof(entry));
	} else {
		rc = m->ops->copy_to(m, va + offsetof(struct multicall_entry, result), &result,
				     sizeof(result));
	}
	if (rc && !*exit)
		return rc;
	return *exit ? (long)result : 0;
}

/* do_multicall() in common/multicall.c */
long model_multicall(struct model *m, const uint64_t *args)
{
	const uint64_t list = args[0];
	const uint32_t nr_calls = (uint32_t)args[1];
	bool exit = false;
	long rc = 0;

	if (m->in_multicall)
		return -EINVAL;
	m->in_multicall = true;
	if (!model_va_ok(m, list))
		rc = -EFAULT;
	for (uint32_t i = 0; i < nr_calls && !rc && !exit && !m->crashed; i++)
		rc = run_entry(m, list + i * sizeof(struct multicall_entry), &exit);
	m->in_multicall = false;
	m->answer = exit ? rc : 0; /* an iret's is what it is */
	return rc;
}

/* do_vm_assist() in common/domain.c: the type is looked at first. */
long model_vm_assist(struct model *m, const uint64_t *args)
{
	const unsigned int cmd = (unsigned int)args[0], type = (unsigned int)args[1];

	if (type >= 64 || !(MODEL_VM_ASSISTS & UINT64_C(1) << type))
		return -EINVAL;
	switch (cmd) {
	case VMASST_CMD_enable:
		m->vm_assist |= UINT64_C(1) << type;
		return 0;
	case VMASST_CMD_disable:
		m->vm_assist &= ~(UINT64_C(1) << type);
		return 0;
	default:
		return -ENOSYS;
	}
}
