/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Consoles on this side of the plug: the terminal (or whatever stdin and stdout are), a file, and
 * none.
 *
 * Output never makes the vm wait: it goes through a buffer to a thread that writes. Input comes
 * from the event loop.
 *
 * On a terminal, it is put into raw mode (restored on leaving, on a crash, and by every way out but
 * SIGKILL), and Ctrl-] begins a command: q leaves, ? lists the commands, Ctrl-] sends itself;
 * further ones are given by the program. Where stdin is no terminal, each byte is passed on as it
 * is.
 */
#ifndef HOSTS_LINUX_TERMINAL_H
#define HOSTS_LINUX_TERMINAL_H

#include <stdbool.h>

#include "core/plug.h"

struct vm;

/* A key after Ctrl-]. An array of them ends with key 0. */
struct terminal_command {
	char key;
	const char *help;
	void (*call)(struct vm *vm); /* vm's lock held */
};

struct terminal_options {
	const struct terminal_command *commands; /* NULL for none; stays the caller's */
	bool quiet;				 /* don't say how to leave */
};

/*
 * Stdin and stdout as a console. There can be one. With a terminal it becomes raw now, and a line
 * on stderr says how to leave. 0 or a negative errno. The vm is attached (linux_vm_attach); its
 * lock is not held. The device sets its callbacks afterwards.
 */
int terminal_open(struct console **console, struct vm *vm, const struct terminal_options *options);

/* Output to a file, which is made or emptied; no input. */
int console_file_open(struct console **console, struct vm *vm, const char *path);

/*
 * Output to the end of a file, which never becomes longer than `most` bytes: once it is that long,
 * its contents replace those of old_path, and it is emptied. Both are opened now, made if they are
 * not there, and private to the user. No input.
 */
int console_log_open(struct console **console, struct vm *vm, const char *path,
		     const char *old_path, size_t most);

/* Output is thrown away; no input. */
int console_none_open(struct console **console, struct vm *vm);

/*
 * Closing (console->ops->close) waits until what the guest wrote has been written, though not
 * longer than a second without progress. Vm's lock not held; no vcpu runs.
 */

/* Whether stdin is a terminal in raw mode now. */
bool terminal_is_raw(void);

#endif
