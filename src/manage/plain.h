/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest has written, as a person's terminal may get it: text, its layout and its colours.
 * All else that a terminal would obey (titles, the clipboard, keys, what makes it answer) is left
 * out; the sequences are those of ECMA-48.
 */
#ifndef MANAGE_PLAIN_H
#define MANAGE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

#define PLAIN_HELD 40 /* more bytes than were taken may come out at a time */

/* Zeroed: at the beginning. What was begun goes on with the next piece. */
struct plain {
	enum { PLAIN_TEXT, PLAIN_ESCAPE, PLAIN_SEQUENCE, PLAIN_STRING, PLAIN_STRING_ESCAPE } state;
	char held[PLAIN_HELD]; /* of a sequence, or a character, that isn't whole yet */
	unsigned count, want;  /* want: bytes of the character */
};

/* The bytes as they may be shown; out has length + PLAIN_HELD bytes. How many there are. */
size_t plain_take(struct plain *plain, const char *bytes, size_t length, char *out);

/* A whole text with a NUL behind it, in place. */
void plain_text(char *text);

/* How many bytes the character has that the text begins with (RFC 3629); 0: it is none. */
unsigned plain_character(const char *text);

/* Whether all of it is characters. */
bool plain_is_utf8(const char *text);

/* A text that is one line, without colours: in place of each control stands a question mark. */
void plain_line(char *text);

#endif
