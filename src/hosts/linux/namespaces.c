/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user name space comes first, for it brings the right to make the others. A mount name space
 * is a copy of the host's mounts, in which a new root takes the place of the old: a tmpfs, written
 * to by nobody, with the shared folders, the files that are read later, and /proc/self/fd of this
 * process, each a mount of its own. Everything is built beside the old root by descriptors, so
 * until pivot_root(2) nothing has happened that matters, and after it little can fail.
 *
 * A descriptor of a folder leads back to the mounts that it was opened in (openat, ".."). So those
 * of shared folders and of /proc/self/fd are exchanged for such of the new mounts; with any other
 * one open there is no new root.
 */
#include "hosts/linux/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/format.h"

/* linux/mount.h, which older C libraries' sys/mount.h can't be included with. */
struct mount_change {
	uint64_t set, clear, propagation, user_space;
};
#define CHANGE_READ_ONLY UINT64_C(1)
#define CHANGE_SAFE	 UINT64_C(0xe) /* nosuid, nodev, noexec */
#define CHANGE_PROGRAMS	 UINT64_C(0x7) /* read-only, nosuid, nodev */
#define TREE_CLONE	 1u
#define TREE_RECURSIVE	 0x8000u /* AT_RECURSIVE */
#define MOVE_FROM_FD	 4u	 /* MOVE_MOUNT_F_EMPTY_PATH */

/* Where the new root is put together: a folder that systems have, and in which nothing is that goes
 * into it, for that is hidden meanwhile. */
#define BASE	    "/sys"
#define DESCRIPTORS "proc/self/fd"

#define FOLDERS_MAX 64 /* descriptors of folders that are open */

/* What this process has already; a fork's child has it too. */
static bool has_users, has_pids;
static char pids_why[SANDBOX_WHY] = "only a process that lodge start makes has one";
static pid_t outer_pid;

static void refused(struct sandbox_part *part, const char *what, int error)
{
	format(part->why, sizeof(part->why), "%s: %s", what, strerror(error));
}

static bool put(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	bool done = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);

	if (file >= 0)
		close(file);
	return done;
}

/* Each of user and group alone, as itself: files keep their owner, and no other user can be had.
 * 0 or an errno. */
static int enter_users(int further)
{
	const unsigned user = geteuid(), group = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | further))
		return errno;
	has_users = true;
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", group, group);
	if (!put("/proc/self/gid_map", map))
		return errno;
	snprintf(map, sizeof(map), "%u %u 1", user, user);
	return put("/proc/self/uid_map", map) ? 0 : errno;
}

pid_t namespaces_pid(void)
{
	char text[16] = "";

	if (!outer_pid && readlink("/proc/self", text, sizeof(text) - 1) > 0)
		outer_pid = atoi(text);
	return outer_pid ? outer_pid : getpid();
}

pid_t namespaces_fork(void)
{
	/* Root without a user name space: its right to open any file is needed until the sandbox.
	 */
	int error = unshare(CLONE_NEWPID) ? errno : 0;
	pid_t child;

	if (error == EPERM)
		error = enter_users(CLONE_NEWPID);
	if (error)
		format(pids_why, sizeof(pids_why), "this host refuses: %s", strerror(error));
	has_pids = !error;
	child = fork();
	if (child == 0)
		outer_pid = 0;
	return child;
}

/* The new root */

struct root {
	int tree;				/* the tmpfs */
	int from[FOLDERS_MAX], to[FOLDERS_MAX]; /* descriptors to be exchanged: old, new */
	unsigned count;
};

/* A copy of the mount at this folder or file, and of those below it; or -1 with errno. */
static int clone_tree(int from, const char *path)
{
	return (int)syscall(SYS_open_tree, from, path, TREE_CLONE | TREE_RECURSIVE | O_CLOEXEC);
}

static int change(int from, const char *path, uint64_t set, unsigned flags)
{
	struct mount_change attributes = {.set = set};

	return (int)syscall(SYS_mount_setattr, from, path, flags, &attributes, sizeof(attributes));
}

/* The folders that a name in the new root is in; 0 or an errno. */
static int make_parents(const struct root *root, const char *name)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - name), name);
		if (mkdirat(root->tree, part, 0700) && errno != EEXIST)
			return errno;
	}
	return 0;
}

/* Puts what is at `path` into the new root as `name`, which is made; 0 or an errno. */
static int take(const struct root *root, const char *path, const char *name, bool folder,
		uint64_t attributes)
{
	int tree = clone_tree(AT_FDCWD, path), file = -1, error = 0;

	if (tree < 0)
		return errno;
	error = make_parents(root, name);
	if (!error &&
	    (folder ? mkdirat(root->tree, name, 0700)
		    : (file = openat(root->tree, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0400)) < 0))
		error = errno;
	if (!error && change(tree, "", attributes, AT_EMPTY_PATH | TREE_RECURSIVE))
		error = errno;
	if (!error && syscall(SYS_move_mount, tree, "", root->tree, name, MOVE_FROM_FD))
		error = errno;
	if (file >= 0)
		close(file);
	close(tree);
	return error;
}

/* What programs are run from: folders, files, and links, as /lib may be one. */
static int take_program(const struct root *root, const char *path)
{
	char target[PATH_MAX];
	struct stat status;
	ssize_t length;

	if (lstat(path, &status))
		return 0;
	if (!S_ISLNK(status.st_mode))
		return take(root, path, path + 1, S_ISDIR(status.st_mode), CHANGE_PROGRAMS);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return errno;
	target[length] = 0;
	return symlinkat(target, root->tree, path + 1) ? errno : 0;
}

/* The descriptor `from` is to become one of `name` in the new root. */
static int exchange_later(struct root *root, int from, const char *name)
{
	int to;

	if (root->count == FOLDERS_MAX)
		return EMFILE;
	to = openat(root->tree, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return errno;
	root->from[root->count] = from;
	root->to[root->count++] = to;
	return 0;
}

static bool same(int a, int b)
{
	struct stat first, second;

	return !fstat(a, &first) && !fstat(b, &second) && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

static int take_folder(struct root *root, const struct sandbox_folder *folder, unsigned index)
{
	char link[32], path[PATH_MAX], name[16];
	ssize_t length;
	int error;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", folder->descriptor);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return errno;
	path[length] = 0;
	snprintf(name, sizeof(name), "share%u", index);
	error = take(root, path, name, true, CHANGE_SAFE | (folder->writes ? 0 : CHANGE_READ_ONLY));
	if (!error)
		error = exchange_later(root, folder->descriptor, name);
	/* Renamed, or hidden by a mount, since it was opened. */
	if (!error && !same(root->from[root->count - 1], root->to[root->count - 1]))
		error = ESTALE;
	return error;
}

static bool is_exchanged(const struct root *root, int descriptor)
{
	for (unsigned i = 0; i < root->count; i++)
		if (root->from[i] == descriptor || root->to[i] == descriptor)
			return true;
	return descriptor == root->tree;
}

/* Looks for descriptors of folders; what is none of ours is told in `left`. 0 or an errno. */
static int look_at_descriptors(struct root *root, int *left)
{
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;
	struct stat status;
	int error = 0;

	if (!list)
		return errno;
	while (!error && (entry = readdir(list))) {
		int descriptor = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || descriptor == dirfd(list) ||
		    is_exchanged(root, descriptor) || fstat(descriptor, &status) ||
		    !S_ISDIR(status.st_mode))
			continue;
		if (same(descriptor, dirfd(list))) {
			error = exchange_later(root, descriptor, DESCRIPTORS);
		} else {
			*left = descriptor;
			error = EBUSY;
		}
	}
	closedir(list);
	return error;
}

/* All that goes into it, from the old root, of which BASE is still seen. 0 or an errno; `left` is
 * a descriptor that stands in the way, or -1. */
static int fill(struct root *root, const struct sandbox_options *options, int *left)
{
	char target[PATH_MAX];
	int error = 0;

	error = take(root, "/proc/self/fd", DESCRIPTORS, true, CHANGE_SAFE | CHANGE_READ_ONLY);
	for (unsigned i = 0; !error && i < options->folder_count; i++)
		error = take_folder(root, &options->folders[i], i);
	for (unsigned i = 0; !error && options->readable && options->readable[i]; i++)
		/* What isn't there won't be read. */
		if (realpath(options->readable[i], target))
			error = take(root, target, options->readable[i] + 1, false,
				     CHANGE_SAFE | CHANGE_READ_ONLY);
	for (unsigned i = 0; !error && options->programs && options->programs[i]; i++)
		error = take_program(root, options->programs[i]);
	return error ? error : look_at_descriptors(root, left);
}

static int change_root(const struct root *root)
{
	/* The old root ends on top of the new one, and is taken off it. */
	if (fchdir(root->tree) || syscall(SYS_pivot_root, ".", "."))
		return errno;
	return 0;
}

/* What is left to do in the new root, without a way back. */
static int settle(const struct root *root)
{
	if (umount2(".", MNT_DETACH) || chdir("/"))
		return -errno;
	for (unsigned i = 0; i < root->count; i++)
		if (dup3(root->to[i], root->from[i], O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

static void forget(const struct root *root)
{
	for (unsigned i = 0; i < root->count; i++)
		close(root->to[i]);
	if (root->tree >= 0)
		close(root->tree);
}

static int enter_mounts(const struct sandbox_options *options, struct sandbox_part *part)
{
	struct root root = {.tree = -1};
	const char *what = "this host refuses one";
	int error = 0, left = -1;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		refused(part, what, errno);
		return 0;
	}
	what = "no tmpfs can be mounted at " BASE;
	if (mount("lodge", BASE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700,size=64k"))
		error = errno;
	if (!error) {
		what = "the new root can't be filled";
		root.tree = open(BASE, O_PATH | O_DIRECTORY | O_CLOEXEC);
		error = root.tree < 0 ? errno : fill(&root, options, &left);
	}
	if (!error && change(root.tree, "", CHANGE_READ_ONLY, AT_EMPTY_PATH))
		error = errno;
	if (!error) {
		what = "the new root can't be taken";
		error = change_root(&root);
	}
	if (left >= 0)
		format(part->why, sizeof(part->why), "descriptor %d is a folder outside of it",
		       left);
	else if (error)
		refused(part, what, error);
	else
		error = settle(&root);
	forget(&root);
	part->in_force = !error;
	return error < 0 ? error : 0;
}

int namespaces_enter(const struct sandbox_options *options, struct sandbox_state *state)
{
	struct sandbox_part *parts = state->parts;
	int error = has_users ? 0 : enter_users(0);

	namespaces_pid(); /* while there is a /proc to ask */
	if (error == EINVAL)
		format(parts[SANDBOX_USERS].why, SANDBOX_WHY, "the process has threads already");
	else if (error)
		refused(&parts[SANDBOX_USERS], "this host refuses one", error);
	parts[SANDBOX_USERS].in_force = !error;
	parts[SANDBOX_PIDS].in_force = has_pids;
	if (!has_pids)
		format(parts[SANDBOX_PIDS].why, SANDBOX_WHY, "%s", pids_why);
	if (options->network)
		format(parts[SANDBOX_NETWORK].why, SANDBOX_WHY, "%s", options->network);
	else if (unshare(CLONE_NEWNET))
		refused(&parts[SANDBOX_NETWORK], "this host refuses one", errno);
	else
		parts[SANDBOX_NETWORK].in_force = true;
	return enter_mounts(options, &parts[SANDBOX_MOUNTS]);
}
