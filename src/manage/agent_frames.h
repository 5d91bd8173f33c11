/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest's agent says, taken apart (docs/agent-protocol.md). It comes as the guest likes,
 * in pieces of any size, and may be anything: here it is checked, once and for all.
 */
#ifndef MANAGE_AGENT_FRAMES_H
#define MANAGE_AGENT_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/agent_protocol.h"

#define AGENT_TEXT_MAX 65536 /* of a text that is kept: the answer to a question, a failure */

struct agent_frames {
	uint8_t header[AGENT_FRAME_HEADER];
	unsigned header_have;
	uint32_t left; /* bytes of the frame's contents that are still to come */
	bool greeted;  /* the agent's version is known, and is ours */
	bool ended;    /* a last frame has come: nothing may follow */
	bool failed;   /* and it says in text why nothing was done */
	uint32_t status;
	uint8_t number[4];
	unsigned number_have;
	char *text; /* what was kept, with a NUL behind it; agent_frames_free */
	size_t text_size;
	const char *problem; /* why it makes no sense (a constant) */
};

void agent_frames_free(struct agent_frames *frames);

/* What to do with bytes of standard output and standard error: how many were taken. */
struct agent_sink {
	size_t (*write)(void *context, bool errors, const uint8_t *bytes, size_t length);
	void *context;
};

/*
 * Takes bytes: how many. Less than length: the sink took less, or the talk has ended; -EPROTO: the
 * agent doesn't keep to the protocol (problem says how), and no more is taken.
 */
long agent_frames_take(struct agent_frames *frames, const uint8_t *bytes, size_t length,
		       const struct agent_sink *sink);

/* A text of the guest's as a person may see it: no control characters but newlines. In place. */
void agent_text_clean(char *text);

#endif
