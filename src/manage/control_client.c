/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/control_message.h"
#include "manage/plain.h"

#define ANSWER_MAX	(2u << 20) /* more than a machine ever says at once */
#define FILES_MAX	8
#define PATIENCE	10000 /* milliseconds */
#define CONNECT_SECONDS 3
#define NANOSECONDS	UINT64_C(1000000) /* of a millisecond */

struct control_client {
	int fd;
	json_int_t next_id;
	char *input;
	size_t have, size;
};

/* In /tmp anybody could have put a socket in the place of a machine's. */
static int check_server(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	return peer.uid == geteuid() || peer.uid == 0 ? 0 : -EPERM;
}

/* A process that stands accepts nobody, and the queue in front of its socket has an end. */
static int connect_in_time(int fd, const struct sockaddr_un *address)
{
	const struct timeval limit = {.tv_sec = CONNECT_SECONDS}, none = {0, 0};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	/* What is typed at a console waits until the guest takes it. */
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) ? -errno : 0;
}

int control_connect(struct control_client **result, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct control_client *client;
	int error;

	if (!path[0])
		return -ENOENT;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	error = client->fd < 0 ? -errno : connect_in_time(client->fd, &address);
	if (!error)
		error = check_server(client->fd);
	if (error) {
		control_disconnect(client);
		return error;
	}
	*result = client;
	return 0;
}

void control_disconnect(struct control_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->input);
	free(client);
}

int control_client_file(const struct control_client *client)
{
	return client->fd;
}

pid_t control_client_peer(const struct control_client *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? -1 : peer.pid;
}

static int fail(int error, char *reason, size_t size, const char *text)
{
	snprintf(reason, size, "%s", text);
	return error;
}

/* Sending */

static int send_all(struct control_client *client, const char *bytes, size_t length,
		    const struct control_exchange *exchange)
{
	union {
		char bytes[CMSG_SPACE(FILES_MAX * sizeof(int))];
		struct cmsghdr align;
	} files = {{0}};
	size_t files_size = exchange->file_count * sizeof(int);
	bool files_sent = !exchange->file_count;

	while (length) {
		struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
		struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
		ssize_t sent;

		if (!files_sent) {
			message.msg_control = files.bytes;
			message.msg_controllen = CMSG_SPACE(files_size);
			files.align.cmsg_level = SOL_SOCKET;
			files.align.cmsg_type = SCM_RIGHTS;
			files.align.cmsg_len = CMSG_LEN(files_size);
			memcpy(CMSG_DATA(&files.align), exchange->files, files_size);
		}
		sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		files_sent = true;
		bytes += sent;
		length -= (size_t)sent;
	}
	return 0;
}

static int send_request(struct control_client *client, const struct control_exchange *exchange)
{
	json_t *request =
		json_pack("{s:I, s:s, s:o}", "id", ++client->next_id, "command", exchange->command,
			  "arguments", exchange->arguments ? exchange->arguments : json_object());
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t length = line ? strlen(line) : 0;
	int error = -ENOMEM;

	if (line && exchange->file_count <= FILES_MAX) {
		line[length] = '\n'; /* in the place of the NUL */
		error = send_all(client, line, length + 1, exchange);
	}
	free(line);
	json_decref(request);
	return error;
}

/* Receiving */

/* Waits until there is something to read. 0, -ETIMEDOUT. */
static int wait_readable(struct control_client *client, uint64_t until)
{
	for (;;) {
		struct pollfd one = {.fd = client->fd, .events = POLLIN};
		uint64_t now = host_now();
		int left = -1, ready;

		if (until != UINT64_MAX)
			left = now >= until ? 0 : (int)((until - now) / NANOSECONDS) + 1;
		ready = poll(&one, 1, left);
		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int read_more(struct control_client *client)
{
	ssize_t got;

	if (client->have == client->size) {
		size_t size = client->size ? client->size * 2 : 8192;
		char *larger = size <= ANSWER_MAX ? realloc(client->input, size) : NULL;

		if (!larger)
			return size > ANSWER_MAX ? -EPROTO : -ENOMEM;
		client->input = larger;
		client->size = size;
	}
	do
		got = read(client->fd, client->input + client->have, client->size - client->have);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return -ECONNRESET;
	client->have += (size_t)got;
	return 0;
}

/* What is said ends at a terminal, and a guest may have got hold of the process that says it. Keys
 * are looked for by names of ours. */
static void clean(json_t *value)
{
	const char *text = json_string_value(value), *key;
	char *copy = text ? strdup(text) : NULL;
	json_t *member;
	size_t i;

	if (copy) {
		plain_line(copy);
		json_string_set(value, copy);
	} else if (text) {
		json_string_set(value, "");
	}
	free(copy);
	json_array_foreach(value, i, member) clean(member);
	json_object_foreach(value, key, member) clean(member);
}

static char *line_end(const struct control_client *client)
{
	return client->have ? memchr(client->input, '\n', client->have) : NULL;
}

bool control_client_has_line(const struct control_client *client)
{
	return line_end(client);
}

/* One line as an object. 0 or a negative errno. */
static int read_line(struct control_client *client, uint64_t until, json_t **line)
{
	char *end;
	size_t length;
	int error;

	while (!(end = line_end(client))) {
		error = wait_readable(client, until);
		if (!error)
			error = read_more(client);
		if (error)
			return error;
	}
	length = (size_t)(end - client->input);
	*line = control_depth_fits(client->input, length, CONTROL_DEPTH_MAX)
			? json_loadb(client->input, length, JSON_REJECT_DUPLICATES, NULL)
			: NULL;
	client->have -= length + 1;
	memmove(client->input, end + 1, client->have);
	if (!json_is_object(*line)) {
		json_decref(*line);
		return -EPROTO;
	}
	clean(*line);
	return 0;
}

static int explain(int error, char *reason, size_t size)
{
	switch (error) {
	case 0:
		return 0;
	case -ETIMEDOUT:
		return fail(error, reason, size, "doesn't answer in time");
	case -EPROTO:
		return fail(error, reason, size, "doesn't speak the control protocol");
	case -ECONNRESET:
	case -EPIPE:
		return fail(-ECONNRESET, reason, size, "has ended meanwhile");
	default:
		return fail(error, reason, size, strerror(-error));
	}
}

static uint64_t deadline(int timeout)
{
	return timeout < 0 ? UINT64_MAX : host_now() + (uint64_t)timeout * NANOSECONDS;
}

/* Takes what the answer says. The line's reference is given up. */
static int take_answer(json_t *line, json_t **result, char *code, size_t code_size, char *reason,
		       size_t size)
{
	json_t *error = json_object_get(line, "error"), *good = json_object_get(line, "result");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *name = json_string_value(json_object_get(error, "code"));
	int status = 0;

	if (message && name) {
		snprintf(code, code_size, "%s", name);
		status = fail(-EREMOTEIO, reason, size, message);
	} else if (!json_is_object(good)) {
		status = explain(-EPROTO, reason, size);
	} else if (result) {
		*result = json_incref(good);
	}
	json_decref(line);
	return status;
}

int control_ask(struct control_client *client, const struct control_exchange *exchange,
		json_t **result, char *code, size_t code_size, char *reason, size_t size)
{
	uint64_t until = deadline(exchange->timeout);
	int error = send_request(client, exchange);

	while (!error) {
		const char *event;
		json_t *line, *id;

		error = read_line(client, until, &line);
		if (error)
			break;
		event = json_string_value(json_object_get(line, "event"));
		id = json_object_get(line, "id");
		if (!event && json_is_integer(id) && json_integer_value(id) == client->next_id)
			return take_answer(line, result, code, code_size, reason, size);
		if (event && exchange->event)
			exchange->event(exchange->context, event, json_object_get(line, "data"));
		json_decref(line);
		if (!event)
			error = -EPROTO;
	}
	return explain(error, reason, size);
}

int control_request(struct control_client *client, const char *command, json_t *arguments,
		    json_t **result, char *reason, size_t size)
{
	const struct control_exchange exchange = {
		.command = command, .arguments = arguments, .timeout = PATIENCE};
	char code[64];

	return control_ask(client, &exchange, result, code, sizeof(code), reason, size);
}

int control_wait_event(struct control_client *client, int timeout, json_t **line, char *reason,
		       size_t size)
{
	uint64_t until = deadline(timeout);
	int error;

	while (!(error = read_line(client, until, line))) {
		if (json_is_string(json_object_get(*line, "event")))
			return 0;
		json_decref(*line);
	}
	return explain(error, reason, size);
}

size_t control_client_rest(struct control_client *client, char *bytes, size_t size)
{
	size_t length = client->have < size ? client->have : size;

	if (!length)
		return 0;
	memcpy(bytes, client->input, length);
	client->have -= length;
	memmove(client->input, client->input + length, client->have);
	return length;
}
