/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyboard controller: Intel 8042 with the commands of the IBM PS/2 (Hardware Interface Technical
 * Reference, 1988, "Keyboard and Auxiliary Device Controller"). Port 0x92: the same, "System
 * Control Port A".
 *
 * Neither keyboard nor mouse is plugged in: what is sent to them ends in the controller's time-out,
 * so that software that looks for them is done soon.
 *
 * Not modelled: the A20 gate's effect (address bit 20 always counts; the bit itself is kept), the
 * test inputs, passwords.
 */
#include "devices/i8042.h"

#include "core/vm.h"
#include "lib/check.h"

#define STATUS_OBF     0x01u
#define STATUS_SYSTEM  0x04u
#define STATUS_COMMAND 0x08u
#define STATUS_ENABLED 0x10u /* not locked by the key */
#define STATUS_AUX     0x20u
#define STATUS_TIMEOUT 0x40u

#define COMMAND_INTERRUPT    0x01u
#define COMMAND_SYSTEM	     0x04u
#define COMMAND_DISABLED     0x10u
#define COMMAND_AUX_DISABLED 0x20u

#define OUTPUT_RESET 0x01u /* 0 resets */
#define OUTPUT_A20   0x02u
#define OUTPUT_OBF   0x10u

#define PORT_92_RESET 0x01u
#define PORT_92_A20   0x02u

enum {
	READ_MEMORY = 0x20,
	WRITE_MEMORY = 0x60,
	DISABLE_AUX = 0xa7,
	ENABLE_AUX = 0xa8,
	TEST_AUX = 0xa9,
	TEST_SELF = 0xaa,
	TEST_KEYBOARD = 0xab,
	DISABLE_KEYBOARD = 0xad,
	ENABLE_KEYBOARD = 0xae,
	READ_INPUT = 0xc0,
	READ_OUTPUT = 0xd0,
	WRITE_OUTPUT = 0xd1,
	ECHO_KEYBOARD = 0xd2,
	ECHO_AUX = 0xd3,
	WRITE_AUX = 0xd4,
	PULSE = 0xf0,
};

static void update(struct i8042 *i8042)
{
	irq_set(&i8042->irq, (i8042->status & STATUS_OBF) && !(i8042->status & STATUS_AUX) &&
				     (i8042->memory[0] & COMMAND_INTERRUPT));
}

static void answer(struct i8042 *i8042, uint8_t byte, uint8_t flags)
{
	i8042->output = byte;
	i8042->status &= (uint8_t) ~(STATUS_AUX | STATUS_TIMEOUT);
	i8042->status |= STATUS_OBF | flags;
}

static void output_port_write(struct i8042 *i8042, uint8_t value)
{
	i8042->a20 = value & OUTPUT_A20;
	if (!(value & OUTPUT_RESET))
		vm_stop(i8042->vm, VM_RESET, 0);
}

static uint8_t output_port(const struct i8042 *i8042)
{
	return (uint8_t)(OUTPUT_RESET | (i8042->a20 ? OUTPUT_A20 : 0) |
			 (i8042->status & STATUS_OBF ? OUTPUT_OBF : 0));
}

static void command_write(struct i8042 *i8042, uint8_t value)
{
	i8042->status |= STATUS_COMMAND;
	i8042->command = 0;
	switch (value) {
	case READ_MEMORY ... READ_MEMORY + 31:
		answer(i8042, i8042->memory[value & 31], 0);
		break;
	case WRITE_MEMORY ... WRITE_MEMORY + 31:
	case WRITE_OUTPUT:
	case ECHO_KEYBOARD:
	case ECHO_AUX:
	case WRITE_AUX:
		i8042->command = value;
		break;
	case DISABLE_AUX:
		i8042->memory[0] |= COMMAND_AUX_DISABLED;
		break;
	case ENABLE_AUX:
		i8042->memory[0] &= (uint8_t)~COMMAND_AUX_DISABLED;
		break;
	case TEST_AUX:
		answer(i8042, 0x01, 0); /* the clock line is stuck low: no such port */
		break;
	case TEST_SELF:
		i8042->status |= STATUS_SYSTEM;
		answer(i8042, 0x55, 0);
		break;
	case TEST_KEYBOARD:
		answer(i8042, 0x00, 0);
		break;
	case DISABLE_KEYBOARD:
		i8042->memory[0] |= COMMAND_DISABLED;
		break;
	case ENABLE_KEYBOARD:
		i8042->memory[0] &= (uint8_t)~COMMAND_DISABLED;
		break;
	case READ_INPUT:
		answer(i8042, 0x80, 0); /* the key is not turned */
		break;
	case READ_OUTPUT:
		answer(i8042, output_port(i8042), 0);
		break;
	case PULSE ... PULSE + 15:
		if (!(value & OUTPUT_RESET))
			vm_stop(i8042->vm, VM_RESET, 0);
		break;
	default:
		break;
	}
}

static void memory_write(struct i8042 *i8042, unsigned index, uint8_t value)
{
	i8042->memory[index] = value;
	if (index)
		return;
	i8042->status &= (uint8_t)~STATUS_SYSTEM;
	if (value & COMMAND_SYSTEM)
		i8042->status |= STATUS_SYSTEM;
}

static void data_write(struct i8042 *i8042, uint8_t value)
{
	uint8_t command = i8042->command;

	i8042->status &= (uint8_t)~STATUS_COMMAND;
	i8042->command = 0;
	switch (command) {
	case WRITE_MEMORY ... WRITE_MEMORY + 31:
		memory_write(i8042, command & 31, value);
		break;
	case WRITE_OUTPUT:
		output_port_write(i8042, value);
		break;
	case ECHO_KEYBOARD:
	case ECHO_AUX: /* without such a port, not marked as its */
		answer(i8042, value, 0);
		break;
	case WRITE_AUX:
		answer(i8042, 0xfe, STATUS_TIMEOUT | STATUS_AUX);
		break;
	default: /* for the keyboard; sending enables it */
		i8042->memory[0] &= (uint8_t)~COMMAND_DISABLED;
		answer(i8042, 0xfe, STATUS_TIMEOUT);
		break;
	}
}

static uint64_t data_port_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct i8042 *i8042 = container_of(region, struct i8042, data_port);

	i8042->status &= (uint8_t) ~(STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT);
	update(i8042);
	return i8042->output;
}

static void data_port_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			    bool *fault)
{
	struct i8042 *i8042 = container_of(region, struct i8042, data_port);

	data_write(i8042, (uint8_t)value);
	update(i8042);
}

static uint64_t command_port_read(struct region *region, uint64_t offset, unsigned size,
				  bool *fault)
{
	return container_of(region, struct i8042, command_port)->status | STATUS_ENABLED;
}

static void command_port_write(struct region *region, uint64_t offset, unsigned size,
			       uint64_t value, bool *fault)
{
	struct i8042 *i8042 = container_of(region, struct i8042, command_port);

	command_write(i8042, (uint8_t)value);
	update(i8042);
}

static uint64_t port_92_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct i8042 *i8042 = container_of(region, struct i8042, port_92);

	return (i8042->a20 ? PORT_92_A20 : 0) | (i8042->reset_bit ? PORT_92_RESET : 0);
}

static void port_92_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			  bool *fault)
{
	struct i8042 *i8042 = container_of(region, struct i8042, port_92);

	i8042->a20 = value & PORT_92_A20;
	if ((value & PORT_92_RESET) && !i8042->reset_bit)
		vm_stop(i8042->vm, VM_RESET, 0);
	i8042->reset_bit = value & PORT_92_RESET;
}

static const struct region_ops data_port_ops = {
	.read = data_port_read, .write = data_port_write, .sizes = 1};
static const struct region_ops command_port_ops = {
	.read = command_port_read, .write = command_port_write, .sizes = 1};
static const struct region_ops port_92_ops = {
	.read = port_92_read, .write = port_92_write, .sizes = 1};

static void i8042_reset(struct device *device)
{
	struct i8042 *i8042 = container_of(device, struct i8042, device);

	i8042->status = i8042->output = i8042->command = 0;
	for (unsigned i = 0; i < sizeof(i8042->memory); i++)
		i8042->memory[i] = 0;
	i8042->memory[0] = COMMAND_DISABLED | COMMAND_AUX_DISABLED;
	i8042->a20 = true;
	i8042->reset_bit = false;
	update(i8042);
}

static void i8042_state(struct device *device, struct snapshot *snapshot)
{
	struct i8042 *i8042 = container_of(device, struct i8042, device);

	snapshot_u8(snapshot, &i8042->status);
	snapshot_u8(snapshot, &i8042->output);
	snapshot_u8(snapshot, &i8042->command);
	snapshot_bytes(snapshot, i8042->memory, sizeof(i8042->memory));
	snapshot_bool(snapshot, &i8042->a20);
	snapshot_bool(snapshot, &i8042->reset_bit);
	i8042->status &= STATUS_OBF | STATUS_SYSTEM | STATUS_COMMAND | STATUS_AUX | STATUS_TIMEOUT;
}

static void i8042_loaded(struct device *device)
{
	update(container_of(device, struct i8042, device));
}

static const struct device_ops i8042_ops = {
	.name = "i8042",
	.version = 1,
	.reset = i8042_reset,
	.state = i8042_state,
	.loaded = i8042_loaded,
};

void i8042_init(struct i8042 *i8042, struct vm *vm)
{
	*i8042 = (struct i8042){.vm = vm};
	device_init(&i8042->device, vm, &i8042_ops, "0");
	i8042->data_port = (struct region){.name = "i8042 data", .ops = &data_port_ops};
	i8042->command_port = (struct region){.name = "i8042 command", .ops = &command_port_ops};
	i8042->port_92 = (struct region){.name = "port 92", .ops = &port_92_ops};
	CHECK(!space_add(&vm->ports, &i8042->data_port, 0x60, 1));
	CHECK(!space_add(&vm->ports, &i8042->command_port, 0x64, 1));
	CHECK(!space_add(&vm->ports, &i8042->port_92, 0x92, 1));
	i8042_reset(&i8042->device);
}
