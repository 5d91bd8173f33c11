/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executes at CPL 0 what chance has written, with registers as chance has it. It does this until
 * nothing works any more: whatever becomes of this guest is right, as long as it becomes of nobody
 * else. seed=
 */
#include "neighbour.h"

#define ROUNDS 100000
#define VECTOR 0x40

static uint64_t seed;
static volatile uint32_t rounds;
static uint8_t *code;

/* Nearly half of what is written begins like an instruction of the system. */
static const uint8_t system_bytes[][3] = {
	{0x0f, 0x01, 0xd8}, {0x0f, 0x30, 0x90}, {0x0f, 0x32, 0x90}, {0x0f, 0x22, 0xd8},
	{0x0f, 0x22, 0xc0}, {0x0f, 0x22, 0xe0}, {0x0f, 0x00, 0xd8}, {0x0f, 0x01, 0x10},
	{0x0f, 0x01, 0xd1}, {0x0f, 0x20, 0xc0}, {0x0f, 0x23, 0xf8}, {0xe7, 0x80, 0x90},
	{0xe4, 0x71, 0x90}, {0xf3, 0x6e, 0x90}, {0x0f, 0x05, 0x90}, {0x48, 0xcf, 0x90},
	{0x0f, 0xc7, 0x33}, {0x0f, 0x09, 0x90}, {0xcd, 0x80, 0x90}, {0xf1, 0x90, 0x90},
};

static void write_code(void)
{
	uint64_t which = chance(&seed);

	for (unsigned int i = 0; i < 64; i++)
		code[i] = (uint8_t)(chance(&seed) >> 32);
	if (which & 1)
		for (unsigned int i = 0; i < 3; i++)
			code[i] = system_bytes[which / 2 % 20][i];
}

void test_main(void)
{
	struct trap state;

	seed = option("seed", 1) * 0x9e3779b97f4a7c15 + 1;
	system_init();
	lapic_enable();
	code = page_new();
	while (rounds++ < ROUNDS) {
		uint64_t *registers = (uint64_t *)&state;

		write_code();
		/* The timer, a moment later, for what would loop. */
		lapic_write(0x3e0, 0xb);
		lapic_write(0x320, VECTOR);
		lapic_write(0x380, 20000);
		state_init(&state, code, false);
		for (unsigned int i = 0; i < 15; i++)
			registers[i] = chance(&seed) & (chance(&seed) & 1 ? ~0ull : 0x3ffffff);
		state.flags |= 0x200;
		state_run(&state);
		lapic_eoi();
		if (rounds % 1000 == 0)
			print_format("%u rounds\n", rounds);
	}
}
