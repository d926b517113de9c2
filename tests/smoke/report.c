/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor itself has to say: lines that begin with `(XEN) `, so that whoever reads the serial line
 * can tell them from the guest's, and may take them out wherever they cut in (tests/rig/ktap.py).
 */
#include <stdarg.h>
#include <stdint.h>
#include <xen/sched.h>
#include <pinion/arch/io.h>
#include <pinion/arch/pte.h>
#include <pinion/arch/serial.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include "smoke.h"

#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_BASE 16 /* + SHUTDOWN_*; QEMU's status is twice that, and 1 */

#define END_PANIC 15 /* in place of a SHUTDOWN_*: the hypervisor's own fault */

#define CODE_BYTES  16
#define STACK_WORDS 16

void console_write(const char *s, size_t n)
{
	while (n--)
		serial_put(*s++);
}

void machine_end(unsigned int reason)
{
	serial_drain();
	outl(DEBUG_EXIT_PORT, DEBUG_EXIT_BASE + reason);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void report_regs(const struct cpu_regs *r)
{
	print("(XEN) rip %04lx:[<%016lx>] rsp %04lx:%016lx rflags %08lx\n", r->cs & 0xffff, r->rip,
	      r->ss, r->rsp, r->rflags);
	print("(XEN) rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx,
	      r->rdx);
	print("(XEN) rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", r->rsi, r->rdi, r->rbp, r->r8);
	print("(XEN) r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", r->r9, r->r10, r->r11, r->r12);
	print("(XEN) r13 %016lx r14 %016lx r15 %016lx vector %lu error %#lx\n", r->r13, r->r14,
	      r->r15, r->vector, r->error);
}

void panic_at(const char *file, int line, const char *fmt, ...)
{
	static bool again;
	va_list ap;

	if (again)
		machine_end(END_PANIC);
	again = true;
	print("(XEN) panic: %s:%d: ", file, line);
	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
	print("\n");
	if (guest.regs) {
		print("(XEN) the guest's registers:\n");
		report_regs(guest.regs);
	}
	machine_end(END_PANIC);
}

static void report_code(uint64_t rip)
{
	uint8_t code[CODE_BYTES];
	size_t i, n;

	for (n = 0; n < CODE_BYTES && !guest_copy_from(&code[n], rip + n, 1); n++)
		;
	print("(XEN) code:");
	for (i = 0; i < n; i++)
		print(" %02x", code[i]);
	print(n < CODE_BYTES ? " not readable\n" : "\n");
}

static void report_stack(uint64_t rsp)
{
	uint64_t words[2];
	unsigned int i;

	for (i = 0; i < STACK_WORDS; i += 2, rsp += sizeof(words)) {
		if (guest_copy_from(words, rsp, sizeof(words))) {
			print("(XEN) stack %016lx: not readable\n", rsp);
			return;
		}
		print("(XEN) stack %016lx: %016lx %016lx\n", rsp, words[0], words[1]);
	}
}

/* The entries on the way to @va, as they are in memory now. */
static void report_walk(uint64_t va)
{
	uint64_t table = read_cr3(), entry;
	unsigned int level;

	print("(XEN) walk of %016lx from %012lx:\n", va, table);
	for (level = 4; level > 0; level--) {
		if ((table & PTE_ADDR_MASK) >> PAGE_SHIFT >= machine.nr_frames) {
			print("(XEN)   beyond RAM\n");
			return;
		}
		entry = ((uint64_t *)maddr_to_va(table & PTE_ADDR_MASK))[va_index(va, level)];
		print("(XEN)   L%u[%03x] %016lx\n", level, va_index(va, level), entry);
		if (!(entry & PTE_P) || (level > 1 && (entry & PTE_PSE)))
			return;
		table = entry;
	}
}

void guest_crash(const char *fmt, ...)
{
	const struct cpu_regs *regs = guest.regs;
	va_list ap;

	print("(XEN) the guest is crashed: ");
	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
	print("\n");
	if (regs) {
		print("(XEN) in %s mode, upcalls %s\n", guest.kernel_mode ? "kernel" : "user",
		      guest.shared_info->vcpu_info[0].evtchn_upcall_mask ? "masked" : "open");
		report_regs(regs);
		report_code(regs->rip);
		report_stack(regs->rsp);
		report_walk(regs->rip);
		if (guest.shared_info->vcpu_info[0].arch.cr2) {
			print("(XEN) its last page fault:\n");
			report_walk(guest.shared_info->vcpu_info[0].arch.cr2);
		}
	}
	machine_end(SHUTDOWN_crash);
}
