/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP segments of strangers, which are joined on their way to a guest: the input is a row of
 * frames. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())

enum { MTU = 1500, HEADERS = 54, FRAME = MTU + 200 };

static volatile uint8_t sum;
static uint32_t sequence;

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A segment as it should be, behind the one before it; then the input changes some of it. */
static size_t segment(const uint8_t **data, size_t *size, uint8_t *frame)
{
	uint8_t changes = (*data)[0] & 7;
	size_t bytes = ((size_t)(*data)[1] | (size_t)((*data)[2] & 7) << 8) % (MTU - 40 + 1);
	size_t length = HEADERS + bytes + ((*data)[0] >> 7) * ((*data)[2] >> 3);

	*data += 3;
	*size -= 3;
	memset(frame, 0, FRAME);
	memcpy(frame, "\x52\x54\0\0\0\1\x52\x55\x0a\0\2\2\x08\0\x45", 15);
	frame[16] = (uint8_t)((40 + bytes) >> 8);
	frame[17] = (uint8_t)(40 + bytes);
	frame[20] = 0x40;
	frame[22] = 64;
	frame[23] = 6;
	memcpy(frame + 26, "\x0a\0\2\2\x0a\0\2\x0f\x12\x34\0\x50", 12);
	put32(frame + 38, sequence);
	frame[46] = 0x50;
	frame[47] = 0x10;
	sequence += (uint32_t)bytes;
	for (; changes && *size >= 3; changes--, *data += 3, *size -= 3) {
		size_t at = ((size_t)(*data)[0] | (size_t)(*data)[1] << 8) % 80;

		frame[at] = (*data)[2];
	}
	return length < FRAME ? length : FRAME;
}

static void look(struct merge *merge)
{
	size_t length;
	const uint8_t *frame = merge_take(merge, &length);

	if (!frame)
		return;
	EXPECT(length && length <= MERGE_FRAME_MAX);
	for (size_t i = 0; i < length; i++)
		sum += frame[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct merge merge;
	static uint8_t whole[FRAME];

	memset(&merge, 0, sizeof(merge));
	sequence = 1;
	while (size >= 3) {
		size_t length = segment(&data, &size, whole);
		/* Of its own size, so that what lies behind it is found. */
		uint8_t *frame = malloc(length);

		EXPECT(frame);
		memcpy(frame, whole, length);
		if (!merge_add(&merge, MTU, frame, length)) {
			look(&merge);
			if (merge_add(&merge, MTU, frame, length) && length % 3 == 0)
				look(&merge);
		}
		free(frame);
	}
	look(&merge);
	return 0;
}
