/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target without a fuzzer: runs files through it, one after the other.
 *
 *     fuzz_NAME              all of tests/fuzz/corpus/NAME, in the order of names
 *     fuzz_NAME FILE...      these
 *
 * Speaks TAP: one test, of so many inputs, for an input is no test by itself. An input that fails ends the program, whose
 * last words name it; then the test that was planned has no result, and that is a failure.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sanitizer/common_interface_defs.h>
#include "fuzz.h"

#define CORPUS "tests/fuzz/corpus/"
#define PREFIX "fuzz_"

/* libFuzzer's own default limit is a MiB; ours are far below. */
#define INPUT_MAX (1 << 16)

static void say_input(void)
{
	if (fuzz_input)
		(void)fprintf(stderr, "fuzz: input %s\n", fuzz_input);
}

static void run(const char *path)
{
	uint8_t *data = malloc(INPUT_MAX), *exact;
	FILE *file = fopen(path, "rb");
	size_t size;

	fuzz_check(data && file, "%s can't be read", path);
	size = fread(data, 1, INPUT_MAX, file);
	fuzz_check(!ferror(file) && size < INPUT_MAX, "%s can't be read, or is too long", path);
	(void)fclose(file);
	/* A copy without a byte of room behind it, so that a read beyond the end is seen. */
	exact = malloc(size ? size : 1);
	fuzz_check(exact, "no memory");
	memcpy(exact, data, size);
	free(data);
	fuzz_input = path;
	(void)LLVMFuzzerTestOneInput(exact, size);
	fuzz_input = NULL;
	free(exact);
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int run_corpus(const char *name)
{
	struct dirent **entries;
	char path[512];
	int nr;

	snprintf(path, sizeof(path), CORPUS "%s", name);
	nr = scandir(path, &entries, is_file, alphasort);
	fuzz_check(nr > 0, "%s is missing or empty", path);
	for (int i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), CORPUS "%s/%s", name, entries[i]->d_name);
		run(path);
		free(entries[i]);
	}
	free(entries);
	return nr;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	int nr = argc - 1;

	fuzz_check(strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0, "'%s' is no " PREFIX "NAME",
		   name);
	name += sizeof(PREFIX) - 1;
	__sanitizer_set_death_callback(say_input);
	printf("1..1\n");
	(void)fflush(stdout);
	fuzz_verbose = argc > 1;
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	if (nr == 0)
		nr = run_corpus(name);
	printf("ok 1 - %s: %d inputs\n", name, nr);
	return 0;
}
