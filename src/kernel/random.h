/* SPDX-License-Identifier: BSD-2-Clause */
/* Unpredictable bytes, for the seeds of processes. */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include <stdint.h>

/* Any processor, any lock. */
void random_bytes(uint8_t bytes[32]);

#endif
