/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a restored machine, which is read when it is wanted, and by and by in any case. */
#ifndef MANAGE_SAVED_MEMORY_H
#define MANAGE_SAVED_MEMORY_H

#include "manage/saved_file.h"

struct saved_memory;

/*
 * All of the vm's memory is to come out of the file, which becomes the memory's (also on failure);
 * `path` is for complaints. A chunk that can't be read, or is not what was written, ends the
 * process as a failure of power would: what the guest has stored until then is as it should be.
 * 0 or a negative errno.
 */
int saved_memory_create(struct saved_memory **memory, struct vm *vm, struct saved_file *file,
			const char *path);

/* A thread begins to read what nobody has wanted yet. Once the vcpus run. */
void saved_memory_start(struct saved_memory *memory);

/* Reads all that is left, for whoever looks at memory without core/memory.h. */
void saved_memory_finish(struct saved_memory *memory);

/* No vcpu runs any more. NULL: nothing. */
void saved_memory_destroy(struct saved_memory *memory);

#endif
