/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for generated code on Linux: a memfd mapped twice. */
#include "engines/translate/code_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_SIZE 4096u

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
	write = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	run = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
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

void code_memory_clear(void *table, size_t size)
{
	uint8_t *first = table, *end = first + size;
	uint8_t *low = first + (-(uintptr_t)first & (PAGE_SIZE - 1));
	uint8_t *high = end - ((uintptr_t)end & (PAGE_SIZE - 1));

	if (low >= high || madvise(low, (size_t)(high - low), MADV_DONTNEED)) {
		memset(first, 0, size);
		return;
	}
	memset(first, 0, (size_t)(low - first));
	memset(high, 0, (size_t)(end - high));
}

#define YIELDS 20 /* before the thread sleeps: the one waited for is on the other core's queue */

/* libc may use vector registers for anything, so the system calls are made by hand here. */
__attribute__((target("general-regs-only"))) static long system_call(long number, const void *a,
								     const void *b)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b)
			 : "rcx", "r11", "memory");
	return result;
}

__attribute__((target("general-regs-only"))) void code_memory_yield(unsigned times)
{
	const struct timespec moment = {.tv_nsec = 50000};

	if (times < YIELDS)
		system_call(SYS_sched_yield, NULL, NULL);
	else
		system_call(SYS_nanosleep, &moment, NULL);
}
