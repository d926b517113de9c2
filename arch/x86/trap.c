/* SPDX-License-Identifier: MIT */
/*
 * Trap dispatch and the exception table. See <pinion/arch/trap.h> and <pinion/arch/probe.h>.
 *
 * Everything here is static and works from the moment the trap table is given to Xen, before there
 * is a console or shared_info: start_info itself is read through a probe.
 */
#include <pinion/arch/cpu.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/trap.h>
#include <pinion/lib/panic.h>

struct extable_entry {
	uint64_t fault;
	uint64_t fixup;
};

extern const struct extable_entry __extable_start[], __extable_end[];

static trap_handler_fn *handlers[TRAP_VECTORS];

trap_handler_fn *trap_set_handler(unsigned int vector, trap_handler_fn *fn)
{
	trap_handler_fn *old;

	ASSERT(vector < TRAP_VECTORS);
	old = handlers[vector];
	handlers[vector] = fn;
	return old;
}

/* A kernel's frame has RPL 0 in cs. Only the kernel's own instructions are in the table. */
static bool fixup_exception(struct cpu_regs *regs)
{
	const struct extable_entry *entry;
	struct cpu *cpu = this_cpu();

	if ((regs->cs & 3) != 0 || regs->vector >= TRAP_UPCALL)
		return false;
	if (regs->rip == cpu->probe_call_target) {
		cpu->probe_call_fault = EXINFO(regs->vector, regs->error);
		regs->rip = *(uint64_t *)regs->rsp;
		regs->rsp += sizeof(uint64_t);
		return true;
	}
	for (entry = __extable_start; entry < __extable_end; entry++) {
		if (entry->fault == regs->rip) {
			regs->rax = EXINFO(regs->vector, regs->error);
			regs->rip = entry->fixup;
			regs->rflags &= ~(uint64_t)RFLAGS_TF;
			return true;
		}
	}
	return false;
}

static void dispatch(struct cpu_regs *regs)
{
	/* The upper half holds the upcall mask at the time; IF in rflags says the same. */
	regs->cs &= 0xffff;

	if (handlers[regs->vector] && handlers[regs->vector](regs))
		return;
	if (fixup_exception(regs))
		return;
	crash_trap(regs);
}

void trap_dispatch(struct cpu_regs *regs)
{
	this_cpu()->traps++;
	dispatch(regs);
	this_cpu()->traps--;
}

const char *trap_name(unsigned int vector)
{
	static const char *const names[] = {
		"#DE", "#DB",	   "NMI", "#BP", "#OF", "#BR", "#UD", "#NM",
		"#DF", "vector 9", "#TS", "#NP", "#SS", "#GP", "#PF", "vector 15",
		"#MF", "#AC",	   "#MC", "#XM", "#VE", "#CP",
	};

	if (vector < ARRAY_SIZE(names))
		return names[vector];
	if (vector == TRAP_UPCALL)
		return "event upcall";
	if (vector == TRAP_FAILSAFE)
		return "failsafe callback (bad selector on the way back to the guest)";
	return "vector";
}
