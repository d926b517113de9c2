/* SPDX-License-Identifier: MIT */
/*
 * A machine: its memory file, the kernel's image in it, start of day. See guest.h.
 *
 * The program's loader has put the image at its own addresses, like any part of the program. It is kept as a
 * copy and taken away from there when the first machine starts; each machine gets it in its guest's frames, and
 * its own tables say where it is seen. It is put back when the machine stops, since destructors of the program
 * look into it.
 */
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/xen.h>
#include <pinion/arch/io.h>
#include "vm.h"

struct vm *vm;

static uint8_t *pristine;

/* The address sanitizer's look for leaks at the end stops at memory that a machine has taken away. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void *need(void *memory)
{
	if (!memory || memory == MAP_FAILED) {
		perror("a machine's memory");
		abort();
	}
	return memory;
}

static size_t image_bytes(void)
{
	return (size_t)(__image_end - __image_start);
}

/* Also what lies between the program's variables, which memcpy() under the address sanitizer may not touch. */
static void raw_copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void image_take_away(void)
{
	if (!pristine) {
		pristine = need(malloc(image_bytes()));
		raw_copy(pristine, __image_start, image_bytes());
	}
	munmap(__image_start, image_bytes());
}

static void image_put_back(void)
{
	need(mmap(__image_start, image_bytes(), PROT_READ | PROT_WRITE | PROT_EXEC,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	raw_copy(__image_start, pristine, image_bytes());
}

/* ops of the model's */

static void *page(struct model *m __maybe_unused, mfn_t mfn)
{
	vm_dirty(mfn_x(mfn));
	return vm->mem + mfn_x(mfn) * PAGE_SIZE;
}

static void flush_all(struct model *m __maybe_unused)
{
	tlb_flush_all();
}

static void flush_va(struct model *m __maybe_unused, uint64_t va)
{
	tlb_flush_va(va);
}

static void load_base(struct model *m __maybe_unused)
{
}

static void crash(struct model *m __maybe_unused, const char *why)
{
	vm_exit(MACHINE_KILLED, why);
}

static const struct model_ops ops = {
	.page = page,
	.copy_from = call_copy_from,
	.copy_to = call_copy_to,
	.flush_all = flush_all,
	.flush_va = flush_va,
	.load_base = load_base,
	.other = xen_other,
	.crash = crash,
};

static void say(const char *line)
{
	printf("# model: %s\n", line);
	fflush(stdout);
}

/* The model is not to be believed from here on. */
static __noreturn void disbelieve(const char *why)
{
	say(why);
	if (!vm || !vm->running)
		abort();
	vm_exit(MACHINE_KILLED, why);
}

void machine_check(void)
{
	if (model_check(&vm->model, say))
		disbelieve("the model's invariants are broken");
}

void vm_model_panic(const char *why)
{
	static char said[256];

	snprintf(said, sizeof(said), "%s", why);
	disbelieve(said);
}

static void complete(struct machine_config *c)
{
	if (!c->nr_pages)
		c->nr_pages = 4096;
	if (!c->max_pages)
		c->max_pages = c->nr_pages + 64;
	if (!c->spare)
		c->spare = 512;
	if (!c->check_every)
		c->check_every = c->nr_pages <= 256 ? 1 : 1000;
}

/* The maps that Xen gives: xl's of one entry for a domU, the machine's for a dom0. */
static void fill_maps(void)
{
	static struct model_region machine[] = {
		{ 0, 0x9fc00, E820_RAM },
		{ 0x9fc00, 0x60400, E820_RESERVED },
		{ 0x100000, 0, E820_RAM },
		{ 0xfec00000, 0x1400000, E820_RESERVED },
	};
	struct model *m = &vm->model;

	machine[2].size = vm->nr_frames * PAGE_SIZE - machine[2].addr;
	m->machine_map = machine;
	m->nr_machine_regions = ARRAY_SIZE(machine);
	if (vm->config.dom0)
		return;
	m->map[0] = (struct model_region){ 0, vm->config.max_pages * PAGE_SIZE, E820_RAM };
	m->nr_regions = 1;
}

uint8_t *vm_memory(size_t bytes, int *fd)
{
	*fd = memfd_create("machine", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)bytes)) {
		perror("a machine's memory file");
		abort();
	}
	return need(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0));
}

static void make_memory(void)
{
	layout_count();
	vm->mem = vm_memory(vm->nr_frames * PAGE_SIZE, &vm->fd);
	vm->frame = need(calloc(vm->nr_frames, sizeof(*vm->frame)));
	vm->mfn_list = need(calloc(vm->nr_frames, sizeof(*vm->mfn_list)));
	vm->dirty = need(calloc(vm->nr_frames / 64 + 1, sizeof(*vm->dirty)));
	vm->dirty_list = need(calloc(vm->nr_frames, sizeof(*vm->dirty_list)));
}

static int build(void)
{
	const struct machine_config *c = &vm->config;
	struct image image = {
		.virt_base = VIRT_BASE,
		.start = IMAGE_BASE,
		.end = (uint64_t)__image_end,
		.entry = (uint64_t)__text_start,
		.segment = { { IMAGE_BASE, pristine, image_bytes(), image_bytes() } },
		.nr_segments = 1,
	};
	struct domain_config config = {
		.image = &image,
		.cmd_line = c->cmdline,
		.module = c->module,
		.module_size = c->module_bytes,
		.mfn_list = vm->mfn_list,
		.nr_pages = c->nr_pages,
		.max_pages = c->max_pages,
		.shared_info = _mfn(vm->mfn_list[c->nr_pages]),
		.store_evtchn = c->dom0 ? 0 : STORE_PORT,
		.console_evtchn = c->dom0 ? 0 : CONSOLE_PORT,
	};
	char why[160] = "";
	int rc = domain_build(&vm->model, &config, &vm->domain, why, sizeof(why));

	if (rc)
		printf("# the domain builder: %s (%d)\n", why, rc);
	return rc;
}

/* What Xen has in shared_info when a guest starts: upcalls masked, and a clock. */
static void fill_services(void)
{
	struct vcpu_info *info = vm_vcpu_info();

	info->evtchn_upcall_mask = 1;
	info->time.version = 2;
	info->time.tsc_timestamp = rdtsc();
	info->time.tsc_to_system_mul = UINT32_C(1) << 31;
	vm->services.port[STORE_PORT].open = !vm->config.dom0;
	vm->services.port[CONSOLE_PORT].open = !vm->config.dom0;
}

int machine_start(const struct machine_config *config)
{
	struct model_profile profile = {
		.dom0 = config->dom0,
		.l1tf = config->l1tf,
		.linear_pt = true,
		.maddr_bits = 46,
		.xen_slot = SLOT_XEN_FIRST,
		.xen_slots = SLOT_XEN_LAST - SLOT_XEN_FIRST + 1,
	};
	int rc;

	if (vm)
		machine_stop();
	vm = need(calloc(1, sizeof(*vm)));
	vm->config = *config;
	complete(&vm->config);
	make_memory();
	fault_open();
	model_init(&vm->model, &ops, &profile, vm->frame,
		   (uint64_t *)(vm->mem + vm->m2p_first * PAGE_SIZE), vm->nr_frames);
	vm->model.domid = config->dom0 ? 0 : 1;
	memset(vm->mem + vm->m2p_first * PAGE_SIZE, 0xff, vm->m2p_pages * PAGE_SIZE);
	layout_give();
	layout_xen_tables();
	fill_maps();
	machine_console_reset();
	image_take_away();
	rc = build();
	if (rc)
		machine_stop();
	else
		fill_services();
	return rc;
}

void machine_stop(void)
{
	if (!vm)
		return;
	tlb_empty();
	image_put_back();
	munmap(vm->mem, vm->nr_frames * PAGE_SIZE);
	close(vm->fd);
	free(vm->frame);
	free(vm->mfn_list);
	free(vm->dirty);
	free(vm->dirty_list);
	free(vm);
	vm = NULL;
}

struct model *machine_model(void)
{
	return vm ? &vm->model : NULL;
}

struct machine_stats machine_stats(void)
{
	return vm->stats;
}

struct vcpu_info *vm_vcpu_info(void)
{
	uint64_t mfn = mfn_x(vm->domain.shared_info);

	vm_dirty(mfn);
	return &((struct shared_info *)(vm->mem + mfn * PAGE_SIZE))->vcpu_info[0];
}

static int guest_access(uint64_t va, void *buffer, size_t n, unsigned int access,
			unsigned int *error)
{
	unsigned int ignored;
	void *bytes;

	bytes = tlb_access(va, access, error ? error : &ignored);
	if (!bytes)
		return -EFAULT;
	if (access & PF_WRITE)
		memcpy(bytes, buffer, n);
	else
		memcpy(buffer, bytes, n);
	return 0;
}

int guest_load(uint64_t va, void *value, size_t n, unsigned int *error)
{
	return guest_access(va, value, n, 0, error);
}

int guest_store(uint64_t va, const void *value, size_t n, unsigned int *error)
{
	return guest_access(va, (void *)(uintptr_t)value, n, PF_WRITE, error);
}
