/* SPDX-License-Identifier: MIT */
/*
 * The replayer of tests/guest/trace.h on the model: the same sources as in the kernel, in a machine of this host.
 *
 *     trace_model dom0|domu|strict MODULE
 *
 * strict is a dom0 of a Xen without linear page tables, on a CPU with L1TF from which dom0 is guarded too.
 *
 * Prints what the guest prints, which tests/diff compares with what it prints on Xen. Then a line `classes` with two
 * letters for each call that was made: what the model says, just before, of the frame that the call goes at, and of the
 * frame of the entry that it writes.
 *
 *     p    plain, never mapped writable nor a table now      w  writable      1-4  a table of that level, in use
 *     A-D  such a table, pinned      x  partly validated     g  descriptors   s  shared_info
 *     u    nobody's   f  another domain's   X  Xen's   i  no RAM   h  above all frames   -  no frame
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pinion/boot/boot_info.h>
#include <pinion/boot/hooks.h>
#include "../guest/trace.h"
#include "guest.h"

#define CMDLINE "tests=-* oracle=off"
#define PAGES	4096
#define MORE \
	256 /* that it may have besides: see trace_own.c, and less than an extent of trace_check.c's */
#define SPARE 16384

/* A CPU of the width that QEMU's have, on which L1TF has a limit of its own. */
#define STRICT_MADDR_BITS 40

/* Where branches are counted, those of the start are not of interest. */
extern void __gcov_reset(void) __attribute__((weak));

static char *classes;
static size_t nr_classes, room_classes;

static char class_of(unsigned int name)
{
	static const char owners[] = "ugfXi", tables[] = "p1234gw";
	const struct model *m = machine_model();
	const struct model_frame *frame;

	if (mfn_x(trace_mfn(name)) >= m->nr_frames)
		return 'h';
	frame = &m->frame[mfn_x(trace_mfn(name))];
	if (frame->xen_heap)
		return 's';
	if (frame->owner != MODEL_GUEST)
		return owners[frame->owner];
	if (frame->partial)
		return 'x';
	if (frame->type_count == 0)
		return 'p';
	return frame->pinned ? (char)('A' + frame->type - MODEL_L1) : tables[frame->type];
}

static void note_class(char c)
{
	if (nr_classes + 1 >= room_classes) {
		room_classes = 2 * room_classes + 4096;
		classes = realloc(classes, room_classes);
		if (!classes)
			abort();
	}
	classes[nr_classes++] = c;
	classes[nr_classes] = '\0';
}

/* The replayer's, in place of the one that does nothing. */
void trace_about_to(const struct trace_op *op)
{
	const struct trace_op *first = op + 1;
	char target = '-', value = '-';

	switch (op->kind) {
	case TRACE_UPDATE:
		if (!op->count)
			break;
		target = class_of(first->frame);
		if (first->mode != MMU_MACHPHYS_UPDATE && (first->bits & PTE_P))
			value = class_of(first->value);
		break;
	case TRACE_EXT:
		if (op->count)
			target = class_of(first->frame);
		if (op->count && first->mode == MMUEXT_COPY_PAGE)
			value = class_of(first->value);
		break;
	case TRACE_UVA:
	case TRACE_UVA_OTHER:
		if (op->bits & PTE_P)
			value = class_of(op->value);
		break;
	case TRACE_MEMORY:
	case TRACE_SET_GDT:
	case TRACE_DESCRIPTOR:
		target = class_of(op->frame);
		break;
	}
	note_class(target);
	note_class(value);
}

/* The replayer's, in place of the one that asks the CPU: whether Xen has mapped the descriptor's page, or can. */
bool trace_touch(unsigned int entry)
{
	const uint64_t offset = entry * sizeof(uint64_t);
	struct model *m = machine_model();

	return model_map_ldt(m, offset) || entry >= m->ldt_ents ||
	       !mfn_eq(m->ldt_frame[offset >> PAGE_SHIFT], INVALID_MFN);
}

bool trace_own_doubtful(unsigned int n)
{
	return machine_model()->frame[mfn_x(trace_mfn(n))].may_leak;
}

static void *read_all(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	char *data = NULL;
	size_t room = 0, n;

	*bytes = 0;
	if (!file)
		return NULL;
	do {
		room = room ? 2 * room : 1 << 20;
		data = realloc(data, room);
		if (!data)
			abort();
		n = fread(data + *bytes, 1, room - *bytes, file);
		*bytes += n;
	} while (n);
	fclose(file);
	return data;
}

/* In the guest: the suite's early tests, of which this one is chosen. */
static void replay(void *arg)
{
	struct boot_options *options = (struct boot_options *)&boot_info()->options;

	options->tests = arg;
	boot_run_hooks(BOOT_EARLY);
}

int main(int argc, char **argv)
{
	static char test[] = "trace_replay";
	struct machine_config config = { .nr_pages = PAGES,
					 .max_pages = PAGES + MORE,
					 .spare = SPARE,
					 .seed = 1,
					 .cmdline = CMDLINE };
	enum machine_end end;
	bool strict;

	if (argc != 3)
		return 2;
	strict = strcmp(argv[1], "strict") == 0;
	config.dom0 = strict || strcmp(argv[1], "dom0") == 0;
	config.l1tf = strict;
	config.module = read_all(argv[2], &config.module_bytes);
	if (!config.module) {
		perror(argv[2]);
		return 2;
	}
	config.nr_pages += frames_up(config.module_bytes);
	config.max_pages += frames_up(config.module_bytes);
	/* The checker's walk over the machine at each call is for the tests of the model. */
	config.check_every = UINT32_MAX;
	if (machine_start(&config) || machine_boot_early() != MACHINE_RETURNED) {
		printf("no start: %s\n%s", machine_why(), machine_console());
		return 1;
	}
	if (strict) {
		machine_model()->profile.linear_pt = false;
		machine_model()->profile.maddr_bits = STRICT_MADDR_BITS;
	}
	if (__gcov_reset)
		__gcov_reset();
	machine_console_reset();
	end = machine_run(replay, test);
	fputs(machine_console(), stdout);
	printf("classes %s\n", classes ? classes : "");
	if (end != MACHINE_RETURNED)
		printf("panic: the guest ended (%d): %s\n", end, machine_why());
	return end != MACHINE_RETURNED;
}
