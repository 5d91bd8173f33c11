/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial line, as the manager uses it: a queue each way, so that a slow line or a person who
 * types ahead makes nobody wait.
 */
#ifndef MANAGER_CONSOLE_H
#define MANAGER_CONSOLE_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_OUTPUT_MAX 131072u /* bytes, powers of two */
#define CONSOLE_GUEST_MAX                                                                          \
	4096u /* of them, what guests may fill: their output can wait elsewhere                    \
	       */
#define CONSOLE_INPUT_MAX 4096u

struct console {
	uint32_t output_read, output_written; /* counted; the difference waits in `output` */
	uint32_t input_read, input_written;
	uint64_t lost; /* bytes that found no room */
	bool in_line;  /* something stands in the line where the cursor is */
	char output[CONSOLE_OUTPUT_MAX], input[CONSOLE_INPUT_MAX];
};

/* Exactly these bytes, as far as there is room. */
void console_put_raw(struct console *console, const char *bytes, size_t length);

/* Text of ours: a line feed becomes carriage return and line feed. */
void console_put(struct console *console, const char *text);
void console_print(struct console *console, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void console_print_arguments(struct console *console, const char *format, va_list arguments);

/* Text of somebody else's: what could disturb a terminal is shown as a question mark. */
void console_put_foreign(struct console *console, const char *bytes, size_t length);

/* A new line, unless the cursor is at the start of one. */
void console_fresh_line(struct console *console);

/* How much of a guest's output there is room for. */
size_t console_room(const struct console *console);

/* Whether so much waits that the next command should wait as well. */
bool console_is_behind(const struct console *console);

/* Passes on what the serial line takes; false when nothing waits any more. */
bool console_flush(struct console *console);

/* Waits until all of it has been passed on, but not long: for the last words before the end. */
void console_drain(struct console *console);

/* Gets what has been typed, as far as there is room. False if there is none left: then there may be
 * more. */
bool console_fill(struct console *console);

/* Forgets what was typed. */
void console_forget(struct console *console);

/* The next byte that was typed, or -1; the same, and it stays. */
int console_key(struct console *console);
int console_peek(const struct console *console);

/* Whether this key waits; with it all that was typed before it is forgotten. */
bool console_urgent(struct console *console, char key);

#endif
