/* SPDX-License-Identifier: MIT */
/*
 * From QEMU to the guest's first instruction.
 *
 *     qemu -kernel build/smoke.elf -initrd GUEST.ELF -append "[OPTIONS --] the guest's command line"
 *
 *     memory=SIZE    of the guest; default: what is left of the machine, but for a sixteenth that stays on the heap
 *     seed=N         of the shuffle: which machine frame each of the guest's is
 *     check=N        the model checks itself after every Nth hypercall (default: never)
 *
 * The guest is a dom0: it gets console_io, and the machine's memory map. Its frames are the machine's in no
 * order at all, and none has the number that the guest calls it by: what mixes up the two kinds of number does
 * not work by chance.
 */
#include <stdint.h>
#include <xen/sched.h>
#include <pinion/arch/io.h>
#include <pinion/arch/serial.h>
#include <pinion/lib/panic.h>
#include <pinion/lib/parse.h>
#include <pinion/lib/print.h>
#include <pinion/lib/rand.h>
#include <pinion/lib/string.h>
#include "../model/domain.h"
#include "smoke.h"

#define HEAP_PART 16

#define CPUID_ADDRESS_SIZES 0x80000008

#define RFLAGS_START UINT64_C(0x202)

/* A tick of the TSC is called a nanosecond: time goes on, and that is all that is promised. */
#define TSC_MUL	  0x80000000
#define TSC_SHIFT 1

static char cmd_line[2048];
static struct domain domain;

struct options {
	uint64_t memory, seed, check;
	const char *guest; /* its command line */
};

static void option(struct options *options, const char *word, size_t n)
{
	char text[64];
	const char *end = "?";

	strlcpy(text, word, n < sizeof(text) ? n + 1 : sizeof(text));
	if (str_starts(text, "memory=") && !parse_size(text + 7, &end, &options->memory) && !*end)
		return;
	if (str_starts(text, "seed=") && !parse_u64(text + 5, &end, &options->seed) && !*end)
		return;
	if (str_starts(text, "check=") && !parse_u64(text + 6, &end, &options->check) && !*end)
		return;
	panic("option '%s' is none of memory=SIZE, seed=N, check=N", text);
}

/* What stands before `--` is the hypervisor's. */
static struct options read_options(void)
{
	struct options options = { .seed = 1, .guest = cmd_line };
	const char *at = cmd_line, *end;

	if (!str_starts(at, "-- ") && !glob_match("* -- *", at) && !glob_match("* --", at))
		return options;
	for (;; at = end) {
		while (*at == ' ')
			at++;
		end = strchr(at, ' ');
		if (!end)
			end = at + strlen(at);
		if (end - at == 2 && memcmp(at, "--", 2) == 0)
			break;
		option(&options, at, (size_t)(end - at));
	}
	options.guest = *end ? end + 1 : end;
	return options;
}

/* The heap's frames, shuffled, in an array of the hypervisor's own; *@n of them. */
static uint64_t *shuffled_frames(const struct model *m, uint64_t *list, uint64_t seed, uint64_t *n)
{
	uint64_t mfn, i, j, swap;
	struct rng rng;

	*n = 0;
	for (mfn = 0; mfn < m->nr_frames; mfn++)
		if (m->frame[mfn].owner == MODEL_NOBODY)
			list[(*n)++] = mfn;
	rng_seed(&rng, seed);
	for (i = *n; i > 1; i--) {
		j = rng_below(&rng, i);
		swap = list[i - 1];
		list[i - 1] = list[j];
		list[j] = swap;
	}
	/* Neighbours change places: neither can be right where it goes. */
	for (i = 0; i < *n; i++) {
		j = (i + 1) % *n;
		if (list[i] != i)
			continue;
		list[i] = list[j];
		list[j] = i;
	}
	return list;
}

static void make_model(void)
{
	struct model_profile profile = { .dom0 = true,
					 .linear_pt = true,
					 .xen_slot = XEN_SLOT_FIRST,
					 .xen_slots = MODEL_XEN_SLOTS };
	uint32_t sizes, ebx, ecx, edx;
	struct model *m = &guest.model;

	cpuid(CPUID_ADDRESS_SIZES, &sizes, &ebx, &ecx, &edx);
	profile.maddr_bits = (uint8_t)sizes;

	model_init(m, &model_ops, &profile, machine.frames, machine.m2p, machine.nr_frames);
	memcpy(m->xen_l4e, hypervisor_l4 + XEN_SLOT_FIRST, sizeof(m->xen_l4e));
	m->machine_map = machine.range;
	m->nr_machine_regions = machine.nr_ranges;
	machine_sort(m);
}

static void start_clock(void)
{
	struct vcpu_time_info *time = &guest.shared_info->vcpu_info[0].time;

	time->version = 2;
	time->tsc_timestamp = rdtsc();
	time->system_time = 1;
	time->tsc_to_system_mul = TSC_MUL;
	time->tsc_shift = TSC_SHIFT;
}

static void build_guest(const struct options *options, uint64_t *list)
{
	static struct image image;
	struct domain_config config = { .image = &image, .cmd_line = options->guest };
	char why[160];
	uint64_t frames;

	if (image_from_elf(&image, maddr_to_va(machine.module), machine.module_bytes, why,
			   sizeof(why)))
		panic("the guest: %s", why);
	config.mfn_list = shuffled_frames(&guest.model, list, options->seed, &frames);
	config.nr_pages = frames - frames / HEAP_PART;
	if (options->memory)
		config.nr_pages = frames_down(options->memory);
	if (config.nr_pages + 1 > frames)
		panic("the guest is to have %lu frames, and the machine has %lu", config.nr_pages,
		      frames);
	config.shared_info = _mfn(list[frames - 1]);
	guest.shared_info = mfn_to_va(config.shared_info);
	memset(guest.shared_info, 0, PAGE_SIZE);
	guest.kernel_mode = true;
	print("(XEN) smoke: %lu frames of RAM, %lu for the guest\n", frames, config.nr_pages);
	if (domain_build(&guest.model, &config, &domain, why, sizeof(why)))
		panic("the guest can't be built: %s", why);
	guest.model.check_every = (unsigned int)options->check;
	guest.shared_info->vcpu_info[0].evtchn_upcall_mask = 1;
	start_clock();
}

static __noreturn void enter_guest(void)
{
	static struct cpu_regs regs;

	regs.rip = domain.entry;
	regs.cs = SEL_GUEST_CS;
	regs.rflags = RFLAGS_START;
	regs.rsp = domain.stack_top;
	regs.ss = SEL_GUEST_SS;
	regs.rsi = domain.start_info;
	cpu_load_descriptors(&guest.model);
	guest_load_cr3();
	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(0));
	guest_enter(&regs);
}

void smoke_start(uint32_t start_info_paddr)
{
	const struct hvm_start_info *si = (void *)(IMAGE_VA + start_info_paddr);
	struct options options;
	uint64_t *list;

	serial_init();
	if (si->cmdline_paddr)
		strlcpy(cmd_line, (const char *)(IMAGE_VA + si->cmdline_paddr), sizeof(cmd_line));
	machine_init(si);
	cpu_init();
	options = read_options();
	list = machine_bytes(machine.nr_frames * sizeof(*list));
	make_model();
	build_guest(&options, list);
	enter_guest();
}
