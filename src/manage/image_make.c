/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The work is that of other programs (mmdebstrap, mke2fs, debugfs, grub-fstest, cpio), which a
 * shell script joins (tools/build-image, tools/import-image). Here are what it is to make, where,
 * what it says meanwhile, and that nothing half made is left, whatever ends us.
 */
#include "manage/image_make.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <poll.h>
#include <unistd.h>

#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/store.h"

#define GRACE 20000 /* milliseconds that a script has to clean up */

extern char **environ;

static void program_path(char *path, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", path, size - 1);

	path[length < 0 ? 0 : length] = '\0';
}

/* A helper file: beside the installed program, in ../lib/lodge; beside the one that was just built,
 * or in the tree's tools. */
static bool helper_find(char *path, size_t size, const char *name)
{
	static const char *const places[] = {"../lib/lodge", ".", "../tools"};
	char program[PATH_MAX - 64], *slash;

	program_path(program, sizeof(program));
	slash = strrchr(program, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, size, "%s/%s/%s", program, places[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* In a group of its own, so that an end can be told to all of its programs. */
static pid_t script_start(char *const *arguments, int *output)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, usual;
	int ends[2], error;
	pid_t script;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	sigaddset(&usual, SIGXFSZ); /* what gets larger than the script allows ends */
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &usual);
	posix_spawnattr_setpgroup(&attributes, 0);
	error = posix_spawnp(&script, "bash", &files, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	close(ends[1]);
	*output = ends[0];
	if (error)
		close(ends[0]);
	return error ? -error : script;
}

static int end_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Shows the script's steps until it closes its output. Returns the signal that ended us meanwhile,
 * or 0. */
static int steps_show(const char *what, pid_t script, int output)
{
	struct signalfd_siginfo info;
	int signals = end_signals(), got_signal = 0;
	FILE *lines = fdopen(output, "r");
	char *line = NULL;
	size_t size = 0;

	for (;;) {
		struct pollfd files[] = {{.fd = output, .events = POLLIN},
					 {.fd = got_signal ? -1 : signals, .events = POLLIN}};

		if (poll(files, 2, got_signal ? GRACE : -1) == 0)
			break;
		if (files[1].revents && read(signals, &info, sizeof(info)) == sizeof(info)) {
			got_signal = (int)info.ssi_signo;
			kill(-script, SIGTERM);
		}
		if (!files[0].revents)
			continue;
		/* Lines come whole, from echo. */
		if (!lines || getline(&line, &size, lines) < 0)
			break;
		line[strcspn(line, "\n")] = '\0';
		if (!got_signal)
			fprintf(stderr, "lodge: %s: %s\n", what, line);
	}
	free(line);
	if (lines)
		fclose(lines);
	close(signals);
	return got_signal;
}

static int script_run(const char *what, char *const *arguments)
{
	int output = -1, how = 0, ended_by;
	pid_t script = script_start(arguments, &output);

	if (script < 0)
		return complain_with(LODGE_HOST_LACKS, "%s: can't start bash: %s", what,
				     strerror(-script));
	ended_by = steps_show(what, script, output);
	if (ended_by)
		kill(-script, SIGTERM);
	while (waitpid(script, &how, 0) < 0 && errno == EINTR)
		continue;
	if (ended_by)
		return LODGE_SIGNAL + ended_by;
	if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
		return LODGE_OK;
	return complain_with(LODGE_HOST_LACKS, "%s: it couldn't be made: the reason is above",
			     what);
}

/* What was made: the checksum of the disk, as SHA256SUMS has it. */
static void show_sum(const struct store *store, const char *name)
{
	char path[STORE_PATH + 128], line[512];
	FILE *sums;

	snprintf(path, sizeof(path), "%s/%s/SHA256SUMS", store->images, name);
	sums = fopen(path, "re");
	while (sums && fgets(line, sizeof(line), sums)) {
		char *file = strchr(line, ' ');

		if (file && !strncmp(file, "  root.", 7)) {
			*file = '\0';
			printf("%s sha256:%s\n", name, line);
		}
	}
	if (sums)
		fclose(sums);
}

/* Runs script FIRST FOLDER INIT SECOND, and gives what it made its name. */
static int make(struct image_options *options, const char *script_name, const char *first,
		const char *second, const char *name)
{
	char script[PATH_MAX], init[PATH_MAX], program[PATH_MAX], path[STORE_PATH + 128];
	char reason[STORE_PATH + 512];
	struct store store;
	struct store_new new;
	int status;

	if (!store_image_name_check(name, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "%s", reason);
	if (!helper_find(script, sizeof(script), script_name) ||
	    !helper_find(init, sizeof(init), "init"))
		return complain_with(LODGE_HOST_LACKS,
				     "%s and init are missing in ../lib/lodge beside the program: "
				     "was it installed by make install?",
				     script_name);
	if (store_open(&store, reason, sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "%s", reason);
	/* Before minutes are spent on it. */
	snprintf(path, sizeof(path), "%s/%s", store.images, name);
	if (!access(path, F_OK))
		return complain_with(LODGE_EXISTS,
				     "there is an image %s already: take another name (--name), or "
				     "remove it",
				     name);
	if (store_new_begin(store.images, &new, reason, sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "%s", reason);
	/* The script asks the same program for what it needs. */
	program_path(program, sizeof(program));
	setenv("LODGE", program, 1);
	status = script_run(name, (char *[]){"bash", script, (char *)first, new.folder, init,
					     (char *)second, NULL});
	if (status) {
		store_new_abandon(&new);
		return status;
	}
	status = store_new_finish(store.images, &new, name, reason, sizeof(reason));
	if (status)
		return complain_with(status == -EEXIST ? LODGE_EXISTS : LODGE_HOST_LACKS, "%s",
				     reason);
	show_sum(&store, name);
	return LODGE_OK;
}

int image_build(struct image_options *options)
{
	static const char *const recipes[] = {"debian:12", "debian:13", NULL};
	const char *recipe = options->words[0], *nearest = word_nearest(recipe, recipes);
	uint64_t size;

	for (unsigned i = 0; recipes[i]; i++) {
		if (strcmp(recipe, recipes[i]) != 0)
			continue;
		if (options->size && (!word_size(options->size, &size) || size < 1u << 30))
			return complain_with(LODGE_BAD_OPTION,
					     "--size %s: must be a size of 1G or more: 8G, say",
					     options->size);
		return make(options, "build-image", strchr(recipe, ':') + 1, options->size,
			    options->name ? options->name : recipe);
	}
	if (nearest)
		return complain_with(LODGE_BAD_OPTION,
				     "image build %s: there is no recipe for it: did you mean %s?",
				     recipe, nearest);
	return complain_with(LODGE_BAD_OPTION,
			     "image build %s: there is no recipe for it: debian:12 or debian:13",
			     recipe);
}

static bool ending_cut(char *name, const char *ending)
{
	char *dot = strrchr(name, '.');

	if (!dot || dot == name || (ending && strcmp(dot, ending) != 0))
		return false;
	*dot = '\0';
	return true;
}

/* The last part of a path or address, without its ending; .tar.xz and .qcow2.gz count as one. */
static void name_of(const char *source, char *name, size_t size)
{
	const char *slash = strrchr(source, '/');

	snprintf(name, size, "%.63s", slash ? slash + 1 : source);
	if (!ending_cut(name, ".xz") && !ending_cut(name, ".gz"))
		ending_cut(name, ".zst");
	ending_cut(name, NULL);
}

int image_import(struct image_options *options)
{
	char name[64];

	name_of(options->words[0], name, sizeof(name));
	return make(options, "import-image", options->words[0], NULL,
		    options->name ? options->name : name);
}
