/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where machines and images are kept, and who may touch them when. There is no daemon: folders,
 * renames and locks that die with their owner are all there is (docs/store.md, decisions/0022).
 *
 *	$XDG_DATA_HOME/lodge (~/.local/share/lodge)
 *		machines/NAME/	machine.conf, disks, console.log, lodge.log, state, lock
 *		images/NAME/	image.conf, kernel, initrd, disk
 *		seal-key	seal.h
 *	$XDG_RUNTIME_DIR/lodge (else /tmp/lodge-UID)
 *		NAME/		control (the socket), lock
 *		net.NAME	net_store.h
 *
 * Names that begin with a dot are folders that are being made or removed.
 */
#ifndef MANAGE_STORE_H
#define MANAGE_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "machines/machine_file.h"

#define STORE_PATH	4096 /* bytes of a path, with the NUL */
#define STORE_CONF_MAX	(1u << 20)
#define STORE_IMAGE_MAX 64 /* bytes of an image's name, with the NUL */

struct store {
	char machines[STORE_PATH - 512], images[STORE_PATH - 512], runtime[STORE_PATH - 512];
};

/* Makes the folders that are missing. 0, or a negative errno with one line in reason. */
int store_open(struct store *store, char *reason, size_t size);

/* The path (STORE_PATH bytes) of a file beside machines and images; make: its folder is made, if it
 * is missing. 0, or a negative errno with a line. */
int store_data_file(const char *name, char *path, bool make, char *reason, size_t size);

/* Whether this can be a machine's or an image's name; if not, one line that says what one is. */
bool store_name_check(const char *name, char *reason, size_t size);
bool store_image_name_check(const char *name, char *reason, size_t size);

/* What a lock is for. */
enum store_lock {
	STORE_CHANGE, /* one command at a time changes the machine, or starts it */
	STORE_RUN,    /* the machine's process, as long as it lives */
};

/* A machine that is there. */
struct store_machine {
	char name[MACHINE_NAME_MAX];
	char folder[STORE_PATH];
	int lock; /* the lock file, open */
};

/* 0; -ENOENT, -EINVAL for a bad name; another negative errno; with one line in reason. To be
 * closed. */
int store_find(const struct store *store, const char *name, struct store_machine *machine,
	       char *reason, size_t size);
/* Locks taken through it end, unless a child has it open too. */
void store_close(struct store_machine *machine);

/*
 * Takes a lock, and waits for it so many milliseconds (0: not at all). 0; -EBUSY; -ENOENT: the
 * machine was removed meanwhile.
 */
int store_lock(const struct store *store, struct store_machine *machine, enum store_lock lock,
	       unsigned patience);
/* The same at once, of a folder that isn't looked for by name. 0 or -EBUSY. */
int store_lock_only(struct store_machine *machine, enum store_lock lock);
void store_unlock(struct store_machine *machine, enum store_lock lock);

/* Whether somebody has that lock, without taking it. */
bool store_is_locked(const struct store_machine *machine, enum store_lock lock);

/* folder/file into path (STORE_PATH bytes); where that is too long an empty name, which no file
 * has. */
void store_path(const struct store_machine *machine, const char *file, char *path);

/* The names of all machines (or images), sorted: *names is to be freed with store_names_free. 0 or
 * a negative errno. */
int store_machine_names(const struct store *store, char ***names, unsigned *count);
int store_image_names(const struct store *store, char ***names, unsigned *count);
/* Of folders that were being made or removed. */
int store_left_over_names(const char *parent, char ***names, unsigned *count);
void store_names_free(char **names, unsigned count);

/*
 * A new folder below machines or images that nobody sees by its name yet: filled in by the caller,
 * then given its name at once. What is left of one whose maker was killed goes away with a later
 * store_new_begin.
 */
struct store_new {
	char folder[STORE_PATH];
	int lock; /* held while it is being made */
};
int store_new_begin(const char *parent, struct store_new *new, char *reason, size_t size);
/* -EEXIST: there is one of that name. Afterwards it is closed in any case. */
int store_new_finish(const char *parent, struct store_new *new, const char *name, char *reason,
		     size_t size);
void store_new_abandon(struct store_new *new);

/* Removes a folder of parent, first from sight, then from the disk. 0 or a negative errno. */
int store_remove(const char *parent, const char *name, char *reason, size_t size);

/* The folder of what runs (STORE_PATH bytes): made if it is missing, and checked to be ours and
 * nobody else's. 0, or a negative errno with a line. */
int store_runtime_folder(char *folder, char *reason, size_t size);

/* The runtime folder of a machine is made, and checked: ours, and nobody else's. 0, or a negative
 * errno with a line. */
int store_runtime_make(const struct store *store, const char *name, char *folder, char *reason,
		       size_t size);

/* Reads a machine's machine.conf (its one machine). 0, or a negative errno with a line. */
int store_config(const struct store_machine *machine, struct machine_config *config, char *reason,
		 size_t size);

#endif
