/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/watch.h"

#include <stdio.h>
#include <string.h>

#include "core/device.h"

static const char panic_words[] = "Kernel panic - not syncing";

static char kept(const struct watch *watch, size_t position)
{
	return watch->kept[position & (WATCH_KEPT - 1)];
}

static void look_at(struct watch *watch, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		watch->kept[watch->written++ & (WATCH_KEPT - 1)] = bytes[i];
		/* No part of the words but their first letter begins them anew. */
		if (bytes[i] != panic_words[watch->matched])
			watch->matched = 0;
		if (bytes[i] == panic_words[watch->matched])
			watch->matched++;
		if (watch->matched == sizeof(panic_words) - 1) {
			watch->panicked = true;
			watch->matched = 0;
		}
	}
}

static size_t front_write(struct console *console, const void *bytes, size_t length)
{
	struct watch *watch = container_of(console, struct watch, front);
	size_t taken = watch->back ? watch->back->ops->write(watch->back, bytes, length) : length;

	look_at(watch, bytes, taken);
	return taken;
}

static size_t debug_write(struct console *console, const void *bytes, size_t length)
{
	return front_write(&container_of(console, struct watch, debug)->front, bytes, length);
}

static void debug_input_ready(struct console *console)
{
}

static void front_input_ready(struct console *console)
{
	struct watch *watch = container_of(console, struct watch, front);

	if (watch->back)
		watch->back->ops->input_ready(watch->back);
}

/* The true console is its owner's to close. */
static void front_close(struct console *console)
{
}

static const struct console_ops front_ops = {
	.write = front_write, .input_ready = front_input_ready, .close = front_close};

static const struct console_ops debug_ops = {
	.write = debug_write, .input_ready = debug_input_ready, .close = front_close};

static size_t back_input(void *device, const void *bytes, size_t length)
{
	struct watch *watch = device;

	return watch->front.input ? watch->front.input(watch->front.device, bytes, length) : 0;
}

static void back_output_ready(void *device)
{
	struct watch *watch = device;

	if (watch->front.output_ready)
		watch->front.output_ready(watch->front.device);
	if (watch->debug.output_ready)
		watch->debug.output_ready(watch->debug.device);
}

static void back_resized(void *device, uint16_t columns, uint16_t rows)
{
	struct watch *watch = device;

	if (watch->front.resized)
		watch->front.resized(watch->front.device, columns, rows);
}

void watch_init(struct watch *watch)
{
	memset(watch, 0, sizeof(*watch));
	watch->front.ops = &front_ops;
	watch->debug.ops = &debug_ops;
}

void watch_attach(struct watch *watch, struct console *back)
{
	watch->back = back;
	if (!back)
		return;
	back->input = back_input;
	back->output_ready = back_output_ready;
	back->resized = back_resized;
	back->device = watch;
}

void watch_restart(struct watch *watch)
{
	watch->panicked = false;
	watch->matched = 0;
}

size_t watch_copy(const struct watch *watch, char *bytes, size_t size)
{
	size_t length = watch->written < WATCH_KEPT ? watch->written : WATCH_KEPT;

	if (length > size)
		length = size;
	for (size_t i = 0; i < length; i++)
		bytes[i] = kept(watch, watch->written - length + i);
	return length;
}

void watch_show(const struct watch *watch, unsigned lines)
{
	const size_t oldest = watch->written > WATCH_KEPT ? watch->written - WATCH_KEPT : 0;
	size_t end = watch->written, start;

	while (end > oldest && strchr("\r\n", kept(watch, end - 1)))
		end--;
	for (start = end; start > oldest; start--)
		if (kept(watch, start - 1) == '\n' && !--lines)
			break;
	for (size_t i = start; i < end; i++) {
		char c = kept(watch, i);

		if (c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) || (c & 0x80))
			fputc(c, stderr);
	}
	if (end > start)
		fputc('\n', stderr);
}
