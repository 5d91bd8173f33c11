/* SPDX-License-Identifier: BSD-2-Clause */
/* console, logs: what a machine says on its serial port, and said. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/control_message.h"
#include "manage/exitcodes.h"
#include "manage/plain.h"
#include "manage/safe_file.h"
#include "manage/verbs.h"
#include "manage/watch.h"

#define ESCAPE	     0x1d /* Ctrl-] */
#define PIECE	     4096
#define LOG_MAX	     (64u << 20)
#define FOLLOW_EVERY 500 /* milliseconds, at the latest */

/* How the terminal was found; read by a signal's handler. */
static struct termios found;
static volatile sig_atomic_t raw;

static void terminal_back(void)
{
	if (raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &found);
	raw = 0;
}

static void ended_by_signal(int number)
{
	terminal_back();
	signal(number, SIG_DFL);
	raise(number);
}

static void terminal_enter(void)
{
	static const int ending[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
	struct termios mode;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &found))
		return;
	mode = found;
	cfmakeraw(&mode);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		signal(ending[i], ended_by_signal);
	raw = 1;
	atexit(terminal_back);
	tcsetattr(STDIN_FILENO, TCSANOW, &mode);
}

static bool write_out(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		bytes += written;
		length -= (size_t)written;
	}
	return true;
}

/* One direction each; false: it is over. */
static bool pass_output(int socket)
{
	char bytes[PIECE];
	ssize_t got = read(socket, bytes, sizeof(bytes));

	return got > 0 && write_out(STDOUT_FILENO, bytes, (size_t)got);
}

/* What was typed, without our own keys. *more: whether there will be more. */
static bool pass_input(int socket, bool *escape, bool *more)
{
	char bytes[PIECE];
	ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
	size_t kept = 0;

	*more = got > 0;
	for (ssize_t i = 0; raw && i < got; i++) {
		if (*escape && (bytes[i] == 'q' || bytes[i] == 'Q' || bytes[i] == '.'))
			return false;
		if (!*escape && bytes[i] == ESCAPE) {
			*escape = true;
			continue;
		}
		*escape = false;
		bytes[kept++] = bytes[i];
	}
	if (!raw && got > 0)
		kept = (size_t)got;
	return !kept || write_out(socket, bytes, kept);
}

/* Until one of the two ends, or the keys are typed: then true. */
static bool pass_bytes(struct control_client *client, bool read_only)
{
	int socket = control_client_file(client);
	bool escape = false, more = true;
	char rest[WATCH_KEPT];
	size_t length = control_client_rest(client, rest, sizeof(rest));

	write_out(STDOUT_FILENO, rest, length);
	for (;;) {
		struct pollfd both[] = {
			{.fd = socket, .events = POLLIN},
			{.fd = more && (raw || !read_only) ? STDIN_FILENO : -1, .events = POLLIN}};

		if (poll(both, 2, -1) < 0 && errno != EINTR)
			return false;
		if (both[0].revents && !pass_output(socket))
			return false;
		if (both[1].revents && !pass_input(socket, &escape, &more))
			return true;
	}
}

static int begin(const struct verb_call *call, const struct store_machine *machine,
		 struct control_client *client)
{
	bool read_only = verb_given(call, "--read-only");
	const struct control_exchange exchange = {
		.command = "console",
		.arguments = json_pack("{s:b, s:b, s:i}", "write", !read_only, "take",
				       verb_given(call, "--take"), "kept", 1024),
		.timeout = 10000};
	char code[32], reason[1200];
	int error =
		control_ask(client, &exchange, NULL, code, sizeof(code), reason, sizeof(reason));

	if (!error)
		return LODGE_OK;
	if (error == -EREMOTEIO && !strcmp(code, CONTROL_BUSY))
		return complain_with(LODGE_BAD_STATE,
				     "%s: another console writes to it: --take takes that over, "
				     "--read-only only looks",
				     machine->name);
	return complain_with(LODGE_BAD_STATE, error == -EREMOTEIO ? "%s: %s" : "%s %s",
			     machine->name, reason);
}

static int console(struct verb_call *call)
{
	struct control_client *client;
	struct store_machine machine;
	struct store store;
	bool left;
	int status = verb_store(call, &store);

	if (!status)
		status = verb_machine(call, &store, call->words[0], &machine);
	if (status)
		return status;
	status = verb_connect(&machine, &client);
	if (!status) {
		status = begin(call, &machine, client);
		if (!status) {
			if (isatty(STDIN_FILENO))
				fprintf(stderr, "lodge: Ctrl-] then q leaves %s, which runs on\n",
					machine.name);
			terminal_enter();
			left = pass_bytes(client, verb_given(call, "--read-only"));
			terminal_back();
			if (isatty(STDIN_FILENO))
				fprintf(stderr, "\nlodge: %s %s\n", left ? "left" : "end of",
					machine.name);
		}
		control_disconnect(client);
	}
	store_close(&machine);
	return status;
}

/* logs */

/* What the guest has written: a terminal gets what is harmless of it, anything else all. */
static bool show(struct plain *plain, const char *bytes, size_t length)
{
	static char shown[16384 + PLAIN_HELD];

	if (!isatty(STDOUT_FILENO))
		return write_out(STDOUT_FILENO, bytes, length);
	for (size_t piece; length; bytes += piece, length -= piece) {
		piece = length < sizeof(shown) - PLAIN_HELD ? length : sizeof(shown) - PLAIN_HELD;
		if (!write_out(STDOUT_FILENO, shown, plain_take(plain, bytes, piece, shown)))
			return false;
	}
	return true;
}

static int output_lost(void)
{
	return complain_with(LODGE_HOST_LACKS, "standard output can't be written");
}

/* What of the file is behind `from`, to standard output; how much. */
static off_t copy_from(struct plain *plain, int fd, off_t from)
{
	char bytes[16384];
	ssize_t got;

	while ((got = pread(fd, bytes, sizeof(bytes), from)) > 0) {
		if (!show(plain, bytes, (size_t)got))
			return -1;
		from += got;
	}
	return from;
}

/* Until the machine has ended and all is written; for ever if it is started anew, as tail -f.
 * False: the output is lost. */
static bool follow(const struct store_machine *machine, struct plain *plain, int fd, off_t at)
{
	int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[STORE_PATH], events[4096];
	bool runs = true;

	store_path(machine, "console.log", path);
	if (notify >= 0)
		inotify_add_watch(notify, path, IN_MODIFY);
	while (at >= 0 && runs) {
		struct pollfd one = {.fd = notify, .events = POLLIN};
		struct stat status;

		runs = store_is_locked(machine, STORE_RUN);
		/* It has been emptied: what it had is in the old one now. */
		if (!fstat(fd, &status) && status.st_size < at)
			at = 0;
		at = copy_from(plain, fd, at);
		if (runs && poll(&one, 1, FOLLOW_EVERY) > 0)
			(void)!read(notify, events, sizeof(events));
	}
	if (notify >= 0)
		close(notify);
	return at >= 0;
}

static int show_console(struct verb_call *call, const struct store_machine *machine, unsigned lines)
{
	char path[STORE_PATH], *text;
	struct plain plain = {0};
	size_t size, here;
	const char *from;
	bool good;
	int fd, error = verb_console_read(machine, &text, &size, &here);

	if (error)
		return complain_with(LODGE_HOST_LACKS, "%s: its log: %s", machine->name,
				     strerror(-error));
	from = lines ? verb_last_lines(text, size, lines) : text;
	good = show(&plain, from, (size_t)(text + size - from));
	free(text);
	if (good && verb_given(call, "--follow")) {
		store_path(machine, "console.log", path);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0) {
			good = follow(machine, &plain, fd, (off_t)here);
			close(fd);
		}
	}
	return good ? LODGE_OK : output_lost();
}

static int show_process(const struct store_machine *machine, unsigned lines)
{
	char path[STORE_PATH], *text;
	struct plain plain = {0};
	const char *from;
	size_t size;
	bool good;
	int error;

	store_path(machine, "lodge.log", path);
	error = safe_file_read(path, LOG_MAX, &text, &size);
	if (error == -ENOENT)
		return LODGE_OK; /* it never ran */
	if (error)
		return complain_with(LODGE_HOST_LACKS, "%s: %s", path, strerror(-error));
	from = lines ? verb_last_lines(text, size, lines) : text;
	good = show(&plain, from, (size_t)(text + size - from));
	free(text);
	return good ? LODGE_OK : output_lost();
}

static int show_log(struct verb_call *call, const struct store_machine *machine)
{
	unsigned lines;

	if (!verb_number(call, "--lines", 1, 1000000, 0, &lines))
		return LODGE_BAD_OPTION;
	return verb_given(call, "--process") ? show_process(machine, lines)
					     : show_console(call, machine, lines);
}

static int logs(struct verb_call *call)
{
	struct store_machine machine;
	struct store store;
	int status = verb_store(call, &store);

	if (!status)
		status = verb_machine(call, &store, call->words[0], &machine);
	if (status)
		return status;
	status = show_log(call, &machine);
	store_close(&machine);
	return status;
}

static const struct verb_option console_options[] = {
	{"--take", NULL, false, "takes the input over from another console"},
	{"--read-only", NULL, false, "only looks"},
	VERB_END,
};

static const struct verb_option logs_options[] = {
	{"--follow", NULL, false, "goes on as the machine does, until it ends"},
	{"-f", NULL, false, NULL},
	{"--lines", "N", false, "only the last N lines"},
	{"-n", "N", false, NULL},
	{"--process", NULL, false, "what Lodge said of the machine, not what the guest said"},
	VERB_END,
};

const struct verb verbs_console[] = {
	{"console",
	 "[--take|--read-only] NAME",
	 "the serial console of a machine",
	 1,
	 1,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 console_options,
	 false,
	 false,
	 console,
	 "Any number may read, one may write. On a terminal Ctrl-] then q leaves; otherwise "
	 "standard "
	 "input goes to the guest, and it ends with the machine."},
	{"logs",
	 "[OPTION...] NAME",
	 "what a machine has written to its console",
	 1,
	 1,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 logs_options,
	 false,
	 false,
	 logs,
	 "The last MiB at least is kept, over restarts and crashes. A terminal is shown text and "
	 "colours, nothing else that it would obey; files and pipes get all that the guest wrote."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
