/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls: the entry of a processor, and what the table's functions are in other files. */
#ifndef KERNEL_CALL_H
#define KERNEL_CALL_H

#include <stdint.h>

/* Sets the MSRs of syscall; user code cannot touch x87 and vector registers from now on. On each
 * processor. */
void call_processor_init(void);

/* call_entry.S: where syscall goes, and its C half. */
extern const uint8_t call_entry[];
int64_t call_handle(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);

#endif
