/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `lodge cp`: tar on both sides, which knows links, modes and holes; the stream of a command in the
 * guest joins them. As cp does: what goes to a folder that is there goes into it, under its own
 * name; otherwise the last name is the new one. A file is written beside its place and renamed, so
 * it is there whole or not at all.
 *
 * What comes out of a machine is the guest's to choose. It is unpacked in a folder of its own, with
 * no owners and no special modes; tar keeps names that lead out of it, and links, from doing so.
 * But tar follows links that are there before it begins, and in the place where a copy is to go
 * they may be the guest's from an earlier copy: what was unpacked is moved there without tar
 * (unpacked.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manage/agent_verbs.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/safe_file.h"
#include "manage/unpacked.h"

extern char **environ;

/* $1: where to, $2: the name here, $3: the name in the archive, none for a folder. */
static const char script_in[] =
	"t=${1:-.}\n"
	"if [ -d \"$t\" ]; then t=${t%/}/$2\n"
	"else case $t in */) echo \"lodge: the guest has no folder $t\" >&2; exit 1;; esac; fi\n"
	"if [ -z \"$3\" ]; then\n"
	"	[ -d \"$t\" ] || mkdir -- \"$t\" || exit 1\n"
	"	exec tar --no-same-owner -xpf - -C \"$t\"\n"
	"fi\n"
	"d=$(dirname -- \"$t\") && d=$(mktemp -d -- \"${d%/}/.lodge-XXXXXX\") || exit 1\n"
	"trap 'rm -rf -- \"$d\"' EXIT\n"
	"tar --no-same-owner -xpf - -C \"$d\" && mv -fT -- \"$d/$3\" \"$t\"\n";

/* Says what $1 is, by its status. */
enum { IS_TREE = 100, IS_FILE = 101, IS_NOTHING = 102 };
static const char script_look[] = "[ -d \"$1\" ] && exit 100\n"
				  "[ -e \"$1\" ] && exit 101\n"
				  "exit 102\n";
static const char script_out_tree[] = "exec tar -cSf - -C \"$1\" .\n";
static const char script_out_file[] =
	"d=$(dirname -- \"$1\") && exec tar -chSf - -C \"$d\" -- \"$2\"\n";

static int run_script(const struct agent_copy *copy, const char *script, const char *first,
		      const char *second, const char *third, int in, int out)
{
	const char *arguments[] = {"sh", "-c", script, "sh", first, second, third, NULL};
	const struct agent_command command = {.name = copy->machine->name,
					      .arguments = (char *const *)arguments,
					      .user = copy->options->user,
					      .terminal = AGENT_TERMINAL_NO,
					      .in = in,
					      .out = out,
					      .err = STDERR_FILENO,
					      .plain = true,
					      .timeout = copy->options->timeout};
	int status, stream = agent_connect(copy->machine, copy->options->timeout, &status);

	return stream < 0 ? status : agent_run(stream, &command);
}

/* Starts tar with one of its ends at ours: *file. What the program's own start has changed of
 * signals is as usual there. */
static pid_t tar_start(char *const *arguments, bool makes, int *file)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, usual;
	int ends[2], error;
	pid_t tar;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, ends[makes ? 1 : 0], makes ? 1 : 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &usual);
	error = posix_spawnp(&tar, "tar", &files, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	close(ends[makes ? 1 : 0]);
	*file = ends[makes ? 0 : 1];
	if (error)
		close(*file);
	return error ? -error : tar;
}

/* Its status counts if the guest's side went well. */
static int tar_wait(pid_t tar, int status)
{
	int how = 0;

	while (waitpid(tar, &how, 0) < 0 && errno == EINTR)
		continue;
	if (status)
		return status;
	return WIFEXITED(how) && WEXITSTATUS(how) == 0
		       ? LODGE_OK
		       : complain_with(LODGE_HOST_LACKS, "cp: tar failed: see above");
}

static int no_tar(pid_t error)
{
	return complain_with(LODGE_HOST_LACKS, "cp: can't start tar: %s", strerror(-error));
}

/* The last name of a path, without slashes behind it; to be freed. */
static char *last_name(const char *path)
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/';)
		start--;
	return end == start ? NULL : strndup(path + start, end - start);
}

/* Into the machine */

static int copy_in(const struct agent_copy *copy)
{
	char *real = realpath(copy->from, NULL), *slash, *shown;
	char *arguments[] = {"tar", "-cSf", "-", "-C", NULL, "--", NULL, NULL};
	char root[] = "/", here[] = ".";
	struct stat stat_buffer;
	bool tree;
	int in, status;
	pid_t tar;

	if (!real || stat(real, &stat_buffer)) {
		free(real);
		return complain_with(LODGE_BAD_INPUT, "cp: %s: %s", copy->from, strerror(errno));
	}
	tree = S_ISDIR(stat_buffer.st_mode);
	/* Under the name that it was given by, wherever a link leads. */
	shown = last_name(copy->from);
	if (!shown || !strcmp(shown, ".") || !strcmp(shown, "..")) {
		free(shown);
		shown = last_name(real);
	}
	slash = strrchr(real, '/');
	arguments[4] = !tree && slash == real ? root : real;
	arguments[6] = tree ? here : slash + 1;
	if (!tree && slash != real)
		*slash = '\0';
	tar = shown ? tar_start(arguments, true, &in) : -EINVAL;
	if (tar < 0) {
		status = no_tar(tar);
	} else {
		status = run_script(copy, script_in, copy->to, shown, tree ? "" : slash + 1, in,
				    STDERR_FILENO);
		close(in);
		status = tar_wait(tar, status);
	}
	free(shown);
	free(real);
	return status;
}

/* Out of it */

/* A folder beside the place where it is to be; `inside`: in it. To be freed. */
static char *temporary(const char *target, bool inside)
{
	const char *slash = strrchr(target, '/');
	int length = inside ? (int)strlen(target) : slash ? (int)(slash - target) + 1 : 0;
	char *folder;

	if (asprintf(&folder, "%.*s%s.lodge-XXXXXX", length, target, inside ? "/" : "") < 0)
		return NULL;
	if (mkdtemp(folder))
		return folder;
	complain("cp: %s: %s", folder, strerror(errno));
	free(folder);
	return NULL;
}

/* With whatever the guest has put there. */
static void temporary_end(char *folder)
{
	int error = safe_folder_remove(folder);

	if (error)
		complain("cp: %s: it is left there: %s", folder, strerror(-error));
	free(folder);
}

/* Unpacks what the guest's script writes into `folder`. */
static int unpack(const struct agent_copy *copy, bool tree, char *name, char *folder)
{
	char *arguments[] = {
		"tar", "--no-same-owner", "--no-same-permissions", "-xf", "-", "-C", folder, NULL};
	int out, status;
	pid_t tar = tar_start(arguments, false, &out);

	if (tar < 0)
		return no_tar(tar);
	status = run_script(copy, tree ? script_out_tree : script_out_file, copy->from, name, NULL,
			    -1, out);
	close(out);
	return tar_wait(tar, status);
}

static int file_out(const struct agent_copy *copy, char *name, const char *target)
{
	char *folder = temporary(target, false), *inside = NULL;
	struct stat stat_buffer;
	int status;

	if (!folder)
		return LODGE_HOST_LACKS;
	status = unpack(copy, false, name, folder);
	if (asprintf(&inside, "%s/%s", folder, name) < 0)
		inside = NULL;
	/* It may be anything that tar can make. */
	if (!status && (!inside || lstat(inside, &stat_buffer) || !S_ISREG(stat_buffer.st_mode)))
		status = complain_with(LODGE_BAD_INPUT, "cp: %s:%s: the guest sent no file",
				       copy->machine->name, copy->from);
	else if (!status && rename(inside, target))
		status = complain_with(LODGE_HOST_LACKS, "cp: %s: %s", target, strerror(errno));
	free(inside);
	temporary_end(folder);
	return status;
}

/* What was unpacked goes into the target, which gets mode and time of the guest's if it is new. */
static int put_tree(char *folder, const char *target, bool made)
{
	char name[NAME_MAX + 1] = ".";
	struct stat was;
	int error;

	/* As tar has left it, it may be one that can't be looked into. */
	if (stat(folder, &was) || chmod(folder, 0700))
		error = -errno;
	else
		error = unpacked_move(folder, target, name, sizeof(name));
	if (!error && made) {
		const struct timespec times[2] = {was.st_atim, was.st_mtim};

		temporary_end(folder);
		if (chmod(target, was.st_mode & 0777) || utimensat(AT_FDCWD, target, times, 0))
			return complain_with(LODGE_HOST_LACKS, "cp: %s: %s", target,
					     strerror(errno));
		return LODGE_OK;
	}
	temporary_end(folder);
	if (error == -EPERM)
		return complain_with(LODGE_BAD_INPUT, "cp: %s: %s in it is a device: not taken",
				     target, name);
	return error ? complain_with(LODGE_HOST_LACKS, "cp: %s: %s in it: %s", target, name,
				     strerror(-error))
		     : LODGE_OK;
}

static int tree_out(const struct agent_copy *copy, char *target)
{
	bool made = !mkdir(target, 0700);
	struct stat stat_buffer;
	char *folder;
	int status;

	if (!made && errno != EEXIST)
		return complain_with(LODGE_HOST_LACKS, "cp: %s: %s", target, strerror(errno));
	if (lstat(target, &stat_buffer) || !S_ISDIR(stat_buffer.st_mode))
		return complain_with(LODGE_HOST_LACKS, "cp: %s: is no folder", target);
	folder = temporary(target, true);
	if (!folder)
		return LODGE_HOST_LACKS;
	status = unpack(copy, true, NULL, folder);
	if (!status)
		return put_tree(folder, target, made);
	temporary_end(folder);
	return status;
}

static int copy_out(const struct agent_copy *copy)
{
	int kind = run_script(copy, script_look, copy->from, NULL, NULL, -1, STDERR_FILENO);
	char *name = last_name(copy->from), *target = NULL;
	struct stat stat_buffer;
	int status;

	if (name && !strcmp(name, "..")) {
		free(name);
		name = NULL;
	}
	if (kind == IS_NOTHING)
		status = complain_with(LODGE_BAD_INPUT, "cp: %s:%s: there is no such file",
				       copy->machine->name, copy->from);
	else if (kind != IS_TREE && kind != IS_FILE)
		status = kind ? kind : LODGE_NO_STATUS;
	else if (!name)
		status = complain_with(LODGE_BAD_OPTION, "cp: %s:%s: say which file or folder",
				       copy->machine->name, copy->from);
	else
		status = LODGE_OK;
	if (!status && stat(copy->to, &stat_buffer) == 0 && S_ISDIR(stat_buffer.st_mode)) {
		if (asprintf(&target, "%s/%s", copy->to, name) < 0)
			target = NULL;
	} else {
		target = strdup(copy->to);
	}
	if (!status && !target)
		status = complain_with(LODGE_HOST_LACKS, "no memory");
	if (!status)
		status = kind == IS_TREE ? tree_out(copy, target) : file_out(copy, name, target);
	free(target);
	free(name);
	return status;
}

int agent_copy(const struct agent_copy *copy)
{
	return copy->out ? copy_out(copy) : copy_in(copy);
}
