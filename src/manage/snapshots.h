/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshots of a machine: files snapshots/NAME in its folder, each one line of JSON with a time
 * and the layers that are its disks (layers.h). One whose layer machine.conf still writes to was
 * never finished, and counts for nothing. Of a machine that ran snapshots/NAME.memory is the rest:
 * a saved machine (saved_file.h); without snapshots/NAME it counts for nothing.
 */
#ifndef MANAGE_SNAPSHOTS_H
#define MANAGE_SNAPSHOTS_H

#include <stdint.h>

#include "manage/layers.h"

#define SNAPSHOT_WORDS 256 /* bytes of a description, with the NUL */

struct snapshot_entry {
	char name[MACHINE_NAME_MAX];
	uint64_t time; /* seconds since 1970 */
	char words[SNAPSHOT_WORDS];
	unsigned disk_count;
	char disks[MACHINE_DISKS_MAX][LAYER_NAME];
	bool memory;		       /* it has that file */
	bool damaged;		       /* it can't be read: only its name is known */
	char parent[MACHINE_NAME_MAX]; /* the snapshot that it stands on; "": none */
};

struct snapshots {
	unsigned count;
	bool damaged;			/* one of them is */
	struct snapshot_entry *list;	/* by time */
	char current[MACHINE_NAME_MAX]; /* what the machine itself stands on; "": none */
};

/* 0 or a negative errno. */
int snapshots_read(const struct store_machine *machine, struct snapshots *snapshots);
void snapshots_free(struct snapshots *snapshots);

/* The one of that name, or NULL. */
const struct snapshot_entry *snapshots_find(const struct snapshots *snapshots, const char *name);

/* Where its memory is; path has STORE_PATH bytes. */
void snapshot_memory_path(const struct store_machine *machine, const char *name, char *path);

/* Bytes that it takes on the host's disk: memory, and the layers that it names. Those below them
 * may be others' too. */
uint64_t snapshot_size(const struct store_machine *machine, const struct snapshot_entry *entry);

/* Removes snapshots that were never finished, which would count once machine.conf names other
 * layers; and, unless one is damaged, memories that no snapshot has (any more). STORE_CHANGE is
 * held. 0 or a negative errno. */
int snapshots_sweep(const struct store_machine *machine);

/* Makes the folder that they are in. 0 or a negative errno. */
int snapshots_folder(const struct store_machine *machine);

/* Writes and removes one. 0 or a negative errno. */
int snapshot_write(const struct store_machine *machine, const struct snapshot_entry *entry);
int snapshot_remove(const struct store_machine *machine, const char *name);

#endif
