/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COM1, a 16550: PC16550D data sheet, section 8. The log and panics wait for it; the manager's
 * bytes go through two rings, which the interrupt fills and empties. When the input's ring is full
 * the chip's receive interrupt is off: then the chip's own buffer fills, and the sender sees RTS
 * fall.
 */
#include "kernel/serial.h"

#include <stdbool.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "kernel/ioapic.h"
#include "kernel/local_apic.h"
#include "kernel/lock.h"
#include "kernel/port.h"
#include "kernel/trap.h"

#define COM1	 0x3f8
#define COM1_IRQ 4

enum { DATA, ENABLE, FIFO, LINE_CONTROL, MODEM_CONTROL, LINE_STATUS, MODEM_STATUS, SCRATCH };
#define IDENTIFY FIFO /* when read */

#define ENABLE_RECEIVE	   0x01
#define ENABLE_TRANSMIT	   0x02
#define FIFO_RESET	   0x87 /* on, both cleared, interrupt at 8 of 16 bytes */
#define LINE_8N1	   0x03
#define LINE_DIVISOR	   0x80
#define MODEM_DTR_RTS_OUT2 0x0b /* OUT2 lets the interrupt through */
#define MODEM_DTR_OUT2	   0x09
#define STATUS_RECEIVED	   0x01
#define STATUS_EMPTY	   0x20 /* 16 bytes may be written */
#define STATUS_IDLE	   0x40 /* the last one has been sent, too */
#define FIFO_SIZE	   16
#define BAUD_115200	   1

/* Longer than 16 bytes take at any speed. */
#define PATIENCE 10000000

/* Of an interrupt: a chip that never has enough is none. */
#define ROUNDS_MAX 4096

#define RING_SIZE 8192u /* a power of two */

static struct ring {
	uint8_t bytes[RING_SIZE];
	uint32_t in, out; /* in - out bytes wait */
} input, output;
static struct lock lock; /* rings, `enabled` */
static uint8_t enabled;	 /* interrupts of the chip */
static bool present, wants_output;

void (*serial_event)(unsigned event);

static uint32_t used(const struct ring *ring)
{
	return ring->in - ring->out;
}

static void put(struct ring *ring, uint8_t byte)
{
	ring->bytes[ring->in++ & (RING_SIZE - 1)] = byte;
}

static uint8_t get(struct ring *ring)
{
	return ring->bytes[ring->out++ & (RING_SIZE - 1)];
}

static void enable(uint8_t interrupts)
{
	enabled = interrupts;
	port_write8(COM1 + ENABLE, interrupts);
}

void serial_init(void)
{
	port_write8(COM1 + SCRATCH, 0x5a);
	present = port_read8(COM1 + SCRATCH) == 0x5a;
	if (!present)
		return;
	port_write8(COM1 + ENABLE, 0);
	port_write8(COM1 + LINE_CONTROL, LINE_DIVISOR);
	port_write8(COM1 + DATA, BAUD_115200);
	port_write8(COM1 + ENABLE, 0);
	port_write8(COM1 + LINE_CONTROL, LINE_8N1);
	port_write8(COM1 + FIFO, FIFO_RESET);
	port_write8(COM1 + MODEM_CONTROL, MODEM_DTR_RTS_OUT2);
}

/* Whether the chip is as it should be, soon. */
static bool await(uint8_t status)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		if (port_read8(COM1 + LINE_STATUS) & status)
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void print_byte(uint8_t byte)
{
	await(STATUS_EMPTY);
	port_write8(COM1 + DATA, byte);
}

void serial_print(const char *text, size_t length)
{
	if (!present)
		return;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n')
			print_byte('\r');
		print_byte((uint8_t)text[i]);
	}
}

/* The lock is held. */
static void transmit(void)
{
	if (!(port_read8(COM1 + LINE_STATUS) & STATUS_EMPTY))
		return;
	for (unsigned i = 0; i < FIFO_SIZE && used(&output); i++)
		port_write8(COM1 + DATA, get(&output));
	/* The interrupt says that the chip is empty: wanted only if there is more, or a next time.
	 */
	if (!used(&output) != !(enabled & ENABLE_TRANSMIT))
		enable(enabled ^ ENABLE_TRANSMIT);
}

/* The lock is held. Whether there was something. */
static bool receive(void)
{
	bool any = false;

	while (port_read8(COM1 + LINE_STATUS) & STATUS_RECEIVED) {
		if (used(&input) == RING_SIZE) {
			enable(enabled & ~ENABLE_RECEIVE);
			port_write8(COM1 + MODEM_CONTROL, MODEM_DTR_OUT2);
			break;
		}
		put(&input, port_read8(COM1 + DATA));
		any = true;
	}
	return any;
}

void serial_interrupt(void)
{
	unsigned event = 0;

	lock_take(&lock);
	/* Edge-triggered: unless the chip has nothing more to say, no other interrupt comes. */
	for (unsigned i = 0; i < ROUNDS_MAX && !(port_read8(COM1 + IDENTIFY) & 1); i++) {
		if (receive())
			event |= METAL_EVENT_INPUT;
		transmit();
	}
	if (wants_output && used(&output) <= RING_SIZE / 2) {
		wants_output = false;
		event |= METAL_EVENT_OUTPUT;
	}
	lock_drop(&lock);
	if (event && serial_event)
		serial_event(event);
}

size_t serial_write(const char *bytes, size_t length)
{
	size_t taken = 0;

	if (!present)
		return length;
	lock_take(&lock);
	while (taken < length && used(&output) < RING_SIZE)
		put(&output, (uint8_t)bytes[taken++]);
	wants_output = taken < length;
	if (taken && !(enabled & ENABLE_TRANSMIT))
		transmit();
	lock_drop(&lock);
	return taken;
}

void serial_drain(void)
{
	lock_take(&lock);
	while (present && used(&output) && await(STATUS_EMPTY))
		port_write8(COM1 + DATA, get(&output));
	if (present)
		await(STATUS_IDLE);
	lock_drop(&lock);
}

size_t serial_read(char *bytes, size_t length)
{
	size_t given = 0;

	lock_take(&lock);
	while (given < length && used(&input))
		bytes[given++] = (char)get(&input);
	if (present && given && !(enabled & ENABLE_RECEIVE)) {
		port_write8(COM1 + MODEM_CONTROL, MODEM_DTR_RTS_OUT2);
		enable(enabled | ENABLE_RECEIVE);
	}
	lock_drop(&lock);
	return given;
}

void serial_interrupts_on(void)
{
	if (!present)
		return;
	ioapic_route(COM1_IRQ, VECTOR_SERIAL, local_apic_id());
	lock_take(&lock);
	enable(ENABLE_RECEIVE);
	lock_drop(&lock);
}
