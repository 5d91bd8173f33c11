/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest may say in its agent's place: taken in pieces and all at once it must come to the
 * same. */
#include <stdlib.h>
#include <string.h>

#include "manage/agent_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())

struct sum {
	size_t bytes[2], room;
	unsigned hash;
};

static size_t note(void *context, bool errors, const uint8_t *bytes, size_t length)
{
	struct sum *sum = context;

	if (length > sum->room)
		length = sum->room;
	for (size_t i = 0; i < length; i++)
		sum->hash = sum->hash * 31 + bytes[i] + errors;
	sum->bytes[errors] += length;
	sum->room -= length;
	return length;
}

/* piece: how much at once; room: how much of output is taken at once. */
static void take(struct agent_frames *frames, const uint8_t *data, size_t size, size_t piece,
		 size_t room, struct sum *sum)
{
	const struct agent_sink sink = {note, sum};
	size_t at = 0;

	*frames = (struct agent_frames){0};
	while (at < size && !frames->ended && !frames->problem) {
		size_t part = size - at < piece ? size - at : piece;
		long took;

		sum->room = room;
		took = agent_frames_take(frames, data + at, part, &sink);
		EXPECT(took < 0 ? frames->problem != NULL
				: (size_t)took == part || frames->ended || sum->room == 0);
		at += took < 0 ? 0 : (size_t)took;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_frames whole, pieces;
	struct sum a = {0}, b = {0};
	size_t piece = size ? data[0] % 16 + 1 : 1;

	take(&whole, data, size, size, SIZE_MAX, &a);
	take(&pieces, data, size, piece, size % 7 + 1, &b);
	EXPECT(whole.ended == pieces.ended && whole.failed == pieces.failed);
	EXPECT((whole.problem == NULL) == (pieces.problem == NULL));
	EXPECT(whole.text_size == pieces.text_size && whole.text_size <= size);
	EXPECT(a.bytes[0] == b.bytes[0] && a.bytes[1] == b.bytes[1] && a.hash == b.hash);
	if (whole.text) {
		EXPECT(strlen(whole.text) <= whole.text_size);
		agent_text_clean(whole.text);
	}
	agent_frames_free(&whole);
	agent_frames_free(&pieces);
	return 0;
}
