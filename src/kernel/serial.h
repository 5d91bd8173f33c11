/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1, 115200 8n1: busy output for the log and panics, buffered and by interrupt for the manager.
 */
#ifndef KERNEL_SERIAL_H
#define KERNEL_SERIAL_H

#include <stddef.h>

void serial_init(void);
/* Busy: all of it, with carriage returns before newlines. Any state. */
void serial_print(const char *text, size_t length);

/* Buffered, for METAL_CONSOLE: how many bytes were taken, or given. The interrupt moves them and
 * calls serial_event (set by process.c) with METAL_EVENT_INPUT or METAL_EVENT_OUTPUT. */
size_t serial_write(const char *bytes, size_t length);
size_t serial_read(char *bytes, size_t length);
extern void (*serial_event)(unsigned event);

/* Busy: sends what is still buffered, before the computer is switched off. */
void serial_drain(void);

void serial_interrupt(void);

/* Input arrives as an interrupt from now on (I/O APIC, or the 8259s). */
void serial_interrupts_on(void);

#endif
