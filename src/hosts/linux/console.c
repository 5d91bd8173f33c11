/* SPDX-License-Identifier: BSD-2-Clause */
/* The consoles without input: a file, and none. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "hosts/linux/linux.h"
#include "hosts/linux/output.h"
#include "hosts/linux/terminal.h"

struct console_file {
	struct console console; /* first */
	struct output output;
};

static void no_input(struct console *console)
{
}

static size_t file_write(struct console *console, const void *bytes, size_t length)
{
	return output_write(&((struct console_file *)console)->output, bytes, length);
}

static void file_room(struct loop_call *call)
{
	struct console *console = call->context;

	if (console->output_ready)
		console->output_ready(console->device);
}

static void file_close(struct console *console)
{
	struct console_file *file = (struct console_file *)console;
	int fd = file->output.fd;

	if (!output_close(&file->output))
		return; /* its thread can't be ended, and uses all that */
	close(fd);
	free(file);
}

static const struct console_ops file_ops = {
	.write = file_write, .input_ready = no_input, .close = file_close};

int console_file_open(struct console **console, struct vm *vm, const char *path)
{
	struct console_file *file;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);

	if (fd < 0)
		return -errno;
	file = calloc(1, sizeof(*file));
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	file->console.ops = &file_ops;
	output_init(&file->output, fd, linux_loop(vm), file_room, &file->console);
	*console = &file->console;
	return 0;
}

static size_t none_write(struct console *console, const void *bytes, size_t length)
{
	return length;
}

static void none_close(struct console *console)
{
	free(console);
}

static const struct console_ops none_ops = {
	.write = none_write, .input_ready = no_input, .close = none_close};

int console_none_open(struct console **console, struct vm *vm)
{
	struct console *none = calloc(1, sizeof(*none));

	if (!none)
		return -ENOMEM;
	none->ops = &none_ops;
	*console = none;
	return 0;
}
