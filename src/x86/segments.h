/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors, as pure functions of their bits. Source: Intel SDM volume 3,
 * sections 3.4, 3.5, 6.11, 6.14, 8.2. */
#ifndef X86_SEGMENTS_H
#define X86_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/vcpu.h"

/* Types of system descriptors (S clear). In long mode the 16-bit ones are reserved and the others
 * are the 64-bit ones. */
enum {
	DESCRIPTOR_TSS16 = 1,
	DESCRIPTOR_LDT = 2,
	DESCRIPTOR_TSS16_BUSY = 3,
	DESCRIPTOR_CALL_GATE16 = 4,
	DESCRIPTOR_TASK_GATE = 5,
	DESCRIPTOR_INTERRUPT_GATE16 = 6,
	DESCRIPTOR_TRAP_GATE16 = 7,
	DESCRIPTOR_TSS = 9,
	DESCRIPTOR_TSS_BUSY = 11,
	DESCRIPTOR_CALL_GATE = 12,
	DESCRIPTOR_INTERRUPT_GATE = 14,
	DESCRIPTOR_TRAP_GATE = 15,
};

/* Bits of a code or data descriptor's type. */
#define TYPE_ACCESSED	 1u
#define TYPE_WRITABLE	 2u /* data */
#define TYPE_EXPAND_DOWN 4u /* data */
#define TYPE_READABLE	 2u /* code */
#define TYPE_CONFORMING	 4u /* code */
#define TYPE_CODE	 8u
#define TYPE_BUSY	 2u /* TSS */

static inline unsigned segment_dpl(uint16_t attributes)
{
	return attributes >> SEGMENT_DPL_SHIFT & 3;
}

static inline bool segment_is_code(uint16_t attributes)
{
	return (attributes & SEGMENT_S) && (attributes & TYPE_CODE);
}

static inline bool segment_is_conforming(uint16_t attributes)
{
	return segment_is_code(attributes) && (attributes & TYPE_CONFORMING);
}

static inline bool segment_is_data(uint16_t attributes)
{
	return (attributes & SEGMENT_S) && !(attributes & TYPE_CODE);
}

static inline bool segment_is_writable(uint16_t attributes)
{
	return segment_is_data(attributes) && (attributes & TYPE_WRITABLE);
}

static inline bool segment_is_readable(uint16_t attributes)
{
	return segment_is_data(attributes) ||
	       (segment_is_code(attributes) && (attributes & TYPE_READABLE));
}

/* The segment register that a descriptor makes. For system descriptors of long mode: high holds the
 * base's upper half; else 0. */
struct segment segment_from_descriptor(uint16_t selector, uint64_t low, uint64_t high);

/* Whether offset..offset+size-1 lies within the segment's limit; expand-down data segments
 * included. size > 0. */
bool segment_contains(const struct segment *segment, uint64_t offset, unsigned size);

struct gate {
	uint16_t selector;
	uint64_t offset;
	uint8_t type; /* system type; 0 if the descriptor is no system descriptor */
	uint8_t dpl;
	uint8_t ist;   /* long mode: 0..7 */
	uint8_t count; /* call gates outside long mode: parameters, 0..31 */
	bool present;
};

/* high: the second half of a 16-byte gate in long mode, else 0. */
struct gate gate_from_descriptor(uint64_t low, uint64_t high);

#endif
