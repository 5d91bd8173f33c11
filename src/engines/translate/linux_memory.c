/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for generated code on Linux: a memfd mapped twice. */
#include "engines/translate/code_memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engines/translate/linux_call.h"
#include "lib/bytes.h"

#define PAGE_SIZE 4096u

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Where large pages can be. MAP_FAILED, or size bytes of the file. */
static void *map_aligned(int fd, size_t size, int protection)
{
	uint8_t *area = mmap(NULL, size + CODE_MEMORY_LARGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before = -(uintptr_t)area & (CODE_MEMORY_LARGE - 1);
	void *mapped;

	if (area == MAP_FAILED)
		return MAP_FAILED;
	mapped = mmap(area + before, size, protection, MAP_SHARED | MAP_FIXED, fd, 0);
	if (mapped == MAP_FAILED) {
		munmap(area, size + CODE_MEMORY_LARGE);
		return MAP_FAILED;
	}
	if (before)
		munmap(area, before);
	munmap(area + before + size, CODE_MEMORY_LARGE - before);
	return mapped;
}

int code_memory_create(struct code_memory *memory, size_t size)
{
	int fd = memfd_create("lodge-code", MFD_CLOEXEC);
	void *write, *run;
	int error;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	write = map_aligned(fd, size, PROT_READ | PROT_WRITE);
	run = map_aligned(fd, size, PROT_READ | PROT_EXEC);
	error = write == MAP_FAILED || run == MAP_FAILED ? -errno : 0;
	close(fd);
	if (error) {
		if (write != MAP_FAILED)
			munmap(write, size);
		if (run != MAP_FAILED)
			munmap(run, size);
		return error;
	}
	madvise(write, size, MADV_DONTDUMP);
	*memory = (struct code_memory){.write = write, .run = run, .size = size};
	return 0;
}

void code_memory_destroy(struct code_memory *memory)
{
	if (!memory->write)
		return;
	munmap(memory->write, memory->size);
	munmap(memory->run, memory->size);
	*memory = (struct code_memory){0};
}

/* Those that the host does not take stay as they are, which costs memory and no more. */
void code_memory_trim(struct code_memory *memory, size_t from)
{
	if (from < memory->size)
		madvise(memory->write + from, memory->size - from, MADV_REMOVE);
}

QUIET static bool advise(void *at, size_t size, int advice)
{
	return quiet_call(SYS_madvise, at, size, advice, 0, 0, 0) == 0;
}

QUIET void code_memory_clear(void *table, size_t size)
{
	uint8_t *first = table, *end = first + size;
	uint8_t *low = first + (-(uintptr_t)first & (PAGE_SIZE - 1));
	uint8_t *high = end - ((uintptr_t)end & (PAGE_SIZE - 1));

	if (low >= high || !advise(low, (size_t)(high - low), MADV_DONTNEED)) {
		bytes_memset(first, 0, size);
		return;
	}
	bytes_memset(first, 0, (size_t)(low - first));
	bytes_memset(high, 0, (size_t)(end - high));
}

QUIET void code_memory_collapse(struct code_memory *memory, size_t offset)
{
	const volatile uint8_t *first = memory->write + offset;

	if (offset + CODE_MEMORY_LARGE > memory->size)
		return;
	(void)*first; /* where nothing is at all, Linux does nothing (EINVAL) */
	advise(memory->write + offset, CODE_MEMORY_LARGE, MADV_COLLAPSE);
}

#define YIELDS 20 /* before the thread sleeps: the one waited for is on the other core's queue */

QUIET void code_memory_yield(unsigned times)
{
	const struct timespec moment = {.tv_nsec = 50000};

	if (times < YIELDS)
		quiet_call(SYS_sched_yield, NULL, 0, 0, 0, 0, 0);
	else
		quiet_call(SYS_nanosleep, &moment, 0, 0, 0, 0, 0);
}
