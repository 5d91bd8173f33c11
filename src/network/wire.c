/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A frame goes out while the guest's notification is handled, or is dropped if the switch is too
 * slow; those that come in are read by a thread. One for which the guest has no room stays in the
 * thread's hands, and the next ones in the socket, until it has. The thread also hears what the
 * switch says of a change of its ports.
 */
#include "network/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/device.h"
#include "core/host.h"
#include "core/vm.h"
#include "lib/check.h"
#include "network/tap.h"

enum {
	MTU = 1500,
	MTU_MAX = 65521,
	BATCH = 64,
	PORTS_MILLISECONDS = 5000,
	FRAME_MAX = 12 + 14 + 65535, /* of a tap, with its header */
};

/* Under the vm's lock, but for the thread's own frame while it waits. */
struct wire {
	struct netport port;
	struct vm *vm;
	int file, ports, wake; /* ports: -1 if it is a tap */
	pthread_t thread;
	bool threaded, ending, blocked, held, complained;
	bool joined; /* the tap has been told that the guest takes joined segments */
	uint8_t frame[FRAME_MAX];
	size_t length; /* of the frame that the guest had no room for; 0: none */
	struct user_forward_change *change; /* what the switch has been asked for */
	uint64_t change_until;		    /* host_now() */
};

/* The hello, and with it one end of the connection for ports. */
static int send_hello(int socket, const struct wire_hello *hello, int ports)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
				.cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec part = {(void *)(uintptr_t)hello, sizeof(*hello)};
	const struct msghdr message = {.msg_iov = &part,
				       .msg_iovlen = 1,
				       .msg_control = &control,
				       .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &ports, sizeof(ports));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(*hello))
		return 0;
	return errno == EPIPE ? -ECONNRESET : -errno;
}

static int await_answer(int socket, int milliseconds)
{
	struct pollfd wait = {.fd = socket, .events = POLLIN};
	struct wire_answer answer;
	ssize_t got;

	if (poll(&wait, 1, milliseconds) != 1)
		return -ETIMEDOUT;
	got = recv(socket, &answer, sizeof(answer), MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return -ECONNRESET;
	if (got != (ssize_t)sizeof(answer) ||
	    memcmp(answer.magic, WIRE_MAGIC, sizeof(answer.magic)) ||
	    answer.version != WIRE_VERSION)
		return -EPROTO;
	return answer.error < 4096 ? -(int)answer.error : -EPROTO;
}

int wire_greet(struct wire_sockets *sockets, const struct wire_hello *hello, int milliseconds)
{
	int ends[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	error = send_hello(sockets->frames, hello, ends[1]);
	close(ends[1]);
	if (!error)
		error = await_answer(sockets->frames, milliseconds);
	if (error)
		close(ends[0]);
	else
		sockets->ports = ends[0];
	return error;
}

static const struct wire_reply no_reply = {
	ECONNRESET, "network: its switch doesn't answer: restart the network's machines"};

static bool ask(const struct wire *wire, const struct user_forward *forward, bool remove)
{
	struct wire_question question = {.remove = remove};
	struct wire_reply reply;

	user_forward_text(forward, question.port);
	/* An answer that came too late for its question. */
	while (recv(wire->ports, &reply, sizeof(reply), MSG_DONTWAIT) > 0)
		continue;
	return send(wire->ports, &question, sizeof(question), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* False: there is none yet. */
static bool take_reply(const struct wire *wire, struct wire_reply *reply)
{
	ssize_t got = recv(wire->ports, reply, sizeof(*reply), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got != (ssize_t)sizeof(*reply))
		*reply = no_reply;
	reply->reason[sizeof(reply->reason) - 1] = '\0';
	return true;
}

static int reply_error(const struct wire_reply *reply)
{
	return reply->error < 4096 ? -(int)reply->error : -EPROTO;
}

int wire_forward(struct netport *port, const struct user_forward *forward, char *reason,
		 size_t size)
{
	const struct wire *wire = container_of(port, struct wire, port);
	struct pollfd wait = {.fd = wire->ports, .events = POLLIN};
	struct wire_reply reply;

	if (!ask(wire, forward, false) || poll(&wait, 1, PORTS_MILLISECONDS) != 1 ||
	    !take_reply(wire, &reply))
		reply = no_reply;
	snprintf(reason, size, "%s", reply.reason);
	return reply_error(&reply);
}

/* While the port is held, an answer may be another process's. */
static bool change_waits(const struct wire *wire)
{
	return wire->change && !wire->held;
}

/* How long the thread may sleep, in milliseconds; -1: for ever. */
static int change_patience(const struct wire *wire)
{
	uint64_t now = host_now();

	if (!change_waits(wire))
		return -1;
	return now < wire->change_until ? (int)((wire->change_until - now) / 1000000) + 1 : 0;
}

static void change_serve(struct wire *wire)
{
	struct user_forward_change *change = wire->change;
	struct wire_reply reply;

	if (!change_waits(wire))
		return;
	if (!take_reply(wire, &reply)) {
		if (host_now() < wire->change_until)
			return;
		reply = no_reply;
	}
	wire->change = NULL;
	change->done(change, reply_error(&reply), reply.reason);
}

static void wake(struct wire *wire)
{
	uint64_t one = 1;

	if (write(wire->wake, &one, sizeof(one)) < 0)
		host_log(LOG_WARNING, "network: can't wake its thread: %s", strerror(errno));
}

unsigned wire_files(const struct netport *port, int files[2])
{
	const struct wire *wire = container_of(port, struct wire, port);

	files[0] = wire->file;
	files[1] = wire->ports;
	return wire->ports < 0 ? 1 : 2;
}

void wire_hold(struct netport *port, bool held)
{
	struct wire *wire = container_of(port, struct wire, port);

	wire->held = held;
	wake(wire);
}

/* Gives the guest what is there, as long as it has room. False: the switch is gone. */
static bool take_frames(struct wire *wire)
{
	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t got;

		if (!wire->length) {
			got = read(wire->file, wire->frame, sizeof(wire->frame));
			if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
				return false;
			if (got < 0)
				return true;
			wire->length = (size_t)got;
		}
		wire->blocked = !wire->port.receive(wire->port.device, wire->frame, wire->length);
		if (wire->blocked)
			return true;
		wire->length = 0;
	}
	return true;
}

static void *work(void *argument)
{
	struct wire *wire = argument;
	bool there = true;
	uint64_t count;

	pthread_setname_np(pthread_self(), "network");
	vm_lock(wire->vm);
	while (!wire->ending) {
		const bool frames = there && !wire->blocked && !wire->held;
		struct pollfd waits[3] = {
			{.fd = wire->wake, .events = POLLIN},
			{.fd = frames ? wire->file : -1, .events = POLLIN},
			{.fd = change_waits(wire) ? wire->ports : -1, .events = POLLIN}};
		const int patience = change_patience(wire);

		vm_unlock(wire->vm);
		poll(waits, 3, patience);
		vm_lock(wire->vm);
		change_serve(wire);
		if (waits[0].revents & POLLIN && read(wire->wake, &count, sizeof(count)) < 0)
			continue;
		if (there && !wire->ending && !wire->held)
			there = take_frames(wire);
		if (!there && !wire->complained) {
			host_log(LOG_WARNING, "network: the other end is gone: the cable is out");
			wire->complained = true;
		}
	}
	vm_unlock(wire->vm);
	return NULL;
}

/* When the guest first uses the network, as network/user.c has it, or a port is asked for. */
static void start_thread(struct wire *wire)
{
	sigset_t all, old;
	int error;

	if (wire->threaded)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&wire->thread, NULL, work, wire);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	wire->threaded = !error;
	if (error && !wire->complained) {
		host_log(LOG_ERROR, "network: no thread for it: %s", strerror(error));
		wire->complained = true;
	}
}

int wire_change_begin(struct netport *port, struct user_forward_change *change, char *reason,
		      size_t size)
{
	struct wire *wire = container_of(port, struct wire, port);

	CHECK(!wire->change);
	start_thread(wire);
	if (!wire->threaded || !ask(wire, &change->forward, change->remove)) {
		snprintf(reason, size, "%s", no_reply.reason);
		return reply_error(&no_reply);
	}
	wire->change = change;
	wire->change_until = host_now() + PORTS_MILLISECONDS * UINT64_C(1000000);
	wake(wire);
	return -EINPROGRESS;
}

void wire_change_forget(struct netport *port)
{
	container_of(port, struct wire, port)->change = NULL;
}

static void wire_send(struct netport *port, const struct slice *slices, unsigned count)
{
	struct wire *wire = container_of(port, struct wire, port);

	start_thread(wire);
	/* Without room in it, and without another end, the frame is lost. */
	(void)!writev(wire->file, (const struct iovec *)slices, (int)count);
}

static void wire_receive_ready(struct netport *port)
{
	struct wire *wire = container_of(port, struct wire, port);

	start_thread(wire);
	if (wire->port.has_header && wire->joined != wire->port.takes_joined) {
		wire->joined = wire->port.takes_joined;
		if (tap_offload(wire->file, wire->joined) && wire->joined)
			host_log(LOG_INFO, "network: the tap sends small segments only");
	}
	if (wire->blocked)
		wake(wire);
	wire->blocked = false;
}

static void wire_close(struct netport *port)
{
	struct wire *wire = container_of(port, struct wire, port);

	vm_lock(wire->vm);
	wire->ending = true;
	wake(wire);
	vm_unlock(wire->vm);
	if (wire->threaded)
		pthread_join(wire->thread, NULL);
	close(wire->wake);
	close(wire->file);
	if (wire->ports >= 0)
		close(wire->ports);
	free(wire);
}

static const struct netport_ops ops = {
	.send = wire_send, .receive_ready = wire_receive_ready, .close = wire_close};

int wire_open(struct vm *vm, const struct wire_sockets *sockets, const uint8_t *mac,
	      struct netport **port)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	int error;

	if (!wire)
		return -ENOMEM;
	wire->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wire->wake < 0 || fcntl(sockets->frames, F_SETFL, O_NONBLOCK)) {
		error = -errno;
		if (wire->wake >= 0)
			close(wire->wake);
		free(wire);
		return error;
	}
	wire->vm = vm;
	wire->file = sockets->frames;
	wire->ports = sockets->ports;
	wire->port.ops = &ops;
	wire->port.mtu = MTU;
	memcpy(wire->port.mac, mac, 6);
	*port = (void *)wire; /* of which the port is the first member */
	return 0;
}

int wire_open_tap(struct vm *vm, int file, unsigned mtu, const uint8_t *mac, struct netport **port)
{
	const struct wire_sockets sockets = {.frames = file, .ports = -1};
	int error = wire_open(vm, &sockets, mac, port);

	if (error)
		return error;
	(*port)->mtu = mtu < MTU_MAX ? mtu : MTU_MAX;
	(*port)->send_max = FRAME_MAX - 12;
	(*port)->has_header = (*port)->can_join = (*port)->receive_checked = true;
	return 0;
}
