/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Put before the C library (LD_PRELOAD), kills the program before its call number STEPS_KILL_AT,
 * from 1 on, of those that change files or speak with another process; or, if STEPS_KILL_PID is
 * set, the process of that number. STEPS_STOP=NAME:N stops it before its call number N of NAME; the
 * processes that it makes aren't stopped.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void stop(const char *name)
{
	static pid_t self;
	static long at;
	const char *when = getenv("STEPS_STOP");
	size_t length = strlen(name);

	if (!self)
		self = getpid();
	if (when && !strncmp(when, name, length) && when[length] == ':' && self == getpid() &&
	    ++at == atol(when + length + 1))
		raise(SIGSTOP);
}

static void step(const char *name)
{
	static long at;
	const char *when = getenv("STEPS_KILL_AT"), *who = getenv("STEPS_KILL_PID");

	stop(name);
	if (!when || ++at != atol(when))
		return;
	kill(who && atoi(who) > 1 ? atoi(who) : getpid(), SIGKILL);
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define STEP(type, name, parameters, arguments)                                                    \
	type name parameters                                                                       \
	{                                                                                          \
		NEXT(name);                                                                        \
		step(#name);                                                                       \
		return next arguments;                                                             \
	}

STEP(int, rename, (const char *from, const char *to), (from, to))
STEP(int, link, (const char *from, const char *to), (from, to))
STEP(int, linkat, (int a, const char *from, int b, const char *to, int flags),
     (a, from, b, to, flags))
STEP(int, unlink, (const char *path), (path))
STEP(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
STEP(int, mkdir, (const char *path, mode_t mode), (path, mode))
STEP(int, mkostemp, (char *path, int flags), (path, flags))
STEP(int, fsync, (int fd), (fd))
STEP(int, fdatasync, (int fd), (fd))
STEP(int, ftruncate, (int fd, off_t size), (fd, size))
STEP(int, utimensat, (int folder, const char *path, const struct timespec times[2], int flags),
     (folder, path, times, flags))
STEP(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
STEP(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
STEP(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
STEP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))

int open(const char *path, int flags, ...)
{
	NEXT(open);
	va_list rest;
	mode_t mode;

	va_start(rest, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	if (flags & (O_CREAT | O_TMPFILE) & ~O_DIRECTORY)
		step("open");
	return next(path, flags, mode);
}

/* Looking isn't a step either. */
DIR *opendir(const char *path)
{
	NEXT(opendir);
	stop("opendir");
	return next(path);
}

/* Locks that are taken or let go of. No step: to others that is as if nothing had been done. */
int fcntl(int fd, int command, ...)
{
	NEXT(fcntl);
	va_list rest;
	void *argument;

	va_start(rest, command);
	argument = va_arg(rest, void *);
	va_end(rest);
	if (command == F_OFD_SETLK)
		stop("lock");
	return next(fd, command, argument);
}
