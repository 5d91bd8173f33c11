/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the control socket share: control.c has connections, control_call.c requests.
 */
#ifndef MANAGE_CONTROL_INTERNAL_H
#define MANAGE_CONTROL_INTERNAL_H

#include <sys/types.h>

#include "hosts/linux/loop.h"
#include "manage/console_hub.h"
#include "manage/control.h"

#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_CALLS_MAX	16	     /* unanswered requests of one connection */
#define CONTROL_FILES_MAX	8	     /* descriptors that wait to be taken */
#define CONTROL_OUTPUT_MAX	(1u << 20)   /* bytes that a peer has not read */
#define CONTROL_CONSOLE_MAX	(256u << 10) /* the same, of the console */

struct connection {
	struct control *control;
	struct connection *next;
	struct loop_watch watch; /* its fd is -1 once the peer is gone */
	struct loop_call again;	 /* for what other threads have left to do */
	unsigned calls;		 /* unanswered; the last one frees a connection that is gone */
	bool subscribed, streams, input_ended, ending;

	/* From the peer: a part of a line, or console input that the device has not taken. */
	char input[CONTROL_LINE_MAX];
	size_t input_have;
	int files[CONTROL_FILES_MAX];
	unsigned file_count;

	/* To the peer. */
	char *output;
	size_t output_from, output_to, output_size;
	unsigned long long lost; /* bytes of console output */

	struct console_reader reader;
};

struct control {
	struct run *run;
	struct loop *loop;
	struct loop_watch listener;
	struct loop_watch rest; /* a timer: when the listener is looked at again */
	int spare;		/* a file that makes room for a connection; -1: it has */
	uid_t user;		/* asked for before the sandbox, which doesn't let us ask */
	struct connection *connections;
	unsigned count;
};

struct control_call {
	struct connection *connection;
	struct control_request request;
};

/* Queues text and a newline; a connection with too much of it is ended. The text may be NULL (no
 * memory): that ends it as well. */
void connection_send_line(struct connection *connection, const char *line);

/* It becomes a stream of the console. */
void connection_stream(struct connection *connection, size_t kept);

/* The last call is gone, or something is to be sent. */
void connection_look_again(struct connection *connection);

/* A request has come: carries it out. */
void call_begin(struct connection *connection, const char *line, size_t length);

#endif
