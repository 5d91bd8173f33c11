/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said to the person on stderr, and what happens when Lodge itself fails. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/host.h"
#include "hosts/linux/internal.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/terminal.h"
#include "lib/check.h"
#include "lib/format.h"

#define LINE_SIZE 1024

static _Atomic int level = LOG_WARNING;

void linux_log_level(enum host_log_level new_level)
{
	atomic_store(&level, (int)new_level);
}

void write_all(int fd, const char *bytes, unsigned long length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		bytes += written;
		length -= (unsigned long)written;
	}
}

/* One write for the whole line, so that lines of different threads don't mix. A raw terminal wants
 * its carriage returns. */
void host_log(enum host_log_level line_level, const char *text, ...)
{
	bool raw = terminal_is_raw();
	char line[LINE_SIZE];
	size_t length;
	va_list arguments;

	if ((int)line_level > atomic_load(&level))
		return;
	length = format(line, sizeof(line), "%slodge: ", raw ? "\r" : "");
	va_start(arguments, text);
	length += vformat(line + length, sizeof(line) - 2 - length, text, arguments);
	va_end(arguments);
	if (length > sizeof(line) - 3)
		length = sizeof(line) - 3;
	if (raw)
		line[length++] = '\r';
	line[length++] = '\n';
	write_all(STDERR_FILENO, line, length);
}

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
	terminal_restore();
	host_log(LOG_ERROR, "a fault in Lodge itself: check failed at %s:%d: %s", file, line,
		 condition);
	abort();
}

/* An ordinary crash: the terminal is put back, and the signal takes its course. */
static void crashed(int signal_number, siginfo_t *info, void *context)
{
	const ucontext_t *user = context;
	char line[160];
	size_t length;

	terminal_restore();
	if (signal_number != SIGABRT) {
		length = format(
			line, sizeof(line),
			"lodge: a fault in Lodge itself: signal %d (%s) at pc 0x%llx, address %p\n",
			signal_number,
			signal_number == SIGSYS ? "system call not allowed" : "crash",
			(unsigned long long)user->uc_mcontext.gregs[REG_RIP],
			signal_number == SIGSYS ? NULL : info->si_addr);
		write_all(STDERR_FILENO, line, length);
		if (signal_number == SIGSYS) {
			length = format(line, sizeof(line),
					"lodge: the system call was number %d\n", info->si_syscall);
			write_all(STDERR_FILENO, line, length);
		}
	}
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* A signal that ends whoever has no use for it. */
static void ended(int signal_number)
{
	terminal_restore();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Those that the loop takes. */
static void loop_signals(int how)
{
	sigset_t taken;

	sigemptyset(&taken);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGHUP);
	sigaddset(&taken, SIGQUIT);
	sigaddset(&taken, SIGWINCH);
	sigaddset(&taken, SIGCONT);
	pthread_sigmask(how, &taken, NULL);
}

void linux_signals_usual(void)
{
	loop_signals(SIG_UNBLOCK);
}

void linux_signals_held(void)
{
	loop_signals(SIG_BLOCK);
}

void linux_init(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
	static const int ending[] = {SIGALRM, SIGVTALRM, SIGPROF,   SIGUSR1, SIGUSR2,
				     SIGPOLL, SIGXCPU,	 SIGSTKFLT, SIGPWR};
	struct sigaction action = {.sa_sigaction = crashed,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};

	loop_signals(SIG_BLOCK);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a disk write beyond the limit fails then, with EFBIG */
	for (unsigned i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &action, NULL);
	action = (struct sigaction){.sa_handler = ended, .sa_flags = SA_ONSTACK};
	for (unsigned i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaction(ending[i], &action, NULL);
	clock_begin();
}
