/* SPDX-License-Identifier: MIT */
/*
 * Replays the traces of the boot module (trace.h), and prints a line for each:
 *
 *     trace ID HASH LETTERS
 *
 * HASH is of everything that could be seen: results, counts, entries as they read afterwards, contents and types of
 * all frames in the end. LETTERS has a letter for each call (trace_letter(); `-` for what was not made) and after
 * that of a batch how many of its requests were done. What the lines mean is for tests/diff to say, which has those of
 * the model too.
 *
 * It is no test of the kernel's, and does nothing without a module; so it runs only by its name.
 */
#include "trace.h"
#include <pinion/lib/string.h>

/* For each record of a trace two at most, and the end. */
static char letters[2 * TRACE_RECORDS + 1];
static unsigned int nr_letters;

static void letter(char c)
{
	if (nr_letters < sizeof(letters) - 1)
		letters[nr_letters++] = c;
}

static void note_call(const struct trace_call *call)
{
	static const char digits[] = "0123456789abcdefg-";

	letter(trace_letter(call->rc));
	if ((call->op->kind == TRACE_UPDATE || call->op->kind == TRACE_EXT) && call->op->count > 1)
		letter(digits[call->done <= TRACE_BATCH ? call->done : TRACE_BATCH + 1]);
}

static uint64_t replay_store(uint64_t hash, const struct trace_op *op, bool verbose)
{
	struct trace_call call = { .op = op };
	bool stored = trace_store(op);

	call.rc = stored ? 0 : -EPERM;
	if (verbose)
		trace_print_call(&call, false);
	return trace_mix(hash, stored);
}

static uint64_t replay_call(uint64_t hash, const struct trace_op *op, bool verbose)
{
	const struct trace_call *calls;
	unsigned int i, n;

	if (!trace_allowed(op)) {
		letter('-');
		return trace_mix(hash, 0);
	}
	if (op->kind == TRACE_MEMORY)
		trace_own_refresh();
	n = trace_run(op, &calls);
	for (i = 0; i < n; i++) {
		note_call(&calls[i]);
		trace_follow(&calls[i]);
	}
	for (i = 0; i < n; i++) {
		hash = trace_observe(hash, &calls[i]);
		if (verbose)
			trace_print_call(&calls[i], i > 0);
	}
	return hash;
}

static bool replay(const struct trace_head *head)
{
	const struct trace_op *op = (const struct trace_op *)(head + 1), *end = op + head->records;
	bool verbose = head->flags & TRACE_VERBOSE;
	unsigned int lost, doubtful;
	uint64_t hash = 0;

	nr_letters = 0;
	if (verbose)
		print("trace %u is:\n", head->id);
	for (; op < end; op += trace_records(op, TRACE_RECORDS)) {
		if (op->kind == TRACE_STORE)
			hash = replay_store(hash, op, verbose);
		else
			hash = replay_call(hash, op, verbose);
		if (verbose)
			print("    %016lx\n", hash);
	}
	hash = trace_probe(hash, verbose);
	lost = trace_clean(&doubtful);
	letters[nr_letters] = '\0';
	print("trace %u %016lx %s\n", head->id, hash, letters);
	if (lost)
		print("trace %u has lost %#x\n", head->id, lost);
	if (doubtful)
		print("trace %u may lose %#x\n", head->id, doubtful);
	return !test_failed();
}

static void replay_all(void)
{
	const struct trace_header *module = boot_va(boot_info()->module.start);
	const struct trace_head *head;
	const char *wrong;
	unsigned int doubtful;
	uint64_t at;
	uint32_t n;

	if (!boot_info()->module.nr) {
		test_error("there is no boot module");
		return;
	}
	wrong = trace_check(module, boot_info()->module_bytes, &at);
	if (wrong) {
		test_error("record %lu of the module: %s", at, wrong);
		return;
	}
	if (!trace_names_find())
		return;
	trace_memory_keep_map();
	trace_clean(&doubtful);
	head = (const struct trace_head *)(module + 1);
	for (n = 0; n < module->traces; n++) {
		if (!replay(head))
			return;
		head = (const struct trace_head *)((const struct trace_op *)(head + 1) +
						   head->records);
	}
	print("traces end: %u\n", n);
}

TEST(trace, trace_replay, "hypercalls over abstract frames have the outcome that the model says",
     .phase = TEST_EARLY, .manual = true)
{
	raw_run(replay_all);
}
