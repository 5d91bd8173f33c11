/* SPDX-License-Identifier: BSD-2-Clause */
/* Bits of integers. */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* One bit; 0..63. */
#define BIT(number) (UINT64_C(1) << (number))

/* The low `count` bits set; count 0..64. */
static inline uint64_t bits_mask(unsigned count)
{
	return count >= 64 ? UINT64_MAX : BIT(count) - 1;
}

/* All bits of an integer of so many bytes (1..8). */
static inline uint64_t bits_of_size(unsigned bytes)
{
	return bits_mask(bytes * 8);
}

/* Bits high..low of value, moved down to bit 0. */
static inline uint64_t bits_get(uint64_t value, unsigned high, unsigned low)
{
	return value >> low & bits_mask(high - low + 1);
}

/* value with its bits high..low replaced by the low ones of field. */
static inline uint64_t bits_set(uint64_t value, unsigned high, unsigned low, uint64_t field)
{
	uint64_t mask = bits_mask(high - low + 1) << low;

	return (value & ~mask) | (field << low & mask);
}

/* The low `bits` (1..64) of value as a signed integer. */
static inline int64_t bits_sign_extend(uint64_t value, unsigned bits)
{
	return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

/* To a multiple of alignment, a power of two. align_up wraps to 0 at the very end. */
static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t alignment)
{
	return (value & (alignment - 1)) == 0;
}

static inline bool is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/* The number of the lowest or highest bit set; -1 if there is none. */
static inline int bits_lowest(uint64_t value)
{
	return value ? __builtin_ctzll(value) : -1;
}

static inline int bits_highest(uint64_t value)
{
	return value ? 63 - __builtin_clzll(value) : -1;
}

/* How many bits are set. Written out: the builtin may become a call of the compiler's library. */
static inline unsigned bits_count(uint64_t value)
{
	value -= value >> 1 & UINT64_C(0x5555555555555555);
	value = (value & UINT64_C(0x3333333333333333)) +
		(value >> 2 & UINT64_C(0x3333333333333333));
	value = (value + (value >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)(value * UINT64_C(0x0101010101010101) >> 56);
}

/* Elements of an array (not of a pointer). */
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#endif
