/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for generated code: one piece seen twice, writable at one address and executable at
 * another, so that no page is ever both.
 */
#ifndef TRANSLATE_CODE_MEMORY_H
#define TRANSLATE_CODE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct code_memory {
	uint8_t *write;
	uint8_t *run;
	size_t size;
};

/* size in bytes, a multiple of 4096; costs nothing until it is written. 0, or a negative errno. */
int code_memory_create(struct code_memory *memory, size_t size);
void code_memory_destroy(struct code_memory *memory);

/*
 * Gives back what has been written from offset `from` on, a multiple of 4096; it may be written
 * again. Nobody runs what is there.
 */
void code_memory_trim(struct code_memory *memory, size_t from);

/* The same for size bytes of a table (host_pages), from any address on: zero afterwards. */
void code_memory_clear(void *table, size_t size);

/*
 * Leaves the processor to other threads for a moment; the more, the more often it has been called
 * in vain. Leaves vector registers alone.
 */
void code_memory_yield(unsigned times);

#endif
