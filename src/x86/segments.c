/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/segments.h"

struct segment segment_from_descriptor(uint16_t selector, uint64_t low, uint64_t high)
{
	struct segment segment = {
		.selector = selector,
		.attributes = (uint16_t)(low >> 40 & 0xf0ff),
		.limit = (uint32_t)((low & 0xffff) | (low >> 32 & 0xf0000)),
		.base = (low >> 16 & 0xffffff) | (low >> 32 & 0xff000000) | high << 32,
	};

	if (segment.attributes & SEGMENT_G)
		segment.limit = segment.limit << 12 | 0xfff;
	return segment;
}

bool segment_contains(const struct segment *segment, uint64_t offset, unsigned size)
{
	uint64_t last = offset + size - 1;

	if (segment_is_data(segment->attributes) && (segment->attributes & TYPE_EXPAND_DOWN)) {
		uint64_t top = segment->attributes & SEGMENT_DB ? 0xffffffff : 0xffff;

		return offset > segment->limit && last >= offset && last <= top;
	}
	return last >= offset && last <= segment->limit;
}

struct gate gate_from_descriptor(uint64_t low, uint64_t high)
{
	struct gate gate = {
		.selector = (uint16_t)(low >> 16),
		.offset = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32,
		.type = low >> 44 & 1 ? 0 : low >> 40 & 15,
		.dpl = low >> 45 & 3,
		.ist = low >> 32 & 7,
		.count = low >> 32 & 31,
		.present = low >> 47 & 1,
	};

	if (gate.type < DESCRIPTOR_CALL_GATE)
		gate.offset &= 0xffff;
	return gate;
}
