/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/console_hub.h"

#include <string.h>

#include "core/device.h"

static size_t hub_write(struct console *console, const void *bytes, size_t length)
{
	struct console_hub *hub = container_of(console, struct console_hub, front);
	size_t taken = hub->back->ops->write(hub->back, bytes, length);

	for (struct console_reader *reader = hub->readers; taken && reader; reader = reader->next)
		reader->output(reader, bytes, taken);
	return taken;
}

static void hub_input_ready(struct console *console)
{
	struct console_hub *hub = container_of(console, struct console_hub, front);

	hub->back->ops->input_ready(hub->back);
	if (hub->writer)
		hub->writer->input_ready(hub->writer);
}

static void hub_close(struct console *console)
{
	struct console_hub *hub = container_of(console, struct console_hub, front);

	hub->back->ops->close(hub->back);
}

static const struct console_ops hub_ops = {
	.write = hub_write, .input_ready = hub_input_ready, .close = hub_close};

static size_t back_input(void *device, const void *bytes, size_t length)
{
	struct console_hub *hub = device;

	return hub->front.input ? hub->front.input(hub->front.device, bytes, length) : 0;
}

static void back_output_ready(void *device)
{
	struct console_hub *hub = device;

	if (hub->front.output_ready)
		hub->front.output_ready(hub->front.device);
}

static void back_resized(void *device, uint16_t columns, uint16_t rows)
{
	struct console_hub *hub = device;

	if (hub->front.resized)
		hub->front.resized(hub->front.device, columns, rows);
}

void console_hub_init(struct console_hub *hub, struct console *back)
{
	memset(hub, 0, sizeof(*hub));
	hub->front.ops = &hub_ops;
	hub->back = back;
	back->input = back_input;
	back->output_ready = back_output_ready;
	back->resized = back_resized;
	back->device = hub;
}

void console_hub_add(struct console_hub *hub, struct console_reader *reader)
{
	reader->next = hub->readers;
	hub->readers = reader;
}

void console_hub_remove(struct console_hub *hub, struct console_reader *reader)
{
	struct console_reader **link = &hub->readers;

	while (*link && *link != reader)
		link = &(*link)->next;
	if (*link)
		*link = reader->next;
	if (hub->writer == reader)
		hub->writer = NULL;
}

bool console_hub_write_begin(struct console_hub *hub, struct console_reader *reader, bool take)
{
	struct console_reader *before = hub->writer;

	if (before == reader)
		return true;
	if (before && !take)
		return false;
	hub->writer = reader;
	if (before)
		before->taken_over(before);
	return true;
}

size_t console_hub_input(struct console_hub *hub, struct console_reader *reader, const void *bytes,
			 size_t length)
{
	if (hub->writer != reader)
		return length;
	return back_input(hub, bytes, length);
}
