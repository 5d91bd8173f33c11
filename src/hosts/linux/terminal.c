/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts/linux/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "hosts/linux/internal.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/loop.h"
#include "hosts/linux/output.h"
#include "lib/format.h"

#define ESCAPE	   0x1d /* Ctrl-] */
#define INPUT_SIZE 256

struct terminal {
	struct console console; /* first */
	struct vm *vm;
	struct loop *loop;
	const struct terminal_command *commands;
	struct output output;
	struct loop_watch input;
	struct loop_call input_again, size_first;
	bool escape; /* Ctrl-] was typed: the next key is for us */
	unsigned char waiting[INPUT_SIZE];
	size_t waiting_from, waiting_to; /* what the device had no room for */
};

/* How the terminal was found. Read by signal handlers. */
static struct termios found;
static _Atomic bool raw;

static void raw_enter(void)
{
	struct termios mode = found;

	cfmakeraw(&mode);
	tcsetattr(STDIN_FILENO, TCSANOW, &mode);
	atomic_store(&raw, true);
}

void terminal_restore(void)
{
	if (atomic_exchange(&raw, false))
		tcsetattr(STDIN_FILENO, TCSANOW, &found);
}

void linux_terminal_restore(void)
{
	terminal_restore();
}

bool terminal_is_raw(void)
{
	return atomic_load(&raw);
}

/* A line for the person. On a raw terminal the guest's cursor may stand anywhere. */
static void say(const char *text)
{
	char line[256];
	size_t length = format(line, sizeof(line), raw ? "\r\nlodge: %s\r\n" : "lodge: %s\n", text);

	write_all(STDERR_FILENO, line, length < sizeof(line) ? length : sizeof(line) - 1);
}

static void say_commands(const struct terminal *terminal)
{
	char line[128];

	say("after Ctrl-]:  q leave   ? this list   Ctrl-] send Ctrl-]");
	for (const struct terminal_command *c = terminal->commands; c && c->key; c++) {
		format(line, sizeof(line), "               %c %s", c->key, c->help);
		write_all(STDERR_FILENO, line, __builtin_strlen(line));
		write_all(STDERR_FILENO, "\r\n", 2);
	}
}

static void command(struct terminal *terminal, unsigned char key)
{
	if (key == 'q' || key == 'Q') {
		say("leaving");
		vm_stop(terminal->vm, VM_KILLED, 0);
		return;
	}
	for (const struct terminal_command *c = terminal->commands; c && c->key; c++) {
		if ((unsigned char)c->key == key) {
			c->call(terminal->vm);
			return;
		}
	}
	say_commands(terminal);
}

/* Takes the commands out of what was typed; the rest moves together. */
static size_t filter_commands(struct terminal *terminal, unsigned char *bytes, size_t length)
{
	size_t kept = 0;

	for (size_t i = 0; i < length; i++) {
		if (terminal->escape && bytes[i] != ESCAPE) {
			terminal->escape = false;
			command(terminal, bytes[i]);
		} else if (!terminal->escape && bytes[i] == ESCAPE) {
			terminal->escape = true;
		} else {
			terminal->escape = false;
			bytes[kept++] = bytes[i];
		}
	}
	return kept;
}

static void input_pass_on(struct terminal *terminal)
{
	struct console *console = &terminal->console;

	if (console->input)
		terminal->waiting_from +=
			console->input(console->device, terminal->waiting + terminal->waiting_from,
				       terminal->waiting_to - terminal->waiting_from);
	/* While something waits, more is left where it is: in the terminal or the pipe. */
	loop_change(terminal->loop, &terminal->input,
		    terminal->waiting_from == terminal->waiting_to ? EPOLLIN : 0);
}

/* The person's terminal went away, or the pipe is at its end: the guest goes on without input. */
static void input_end(struct terminal *terminal)
{
	loop_remove(terminal->loop, &terminal->input);
	terminal->input.fd = -1;
}

static void input_readable(struct loop_watch *watch, uint32_t events)
{
	struct terminal *terminal = watch->context;
	ssize_t length;

	length = read(watch->fd, terminal->waiting, INPUT_SIZE);
	if (length < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (length <= 0) {
		input_end(terminal);
		return;
	}
	if (terminal_is_raw())
		length = (ssize_t)filter_commands(terminal, terminal->waiting, (size_t)length);
	terminal->waiting_from = 0;
	terminal->waiting_to = (size_t)length;
	if (length > 0)
		input_pass_on(terminal);
}

static void input_again(struct loop_call *call)
{
	struct terminal *terminal = call->context;

	if (terminal->waiting_from != terminal->waiting_to)
		input_pass_on(terminal);
}

static void size_tell(struct terminal *terminal)
{
	struct winsize size;

	if (terminal->console.resized && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col && size.ws_row)
		terminal->console.resized(terminal->console.device, size.ws_col, size.ws_row);
}

static void size_first(struct loop_call *call)
{
	size_tell(call->context);
}

static void terminal_signal(void *context, int signal)
{
	struct terminal *terminal = context;

	/* After a stop and a continue the shell's settings are in force. */
	if (signal == SIGCONT && terminal_is_raw())
		raw_enter();
	size_tell(terminal);
}

static size_t terminal_write(struct console *console, const void *bytes, size_t length)
{
	return output_write(&((struct terminal *)console)->output, bytes, length);
}

/* From within the device's register access: to call it back from here would surprise it. */
static void terminal_input_ready(struct console *console)
{
	struct terminal *terminal = (struct terminal *)console;

	if (terminal->waiting_from != terminal->waiting_to)
		loop_post(terminal->loop, &terminal->input_again);
}

static void output_room(struct loop_call *call)
{
	struct terminal *terminal = call->context;

	if (terminal->console.output_ready)
		terminal->console.output_ready(terminal->console.device);
}

static void terminal_close(struct console *console)
{
	struct terminal *terminal = (struct terminal *)console;

	vm_lock(terminal->vm);
	if (terminal->input.fd >= 0)
		loop_remove(terminal->loop, &terminal->input);
	loop_on_signal(terminal->loop, NULL, NULL);
	vm_unlock(terminal->vm);
	loop_withdraw(terminal->loop, &terminal->input_again);
	loop_withdraw(terminal->loop, &terminal->size_first);
	if (output_close(&terminal->output)) {
		terminal_restore();
		free(terminal);
	} else {
		terminal_restore(); /* the thread that can't be ended still uses the rest */
	}
}

static const struct console_ops terminal_ops = {
	.write = terminal_write,
	.input_ready = terminal_input_ready,
	.close = terminal_close,
};

int terminal_open(struct console **console, struct vm *vm, const struct terminal_options *options)
{
	struct terminal *terminal = calloc(1, sizeof(*terminal));
	int error;

	if (!terminal)
		return -ENOMEM;
	terminal->console.ops = &terminal_ops;
	terminal->vm = vm;
	terminal->loop = linux_loop(vm);
	terminal->commands = options->commands;
	terminal->input = (struct loop_watch){
		.fd = STDIN_FILENO, .ready = input_readable, .context = terminal};
	terminal->input_again = (struct loop_call){.call = input_again, .context = terminal};
	terminal->size_first = (struct loop_call){.call = size_first, .context = terminal};
	output_init(&terminal->output, STDOUT_FILENO, terminal->loop, output_room, terminal);
	terminal->output.gaps = true;
	/* A stdin that was closed before we were started is no reason not to run: there is no input
	 * then. */
	error = loop_add(terminal->loop, &terminal->input, EPOLLIN);
	if (error == -EBADF)
		terminal->input.fd = -1;
	else if (error) {
		output_close(&terminal->output);
		free(terminal);
		return error;
	}
	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &found) == 0) {
		if (!options->quiet)
			say("Ctrl-] then q leaves, Ctrl-] then ? lists more");
		raw_enter();
		atexit(terminal_restore);
	}
	loop_on_signal(terminal->loop, terminal_signal, terminal);
	loop_post(terminal->loop, &terminal->size_first);
	*console = &terminal->console;
	return 0;
}
