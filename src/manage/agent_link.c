/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All of it runs with the vm's lock held: the device's calls on vcpu threads, the loop's on the
 * main thread. A connection closes its files only on the loop (`ending`), which alone may remove
 * watches that are being looked at.
 */
#include "manage/agent_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/host.h"
#include "core/timer.h"
#include "core/vm.h"
#include "guest/agent_protocol.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/loop.h"

#define CONNECTIONS_MAX 64
#define ROOM		(128u << 10) /* for what the guest writes: a power of two */
#define PIECE		(32u << 10)
#define RETRY_NS	(20 * 1000 * 1000) /* of guest time */

struct connection {
	struct stream stream; /* first */
	struct agent_link *link;
	struct loop_watch watch; /* fd < 0: the slot is free */
	struct timer retry;
	bool open;	 /* the agent has taken the call */
	bool ended;	 /* the agent will say no more */
	bool client_end; /* nor will the client */
	bool ending;	 /* to be closed by the loop */
	/* Guest to client. */
	uint32_t head, tail; /* head - tail bytes are waiting */
	/* Client to guest: what of the last read has not been taken. */
	size_t piece_size, piece_sent;
	uint8_t piece[PIECE];
	uint8_t ring[ROOM];
};

struct agent_link {
	struct vm *vm;
	struct caller caller;
	struct loop_call sweep;
	struct connection *connections[CONNECTIONS_MAX]; /* made when first needed */
};

/* Which events are waited for, by what there is to do. */
static void look_for(struct connection *connection)
{
	uint32_t events = EPOLLHUP; /* never none: its end is always of interest */

	if (connection->ending)
		return;
	if (connection->head != connection->tail)
		events |= EPOLLOUT;
	if (connection->open && !connection->client_end && !connection->piece_size)
		events |= EPOLLIN;
	/* One that waits for its agent is looked at for its end alone. */
	if (!connection->open)
		events |= EPOLLRDHUP;
	loop_change(linux_loop(connection->link->vm), &connection->watch, events);
}

static void end(struct connection *connection)
{
	if (connection->ending)
		return;
	connection->ending = true;
	loop_post(linux_loop(connection->link->vm), &connection->link->sweep);
}

/* Everything has been said, and has arrived. */
static void end_if_done(struct connection *connection)
{
	if (connection->ended && connection->head == connection->tail)
		end(connection);
}

/* Guest to client */

static void client_write(struct connection *connection)
{
	struct caller *caller = &connection->link->caller;

	while (connection->head != connection->tail && !connection->ending) {
		uint32_t from = connection->tail % ROOM;
		uint32_t size = connection->head - connection->tail;
		ssize_t done;

		if (size > ROOM - from)
			size = ROOM - from;
		done = send(connection->watch.fd, connection->ring + from, size,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno != EAGAIN) {
			end(connection);
			return;
		}
		if (done < 0)
			break;
		connection->tail += (uint32_t)done;
		caller->consumed(&connection->stream, (uint32_t)done);
	}
	end_if_done(connection);
	look_for(connection);
}

static void stream_write(struct stream *stream, const void *bytes, size_t length)
{
	struct connection *connection = (struct connection *)stream;
	const uint8_t *from = bytes;

	while (length) {
		uint32_t at = connection->head % ROOM;
		size_t part = length < ROOM - at ? length : ROOM - at;

		memcpy(connection->ring + at, from, part);
		connection->head += (uint32_t)part;
		from += part;
		length -= part;
	}
	client_write(connection);
}

static void stream_ended(struct stream *stream)
{
	struct connection *connection = (struct connection *)stream;

	connection->ended = true;
	end_if_done(connection);
}

/* Client to guest */

static void guest_write(struct connection *connection)
{
	struct caller *caller = &connection->link->caller;

	if (connection->piece_size) {
		connection->piece_sent += caller->input(
			&connection->stream, connection->piece + connection->piece_sent,
			connection->piece_size - connection->piece_sent);
		if (connection->piece_sent == connection->piece_size)
			connection->piece_size = 0;
	}
	if (connection->client_end && !connection->piece_size)
		caller->finish(&connection->stream);
	look_for(connection);
}

static void stream_input_ready(struct stream *stream)
{
	guest_write((struct connection *)stream);
}

static void client_read(struct connection *connection)
{
	ssize_t got;

	if (connection->piece_size)
		return;
	got = recv(connection->watch.fd, connection->piece, PIECE, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		end(connection);
		return;
	}
	connection->client_end = got == 0;
	connection->piece_size = (size_t)got;
	connection->piece_sent = 0;
	guest_write(connection);
}

static void client_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection = watch->context;

	if (connection->ending)
		return;
	/* It has gone altogether, or before the agent came. */
	if ((events & (EPOLLHUP | EPOLLERR)) || (!connection->open && (events & EPOLLRDHUP))) {
		end(connection);
		return;
	}
	if (events & EPOLLOUT)
		client_write(connection);
	if ((events & EPOLLIN) && !connection->ending)
		client_read(connection);
}

/* The call of the agent */

static void call(struct connection *connection)
{
	struct agent_link *link = connection->link;
	int error = link->caller.call(link->caller.device, &connection->stream, AGENT_PORT);

	if (error == -ENETDOWN)
		timer_set(&connection->retry, vm_time(link->vm) + RETRY_NS);
	else if (error)
		end(connection);
}

static void retry(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, retry);

	if (connection->watch.fd >= 0 && !connection->ending)
		call(connection);
}

static void stream_opened(struct stream *stream)
{
	struct connection *connection = (struct connection *)stream;

	connection->open = true;
	look_for(connection);
}

static void stream_closed(struct stream *stream, int error)
{
	struct connection *connection = (struct connection *)stream;

	if (connection->ending)
		return;
	if (!connection->open) {
		/* Nobody listens (yet). */
		timer_set(&connection->retry, vm_time(connection->link->vm) + RETRY_NS);
		return;
	}
	connection->ended = true;
	connection->client_end = true;
	connection->piece_size = 0;
	end_if_done(connection);
	look_for(connection);
}

static const struct stream_ops stream_ops = {.opened = stream_opened,
					     .write = stream_write,
					     .input_ready = stream_input_ready,
					     .ended = stream_ended,
					     .closed = stream_closed};

/* Connections */

static void connection_close(struct connection *connection)
{
	struct agent_link *link = connection->link;

	timer_set(&connection->retry, TIMER_NEVER);
	link->caller.close(&connection->stream);
	loop_remove(linux_loop(link->vm), &connection->watch);
	close(connection->watch.fd);
	connection->watch.fd = -1;
}

static void sweep(struct loop_call *loop_call)
{
	struct agent_link *link = loop_call->context;

	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (link->connections[i] && link->connections[i]->watch.fd >= 0 &&
		    link->connections[i]->ending)
			connection_close(link->connections[i]);
}

/* A free one, in its first state. 0, -EBUSY or -ENOMEM. */
static int connection_new(struct agent_link *link, struct connection **result)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *one = link->connections[i];

		if (one && one->watch.fd >= 0)
			continue;
		if (!one) {
			one = calloc(1, sizeof(*one));
			if (!one)
				return -ENOMEM;
			timer_init(&one->retry, link->vm, retry);
			link->connections[i] = one;
		}
		one->stream = (struct stream){.ops = &stream_ops, .room = ROOM};
		one->link = link;
		one->open = one->ended = one->client_end = one->ending = false;
		one->head = one->tail = 0;
		one->piece_size = 0;
		*result = one;
		return 0;
	}
	return -EBUSY;
}

int agent_link_join(struct agent_link *link, int fd)
{
	struct connection *connection;
	struct stat stat;
	int error;

	if (fstat(fd, &stat) || !S_ISSOCK(stat.st_mode)) {
		close(fd);
		return -ENOTSOCK;
	}
	error = connection_new(link, &connection);
	if (error) {
		close(fd);
		return error;
	}
	connection->watch =
		(struct loop_watch){.fd = fd, .ready = client_ready, .context = connection};
	error = loop_add(linux_loop(link->vm), &connection->watch, EPOLLHUP | EPOLLRDHUP);
	if (error) {
		connection->watch.fd = -1;
		close(fd);
		return error;
	}
	call(connection);
	return 0;
}

/* The link */

int agent_link_create(struct agent_link **result, struct vm *vm)
{
	struct agent_link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->vm = vm;
	link->sweep = (struct loop_call){.call = sweep, .context = link};
	*result = link;
	return 0;
}

struct caller *agent_link_caller(struct agent_link *link)
{
	return &link->caller;
}

void agent_link_destroy(struct agent_link *link)
{
	vm_lock(link->vm);
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		if (link->connections[i] && link->connections[i]->watch.fd >= 0)
			connection_close(link->connections[i]);
		free(link->connections[i]);
	}
	loop_withdraw(linux_loop(link->vm), &link->sweep);
	vm_unlock(link->vm);
	free(link);
}
