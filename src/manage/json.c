/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "manage/plain.h"

/* Names of files may be any bytes, and JSON is UTF-8. */
static void put_text(const char *text)
{
	putchar('"');
	while (*text) {
		unsigned length = plain_character(text);
		unsigned char c = (unsigned char)*text;

		if (!length)
			fputs("\\ufffd", stdout);
		else if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20)
			printf("\\u%04x", c);
		else
			fwrite(text, 1, length, stdout);
		text += length ? length : 1;
	}
	putchar('"');
}

static void element(struct json *json, const char *name)
{
	if (json->something)
		putchar(',');
	if (json->depth)
		printf("\n%*s", (int)json->depth * 2, "");
	json->something = true;
	if (name) {
		put_text(name);
		fputs(": ", stdout);
	}
}

void json_begin(struct json *json, const char *name, char bracket)
{
	element(json, name);
	putchar(bracket);
	json->depth++;
	json->something = false;
}

void json_end(struct json *json, char bracket)
{
	json->depth--;
	if (json->something)
		printf("\n%*s", (int)json->depth * 2, "");
	putchar(bracket);
	json->something = true;
	if (!json->depth)
		putchar('\n');
}

void json_text(struct json *json, const char *name, const char *text)
{
	element(json, name);
	if (text)
		put_text(text);
	else
		fputs("null", stdout);
}

void json_number(struct json *json, const char *name, uint64_t number)
{
	element(json, name);
	printf("%" PRIu64, number);
}

void json_signed(struct json *json, const char *name, int64_t number)
{
	element(json, name);
	printf("%" PRId64, number);
}

void json_bool(struct json *json, const char *name, bool value)
{
	element(json, name);
	fputs(value ? "true" : "false", stdout);
}
