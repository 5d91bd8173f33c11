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

#define CODE_MEMORY_LARGE (2ul << 20) /* bytes of a large page of the host's */

/* size in bytes, a multiple of 4096; costs nothing until it is written. 0, or a negative errno. */
int code_memory_create(struct code_memory *memory, size_t size);
void code_memory_destroy(struct code_memory *memory);

/*
 * Gives back what has been written from offset `from` on, a multiple of 4096; it may be written
 * again. Nobody runs what is there.
 */
void code_memory_trim(struct code_memory *memory, size_t from);

/* The same for size bytes of a table (host_pages), from any address on: zero afterwards. This and
 * what follows leaves vector registers alone, which may be the guest's. */
void code_memory_clear(void *table, size_t size);

/*
 * Makes one large page of the CODE_MEMORY_LARGE bytes at that offset, a multiple of it, for both
 * views, whatever has been written there. A favour: where the host doesn't do it (Linux before 6.1,
 * no such page free) they are as before.
 */
void code_memory_collapse(struct code_memory *memory, size_t offset);

/*
 * Leaves the processor to other threads for a moment; the more, the more often it has been called
 * in vain.
 */
void code_memory_yield(unsigned times);

#endif
