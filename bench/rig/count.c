/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a program that uses KVM (LD_PRELOAD), counts how often KVM_RUN returned to it, and
 * says so on standard error when it ends: `count: N exits, N kicks`. Kicks are signals of its own;
 * all else is the guest's doing.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic unsigned long exits, kicks;

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	long result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	result = syscall(SYS_ioctl, fd, request, argument);
	if (request == KVM_RUN)
		atomic_fetch_add(result < 0 ? &kicks : &exits, 1);
	return (int)result;
}

__attribute__((destructor)) static void tell(void)
{
	char line[80];
	int length = snprintf(line, sizeof(line), "count: %lu exits, %lu kicks\n", exits, kicks);

	(void)!write(STDERR_FILENO, line, (size_t)length);
}
