/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/saved_memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device.h"
#include "core/vm.h"
#include "hosts/linux/linux.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"

/* Two that want different chunks seldom wait for each other. */
#define LOCKS 16

/* Milliseconds. */
#define HEAD_START 200
#define STEP	   10

struct saved_memory {
	struct memory_source source;
	struct vm *vm;
	struct saved_file file;
	char *path;
	pthread_mutex_t locks[LOCKS];
	pthread_t thread;
	bool threaded;
	atomic_bool ending;
};

/* The guest must not run on with memory that is not its own. */
static _Noreturn void give_up(const struct saved_memory *memory, uint64_t offset, int error)
{
	char text[64];

	linux_terminal_restore();
	if (error == -EINVAL)
		snprintf(text, sizeof(text), "its checksum is wrong");
	else
		snprintf(text, sizeof(text), "%s", strerror(-error));
	complain("--restore %s: is damaged: memory at %llu MiB can't be read (%s): the machine "
		 "ends here",
		 memory->path, (unsigned long long)(offset >> 20), text);
	_exit(LODGE_BAD_INPUT);
}

static void fetch(struct memory_source *source, uint64_t offset)
{
	struct saved_memory *memory = container_of(source, struct saved_memory, source);
	struct memory *ram = &memory->vm->memory;
	pthread_mutex_t *lock = &memory->locks[offset / SAVED_CHUNK % LOCKS];
	int error = 0;

	pthread_mutex_lock(lock);
	if (memory_is_absent(ram, offset)) {
		error = saved_file_read(&memory->file, offset, ram->base + offset);
		if (error)
			give_up(memory, offset, error);
		memory_arrived(ram, offset);
	}
	pthread_mutex_unlock(lock);
}

int saved_memory_create(struct saved_memory **result, struct vm *vm, struct saved_file *file,
			const char *path)
{
	struct saved_memory *memory = calloc(1, sizeof(*memory));
	int error = -ENOMEM;

	if (memory && (memory->path = strdup(path)))
		error = memory_await(&vm->memory, &memory->source);
	if (error) {
		if (memory)
			free(memory->path);
		free(memory);
		saved_file_close(file);
		return error;
	}
	memory->source.fetch = fetch;
	memory->vm = vm;
	memory->file = *file;
	*file = (struct saved_file){.fd = -1};
	for (unsigned i = 0; i < LOCKS; i++)
		pthread_mutex_init(&memory->locks[i], NULL);
	for (uint64_t offset = 0; offset < vm->memory.size; offset += SAVED_CHUNK)
		if (!saved_file_has(&memory->file, offset))
			memory_arrived(&vm->memory, offset);
	*result = memory;
	return 0;
}

/* What the guest wants at once comes first, with the host's processors and disk to itself. */
static void let_guest_begin(struct saved_memory *memory)
{
	for (unsigned i = 0; i < HEAD_START / STEP && !atomic_load(&memory->ending); i++)
		usleep(STEP * 1000);
}

static void *work(void *argument)
{
	struct saved_memory *memory = argument;

	pthread_setname_np(pthread_self(), "restore");
	let_guest_begin(memory);
	for (uint64_t offset = 0; offset < memory->vm->memory.size; offset += SAVED_CHUNK) {
		if (atomic_load(&memory->ending))
			break;
		memory_fetch(&memory->vm->memory, offset, SAVED_CHUNK);
	}
	return NULL;
}

void saved_memory_start(struct saved_memory *memory)
{
	sigset_t all, old;

	if (!memory || memory->threaded)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* Without a thread it is read when it is wanted. */
	memory->threaded = !pthread_create(&memory->thread, NULL, work, memory);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void saved_memory_finish(struct saved_memory *memory)
{
	if (memory)
		memory_fetch(&memory->vm->memory, 0, memory->vm->memory.size);
}

void saved_memory_destroy(struct saved_memory *memory)
{
	if (!memory)
		return;
	atomic_store(&memory->ending, true);
	if (memory->threaded)
		pthread_join(memory->thread, NULL);
	for (unsigned i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&memory->locks[i]);
	saved_file_close(&memory->file);
	free(memory->path);
	free(memory);
}
