/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Put before the C library (LD_PRELOAD), kills the program before its call number STEPS_KILL_AT,
 * from 1 on, of those that change files or speak with another process; or, if STEPS_KILL_PID is
 * set, the process of that number.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void step(void)
{
	static long at;
	const char *when = getenv("STEPS_KILL_AT"), *who = getenv("STEPS_KILL_PID");

	if (!when || ++at != atol(when))
		return;
	kill(who && atoi(who) > 1 ? atoi(who) : getpid(), SIGKILL);
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define STEP(type, name, parameters, arguments)                                                    \
	type name parameters                                                                       \
	{                                                                                          \
		NEXT(name);                                                                        \
		step();                                                                            \
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
		step();
	return next(path, flags, mode);
}
