/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Serial and debug console on the channel. What the manager doesn't take away stays in the ring;
 * when that is full the device keeps the rest, as a real UART whose line is slow, and hears of room
 * when the manager has taken some.
 */
#include "engines/metal/call.h"
#include "hosts/metal/machine.h"

static void notify_manager(void)
{
	METAL_CALL(METAL_NOTIFY, 0, METAL_EVENT_NOTIFY);
}

static size_t console_write(struct console *console, const void *bytes, size_t length)
{
	struct metal_console *own = (struct metal_console *)console;
	bool notify;
	size_t taken = channel_send(own->channel, CHANNEL_OUTPUT, bytes, length, &notify);

	own->full = taken < length;
	if (notify)
		notify_manager();
	return taken;
}

/* Whether all that was held has gone to the device. */
static bool give_held(struct metal_console *own)
{
	struct console *console = &own->console;

	if (own->held_from < own->held_to && console->input)
		own->held_from += console->input(console->device, own->held + own->held_from,
						 own->held_to - own->held_from);
	return own->held_from >= own->held_to;
}

/* No more than one ring's worth at a time: the manager may put in as fast as we take. */
static void take_input(struct metal_console *own)
{
	size_t left = CHANNEL_INPUT_SIZE;
	bool took = false;

	while (own->takes_input && left > 0 && give_held(own)) {
		own->held_from = 0;
		own->held_to = channel_take(own->channel, CHANNEL_INPUT, own->held,
					    left < sizeof(own->held) ? left : sizeof(own->held));
		if (own->held_to == 0)
			break;
		left -= own->held_to;
		took = true;
	}
	if (took)
		notify_manager();
}

static void console_input_ready(struct console *console)
{
	take_input((struct metal_console *)console);
}

static void console_close(struct console *console)
{
}

static const struct console_ops ops = {
	.write = console_write, .input_ready = console_input_ready, .close = console_close};

void console_init(struct metal_console *console, struct channel *channel, bool takes_input)
{
	*console = (struct metal_console){
		.console = {.ops = &ops}, .channel = channel, .takes_input = takes_input};
}

void console_look(struct metal_console *own)
{
	struct console *console = &own->console;

	take_input(own);
	if (own->full && channel_room(own->channel, CHANNEL_OUTPUT)) {
		own->full = false;
		if (console->output_ready)
			console->output_ready(console->device);
	}
}
