/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A migration's stream, as the side gets it to which a machine comes. The input is a row of
 * messages: a byte that says what is wrong with its head, type, eight bytes of argument, two of
 * length, payload.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/checksum.h"
#include "machines/saved.h"
#include "manage/migrate_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())

enum { HEAD = 24, MEMORY = 2 * SAVED_CHUNK, INPUT_MAX = 65536 };
enum { MAGIC = 0x45474d4c };

/* What is sent: a head and its payload, mostly as they should be. */
static size_t message(const uint8_t **data, size_t *size, uint8_t *out)
{
	uint8_t wrong = (*data)[0];
	size_t length = bytes_load16(*data + 10);

	bytes_store32(out, wrong & 1 ? 0 : MAGIC);
	bytes_store32(out + 4, (*data)[1] % 16);
	memcpy(out + 8, *data + 2, 8);
	/* Offsets in memory, most of the time. */
	if (!(wrong & 2))
		bytes_store64(out + 8, bytes_load64(out + 8) % 3 * SAVED_CHUNK);
	*data += 12;
	*size -= 12;
	if (length > *size)
		length = *size;
	memcpy(out + HEAD, *data, length);
	/* Pages of a chunk are too many for an input. */
	if (wrong & 4 && length >= 4) {
		size_t all =
			4 + (size_t)__builtin_popcount(bytes_load16(out + HEAD + 2)) * SAVED_PAGE;

		memset(out + HEAD + length, 0x5a, all > length ? all - length : 0);
		*data += length;
		*size -= length;
		length = all;
	} else {
		*data += length;
		*size -= length;
	}
	bytes_store32(out + 16, wrong & 8 ? UINT32_MAX : (uint32_t)length);
	bytes_store32(
		out + 20,
		wrong & 16 ? 0 : checksum_crc32c(checksum_crc32c(0, out, 20), out + HEAD, length));
	return HEAD + length;
}

static void take(const struct wire_message *message)
{
	static uint8_t guarded[MEMORY + 2 * SAVED_PAGE];
	static struct saved_config config;
	char text[64], reason[SAVED_REASON];

	memset(guarded, 0xa5, sizeof(guarded));
	if (message->type == WIRE_MEMORY) {
		wire_take_chunk(message, guarded + SAVED_PAGE, MEMORY);
		for (size_t i = 0; i < SAVED_PAGE; i++)
			EXPECT(guarded[i] == 0xa5 && guarded[SAVED_PAGE + MEMORY + i] == 0xa5);
	} else if (message->type == WIRE_HELLO) {
		saved_config_read(&config, message->payload, message->length, reason);
	} else {
		wire_text(message, text, sizeof(text));
		EXPECT(strlen(text) < sizeof(text));
		for (const char *c = text; *c; c++)
			EXPECT(*c >= ' ' && *c <= '~');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[HEAD + INPUT_MAX + SAVED_CHUNK + 4];
	struct wire_message message_in = {.payload = malloc(WIRE_PAYLOAD_MAX)};
	const int buffer = 4 << 20;
	struct wire wire;
	int ends[2];

	EXPECT(message_in.payload && !socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	EXPECT(!wire_init(&wire, ends[1], NULL));
	for (unsigned sent = 0; size >= 12 && sent < 8; sent++) {
		size_t length = message(&data, &size, out);

		/* One that is too much for the socket's buffer is cut off. */
		if (send(ends[0], out, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length)
			break;
	}
	/* And what is no message at all. */
	(void)!send(ends[0], data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(ends[0]);
	while (!wire_receive(&wire, &message_in, 1)) {
		EXPECT(message_in.length <= WIRE_PAYLOAD_MAX);
		take(&message_in);
	}
	close(ends[1]);
	free(message_in.payload);
	return 0;
}
