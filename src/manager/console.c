/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/console.h"

#include "core/host.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/system.h"

#define TEXT_MAX   1024
#define DRAIN_TIME UINT64_C(2000000000) /* ns */

static uint32_t waiting(const struct console *console)
{
	return console->output_written - console->output_read;
}

void console_put_raw(struct console *console, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (waiting(console) == CONSOLE_OUTPUT_MAX) {
			console->lost += length - i;
			return;
		}
		console->output[console->output_written++ % CONSOLE_OUTPUT_MAX] = bytes[i];
		console->in_line = bytes[i] != '\n' && (bytes[i] != '\r' || console->in_line);
	}
}

void console_put(struct console *console, const char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			console_put_raw(console, "\r\n", 2);
		else
			console_put_raw(console, text, 1);
}

void console_print_arguments(struct console *console, const char *text, va_list arguments)
{
	char line[TEXT_MAX];

	vformat(line, sizeof(line), text, arguments);
	console_put(console, line);
}

void console_print(struct console *console, const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	console_print_arguments(console, text, arguments);
	va_end(arguments);
}

void console_put_foreign(struct console *console, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];

		if (c == '\n')
			console_put_raw(console, "\r\n", 2);
		else if (c == '\t' || (c >= ' ' && c < 0x7f))
			console_put_raw(console, &c, 1);
		else if (c != '\r')
			console_put_raw(console, "?", 1);
	}
}

void console_fresh_line(struct console *console)
{
	if (console->in_line)
		console_put_raw(console, "\r\n", 2);
}

size_t console_room(const struct console *console)
{
	uint32_t used = waiting(console);

	return used < CONSOLE_GUEST_MAX ? CONSOLE_GUEST_MAX - used : 0;
}

bool console_is_behind(const struct console *console)
{
	return waiting(console) > CONSOLE_OUTPUT_MAX / 8;
}

bool console_flush(struct console *console)
{
	while (waiting(console)) {
		uint32_t start = console->output_read % CONSOLE_OUTPUT_MAX,
			 length = waiting(console);
		int64_t taken;

		if (length > CONSOLE_OUTPUT_MAX - start)
			length = CONSOLE_OUTPUT_MAX - start;
		taken = system_console_write(console->output + start, length);
		if (taken <= 0)
			return true;
		console->output_read += (uint32_t)taken;
	}
	if (console->lost) {
		uint64_t lost = console->lost;

		console->lost = 0;
		console_print(console, "\n[%llu bytes did not fit]\n", (unsigned long long)lost);
		return console_flush(console);
	}
	return false;
}

void console_drain(struct console *console)
{
	uint64_t deadline = host_now() + DRAIN_TIME;

	while (console_flush(console) && host_now() < deadline) {
		atomic_store(&system_start()->events, 0);
		system_wait(deadline);
	}
}

bool console_fill(struct console *console)
{
	for (;;) {
		uint32_t start = console->input_written % CONSOLE_INPUT_MAX;
		uint32_t room = CONSOLE_INPUT_MAX - (console->input_written - console->input_read);
		int64_t given;

		if (!room)
			return false;
		if (room > CONSOLE_INPUT_MAX - start)
			room = CONSOLE_INPUT_MAX - start;
		given = system_console_read(console->input + start, room);
		if (given <= 0)
			return true;
		console->input_written += (uint32_t)given;
	}
}

void console_forget(struct console *console)
{
	console->input_read = console->input_written;
}

int console_peek(const struct console *console)
{
	if (console->input_read == console->input_written)
		return -1;
	return (unsigned char)console->input[console->input_read % CONSOLE_INPUT_MAX];
}

int console_key(struct console *console)
{
	int key = console_peek(console);

	if (key >= 0)
		console->input_read++;
	return key;
}

bool console_urgent(struct console *console, char key)
{
	for (uint32_t i = console->input_read; i != console->input_written; i++) {
		if (console->input[i % CONSOLE_INPUT_MAX] != key)
			continue;
		console->input_read = i;
		return true;
	}
	return false;
}
