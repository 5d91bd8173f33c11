/* SPDX-License-Identifier: BSD-2-Clause */
/* Quantities as people read them. */
#ifndef MANAGER_UNITS_H
#define MANAGER_UNITS_H

#include <stddef.h>
#include <stdint.h>

struct units {
	char text[24];
};

/* "0.042 s", "12.3 s", "5 min 12 s", "3 h 12 min", "4 d 3 h" */
struct units units_time(uint64_t nanoseconds);

/* "512 bytes", "20 KiB", "256 MiB", "1.5 GiB" */
struct units units_bytes(uint64_t bytes);

/* "0-3,5" of the bits of a word; "none". */
struct units units_bits(uint64_t bits);

#endif
