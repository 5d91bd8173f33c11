/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One loop moves everything, and nothing of it waits for something else: input is read only once
 * the last piece has gone to the guest, the guest's bytes only once our outputs have taken the last
 * ones.
 */
#include "manage/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "lib/bytes.h"
#include "manage/complain.h"
#include "manage/control_client.h"
#include "manage/exitcodes.h"
#include "manage/plain.h"
#include "manage/verb_machine.h"

#define OUTPUT_PIECE 4096 /* what a pipe that has room takes without waiting (PIPE_BUF) */
#define REQUEST_MAX  (AGENT_FRAME_MAX - 4096)
#define ESCAPE	     0x1d /* Ctrl-] */
#define IMPATIENT    3	  /* interrupts, after which we leave a command alone */
#define STUCK_NS     UINT64_C(3000000000)
#define UNDERWAY     (1u << 20) /* more than there can be between us and the command */

struct client {
	const struct agent_command *command;
	struct plain plain;
	int stream, signals;
	bool terminal; /* the command gets one */
	bool met;      /* the agent has greeted, and the command has our terminal */
	bool raw;      /* ours is changed: as it was, in `before` */
	struct termios before;
	bool input_ended, out_waits, err_waits;
	bool escape, left; /* Ctrl-] was typed; and then q */
	unsigned interrupts;
	int left_by;	    /* a signal after which we go without the command's status */
	int failed;	    /* why an output can't be written: errno; 0: it can */
	bool failed_errors; /* that is standard error */
	/* A signal that may not have arrived yet. */
	struct {
		int number;	  /* 0: none */
		uint64_t end;	  /* that of its frame, as `moved` counts */
		uint64_t moved;	  /* what that was when we looked last, */
		uint64_t look_at; /* and when we look again */
	} late;
	struct agent_frames frames;
	/* To the guest. */
	uint8_t *waiting;
	size_t waiting_size, waiting_room, sent;
	uint64_t moved; /* bytes that the stream has taken of it, ever */
	/* From the guest: read, but not all of it taken. */
	uint8_t received[AGENT_PIECE];
	size_t received_size, taken;
};

/* One end of a pair of sockets, the other of which the machine has. 0, or as control_ask. */
static int join(struct control_client *client, int *stream, char *reason, size_t size)
{
	struct control_exchange exchange = {.command = "agent", .file_count = 1, .timeout = 10000};
	char code[64];
	int ends[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		error = -errno;
		snprintf(reason, size, "can't make a socket: %s", strerror(errno));
		return error;
	}
	exchange.files = &ends[1];
	error = control_ask(client, &exchange, NULL, code, sizeof(code), reason, size);
	close(ends[1]);
	if (error)
		close(ends[0]);
	else
		*stream = ends[0];
	return error;
}

/* Until its process is ready. */
static void wait_for_start(const struct store_machine *machine, int timeout)
{
	static const struct timespec step = {.tv_nsec = 20000000};
	struct state state;

	for (long i = 0; !timeout || i < timeout * 50L; i++) {
		state_read(machine, &state);
		if (state.state != MACHINE_STARTING)
			return;
		nanosleep(&step, NULL);
	}
}

/* Its agent would not answer, and nobody would know why. */
static int check_paused(const struct store_machine *machine)
{
	struct state state;

	state_read(machine, &state);
	if (state.state != MACHINE_PAUSED)
		return LODGE_OK;
	return complain_with(LODGE_BAD_STATE, "%s is paused: lodge resume %s lets it go on",
			     machine->name, machine->name);
}

int agent_connect(const struct store_machine *machine, int timeout, int *status)
{
	struct control_client *client;
	char reason[1200];
	int stream = -1;

	wait_for_start(machine, timeout);
	*status = check_paused(machine);
	if (*status)
		return -1;
	*status = verb_connect(machine, &client);
	if (*status)
		return -1;
	if (join(client, &stream, reason, sizeof(reason)))
		*status = complain_with(LODGE_BAD_STATE, "%s: %s", machine->name, reason);
	control_disconnect(client);
	return stream;
}

/* Frames to the guest */

static uint8_t *frame_add(struct client *client, enum agent_frame type, uint32_t length)
{
	size_t size = client->waiting_size + AGENT_FRAME_HEADER + length;
	uint8_t *frame;

	if (size > client->waiting_room) {
		frame = realloc(client->waiting, size);
		if (!frame)
			return NULL;
		client->waiting = frame;
		client->waiting_room = size;
	}
	frame = client->waiting + client->waiting_size;
	frame[0] = (uint8_t)type;
	bytes_store32(frame + 1, length);
	client->waiting_size = size;
	return frame + AGENT_FRAME_HEADER;
}

static void frame_number(struct client *client, enum agent_frame type, uint32_t number)
{
	uint8_t *contents = frame_add(client, type, 4);

	if (contents)
		bytes_store32(contents, number);
}

static struct winsize terminal_size(void)
{
	struct winsize size = {.ws_col = 80, .ws_row = 24};

	/* It stays as it is where neither is one. */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		(void)!ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
	return size;
}

static void put_text(char **at, const char *text)
{
	size_t size = strlen(text) + 1;

	memcpy(*at, text, size);
	*at += size;
}

/* False if it is too long, or there is no memory. */
static bool request_add(struct client *client)
{
	const struct agent_command *command = client->command;
	const char *user = command->user ? command->user : "";
	const char *folder = command->folder ? command->folder : "";
	size_t size = AGENT_EXEC_HEADER + strlen(user) + strlen(folder) + 2;
	uint32_t arguments = 0, variables = 0;
	struct winsize window = terminal_size();
	uint8_t *contents;
	char *at;

	for (; command->arguments[arguments]; arguments++)
		size += strlen(command->arguments[arguments]) + 1;
	for (; command->environment && command->environment[variables]; variables++)
		size += strlen(command->environment[variables]) + 1;
	contents = size > REQUEST_MAX ? NULL : frame_add(client, AGENT_EXEC, (uint32_t)size);
	if (!contents)
		return false;
	bytes_store32(contents, client->terminal ? AGENT_EXEC_TERMINAL : 0);
	bytes_store16(contents + 4, window.ws_col);
	bytes_store16(contents + 6, window.ws_row);
	bytes_store32(contents + 8, arguments);
	bytes_store32(contents + 12, variables);
	at = (char *)contents + AGENT_EXEC_HEADER;
	for (uint32_t i = 0; i < arguments; i++)
		put_text(&at, command->arguments[i]);
	for (uint32_t i = 0; i < variables; i++)
		put_text(&at, command->environment[i]);
	put_text(&at, user);
	put_text(&at, folder);
	return true;
}

/* False: the stream is gone. */
static bool send_waiting(struct client *client)
{
	while (client->sent < client->waiting_size) {
		ssize_t done =
			send(client->stream, client->waiting + client->sent,
			     client->waiting_size - client->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == EAGAIN;
		client->sent += (size_t)done;
		client->moved += (size_t)done;
	}
	client->sent = client->waiting_size = 0;
	return true;
}

/* Our terminal */

static void terminal_restore(struct client *client)
{
	if (client->raw)
		tcsetattr(client->command->in, TCSADRAIN, &client->before);
	client->raw = false;
}

/* Not before the agent is there: until then Ctrl-C is for us. */
static void terminal_take(struct client *client)
{
	struct termios raw;

	if (client->met || !client->frames.greeted)
		return;
	client->met = true;
	if (!client->terminal || client->command->in < 0 ||
	    tcgetattr(client->command->in, &client->before))
		return;
	raw = client->before;
	cfmakeraw(&raw);
	client->raw = tcsetattr(client->command->in, TCSADRAIN, &raw) == 0;
}

/* Signals go behind the input. A command that doesn't read its own would never get one. */
static void late_begin(struct client *client, int number)
{
	client->late.number = number;
	client->late.end = client->moved + client->waiting_size - client->sent;
	client->late.moved = client->moved;
	client->late.look_at = host_now() + STUCK_NS;
}

/* If something waits and nothing moves for a while, we leave: the agent then hangs up on the
 * command. One that has got its signal has as long to end. */
static void late_look(struct client *client)
{
	uint64_t now = host_now();

	if (client->moved >= client->late.end + UNDERWAY)
		client->late.number = 0;
	if (!client->late.number || now < client->late.look_at)
		return;
	if (client->waiting_size && client->moved == client->late.moved)
		client->left_by = client->late.number;
	client->late.moved = client->moved;
	client->late.look_at = now + STUCK_NS;
}

static void signal_take(struct client *client)
{
	struct signalfd_siginfo info;
	struct winsize size;
	uint8_t *contents;

	while (read(client->signals, &info, sizeof(info)) == sizeof(info)) {
		int number = (int)info.ssi_signo;

		if (number == SIGWINCH) {
			size = terminal_size();
			contents = client->terminal ? frame_add(client, AGENT_RESIZE, 4) : NULL;
			if (contents) {
				bytes_store16(contents, size.ws_col);
				bytes_store16(contents + 2, size.ws_row);
			}
			continue;
		}
		/* There is no command yet. */
		if (!client->frames.greeted) {
			client->left_by = number;
			continue;
		}
		/* Nobody would see what comes of it. */
		if (number == SIGHUP || (client->terminal && number != SIGINT) ||
		    ++client->interrupts == IMPATIENT)
			client->left_by = number;
		frame_number(client, AGENT_SIGNAL, (uint32_t)number);
		if (!client->late.number)
			late_begin(client, number);
	}
}

/* The loop's parts */

/*
 * Takes our own keys out of what was typed, the same as on a console: Ctrl-] then q leaves (a guest
 * that hangs would hear no Ctrl-C), Ctrl-] twice sends it once. Returns how much is left.
 */
static size_t keys_take(struct client *client, uint8_t *typed, size_t length)
{
	size_t kept = 0;

	for (size_t i = 0; i < length && !client->left; i++) {
		if (!client->escape && typed[i] == ESCAPE) {
			client->escape = true;
			continue;
		}
		client->left = client->escape && (typed[i] == 'q' || typed[i] == 'Q');
		client->escape = false;
		typed[kept++] = typed[i];
	}
	return client->left ? 0 : kept;
}

static void input_read(struct client *client)
{
	uint8_t piece[AGENT_PIECE], *contents;
	ssize_t got = read(client->command->in, piece, sizeof(piece));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		client->input_ended = true;
		/* The end of a terminal's input is a character. */
		if (client->terminal)
			contents = frame_add(client, AGENT_INPUT, 1);
		else
			contents = frame_add(client, AGENT_INPUT_END, 0);
		if (contents && client->terminal)
			*contents = 4;
		return;
	}
	if (client->raw)
		got = (ssize_t)keys_take(client, piece, (size_t)got);
	contents = got ? frame_add(client, AGENT_INPUT, (uint32_t)got) : NULL;
	if (contents)
		memcpy(contents, piece, (size_t)got);
}

/* What a command of ours says in the guest is the guest's to choose. */
static size_t plain_write(struct client *client, const uint8_t *bytes, size_t length)
{
	char shown[OUTPUT_PIECE + PLAIN_HELD];
	size_t part, made;

	for (size_t taken = 0; taken < length; taken += part) {
		part = length - taken < OUTPUT_PIECE ? length - taken : OUTPUT_PIECE;
		made = plain_take(&client->plain, (const char *)bytes + taken, part, shown);
		for (size_t done = 0; done < made;) {
			ssize_t wrote = write(STDERR_FILENO, shown + done, made - done);

			if (wrote < 0 && errno != EINTR)
				return length; /* nobody reads it */
			done += wrote > 0 ? (size_t)wrote : 0;
		}
	}
	return length;
}

/* Writes a piece as far as it goes without waiting. */
static size_t output_write(void *context, bool errors, const uint8_t *bytes, size_t length)
{
	struct client *client = context;
	int file = errors ? client->command->err : client->command->out;
	struct pollfd room = {.fd = file, .events = POLLOUT};
	size_t done = 0;

	if (client->command->plain && file == STDERR_FILENO)
		return plain_write(client, bytes, length);

	while (done < length && poll(&room, 1, 0) > 0) {
		size_t part = length - done < OUTPUT_PIECE ? length - done : OUTPUT_PIECE;
		ssize_t wrote = write(file, bytes + done, part);

		if (wrote < 0 && (errno == EINTR || errno == EAGAIN))
			break;
		if (wrote < 0) {
			client->failed = errno;
			client->failed_errors = errors;
			return length;
		}
		done += (size_t)wrote;
	}
	if (done < length)
		*(errors ? &client->err_waits : &client->out_waits) = true;
	return done;
}

/* Hands on what has been received. False: it makes no sense. */
static bool received_pass(struct client *client)
{
	const struct agent_sink sink = {output_write, client};
	long took = agent_frames_take(&client->frames, client->received + client->taken,
				      client->received_size - client->taken, &sink);

	if (took < 0)
		return false;
	client->taken += (size_t)took;
	if (client->taken == client->received_size)
		client->taken = client->received_size = 0;
	return true;
}

/* False: the stream is at its end. */
static bool receive(struct client *client)
{
	ssize_t got =
		recv(client->stream, client->received, sizeof(client->received), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got <= 0)
		return false;
	client->received_size = (size_t)got;
	return true;
}

/* How many milliseconds the agent still has to say its first word, or until a signal that is late
 * is looked at; -1: all the time there is. */
static int patience(const struct client *client, const struct timespec *start)
{
	struct timespec now;
	long long passed;

	if (client->late.number)
		return (int)(STUCK_NS / 1000000);
	if (client->frames.greeted || !client->command->timeout)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (now.tv_sec - start->tv_sec) * 1000LL + (now.tv_nsec - start->tv_nsec) / 1000000;
	passed = client->command->timeout * 1000LL - passed;
	return passed > 0 ? (int)passed : 0;
}

static int gone(struct client *client)
{
	terminal_restore(client);
	if (client->frames.problem)
		return complain_with(LODGE_NO_STATUS, "%s: the guest's agent makes no sense: %s",
				     client->command->name, client->frames.problem);
	return complain_with(LODGE_NO_STATUS,
			     "%s: the machine ended, or its agent did, before the command",
			     client->command->name);
}

/* The rest would be for nobody, whatever the command does with it. */
static int output_failed(struct client *client)
{
	terminal_restore(client);
	if (client->failed == EPIPE)
		return LODGE_SIGNAL + SIGPIPE;
	return complain_with(LODGE_HOST_LACKS, "standard %s can't be written: %s",
			     client->failed_errors ? "error" : "output", strerror(client->failed));
}

/* One round. -1: go on; else how lodge is to end. */
static int turn(struct client *client, const struct timespec *start)
{
	bool passing = client->received_size != 0, sending = client->waiting_size != 0;
	bool reading = client->frames.greeted && !client->input_ended && !sending;
	struct pollfd files[] = {
		{.fd = client->stream,
		 .events = (short)((passing ? 0 : POLLIN) | (sending ? POLLOUT : 0))},
		{.fd = reading ? client->command->in : -1, .events = POLLIN},
		{.fd = client->out_waits ? client->command->out : -1, .events = POLLOUT},
		{.fd = client->err_waits ? client->command->err : -1, .events = POLLOUT},
		{.fd = client->signals, .events = POLLIN},
	};
	int limit = patience(client, start), count;

	/* What we say to a stream that is gone is lost, but what came before its end counts. */
	if (passing && !sending)
		files[0].fd = -1;
	count = poll(files, sizeof(files) / sizeof(files[0]), limit);
	if (count == 0 && !client->frames.greeted)
		return complain_with(LODGE_NO_STATUS,
				     "%s: the guest's agent is not there after %d s: look at the "
				     "console, or wait longer with --timeout",
				     client->command->name, client->command->timeout);
	if (files[4].revents)
		signal_take(client);
	if (files[1].revents)
		input_read(client);
	if (sending && files[0].revents && !send_waiting(client) && passing)
		client->waiting_size = client->sent = 0;
	if (!passing && (files[0].revents & (POLLIN | POLLHUP | POLLERR)) && !receive(client))
		return gone(client);
	if (files[2].revents)
		client->out_waits = false;
	if (files[3].revents)
		client->err_waits = false;
	if (client->received_size && !client->out_waits && !client->err_waits &&
	    !received_pass(client))
		return gone(client);
	if (client->failed)
		return output_failed(client);
	if (client->frames.failed) {
		terminal_restore(client);
		return complain_with(LODGE_NO_STATUS, "%s: %s", client->command->name,
				     client->frames.text ? client->frames.text : "it can't");
	}
	if (client->frames.ended)
		return (int)client->frames.status;
	terminal_take(client);
	if (client->waiting_size && !send_waiting(client))
		client->waiting_size = client->sent = 0;
	late_look(client);
	if (client->left)
		return LODGE_LEFT;
	return client->left_by ? LODGE_SIGNAL + client->left_by : -1;
}

static int signals_take(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int agent_run(int stream, const struct agent_command *command)
{
	struct client *client = calloc(1, sizeof(*client));
	struct timespec start;
	int status = -1;

	if (!client) {
		close(stream);
		return complain_with(LODGE_HOST_LACKS, "no memory");
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	client->command = command;
	client->stream = stream;
	client->terminal = command->terminal == AGENT_TERMINAL_YES ||
			   (command->terminal == AGENT_TERMINAL_AUTO && command->in >= 0 &&
			    isatty(command->in) && isatty(command->out));
	client->signals = signals_take();
	if (!request_add(client))
		status = complain_with(LODGE_BAD_OPTION,
				       "%s: the command and its arguments are too long",
				       command->name);
	if (command->in < 0) {
		client->input_ended = true;
		frame_add(client, AGENT_INPUT_END, 0);
	}
	while (status < 0)
		status = turn(client, &start);
	terminal_restore(client);
	close(stream);
	if (client->signals >= 0)
		close(client->signals);
	agent_frames_free(&client->frames);
	free(client->waiting);
	free(client);
	return status;
}

/* Questions */

static size_t no_output(void *context, bool errors, const uint8_t *bytes, size_t length)
{
	return length;
}

/* -1: it can't be reached. */
static int join_silently(const char *control)
{
	struct control_client *client;
	char reason[1200];
	int stream = -1;

	if (control_connect(&client, control))
		return -1;
	if (join(client, &stream, reason, sizeof(reason)))
		stream = -1;
	control_disconnect(client);
	return stream;
}

char *agent_info(const char *control, int milliseconds)
{
	static const struct agent_sink sink = {no_output, NULL};
	static const uint8_t question[AGENT_FRAME_HEADER] = {AGENT_INFO};
	const struct timeval limit = {.tv_sec = milliseconds / 1000,
				      .tv_usec = milliseconds % 1000 * 1000};
	const uint64_t until = host_now() + (uint64_t)milliseconds * UINT64_C(1000000);
	struct agent_frames frames = {0};
	uint8_t answer[4096];
	int stream = join_silently(control);

	if (stream < 0)
		return NULL;
	setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)!send(stream, question, sizeof(question), MSG_NOSIGNAL);
	/* A guest that says a little from time to time doesn't hold us up either. */
	while (!frames.ended && !frames.problem && host_now() < until) {
		ssize_t got = recv(stream, answer, sizeof(answer), 0);

		if (got <= 0)
			break;
		agent_frames_take(&frames, answer, (size_t)got, &sink);
	}
	close(stream);
	if (!frames.ended || frames.failed || frames.problem)
		agent_frames_free(&frames);
	if (frames.text)
		agent_text_clean(frames.text);
	return frames.text;
}

int agent_shut_down(const char *control)
{
	uint8_t frame[AGENT_FRAME_HEADER + 4] = {AGENT_SHUTDOWN, 4};
	int stream = join_silently(control);

	bytes_store32(frame + AGENT_FRAME_HEADER, AGENT_POWER_OFF);
	if (stream >= 0)
		(void)!send(stream, frame, sizeof(frame), MSG_NOSIGNAL);
	return stream;
}
