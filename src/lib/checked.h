/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic on numbers that somebody else chose: each says whether the result fits. */
#ifndef LIB_CHECKED_H
#define LIB_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* True if *result is the true sum, difference, product; else it is the wrapped one. */
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *result)
{
	return !__builtin_add_overflow(a, b, result);
}

static inline bool checked_subtract(uint64_t a, uint64_t b, uint64_t *result)
{
	return !__builtin_sub_overflow(a, b, result);
}

static inline bool checked_multiply(uint64_t a, uint64_t b, uint64_t *result)
{
	return !__builtin_mul_overflow(a, b, result);
}

/* Whether [start, start + length) lies within [0, size). */
static inline bool range_within(uint64_t start, uint64_t length, uint64_t size)
{
	return start <= size && length <= size - start;
}

/* Whether [a, a + a_length) and [b, b + b_length) have something in common; neither wraps. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a_length && b_length && (a <= b ? b - a < a_length : a - b < b_length);
}

/* a * b / c with 128 bits in between; saturates at UINT64_MAX. c > 0. */
static inline uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t high, low, quotient, remainder;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(a), "r"(b) : "cc");
	if (high >= c)
		return UINT64_MAX;
	__asm__("divq %4" : "=a"(quotient), "=d"(remainder) : "a"(low), "d"(high), "r"(c) : "cc");
	(void)remainder;
	return quotient;
}

#endif
