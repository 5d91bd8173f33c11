/* SPDX-License-Identifier: BSD-2-Clause */
/* A serial port: National Semiconductor PC16550D. */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/plug.h"
#include "core/snapshot.h"
#include "core/space.h"

#define UART_FIFO_SIZE 16

struct uart_fifo {
	uint8_t bytes[UART_FIFO_SIZE];
	uint8_t first, count;
};

struct uart {
	struct device device;
	struct region region;
	struct irq_line irq; /* connected by the machine */
	struct console *console;
	struct uart_fifo receive, transmit;
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t lsr; /* error bits only; the others follow from the FIFOs */
	uint8_t msr;
	uint16_t divisor;
	bool thre_pending;  /* the transmitter's interrupt has not been seen yet */
	bool input_refused; /* the console has more */
	bool sending;	    /* within the console's write */
};

/*
 * A UART at 8 ports from base on. console: its other end, NULL for none (output vanishes); the
 * plug's device side is filled in.
 */
void uart_init(struct uart *uart, struct vm *vm, const char *instance, uint16_t base,
	       struct console *console);

#endif
