/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first word is the host offset of the first instruction. Each instruction has a word: its
 * flag, its length in the page, and the distance to the next one in the code, or FAR: then the next
 * one's offset follows in a word of its own. A length of 0: the next one is the block's first, once
 * more.
 */
#include "engines/translate/note.h"

#include "lib/check.h"

#define FLAGS	     0x8000u
#define LENGTH_SHIFT 11
#define FAR	     0x7ffu

unsigned note_write(uint16_t *words, const struct note *notes, unsigned count)
{
	uint16_t *at = words;

	*at++ = notes[0].host;
	for (unsigned i = 0; i < count; i++) {
		bool again = notes[i + 1].guest == notes[0].guest;
		unsigned length = again ? 0 : (unsigned)(notes[i + 1].guest - notes[i].guest);
		unsigned distance = (unsigned)(notes[i + 1].host - notes[i].host);
		bool far = distance >= FAR; /* or backward */

		CHECK(length < 16);
		*at++ = (uint16_t)((notes[i].flags ? FLAGS : 0) | length << LENGTH_SHIFT |
				   (far ? FAR : distance));
		if (far)
			*at++ = notes[i + 1].host;
	}
	return (unsigned)(at - words);
}

/* From note to the next, in a block that starts at offset start in the page. */
static const uint16_t *advance(const uint16_t *at, struct note *note, unsigned start)
{
	unsigned word = *at++, length = word >> LENGTH_SHIFT & 15;

	note->guest = (uint16_t)(length ? note->guest + length : start);
	if ((word & FAR) == FAR)
		note->host = *at++;
	else
		note->host = (uint16_t)(note->host + (word & FAR));
	return at;
}

void note_read(const uint16_t *words, unsigned start, unsigned step, struct note note[2])
{
	const uint16_t *at = words + 1;

	note[0] = (struct note){.host = words[0], .guest = (uint16_t)start};
	while (step-- > 0)
		at = advance(at, &note[0], start);
	note[0].flags = *at & FLAGS;
	note[1] = note[0];
	advance(at, &note[1], start);
}

int note_find(const uint16_t *words, unsigned count, unsigned host)
{
	struct note note = {.host = words[0]};
	const uint16_t *at = words + 1;
	int found = -1;

	for (unsigned i = 0; i < count; i++) {
		if (note.host <= host)
			found = (int)i;
		at = advance(at, &note, 0);
	}
	return host < note.host ? found : -1;
}
