/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where each instruction of a block is, in the block's code and in its page. There are millions of
 * them, and they are looked at only when translated code calls out or faults; so they are kept as
 * distances, in 16 bits for an instruction mostly.
 */
#ifndef TRANSLATE_NOTE_H
#define TRANSLATE_NOTE_H

#include <stdbool.h>
#include <stdint.h>

struct note {
	uint16_t host;	/* offset from the block's first byte of code */
	uint16_t guest; /* offset in the page; up to 4096 for the last one, behind the block */
	bool flags;	/* status flags are in RFLAGS when the copied instruction runs, else in
			   cpu->flags or dead */
};

/* Words that count instructions need at the most; one more if they are in two lists. */
#define NOTE_WORDS_MAX(count) (2 * (count) + 1)

/* Writes notes[0..count], which begin at the block's first instruction. Each is behind the one
 * before it in the page, or the first instruction once more. Returns how many words. */
unsigned note_write(uint16_t *words, const struct note *notes, unsigned count);

/* The note of instruction `step`, of a block whose first is at offset `start` in the page, and the
 * note behind it. */
void note_read(const uint16_t *words, unsigned start, unsigned step, struct note note[2]);

/* The number of the last instruction, of count, that begins at or before offset host in the code,
 * if that lies before the end of what is noted; else -1. */
int note_find(const uint16_t *words, unsigned count, unsigned host);

#endif
