/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random bytes as an instruction, registers and modes, in front of the emulator of device accesses.
 * Each piece of RAM that it is given is a block of just that size, so that the sanitizer sees every
 * access beside it; what a page is follows from its address.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/bytes.h"
#include "lib/check.h"
#include "x86/mmio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCKS_MAX 64
#define STEPS_MAX  8

static void *blocks[BLOCKS_MAX];
static unsigned block_count;

static enum mmio_result find(struct mmio *mmio, uint64_t linear, unsigned size, unsigned access,
			     void **ram, uint64_t *physical)
{
	CHECK(size >= 1 && size <= 32 && linear % 4096 + size <= 4096);
	CHECK(mmio->code_size == CODE_64 || linear <= UINT32_MAX);
	switch (linear / 4096 % 5) {
	case 0:
		mmio->vector = 14;
		mmio->error = access;
		mmio->address = linear;
		return MMIO_FAULT;
	case 1:
	case 2:
		if (block_count == BLOCKS_MAX)
			return MMIO_UNKNOWN;
		*ram = blocks[block_count++] = calloc(1, size);
		CHECK(*ram);
		return MMIO_DONE;
	default:
		*physical = linear;
		return MMIO_DONE;
	}
}

static void vector_get(struct mmio *mmio, unsigned number, unsigned size, uint8_t *bytes)
{
	CHECK(number < 16 && size >= 4 && size <= 32);
	bytes_fill(bytes, (uint8_t)number, size);
}

static void vector_set(struct mmio *mmio, unsigned number, unsigned size, const uint8_t *bytes,
		       bool zero_above)
{
	volatile uint8_t sum = 0;

	CHECK(number < 16 && size >= 16 && size <= 32);
	for (unsigned i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
}

static const struct mmio_ops ops = {find, vector_get, vector_set};
static const struct mmio_ops ops_without_vectors = {.find = find};

static void check_access(const struct mmio_access *access)
{
	CHECK(access->size == 1 || access->size == 2 || access->size == 4 ||
	      (access->size == 8 && !access->port));
	CHECK(!access->port || access->address <= 0xffff);
	CHECK(access->port || access->address % 4096 + access->size <= 4096);
	CHECK(access->size == 8 || access->value >> access->size * 8 == 0);
}

/* One step; false when it has come to an end. */
static bool step(struct mmio *mmio, const struct insn *insn)
{
	const struct mmio before = *mmio;
	unsigned asked = 0;
	enum mmio_result result;

	mmio_begin(mmio);
	while ((result = mmio_emulate(mmio, insn)) == MMIO_ACCESS) {
		CHECK(++asked <= MMIO_ANSWERS_MAX);
		CHECK(bytes_equal(mmio->gpr, before.gpr, sizeof(before.gpr)));
		check_access(&mmio->access);
		mmio_answer(mmio, mmio->access.address * 0x9e3779b97f4a7c15);
	}
	if (result == MMIO_DONE)
		return mmio->rip == before.rip;
	CHECK(bytes_equal(mmio->gpr, before.gpr, sizeof(before.gpr)));
	CHECK(mmio->rip == before.rip && mmio->rflags == before.rflags);
	CHECK(result != MMIO_RETRY || asked == 0);
	CHECK(result != MMIO_FAULT || mmio->vector == 12 || mmio->vector == 13 ||
	      mmio->vector == 14);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mmio mmio = {.ops = &ops};
	struct insn insn;
	uint8_t bytes[16 + 16 * 8 + 5] = {0}, mode;
	const uint8_t *registers = bytes + 16;

	bytes_copy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
	mode = bytes[sizeof(bytes) - 5];
	mmio.code_size = (enum code_size)(mode % 3);
	mmio.stack_size = mode & 0x80 ? CODE_16 : CODE_32;
	mmio.cpl = mode & 0x40 ? 3 : 0;
	if (mode & 0x20)
		mmio.ops = &ops_without_vectors;
	mmio.expand_down = bytes[sizeof(bytes) - 4] & bytes[sizeof(bytes) - 1];
	mmio.unwritable = bytes[sizeof(bytes) - 3] & bytes[sizeof(bytes) - 1];
	mmio.rflags = 2 | bytes[sizeof(bytes) - 2] << 4;
	mmio.rip = bytes_load64(registers) & 0xffffffff;
	for (unsigned i = 0; i < 16; i++)
		mmio.gpr[i] = bytes_load64(registers + i * 8);
	for (unsigned i = 0; i < 6; i++) {
		mmio.segment_base[i] =
			mmio.code_size == CODE_64 && i < SEGMENT_FS ? 0 : (uint32_t)mmio.gpr[8 + i];
		mmio.segment_limit[i] = mode & 0x10 ? (uint32_t)mmio.gpr[i] : UINT32_MAX;
	}
	if (insn_decode(&insn, bytes, INSN_MAX_LENGTH, mmio.code_size) == DECODE_OK)
		for (unsigned i = 0; i < STEPS_MAX && step(&mmio, &insn); i++)
			continue;
	while (block_count)
		free(blocks[--block_count]);
	return 0;
}
