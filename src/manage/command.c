/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All of it runs with the vm's lock held: the device's calls on vcpu threads, the loop's on the
 * main thread. Nothing waits: what the guest sends is taken as far as our output takes it, and
 * standard input is read only while nothing waits for the guest.
 */
#include "manage/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/device.h"
#include "core/host.h"
#include "core/vm.h"
#include "guest/protocol.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/loop.h"
#include "hosts/linux/output.h"
#include "lib/bytes.h"

#define STDIN_PIECE  16384u
#define REQUEST_MAX  (256u << 10)
#define STATUS_BYTES 4

struct command {
	struct console console; /* first */
	struct vm *vm;
	char *request; /* the frame, whole */
	size_t request_size;

	/* To the guest: what waits, of which `sent` bytes have been taken. */
	const char *waiting;
	size_t waiting_size, sent;
	char piece[LODGE_FRAME_HEADER + STDIN_PIECE];
	struct loop_watch input;
	bool input_watched, input_ended, end_sent;

	/* From the guest. */
	uint8_t header[LODGE_FRAME_HEADER];
	unsigned header_have;
	uint32_t left; /* bytes of the frame's contents that are still to come */
	uint8_t status_bytes[STATUS_BYTES];
	unsigned status_have;
	struct output standard_output, standard_error;

	bool began, ended, broken, acknowledged;
	int status;
};

/* To the guest */

static void wait_for_input(struct command *command, bool wanted)
{
	wanted = wanted && command->began && !command->input_ended && !command->ended;
	if (command->input.fd < 0 || wanted == command->input_watched)
		return;
	command->input_watched = wanted;
	loop_change(linux_loop(command->vm), &command->input, wanted ? EPOLLIN : 0);
}

static void acknowledge(struct command *command);

/* Gives the guest what waits for it; once all is taken, the end of input, or more input. */
static void push(struct command *command)
{
	struct console *console = &command->console;

	while (command->waiting) {
		command->sent += console->input(console->device, command->waiting + command->sent,
						command->waiting_size - command->sent);
		if (command->sent < command->waiting_size)
			return;
		command->waiting = NULL;
		if (command->input_ended && !command->end_sent) {
			command->end_sent = true;
			command->piece[0] = LODGE_STDIN_END;
			bytes_store32(command->piece + 1, 0);
			command->waiting = command->piece;
			command->waiting_size = LODGE_FRAME_HEADER;
			command->sent = 0;
		}
	}
	wait_for_input(command, true);
	acknowledge(command);
}

static void send(struct command *command, const char *bytes, size_t size)
{
	command->waiting = bytes;
	command->waiting_size = size;
	command->sent = 0;
	push(command);
}

/* The guest may power off once all that the command wrote has left us: until then it is the loop
 * that waits for a reader who takes his time, and can be ended by a signal. */
static void acknowledge(struct command *command)
{
	if (!command->ended || command->waiting || command->acknowledged ||
	    !output_is_empty(&command->standard_output) ||
	    !output_is_empty(&command->standard_error))
		return;
	command->acknowledged = true;
	command->piece[0] = LODGE_STATUS_TAKEN;
	bytes_store32(command->piece + 1, 0);
	send(command, command->piece, LODGE_FRAME_HEADER);
}

/* Standard input is at its end, or gone. */
static void input_end(struct command *command)
{
	if (command->input_ended)
		return;
	command->input_ended = true;
	if (command->input.fd >= 0)
		loop_remove(linux_loop(command->vm), &command->input);
	command->input.fd = -1;
	command->input_watched = false;
	if (command->waiting || !command->began)
		return; /* push() goes on to it */
	command->end_sent = true;
	command->piece[0] = LODGE_STDIN_END;
	bytes_store32(command->piece + 1, 0);
	send(command, command->piece, LODGE_FRAME_HEADER);
}

static void input_readable(struct loop_watch *watch, uint32_t events)
{
	struct command *command = watch->context;
	ssize_t got;

	if (command->waiting || !command->input_watched)
		return;
	got = read(watch->fd, command->piece + LODGE_FRAME_HEADER, STDIN_PIECE);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		input_end(command);
		return;
	}
	command->piece[0] = LODGE_STDIN;
	bytes_store32(command->piece + 1, (uint32_t)got);
	wait_for_input(command, false);
	send(command, command->piece, LODGE_FRAME_HEADER + (size_t)got);
}

static void console_input_ready(struct console *console)
{
	push(container_of(console, struct command, console));
}

/* From the guest */

static void broken(struct command *command, const char *why)
{
	if (!command->broken)
		host_log(LOG_ERROR, "the guest's init doesn't speak our protocol: %s", why);
	command->broken = true;
	vm_stop(command->vm, VM_KILLED, 0);
}

static void begin(struct command *command)
{
	if (command->began) {
		broken(command, "it began twice");
		return;
	}
	command->began = true;
	send(command, command->request, command->request_size);
}

/* A header is complete. */
static void frame_begin(struct command *command)
{
	command->left = bytes_load32(command->header + 1);
	switch (command->header[0]) {
	case LODGE_READY:
		if (command->left)
			broken(command, "a ready frame with contents");
		else
			begin(command);
		break;
	case LODGE_STDOUT:
	case LODGE_STDERR:
		if (command->left > LODGE_FRAME_MAX)
			broken(command, "a frame is too long");
		break;
	case LODGE_STATUS:
		command->status_have = 0;
		if (command->left != STATUS_BYTES)
			broken(command, "a status of a wrong size");
		break;
	default:
		broken(command, "a frame of an unknown type");
	}
}

/* Takes some of a frame's contents; returns how much. */
static size_t frame_contents(struct command *command, const uint8_t *bytes, size_t length)
{
	if (command->header[0] == LODGE_STDOUT)
		return output_write(&command->standard_output, bytes, length);
	if (command->header[0] == LODGE_STDERR)
		return output_write(&command->standard_error, bytes, length);
	if (length > STATUS_BYTES - command->status_have)
		length = STATUS_BYTES - command->status_have;
	memcpy(command->status_bytes + command->status_have, bytes, length);
	command->status_have += (unsigned)length;
	if (command->status_have == STATUS_BYTES) {
		command->ended = true;
		command->status = (int)(bytes_load32(command->status_bytes) & 0xff);
		wait_for_input(command, false);
		acknowledge(command);
	}
	return length;
}

static size_t console_write(struct console *console, const void *data, size_t length)
{
	struct command *command = container_of(console, struct command, console);
	const uint8_t *bytes = data;
	size_t done = 0;

	while (done < length && !command->broken) {
		size_t here = length - done, taken;

		if (!command->left) {
			command->header[command->header_have++] = bytes[done++];
			if (command->header_have == LODGE_FRAME_HEADER) {
				command->header_have = 0;
				frame_begin(command);
			}
			continue;
		}
		if (here > command->left)
			here = command->left;
		taken = frame_contents(command, bytes + done, here);
		command->left -= (uint32_t)taken;
		done += taken;
		if (taken < here)
			return done;
	}
	return length;
}

/* Our output has room again. */
static void output_room(struct loop_call *call)
{
	struct command *command = call->context;

	if (command->console.output_ready)
		command->console.output_ready(command->console.device);
	acknowledge(command);
}

/* The request */

static size_t put_string(char *to, const char *text)
{
	size_t size = strlen(text) + 1;

	if (to)
		memcpy(to, text, size);
	return size;
}

/* Writes the frame to `to`, or only measures it where that is NULL. */
static size_t put_request(char *to, char *const *arguments)
{
	static const char *const passed_on[] = {"TERM", "LANG", "LC_ALL", "TZ"};
	size_t at = LODGE_FRAME_HEADER + 8;
	uint32_t argument_count = 0, environment_count = 0;

	for (; arguments[argument_count]; argument_count++)
		at += put_string(to ? to + at : NULL, arguments[argument_count]);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
		char variable[256];
		const char *value = getenv(passed_on[i]);

		if (!value || strlen(value) > 200)
			continue;
		snprintf(variable, sizeof(variable), "%s=%s", passed_on[i], value);
		at += put_string(to ? to + at : NULL, variable);
		environment_count++;
	}
	at += put_string(to ? to + at : NULL, ""); /* the guest's own working directory */
	if (to) {
		to[0] = LODGE_REQUEST;
		bytes_store32(to + 1, (uint32_t)(at - LODGE_FRAME_HEADER));
		bytes_store32(to + LODGE_FRAME_HEADER, argument_count);
		bytes_store32(to + LODGE_FRAME_HEADER + 4, environment_count);
	}
	return at;
}

static const struct console_ops console_ops = {.write = console_write,
					       .input_ready = console_input_ready};

int command_create(struct command **result, struct vm *vm, char *const *arguments)
{
	size_t request_size = put_request(NULL, arguments);
	struct command *command;

	if (request_size > REQUEST_MAX)
		return -E2BIG;
	command = calloc(1, sizeof(*command));
	if (!command)
		return -ENOMEM;
	command->request = malloc(request_size);
	if (!command->request) {
		free(command);
		return -ENOMEM;
	}
	command->request_size = put_request(command->request, arguments);
	command->vm = vm;
	command->console.ops = &console_ops;
	output_init(&command->standard_output, STDOUT_FILENO, linux_loop(vm), output_room, command);
	output_init(&command->standard_error, STDERR_FILENO, linux_loop(vm), output_room, command);
	command->input = (struct loop_watch){
		.fd = STDIN_FILENO, .ready = input_readable, .context = command};
	/* Without a standard input (it may have been closed before we were started) the command's
	 * is empty. */
	if (loop_add(linux_loop(vm), &command->input, EPOLLIN)) {
		command->input.fd = -1;
		command->input_ended = true;
	} else {
		loop_change(linux_loop(vm), &command->input, 0);
	}
	*result = command;
	return 0;
}

void command_destroy(struct command *command)
{
	bool closed;

	if (command->input.fd >= 0)
		loop_remove(linux_loop(command->vm), &command->input);
	closed = output_close(&command->standard_output);
	if (!output_close(&command->standard_error) || !closed)
		return; /* a thread still writes out of it */
	free(command->request);
	free(command);
}

struct console *command_console(struct command *command)
{
	return &command->console;
}

bool command_ended(const struct command *command, int *status)
{
	*status = command->status;
	return command->ended;
}

bool command_began(const struct command *command)
{
	return command->began;
}

bool command_broken(const struct command *command)
{
	return command->broken;
}
