/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * confine FILE [PROGRAM ARGUMENT...] : runs a program that reads a stranger's file, in the sandbox
 * of a machine's process (hosts/linux/sandbox.h): it can open FILE (or nothing, if that is -) and
 * what it is made of, write to what is open already, and nothing else: no socket, no other process,
 * no file by its name. Without a program it says which of this the host lacks, if it does.
 *
 * `lodge image import` runs its readers of file systems so (tools/disk.sh). Status 125 if it can't.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosts/linux/sandbox.h"

#define CANT 125

/* Where systems have their programs and libraries; and the program, should it be elsewhere. */
#define PLACES "/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"

/* Where a program is: execvp(3) would look, with calls that are forbidden by then. */
static const char *program_find(const char *name, char *path, size_t size)
{
	const char *folders = getenv("PATH");

	for (const char *at = strchr(name, '/') ? NULL : folders; at;) {
		const char *end = strchrnul(at, ':');

		snprintf(path, size, "%.*s/%s", (int)(end - at), at, name);
		if (access(path, X_OK) == 0)
			return path;
		at = *end ? end + 1 : NULL;
	}
	return name;
}

/* Files are kept from it by either of two. */
static void lacks_say(struct sandbox_state *state)
{
	struct sandbox_part *parts = state->parts;
	char text[SANDBOX_TEXT];

	if (parts[SANDBOX_CALLS].in_force &&
	    (parts[SANDBOX_FILES].in_force || parts[SANDBOX_MOUNTS].in_force))
		return;
	sandbox_describe(state, text, sizeof(text));
	puts(text);
}

int main(int argc, char **argv)
{
	static char path[PATH_MAX], file[PATH_MAX], text[SANDBOX_TEXT];
	const char *readable[] = {file, NULL}, *places[] = {PLACES, NULL, NULL};
	struct sandbox_options options = {
		.readable = readable, .programs = places, .network = "it gets no sockets"};
	struct sandbox_state state;
	const char *program;

	if (argc < 2) {
		fprintf(stderr, "usage: confine FILE|- [PROGRAM ARGUMENT...]\n");
		return CANT;
	}
	if (strcmp(argv[1], "-") == 0) {
		options.readable = NULL;
	} else if (!realpath(argv[1], file)) {
		fprintf(stderr, "confine: %s: %s\n", argv[1], strerror(errno));
		return CANT;
	}
	program = argc > 2 ? program_find(argv[2], path, sizeof(path)) : NULL;
	if (program && *program == '/' && strncmp(program, "/usr/", 5) != 0 &&
	    strncmp(program, "/bin/", 5) != 0)
		places[sizeof(places) / sizeof(places[0]) - 2] = program;
	if (sandbox_enter(&options, &state, text, sizeof(text))) {
		fprintf(stderr, "confine: %s\n", text);
		return CANT;
	}
	if (!program) {
		lacks_say(&state);
		return 0;
	}
	execve(program, argv + 2, environ);
	fprintf(stderr, "confine: %s: %s\n", program, strerror(errno));
	return CANT;
}
