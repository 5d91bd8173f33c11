/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Edits one line on a terminal of any kind: of what a terminal can do it uses only printing,
 * backspace and carriage return. Typing at the end of the line echoes what is typed and nothing
 * else, so piped input leaves a record that can be read.
 *
 * Keys: Backspace, Ctrl-U (all before the cursor), Ctrl-K (all behind it), Ctrl-W (a word), Ctrl-A
 * and Home, Ctrl-E and End, Delete and Ctrl-D, arrows (or Ctrl-B, -F, -P, -N), Tab, Ctrl-L, Ctrl-C.
 */
#ifndef MANAGER_LINE_EDIT_H
#define MANAGER_LINE_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_EDIT_MAX	  256 /* with the NUL */
#define LINE_EDIT_HISTORY 32
#define LINE_EDIT_WIDTH	  79 /* columns that are used; longer lines show a part of themselves */

enum line_event {
	LINE_EDITED,
	LINE_ENTERED, /* `text` is the line; line_edit_begin starts the next one */
	LINE_LEFT,    /* Ctrl-C: the line is given up */
};

struct line_edit {
	/* Where output goes; and the index-th word (from 0 on; NULL behind the last) that can stand
	 * behind what is in front of it in the line, whatever it begins with. */
	void (*put)(void *context, const char *bytes, size_t length);
	const char *(*candidate)(void *context, const char *before, unsigned index);
	void *context;
	const char *prompt;

	char text[LINE_EDIT_MAX]; /* ended by a NUL */
	unsigned length, cursor;
	unsigned first;	   /* of text that is shown */
	unsigned shown;	   /* columns in use behind the prompt */
	bool visible;	   /* the prompt is on the screen */
	unsigned escape;   /* how much of an escape sequence has come */
	char parameter;	   /* its number, one digit */
	bool after_return; /* a line feed that comes now belongs to the carriage return */

	char history[LINE_EDIT_HISTORY][LINE_EDIT_MAX]; /* a ring */
	unsigned history_count;				/* lines ever entered */
	unsigned history_at;	   /* which is shown; history_count: the new one */
	char draft[LINE_EDIT_MAX]; /* the new line, while an old one is shown */
};

/* Shows the prompt and an empty line. */
void line_edit_begin(struct line_edit *edit);

enum line_event line_edit_key(struct line_edit *edit, char key);

/* Takes the line off the screen, so that something else can be printed, and puts it back. */
void line_edit_hide(struct line_edit *edit);
void line_edit_show(struct line_edit *edit);

/* Puts a line into the history as if it had been entered. */
void line_edit_remember(struct line_edit *edit, const char *text);

#endif
