/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandbox of the vm process: what a guest that broke out of the machine would find.
 *
 *  - no new privileges, by set-user-ID programs or otherwise (prctl(2) PR_SET_NO_NEW_PRIVS)
 *  - no capabilities (capabilities(7)), even if started by root
 *  - files: nothing can be made, written, renamed or removed by name; only those can be opened for
 * reading that are named to sandbox_enter (landlock(7), where the kernel has it). Files opened
 * before stay usable.
 *  - but for the folders that are shared with the guest: below them that can be done which sharing
 * them is for. What keeps it below them is landlock; where the kernel has none, only this program.
 *  - system calls: those of a list (seccomp(2)); no program can be run, no process looked into or
 * sent a signal, no name space entered, nothing mounted, no memory made executable (an engine makes
 * its code cache beforehand)
 *
 *  - name spaces (namespaces(7)), as far as the host permits: no user but our own, no process to be
 * seen or signalled, no network where the machine has none from here, and no file to be named but
 * the shared folders and those that are named to sandbox_enter.
 *
 * The restriction of system calls holds for all threads of the process. Capabilities and files are
 * Linux's per-thread business: a thread that exists already keeps its own. So make threads
 * afterwards.
 */
#ifndef HOSTS_LINUX_SANDBOX_H
#define HOSTS_LINUX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A folder below which files may be opened, and made, changed and removed if it `writes`. */
struct sandbox_folder {
	int descriptor; /* O_PATH */
	bool writes;
};

/* What it is made of. */
enum sandbox_kind {
	SANDBOX_PRIVILEGES,
	SANDBOX_CAPABILITIES,
	SANDBOX_USERS,
	SANDBOX_PIDS,
	SANDBOX_MOUNTS,
	SANDBOX_NETWORK,
	SANDBOX_FILES,
	SANDBOX_CALLS,
	SANDBOX_PARTS
};

#define SANDBOX_WHY  112
#define SANDBOX_TEXT 1024

struct sandbox_part {
	bool in_force;
	char why[SANDBOX_WHY]; /* if it isn't */
};

struct sandbox_state {
	struct sandbox_part parts[SANDBOX_PARTS];
};

struct sandbox_options {
	const char *const *readable; /* paths of files that may be opened for reading later; ends
					with NULL; NULL: none */
	/* Paths of folders and files out of which one program may be run later, by execve(2), and
	 * what it is linked with; ends with NULL; NULL: none may. It gets no sockets, and no
	 * process. */
	const char *const *programs;
	const uint32_t *ioctls; /* further ioctls that are needed, ended by 0; NULL: none */
	const struct sandbox_folder *folders;
	unsigned folder_count;
	const char *network; /* why it needs the host's network; NULL: it doesn't */
	bool strict; /* a system call that isn't allowed ends the process (for tests); else it fails
			with EPERM */
};

/* As users read it: "mount name space". */
const char *sandbox_part_name(enum sandbox_kind kind);

/* Writes what is in force, and what is not and why, as one line; size: SANDBOX_TEXT is enough. */
void sandbox_describe(const struct sandbox_state *state, char *text, size_t size);

/*
 * Enters it, for good. What the host doesn't have or refuses is left out, and said in `state`. 0,
 * or a negative errno if something that it has failed: what, in reason (size bytes).
 */
int sandbox_enter(const struct sandbox_options *options, struct sandbox_state *state, char *reason,
		  size_t size);

#endif
