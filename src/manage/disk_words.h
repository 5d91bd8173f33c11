/* SPDX-License-Identifier: BSD-2-Clause */
/* What may stand behind a disk's file, parted by commas: on the command line and in machine files.
 */
#ifndef MANAGE_DISK_WORDS_H
#define MANAGE_DISK_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/format.h"
#include "storage/hold.h"

struct options_disk {
	char *path;
	bool read_only;
	enum format format;
	struct hold_limits limits;
	enum hold_full when_full;
};

#define DISK_WORDS_MAX 192

/*
 * Takes the words that follow a disk's name, in any order, off its path: ro, format=F, rate=SIZE,
 * burst=SIZE, ops=N, ops-burst=N, on-full=wait|error. A comma that no such word follows is the
 * name's. False with a reason if one is no good.
 */
bool options_disk_take(struct options_disk *disk, char *reason, size_t size);

/* One word of those that can change while the machine runs: limits. False: it is none, or no good.
 */
bool disk_word_limit(struct hold_limits *limits, const char *word);

/* Writes the words, each behind a comma, into text (DISK_WORDS_MAX bytes). */
void disk_words_text(const struct options_disk *disk, char *text);

#endif
