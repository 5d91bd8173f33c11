/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/kept.h"

#include "lib/bits.h"

void kept_put(struct kept *kept, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		kept->bytes[kept->written++ % KEPT_SIZE] = bytes[i];
}

uint64_t kept_first(const struct kept *kept)
{
	return kept->written > KEPT_SIZE ? kept->written - KEPT_SIZE : 0;
}

uint64_t kept_line(const struct kept *kept, unsigned lines)
{
	uint64_t first = kept_first(kept), place = kept->written;

	for (; place > first; place--)
		if (kept->bytes[(place - 1) % KEPT_SIZE] == '\n' && lines-- == 0)
			break;
	return place;
}

size_t kept_get(const struct kept *kept, uint64_t place, char *bytes, size_t size)
{
	uint64_t first = kept_first(kept);
	size_t length = 0;

	if (place < first)
		place = first;
	while (length < size && place < kept->written)
		bytes[length++] = kept->bytes[place++ % KEPT_SIZE];
	return length;
}
