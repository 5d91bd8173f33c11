/* SPDX-License-Identifier: BSD-2-Clause */
/* Text from a format, as C's printf makes it, without a C library. */
#ifndef LIB_FORMAT_H
#define LIB_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Writes at most size bytes, a zero at the end included (nothing if size is 0). Returns the length
 * without the zero that the text would have had in an endless buffer. Knows d i u x X o c s p and
 * %; flags - 0 + space #; width and precision, also as
 * *; h hh l ll z t j. Another letter is copied as it stands.
 */
size_t vformat(char *buffer, size_t size, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
size_t format(char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
