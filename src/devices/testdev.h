/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices for test programs, as QEMU has them: isa-debug-exit at port 0xf4, pc-testdev, and a debug
 * console at port 0xe9.
 */
#ifndef DEVICES_TESTDEV_H
#define DEVICES_TESTDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/plug.h"
#include "core/snapshot.h"
#include "core/space.h"

#define TESTDEV_LINES	    24
#define TESTDEV_MEMORY	    0xff000000u /* guest-physical */
#define TESTDEV_MEMORY_SIZE 0x10000

struct testdev {
	struct device device;
	struct vm *vm;
	struct region exit, echo, flush, echo_low, echo_high, debug, lines_ports, scratch;
	struct irq_line line[TESTDEV_LINES]; /* connected by the machine */
	struct console *console;
	uint32_t echoed;
	uint32_t levels; /* of the lines, a bit each */
	uint8_t memory[TESTDEV_MEMORY_SIZE];
};

/* console: where the debug console's bytes go; NULL: nowhere. */
void testdev_init(struct testdev *testdev, struct vm *vm, struct console *console);

#endif
