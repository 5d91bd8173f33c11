/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One command that the host asked for, in the process of its connection. Nothing waits for the one
 * side while the other has something: output is read only once the last piece has gone to the host,
 * input only once the command has the last piece.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_CANNOT_RUN 126
#define STATUS_NOT_FOUND  127
#define GROUPS_MAX	  256
#define HANG_UP_SECONDS	  5
#define HOST_GONE	  (POLLRDHUP | POLLHUP | POLLERR) /* a reset socket may say the first alone */
#define TERMINAL_HOLDS	  (64u << 10) /* more than what was written to one and not read */

struct request {
	uint32_t flags;
	uint16_t columns, rows;
	char **arguments, **environment; /* ended by NULL; no argument: a login shell */
	const char *user, *folder;
};

struct user {
	uid_t id;
	gid_t group;
	gid_t groups[GROUPS_MAX];
	size_t group_count;
	char *name, *home, *shell;
};

struct session {
	int connection;
	pid_t child;
	bool terminal;
	int in, out,
		err;  /* this side's ends of its pipes; of a terminal, all the same; -1: closed */
	int children; /* a signalfd of SIGCHLD */
	/* To the host: a frame of which `sent` bytes are gone. */
	uint8_t output[AGENT_FRAME_HEADER + AGENT_PIECE];
	size_t output_size, sent;
	/* From the host: a header as far as it is here, then the contents at hand. */
	uint8_t header[AGENT_FRAME_HEADER];
	size_t header_have;
	uint8_t *frame; /* NULL: none at hand */
	uint32_t frame_size, frame_have, passed;
	bool input_ended; /* INPUT_END has come: no input afterwards counts */
	bool lost;	  /* the host is gone, or talks nonsense */
	bool exited;
	int status;
};

/* The request */

static bool request_cut(struct request *request, uint8_t *data, uint32_t size)
{
	uint32_t argument_count, environment_count;
	char *at, *end, **list;
	uint64_t total;

	if (size < AGENT_EXEC_HEADER)
		return false;
	request->flags = agent_get32(data);
	request->columns = agent_get16(data + 4);
	request->rows = agent_get16(data + 6);
	argument_count = agent_get32(data + 8);
	environment_count = agent_get32(data + 12);
	total = (uint64_t)argument_count + environment_count + 2;
	if (total > size)
		return false;
	list = calloc(total + 2, sizeof(*list)); /* lives as long as the process */
	if (!list)
		return false;
	request->arguments = list;
	request->environment = list + argument_count + 1;
	at = (char *)data + AGENT_EXEC_HEADER;
	end = (char *)data + size;
	for (uint64_t i = 0; i < total; i++) {
		if (at >= end)
			return false;
		if (i == total - 2)
			request->user = at;
		else if (i == total - 1)
			request->folder = at;
		else
			list[i < argument_count ? i : i + 1] = at;
		at += strlen(at) + 1;
	}
	return true;
}

/* Of the guest's own files: a static program has no other sources of names. */
static bool user_find(struct user *user, const char *name)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;
	char *end;
	unsigned long number = strtoul(name, &end, 10);
	bool by_number = *name && !*end;

	while (file && (entry = fgetpwent(file))) {
		if (strcmp(entry->pw_name, name) != 0 && (!by_number || entry->pw_uid != number))
			continue;
		user->id = entry->pw_uid;
		user->group = entry->pw_gid;
		user->name = strdup(entry->pw_name);
		user->home = strdup(entry->pw_dir);
		user->shell = strdup(*entry->pw_shell ? entry->pw_shell : "/bin/sh");
		fclose(file);
		return user->name && user->home && user->shell;
	}
	if (file)
		fclose(file);
	return false;
}

static void groups_find(struct user *user)
{
	FILE *file = fopen("/etc/group", "re");
	struct group *entry;

	user->groups[user->group_count++] = user->group;
	while (file && (entry = fgetgrent(file)))
		for (char **member = entry->gr_mem; *member; member++)
			if (strcmp(*member, user->name) == 0 && user->group_count < GROUPS_MAX &&
			    entry->gr_gid != user->group)
				user->groups[user->group_count++] = entry->gr_gid;
	if (file)
		fclose(file);
}

/* The command */

static void environment_set(const struct request *request, const struct user *user)
{
	clearenv();
	setenv("PATH",
	       user->id ? "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
			: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	       1);
	setenv("HOME", user->home, 1);
	setenv("USER", user->name, 1);
	setenv("LOGNAME", user->name, 1);
	setenv("SHELL", user->shell, 1);
	setenv("LANG", "C.UTF-8", 1);
	for (char **next = request->environment; *next; next++)
		if (strchr(*next, '='))
			putenv(*next);
}

/* In the child, whose standard files are there already: becomes the command. */
__attribute__((noreturn)) static void child_become(const struct request *request,
						   const struct user *user)
{
	char *shell[2] = {NULL, NULL};
	const char *file = request->arguments[0];
	char **arguments = request->arguments;
	sigset_t none;
	int error;

	if (setgroups(user->group_count, user->groups) ||
	    setresgid(user->group, user->group, user->group) ||
	    setresuid(user->id, user->id, user->id)) {
		dprintf(STDERR_FILENO, "lodge: can't become %s: %s\n", user->name, strerror(errno));
		_exit(STATUS_CANNOT_RUN);
	}
	environment_set(request, user);
	if (*request->folder && chdir(request->folder)) {
		dprintf(STDERR_FILENO, "lodge: the guest's folder %s: %s\n", request->folder,
			strerror(errno));
		_exit(STATUS_CANNOT_RUN);
	}
	if (!*request->folder && chdir(user->home) && chdir("/"))
		_exit(STATUS_CANNOT_RUN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (!file) {
		/* A login shell's name begins with a dash. */
		const char *base = strrchr(user->shell, '/');

		file = user->shell;
		if (asprintf(&shell[0], "-%s", base ? base + 1 : user->shell) < 0)
			_exit(STATUS_CANNOT_RUN);
		arguments = shell;
	}
	execvp(file, arguments);
	error = errno;
	dprintf(STDERR_FILENO, "lodge: the guest can't run %s: %s\n", file, strerror(error));
	_exit(error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN);
}

static int start_on_pipes(struct session *session, const struct request *request,
			  const struct user *user)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return -errno;
	session->child = fork();
	if (session->child < 0)
		return -errno;
	if (session->child == 0) {
		setsid();
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		child_become(request, user);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	session->in = in[1];
	session->out = out[0];
	session->err = err[0];
	fcntl(session->in, F_SETFL, O_NONBLOCK);
	fcntl(session->out, F_SETFL, O_NONBLOCK);
	fcntl(session->err, F_SETFL, O_NONBLOCK);
	return 0;
}

static void resize(const struct session *session, uint16_t columns, uint16_t rows)
{
	struct winsize size = {.ws_col = columns, .ws_row = rows};

	if (session->terminal && session->out >= 0)
		ioctl(session->out, TIOCSWINSZ, &size);
}

static int start_on_terminal(struct session *session, const struct request *request,
			     const struct user *user)
{
	int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), theirs;
	char name[64];

	if (ours < 0)
		return -errno;
	if (grantpt(ours) || unlockpt(ours) || ptsname_r(ours, name, sizeof(name)))
		return -errno;
	session->in = session->out = ours;
	session->terminal = true;
	resize(session, request->columns, request->rows);
	theirs = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (theirs < 0)
		return -errno;
	if (fchown(theirs, user->id, (gid_t)-1))
		return -errno;
	session->child = fork();
	if (session->child < 0)
		return -errno;
	if (session->child == 0) {
		setsid();
		ioctl(theirs, TIOCSCTTY, 0);
		for (int i = 0; i < 3; i++)
			dup2(theirs, i);
		child_become(request, user);
	}
	close(theirs);
	fcntl(ours, F_SETFL, O_NONBLOCK);
	return 0;
}

/* To the host */

static void output_flush(struct session *session)
{
	while (session->sent < session->output_size) {
		ssize_t done = write(session->connection, session->output + session->sent,
				     session->output_size - session->sent);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			session->lost |= errno != EAGAIN;
			return;
		}
		session->sent += (size_t)done;
	}
	session->output_size = session->sent = 0;
}

/* Reads a piece of what the command wrote. Returns how much; 0: there is none. */
static size_t output_read(struct session *session, int *file, enum agent_frame type)
{
	ssize_t got;

	if (*file < 0)
		return 0;
	got = read(*file, session->output + AGENT_FRAME_HEADER, AGENT_PIECE);
	if (got > 0) {
		session->output[0] = (uint8_t)type;
		agent_put32(session->output + 1, (uint32_t)got);
		session->output_size = AGENT_FRAME_HEADER + (size_t)got;
		output_flush(session);
		return (size_t)got;
	}
	/* A terminal that nobody holds says EIO. */
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (session->terminal)
		session->in = -1;
	close(*file);
	*file = -1;
	return 0;
}

/* From the host */

static void input_close(struct session *session)
{
	/* A terminal's input ends by a character that the host sends, not by our end of it. */
	if (session->in >= 0 && !session->terminal) {
		close(session->in);
		session->in = -1;
	}
}

static void frame_drop(struct session *session)
{
	free(session->frame);
	session->frame = NULL;
	session->header_have = 0;
}

static void frame_take(struct session *session)
{
	const uint8_t *data = session->frame;
	uint32_t size = session->frame_size;

	switch (session->header[0]) {
	case AGENT_INPUT:
		if (session->in >= 0 && !session->input_ended && size)
			return; /* until it is passed */
		break;
	case AGENT_INPUT_END:
		session->input_ended = true;
		input_close(session);
		break;
	case AGENT_SIGNAL:
		if (size == 4 && agent_get32(data) < NSIG)
			kill(-session->child, (int)agent_get32(data));
		break;
	case AGENT_RESIZE:
		if (size == 4)
			resize(session, agent_get16(data), agent_get16(data + 2));
		break;
	default:
		session->lost = true;
	}
	frame_drop(session);
}

/* One read, of a header or of contents. */
static void host_read(struct session *session)
{
	uint8_t *to = session->header + session->header_have;
	size_t room = AGENT_FRAME_HEADER - session->header_have;
	ssize_t got;

	if (session->frame) {
		to = session->frame + session->frame_have;
		room = session->frame_size - session->frame_have;
	}
	got = read(session->connection, to, room);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		session->lost = true;
		return;
	}
	if (session->frame) {
		session->frame_have += (uint32_t)got;
	} else {
		session->header_have += (size_t)got;
		if (session->header_have < AGENT_FRAME_HEADER)
			return;
		session->frame_size = agent_get32(session->header + 1);
		session->frame_have = session->passed = 0;
		if (session->frame_size <= AGENT_FRAME_MAX)
			session->frame = malloc(session->frame_size + 1);
		if (!session->frame) {
			session->lost = true;
			return;
		}
	}
	if (session->frame_have == session->frame_size)
		frame_take(session);
}

/* A whole frame of input is at hand. */
static bool input_waits(const struct session *session)
{
	return session->frame && session->frame_have == session->frame_size;
}

static void input_pass(struct session *session)
{
	ssize_t done = -1;

	if (session->in >= 0) {
		done = write(session->in, session->frame + session->passed,
			     session->frame_size - session->passed);
		if (done < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (done < 0)
			input_close(session);
	}
	if (done > 0)
		session->passed += (uint32_t)done;
	if (done < 0 || session->passed == session->frame_size)
		frame_drop(session);
}

static void child_look(struct session *session)
{
	struct signalfd_siginfo info;
	int status;
	pid_t child;

	while (read(session->children, &info, sizeof(info)) > 0)
		continue;
	while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
		if (child != session->child)
			continue;
		session->exited = true;
		session->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

/*
 * Until the command itself has ended, or the host has gone. The host never ends its own direction
 * alone; that it has is seen while input waits and isn't read, too.
 */
static void session_loop(struct session *session)
{
	child_look(session);
	while (!session->lost && (!session->exited || session->output_size)) {
		bool sending = session->output_size != 0, passing;
		struct pollfd files[] = {
			{.fd = session->connection,
			 .events = (short)(POLLRDHUP | (sending ? POLLOUT : 0))},
			{.fd = sending ? -1 : session->out, .events = POLLIN},
			{.fd = sending ? -1 : session->err, .events = POLLIN},
			{.fd = -1, .events = POLLOUT},
			{.fd = session->children, .events = POLLIN},
		};

		if (input_waits(session) && session->in < 0)
			frame_drop(session); /* nobody takes it any more */
		passing = input_waits(session);
		if (passing)
			files[3].fd = session->in;
		else
			files[0].events |= POLLIN;
		if (poll(files, sizeof(files) / sizeof(files[0]), -1) < 0 && errno != EINTR)
			return;
		if (sending && (files[0].revents & (POLLOUT | POLLERR | POLLHUP)))
			output_flush(session);
		if (!passing && (files[0].revents & (POLLIN | HOST_GONE)))
			host_read(session);
		else if (files[0].revents & HOST_GONE)
			session->lost = true;
		if (files[1].revents && !session->output_size)
			output_read(session, &session->out, AGENT_OUTPUT);
		if (files[2].revents && !session->output_size)
			output_read(session, &session->err, AGENT_ERRORS);
		if (passing && files[3].revents)
			input_pass(session);
		if (files[4].revents)
			child_look(session);
	}
}

/*
 * What is there now: the command has left it. What others go on writing isn't waited for. A
 * terminal says how much only of what is in its first buffer, and fills that again when it is read:
 * it is read until it has nothing.
 */
static void output_drain(struct session *session, int *file, enum agent_frame type)
{
	size_t done, left = TERMINAL_HOLDS;
	int count;

	if (*file >= 0 && !session->terminal)
		left = ioctl(*file, FIONREAD, &count) ? 0 : (size_t)count;
	while (left && !session->lost && (done = output_read(session, file, type)))
		left -= done < left ? done : left;
}

/* What is still in the pipes, and the status. The host takes it, or is gone: so this may wait. */
static void session_finish(struct session *session)
{
	uint8_t status[4];

	fcntl(session->connection, F_SETFL, 0);
	output_drain(session, &session->out, AGENT_OUTPUT);
	output_drain(session, &session->err, AGENT_ERRORS);
	if (session->lost)
		return;
	agent_put32(status, (uint32_t)session->status);
	agent_send(session->connection, AGENT_STATUS, status, sizeof(status));
}

/* Nobody is there any more: what a lost terminal does to its programs, and an end to those who
 * don't mind. */
static void session_hang_up(struct session *session)
{
	if (session->exited)
		return;
	kill(-session->child, SIGHUP);
	kill(-session->child, SIGCONT);
	for (int i = 0; i < HANG_UP_SECONDS * 10 && !session->exited; i++) {
		usleep(100000);
		child_look(session);
	}
	kill(-session->child, SIGKILL);
}

void session_run(int connection, uint8_t *data, uint32_t length)
{
	static struct session one; /* in a process of its own */
	struct session *session = &one;
	struct request request = {0};
	struct user user = {0};
	sigset_t child;
	int error;

	session->connection = connection;
	session->in = session->out = session->err = -1;
	if (!request_cut(&request, data, length)) {
		agent_fail(connection, "a request that makes no sense");
		return;
	}
	if (!user_find(&user, *request.user ? request.user : "root")) {
		agent_fail(connection, "the guest has no user %s", request.user);
		return;
	}
	groups_find(&user);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	session->children = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	error = session->children < 0		      ? -errno
		: request.flags & AGENT_EXEC_TERMINAL ? start_on_terminal(session, &request, &user)
						      : start_on_pipes(session, &request, &user);
	if (error) {
		agent_fail(connection, "the guest can't start a command: %s", strerror(-error));
		return;
	}
	fcntl(connection, F_SETFL, O_NONBLOCK);
	session_loop(session);
	session_finish(session);
	session_hang_up(session);
}
