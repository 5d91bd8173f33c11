/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In libc's place for tests of disks: system calls that change a file, each of which a test may
 * take over. Every test that includes this defines the same; weak, so that the linker takes one.
 */
#ifndef TESTS_UNIT_LINUX_STORAGE_HOOKS_H
#define TESTS_UNIT_LINUX_STORAGE_HOOKS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct storage_hooks {
	/* True: it has been done, or failed, with this result (-1 with errno). */
	bool (*sync)(int file, int *result);
	bool (*write)(int file, const struct iovec *vector, int count, off_t offset,
		      ssize_t *result);
	bool (*resize)(int file, off_t size, int *result);
	bool (*allocate)(int file, int mode, off_t offset, off_t length, int *result);
};

__attribute__((weak)) struct storage_hooks storage_hooks;

__attribute__((weak)) int fdatasync(int file)
{
	int result;

	if (storage_hooks.sync && storage_hooks.sync(file, &result))
		return result;
	return (int)syscall(SYS_fdatasync, file);
}

__attribute__((weak)) ssize_t pwritev(int file, const struct iovec *vector, int count, off_t offset)
{
	ssize_t result;

	if (storage_hooks.write && storage_hooks.write(file, vector, count, offset, &result))
		return result;
	return syscall(SYS_pwritev, file, vector, count, offset, 0);
}

__attribute__((weak)) int ftruncate(int file, off_t size)
{
	int result;

	if (storage_hooks.resize && storage_hooks.resize(file, size, &result))
		return result;
	return (int)syscall(SYS_ftruncate, file, size);
}

__attribute__((weak)) int fallocate(int file, int mode, off_t offset, off_t length)
{
	int result;

	if (storage_hooks.allocate && storage_hooks.allocate(file, mode, offset, length, &result))
		return result;
	return (int)syscall(SYS_fallocate, file, mode, offset, length);
}

#endif
