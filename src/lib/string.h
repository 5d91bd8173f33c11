/* SPDX-License-Identifier: BSD-2-Clause */
/* Zero-terminated strings. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stdbool.h>
#include <stddef.h>

/* Without the zero; at most `limit` (which may lie before it). */
static inline size_t string_length_limited(const char *string, size_t limit)
{
	size_t length = 0;

	while (length < limit && string[length])
		length++;
	return length;
}

static inline size_t string_length(const char *string)
{
	return string_length_limited(string, (size_t)-1);
}

static inline bool string_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static inline bool string_starts(const char *string, const char *prefix)
{
	while (*prefix && *string == *prefix)
		string++, prefix++;
	return !*prefix;
}

/* Copies as much as fits into size > 0 bytes, always ended by a zero. True if all of it did. */
static inline bool string_copy(char *to, size_t size, const char *from)
{
	size_t length = 0;

	for (; length + 1 < size && from[length]; length++)
		to[length] = from[length];
	to[length] = '\0';
	return !from[length];
}

#endif
