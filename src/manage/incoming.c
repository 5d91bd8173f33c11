/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Until the machine is ours, whatever goes wrong ends this process: the machine is the other's. It
 * becomes ours by GO, and by one thing else: the other side has sent all of it and its process has
 * ended without having cancelled (the end of the stream; a process that lives says CANCEL first).
 * Silence is no end.
 */
#include "manage/incoming.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/net.h"
#include "manage/run_state.h"

#define REASON 1024

/* For a port: so often, so many milliseconds. */
#define WAITS 400
#define WAIT  5

/* The process's signals are taken by the event loop, which doesn't run yet: now they end it. */
static void let_signals(bool through)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGQUIT);
	pthread_sigmask(through ? SIG_UNBLOCK : SIG_BLOCK, &signals, NULL);
}

static int failed(const struct run *run, int error)
{
	return complain_with(error == -EPROTO ? LODGE_BAD_INPUT : LODGE_HOST_LACKS,
			     "--incoming %s: %s: the machine has not come", run->incoming.address,
			     wire_error(error));
}

/* Sends the reason why not, and ends the connection. */
static void refuse(struct incoming *incoming, const char *reason)
{
	wire_send(&incoming->wire, WIRE_REFUSE, 0, reason, strlen(reason));
	close(incoming->wire.fd);
	incoming->wire.fd = -1;
}

static bool greet(struct run *run, int fd, struct saved_config *config, char *reason)
{
	struct incoming *incoming = &run->incoming;
	int error = wire_init(&incoming->wire, fd, NULL);

	if (!error && incoming->wire.local && !wire_peer_is_own(fd)) {
		snprintf(reason, REASON, "another user's process is no peer");
		return false;
	}
	incoming->wire.deadline = host_now() + WIRE_GREETING * UINT64_C(1000000);
	if (!error)
		error = wire_receive(&incoming->wire, &incoming->message, WIRE_GREETING);
	incoming->wire.deadline = 0;
	if (!error && incoming->message.type != WIRE_HELLO)
		error = -EPROTO;
	if (error) {
		snprintf(reason, REASON, "%s", wire_error(error));
		return false;
	}
	if (incoming->message.argument != MIGRATE_VERSION) {
		snprintf(reason, REASON, "it speaks version %llu of the protocol, this Lodge %u",
			 (unsigned long long)incoming->message.argument, MIGRATE_VERSION);
		return false;
	}
	return saved_config_read(config, incoming->message.payload, incoming->message.length,
				 reason) == 0;
}

/* Takes peers until one has a machine to give. */
static int await_peer(struct run *run, int listener, struct saved_config *config)
{
	char reason[REASON];

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return -errno;
		if (greet(run, fd, config, reason))
			return 0;
		complain("--incoming %s: a peer was refused: %s", run->incoming.address, reason);
		if (run->incoming.wire.fd >= 0)
			refuse(&run->incoming, reason);
		else
			close(fd);
	}
}

int incoming_begin(struct run *run, struct options *options)
{
	struct incoming *incoming = &run->incoming;
	char reason[REASON];
	struct stat socket;
	int listener, error;

	incoming->wire.fd = -1;
	if (!options->incoming)
		return LODGE_OK;
	incoming->address = options->incoming;
	run->restore.config = malloc(sizeof(*run->restore.config));
	incoming->message.payload = malloc(WIRE_PAYLOAD_MAX);
	if (!run->restore.config || !incoming->message.payload)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	listener = wire_listen(options->incoming, reason, sizeof(reason));
	if (listener < 0)
		return complain_with(LODGE_HOST_LACKS, "--incoming %s", reason);
	wire_socket_find(options->incoming, &socket);
	let_signals(true);
	error = await_peer(run, listener, run->restore.config);
	wire_socket_remove(options->incoming, &socket);
	close(listener);
	if (error)
		return failed(run, error);
	run->restore.path = options->incoming;
	run->options = options;
	error = restore_take(run, options);
	return error ? error : restore_check_shares(run);
}

/* The machine's end of its network, once. */
static int take_network(struct run *run)
{
	struct incoming *incoming = &run->incoming;
	struct wire *wire = &incoming->wire;

	if (incoming->file_count || !wire->file_count || !net_has_files(run->options))
		return -EPROTO;
	memcpy(incoming->files, wire->files, sizeof(incoming->files));
	incoming->file_count = wire->file_count;
	wire->file_count = 0;
	return 0;
}

int incoming_memory(struct run *run)
{
	struct incoming *incoming = &run->incoming;
	struct wire_message *message = &incoming->message;
	struct saved_file *file = &run->restore.file;
	uint64_t left = run->vm.memory.size / SAVED_CHUNK * (WIRE_ROUNDS_MAX + 1);
	int error;

	if (!incoming->address)
		return LODGE_OK;
	incoming->wire.takes_files = incoming->wire.local;
	error = wire_send(&incoming->wire, WIRE_READY, 0, NULL, 0);
	while (!error) {
		error = wire_receive(&incoming->wire, message, WIRE_PATIENCE);
		if (error)
			break;
		if (message->type == WIRE_STATE) {
			error = wire_take_state(message, &file->state, &file->state_length);
			if (error || !message->argument)
				break;
		} else if (file->state)
			error = -EPROTO; /* only more of it may follow */
		else if (message->type == WIRE_MEMORY && !left--)
			error = -EFBIG;
		else if (message->type == WIRE_MEMORY)
			error = wire_take_chunk(message, run->vm.memory.base, run->vm.memory.size);
		else if (message->type == WIRE_NETWORK)
			error = take_network(run);
		else
			error = message->type == WIRE_CANCEL ? -ECANCELED : -EPROTO;
	}
	incoming->wire.takes_files = false;
	wire_close_files(&incoming->wire);
	if (!error && incoming->wire.local && net_has_files(run->options) && !incoming->file_count)
		error = -EPROTO;
	let_signals(false);
	if (error)
		return failed(run, error);
	return LODGE_OK;
}

bool incoming_waits(struct run *run)
{
	if (!run->incoming.address || run->incoming.waits++ == WAITS)
		return false;
	usleep(WAIT * 1000);
	return true;
}

int incoming_commit(struct run *run)
{
	struct incoming *incoming = &run->incoming;
	struct wire *wire = &incoming->wire;
	int error = wire_send(wire, WIRE_LOADED, 0, NULL, 0);

	/* What it said before it went is still there to be read. Not so behind a reset of TCP. */
	if (!error || error == -ENODATA || (error == -ECONNRESET && wire->local))
		error = wire_receive(wire, &incoming->message, 2 * WIRE_PATIENCE);
	if (error == -ENODATA || (error == -ECONNRESET && wire->local)) {
		complain("--incoming %s: the other side has ended, and leaves the machine to this "
			 "one",
			 incoming->address);
		error = 0;
	} else if (!error && incoming->message.type == WIRE_GO) {
		incoming->paused = incoming->message.argument;
		/* Before the first instruction: who hears nothing of it and sees us end has it
		 * back. */
		wire_send(wire, WIRE_RUNNING, 0, NULL, 0);
	} else if (!error) {
		error = incoming->message.type == WIRE_CANCEL ? -ECANCELED : -EPROTO;
	}
	if (error)
		return failed(run, error);
	close(wire->fd);
	wire->fd = -1;
	return LODGE_OK;
}

void incoming_end(struct run *run)
{
	if (run->incoming.address && run->incoming.wire.fd >= 0)
		refuse(&run->incoming, "it can't have this machine: it says there why");
	while (run->incoming.file_count > 0)
		close(run->incoming.files[--run->incoming.file_count]);
	free(run->incoming.message.payload);
}
