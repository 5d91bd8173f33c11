/* SPDX-License-Identifier: BSD-2-Clause */
/* Words that people write: numbers, sizes, lists of numbers, and words spelt almost right. */
#ifndef LIB_WORD_H
#define LIB_WORD_H

#include <stdbool.h>
#include <stdint.h>

/* A decimal number, digits only. False if it isn't one, or overflows. */
bool word_number(const char *word, uint64_t *number);

/* "512M", "2G", "64MiB", "1073741824": bytes, suffixes in powers of 1,024. False if it isn't one,
 * or overflows. */
bool word_size(const char *word, uint64_t *bytes);

/* "0-3,5": a bit for each number; all of them below 64. False if it isn't one, or empty. */
bool word_bits(const char *word, uint64_t *bits);

/* The word of words (ended by NULL) that is spelt like this one, or NULL if none is near. */
const char *word_nearest(const char *word, const char *const *words);

#endif
