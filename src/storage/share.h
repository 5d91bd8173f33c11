/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A folder of the host's behind the share plug: a FUSE server, as virtio-fs wants it. Whatever the
 * guest sends, it reaches what lies in that folder and nothing else. decisions/0024 has the
 * reasons.
 */
#ifndef STORAGE_SHARE_H
#define STORAGE_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"

struct share_options {
	const char *path;
	const char *tag; /* 1 to 36 bytes */
	bool read_only;
	/* To whom, in the guest, the files belong that are this process's user's and group's. All
	 * others are nobody's there (65534). */
	uint32_t uid, gid;
	unsigned files_max; /* descriptors: so many files open at once, and as many kept at hand */
};

/*
 * Opens the folder; nothing outside of it is opened later, but for /proc/self/fd. 0, or a negative
 * errno and one line that names the folder in reason.
 */
int share_open(const struct share_options *options, struct share **share, char *reason,
	       size_t size);

/* Whether there is such a folder. 0, or a negative errno and the line that share_open would have.
 */
int share_check(const char *path, char *reason, size_t size);

/* The folder's descriptor, for whoever limits what the process may reach. */
int share_folder(const struct share *share);

#endif
