/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the one command of `lodge run -- COMMAND`: see protocol.h for the talk. This is process 1,
 * so it also collects the orphans that the command leaves.
 */
#include "init.h"
#include "protocol.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_WAIT_MILLISECONDS 10000
#define STATUS_REFUSED	       125
#define STATUS_CANNOT_RUN      126
#define STATUS_NOT_FOUND       127
#define PIECE		       32768

/* What runs, and this side's ends of its three pipes (-1 once closed). */
struct run {
	int port;
	pid_t child;
	int in, out, err;
	uint8_t *input; /* of the frame being passed to `in` */
	uint32_t input_at, input_size;
	bool input_ended;
	bool exited;
	int status;
};

static int port_find(char *path, size_t size)
{
	static const char folder[] = "/sys/class/virtio-ports";
	DIR *ports = opendir(folder);
	struct dirent *entry;
	int found = -ENOENT;

	if (!ports)
		return -errno;
	while (found && (entry = readdir(ports))) {
		char name[512], text[64];
		int file;
		ssize_t got;

		snprintf(name, sizeof(name), "%s/%s/name", folder, entry->d_name);
		file = open(name, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			continue;
		got = read(file, text, sizeof(text) - 1);
		close(file);
		text[got < 0 ? 0 : got] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (strcmp(text, LODGE_PORT_NAME) == 0) {
			snprintf(path, size, "/dev/%s", entry->d_name);
			found = 0;
		}
	}
	closedir(ports);
	return found;
}

int runner_open(void)
{
	static const struct timespec millisecond = {.tv_nsec = 1000000};
	char path[300];
	int error = -ENOENT;

	/* The port appears some time after its driver: the two still have to talk. */
	for (int i = 0; i < PORT_WAIT_MILLISECONDS; i++) {
		error = port_find(path, sizeof(path));
		if (error == 0) {
			int port = open(path, O_RDWR | O_CLOEXEC);

			return port < 0 ? -errno : port;
		}
		nanosleep(&millisecond, NULL);
	}
	return error;
}

static int write_all(int file, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size) {
		ssize_t done = write(file, at, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		size -= (size_t)done;
	}
	return 0;
}

/* Also waits for the port: a read of one that the host hasn't opened yet returns nothing. */
static int read_all(int file, void *data, size_t size)
{
	static const struct timespec millisecond = {.tv_nsec = 1000000};
	uint8_t *at = data;

	while (size) {
		ssize_t done = read(file, at, size);

		if (done < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			nanosleep(&millisecond, NULL);
		at += done;
		size -= (size_t)done;
	}
	return 0;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* One write for head and data. It returns before the host has taken it. */
static int frame_send(int port, enum lodge_frame type, const void *data, uint32_t size)
{
	static uint8_t frame[LODGE_FRAME_HEADER + PIECE];

	frame[0] = (uint8_t)type;
	put_u32(frame + 1, size);
	if (size)
		memcpy(frame + LODGE_FRAME_HEADER, data, size);
	return write_all(port, frame, LODGE_FRAME_HEADER + size);
}

/* Reads one frame; *data is to be freed, and has a NUL after its end. */
static int frame_receive(int port, uint8_t *type, uint8_t **data, uint32_t *size)
{
	uint8_t head[LODGE_FRAME_HEADER];
	int error = read_all(port, head, sizeof(head));

	if (error)
		return error;
	*type = head[0];
	*size = get_u32(head + 1);
	if (*size > LODGE_FRAME_MAX)
		return -EPROTO;
	*data = malloc(*size + 1);
	if (!*data)
		return -ENOMEM;
	(*data)[*size] = '\0';
	error = read_all(port, *data, *size);
	if (error)
		free(*data);
	return error;
}

/* The last word, and the host's answer that it has everything. */
static void status_send(int port, int status)
{
	uint8_t value[4], type, *data;
	uint32_t size;

	put_u32(value, (uint32_t)status);
	if (frame_send(port, LODGE_STATUS, value, sizeof(value)))
		return;
	do {
		if (frame_receive(port, &type, &data, &size))
			return;
		free(data); /* input that nobody reads any more */
	} while (type != LODGE_STATUS_TAKEN);
}

void runner_refuse(int port, const char *text)
{
	uint8_t type, *data;
	uint32_t size;

	if (frame_send(port, LODGE_READY, NULL, 0) || frame_receive(port, &type, &data, &size))
		return;
	free(data);
	frame_send(port, LODGE_STDERR, text, (uint32_t)strlen(text));
	status_send(port, STATUS_REFUSED);
}

/*
 * Cuts the request's text into its lists of arguments and of environment, in one allocation which
 * is never freed (there is one command), each ended by NULL, and the folder.
 */
static int request_cut(uint8_t *data, uint32_t size, char ***arguments, char ***environment,
		       char **folder)
{
	uint32_t argument_count, environment_count;
	uint64_t total;
	char **list, *at, *end;

	if (size < 8)
		return -EPROTO;
	argument_count = get_u32(data);
	environment_count = get_u32(data + 4);
	total = (uint64_t)argument_count + environment_count + 1;
	if (argument_count == 0 || total > size)
		return -EPROTO;
	list = calloc(total + 3, sizeof(*list));
	if (!list)
		return -ENOMEM;
	*arguments = list;
	*environment = list + argument_count + 1;
	at = (char *)data + 8;
	end = (char *)data + size;
	for (uint64_t i = 0; i < total; i++) {
		if (at >= end)
			return -EPROTO;
		if (i == total - 1)
			*folder = at;
		else
			list[i < argument_count ? i : i + 1] = at;
		at += strlen(at) + 1;
	}
	return 0;
}

/* In the child: becomes the command. The pipes are its standard files already. */
__attribute__((noreturn)) static void child_become(char **arguments, char **environment,
						   const char *folder)
{
	static char *const usual[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"USER=root",
		"LOGNAME=root",
		"SHELL=/bin/sh",
		"LANG=C.UTF-8"};
	int error;

	clearenv();
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		putenv(usual[i]);
	for (; *environment; environment++)
		if (strchr(*environment, '='))
			putenv(*environment);
	if (chdir(*folder ? folder : "/root") && *folder) {
		dprintf(STDERR_FILENO, "lodge: the guest's folder %s: %s\n", folder,
			strerror(errno));
		_exit(STATUS_CANNOT_RUN);
	}
	setsid();
	execvp(arguments[0], arguments);
	error = errno;
	dprintf(STDERR_FILENO, "lodge: the guest can't run %s: %s\n", arguments[0],
		strerror(error));
	_exit(error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN);
}

static int child_start(struct run *run, char **arguments, char **environment, const char *folder)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return -errno;
	run->child = fork();
	if (run->child < 0)
		return -errno;
	if (run->child == 0) {
		signal(SIGPIPE, SIG_DFL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		child_become(arguments, environment, folder);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	run->in = in[1];
	run->out = out[0];
	run->err = err[0];
	fcntl(run->in, F_SETFL, O_NONBLOCK);
	fcntl(run->out, F_SETFL, O_NONBLOCK);
	fcntl(run->err, F_SETFL, O_NONBLOCK);
	return 0;
}

static void close_once(int *file)
{
	if (*file >= 0)
		close(*file);
	*file = -1;
}

/* Passes one piece of output. Returns how much; 0: there is none. */
static size_t output_pass(struct run *run, int *file, enum lodge_frame type)
{
	uint8_t piece[PIECE];
	ssize_t got;

	if (*file < 0)
		return 0;
	got = read(*file, piece, sizeof(piece));
	if (got > 0)
		frame_send(run->port, type, piece, (uint32_t)got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		close_once(file);
	return got > 0 ? (size_t)got : 0;
}

/* What is in a pipe now. */
static void output_drain(struct run *run, int *file, enum lodge_frame type)
{
	size_t done, left = 0;
	int count;

	if (*file >= 0 && !ioctl(*file, FIONREAD, &count))
		left = (size_t)count;
	while (left && (done = output_pass(run, file, type)))
		left -= done < left ? done : left;
}

static void input_receive(struct run *run)
{
	uint8_t type;

	if (frame_receive(run->port, &type, &run->input, &run->input_size)) {
		run->input = NULL;
		run->input_ended = true;
		return;
	}
	run->input_at = 0;
	if (type == LODGE_STDIN && run->in >= 0)
		return;
	if (type == LODGE_STDIN_END) {
		run->input_ended = true;
		close_once(&run->in);
	}
	free(run->input);
	run->input = NULL;
}

/* Gives the command what fits of the frame at hand; the next is read when this one is gone. */
static void input_pass(struct run *run)
{
	ssize_t done = write(run->in, run->input + run->input_at, run->input_size - run->input_at);

	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (done < 0)
		close_once(&run->in);
	else
		run->input_at += (uint32_t)done;
	if (run->in < 0 || run->input_at == run->input_size) {
		free(run->input);
		run->input = NULL;
	}
}

static void children_collect(struct run *run)
{
	int status;
	pid_t child;

	while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
		if (child != run->child)
			continue;
		run->exited = true;
		run->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

static void child_ended(int signal_number)
{
	/* Only there to interrupt ppoll. */
}

/*
 * Until the command itself has ended: what it wrote until then is passed, what a process that it
 * left in the background might write later isn't waited for.
 */
static void run_loop(struct run *run)
{
	sigset_t blocked, open_mask;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &open_mask);
	sigdelset(&open_mask, SIGCHLD);
	children_collect(run);
	while (!run->exited) {
		struct pollfd files[] = {
			{.fd = run->out, .events = POLLIN},
			{.fd = run->err, .events = POLLIN},
			{.fd = run->input || run->input_ended ? -1 : run->port, .events = POLLIN},
			{.fd = run->input ? run->in : -1, .events = POLLOUT},
		};

		if (ppoll(files, sizeof(files) / sizeof(files[0]), NULL, &open_mask) > 0) {
			if (files[0].revents)
				output_pass(run, &run->out, LODGE_STDOUT);
			if (files[1].revents)
				output_pass(run, &run->err, LODGE_STDERR);
			if (files[2].revents & POLLIN)
				input_receive(run);
			else if (files[2].revents)
				run->input_ended = true;
			if (files[3].revents)
				input_pass(run);
		}
		children_collect(run);
	}
	output_drain(run, &run->out, LODGE_STDOUT);
	output_drain(run, &run->err, LODGE_STDERR);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

void runner_run(int port)
{
	struct run run = {.port = port, .in = -1, .out = -1, .err = -1};
	char **arguments, **environment, *folder, text[128];
	uint8_t type, *data;
	uint32_t size;
	int error;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, child_ended);
	error = frame_send(port, LODGE_READY, NULL, 0);
	if (!error)
		error = frame_receive(port, &type, &data, &size);
	if (!error && type != LODGE_REQUEST)
		error = -EPROTO;
	if (!error)
		error = request_cut(data, size, &arguments, &environment, &folder);
	if (!error)
		error = child_start(&run, arguments, environment, folder);
	if (error) {
		snprintf(text, sizeof(text), "lodge: the guest can't take the command: %s\n",
			 strerror(-error));
		frame_send(port, LODGE_STDERR, text, (uint32_t)strlen(text));
		status_send(port, STATUS_REFUSED);
		return;
	}
	run_loop(&run);
	status_send(port, run.status);
}
