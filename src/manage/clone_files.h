/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a copy of a machine needs of the files in its folder. Names that lead out of it (absolute,
 * or ../) mean the same from the copy's, which is beside it.
 */
#ifndef MANAGE_CLONE_FILES_H
#define MANAGE_CLONE_FILES_H

#include "manage/store.h"

/* A layer and those below it that are in the machine's folder, into another. An exit status, after
 * a complaint. */
int clone_chain(const struct store_machine *source, const char *file, const char *folder);

/* The kernel, the initrd and the disks that are only read, as far as they aren't there. Likewise.
 */
int clone_files(const struct store_machine *source, const struct machine_config *config,
		const char *folder);

#endif
