/* SPDX-License-Identifier: BSD-2-Clause */
/* What is booted: the user's kernel, or the guest that tools/prepare-guest has made. */
#ifndef MANAGE_GUEST_H
#define MANAGE_GUEST_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "manage/options.h"

struct guest {
	bool prepared; /* by prepare-guest: kernel, initrd and root disk come from its folder */
	char kernel[PATH_MAX], initrd[PATH_MAX], root[PATH_MAX];
	char command_line[65536];
};

/*
 * Decides what to boot. A prepared guest is looked for in $LODGE_GUEST_DIR, else in the folder
 * `guest` beside the program. False with one line if there is nothing to boot.
 */
bool guest_choose(struct guest *guest, const struct options *options, char *reason, size_t size);

/*
 * The kernel's command line: what the user said, else what suits a Linux (may_be_linux) or the
 * prepared guest; with a COMMAND, what its init needs to know. False with one line if it is too
 * long.
 */
bool guest_command_line(struct guest *guest, const struct options *options, bool may_be_linux,
			char *reason, size_t size);

#endif
