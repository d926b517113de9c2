/* SPDX-License-Identifier: MIT */
/*
 * What a program with the model in it has to say at its end, one line into the file that MODEL_ERRNOS names: each error that a call can
 * give, and how often the model gave it. An entry of the table that no program has ever seen is none of Xen's, or untested
 * (tests/host/errnos.py).
 *
 *     1.0.22=5 1.0.12=0* ...      hypercall, command, error; * what the model does not play
 */
#include <stdio.h>
#include <stdlib.h>
#include "../model/errnos.h"

static FILE *out;

static void say(const struct model_errnos *row, int error, unsigned long times)
{
	fprintf(out, "%u.", row->call);
	if (row->command == MODEL_ANY_COMMAND)
		fprintf(out, "any");
	else if (row->command == MODEL_THE_CALL)
		fprintf(out, "itself");
	else
		fprintf(out, "%u", row->command);
	fprintf(out, ".%d=%lu%s ", error, times, error == row->unplayed ? "*" : "");
}

static __attribute__((destructor)) void say_all(void)
{
	const char *path = getenv("MODEL_ERRNOS");

	out = path ? fopen(path, "a") : NULL;
	if (!out)
		return;
	model_errnos_given(say);
	fputc('\n', out);
	fclose(out);
}
