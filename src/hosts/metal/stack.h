/* SPDX-License-Identifier: BSD-2-Clause */
/* For C and assembler. */
#ifndef HOSTS_METAL_STACK_H
#define HOSTS_METAL_STACK_H

/* Bytes of each thread's stack, which lies at a multiple of it. */
#define METAL_STACK_SIZE 0x8000

#endif
