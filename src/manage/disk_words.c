/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/disk_words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/word.h"

/* The figures, by their words. */
static const struct {
	const char *name;
	size_t place; /* in struct hold_limits */
	bool is_size;
} figures[] = {
	{"rate=", offsetof(struct hold_limits, rate), true},
	{"burst=", offsetof(struct hold_limits, burst), true},
	{"ops=", offsetof(struct hold_limits, operations), false},
	{"ops-burst=", offsetof(struct hold_limits, operations_burst), false},
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

static uint64_t *figure(const struct hold_limits *limits, size_t i)
{
	return (uint64_t *)((uintptr_t)limits + figures[i].place);
}

static bool begins(const char *word, const char *with)
{
	return !strncmp(word, with, strlen(with));
}

bool disk_word_limit(struct hold_limits *limits, const char *word)
{
	for (size_t i = 0; i < FIGURES; i++) {
		const char *value = word + strlen(figures[i].name);

		if (!begins(word, figures[i].name))
			continue;
		return figures[i].is_size ? word_size(value, figure(limits, i))
					  : word_number(value, figure(limits, i));
	}
	return false;
}

/* 1: taken; 0: it is none of them; -1: it is no good. */
static int take_word(struct options_disk *disk, const char *word, char *reason, size_t size)
{
	static const char format[] = "format=", on_full[] = "on-full=";

	if (!strcmp(word, "ro")) {
		disk->read_only = true;
		return 1;
	}
	if (begins(word, format)) {
		if (format_parse(word + strlen(format), &disk->format))
			return 1;
		snprintf(reason, size, "format must be raw or qcow2");
		return -1;
	}
	if (begins(word, on_full)) {
		const char *what = word + strlen(on_full);

		disk->when_full = strcmp(what, "error") ? HOLD_FULL_WAIT : HOLD_FULL_ERROR;
		if (!strcmp(what, "error") || !strcmp(what, "wait"))
			return 1;
		snprintf(reason, size, "on-full must be wait or error");
		return -1;
	}
	if (disk_word_limit(&disk->limits, word))
		return 1;
	for (size_t i = 0; i < FIGURES; i++) {
		if (!begins(word, figures[i].name))
			continue;
		snprintf(reason, size, "%s must be %s", word,
			 figures[i].is_size ? "a size, like rate=10M (bytes a second)"
					    : "a number, like ops=500 (a second)");
		return -1;
	}
	return 0;
}

bool options_disk_take(struct options_disk *disk, char *reason, size_t size)
{
	char *comma;

	while ((comma = strrchr(disk->path, ','))) {
		int taken = take_word(disk, comma + 1, reason, size);

		if (taken < 0)
			return false;
		if (!taken)
			break;
		*comma = '\0';
	}
	if (!disk->path[0])
		snprintf(reason, size, "needs a file");
	return disk->path[0];
}

/* Adds to the text. It has room for all words. */
static void add(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *text, const char *format, ...)
{
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + length, DISK_WORDS_MAX - length, format, arguments);
	va_end(arguments);
}

void disk_words_text(const struct options_disk *disk, char *text)
{
	text[0] = '\0';
	if (disk->format != FORMAT_AUTO)
		add(text, ",format=%s", format_name(disk->format));
	for (size_t i = 0; i < FIGURES; i++) {
		uint64_t value = *figure(&disk->limits, i);
		bool mebibytes = figures[i].is_size && value % 1048576 == 0;

		if (value)
			add(text, ",%s%llu%s", figures[i].name,
			    (unsigned long long)(mebibytes ? value / 1048576 : value),
			    mebibytes ? "M" : "");
	}
	if (disk->when_full == HOLD_FULL_ERROR)
		add(text, ",on-full=error");
	if (disk->read_only)
		add(text, ",ro");
}
