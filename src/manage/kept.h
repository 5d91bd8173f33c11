/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of a machine that was saved in the store: the file `memory` in its folder, a saved
 * machine (saved_file.h). It counts while the machine's record says "saved", and only then:
 * whatever is there besides is left of a save, a start or a command that was killed.
 */
#ifndef MANAGE_KEPT_H
#define MANAGE_KEPT_H

#include "manage/state.h"
#include "manage/store.h"

/* Where it is; path has STORE_PATH bytes. */
void kept_path(const struct store_machine *machine, char *path);

/* Bytes on the disk; 0: there is none. */
uint64_t kept_size(const struct store_machine *machine);

/* Removes it, and what killed commands have left of others. The record doesn't say "saved" (any
 * more), and the lock STORE_CHANGE is held. 0 or a negative errno. */
int kept_remove(const struct store_machine *machine);

/* The second of these alone: what never had the name. It counts for nothing. */
int kept_sweep(const struct store_machine *machine);

/* The memory, to be told from a later one of the same name: a descriptor for that alone, or -1. */
int kept_open(const struct store_machine *machine);
/* Removes it, if it is still that one and the machine isn't saved (again). STORE_CHANGE is held. 0
 * or a negative errno. */
int kept_remove_old(const struct store_machine *machine, int old);

/* The record is written out, so that a power failure doesn't undo what it says. 0 or a negative
 * errno. */
int kept_settle(const struct store_machine *machine);

/* The file becomes the memory of a machine that doesn't run, by a second name of it; it counts only
 * behind kept_begin, with which the machine is saved. STORE_RUN is held. 0 or a negative errno. */
int kept_take(const struct store_machine *machine, const char *path);
int kept_begin(const struct store_machine *machine);

/* A machine that is saved becomes one that is stopped: its memory is gone. STORE_CHANGE is
 * held, so nobody starts it. 0 or a negative errno. */
int kept_discard(const struct store_machine *machine);

#endif
