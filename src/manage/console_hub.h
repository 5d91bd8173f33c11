/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial console of a machine for several at once: what the guest writes goes to the console
 * behind it (a terminal, a file, a log, or none) and to any number of readers; of these one may
 * write, until another takes that over. All with the vm's lock held.
 */
#ifndef MANAGE_CONSOLE_HUB_H
#define MANAGE_CONSOLE_HUB_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plug.h"

struct console_reader {
	/* Output of the guest. Takes all of it, or loses some: nobody waits. Any thread. */
	void (*output)(struct console_reader *reader, const void *bytes, size_t length);
	/* The device, which did not take all that console_hub_input gave it, can take more. Any
	 * thread, from within a register access. */
	void (*input_ready)(struct console_reader *reader);
	/* Another reader writes now. */
	void (*taken_over)(struct console_reader *reader);
	struct console_reader *next; /* the hub's */
};

struct console_hub {
	struct console front; /* what stands where the console behind it would */
	struct console *back;
	struct console_reader *readers, *writer;
};

/* back's device side becomes the hub's. */
void console_hub_init(struct console_hub *hub, struct console *back);

void console_hub_add(struct console_hub *hub, struct console_reader *reader);
void console_hub_remove(struct console_hub *hub, struct console_reader *reader);

/* The reader may write from now on. False: another has that, and `take` was not said. */
bool console_hub_write_begin(struct console_hub *hub, struct console_reader *reader, bool take);

/* Input of the reader that may write: how much of it the device took; all, if it isn't the one. */
size_t console_hub_input(struct console_hub *hub, struct console_reader *reader, const void *bytes,
			 size_t length);

#endif
