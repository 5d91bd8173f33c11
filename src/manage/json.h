/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes JSON (RFC 8259) to standard output, indented. Commas and nesting are kept here; names are
 * NULL inside lists. */
#ifndef MANAGE_JSON_H
#define MANAGE_JSON_H

#include <stdbool.h>
#include <stdint.h>

struct json {
	unsigned depth;
	bool something; /* the innermost object or list has an element already */
};

void json_begin(struct json *json, const char *name, char bracket); /* '{' or '[' */
void json_end(struct json *json, char bracket); /* '}' or ']'; the outermost one ends the line */
void json_text(struct json *json, const char *name, const char *text); /* NULL: null */
void json_number(struct json *json, const char *name, uint64_t number);
void json_signed(struct json *json, const char *name, int64_t number);
void json_bool(struct json *json, const char *name, bool value);

#endif
