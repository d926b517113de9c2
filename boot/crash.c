/* SPDX-License-Identifier: MIT */
/*
 * The end by accident: panics and unexpected traps. The report's form is docs/console.md's.
 *
 * The path is made so that it can't need what may be broken: no allocation, one static line buffer,
 * every load from the stack through a probe. The page tables come last, when all else is out. A fault inside the report is itself reported in one line;
 * a fault in that goes down without a word. Whatever happens it reaches SHUTDOWN_crash.
 */
#include <stdarg.h>
#include <pinion/arch/backtrace.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/probe.h>
#include <pinion/arch/trap.h>
#include <pinion/boot/crash.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/ptdump.h>
#include <pinion/xen/console.h>
#include <pinion/xen/shutdown.h>

#define BACKTRACE_MAX 24
#define STACK_WORDS   16

static struct panic_catch *armed;

void panic_catch_arm(struct panic_catch *catch)
{
	if (catch && armed)
		panic("a panic catch is armed already");
	if (catch)
		catch->traps = this_cpu()->traps;
	if (catch)
		catch->upcalls_masked = upcalls_mask();
	if (catch)
		upcalls_restore(catch->upcalls_masked);
	armed = catch;
}

/*
 * Compilers leave the frame out of functions that call none, whatever they are told; then the
 * word at rsp is the return address, and the walk by rbp would miss the direct caller. Returns that word
 * if it points into the kernel's code, else 0. In a function with a frame it may show a stale one.
 */
static uint64_t leaf_caller(uint64_t rsp)
{
	uint64_t word = 0;

	if (rsp % sizeof(word) || probe_load64((const void *)rsp, &word))
		return 0;
	return word >= (uint64_t)__text_start && word < (uint64_t)__text_end ? word : 0;
}

/* Addresses that are 0 are left out. */
static void report_backtrace(uint64_t rip, uint64_t leaf, uint64_t rbp)
{
	static uint64_t callers[BACKTRACE_MAX];
	size_t n, i;

	print("panic: backtrace:\n");
	if (rip)
		print("panic:   [<%016lx>]\n", rip);
	if (leaf)
		print("panic:   [<%016lx>]\n", leaf);
	n = backtrace(rbp, callers, BACKTRACE_MAX);
	for (i = 0; i < n; i++)
		print("panic:   [<%016lx>]\n", callers[i]);
}

static void report_stack(uint64_t rsp)
{
	uint64_t words[2] = { 0, 0 };
	unsigned int i;

	print("panic: stack:\n");
	for (i = 0; i < STACK_WORDS; i += 2, rsp += sizeof(words)) {
		if (probe_read(words, (const void *)rsp, sizeof(words))) {
			print("panic:   %016lx: not readable\n", rsp);
			return;
		}
		print("panic:   %016lx: %016lx %016lx\n", rsp, words[0], words[1]);
	}
}

static void report_regs(const struct cpu_regs *r)
{
	print("panic: rip %04lx:[<%016lx>] rsp %04lx:%016lx rflags %08lx\n", r->cs, r->rip, r->ss,
	      r->rsp, r->rflags);
	print("panic: rax %016lx rbx %016lx rcx %016lx\n", r->rax, r->rbx, r->rcx);
	print("panic: rdx %016lx rsi %016lx rdi %016lx\n", r->rdx, r->rsi, r->rdi);
	print("panic: rbp %016lx r8  %016lx r9  %016lx\n", r->rbp, r->r8, r->r9);
	print("panic: r10 %016lx r11 %016lx r12 %016lx\n", r->r10, r->r11, r->r12);
	print("panic: r13 %016lx r14 %016lx r15 %016lx\n", r->r13, r->r14, r->r15);
}

/* Begins a report. Returns false, after one line at most, if another was under way. */
static bool report_begin(const char *what, uint64_t rip)
{
	struct cpu *cpu = this_cpu();

	upcalls_mask();
	cpu->crashes++;
	if (cpu->crashes == 1) {
		console_crash_mode();
		return true;
	}
	if (cpu->crashes == 2)
		print("\npanic: again: %s at [<%016lx>]\n", what, rip);
	return false;
}

static __noreturn void report_end(void)
{
	if (this_cpu()->crashes <= 2)
		print("panic: end, SHUTDOWN_crash\n");
	shutdown(SHUTDOWN_crash);
}

void panic_at(const char *file, int line, const char *fmt, ...)
{
	static char message[PANIC_MESSAGE_MAX];
	struct panic_catch *catch = armed;
	va_list ap;

	if (catch && this_cpu()->crashes == 0) {
		armed = NULL;
		va_start(ap, fmt);
		vsnprintf(catch->message, sizeof(catch->message), fmt, ap);
		va_end(ap);
		this_cpu()->traps = catch->traps;
		upcalls_restore(catch->upcalls_masked);
		arch_longjmp(catch->where, 1);
	}
	if (report_begin("panic", (uint64_t)__builtin_return_address(0))) {
		/* In two steps: the place is out before a bad argument can fault. */
		print("panic: %s:%d: ", file, line);
		va_start(ap, fmt);
		vsnprintf(message, sizeof(message), fmt, ap);
		va_end(ap);
		print("%s\n", message);
		report_backtrace(0, 0, (uint64_t)__builtin_frame_address(0));
		ptdump_crash(UINT64_MAX);
	}
	report_end();
}

void crash_trap(const struct cpu_regs *regs)
{
	uint64_t cr2 = cpu_cr2();

	if (report_begin(trap_name((unsigned int)regs->vector), regs->rip)) {
		print("panic: unexpected %s (vector %lu, error code %#lx) at [<%016lx>]",
		      trap_name((unsigned int)regs->vector), regs->vector, regs->error, regs->rip);
		if (regs->vector == VECTOR_PF && !this_cpu()->vcpu_info)
			print(", address unknown");
		else if (regs->vector == VECTOR_PF)
			print(", address %016lx", cr2);
		print("\n");
		report_regs(regs);
		report_stack(regs->rsp);
		report_backtrace(regs->rip, leaf_caller(regs->rsp), regs->rbp);
		ptdump_crash(regs->vector == VECTOR_PF ? cr2 : UINT64_MAX);
	}
	report_end();
}
