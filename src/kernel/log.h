/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel has to say: a ring of the last 16 KiB of lines, and the serial line until the
 * manager owns it. And the end: panic.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trap_frame;

/* One line, without its newline (lib/format.h's directives). Any processor, any lock held but the
 * log's own. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The newest `size` bytes of the log; how many. */
size_t log_read(char *text, size_t size);

/* From now on lines go to the ring only: the manager shows them. */
void log_quiet(void);

/* Stops all processors; says why, with the registers (frame may be NULL) and a back-trace with
 * names, on the serial line; then halts, or ends QEMU if the command line says panic=exit. */
_Noreturn void panic(const struct trap_frame *frame, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* symbols.c, for back-traces: the function that an address is in, and how far; NULL outside of the
 * kernel's text. tools/list-symbols makes its table when the kernel is linked. */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif
