/* SPDX-License-Identifier: BSD-2-Clause */
/* Benchmarks that live on the kernel. */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void getppid_loop(uint64_t count)
{
	while (count--)
		syscall(SYS_getppid);
}

static void read_one(uint64_t count)
{
	static int fd = -1;
	char byte;

	if (fd < 0)
		fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	while (count--) {
		if (read(fd, &byte, 1) != 1)
			fail("read /dev/zero");
	}
}

static void on_signal(int number)
{
	sink++;
}

static void signal_self(uint64_t count)
{
	pid_t self = getpid();

	signal(SIGUSR1, on_signal);
	while (count--)
		kill(self, SIGUSR1);
}

/* First touch of a page of new memory, with its share of making and removing the mapping. */
#define FAULT_PAGES 256
static void page_fault(uint64_t count)
{
	while (count) {
		uint64_t pages = count < FAULT_PAGES ? count : FAULT_PAGES;
		char *memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			fail("mmap");
		for (uint64_t i = 0; i < pages; i++)
			((volatile char *)memory)[i * 4096] = 1;
		munmap(memory, pages * 4096);
		count -= pages;
	}
}

static void map_unmap(uint64_t count)
{
	while (count--)
		munmap(mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536);
}

/* A byte to another process and back: two context switches. The other ends when this one does. */
void pipe_round_trip(uint64_t count)
{
	static int there[2] = {-1, -1}, back[2];
	char byte = 0;

	if (there[0] < 0) {
		if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
			fail("pipe");
		if (fork() == 0) {
			close(there[1]);
			while (read(there[0], &byte, 1) == 1) {
				if (write(back[1], &byte, 1) != 1)
					break;
			}
			_exit(0);
		}
	}
	while (count--) {
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			fail("pipe");
	}
}

static void wait_for(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		fail("a child process");
}

static void fork_exit(uint64_t count)
{
	while (count--) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		wait_for(child);
	}
}

static void fork_exec(uint64_t count)
{
	while (count--) {
		pid_t child = fork();

		if (child == 0) {
			execl("/proc/self/exe", "bench", "nothing", (char *)NULL);
			_exit(1);
		}
		wait_for(child);
	}
}

const struct benchmark kernel_benchmarks[] = {
	{"getppid", getppid_loop, 0, 0}, {"read1", read_one, 0, 0}, {"signal", signal_self, 0, 0},
	{"fault", page_fault, 0, 0},	 {"mmap", map_unmap, 0, 0}, {"pipe", pipe_round_trip, 0, 0},
	{"fork", fork_exit, 0, 0},	 {"exec", fork_exec, 0, 0}, {NULL, NULL, 0, 0},
};
