/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a machine, in its process: a Unix stream socket over which other programs
 * of the same user ask for what the machine can do (docs/control-protocol.md). What can be asked
 * for is a table, control_commands.c.
 *
 * All of it runs on the event loop or with the vm's lock held, and never waits: a peer that does
 * not read loses its connection, one that reads a console slowly loses some of that.
 */
#ifndef MANAGE_CONTROL_H
#define MANAGE_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "manage/control_message.h"

struct control;
struct control_call;
struct run;

/* An argument of a command. */
struct control_parameter {
	const char *name; /* NULL ends the list */
	char type;	  /* 's' string, 'i' integer, 'b' true or false, 'o' object, 'a' array */
	bool required;
};

#define CONTROL_PARAMETERS_MAX 8

struct control_command {
	const char *name; /* NULL ends the table */
	struct control_parameter parameters[CONTROL_PARAMETERS_MAX];
	/*
	 * Carries it out. Answers (control_answer, control_fail) exactly once, now or later: until
	 * then the call stays, also if its peer goes away. Vm's lock held, on the main thread.
	 * Arguments have been checked against the parameters.
	 */
	void (*run)(struct run *run, struct control_call *call);
	const char *help;
};

/* Ended by one without a name. */
extern const struct control_command control_commands[];

/*
 * A listening socket at this path, whose folder is the caller's alone (0700). What is there already
 * and is a socket is replaced. Not inherited by programs. A descriptor, or a negative errno with
 * one line in reason.
 */
int control_listen(const char *path, char *reason, size_t size);

/* Serves `listener` (which becomes control's) on the loop of the run's vm. 0 or a negative errno.
 */
int control_create(struct control **control, struct run *run, int listener);

/* Gives peers a moment to take what waits for them, and ends all connections. No vcpu runs; vm's
 * lock not held. */
void control_destroy(struct control *control);

/* What was asked for: an object, as long as the call lives. */
json_t *control_arguments(const struct control_call *call);

/* The string, integer or truth of an argument, or what counts if it was not given. */
const char *control_string(const struct control_call *call, const char *name, const char *usual);
long long control_integer(const struct control_call *call, const char *name, long long usual);
bool control_bool(const struct control_call *call, const char *name, bool usual);

/* Takes the next file descriptor that came with the request (SCM_RIGHTS); the caller's from now on.
 * -1: there is none. */
int control_take_file(struct control_call *call);

/* Whether the peer is still there. */
bool control_alive(const struct control_call *call);

/* Ends the call. result: NULL for an empty object; its reference is taken. message: one line
 * without a newline. Vm's lock held, any thread. */
void control_answer(struct control_call *call, json_t *result);
void control_fail(struct control_call *call, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Sends an event about a call that goes on to its peer alone (progress, say); data's reference is
 * taken. */
void control_tell(struct control_call *call, const char *event, json_t *data);

/* Sends an event to all who have subscribed; data's reference is taken. Vm's lock held, any thread.
 */
void control_event(struct control *control, const char *event, json_t *data);

/* From now on events go to this call's peer. */
void control_subscribe(struct control_call *call);

/* Answers the call, and makes its connection a stream of the serial console (console_hub.h): with
 * input if `write`, which another has until it is taken over (`take`). The last `kept` bytes of
 * output come first. */
void control_stream_console(struct control_call *call, bool write, bool take, size_t kept);

#endif
