/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/complain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "manage/exitcodes.h"

/* One write, so that lines of other threads and processes don't end up inside. */
static void write_line(const char *text)
{
	char line[4096];
	size_t length = (size_t)snprintf(line, sizeof(line), "lodge: ");

	for (; *text && length < sizeof(line) - 5; text++) {
		unsigned char c = (unsigned char)*text;

		/* C1 as well, in UTF-8, whose second byte alone is nothing: some terminals obey it.
		 */
		if (c < 0x20 || c == 0x7f ||
		    (c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0))
			length += (size_t)snprintf(line + length, sizeof(line) - length, "\\x%02x",
						   c);
		else
			line[length++] = (char)c;
	}
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0)
		return; /* nobody is there to be told */
}

static void complain_arguments(const char *format, va_list arguments)
{
	char text[3072];

	vsnprintf(text, sizeof(text), format, arguments);
	write_line(text);
}

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_arguments(format, arguments);
	va_end(arguments);
}

int exit_for(int error, enum lodge_exit usual)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case ENOMEM:
		return LODGE_HOST_LACKS;
	default:
		return usual;
	}
}

int complain_with(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_arguments(format, arguments);
	va_end(arguments);
	return status;
}
