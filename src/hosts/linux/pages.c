/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory from Linux, and unpredictable bytes. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/host.h"
#include "lib/check.h"

void *host_pages(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	madvise(pages, size, MADV_NOHUGEPAGE); /* most of it is never touched */
	return pages;
}

void host_pages_free(void *pages, size_t size)
{
	if (pages)
		munmap(pages, size);
}

void *host_guest_memory(size_t size, int *handle)
{
	void *memory;
	int fd = memfd_create("lodge-guest", MFD_CLOEXEC);

	*handle = -1;
	if (fd < 0)
		return NULL;
	if (size > (size_t)INT64_MAX || ftruncate(fd, (off_t)size) < 0) {
		close(fd);
		return NULL;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (memory == MAP_FAILED) {
		close(fd);
		return NULL;
	}
	/* Both are favours: without them it works as well. A guest's memory is no business of a
	 * core file. */
	madvise(memory, size, MADV_HUGEPAGE);
	madvise(memory, size, MADV_DONTDUMP);
	*handle = fd;
	return memory;
}

void host_guest_memory_free(void *memory, size_t size, int handle)
{
	munmap(memory, size);
	close(handle);
}

int host_guest_memory_discard(void *memory, int handle, uint64_t offset, uint64_t length)
{
	return fallocate(handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			 (off_t)length)
		       ? -errno
		       : 0;
}

void host_random(void *bytes, size_t size)
{
	uint8_t *to = bytes;

	while (size > 0) {
		ssize_t got = getrandom(to, size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		CHECK(got > 0);
		to += got;
		size -= (size_t)got;
	}
}
