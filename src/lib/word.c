/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/word.h"

#include <stddef.h>

#include "lib/bits.h"
#include "lib/string.h"

/* Takes digits off the word. */
static bool take_number(const char **word, uint64_t *number)
{
	uint64_t value = 0;
	const char *at = *word;

	for (; *at >= '0' && *at <= '9'; at++) {
		unsigned digit = (unsigned)(*at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (at == *word)
		return false;
	*word = at;
	*number = value;
	return true;
}

bool word_number(const char *word, uint64_t *number)
{
	return take_number(&word, number) && !*word;
}

bool word_size(const char *word, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	unsigned shift = 0;
	uint64_t value;

	if (!take_number(&word, &value))
		return false;
	if (*word) {
		char suffix = *word >= 'a' && *word <= 'z' ? (char)(*word - 'a' + 'A') : *word;
		unsigned i = 0;

		while (suffixes[i] && suffixes[i] != suffix)
			i++;
		if (!suffixes[i])
			return false;
		shift = 10 * (i + 1);
		word++;
		if (string_equal(word, "iB") || string_equal(word, "B"))
			word += string_length(word);
	}
	if (*word || value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}

bool word_bits(const char *word, uint64_t *bits)
{
	uint64_t result = 0;

	for (;;) {
		uint64_t first, last;

		if (!take_number(&word, &first))
			return false;
		last = first;
		if (*word == '-') {
			word++;
			if (!take_number(&word, &last))
				return false;
		}
		if (first > last || last > 63)
			return false;
		result |= bits_mask((unsigned)(last - first) + 1) << first;
		if (!*word)
			break;
		if (*word++ != ',')
			return false;
	}
	*bits = result;
	return true;
}

#define WORD_MAX 32u /* longer ones are near to nothing */

/* How many letters must be added, removed or changed to make b of a. */
static unsigned distance(const char *a, const char *b)
{
	size_t a_length = string_length_limited(a, WORD_MAX + 1);
	size_t b_length = string_length_limited(b, WORD_MAX + 1);
	unsigned row[WORD_MAX + 1];

	if (a_length > WORD_MAX || b_length > WORD_MAX)
		return UINT32_MAX;
	for (unsigned j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);
			unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = least < change ? least : change;
		}
	}
	return row[b_length];
}

const char *word_nearest(const char *word, const char *const *words)
{
	const char *nearest = NULL;
	unsigned least = (unsigned)string_length_limited(word, WORD_MAX + 1) / 3 + 2;

	for (; *words; words++) {
		unsigned far = distance(word, *words);

		if (far < least) {
			least = far;
			nearest = *words;
		}
	}
	return nearest;
}
