/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/line_edit.h"

#include "lib/bytes.h"
#include "lib/string.h"

#define CONTROL(letter) ((letter)-0x40)
#define ESCAPE		0x1b
#define DELETE		0x7f
#define CANDIDATES_MAX	512 /* asked for, at most */

static void put(struct line_edit *edit, const char *text)
{
	edit->put(edit->context, text, string_length(text));
}

static void put_many(struct line_edit *edit, char c, unsigned count)
{
	while (count--)
		edit->put(edit->context, &c, 1);
}

/* Columns for the text; one is left for the cursor behind its end. */
static unsigned width(const struct line_edit *edit)
{
	return LINE_EDIT_WIDTH - 1 - (unsigned)string_length(edit->prompt);
}

/* Draws the line anew over the old one. */
static void redraw(struct line_edit *edit)
{
	unsigned count, padding;

	if (edit->cursor < edit->first || edit->cursor > edit->first + width(edit))
		edit->first = edit->cursor > width(edit) / 2 ? edit->cursor - width(edit) / 2 : 0;
	count = edit->length - edit->first;
	if (count > width(edit))
		count = width(edit);
	put(edit, "\r");
	put(edit, edit->prompt);
	edit->put(edit->context, edit->text + edit->first, count);
	padding = edit->shown > count ? edit->shown - count : 0;
	put_many(edit, ' ', padding);
	put_many(edit, '\b', padding + edit->first + count - edit->cursor);
	edit->shown = count;
}

void line_edit_begin(struct line_edit *edit)
{
	edit->length = edit->cursor = edit->first = edit->shown = 0;
	edit->text[0] = edit->draft[0] = '\0';
	edit->history_at = edit->history_count;
	edit->escape = 0;
	edit->visible = true;
	put(edit, edit->prompt);
}

void line_edit_hide(struct line_edit *edit)
{
	if (!edit->visible)
		return;
	edit->visible = false;
	put(edit, "\r");
	put_many(edit, ' ', (unsigned)string_length(edit->prompt) + edit->shown);
	put(edit, "\r");
	edit->shown = 0;
}

void line_edit_show(struct line_edit *edit)
{
	if (edit->visible)
		return;
	edit->visible = true;
	redraw(edit);
}

/* History. */

static char *remembered(struct line_edit *edit, unsigned number)
{
	return edit->history[number % LINE_EDIT_HISTORY];
}

void line_edit_remember(struct line_edit *edit, const char *text)
{
	if (!*text ||
	    (edit->history_count && string_equal(remembered(edit, edit->history_count - 1), text)))
		return;
	string_copy(remembered(edit, edit->history_count++), LINE_EDIT_MAX, text);
}

static void replace(struct line_edit *edit, const char *text)
{
	string_copy(edit->text, sizeof(edit->text), text);
	edit->length = edit->cursor = (unsigned)string_length(edit->text);
	edit->first = 0;
	redraw(edit);
}

static void show_history(struct line_edit *edit, bool older)
{
	unsigned oldest = edit->history_count > LINE_EDIT_HISTORY
				  ? edit->history_count - LINE_EDIT_HISTORY
				  : 0;

	if (edit->history_at == (older ? oldest : edit->history_count))
		return;
	if (edit->history_at == edit->history_count)
		string_copy(edit->draft, sizeof(edit->draft), edit->text);
	edit->history_at += older ? -1u : 1;
	replace(edit, edit->history_at == edit->history_count ? edit->draft
							      : remembered(edit, edit->history_at));
}

/* Changes of the text. */

static void insert(struct line_edit *edit, const char *text, unsigned length)
{
	if (edit->length + length >= sizeof(edit->text)) {
		put(edit, "\a");
		return;
	}
	bytes_move(edit->text + edit->cursor + length, edit->text + edit->cursor,
		   edit->length - edit->cursor + 1);
	bytes_copy(edit->text + edit->cursor, text, length);
	edit->length += length;
	edit->cursor += length;
	if (edit->cursor == edit->length && edit->first + width(edit) >= edit->length) {
		edit->put(edit->context, text, length);
		edit->shown += length;
		return;
	}
	redraw(edit);
}

/* Removes the characters between `from` and the cursor, or the cursor and `from`. */
static void erase(struct line_edit *edit, unsigned from)
{
	unsigned start = from < edit->cursor ? from : edit->cursor;
	unsigned end = from < edit->cursor ? edit->cursor : from;

	if (start == end)
		return;
	bytes_move(edit->text + start, edit->text + end, edit->length - end + 1);
	edit->length -= end - start;
	edit->cursor = start;
	redraw(edit);
}

static void move(struct line_edit *edit, unsigned to)
{
	if (to > edit->length)
		return;
	edit->cursor = to;
	redraw(edit);
}

static unsigned word_start(const struct line_edit *edit)
{
	unsigned at = edit->cursor;

	while (at && edit->text[at - 1] == ' ')
		at--;
	while (at && edit->text[at - 1] != ' ')
		at--;
	return at;
}

/* Completion. */

struct completion {
	char prefix[LINE_EDIT_MAX]; /* what the word begins with */
	const char *common;	    /* the first word that fits ... */
	size_t length;		    /* ... and how much of it all that fit share */
	unsigned count;
};

static const char *fitting(struct line_edit *edit, const struct completion *completion,
			   const char *before, unsigned *index)
{
	const char *word;

	while (*index < CANDIDATES_MAX) {
		word = edit->candidate(edit->context, before, (*index)++);
		if (!word || string_starts(word, completion->prefix))
			return word;
	}
	return NULL;
}

static void find_common(struct line_edit *edit, struct completion *completion, const char *before)
{
	const char *word;
	unsigned index = 0;

	while ((word = fitting(edit, completion, before, &index))) {
		size_t same = 0;

		if (!completion->count++) {
			completion->common = word;
			completion->length = string_length(word);
		}
		while (same < completion->length && word[same] == completion->common[same])
			same++;
		completion->length = same;
	}
}

static void list_candidates(struct line_edit *edit, const struct completion *completion,
			    const char *before)
{
	const char *word;
	unsigned index = 0, column = 0;

	line_edit_hide(edit);
	while ((word = fitting(edit, completion, before, &index))) {
		column += (unsigned)string_length(word) + 2;
		if (column > LINE_EDIT_WIDTH) {
			put(edit, "\r\n");
			column = (unsigned)string_length(word) + 2;
		}
		put(edit, word);
		put(edit, "  ");
	}
	put(edit, "\r\n");
	line_edit_show(edit);
}

static void complete(struct line_edit *edit)
{
	struct completion completion = {.count = 0};
	char before[LINE_EDIT_MAX];
	unsigned start = edit->cursor;
	size_t typed;

	while (start && edit->text[start - 1] != ' ')
		start--;
	typed = edit->cursor - start;
	bytes_copy(before, edit->text, start);
	before[start] = '\0';
	bytes_copy(completion.prefix, edit->text + start, typed);
	completion.prefix[typed] = '\0';
	find_common(edit, &completion, before);
	if (!completion.count) {
		put(edit, "\a");
		return;
	}
	if (completion.length > typed)
		insert(edit, completion.common + typed, (unsigned)(completion.length - typed));
	else if (completion.count > 1)
		list_candidates(edit, &completion, before);
	if (completion.count == 1)
		insert(edit, " ", 1);
}

/* Keys. */

static enum line_event enter(struct line_edit *edit)
{
	put(edit, "\r\n");
	edit->visible = false;
	edit->shown = 0;
	line_edit_remember(edit, edit->text);
	return LINE_ENTERED;
}

static enum line_event leave(struct line_edit *edit)
{
	put(edit, "^C\r\n");
	edit->visible = false;
	edit->shown = 0;
	return LINE_LEFT;
}

/* The rest of ESC [ ... or ESC O ...: arrows, Home, End, Delete. Others are swallowed. */
static void escape_key(struct line_edit *edit, char key)
{
	if (edit->escape == 1) {
		edit->escape = key == '[' || key == 'O' ? 2 : 0;
		edit->parameter = 0;
		return;
	}
	if ((key >= '0' && key <= '9') || key == ';') {
		edit->parameter = edit->parameter ? '?' : key;
		return;
	}
	edit->escape = 0;
	if (key == '~')
		key = edit->parameter == '1' || edit->parameter == '7'	 ? 'H'
		      : edit->parameter == '4' || edit->parameter == '8' ? 'F'
		      : edit->parameter == '3'				 ? '~'
									 : '\0';
	switch (key) {
	case 'A':
	case 'B':
		show_history(edit, key == 'A');
		break;
	case 'C':
		move(edit, edit->cursor + 1);
		break;
	case 'D':
		move(edit, edit->cursor - 1);
		break;
	case 'H':
		move(edit, 0);
		break;
	case 'F':
		move(edit, edit->length);
		break;
	case '~':
		erase(edit, edit->cursor < edit->length ? edit->cursor + 1 : edit->cursor);
		break;
	}
}

static void control_key(struct line_edit *edit, char key)
{
	switch (key) {
	case '\b':
	case DELETE:
		erase(edit, edit->cursor ? edit->cursor - 1 : 0);
		break;
	case '\t':
		complete(edit);
		break;
	case CONTROL('A'):
		move(edit, 0);
		break;
	case CONTROL('B'):
		move(edit, edit->cursor - 1);
		break;
	case CONTROL('D'):
		erase(edit, edit->cursor < edit->length ? edit->cursor + 1 : edit->cursor);
		break;
	case CONTROL('E'):
		move(edit, edit->length);
		break;
	case CONTROL('F'):
		move(edit, edit->cursor + 1);
		break;
	case CONTROL('K'):
		erase(edit, edit->length);
		break;
	case CONTROL('L'):
		redraw(edit);
		break;
	case CONTROL('N'):
	case CONTROL('P'):
		show_history(edit, key == CONTROL('P'));
		break;
	case CONTROL('U'):
		erase(edit, 0);
		break;
	case CONTROL('W'):
		erase(edit, word_start(edit));
		break;
	case ESCAPE:
		edit->escape = 1;
		break;
	}
}

enum line_event line_edit_key(struct line_edit *edit, char key)
{
	bool after_return = edit->after_return;

	edit->after_return = key == '\r';
	if (key == '\r' || key == '\n')
		return key == '\n' && after_return ? LINE_EDITED : enter(edit);
	if (key == CONTROL('C'))
		return leave(edit);
	if (edit->escape)
		escape_key(edit, key);
	else if (key >= ' ' && key < DELETE)
		insert(edit, &key, 1);
	else
		control_key(edit, key);
	return LINE_EDITED;
}
