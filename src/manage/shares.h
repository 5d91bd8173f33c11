/* SPDX-License-Identifier: BSD-2-Clause */
/* The folders that a machine shares with this host. */
#ifndef MANAGE_SHARES_H
#define MANAGE_SHARES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plug.h"
#include "hosts/linux/sandbox.h"
#include "manage/options.h"

struct shares {
	struct share *share[OPTIONS_SHARES_MAX];
	struct sandbox_folder folders[OPTIONS_SHARES_MAX]; /* what the sandbox is to let through */
	unsigned count;
};

/* Opens what the options name. 0, or a negative errno and one line in reason; shares_close then
 * too. */
int shares_open(struct shares *shares, const struct options *options, char *reason, size_t size);
void shares_drain(struct shares *shares);
void shares_close(struct shares *shares);

/*
 * Appends to a Linux command line of `room` bytes what Lodge's init needs to mount them:
 * lodge.mount=TAG:PATH[:ro], with what isn't plain in PATH as \ooo. False: no room.
 */
bool shares_command_line(const struct options *options, char *line, size_t room);

#endif
