/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/log.h"

#include <stdarg.h>

#include "kernel/clock.h"
#include "kernel/lock.h"
#include "kernel/serial.h"
#include "lib/format.h"

#define RING_SIZE 16384
#define LINE_SIZE 320

static char ring[RING_SIZE];
static uint64_t written; /* bytes ever */
static bool quiet;
static struct lock lock;

void log_line(const char *text, ...)
{
	char line[LINE_SIZE];
	uint64_t now = kernel_clock.multiplier ? clock_now() / 1000000 : 0;
	size_t length;
	va_list arguments;

	length = format(line, sizeof(line), "[%5llu.%03llu] ", (unsigned long long)(now / 1000),
			(unsigned long long)(now % 1000));
	va_start(arguments, text);
	length += vformat(line + length, sizeof(line) - length, text, arguments);
	va_end(arguments);
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';

	lock_take(&lock);
	for (size_t i = 0; i < length; i++)
		ring[written++ % RING_SIZE] = line[i];
	if (!quiet)
		serial_print(line, length);
	lock_drop(&lock);
}

size_t log_read(char *text, size_t size)
{
	lock_take(&lock);
	if (size > RING_SIZE)
		size = RING_SIZE;
	if (size > written)
		size = (size_t)written;
	for (size_t i = 0; i < size; i++)
		text[i] = ring[(written - size + i) % RING_SIZE];
	lock_drop(&lock);
	return size;
}

void log_quiet(void)
{
	lock_take(&lock);
	quiet = true;
	lock_drop(&lock);
}
