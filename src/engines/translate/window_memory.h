/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's part of windows. All leave vector registers alone. */
#ifndef TRANSLATE_WINDOW_MEMORY_H
#define TRANSLATE_WINDOW_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Address space without access and without cost; NULL if there is none. */
void *window_memory_reserve(size_t size);
/* Gives it back. */
void window_memory_release(void *at, size_t size);

/* Makes [at, at + size), in what was reserved, show guest memory (host_guest_memory's handle) from
 * offset on. False: nothing can be said of what is there now. */
bool window_memory_map(void *at, size_t size, int handle, uint64_t offset, bool write);
/* Without access again. What was mapped may stay, where nobody can reach it. */
bool window_memory_unmap(void *at, size_t size);
/* Of what is mapped, readable or also writable. */
bool window_memory_protect(void *at, size_t size, bool write);

#endif
