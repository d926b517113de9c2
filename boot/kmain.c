/* SPDX-License-Identifier: MIT */
/*
 * The way up, phase by phase; each may use only what stands before it.
 *
 *   1  trap table, start_info checked, console
 *   2  boot_info: command line, memory map, Xen's version
 *   3  shared_info mapped; event channels and timer
 *   4  the PMAP window
 *   5  boot allocator, P2M                                    (boot/memory.c)
 *   6  direct map; the window closes
 *   7  the kernel's own tables; start of day's are given up
 *   8  the suite or nothing, then the end that the command line asks for
 *
 * An error here comes from outside (start_info, Xen): it ends in one clear sentence and
 * SHUTDOWN_crash, by boot_refuse(). start_info is copied once and read from the copy, so that what
 * was checked is what is used.
 */
#include <stdint.h>
#include <xen/xen.h>
#include <xen/version.h>
#include <pinion/arch/cpu.h>
#include <pinion/arch/probe.h>
#include <pinion/boot/hooks.h>
#include <pinion/boot/map.h>
#include <pinion/boot/memory.h>
#include <pinion/boot/refuse.h>
#include <pinion/boot/start_info.h>
#include <pinion/boot/traps.h>
#include <pinion/boot/version.h>
#include <pinion/lib/errno.h>
#include <pinion/lib/print.h>
#include <pinion/lib/printf.h>
#include <pinion/lib/string.h>
#include <pinion/mm/kernel_map.h>
#include <pinion/mm/layout.h>
#include <pinion/mm/p2m.h>
#include <pinion/mm/ptdump.h>
#include <pinion/xen/console.h>
#include <pinion/xen/evtchn.h>
#include <pinion/xen/features.h>
#include <pinion/xen/hypercall.h>
#include <pinion/xen/shared_info.h>
#include <pinion/xen/shutdown.h>
#include <pinion/xen/time.h>

/* Called by entry_pv.S alone. */
__noreturn void pv_start(const struct start_info *si_va);

extern const struct boot_hook __boot_hooks_start[], __boot_hooks_end[];

static struct boot_info info;
static struct start_info si;

const struct boot_info *boot_info(void)
{
	return &info;
}

mfn_t boot_mfn(const struct boot_info *bi, pfn_t pfn)
{
	const uint64_t *list = boot_va(bi->mfn_list.start);

	if (memory_is_up())
		return pfn_to_mfn(pfn);
	return pfn_x(pfn) < bi->nr_pages ? _mfn(list[pfn_x(pfn)]) : INVALID_MFN;
}

void boot_refuse(const char *why)
{
	console_crash_mode();
	print("panic: cannot boot: %s\n", why);
	print("panic: end, SHUTDOWN_crash\n");
	shutdown(SHUTDOWN_crash);
}

void boot_refuse_rc(const char *what, long rc)
{
	static char why[96];

	snprintf(why, sizeof(why), "%s: %s", what, errno_name((int)rc));
	boot_refuse(why);
}

/* The first unmapped page at or above VIRT_BASE, found by looking: nothing else says it. */
static uint64_t boot_region_end(void)
{
	uint64_t va = VIRT_BASE, word = 0;

	while (va && probe_load64((const void *)va, &word) == 0)
		va += PAGE_SIZE;
	return va;
}

/* Phase 1, second half: start_info, and through it what the console needs. */
static void start_info_read(const struct start_info *si_va)
{
	static char why[160];
	struct boot_region region = { boot_region_end(), (uint64_t)__image_end };
	const uint64_t *mfn_list;

	if (probe_read(&si, si_va, sizeof(si)))
		boot_refuse("start_info is not readable");
	if (start_info_check(&info, &si, (uint64_t)si_va, &region, why, sizeof(why)))
		boot_refuse(why);
	mfn_list = boot_va(info.mfn_list.start);
	start_info_rings(&info, &si, mfn_list);
	if (!info.initdomain && pfn_x(info.console.pfn) == INVALID_PFN_X)
		boot_refuse("start_info.console.domU.mfn is no frame of the boot region");
}

static void console_choose(void)
{
	if (info.initdomain)
		console_use_hypercall();
	else
		console_use_ring(boot_va(info.console.pfn), info.console.port);
}

void boot_print_identity(void)
{
	print("nonce=%s xen=%u.%u%s flags=0x%x nr_pages=%lu mfn0=0x%" PRI_mfn "\n",
	      info.options.nonce, info.xen_major, info.xen_minor, info.xen_extra, info.flags,
	      info.nr_pages, mfn_x(boot_mfn(&info, _pfn(0))));
}

/* Phase 2. What the parser says is kept back until the first line, which needs the nonce, is out. */
static void boot_info_read(void)
{
	long version = hypercall_xen_version(XENVER_version, NULL);
	struct boot_options *options = &info.options;
	xen_extraversion_t extra = "";

	if (version < 0 || hypercall_xen_version(XENVER_extraversion, extra))
		boot_refuse("Xen does not tell its version");
	info.xen_major = (unsigned int)(version >> 16) & 0xffff;
	info.xen_minor = (unsigned int)version & 0xffff;
	extra[sizeof(extra) - 1] = '\0';
	strlcpy(info.xen_extra, extra, sizeof(info.xen_extra));
	options_parse(options, (const char *)si.cmd_line, sizeof(si.cmd_line));

	console_choose();
	print("Pinion " PINION_VERSION ": ");
	boot_print_identity();
	console_release_early();

	if (options->mem && frames_down(options->mem) < info.ram_pages)
		info.ram_pages = frames_down(options->mem);
	boot_map_read(&info);
}

static void boot_info_print(void)
{
	uint64_t need = start_info_need_pages(&info);
	char text[96];

	print("boot: %s, boot region to pfn %#" PRI_pfn ", image %lu KiB, %lu table pages\n",
	      info.initdomain ? "dom0" : "domU", pfn_x(info.region_end), info.image.nr * 4,
	      info.tables.nr);
	if (info.module.nr)
		print("boot: module of %lu bytes at pfn %#" PRI_pfn "\n", info.module_bytes,
		      pfn_x(info.module.start));
	memory_map_print(&info.map);
	if (info.ram_pages < need) {
		snprintf(text, sizeof(text), "needs %lu KiB, has %lu", need * 4,
			 info.ram_pages * 4);
		boot_refuse(text);
	}
}

/* Phase 3, and the guard page under the stack, which needs nothing more. */
static void services_start(void)
{
	long rc = shared_info_map(info.shared_info);

	if (rc)
		boot_refuse_rc("mapping shared_info", rc);
	evtchn_init();
	rc = time_init();
	if (rc)
		boot_refuse_rc("timer", rc);
	rc = features_read();
	if (rc)
		boot_refuse_rc("XENVER_get_features", rc);
	rc = hypercall_update_va_mapping((uintptr_t)boot_stack_guard, 0, UVMF_INVLPG);
	if (rc)
		boot_refuse_rc("unmapping the stack's guard page", rc);
	upcalls_restore(false);
}

void boot_run_hooks(enum boot_point point)
{
	const struct boot_hook *hook;

	for (hook = __boot_hooks_start; hook < __boot_hooks_end; hook++)
		if (hook->point == point)
			hook->run();
}

/* What exit= says. Idle blocks for ever: `xl destroy` ends it. */
static __noreturn void boot_exit(enum option_exit how)
{
	static const unsigned int reasons[] = {
		[EXIT_POWEROFF] = SHUTDOWN_poweroff,
		[EXIT_REBOOT] = SHUTDOWN_reboot,
		[EXIT_CRASH] = SHUTDOWN_crash,
	};

	console_drain();
	if (how == EXIT_IDLE)
		for (;;)
			time_sleep_until(time_now_ns() + 3600 * NS_PER_S);
	shutdown(reasons[how]);
}

void pv_start(const struct start_info *si_va)
{
	long rc;

	boot_mark(MARK_ENTRY);
	rc = traps_register();
	if (rc)
		boot_refuse_rc("set_trap_table, set_callbacks", rc);
	start_info_read(si_va);
	boot_info_read();
	boot_info_print();
	services_start();
	memory_early(&info);
	boot_run_hooks(BOOT_EARLY);
	memory_late(&info);
	if (info.options.ptdump)
		ptdump(kernel_l4());
	boot_run_hooks(BOOT_MAIN);
	boot_exit(info.options.exit);
}
