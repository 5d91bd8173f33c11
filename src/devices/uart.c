/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Serial port: PC16550D datasheet (National Semiconductor, 1995), registers in section 8.
 *
 * Not modelled: time (a byte is gone as soon as the console takes it, and the receiver's time-out
 * comes at once, whatever the divisor), word length and parity, breaks, DMA mode, OUT2 as a gate of
 * the interrupt (a PC's wiring, which nobody relies on).
 */
#include "devices/uart.h"

#include "core/vm.h"
#include "lib/check.h"

/* Registers by offset; the first two are the divisor's halves while DLAB is set. */
enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RECEIVE  0x01u
#define IER_TRANSMIT 0x02u
#define IER_LINE     0x04u
#define IER_MODEM    0x08u

#define IIR_NONE     0x01u
#define IIR_MODEM    0x00u
#define IIR_TRANSMIT 0x02u
#define IIR_RECEIVE  0x04u
#define IIR_LINE     0x06u
#define IIR_TIMEOUT  0x0cu
#define IIR_FIFOS    0xc0u

#define FCR_ENABLE	   0x01u
#define FCR_CLEAR_RECEIVE  0x02u
#define FCR_CLEAR_TRANSMIT 0x04u
#define FCR_KEPT	   0xc9u

#define LCR_DLAB 0x80u

#define MCR_DTR	     0x01u
#define MCR_RTS	     0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u
#define MCR_LOOPBACK 0x10u
#define MCR_WRITABLE 0x1fu

#define LSR_READY   0x01u
#define LSR_OVERRUN 0x02u
#define LSR_ERRORS  0x1eu
#define LSR_THRE    0x20u
#define LSR_TEMT    0x40u

#define MSR_DELTAS 0x0fu
#define MSR_TERI   0x04u
#define MSR_CTS	   0x10u
#define MSR_DSR	   0x20u
#define MSR_RI	   0x40u
#define MSR_DCD	   0x80u

static void fifo_clear(struct uart_fifo *fifo)
{
	fifo->first = fifo->count = 0;
}

static void fifo_put(struct uart_fifo *fifo, uint8_t byte)
{
	fifo->bytes[(fifo->first + fifo->count++) % UART_FIFO_SIZE] = byte;
}

static uint8_t fifo_get(struct uart_fifo *fifo)
{
	uint8_t byte = fifo->bytes[fifo->first];

	fifo->first = (fifo->first + 1) % UART_FIFO_SIZE;
	fifo->count--;
	return byte;
}

static unsigned fifo_size(const struct uart *uart)
{
	return (uart->fcr & FCR_ENABLE) ? UART_FIFO_SIZE : 1;
}

/* Bytes at which the receiver interrupts (table IV: FCR bits 7..6). */
static unsigned trigger(const struct uart *uart)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return (uart->fcr & FCR_ENABLE) ? levels[uart->fcr >> 6] : 1;
}

/* The identification of the most urgent interrupt (table VI). */
static uint8_t identification(const struct uart *uart)
{
	if ((uart->ier & IER_LINE) && (uart->lsr & LSR_ERRORS))
		return IIR_LINE;
	if ((uart->ier & IER_RECEIVE) && uart->receive.count)
		return uart->receive.count >= trigger(uart) ? IIR_RECEIVE : IIR_TIMEOUT;
	if ((uart->ier & IER_TRANSMIT) && uart->thre_pending)
		return IIR_TRANSMIT;
	if ((uart->ier & IER_MODEM) && (uart->msr & MSR_DELTAS))
		return IIR_MODEM;
	return IIR_NONE;
}

static void update(struct uart *uart)
{
	irq_set(&uart->irq, identification(uart) != IIR_NONE);
}

static void received(struct uart *uart, uint8_t byte)
{
	if (uart->receive.count >= fifo_size(uart))
		uart->lsr |= LSR_OVERRUN;
	else
		fifo_put(&uart->receive, byte);
}

/* Hands what waits to the console, as far as it takes it. */
static void transmit(struct uart *uart)
{
	struct uart_fifo *fifo = &uart->transmit;

	if (uart->sending)
		return; /* the console has called back from within its write */
	uart->sending = true;
	while (fifo->count) {
		if (uart->mcr & MCR_LOOPBACK)
			received(uart, fifo->bytes[fifo->first]);
		else if (uart->console &&
			 !uart->console->ops->write(uart->console, &fifo->bytes[fifo->first], 1))
			break;
		fifo_get(fifo);
		uart->thre_pending = fifo->count == 0;
	}
	uart->sending = false;
}

/* What the modem's four wires are: the console's when there is one, ours in loopback (section 8.7).
 */
static uint8_t modem_lines(const struct uart *uart)
{
	uint8_t mcr = uart->mcr;

	if (!(mcr & MCR_LOOPBACK))
		return uart->console ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
	return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
			 (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void modem_update(struct uart *uart)
{
	uint8_t lines = modem_lines(uart), changed = (uart->msr ^ lines) & 0xf0;

	/* The ring indicator tells only of its end. */
	if (lines & MSR_RI)
		changed &= (uint8_t)~MSR_RI;
	uart->msr = (uint8_t)(lines | (uart->msr & MSR_DELTAS) | changed >> 4);
}

static uint8_t line_status(const struct uart *uart)
{
	uint8_t value = uart->lsr;

	if (uart->receive.count)
		value |= LSR_READY;
	if (!uart->transmit.count)
		value |= LSR_THRE | LSR_TEMT;
	return value;
}

/* Asks the console for what it had to keep. Only when all is read, so that it needn't be for each
 * byte. */
static void input_ask(struct uart *uart)
{
	if (uart->receive.count || !uart->input_refused || (uart->mcr & MCR_LOOPBACK))
		return;
	uart->input_refused = false;
	if (uart->console && uart->console->ops->input_ready)
		uart->console->ops->input_ready(uart->console);
}

static uint8_t receive_read(struct uart *uart)
{
	uint8_t byte = uart->receive.count ? fifo_get(&uart->receive) : 0;

	input_ask(uart);
	return byte;
}

static uint8_t register_read(struct uart *uart, unsigned offset)
{
	uint8_t value;

	switch (offset) {
	case RBR_THR:
		return uart->lcr & LCR_DLAB ? (uint8_t)uart->divisor : receive_read(uart);
	case IER:
		return uart->lcr & LCR_DLAB ? (uint8_t)(uart->divisor >> 8) : uart->ier;
	case IIR_FCR:
		value = identification(uart);
		if (value == IIR_TRANSMIT)
			uart->thre_pending = false;
		return value | ((uart->fcr & FCR_ENABLE) ? IIR_FIFOS : 0);
	case LCR:
		return uart->lcr;
	case MCR:
		return uart->mcr;
	case LSR:
		value = line_status(uart);
		uart->lsr = 0;
		return value;
	case MSR:
		value = uart->msr;
		uart->msr &= (uint8_t)~MSR_DELTAS;
		return value;
	default:
		return uart->scr;
	}
}

static void ier_write(struct uart *uart, uint8_t value)
{
	/* Enabling the transmitter's interrupt while it is empty brings one at once. */
	if ((value & ~uart->ier & IER_TRANSMIT) && !uart->transmit.count)
		uart->thre_pending = true;
	uart->ier = value & 0x0f;
}

static void fcr_write(struct uart *uart, uint8_t value)
{
	if ((value ^ uart->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RECEIVE | FCR_CLEAR_TRANSMIT;
	if (!(value & FCR_ENABLE))
		value &= FCR_CLEAR_RECEIVE | FCR_CLEAR_TRANSMIT; /* the rest counts with it only */
	if (value & FCR_CLEAR_RECEIVE)
		fifo_clear(&uart->receive);
	if ((value & FCR_CLEAR_TRANSMIT) && uart->transmit.count) {
		fifo_clear(&uart->transmit);
		uart->thre_pending = true;
	}
	uart->fcr = value & FCR_KEPT;
	input_ask(uart);
}

static void transmit_write(struct uart *uart, uint8_t byte)
{
	uart->thre_pending = false;
	if (uart->transmit.count < fifo_size(uart))
		fifo_put(&uart->transmit, byte);
	transmit(uart);
}

static void register_write(struct uart *uart, unsigned offset, uint8_t value)
{
	switch (offset) {
	case RBR_THR:
		if (uart->lcr & LCR_DLAB)
			uart->divisor = (uart->divisor & 0xff00) | value;
		else
			transmit_write(uart, value);
		break;
	case IER:
		if (uart->lcr & LCR_DLAB)
			uart->divisor = (uint16_t)((uart->divisor & 0xff) | value << 8);
		else
			ier_write(uart, value);
		break;
	case IIR_FCR:
		fcr_write(uart, value);
		break;
	case LCR:
		uart->lcr = value;
		break;
	case MCR:
		uart->mcr = value & MCR_WRITABLE;
		modem_update(uart);
		input_ask(uart);
		break;
	case SCR:
		uart->scr = value;
		break;
	default: /* LSR and MSR are for reading */
		break;
	}
}

static uint64_t uart_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct uart *uart = container_of(region, struct uart, region);
	uint8_t value = register_read(uart, (unsigned)offset);

	update(uart);
	return value;
}

static void uart_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct uart *uart = container_of(region, struct uart, region);

	register_write(uart, (unsigned)offset, (uint8_t)value);
	update(uart);
}

static const struct region_ops region_ops = {.read = uart_read, .write = uart_write, .sizes = 1};

/* The console's calls */

static size_t uart_input(void *device, const void *bytes, size_t length)
{
	struct uart *uart = device;
	const uint8_t *from = bytes;
	size_t taken = 0;

	/* In loopback the receiver is cut off from the outside; what comes waits. */
	if (!(uart->mcr & MCR_LOOPBACK))
		while (taken < length && uart->receive.count < fifo_size(uart))
			fifo_put(&uart->receive, from[taken++]);
	uart->input_refused = taken < length;
	update(uart);
	return taken;
}

static void uart_output_ready(void *device)
{
	struct uart *uart = device;

	transmit(uart);
	update(uart);
}

/* The device */

static void uart_reset(struct device *device)
{
	struct uart *uart = container_of(device, struct uart, device);

	fifo_clear(&uart->receive);
	fifo_clear(&uart->transmit);
	uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->lsr = uart->scr = 0;
	uart->divisor = 0;
	uart->thre_pending = false;
	uart->msr = modem_lines(uart);
	update(uart);
	input_ask(uart);
}

static void fifo_state(struct uart_fifo *fifo, struct snapshot *snapshot)
{
	snapshot_bytes(snapshot, fifo->bytes, sizeof(fifo->bytes));
	snapshot_u8(snapshot, &fifo->first);
	snapshot_u8(snapshot, &fifo->count);
	if (fifo->first >= UART_FIFO_SIZE || fifo->count > UART_FIFO_SIZE) {
		snapshot_fail(snapshot, "uart: a FIFO holds more than it can");
		fifo_clear(fifo);
	}
}

static void uart_state(struct device *device, struct snapshot *snapshot)
{
	struct uart *uart = container_of(device, struct uart, device);

	fifo_state(&uart->receive, snapshot);
	fifo_state(&uart->transmit, snapshot);
	snapshot_u8(snapshot, &uart->ier);
	snapshot_u8(snapshot, &uart->fcr);
	snapshot_u8(snapshot, &uart->lcr);
	snapshot_u8(snapshot, &uart->mcr);
	snapshot_u8(snapshot, &uart->scr);
	snapshot_u8(snapshot, &uart->lsr);
	snapshot_u8(snapshot, &uart->msr);
	snapshot_u16(snapshot, &uart->divisor);
	snapshot_bool(snapshot, &uart->thre_pending);
	uart->ier &= 0x0f;
	uart->fcr &= (uart->fcr & FCR_ENABLE) ? FCR_KEPT : 0;
	uart->mcr &= MCR_WRITABLE;
	uart->lsr &= LSR_ERRORS;
	uart->input_refused = snapshot->loading || uart->input_refused;
}

static void uart_loaded(struct device *device)
{
	struct uart *uart = container_of(device, struct uart, device);

	modem_update(uart);
	transmit(uart);
	input_ask(uart);
	update(uart);
}

static const struct device_ops uart_ops = {
	.name = "uart",
	.version = 1,
	.reset = uart_reset,
	.state = uart_state,
	.loaded = uart_loaded,
};

void uart_init(struct uart *uart, struct vm *vm, const char *instance, uint16_t base,
	       struct console *console)
{
	*uart = (struct uart){.console = console};
	device_init(&uart->device, vm, &uart_ops, instance);
	uart->region = (struct region){.name = "uart", .ops = &region_ops};
	CHECK(!space_add(&vm->ports, &uart->region, base, 8));
	if (console) {
		console->input = uart_input;
		console->output_ready = uart_output_ready;
		console->resized = NULL;
		console->device = uart;
	}
	uart_reset(&uart->device);
}
