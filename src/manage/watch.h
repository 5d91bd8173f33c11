/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks over the shoulder of the guest's serial console: keeps its last lines, to be shown when the
 * guest fails, and notices that a Linux kernel said that it panicked.
 */
#ifndef MANAGE_WATCH_H
#define MANAGE_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plug.h"

#define WATCH_KEPT (16u << 10) /* bytes, a power of two */

struct watch {
	struct console front; /* what the device is given */
	struct console
		debug; /* for a second device, whose output is mixed into the first's; no input */
	struct console *back; /* the true console, or NULL */
	bool panicked;	      /* since watch_restart */
	size_t matched;	      /* how much of the words has just been seen */
	size_t written;	      /* bytes in all; the last WATCH_KEPT of them are kept */
	char kept[WATCH_KEPT];
};

/* Until a console is attached, output vanishes. */
void watch_init(struct watch *watch);

/* back's device side becomes the watch's. NULL: nothing is attached any more. No vcpu runs. */
void watch_attach(struct watch *watch, struct console *back);

/* The machine starts anew. */
void watch_restart(struct watch *watch);

/* The last bytes of output, at most `size` of them; how many. Vm's lock held, or no vcpu runs. */
size_t watch_copy(const struct watch *watch, char *bytes, size_t size);

/* Writes the last lines (at most so many) to standard error, without control characters. */
void watch_show(const struct watch *watch, unsigned lines);

#endif
