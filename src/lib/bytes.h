/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes in memory: loads and stores of little-endian integers at any alignment, copy, fill and
 * compare. Never touches vector registers, so that it may be called while they hold the guest's
 * values.
 */
#ifndef LIB_BYTES_H
#define LIB_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Little-endian integers at any alignment. */
static inline uint16_t bytes_load16(const void *from)
{
	uint16_t value;

	__builtin_memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint32_t bytes_load32(const void *from)
{
	uint32_t value;

	__builtin_memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint64_t bytes_load64(const void *from)
{
	uint64_t value;

	__builtin_memcpy(&value, from, sizeof(value));
	return value;
}

static inline void bytes_store16(void *to, uint16_t value)
{
	__builtin_memcpy(to, &value, sizeof(value));
}

static inline void bytes_store32(void *to, uint32_t value)
{
	__builtin_memcpy(to, &value, sizeof(value));
}

static inline void bytes_store64(void *to, uint64_t value)
{
	__builtin_memcpy(to, &value, sizeof(value));
}

/* The low `size` (0 to 8) bytes of an integer. */
static inline uint64_t bytes_load(const void *from, unsigned size)
{
	uint64_t value = 0;

	__builtin_memcpy(&value, from, size);
	return value;
}

static inline void bytes_store(void *to, uint64_t value, unsigned size)
{
	__builtin_memcpy(to, &value, size);
}

/* Copies; the two must not overlap. */
static inline void bytes_copy(void *to, const void *from, size_t size)
{
	__builtin_memcpy(to, from, size);
}

/* Copies; the two may overlap. */
static inline void bytes_move(void *to, const void *from, size_t size)
{
	__builtin_memmove(to, from, size);
}

static inline void bytes_fill(void *to, uint8_t value, size_t size)
{
	__builtin_memset(to, value, size);
}

/* Below, equal to or above 0 as the first differing byte of a is below or above b's. */
static inline int bytes_compare(const void *a, const void *b, size_t size)
{
	return __builtin_memcmp(a, b, size);
}

static inline bool bytes_equal(const void *a, const void *b, size_t size)
{
	return __builtin_memcmp(a, b, size) == 0;
}

/*
 * What memcpy, memmove, memset and memcmp are in Lodge (as C defines them): the compiler calls
 * those on its own. Under these names they are there in sanitized builds too, where the C library's
 * checked ones serve otherwise.
 */
void *bytes_memcpy(void *to, const void *from, size_t size);
void *bytes_memmove(void *to, const void *from, size_t size);
void *bytes_memset(void *to, int value, size_t size);
int bytes_memcmp(const void *a, const void *b, size_t size);

#endif
