/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/format.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/string.h"

struct output {
	char *buffer;
	size_t size, length;
};

/* One directive. */
struct directive {
	bool left, zero, plus, space, alternate, upper;
	int width, precision; /* precision -1: none given */
	unsigned size;	      /* of the integer in bytes */
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->buffer[out->length] = c;
	out->length++;
}

static void put_many(struct output *out, char c, int count)
{
	while (count-- > 0)
		put(out, c);
}

/* prefix, zeroes and digits, padded to the width. */
static void put_padded(struct output *out, const struct directive *d, const char *prefix,
		       int zeroes, const char *text, int length)
{
	int total = (int)string_length(prefix) + (zeroes > 0 ? zeroes : 0) + length;

	if (!d->left)
		put_many(out, ' ', d->width - total);
	while (*prefix)
		put(out, *prefix++);
	put_many(out, '0', zeroes);
	for (int i = 0; i < length; i++)
		put(out, text[i]);
	if (d->left)
		put_many(out, ' ', d->width - total);
}

static void put_integer(struct output *out, const struct directive *d, const char *prefix,
			uint64_t value, unsigned base)
{
	const char *digits = d->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24];
	int first = sizeof(text), length, zeroes;

	for (uint64_t rest = value; rest; rest /= base)
		text[--first] = digits[rest % base];
	length = (int)sizeof(text) - first;
	if (d->precision >= 0)
		zeroes = d->precision - length;
	else if (d->zero && !d->left)
		zeroes = d->width - (int)string_length(prefix) - length;
	else
		zeroes = 0;
	if (length == 0 && d->precision < 0 && zeroes < 1)
		zeroes = 1;
	if (base == 8 && d->alternate && zeroes < 1)
		zeroes = 1;
	put_padded(out, d, prefix, zeroes, text + first, length);
}

static const char *read_flags(const char *f, struct directive *d)
{
	for (;; f++) {
		if (*f == '-')
			d->left = true;
		else if (*f == '0')
			d->zero = true;
		else if (*f == '+')
			d->plus = true;
		else if (*f == ' ')
			d->space = true;
		else if (*f == '#')
			d->alternate = true;
		else
			return f;
	}
}

static const char *read_number(const char *f, int *number)
{
	for (*number = 0; *f >= '0' && *f <= '9'; f++)
		if (*number < __INT_MAX__ / 16)
			*number = *number * 10 + (*f - '0');
	return f;
}

static const char *read_size(const char *f, struct directive *d)
{
	d->size = sizeof(int);
	if (*f == 'h') {
		d->size = f[1] == 'h' ? sizeof(char) : sizeof(short);
		f += f[1] == 'h' ? 2 : 1;
	} else if (*f == 'l' || *f == 'z' || *f == 't' || *f == 'j') {
		d->size = sizeof(long);
		f += *f == 'l' && f[1] == 'l' ? 2 : 1;
	}
	return f;
}

static int64_t narrow_signed(int64_t value, unsigned size)
{
	switch (size) {
	case 1:
		return (signed char)value;
	case 2:
		return (short)value;
	case 4:
		return (int)value;
	default:
		return value;
	}
}

static uint64_t narrow(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & ((UINT64_C(1) << size * 8) - 1);
}

static void put_string(struct output *out, struct directive *d, const char *text)
{
	size_t limit = d->precision >= 0 ? (size_t)d->precision : __INT_MAX__;

	if (!text)
		text = "(null)";
	put_padded(out, d, "", 0, text, (int)string_length_limited(text, limit));
}

static void put_signed(struct output *out, const struct directive *d, int64_t value)
{
	const char *prefix = value < 0 ? "-" : d->plus ? "+" : d->space ? " " : "";

	put_integer(out, d, prefix, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

/* va_list is an array here: behind a pointer to its element, changes reach the caller. */
static void put_directive(struct output *out, struct directive *d, char letter, va_list arguments)
{
	uint64_t value = 0;
	char c;

	switch (letter) {
	case 'd':
	case 'i':
		value = d->size == 8 ? (uint64_t)va_arg(arguments, long)
				     : (uint64_t)va_arg(arguments, int);
		put_signed(out, d, narrow_signed((int64_t)value, d->size));
		break;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		value = d->size == 8 ? va_arg(arguments, unsigned long)
				     : va_arg(arguments, unsigned int);
		value = narrow(value, d->size);
		d->upper = letter == 'X';
		if (letter == 'u' || letter == 'o')
			put_integer(out, d, "", value, letter == 'u' ? 10 : 8);
		else
			put_integer(out, d, d->alternate && value ? (d->upper ? "0X" : "0x") : "",
				    value, 16);
		break;
	case 'p':
		put_integer(out, d, "0x", (uintptr_t)va_arg(arguments, void *), 16);
		break;
	case 'c':
		c = (char)va_arg(arguments, int);
		put_padded(out, d, "", 0, &c, 1);
		break;
	case 's':
		put_string(out, d, va_arg(arguments, const char *));
		break;
	default:
		put(out, letter);
	}
}

size_t vformat(char *buffer, size_t size, const char *f, va_list arguments)
{
	struct output out = {.buffer = buffer, .size = size};

	while (*f) {
		struct directive d = {.precision = -1};

		if (*f != '%') {
			put(&out, *f++);
			continue;
		}
		f = read_flags(f + 1, &d);
		if (*f == '*') {
			d.width = va_arg(arguments, int);
			d.left = d.left || d.width < 0;
			d.width = d.width < 0 ? -d.width : d.width;
			f++;
		} else {
			f = read_number(f, &d.width);
		}
		if (*f == '.' && f[1] == '*') {
			d.precision = va_arg(arguments, int);
			f += 2;
		} else if (*f == '.') {
			f = read_number(f + 1, &d.precision);
		}
		f = read_size(f, &d);
		if (!*f)
			break;
		put_directive(&out, &d, *f++, arguments);
	}
	if (size > 0)
		buffer[out.length < size ? out.length : size - 1] = '\0';
	return out.length;
}

size_t format(char *buffer, size_t size, const char *f, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, f);
	length = vformat(buffer, size, f, arguments);
	va_end(arguments);
	return length;
}
