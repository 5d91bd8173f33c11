/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's end of `lodge run -- COMMAND`: talks with the guest's init (guest/protocol.h) over a
 * virtio console port; its output goes to our standard output and error, our standard input to it.
 */
#ifndef MANAGE_COMMAND_H
#define MANAGE_COMMAND_H

#include <stdbool.h>

#include "core/plug.h"

struct command;
struct vm;

/*
 * For this argument vector, ended by NULL. The vm is attached to its loop; nothing of it runs. 0 or
 * a negative errno: -E2BIG if the arguments are too long for a frame.
 */
int command_create(struct command **command, struct vm *vm, char *const *arguments);

/* Waits until the output is written. No vcpu runs. */
void command_destroy(struct command *command);

/* The plug of the port. */
struct console *command_console(struct command *command);

/* Whether the command has ended; then *status is 0..255. No vcpu runs. */
bool command_ended(const struct command *command, int *status);

/* Whether the guest's init has asked for the command. */
bool command_began(const struct command *command);

/* Whether the guest's init said what makes no sense: the vm was stopped, and a line said so. */
bool command_broken(const struct command *command);

#endif
