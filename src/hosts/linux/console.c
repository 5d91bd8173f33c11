/* SPDX-License-Identifier: BSD-2-Clause */
/* The consoles without input: a file, a log of bounded size, and none. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
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
	file->output.gaps = true;
	*console = &file->console;
	return 0;
}

/* A log of bounded size. */

struct console_log {
	struct console_file file; /* first */
	int old;
	size_t size, most;
};

/* Whoever is killed on the way has the bytes twice, never not at all. */
static void log_turn(struct console_log *log)
{
	int fd = log->file.output.fd;
	char bytes[16384];
	off_t at = 0;
	ssize_t got;

	if (ftruncate(log->old, 0))
		return;
	while ((got = pread(fd, bytes, sizeof(bytes), at)) > 0 &&
	       pwrite(log->old, bytes, (size_t)got, at) == got)
		at += got;
	if (!ftruncate(fd, 0))
		log->size = 0;
}

static void log_written(struct output *output, size_t length)
{
	struct console_log *log =
		(struct console_log *)((char *)output - offsetof(struct console_file, output));

	log->size += length;
	if (log->size >= log->most)
		log_turn(log);
}

static void log_close(struct console *console)
{
	struct console_log *log = (struct console_log *)console;
	int fd = log->file.output.fd;

	if (!output_close(&log->file.output))
		return; /* its thread can't be ended, and uses all that */
	close(fd);
	close(log->old);
	free(log);
}

static const struct console_ops log_ops = {
	.write = file_write, .input_ready = no_input, .close = log_close};

int console_log_open(struct console **console, struct vm *vm, const char *path,
		     const char *old_path, size_t most)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW;
	struct console_log *log = calloc(1, sizeof(*log));
	int fd = open(path, flags | O_APPEND, 0600), error = -ENOMEM;
	struct stat status;

	if (log) {
		log->old = open(old_path, flags, 0600);
		error = fd < 0 || log->old < 0 || fstat(fd, &status) ? -errno : 0;
	}
	if (error) {
		if (fd >= 0)
			close(fd);
		if (log && log->old >= 0)
			close(log->old);
		free(log);
		return error;
	}
	log->size = (size_t)status.st_size;
	log->most = most;
	log->file.console.ops = &log_ops;
	output_init(&log->file.output, fd, linux_loop(vm), file_room, &log->file.console);
	log->file.output.written = log_written;
	log->file.output.gaps = true;
	*console = &log->file.console;
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
