/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line of the control protocol (docs/control-protocol.md): a request as a peer sends it, and
 * answers as we do. Every byte of a request is hostile. Pure but for allocation.
 */
#ifndef MANAGE_CONTROL_MESSAGE_H
#define MANAGE_CONTROL_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CONTROL_LINE_MAX  65536 /* bytes of a line, with its newline */
#define CONTROL_DEPTH_MAX 16	/* objects and lists inside each other */

/* Codes of errors, which programs may rely on. */
#define CONTROL_BAD_REQUEST	"bad-request"	  /* no JSON, or not of a request's form */
#define CONTROL_UNKNOWN_COMMAND "unknown-command" /* there is no such command */
#define CONTROL_BAD_ARGUMENT	"bad-argument"	  /* an argument is missing, unknown or no good */
#define CONTROL_BAD_STATE	"bad-state"	  /* not now: the machine's state forbids it */
#define CONTROL_HOST		"host"		  /* this host lacks or refuses something */
#define CONTROL_BUSY		"busy"		  /* somebody else has it */

struct control_request {
	json_t *root; /* owns all of it */
	json_t *id;   /* an integer, or NULL: none was given, so there is nobody to answer to */
	const char *command;
	json_t *arguments; /* an object, maybe an empty one */
};

/*
 * Reads a line (without its newline). False with one line of why: then request->root is NULL, and
 * request->id is what could be found of it (to be released by control_request_free all the same).
 */
bool control_request_parse(const char *line, size_t length, struct control_request *request,
			   char *why, size_t size);
void control_request_free(struct control_request *request);

/* What is to be a line: without its newline, to be freed. result is released. NULL: no memory. */
char *control_result_line(json_t *id, json_t *result);
char *control_error_line(json_t *id, const char *code, const char *message);
char *control_event_line(const char *event, json_t *data);

/* Text that may hold anything, as a JSON string: what is not UTF-8 becomes question marks. */
json_t *control_text(const char *text);

/* The limits on any text that somebody else wrote, before it is given to a JSON reader. */
bool control_depth_fits(const char *text, size_t length, unsigned most);

#endif
