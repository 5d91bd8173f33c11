/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two 8259A interrupt controllers: Intel 8259A datasheet (231468). Edge/level control registers:
 * ICH9 datasheet, section 13.4.9.
 *
 * Not modelled: MCS-80 mode, buffered mode (its bits are taken and mean nothing), a request that
 * goes away before it is acknowledged in edge mode (the edge stays latched), ICW1's LTIM bit (the
 * edge/level registers decide, as on every PC).
 */
#include "devices/pic.h"

#include "core/vm.h"
#include "lib/check.h"

enum { MASTER, SLAVE };

#define CASCADE	    2u /* the master's input that the slave drives */
#define MASTER_ELCR 0xf8u
#define SLAVE_ELCR  0xdeu

/* The input of highest priority among those in mask, which is not empty. */
static unsigned first(const struct pic_chip *chip, uint8_t mask)
{
	unsigned input = chip->lowest;

	do
		input = (input + 1) & 7;
	while (!(mask >> input & 1));
	return input;
}

/* How far below the top an input's priority lies: 0..7. */
static unsigned rank(const struct pic_chip *chip, unsigned input)
{
	return (input - chip->lowest - 1) & 7;
}

/* The input to be acknowledged, or -1. */
static int requested(const struct pic *pic, unsigned which)
{
	const struct pic_chip *chip = &pic->chip[which];
	uint8_t wanted = chip->irr & (uint8_t)~chip->imr, blocking = chip->isr;
	unsigned input;

	if (!wanted)
		return -1;
	/* In special mask mode only the same input blocks itself; a special fully nested master
	 * lets its slave interrupt itself. */
	if (chip->special_mask) {
		wanted &= (uint8_t)~chip->isr;
		blocking = 0;
	}
	if (which == MASTER && chip->special_fully_nested)
		blocking &= (uint8_t) ~(1u << CASCADE);
	if (!wanted)
		return -1;
	input = first(chip, wanted);
	if (blocking && rank(chip, first(chip, blocking)) <= rank(chip, input))
		return -1;
	return (int)input;
}

static void line_set(struct pic_chip *chip, unsigned input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);
	bool before = chip->lines & bit;

	chip->lines = (uint8_t)(level ? chip->lines | bit : chip->lines & ~bit);
	if (level && (!before || (chip->elcr & bit)))
		chip->irr |= bit;
	else if (!level && (chip->elcr & bit))
		chip->irr &= (uint8_t)~bit;
}

static void update(struct pic *pic)
{
	bool slave = requested(pic, SLAVE) >= 0;

	line_set(&pic->chip[MASTER], CASCADE, slave);
	/* The cascade's request goes with the slave's, lest it be acknowledged for nothing. */
	if (!slave)
		pic->chip[MASTER].irr &= (uint8_t) ~(1u << CASCADE);
	irq_set(&pic->intr, requested(pic, MASTER) >= 0);
}

void pic_set(void *listener, unsigned input, bool level)
{
	struct pic *pic = listener;

	CHECK(input < 16);
	if (input == CASCADE)
		return;
	line_set(&pic->chip[input / 8], input & 7, level);
	update(pic);
}

static void acknowledge(struct pic_chip *chip, unsigned input)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (chip->auto_eoi) {
		if (chip->rotate_auto_eoi)
			chip->lowest = (uint8_t)input;
	} else {
		chip->isr |= bit;
	}
	if (!(chip->elcr & bit))
		chip->irr &= (uint8_t)~bit;
}

/* Acknowledges at one chip; with nothing to be had, input 7 without being in service. */
static unsigned chip_acknowledge(struct pic *pic, unsigned which)
{
	int input = requested(pic, which);

	if (input < 0)
		return 7;
	acknowledge(&pic->chip[which], (unsigned)input);
	/* If the slave has more to be taken at once, that is an edge anew. */
	if (which == SLAVE)
		line_set(&pic->chip[MASTER], CASCADE, false);
	return (unsigned)input;
}

int pic_acknowledge(void *listener)
{
	struct pic *pic = listener;
	unsigned input = chip_acknowledge(pic, MASTER), which = MASTER;

	if (input == CASCADE) {
		which = SLAVE;
		input = chip_acknowledge(pic, SLAVE);
	}
	update(pic);
	return pic->chip[which].vector | (int)input;
}

/* Command words */

static void icw1(struct pic_chip *chip, uint8_t value)
{
	chip->irr = chip->isr = chip->imr = 0;
	chip->lowest = 7;
	chip->auto_eoi = chip->rotate_auto_eoi = false;
	chip->special_mask = chip->special_fully_nested = false;
	chip->read_isr = chip->poll = false;
	chip->icw4 = value & 1;
	chip->single = value & 2;
	chip->expected = 2;
	/* The edge detectors start afresh; asserted level inputs are still there. */
	chip->irr = chip->lines & chip->elcr;
}

/* Bits 7..5: rotate, specific, end of interrupt (figure 8). */
static void ocw2(struct pic_chip *chip, uint8_t value)
{
	unsigned input = value & 7;

	switch (value >> 5) {
	case 0:
	case 4:
		chip->rotate_auto_eoi = value >> 7;
		return;
	case 1:
	case 5:
		if (!chip->isr)
			return;
		input = first(chip, chip->isr);
		break;
	case 2:
		return;
	case 6:
		chip->lowest = (uint8_t)input;
		return;
	}
	chip->isr &= (uint8_t) ~(1u << input);
	if (value & 0x80)
		chip->lowest = (uint8_t)input;
}

static void ocw3(struct pic_chip *chip, uint8_t value)
{
	if (value & 0x40)
		chip->special_mask = value & 0x20;
	if (value & 2)
		chip->read_isr = value & 1;
	chip->poll = value & 4;
}

static void data_write(struct pic_chip *chip, uint8_t value)
{
	switch (chip->expected) {
	case 2:
		chip->vector = value & 0xf8;
		chip->expected = !chip->single ? 3 : chip->icw4 ? 4 : 0;
		break;
	case 3: /* who is cascaded where is wired */
		chip->expected = chip->icw4 ? 4 : 0;
		break;
	case 4:
		chip->special_fully_nested = value & 0x10;
		chip->auto_eoi = value & 2;
		chip->expected = 0;
		break;
	default:
		chip->imr = value;
		break;
	}
}

static struct pic *chip_pic(struct region *region, unsigned *which)
{
	struct pic_chip *chip = container_of(region, struct pic_chip, region);

	*which = region->base == 0x20 ? MASTER : SLAVE;
	return container_of(chip - *which, struct pic, chip[0]);
}

static uint64_t pic_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	unsigned which;
	struct pic *pic = chip_pic(region, &which);
	struct pic_chip *chip = &pic->chip[which];

	if (chip->poll) {
		bool there = requested(pic, which) >= 0;
		uint8_t value = (uint8_t)(chip_acknowledge(pic, which) | (there ? 0x80u : 0));

		chip->poll = false;
		update(pic);
		return value;
	}
	if (offset == 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static void pic_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault)
{
	unsigned which;
	struct pic *pic = chip_pic(region, &which);
	struct pic_chip *chip = &pic->chip[which];

	if (offset == 1)
		data_write(chip, (uint8_t)value);
	else if (value & 0x10)
		icw1(chip, (uint8_t)value);
	else if (value & 0x08)
		ocw3(chip, (uint8_t)value);
	else
		ocw2(chip, (uint8_t)value);
	update(pic);
}

static const struct region_ops pic_region_ops = {.read = pic_read, .write = pic_write, .sizes = 1};

static uint64_t elcr_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return container_of(region, struct pic, elcr_region)->chip[offset & 1].elcr;
}

static void elcr_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct pic *pic = container_of(region, struct pic, elcr_region);

	pic->chip[offset & 1].elcr = (uint8_t)value & (offset ? SLAVE_ELCR : MASTER_ELCR);
	update(pic);
}

static const struct region_ops elcr_ops = {.read = elcr_read, .write = elcr_write, .sizes = 1};

static void pic_reset(struct device *device)
{
	struct pic *pic = container_of(device, struct pic, device);

	for (unsigned i = 0; i < 2; i++) {
		struct region region = pic->chip[i].region;

		pic->chip[i] = (struct pic_chip){.region = region, .lowest = 7};
	}
	update(pic);
}

static void chip_state(struct pic_chip *chip, struct snapshot *snapshot)
{
	uint8_t *bytes[] = {&chip->irr,	 &chip->isr,	&chip->imr,    &chip->lines,
			    &chip->elcr, &chip->vector, &chip->lowest, &chip->expected};
	bool *flags[] = {&chip->icw4,	      &chip->single,
			 &chip->auto_eoi,     &chip->rotate_auto_eoi,
			 &chip->special_mask, &chip->special_fully_nested,
			 &chip->read_isr,     &chip->poll};

	for (unsigned i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		snapshot_u8(snapshot, bytes[i]);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		snapshot_bool(snapshot, flags[i]);
	chip->vector &= 0xf8;
	chip->lowest &= 7;
	if (chip->expected == 1 || chip->expected > 4)
		snapshot_fail(snapshot,
			      "pic: an initialisation word is expected that does not exist");
}

static void pic_state(struct device *device, struct snapshot *snapshot)
{
	struct pic *pic = container_of(device, struct pic, device);

	chip_state(&pic->chip[MASTER], snapshot);
	chip_state(&pic->chip[SLAVE], snapshot);
	pic->chip[MASTER].elcr &= MASTER_ELCR;
	pic->chip[SLAVE].elcr &= SLAVE_ELCR;
}

static void pic_loaded(struct device *device)
{
	update(container_of(device, struct pic, device));
}

static const struct device_ops pic_ops = {
	.name = "pic",
	.version = 1,
	.reset = pic_reset,
	.state = pic_state,
	.loaded = pic_loaded,
};

void pic_init(struct pic *pic, struct vm *vm)
{
	*pic = (struct pic){.elcr_region = {.name = "elcr", .ops = &elcr_ops}};
	device_init(&pic->device, vm, &pic_ops, "0");
	for (unsigned i = 0; i < 2; i++)
		pic->chip[i].region = (struct region){.name = "pic", .ops = &pic_region_ops};
	CHECK(!space_add(&vm->ports, &pic->chip[MASTER].region, 0x20, 2));
	CHECK(!space_add(&vm->ports, &pic->chip[SLAVE].region, 0xa0, 2));
	CHECK(!space_add(&vm->ports, &pic->elcr_region, 0x4d0, 2));
	pic_reset(&pic->device);
}
