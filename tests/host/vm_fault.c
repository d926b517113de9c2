/* SPDX-License-Identifier: MIT */
/*
 * Signals: what an instruction of the guest's raised. A page fault is first of all a miss in the TLB
 * (vm_tlb.c); what the tables do not allow, and every other exception, is given to the kernel's own
 * trap_dispatch() as Xen would, on the stack that it was running on, so that probes, their exception table and
 * trap handlers are the kernel's own.
 *
 * Not played: the stubs of entry.S, which take the frame apart, and the way back by HYPERVISOR_iret.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <pinion/arch/regs.h>
#include <pinion/arch/trap.h>
#include "vm.h"

/* Faults in handling faults that are no test any more but a kernel that can't run. */
#define NESTED_MAX 32

bool host_va(uint64_t va)
{
	if (va < HOST_LOW_END)
		return va >= PAGE_SIZE;
	return (va >= HOST_TEXT && va < PMAP_BASE) || (va >= HOST_HIGH && va < UINT64_C(1) << 47);
}

/* The stack at each exception under way. One that a panic's longjmp left behind is above the next one's. */
static bool too_deep(uint64_t rsp)
{
	static uint64_t stack[NESTED_MAX];
	static unsigned int depth;

	while (depth > 0 && stack[depth - 1] <= rsp)
		depth--;
	if (depth == NESTED_MAX) {
		depth = 0;
		return true;
	}
	stack[depth++] = rsp;
	return false;
}

static void load_regs(struct cpu_regs *r, const greg_t *g)
{
	*r = (struct cpu_regs){
		.r15 = (uint64_t)g[REG_R15],
		.r14 = (uint64_t)g[REG_R14],
		.r13 = (uint64_t)g[REG_R13],
		.r12 = (uint64_t)g[REG_R12],
		.r11 = (uint64_t)g[REG_R11],
		.r10 = (uint64_t)g[REG_R10],
		.r9 = (uint64_t)g[REG_R9],
		.r8 = (uint64_t)g[REG_R8],
		.rdi = (uint64_t)g[REG_RDI],
		.rsi = (uint64_t)g[REG_RSI],
		.rbp = (uint64_t)g[REG_RBP],
		.rbx = (uint64_t)g[REG_RBX],
		.rdx = (uint64_t)g[REG_RDX],
		.rcx = (uint64_t)g[REG_RCX],
		.rax = (uint64_t)g[REG_RAX],
		.rip = (uint64_t)g[REG_RIP],
		.rsp = (uint64_t)g[REG_RSP],
		.rflags = (uint64_t)g[REG_EFL] & ~(uint64_t)RFLAGS_IF,
		.cs = FLAT_KERNEL_CS & ~UINT64_C(3),
		.ss = FLAT_KERNEL_SS,
	};
}

static void store_regs(greg_t *g, const struct cpu_regs *r)
{
	g[REG_R15] = (greg_t)r->r15;
	g[REG_R14] = (greg_t)r->r14;
	g[REG_R13] = (greg_t)r->r13;
	g[REG_R12] = (greg_t)r->r12;
	g[REG_R11] = (greg_t)r->r11;
	g[REG_R10] = (greg_t)r->r10;
	g[REG_R9] = (greg_t)r->r9;
	g[REG_R8] = (greg_t)r->r8;
	g[REG_RDI] = (greg_t)r->rdi;
	g[REG_RSI] = (greg_t)r->rsi;
	g[REG_RBP] = (greg_t)r->rbp;
	g[REG_RBX] = (greg_t)r->rbx;
	g[REG_RDX] = (greg_t)r->rdx;
	g[REG_RCX] = (greg_t)r->rcx;
	g[REG_RAX] = (greg_t)r->rax;
	g[REG_RIP] = (greg_t)r->rip;
	g[REG_RSP] = (greg_t)r->rsp;
	g[REG_EFL] = (greg_t)(r->rflags | RFLAGS_IF);
}

/* pv_inject_event() and the iret at the other end: the mask is part of the frame. */
static void inject(greg_t *g, unsigned int vector, unsigned int error, uint64_t cr2)
{
	struct vcpu_info *info = vm_vcpu_info();
	struct cpu_regs regs;

	if (!vm->services.traps_registered)
		vm_exit(MACHINE_KILLED, "an exception before there is a trap table");
	if (too_deep((uint64_t)g[REG_RSP]))
		vm_exit(MACHINE_KILLED, "faults in handling faults, without end");
	vm->stats.faults++;
	load_regs(&regs, g);
	regs.vector = vector;
	regs.error = error;
	regs.cs |= (uint64_t)info->evtchn_upcall_mask << 32;
	regs.rflags |= info->evtchn_upcall_mask ? 0 : RFLAGS_IF;
	info->evtchn_upcall_mask = 1;
	if (vector == VECTOR_PF)
		info->arch.cr2 = cr2;
	trap_dispatch(&regs);
	vm_vcpu_info()->evtchn_upcall_mask = !(regs.rflags & RFLAGS_IF);
	store_regs(g, &regs);
}

/*
 * A bug of the program's own, or of a test that touches the guest's memory past its tables: as if there were no
 * handler.
 */
static void own_fault(const char *what, uint64_t va, uint64_t rip)
{
	fprintf(stderr, "%s: address %#llx, at %#llx, in %s\n", what, (unsigned long long)va,
		(unsigned long long)rip, vm && vm->running ? "the guest" : "the program");
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	abort();
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned int vector = (unsigned int)g[REG_TRAPNO], error = (unsigned int)g[REG_ERR];
	uint64_t va = (uint64_t)info->si_addr;

	if (!vm || sig == SIGBUS)
		own_fault(strsignal(sig), va, (uint64_t)g[REG_RIP]);
	if (vector == VECTOR_PF) {
		/* What is the host's is not mapped for anybody who comes by here. */
		if (va >= HOST_LOW_END && host_va(va))
			own_fault("a wild access", va, (uint64_t)g[REG_RIP]);
		if (tlb_fill(va, error & (PF_WRITE | PF_FETCH), &error) == 0)
			return;
	}
	if (!vm->running)
		own_fault("no run is under way", va, (uint64_t)g[REG_RIP]);
	inject(g, vector, error, va);
}

void fault_open(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &action, NULL))
			abort();
}
