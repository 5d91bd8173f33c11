/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows on Linux: guest memory is a memfd. */
#include "engines/translate/window_memory.h"

#include <sys/mman.h>

#include "engines/translate/linux_call.h"

#define NO_ACCESS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

QUIET static bool map(void *at, size_t size, long rights, long flags, int handle, uint64_t offset)
{
	return quiet_call(SYS_mmap, at, size, rights, flags, handle, offset) == (long)at;
}

QUIET void *window_memory_reserve(size_t size)
{
	long at = quiet_call(SYS_mmap, NULL, size, PROT_NONE, NO_ACCESS, -1, 0);

	return at < 0 ? NULL : (void *)at;
}

QUIET void window_memory_release(void *at, size_t size)
{
	quiet_call(SYS_munmap, at, size, 0, 0, 0, 0);
}

QUIET bool window_memory_map(void *at, size_t size, int handle, uint64_t offset, bool write)
{
	return map(at, size, PROT_READ | (write ? PROT_WRITE : 0),
		   MAP_SHARED | MAP_FIXED | MAP_POPULATE, handle, offset);
}

QUIET static bool protect(void *at, size_t size, long rights)
{
	return !quiet_call(SYS_mprotect, at, size, rights, 0, 0, 0);
}

/* A process that has all the mappings that it may have gets no new one, not even for old ones. */
QUIET bool window_memory_unmap(void *at, size_t size)
{
	return map(at, size, PROT_NONE, NO_ACCESS | MAP_FIXED, -1, 0) ||
	       protect(at, size, PROT_NONE);
}

QUIET bool window_memory_protect(void *at, size_t size, bool write)
{
	return protect(at, size, PROT_READ | (write ? PROT_WRITE : 0));
}
