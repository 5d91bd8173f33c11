/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other end of a machine's control socket (docs/control-protocol.md): asks, waits, gets answers
 * and events. Not for several threads at once. What comes in is as hostile as a guest that has
 * taken over its machine's process.
 */
#ifndef MANAGE_CONTROL_CLIENT_H
#define MANAGE_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct control_client;

/* 0; -ECONNREFUSED, -ENOENT: no machine is there; -EPERM: who listens there is neither this user
 * nor root, and was told nothing; -ETIMEDOUT: as many wait there as may, for three seconds; another
 * negative errno. */
int control_connect(struct control_client **client, const char *path);
void control_disconnect(struct control_client *client);

/* For poll, where no line is here already, and once the connection is a stream of the console. */
int control_client_file(const struct control_client *client);

/* Whether a line has been read that nobody has asked for yet: of it poll knows nothing. */
bool control_client_has_line(const struct control_client *client);

/* Who is at the other end. -1: can't be told. */
pid_t control_client_peer(const struct control_client *client);

struct control_exchange {
	const char *command;
	json_t *arguments; /* its reference is taken; NULL: none */
	const int *files;  /* descriptors to send along */
	unsigned file_count;
	int timeout; /* milliseconds, -1: none */
	/* Called for events on the way, may be NULL. */
	void (*event)(void *context, const char *event, json_t *data);
	void *context;
};

/*
 * Asks and waits for the answer: *result is to be released (json_decref), unless result is NULL. 0;
 * -EREMOTEIO: the machine refuses, and reason (one line) and code say why; -ECONNRESET: it has
 * gone; -ETIMEDOUT; -EPROTO: what came is no answer; reason always has a line. After the last three
 * the connection is of no more use.
 */
int control_ask(struct control_client *client, const struct control_exchange *exchange,
		json_t **result, char *code, size_t code_size, char *reason, size_t size);

/* The simple case: no files, ten seconds. */
int control_request(struct control_client *client, const char *command, json_t *arguments,
		    json_t **result, char *reason, size_t size);

/* The next event within so many milliseconds (-1: for ever): *line is to be released, an object
 * with event and data. 0, or as control_ask. */
int control_wait_event(struct control_client *client, int timeout, json_t **line, char *reason,
		       size_t size);

/* Bytes that came behind an answer and belong to the stream of the console: how many. */
size_t control_client_rest(struct control_client *client, char *bytes, size_t size);

#endif
