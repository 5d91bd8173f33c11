/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/agent_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"

void agent_frames_free(struct agent_frames *frames)
{
	free(frames->text);
	frames->text = NULL;
}

static bool nonsense(struct agent_frames *frames, const char *problem)
{
	frames->problem = problem;
	return false;
}

/* A header is complete: whether such a frame may come now. */
static bool begin(struct agent_frames *frames)
{
	uint8_t type = frames->header[0];

	frames->left = bytes_load32(frames->header + 1);
	frames->number_have = 0;
	if (frames->left > AGENT_FRAME_MAX)
		return nonsense(frames, "a frame is too long");
	if ((type == AGENT_HELLO) == frames->greeted)
		return nonsense(frames, "it doesn't say its version first, and once");
	switch (type) {
	case AGENT_HELLO:
	case AGENT_STATUS:
		return frames->left == 4 || nonsense(frames, "a number of a wrong size");
	case AGENT_OUTPUT:
	case AGENT_ERRORS:
		return true;
	case AGENT_TEXT:
	case AGENT_FAILED:
		return frames->left <= AGENT_TEXT_MAX || nonsense(frames, "a text is too long");
	default:
		return nonsense(frames, "a frame of an unknown type");
	}
}

/* The contents are complete. */
static bool finish(struct agent_frames *frames)
{
	switch (frames->header[0]) {
	case AGENT_HELLO:
		frames->greeted = bytes_load32(frames->number) == AGENT_VERSION;
		return frames->greeted ||
		       nonsense(frames, "it speaks another version of the protocol");
	case AGENT_STATUS:
		frames->status = bytes_load32(frames->number);
		frames->ended = true;
		return frames->status <= 255 || nonsense(frames, "a status above 255");
	case AGENT_FAILED:
		frames->failed = true;
		frames->ended = true;
		return true;
	case AGENT_TEXT:
		frames->ended = true;
		return true;
	default:
		return true;
	}
}

static bool keep(struct agent_frames *frames, const uint8_t *bytes, size_t length)
{
	char *text = realloc(frames->text, frames->text_size + length + 1);

	if (!text)
		return nonsense(frames, "there is no memory for its text");
	memcpy(text + frames->text_size, bytes, length);
	frames->text = text;
	frames->text_size += length;
	text[frames->text_size] = '\0';
	return true;
}

/* Takes some of a frame's contents: how much, or -1. */
static long contents(struct agent_frames *frames, const uint8_t *bytes, size_t length,
		     const struct agent_sink *sink)
{
	switch (frames->header[0]) {
	case AGENT_OUTPUT:
	case AGENT_ERRORS:
		return (long)sink->write(sink->context, frames->header[0] == AGENT_ERRORS, bytes,
					 length);
	case AGENT_TEXT:
	case AGENT_FAILED:
		return keep(frames, bytes, length) ? (long)length : -1;
	default:
		memcpy(frames->number + frames->number_have, bytes, length);
		frames->number_have += (unsigned)length;
		return (long)length;
	}
}

long agent_frames_take(struct agent_frames *frames, const uint8_t *bytes, size_t length,
		       const struct agent_sink *sink)
{
	size_t done = 0;

	while (done < length && !frames->ended && !frames->problem) {
		size_t here = length - done;
		long taken;

		if (frames->header_have < AGENT_FRAME_HEADER) {
			frames->header[frames->header_have++] = bytes[done++];
			if (frames->header_have < AGENT_FRAME_HEADER)
				continue;
			if (!begin(frames))
				break;
			here = 0;
		} else {
			here = here < frames->left ? here : frames->left;
			taken = contents(frames, bytes + done, here, sink);
			if (taken < 0)
				break;
			done += (size_t)taken;
			frames->left -= (uint32_t)taken;
			if ((size_t)taken < here)
				return (long)done;
		}
		if (frames->left == 0) {
			frames->header_have = 0;
			if (!finish(frames))
				break;
		}
	}
	return frames->problem ? -EPROTO : (long)done;
}

void agent_text_clean(char *text)
{
	/* C1, in UTF-8, as well: its second byte alone is nothing. */
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\n') || *text == 0x7f ||
		    ((unsigned char)*text == 0xc2 && (unsigned char)text[1] >= 0x80 &&
		     (unsigned char)text[1] < 0xa0))
			*text = '?';
}
