/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which files of a folder machines need: their disks, and what those stand on. Files are told apart
 * by what they are, not by how they are named: ./data.qcow2, its whole path and ../web/data.qcow2
 * are one. Each function is false if that can't be told: then nothing may be removed.
 */
#ifndef MANAGE_LAYERS_NEEDS_H
#define MANAGE_LAYERS_NEEDS_H

#include "manage/store.h"

struct needs_file {
	char *name; /* from the folder */
	dev_t device;
	ino_t inode;
	bool needed;
};

struct needs_seen {
	dev_t device;
	ino_t inode;
};

struct needs {
	struct needs_file *files; /* those of the folder */
	unsigned count, seen_count;
	struct needs_seen *seen; /* what has been followed already */
};

/* deep: with the files of folders in it, too. needs_end afterwards, in any case. */
bool needs_begin(struct needs *needs, const char *folder, bool deep);
void needs_end(struct needs *needs);

/* Those of the machine itself: by its machine.conf, and by its snapshots. */
bool needs_of_disks(struct needs *needs, const struct store_machine *machine);
bool needs_of_snapshots(struct needs *needs, const struct store_machine *machine);

/* Those of all machines but the one of that name (NULL: but none). user, unless NULL: only the
 * first that needs some, or that can't be told of. */
bool needs_of_others(struct needs *needs, const struct store *store, const char *name, char *user,
		     size_t size);

/* Whether the file of this name is needed. */
bool needs_has(const struct needs *needs, const char *name);

#endif
