/* SPDX-License-Identifier: BSD-2-Clause */
/* The last bytes of a stream: what a guest wrote while nobody looked. */
#ifndef MANAGER_KEPT_H
#define MANAGER_KEPT_H

#include <stddef.h>
#include <stdint.h>

#define KEPT_SIZE 16384u /* a power of two */

struct kept {
	uint64_t written; /* bytes in all; the last KEPT_SIZE of them are kept */
	char bytes[KEPT_SIZE];
};

void kept_put(struct kept *kept, const char *bytes, size_t length);

/* The place (counted as `written` is) of the first byte that is still there. */
uint64_t kept_first(const struct kept *kept);

/* The place where the last line begins, or the last but `lines` one. */
uint64_t kept_line(const struct kept *kept, unsigned lines);

/* Copies bytes from a place on: how many. A place that is gone counts as the first that is not. */
size_t kept_get(const struct kept *kept, uint64_t place, char *bytes, size_t size);

#endif
