/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a saved machine: written, opened and checked (machines/saved.h has its parts). */
#ifndef MANAGE_SAVED_FILE_H
#define MANAGE_SAVED_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machines/saved.h"

struct vm;

/* A file that is open and, but for the contents of memory, known to be good. */
struct saved_file {
	int fd;
	uint64_t memory; /* bytes, of the machine */
	uint8_t *state, *table;
	size_t state_length;
	uint64_t length;
};

/*
 * Opens and checks it: version, length, checksums, and that every part makes sense. 0 with *config
 * filled in; a negative errno with one line in reason that begins with the path.
 */
int saved_file_open(struct saved_file *file, const char *path, struct saved_config *config,
		    char *reason, size_t size);
void saved_file_close(struct saved_file *file);

/* Whether any page of the chunk at `offset` in memory is in the file: the others are zero. */
bool saved_file_has(const struct saved_file *file, uint64_t offset);

/*
 * Reads the chunk to `ram`, SAVED_CHUNK bytes that are zero, and checks it. 0; -EINVAL if its
 * checksum is wrong or the file has become shorter; another negative errno. Any thread.
 */
int saved_file_read(const struct saved_file *file, uint64_t offset, uint8_t *ram);

/* A file that is being written. */
struct saved_writer {
	int fd;
	struct vm *vm;
	uint64_t position;     /* where the next new chunk goes */
	uint64_t memory_bytes; /* of memory that have been written */
	uint8_t *table, *buffer;
};

/* fd: an empty file, which stays the caller's. 0 or -ENOMEM. */
int saved_writer_begin(struct saved_writer *writer, int fd, struct vm *vm);
void saved_writer_end(struct saved_writer *writer);

/*
 * Writes all of memory. The guest may run meanwhile; then what it writes to has to be written
 * again. 0 or a negative errno.
 */
int saved_writer_memory(struct saved_writer *writer);

/* The same for the pages in a bitmap (core/dirty.h), by chunks; forgets each as it is written. */
int saved_writer_pages(struct saved_writer *writer, uint64_t *bitmap);

/* The rest, and the header last: until then the file is none. The caller syncs it. 0 or a negative
 * errno. */
int saved_writer_finish(struct saved_writer *writer, const struct saved_config *config,
			const uint8_t *state, size_t length);

/* Which pages of a chunk of memory are not all zero, as a saved_entry's `pages`. */
uint16_t saved_pages_used(const uint8_t *chunk);

/* Where the first byte of memory at or behind offset is that the host has memory for; the memory's
 * size if there is none. */
uint64_t saved_next_data(const struct vm *vm, uint64_t offset);

#endif
