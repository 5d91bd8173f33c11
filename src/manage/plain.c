/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/plain.h"

#include <stdbool.h>
#include <string.h>

#define ESCAPE 0x1b
#define BELL   0x07
#define DELETE 0x7f

/* How many bytes the character has that begins with this one (RFC 3629); 0: none does. */
static unsigned character_size(unsigned char first)
{
	return first < 0x80   ? 1
	       : first < 0xc2 ? 0
	       : first < 0xe0 ? 2
	       : first < 0xf0 ? 3
	       : first < 0xf5 ? 4
			      : 0;
}

unsigned plain_character(const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned size = character_size(bytes[0]);

	for (unsigned i = 1; i < size; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	/* Written longer than needed; halves of pairs; beyond the last. */
	if (size > 2 &&
	    ((bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xed && bytes[1] > 0x9f) ||
	     (bytes[0] == 0xf0 && bytes[1] < 0x90) || (bytes[0] == 0xf4 && bytes[1] > 0x8f)))
		return 0;
	return size;
}

bool plain_is_utf8(const char *text)
{
	unsigned size;

	for (; *text; text += size)
		if (!(size = plain_character(text)))
			return false;
	return true;
}

static bool is_layout(unsigned char c)
{
	return c == '\n' || c == '\r' || c == '\t' || c == '\b';
}

/* C1, the controls from U+0080 to U+009F, which some terminals obey. */
static bool is_control(const char *held, unsigned count)
{
	return count == 2 && (unsigned char)held[0] == 0xc2 && (unsigned char)held[1] < 0xa0;
}

static size_t put_held(struct plain *plain, char *out)
{
	size_t count = plain->count;

	memcpy(out, plain->held, count);
	plain->count = plain->want = 0;
	return count;
}

/* One byte of text; how many come out. */
static size_t take_text(struct plain *plain, unsigned char c, char *out)
{
	if (plain->count && (c & 0xc0) == 0x80) {
		plain->held[plain->count++] = (char)c;
		if (plain->count < plain->want)
			return 0;
		if (!is_control(plain->held, plain->count))
			return put_held(plain, out);
		plain->count = 0;
		*out = '?';
		return 1;
	}
	/* What isn't whole by now never will be. */
	plain->count = 0;
	if (c == ESCAPE) {
		plain->state = PLAIN_ESCAPE;
		return 0;
	}
	plain->want = character_size(c);
	if (plain->want > 1) {
		plain->held[plain->count++] = (char)c;
		return 0;
	}
	if (c < ' ' && !is_layout(c))
		return 0;
	*out = plain->want && c != DELETE ? (char)c : '?';
	return 1;
}

static void take_escape(struct plain *plain, unsigned char c)
{
	plain->count = 0;
	if (c == '[') {
		memcpy(plain->held, "\033[", 2);
		plain->count = 2;
		plain->state = PLAIN_SEQUENCE;
	} else if (strchr("]PX^_", c) && c) {
		plain->state = PLAIN_STRING;
	} else if (c >= 0x30 || c < 0x20) {
		/* The last of one; or none. */
		plain->state = PLAIN_TEXT;
	}
}

/* A sequence of parameters ends with a letter; that of colours is m. */
static size_t take_sequence(struct plain *plain, unsigned char c, char *out)
{
	bool last = c >= 0x40 && c < DELETE, part = c >= 0x20 && c < 0x40;

	if (!last && !part) {
		plain->state = PLAIN_TEXT;
		plain->count = 0;
		return take_text(plain, c, out);
	}
	/* Too long for colours: its end is waited for. */
	if (plain->count < PLAIN_HELD)
		plain->held[plain->count++] = (char)c;
	if (!last)
		return 0;
	plain->state = PLAIN_TEXT;
	if (c == 'm' && plain->held[plain->count - 1] == 'm' &&
	    strspn(plain->held + 2, "0123456789;:") == plain->count - 3)
		return put_held(plain, out);
	plain->count = 0;
	return 0;
}

/* Such a string ends with BEL or ESC \; a line's end ends it here, so that none swallows the rest.
 */
static void take_string(struct plain *plain, unsigned char c)
{
	if (plain->state == PLAIN_STRING_ESCAPE && c != ESCAPE)
		plain->state = PLAIN_TEXT;
	else if (c == ESCAPE)
		plain->state = PLAIN_STRING_ESCAPE;
	else if (c == BELL || c == '\n' || c == '\r')
		plain->state = PLAIN_TEXT;
}

size_t plain_take(struct plain *plain, const char *bytes, size_t length, char *out)
{
	size_t made = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		switch (plain->state) {
		case PLAIN_TEXT:
			made += take_text(plain, c, out + made);
			break;
		case PLAIN_ESCAPE:
			take_escape(plain, c);
			break;
		case PLAIN_SEQUENCE:
			made += take_sequence(plain, c, out + made);
			break;
		default:
			take_string(plain, c);
		}
	}
	return made;
}

void plain_text(char *text)
{
	struct plain plain = {.state = PLAIN_TEXT};
	size_t length = 0;
	char out[1 + PLAIN_HELD];

	/* Never more comes out than has gone in. */
	for (const char *at = text; *at; at++) {
		size_t made = plain_take(&plain, at, 1, out);

		memcpy(text + length, out, made);
		length += made;
	}
	text[length] = '\0';
}

void plain_line(char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];

		if (c < ' ' || c == DELETE)
			*text = '?';
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			text[0] = text[1] = '?';
	}
}
