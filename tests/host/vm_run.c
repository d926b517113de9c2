/* SPDX-License-Identifier: MIT */
/*
 * Running guest code. It is called like any function, and whatever ends the guest (a shutdown, Xen's crashing
 * it, the end of a boot) is a jump back to here.
 */
#include <stdint.h>
#include <string.h>
#include <xen/xen.h>
#include <pinion/lib/panic.h>
#include "vm.h"

/* boot/kmain.c's; it is called by assembly alone. */
__noreturn void pv_start(const struct start_info *si_va);

void vm_exit(enum machine_end end, const char *why)
{
	vm->running = false;
	vm->why = why;
	siglongjmp(vm->out, (int)end + 1);
}

enum machine_end machine_run(void (*fn)(void *arg), void *arg)
{
	int end;

	fault_open();
	vm->why = "";
	end = sigsetjmp(vm->out, 0);
	if (end)
		return (enum machine_end)(end - 1);
	vm->running = true;
	fn(arg);
	vm->running = false;
	return MACHINE_RETURNED;
}

const char *machine_why(void)
{
	return vm->why;
}

void vm_at_point(enum boot_point point)
{
	if (vm->stop_at == (int)point)
		vm_exit(MACHINE_RETURNED, "");
}

static void enter(void *arg __maybe_unused)
{
	pv_start((const struct start_info *)vm->domain.start_info);
}

static enum machine_end boot_to(int point)
{
	enum machine_end end;

	vm->stop_at = point;
	end = machine_run(enter, NULL);
	vm->stop_at = -1;
	return end;
}

enum machine_end machine_boot(void)
{
	return boot_to(BOOT_MAIN);
}

enum machine_end machine_boot_early(void)
{
	return boot_to(BOOT_EARLY);
}

enum machine_end machine_boot_whole(void)
{
	return boot_to(-1);
}
