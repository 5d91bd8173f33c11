/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses of different worlds are different types, so that mixing them does not compile. */
#ifndef CORE_ADDRESS_H
#define CORE_ADDRESS_H

#include <stdint.h>

/* A guest-physical address. */
typedef struct gpa {
	uint64_t value;
} gpa_t;

/* A guest-linear (virtual) address. */
typedef struct gva {
	uint64_t value;
} gva_t;

static inline gpa_t gpa(uint64_t value)
{
	return (gpa_t){value};
}

static inline gva_t gva(uint64_t value)
{
	return (gva_t){value};
}

#endif
