/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections. What is to be sent waits in a buffer of the connection and leaves from the loop, for
 * whoever sends may be a vcpu's thread in the midst of an access. A connection whose peer has gone
 * is freed on the loop too, once no call refers to it.
 */
#include "manage/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/device.h"
#include "core/host.h"
#include "core/vm.h"
#include "hosts/linux/linux.h"
#include "manage/control_internal.h"
#include "manage/run_state.h"

#define LAST_WORDS 200 /* milliseconds that peers have to read what waits, at the end */
#define REST	   (100 * 1000 * 1000) /* nanoseconds until the next try, without files */

/* Which events a connection waits for now. */
static void watch_what_is_needed(struct connection *connection)
{
	bool input = !connection->ending && !connection->input_ended &&
		     connection->calls < CONTROL_CALLS_MAX &&
		     connection->input_have < sizeof(connection->input);
	bool output = connection->output_from != connection->output_to;

	/* Console input that the device has no room for waits with its sender. */
	if (connection->streams && connection->input_have)
		input = false;
	/* Whoever is not read from, or has ended sending, may go altogether. */
	if (connection->watch.fd >= 0)
		loop_change(connection->control->loop, &connection->watch,
			    (input ? EPOLLIN : 0) | (output ? EPOLLOUT : 0) | EPOLLHUP);
}

static void files_close(struct connection *connection)
{
	while (connection->file_count)
		close(connection->files[--connection->file_count]);
}

/* The guest's connections to the world are files of this process too, and may be all that it may
 * have: then whoever has something to say still gets in, one at a time. */
static void spare_keep(struct control *control)
{
	if (control->spare < 0)
		control->spare = eventfd(0, EFD_CLOEXEC);
}

/* The peer is gone. What it has asked for goes on. */
static void connection_end(struct connection *connection)
{
	if (connection->watch.fd < 0)
		return;
	loop_remove(connection->control->loop, &connection->watch);
	close(connection->watch.fd);
	connection->watch.fd = -1;
	spare_keep(connection->control);
	if (connection->streams)
		console_hub_remove(&connection->control->run->hub, &connection->reader);
	connection->streams = connection->subscribed = false;
	connection->output_from = connection->output_to = 0;
	files_close(connection);
	connection_look_again(connection);
}

static void connection_free(struct connection *connection)
{
	struct connection **link = &connection->control->connections;

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	connection->control->count--;
	if (connection->streams)
		console_hub_remove(&connection->control->run->hub, &connection->reader);
	loop_withdraw(connection->control->loop, &connection->again);
	files_close(connection);
	free(connection->output);
	free(connection);
}

void connection_look_again(struct connection *connection)
{
	loop_post(connection->control->loop, &connection->again);
}

/* Output */

/* Room for more bytes at the end. False: no memory. */
static bool output_room(struct connection *connection, size_t more)
{
	size_t have = connection->output_to - connection->output_from, size;
	char *larger;

	if (connection->output_from) {
		memmove(connection->output, connection->output + connection->output_from, have);
		connection->output_from = 0;
		connection->output_to = have;
	}
	if (have + more <= connection->output_size)
		return true;
	for (size = 4096; size < have + more;)
		size *= 2;
	larger = realloc(connection->output, size);
	if (!larger)
		return false;
	connection->output = larger;
	connection->output_size = size;
	return true;
}

static bool output_add(struct connection *connection, const void *bytes, size_t length)
{
	if (!output_room(connection, length))
		return false;
	memcpy(connection->output + connection->output_to, bytes, length);
	connection->output_to += length;
	return true;
}

void connection_send_line(struct connection *connection, const char *line)
{
	size_t length = line ? strlen(line) : 0;
	bool fits;

	if (connection->watch.fd < 0 || connection->ending)
		return;
	fits = line &&
	       connection->output_to - connection->output_from + length + 1 <= CONTROL_OUTPUT_MAX;
	/* A peer that reads nothing, or no memory: a half line would be worse than none. */
	if (!fits || !output_room(connection, length + 1))
		connection->ending = true;
	else
		(void)(output_add(connection, line, length) && output_add(connection, "\n", 1));
	connection_look_again(connection);
}

/* Sends what waits, as far as that goes now. */
static void output_send(struct connection *connection)
{
	while (connection->watch.fd >= 0 && connection->output_from != connection->output_to) {
		ssize_t sent =
			send(connection->watch.fd, connection->output + connection->output_from,
			     connection->output_to - connection->output_from,
			     MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (sent < 0)
			connection_end(connection);
		else
			connection->output_from += (size_t)sent;
	}
}

/* Console */

static void reader_output(struct console_reader *reader, const void *bytes, size_t length)
{
	struct connection *connection = container_of(reader, struct connection, reader);
	size_t have = connection->output_to - connection->output_from;
	char line[80];

	if (have + length > CONTROL_CONSOLE_MAX) {
		connection->lost += length;
		return;
	}
	if (connection->lost) {
		snprintf(line, sizeof(line), "\r\n[lodge: %llu bytes are lost here]\r\n",
			 connection->lost);
		if (output_add(connection, line, strlen(line)))
			connection->lost = 0;
	}
	if (!output_add(connection, bytes, length))
		connection->lost += length;
	connection_look_again(connection);
}

static void reader_input_ready(struct console_reader *reader)
{
	connection_look_again(container_of(reader, struct connection, reader));
}

static void reader_taken_over(struct console_reader *reader)
{
	static const char line[] = "\r\n[lodge: another console has taken the input over]\r\n";

	reader_output(reader, line, strlen(line));
}

void connection_stream(struct connection *connection, size_t kept)
{
	char bytes[WATCH_KEPT];
	size_t length = watch_copy(&connection->control->run->watch, bytes,
				   kept < sizeof(bytes) ? kept : sizeof(bytes));

	connection->streams = true;
	connection->subscribed = false;
	console_hub_add(&connection->control->run->hub, &connection->reader);
	reader_output(&connection->reader, bytes, length);
}

/* Input */

static void console_input(struct connection *connection)
{
	size_t taken = console_hub_input(&connection->control->run->hub, &connection->reader,
					 connection->input, connection->input_have);

	connection->input_have -= taken;
	memmove(connection->input, connection->input + taken, connection->input_have);
}

/* Carries out what there are whole lines of. */
static void take_lines(struct connection *connection)
{
	size_t from = 0;
	char *end;

	/* Of a peer that is gone nothing more begins. */
	while (connection->watch.fd >= 0 && !connection->streams && !connection->ending &&
	       connection->calls < CONTROL_CALLS_MAX &&
	       (end = memchr(connection->input + from, '\n', connection->input_have - from))) {
		char *line = connection->input + from;

		from = (size_t)(end - connection->input) + 1;
		call_begin(connection, line, (size_t)(end - line));
	}
	connection->input_have -= from;
	memmove(connection->input, connection->input + from, connection->input_have);
	if (connection->streams) {
		console_input(connection);
	} else if (connection->input_have == sizeof(connection->input) &&
		   !memchr(connection->input, '\n', connection->input_have)) {
		char *line = control_error_line(NULL, CONTROL_BAD_REQUEST,
						"a request is a line of at most 65535 bytes");

		connection_send_line(connection, line);
		free(line);
		connection->ending = true;
	}
}

static void take_files(struct connection *connection, struct msghdr *message)
{
	for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
		const int *files = (const int *)(const void *)CMSG_DATA(one);
		size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			if (connection->file_count == CONTROL_FILES_MAX)
				close(files[i]);
			else
				connection->files[connection->file_count++] = files[i];
		}
	}
}

/* One read. False: the connection is broken. */
static bool input_read(struct connection *connection)
{
	union {
		char bytes[CMSG_SPACE(CONTROL_FILES_MAX * sizeof(int))];
		struct cmsghdr align;
	} files;
	struct iovec piece = {.iov_base = connection->input + connection->input_have,
			      .iov_len = sizeof(connection->input) - connection->input_have};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = files.bytes,
				 .msg_controllen = sizeof(files.bytes)};
	ssize_t got;

	if (!piece.iov_len)
		return true;
	got = recvmsg(connection->watch.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
	take_files(connection, &message);
	connection->input_have += (size_t)got;
	/* It may still want to read its answers. */
	connection->input_ended = got == 0;
	return true;
}

static void connection_serve(struct connection *connection)
{
	take_lines(connection);
	output_send(connection);
	if (connection->output_from == connection->output_to &&
	    (connection->ending || (connection->input_ended && !connection->calls &&
				    !connection->streams && !connection->subscribed)))
		connection_end(connection);
	if (connection->watch.fd < 0 && !connection->calls)
		connection_free(connection);
	else
		watch_what_is_needed(connection);
}

static void connection_again(struct loop_call *call)
{
	connection_serve(call->context);
}

static void connection_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection = watch->context;

	if ((events & EPOLLIN) && !input_read(connection))
		connection_end(connection);
	else if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		connection_end(connection);
	connection_serve(connection);
}

/* The folder's mode keeps others away; this says so once more of each peer. Root may, but in a user
 * name space it can't be told from others. */
static bool peer_is_welcome(const struct control *control, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	       (peer.uid == control->user || peer.uid == 0);
}

static int accept_one(struct control *control)
{
	int fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || control->spare < 0)
		return fd;
	close(control->spare);
	control->spare = -1;
	return accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Who waits there would be reported for ever. */
static void listener_rest(struct control *control)
{
	const struct itimerspec in = {.it_value = {0, REST}};

	if (!timerfd_settime(control->rest.fd, 0, &in, NULL))
		loop_change(control->loop, &control->listener, 0);
}

static void rest_over(struct loop_watch *watch, uint32_t events)
{
	struct control *control = watch->context;
	uint64_t expirations;

	if (read(watch->fd, &expirations, sizeof(expirations)) > 0)
		loop_change(control->loop, &control->listener, EPOLLIN);
}

static void listener_ready(struct loop_watch *watch, uint32_t events)
{
	struct control *control = watch->context;
	struct connection *connection;
	int fd;

	spare_keep(control);
	fd = accept_one(control);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			listener_rest(control);
		return;
	}
	connection = peer_is_welcome(control, fd) && control->count < CONTROL_CONNECTIONS_MAX
			     ? calloc(1, sizeof(*connection))
			     : NULL;
	if (!connection) {
		close(fd);
		return;
	}
	connection->control = control;
	connection->watch =
		(struct loop_watch){.fd = fd, .ready = connection_ready, .context = connection};
	connection->again = (struct loop_call){.call = connection_again, .context = connection};
	connection->reader = (struct console_reader){.output = reader_output,
						     .input_ready = reader_input_ready,
						     .taken_over = reader_taken_over};
	if (loop_add(control->loop, &connection->watch, EPOLLIN)) {
		close(fd);
		free(connection);
		return;
	}
	connection->next = control->connections;
	control->connections = connection;
	control->count++;
}

/* The whole */

int control_listen(const char *path, char *reason, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path)) {
		snprintf(reason, size,
			 "%s: the name is too long for a socket: %zu bytes are the most", path,
			 sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	if (!lstat(path, &status) && S_ISSOCK(status.st_mode))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    chmod(path, 0600) || listen(fd, 64)) {
		error = -errno;
		snprintf(reason, size, "%s: %s", path, strerror(-error));
		if (fd >= 0)
			close(fd);
		return error;
	}
	return fd;
}

int control_create(struct control **result, struct run *run, int listener)
{
	struct control *control = calloc(1, sizeof(*control));
	int error, timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	error = !control ? -ENOMEM : timer < 0 ? -errno : 0;
	if (!error) {
		control->run = run;
		control->user = geteuid();
		control->loop = linux_loop(&run->vm);
		control->spare = -1;
		control->rest =
			(struct loop_watch){.fd = timer, .ready = rest_over, .context = control};
		control->listener = (struct loop_watch){
			.fd = listener, .ready = listener_ready, .context = control};
		error = loop_add(control->loop, &control->rest, EPOLLIN);
	}
	if (!error) {
		error = loop_add(control->loop, &control->listener, EPOLLIN);
		if (error)
			loop_remove(control->loop, &control->rest);
	}
	if (error) {
		if (timer >= 0)
			close(timer);
		close(listener);
		free(control);
		return error;
	}
	spare_keep(control);
	*result = control;
	return 0;
}

void control_event(struct control *control, const char *event, json_t *data)
{
	char *line = control_event_line(event, data);

	for (struct connection *one = control->connections; one; one = one->next)
		if (one->subscribed)
			connection_send_line(one, line);
	free(line);
}

/* What waits for peers that read. */
static void say_last_words(struct control *control)
{
	uint64_t until = host_now() + LAST_WORDS * UINT64_C(1000000);

	for (struct connection *one = control->connections; one; one = one->next) {
		output_send(one);
		while (one->watch.fd >= 0 && one->output_from != one->output_to &&
		       host_now() < until) {
			struct pollfd wait = {.fd = one->watch.fd, .events = POLLOUT};

			if (poll(&wait, 1, 10) < 0 && errno != EINTR)
				break;
			output_send(one);
		}
	}
}

void control_destroy(struct control *control)
{
	vm_lock(&control->run->vm);
	loop_remove(control->loop, &control->listener);
	close(control->listener.fd);
	loop_remove(control->loop, &control->rest);
	close(control->rest.fd);
	say_last_words(control);
	while (control->connections) {
		connection_end(control->connections);
		connection_free(control->connections);
	}
	if (control->spare >= 0)
		close(control->spare);
	vm_unlock(&control->run->vm);
	free(control);
}
