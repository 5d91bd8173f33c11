/* SPDX-License-Identifier: BSD-2-Clause */
/* The system calls of the bare-metal kernel (kernel/abi.h), as functions. */
#ifndef ENGINES_METAL_CALL_H
#define ENGINES_METAL_CALL_H

#include <stdint.h>

#include "kernel/abi.h"

/* In hosts/metal/start.S; unit tests have a kernel of their own here. */
int64_t metal_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		   uint64_t e);

#define METAL_CALL(...) METAL_CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define METAL_CALL_(number, a, b, c, d, e, ...)                                                    \
	metal_call(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d),             \
		   (uint64_t)(e))

/* What is at METAL_START_ADDRESS. */
static inline struct metal_start *metal_start(void)
{
	return (struct metal_start *)METAL_START_ADDRESS;
}

#endif
