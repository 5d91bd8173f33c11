/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linear addresses here: RAM, a device, RAM again, one after the other; beyond is nothing but page
 * faults. What the instructions do to flags and registers in general is compared with the host's
 * processor in linux/mmio_native_test.c.
 */
#include "test.h"

#include "lib/bytes.h"
#include "x86/mmio.h"
#include "x86/paging.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9 };

#define RAM	0x10000u
#define DEVICE	0x20000u
#define RAM_2	0x30000u
#define NOTHING 0x40000u
#define SIZE	0x10000u
#define GPA	0xfe000000u /* of the device */
#define CODE	0x7000u
#define LOG_MAX 16

static uint8_t ram[SIZE], ram_2[SIZE], device[SIZE];
static uint8_t vector[16][32];
static struct mmio mmio;
static struct mmio_access accesses[LOG_MAX];
static unsigned access_count, find_flags;
static uint64_t port_value;

static enum mmio_result find(struct mmio *m, uint64_t linear, unsigned size, unsigned access,
			     void **host, uint64_t *physical)
{
	EXPECT(size >= 1 && size <= 32);
	EXPECT_EQ(linear / 4096, (linear + size - 1) / 4096);
	find_flags = access;
	if (linear >= RAM && linear < DEVICE) {
		*host = ram + (linear - RAM);
	} else if (linear >= DEVICE && linear < RAM_2) {
		*physical = GPA + (linear - DEVICE);
	} else if (linear >= RAM_2 && linear < NOTHING) {
		*host = ram_2 + (linear - RAM_2);
	} else {
		m->vector = 14;
		m->error = access & PAGING_WRITE ? 2 : 0;
		m->address = linear;
		return MMIO_FAULT;
	}
	return MMIO_DONE;
}

static void vector_get(struct mmio *m, unsigned number, unsigned size, uint8_t *bytes)
{
	EXPECT(number < 16 && size >= 4 && size <= 32);
	bytes_copy(bytes, vector[number], size);
}

static void vector_set(struct mmio *m, unsigned number, unsigned size, const uint8_t *bytes,
		       bool zero_above)
{
	EXPECT(number < 16 && size >= 16 && size <= 32);
	bytes_copy(vector[number], bytes, size);
	if (zero_above)
		bytes_fill(vector[number] + size, 0, 32 - size);
}

static const struct mmio_ops ops = {find, vector_get, vector_set};

static void setup(enum code_size size)
{
	mmio = (struct mmio){.ops = &ops,
			     .code_size = size,
			     .stack_size = size == CODE_16 ? CODE_16 : CODE_32,
			     .rip = CODE,
			     .rflags = 2};
	for (unsigned i = 0; i < 6; i++)
		mmio.segment_limit[i] = 0xffffffff;
	for (unsigned i = 0; i < SIZE; i++) {
		ram[i] = (uint8_t)(i * 7 + 1);
		ram_2[i] = (uint8_t)(i * 11 + 3);
		device[i] = (uint8_t)(i * 13 + 5);
	}
	for (unsigned i = 0; i < sizeof(vector); i++)
		vector[i / 32][i % 32] = (uint8_t)(i * 3);
	mmio.gpr[RBX] = DEVICE;
	mmio.gpr[RSP] = RAM + 0x1000;
	access_count = 0;
}

static uint64_t serve(const struct mmio_access *access)
{
	uint8_t *at = device + (access->address - GPA);

	if (access->port) {
		port_value = access->write ? access->value : port_value;
		return port_value;
	}
	REQUIRE(access->address >= GPA && access->address + access->size <= GPA + SIZE);
	if (!access->write)
		return bytes_load(at, access->size);
	bytes_store(at, access->value, access->size);
	return 0x5a5a5a5a5a5a5a5a; /* nobody looks */
}

/* Carries out one step of the instruction; nothing may have changed before it is done. */
static enum mmio_result step_count(const uint8_t *bytes, unsigned count)
{
	static uint8_t ram_before[SIZE];
	struct mmio before = mmio;
	struct insn insn;
	enum mmio_result result;

	REQUIRE(insn_decode(&insn, bytes, count, mmio.code_size) == DECODE_OK);
	EXPECT_EQ(insn.length, count);
	bytes_copy(ram_before, ram, SIZE);
	access_count = 0;
	mmio_begin(&mmio);
	while ((result = mmio_emulate(&mmio, &insn)) == MMIO_ACCESS) {
		REQUIRE(access_count < LOG_MAX);
		accesses[access_count++] = mmio.access;
		EXPECT_MEM(mmio.gpr, before.gpr, sizeof(before.gpr));
		EXPECT_MEM(ram, ram_before, SIZE);
		mmio_answer(&mmio, serve(&mmio.access));
	}
	if (result != MMIO_DONE) {
		EXPECT_MEM(mmio.gpr, before.gpr, sizeof(before.gpr));
		EXPECT_MEM(ram, ram_before, SIZE);
		EXPECT_EQ(mmio.rip, before.rip);
		EXPECT_EQ(mmio.rflags, before.rflags);
	}
	return result;
}

#define STEP(...) step_count((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* It is done, has moved on, and this is its only access. */
static void expect_one(enum mmio_result result, unsigned length, bool write, unsigned size,
		       uint64_t offset, uint64_t value)
{
	EXPECT_EQ(result, MMIO_DONE);
	EXPECT_EQ(mmio.rip, CODE + length);
	EXPECT_EQ(access_count, 1);
	EXPECT_EQ(accesses[0].write, write);
	EXPECT_EQ(accesses[0].size, size);
	EXPECT_EQ(accesses[0].address, GPA + offset);
	EXPECT(!accesses[0].port);
	if (write)
		EXPECT_EQ(accesses[0].value, value);
	mmio.rip = CODE;
}

static void put_device(uint64_t value)
{
	bytes_store64(device, value);
}

/* mov */

TEST(mov_loads_by_size)
{
	setup(CODE_64);
	put_device(0x8877665544332211);
	mmio.gpr[RAX] = 0xffffffffffffffff;
	expect_one(STEP(0x8a, 0x03), 2, false, 1, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffffffffff11);
	expect_one(STEP(0x8a, 0x23), 2, false, 1, 0, 0); /* ah */
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffffffff1111);
	expect_one(STEP(0x66, 0x8b, 0x03), 3, false, 2, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffffffff2211);
	expect_one(STEP(0x8b, 0x03), 2, false, 4, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x44332211);
	expect_one(STEP(0x4c, 0x8b, 0x0b), 3, false, 8, 0, 0);
	EXPECT_EQ(mmio.gpr[R9], 0x8877665544332211);
	expect_one(STEP(0x40, 0x8a, 0x33), 3, false, 1, 0, 0); /* sil */
	EXPECT_EQ(mmio.gpr[RSI], 0x11);
}

TEST(mov_stores_by_size)
{
	setup(CODE_64);
	mmio.gpr[RDX] = 0x8877665544332211;
	expect_one(STEP(0x88, 0x13), 2, true, 1, 0, 0x11);
	expect_one(STEP(0x88, 0x33), 2, true, 1, 0, 0x22); /* dh */
	expect_one(STEP(0x66, 0x89, 0x13), 3, true, 2, 0, 0x2211);
	expect_one(STEP(0x89, 0x13), 2, true, 4, 0, 0x44332211);
	expect_one(STEP(0x48, 0x89, 0x13), 3, true, 8, 0, 0x8877665544332211);
	expect_one(STEP(0xc6, 0x03, 0xfe), 3, true, 1, 0, 0xfe);
	expect_one(STEP(0xc7, 0x03, 1, 2, 3, 0x84), 6, true, 4, 0, 0x84030201);
	expect_one(STEP(0x48, 0xc7, 0x03, 1, 2, 3, 0x84), 7, true, 8, 0, 0xffffffff84030201);
	expect_one(STEP(0x66, 0xc7, 0x03, 1, 2), 5, true, 2, 0, 0x0201);
	expect_one(STEP(0x48, 0x0f, 0xc3, 0x13), 4, true, 8, 0, 0x8877665544332211); /* movnti */
}

TEST(mov_extends)
{
	setup(CODE_64);
	put_device(0x8080808080808080);
	mmio.gpr[RAX] = UINT64_MAX;
	expect_one(STEP(0x0f, 0xb6, 0x03), 3, false, 1, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x80);
	expect_one(STEP(0x48, 0x0f, 0xb7, 0x03), 4, false, 2, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x8080);
	expect_one(STEP(0x0f, 0xbe, 0x03), 3, false, 1, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0xffffff80);
	expect_one(STEP(0x48, 0x0f, 0xbf, 0x03), 4, false, 2, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffffffff8080);
	expect_one(STEP(0x48, 0x63, 0x03), 3, false, 4, 0, 0); /* movsxd */
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffff80808080);
	mmio.gpr[RAX] = 0;
	expect_one(STEP(0x66, 0x0f, 0xbe, 0x03), 4, false, 1, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0xff80);
}

TEST(movbe_and_moffs)
{
	setup(CODE_64);
	put_device(0x8877665544332211);
	expect_one(STEP(0x0f, 0x38, 0xf0, 0x03), 4, false, 4, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x11223344);
	expect_one(STEP(0x66, 0x0f, 0x38, 0xf0, 0x03), 5, false, 2, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x11221122);
	mmio.gpr[RCX] = 0x0102030405060708;
	expect_one(STEP(0x48, 0x0f, 0x38, 0xf1, 0x0b), 5, true, 8, 0, 0x0807060504030201);
	expect_one(STEP(0xa1, 0, 0, 2, 0, 0, 0, 0, 0), 9, false, 4, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x04030201);
	expect_one(STEP(0xa2, 4, 0, 2, 0, 0, 0, 0, 0), 9, true, 1, 4, 1);
	EXPECT_EQ(STEP(0xf2, 0x0f, 0x38, 0xf1, 0x03), MMIO_UNKNOWN); /* crc32 */
}

TEST(addresses)
{
	setup(CODE_64);
	mmio.gpr[RCX] = 3;
	expect_one(STEP(0x8b, 0x44, 0x8b, 0x10), 4, false, 4, 28, 0);
	mmio.rip = CODE;
	expect_one(STEP(0x8b, 0x05, 0xfa, 0x8f, 0x01, 0), 6, false, 4, 0, 0); /* rip-relative */
	mmio.gpr[RBX] |= 0xabcd00000000;
	expect_one(STEP(0x67, 0x8b, 0x03), 3, false, 4, 0, 0);
	mmio.gpr[RBX] = 0x100;
	mmio.segment_base[SEGMENT_GS] = DEVICE;
	expect_one(STEP(0x65, 0x8b, 0x03), 3, false, 4, 0x100, 0);
	mmio.gpr[RAX] = DEVICE;
	mmio.gpr[RCX] = UINT64_MAX; /* -1 */
	expect_one(STEP(0x8a, 0x54, 0x08, 0x11), 4, false, 1, 0x10, 0);
}

TEST(nothing_canonical_faults_as_the_processor_would)
{
	setup(CODE_64);
	mmio.gpr[RBX] = 0x7fffffffffff;
	EXPECT_EQ(STEP(0x66, 0x8b, 0x03), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 13);
	EXPECT(mmio.has_error);
	EXPECT_EQ(mmio.error, 0);
	mmio.gpr[RBP] = 0x800000000000;
	EXPECT_EQ(STEP(0x8b, 0x45, 0x00), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 12);
	mmio.gpr[RBX] = NOTHING;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 14);
	EXPECT(mmio.has_error);
	EXPECT_EQ(mmio.address, NOTHING);
	EXPECT_EQ(find_flags, 0);
	mmio.cpl = 3;
	EXPECT_EQ(STEP(0x89, 0x03), MMIO_FAULT);
	EXPECT_EQ(mmio.error, 2);
	EXPECT_EQ(find_flags, PAGING_USER | PAGING_WRITE);
	mmio.cpl = 0;
	mmio.rflags |= 0x40000;
	EXPECT_EQ(STEP(0x89, 0x03), MMIO_FAULT);
	EXPECT_EQ(find_flags, PAGING_AC | PAGING_WRITE);
}

TEST(what_touches_no_device_is_the_processors)
{
	setup(CODE_64);
	mmio.gpr[RBX] = RAM;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_RETRY);
	EXPECT_EQ(STEP(0x89, 0x03), MMIO_RETRY);
	EXPECT_EQ(STEP(0x01, 0x03), MMIO_RETRY);
	EXPECT_EQ(STEP(0x01, 0xc3), MMIO_RETRY);
	EXPECT_EQ(STEP(0xff, 0x33), MMIO_RETRY);
	mmio.gpr[RBX] = DEVICE;
	mmio.gpr[RDI] = DEVICE;
	EXPECT_EQ(STEP(0xf3, 0xaa), MMIO_RETRY); /* no times */
}

TEST(unknown_instructions)
{
	setup(CODE_64);
	EXPECT_EQ(STEP(0x0f, 0xaf, 0x03), MMIO_UNKNOWN);       /* imul */
	EXPECT_EQ(STEP(0xf7, 0x33), MMIO_UNKNOWN);	       /* div */
	EXPECT_EQ(STEP(0x0f, 0x6f, 0x03), MMIO_UNKNOWN);       /* movq mm */
	EXPECT_EQ(STEP(0xd9, 0x03), MMIO_UNKNOWN);	       /* fld */
	EXPECT_EQ(STEP(0x0f, 0x58, 0x03), MMIO_UNKNOWN);       /* addps */
	EXPECT_EQ(STEP(0x0f, 0xae, 0x03), MMIO_UNKNOWN);       /* fxsave */
	EXPECT_EQ(STEP(0x0f, 0xc7, 0x0b), MMIO_UNKNOWN);       /* cmpxchg8b */
	EXPECT_EQ(STEP(0xff, 0x2b), MMIO_UNKNOWN);	       /* far jmp */
	EXPECT_EQ(STEP(0xcf), MMIO_UNKNOWN);		       /* iret */
	EXPECT_EQ(STEP(0x0f, 0x01, 0x13), MMIO_UNKNOWN);       /* lgdt */
	EXPECT_EQ(STEP(0xf2, 0x0f, 0x12, 0x03), MMIO_UNKNOWN); /* movddup */
}

/* Read, change, write */

static void expect_changed(enum mmio_result result, unsigned size, uint64_t value)
{
	EXPECT_EQ(result, MMIO_DONE);
	EXPECT_EQ(access_count, 2);
	EXPECT(!accesses[0].write);
	EXPECT(accesses[1].write);
	EXPECT_EQ(accesses[0].size, size);
	EXPECT_EQ(accesses[1].size, size);
	EXPECT_EQ(accesses[0].address, accesses[1].address);
	EXPECT_EQ(accesses[1].value, value);
}

static void expect_flags(uint64_t flags, uint64_t mask)
{
	EXPECT_EQ(mmio.rflags & mask, flags);
}

TEST(arithmetic_on_a_device)
{
	setup(CODE_64);
	put_device(0x7fffffff);
	mmio.gpr[RAX] = 1;
	expect_changed(STEP(0x01, 0x03), 4, 0x80000000);
	expect_flags(FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, FLAG_STATUS);
	expect_changed(STEP(0x83, 0x2b, 0x01), 4, 0x7fffffff); /* sub */
	expect_flags(FLAG_OF | FLAG_AF | FLAG_PF, FLAG_STATUS);
	put_device(0xff);
	expect_changed(STEP(0x80, 0x03, 0x01), 1, 0);
	expect_flags(FLAG_CF | FLAG_ZF | FLAG_AF | FLAG_PF, FLAG_STATUS);
	expect_changed(STEP(0x80, 0x13, 0x01), 1, 2); /* adc */
	expect_flags(0, FLAG_STATUS);
	expect_changed(STEP(0x48, 0x81, 0x0b, 0, 0, 0, 0x80), 8, 0xffffffff80000002); /* or */
	expect_flags(FLAG_SF, FLAG_SF | FLAG_ZF | FLAG_CF | FLAG_OF | FLAG_PF);
	expect_changed(STEP(0xf0, 0x48, 0x21, 0x03), 8, 0); /* lock and with 1 */
	expect_flags(FLAG_ZF | FLAG_PF, FLAG_SF | FLAG_ZF | FLAG_CF | FLAG_OF | FLAG_PF);
	EXPECT_EQ(mmio.gpr[RAX], 1);
}

TEST(arithmetic_from_a_device)
{
	setup(CODE_64);
	put_device(0x10);
	mmio.gpr[RAX] = 0xffffffff00000001;
	expect_one(STEP(0x2b, 0x03), 2, false, 4, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0xfffffff1);
	expect_flags(FLAG_CF | FLAG_SF, FLAG_STATUS);
	expect_one(STEP(0x3b, 0x03), 2, false, 4, 0, 0); /* cmp */
	EXPECT_EQ(mmio.gpr[RAX], 0xfffffff1);
	expect_one(STEP(0x39, 0x03), 2, false, 4, 0, 0);
	expect_flags(FLAG_CF | FLAG_AF, FLAG_CF | FLAG_ZF | FLAG_AF);
	expect_one(STEP(0xf6, 0x03, 0x10), 3, false, 1, 0, 0); /* test */
	expect_flags(0, FLAG_ZF | FLAG_CF);
	expect_one(STEP(0x85, 0x03), 2, false, 4, 0, 0);
	expect_flags(0, FLAG_ZF);
}

TEST(one_operand)
{
	setup(CODE_64);
	put_device(0xff);
	mmio.rflags |= FLAG_CF;
	expect_changed(STEP(0xfe, 0x03), 1, 0);
	expect_flags(FLAG_CF | FLAG_ZF | FLAG_AF | FLAG_PF, FLAG_STATUS);
	expect_changed(STEP(0x66, 0xff, 0x0b), 2, 0xffff);
	expect_flags(FLAG_CF | FLAG_SF | FLAG_AF | FLAG_PF, FLAG_STATUS);
	expect_changed(STEP(0xf7, 0x13), 4, 0xffff0000); /* not */
	expect_flags(FLAG_CF | FLAG_SF | FLAG_AF | FLAG_PF, FLAG_STATUS);
	expect_changed(STEP(0xf7, 0x1b), 4, 0x10000); /* neg */
	expect_flags(FLAG_CF | FLAG_PF, FLAG_STATUS);
	expect_changed(STEP(0xc1, 0x2b, 0x10), 4, 1); /* shr */
	expect_changed(STEP(0xd1, 0x03), 4, 2);	      /* rol */
	mmio.gpr[RCX] = 0x20;
	mmio.rflags = 2 | FLAG_STATUS;
	expect_changed(STEP(0xd3, 0x2b), 4, 2); /* by 32 is by 0 */
	expect_flags(FLAG_STATUS, FLAG_STATUS);
}

TEST(exchanges)
{
	setup(CODE_64);
	put_device(0x1122334455667788);
	mmio.gpr[RDX] = 0xaabbccddeeff0011;
	expect_changed(STEP(0x87, 0x13), 4, 0xeeff0011);
	EXPECT_EQ(mmio.gpr[RDX], 0x55667788);
	expect_changed(STEP(0x0f, 0xc0, 0x13), 1, 0x99); /* xadd */
	EXPECT_EQ(mmio.gpr[RDX], 0x55667711);
	mmio.gpr[RAX] = 0xffffffffeeff0099;
	mmio.gpr[RDX] = 5;
	expect_changed(STEP(0x0f, 0xb1, 0x13), 4, 5); /* cmpxchg, equal */
	expect_flags(FLAG_ZF, FLAG_ZF);
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffffeeff0099);
	expect_changed(STEP(0xf0, 0x0f, 0xb1, 0x13), 4, 5); /* not equal: writes what is there */
	expect_flags(0, FLAG_ZF);
	EXPECT_EQ(mmio.gpr[RAX], 5);
}

TEST(bits)
{
	setup(CODE_64);
	put_device(0x10);
	mmio.rip = CODE;
	expect_one(STEP(0x0f, 0xba, 0x23, 0x24), 4, false, 4, 0, 0); /* bt 36: 4 */
	expect_flags(FLAG_CF, FLAG_CF);
	expect_changed(STEP(0x0f, 0xba, 0x3b, 0x04), 4, 0); /* btc */
	expect_flags(FLAG_CF, FLAG_CF);
	mmio.gpr[RAX] = 67;
	expect_changed(STEP(0x0f, 0xab, 0x03), 4, bytes_load32(device + 8) | 8); /* bts */
	EXPECT_EQ(accesses[0].address, GPA + 8);
	mmio.gpr[RBX] = DEVICE + 0x40;
	mmio.gpr[RAX] = (uint64_t)-1;
	expect_changed(STEP(0x48, 0x0f, 0xb3, 0x03), 8,
		       bytes_load64(device + 0x38) & ~(1ull << 63)); /* btr */
	EXPECT_EQ(accesses[0].address, GPA + 0x38);
	mmio.gpr[RAX] = 0xffff0011;
	mmio.rip = CODE;
	expect_one(STEP(0x66, 0x0f, 0xa3, 0x03), 4, false, 2, 0x42, 0);
}

TEST(conditions)
{
	setup(CODE_64);
	put_device(7);
	mmio.gpr[RAX] = UINT64_MAX;
	mmio.rflags |= FLAG_ZF;
	expect_one(STEP(0x0f, 0x45, 0x03), 3, false, 4, 0, 0); /* cmovnz: reads anyway */
	EXPECT_EQ(mmio.gpr[RAX], 0xffffffff);
	expect_one(STEP(0x0f, 0x44, 0x03), 3, false, 4, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 7);
	expect_one(STEP(0x0f, 0x94, 0x03), 3, true, 1, 0, 1);
	expect_one(STEP(0x0f, 0x9f, 0x03), 3, true, 1, 0, 0); /* setg */
}

/* Stack and branches */

TEST(push_and_pop_through_memory)
{
	setup(CODE_64);
	put_device(0x1122334455667788);
	expect_one(STEP(0xff, 0x33), 2, false, 8, 0, 0);
	EXPECT_EQ(mmio.gpr[RSP], RAM + 0xff8);
	EXPECT_EQ(bytes_load64(ram + 0xff8), 0x1122334455667788);
	put_device(0);
	expect_one(STEP(0x8f, 0x03), 2, true, 8, 0, 0x1122334455667788);
	EXPECT_EQ(mmio.gpr[RSP], RAM + 0x1000);
	mmio.gpr[RSP] = DEVICE - 2; /* the address is that after the increment */
	expect_one(STEP(0x66, 0x8f, 0x44, 0x24, 0x10), 5, true, 2, 0x10,
		   bytes_load16(ram + SIZE - 2));
	mmio.gpr[RSP] = NOTHING + 8; /* the push faults, and nobody asks the device */
	EXPECT_EQ(STEP(0xff, 0x33), MMIO_FAULT);
	EXPECT_EQ(access_count, 0);
	EXPECT_EQ(mmio.vector, 14);
	EXPECT_EQ(mmio.address, NOTHING);
	EXPECT_EQ(mmio.error, 2);
}

TEST(a_stack_in_a_device)
{
	setup(CODE_64);
	mmio.gpr[RSP] = DEVICE + 0x100;
	mmio.gpr[RAX] = 0x55;
	expect_one(STEP(0x50), 1, true, 8, 0xf8, 0x55);
	expect_one(STEP(0x54), 1, true, 8, 0xf0, DEVICE + 0xf8); /* push rsp */
	expect_one(STEP(0x5c), 1, false, 8, 0xf0, 0);
	EXPECT_EQ(mmio.gpr[RSP], DEVICE + 0xf8);
	EXPECT_EQ(STEP(0xe8, 0x10, 0, 0, 0), MMIO_DONE);
	EXPECT_EQ(mmio.rip, CODE + 0x15);
	EXPECT_EQ(accesses[0].value, CODE + 5);
	EXPECT_EQ(STEP(0xc2, 0x08, 0x00), MMIO_DONE);
	EXPECT_EQ(mmio.rip, CODE + 5);
	EXPECT_EQ(mmio.gpr[RSP], DEVICE + 0x100);
}

TEST(branches_through_memory)
{
	setup(CODE_64);
	put_device(0x1234567);
	EXPECT_EQ(STEP(0xff, 0x23), MMIO_DONE);
	EXPECT_EQ(mmio.rip, 0x1234567);
	mmio.rip = CODE;
	EXPECT_EQ(STEP(0xff, 0x13), MMIO_DONE);
	EXPECT_EQ(mmio.rip, 0x1234567);
	EXPECT_EQ(bytes_load64(ram + 0xff8), CODE + 2);
	mmio.rip = CODE;
	put_device(0x800000000000);
	EXPECT_EQ(STEP(0xff, 0x23), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 13);
	setup(CODE_32);
	put_device(0x12345678);
	EXPECT_EQ(STEP(0x66, 0xff, 0x23), MMIO_DONE);
	EXPECT_EQ(mmio.rip, 0x5678);
	mmio.segment_limit[SEGMENT_CS] = 0xffff;
	EXPECT_EQ(STEP(0xff, 0x23), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 13);
}

/* Strings */

TEST(movs_from_a_device)
{
	setup(CODE_64);
	mmio.gpr[RSI] = DEVICE + 0x20;
	mmio.gpr[RDI] = RAM + 0x30;
	mmio.gpr[RCX] = 2;
	EXPECT_EQ(STEP(0xf3, 0xa5), MMIO_DONE);
	EXPECT_EQ(access_count, 1);
	EXPECT_EQ(mmio.rip, CODE);
	EXPECT_EQ(mmio.gpr[RCX], 1);
	EXPECT_EQ(mmio.gpr[RSI], DEVICE + 0x24);
	EXPECT_EQ(mmio.gpr[RDI], RAM + 0x34);
	EXPECT_EQ(STEP(0xf3, 0xa5), MMIO_DONE);
	EXPECT_EQ(mmio.rip, CODE + 2);
	EXPECT_EQ(mmio.gpr[RCX], 0);
	EXPECT_MEM(ram + 0x30, device + 0x20, 8);
}

TEST(movs_to_and_between_devices)
{
	setup(CODE_64);
	mmio.gpr[RSI] = RAM + 0x20;
	mmio.gpr[RDI] = DEVICE + 0x37;
	mmio.rflags |= FLAG_DF;
	expect_one(STEP(0x48, 0xa5), 2, true, 8, 0x37, bytes_load64(ram + 0x20));
	EXPECT_EQ(mmio.gpr[RSI], RAM + 0x18);
	EXPECT_EQ(mmio.gpr[RDI], DEVICE + 0x2f);
	mmio.gpr[RSI] = DEVICE;
	EXPECT_EQ(STEP(0xa4), MMIO_DONE);
	EXPECT_EQ(access_count, 2);
	EXPECT_EQ(accesses[1].value, device[0]);
	EXPECT_EQ(accesses[1].address, GPA + 0x2f);
}

TEST(a_fault_of_the_other_side_comes_before_the_device_is_asked)
{
	setup(CODE_64);
	mmio.gpr[RSI] = DEVICE;
	mmio.gpr[RDI] = NOTHING - 2;
	mmio.gpr[RCX] = 4;
	EXPECT_EQ(STEP(0xf3, 0xa5), MMIO_FAULT);
	EXPECT_EQ(access_count, 0);
	EXPECT_EQ(mmio.address, NOTHING);
	EXPECT_EQ(mmio.error, 2);
	mmio.gpr[RDI] = NOTHING;
	mmio.gpr[RDX] = 0x3f8;
	EXPECT_EQ(STEP(0x6c), MMIO_FAULT);
	EXPECT_EQ(access_count, 0);
}

TEST(stos_lods_scas_cmps)
{
	setup(CODE_64);
	mmio.gpr[RAX] = 0x8877665544332211;
	mmio.gpr[RDI] = DEVICE;
	mmio.gpr[RCX] = 0xffff00000003;
	EXPECT_EQ(STEP(0x67, 0xf3, 0xab), MMIO_DONE); /* ecx, edi */
	EXPECT_EQ(mmio.gpr[RCX], 2);
	EXPECT_EQ(mmio.gpr[RDI], DEVICE + 4);
	EXPECT_EQ(accesses[0].value, 0x44332211);
	mmio.gpr[RSI] = DEVICE;
	mmio.rip = CODE;
	expect_one(STEP(0xac), 1, false, 1, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x8877665544332211);
	mmio.gpr[RDI] = DEVICE;
	mmio.gpr[RCX] = 5;
	EXPECT_EQ(STEP(0xf2, 0xae), MMIO_DONE); /* found at once */
	EXPECT_EQ(mmio.rip, CODE + 2);
	EXPECT_EQ(mmio.gpr[RCX], 4);
	EXPECT_EQ(mmio.gpr[RDI], DEVICE + 1);
	expect_flags(FLAG_ZF, FLAG_ZF);
	mmio.rip = CODE;
	EXPECT_EQ(STEP(0xf2, 0xae), MMIO_DONE); /* not found yet */
	EXPECT_EQ(mmio.rip, CODE);
	expect_flags(0, FLAG_ZF);
	bytes_copy(ram, device, 8);
	mmio.gpr[RSI] = RAM;
	mmio.gpr[RDI] = DEVICE;
	EXPECT_EQ(STEP(0xf3, 0x48, 0xa7), MMIO_DONE);
	EXPECT_EQ(mmio.rip, CODE);
	expect_flags(FLAG_ZF, FLAG_ZF | FLAG_CF);
	ram[8] = 0;
	device[8] = 1;
	EXPECT_EQ(STEP(0xf3, 0xa6), MMIO_DONE);
	EXPECT_EQ(mmio.rip, CODE + 2);
	expect_flags(FLAG_CF | FLAG_SF, FLAG_ZF | FLAG_CF | FLAG_SF);
}

TEST(ports)
{
	setup(CODE_64);
	port_value = 0xaabbccdd;
	mmio.gpr[RDX] = 0x1234cfc;
	mmio.gpr[RDI] = RAM + 8;
	mmio.gpr[RCX] = 2;
	EXPECT_EQ(STEP(0xf3, 0x6d), MMIO_DONE);
	EXPECT(accesses[0].port);
	EXPECT(!accesses[0].write);
	EXPECT_EQ(accesses[0].address, 0x4cfc);
	EXPECT_EQ(accesses[0].size, 4);
	EXPECT_EQ(bytes_load32(ram + 8), 0xaabbccdd);
	EXPECT_EQ(mmio.rip, CODE);
	mmio.gpr[RSI] = RAM + 9;
	EXPECT_EQ(STEP(0x66, 0x6f), MMIO_DONE);
	EXPECT(accesses[0].port);
	EXPECT(accesses[0].write);
	EXPECT_EQ(accesses[0].value, 0xbbcc);
	EXPECT_EQ(mmio.gpr[RSI], RAM + 11);
	mmio.gpr[RSI] = DEVICE; /* from a device to a port */
	EXPECT_EQ(STEP(0x6e), MMIO_DONE);
	EXPECT_EQ(access_count, 2);
	EXPECT_EQ(accesses[1].value, device[0]);
}

/* Operands in two pages */

TEST(a_device_in_two_pages)
{
	setup(CODE_64);
	mmio.gpr[RBX] = DEVICE + 0xffd;
	EXPECT_EQ(STEP(0x48, 0x8b, 0x03), MMIO_DONE);
	EXPECT_EQ(access_count, 4);
	EXPECT_EQ(accesses[0].size, 2);
	EXPECT_EQ(accesses[1].size, 1);
	EXPECT_EQ(accesses[2].size, 4);
	EXPECT_EQ(accesses[2].address, GPA + 0x1000);
	EXPECT_EQ(accesses[3].size, 1);
	EXPECT_EQ(mmio.gpr[RAX], bytes_load64(device + 0xffd));
	mmio.gpr[RAX] = 0x1122334455667788;
	EXPECT_EQ(STEP(0x48, 0x31, 0x03), MMIO_DONE); /* xor: eight accesses */
	EXPECT_EQ(access_count, 8);
}

TEST(ram_and_a_device)
{
	setup(CODE_64);
	mmio.gpr[RBX] = DEVICE - 3;
	mmio.gpr[RAX] = 0x8877665544332211;
	EXPECT_EQ(STEP(0x48, 0x89, 0x03), MMIO_DONE);
	EXPECT_EQ(access_count, 2);
	EXPECT_EQ(accesses[0].address, GPA);
	EXPECT_EQ(accesses[0].value, 0x77665544);
	EXPECT_EQ(accesses[1].value, 0x88);
	EXPECT_EQ(bytes_load16(ram + SIZE - 3), 0x2211);
	EXPECT_EQ(ram[SIZE - 1], 0x33);
	EXPECT_EQ(STEP(0x48, 0x03, 0x03), MMIO_DONE);
	EXPECT_EQ(mmio.gpr[RAX], 0x8877665544332211 * 2);
	expect_changed(STEP(0x66, 0xff, 0x43, 0x02), 1, 0x44); /* inc of 4433 */
	EXPECT_EQ(ram[SIZE - 1], 0x34);
	mmio.gpr[RBX] = NOTHING - 1; /* the second page faults */
	EXPECT_EQ(STEP(0x89, 0x03), MMIO_FAULT);
	EXPECT_EQ(mmio.address, NOTHING);
}

/* Vectors */

TEST(vector_loads)
{
	setup(CODE_64);
	EXPECT_EQ(STEP(0x0f, 0x10, 0x0b), MMIO_DONE); /* movups */
	EXPECT_EQ(access_count, 2);
	EXPECT_MEM(vector[1], device, 16);
	EXPECT_EQ(vector[1][16], 48 * 3 & 0xff);
	EXPECT_EQ(STEP(0xc5, 0xfe, 0x6f, 0x13), MMIO_DONE); /* vmovdqu ymm2 */
	EXPECT_EQ(access_count, 4);
	EXPECT_MEM(vector[2], device, 32);
	EXPECT_EQ(STEP(0xc5, 0xfa, 0x10, 0x13), MMIO_DONE); /* vmovss */
	EXPECT_EQ(access_count, 1);
	EXPECT_EQ(accesses[0].size, 4);
	for (unsigned i = 4; i < 32; i++)
		EXPECT_EQ(vector[2][i], 0);
	EXPECT_EQ(STEP(0xf3, 0x0f, 0x7e, 0x1b), MMIO_DONE); /* movq */
	EXPECT_MEM(vector[3], device, 8);
	EXPECT_EQ(bytes_load64(vector[3] + 8), 0);
	EXPECT_EQ(vector[3][16], 112 * 3 & 0xff);
	EXPECT_EQ(STEP(0x66, 0x44, 0x0f, 0x6e, 0x0b), MMIO_DONE); /* movd xmm9 */
	EXPECT_EQ(bytes_load64(vector[9]), bytes_load32(device));
	EXPECT_EQ(bytes_load64(vector[9] + 8), 0);
}

TEST(vector_halves)
{
	uint64_t low, high;

	setup(CODE_64);
	low = bytes_load64(vector[1]);
	high = bytes_load64(vector[1] + 8);
	EXPECT_EQ(STEP(0x0f, 0x16, 0x0b), MMIO_DONE); /* movhps */
	EXPECT_EQ(bytes_load64(vector[1]), low);
	EXPECT_MEM(vector[1] + 8, device, 8);
	bytes_store64(vector[1] + 8, high);
	EXPECT_EQ(STEP(0x66, 0x0f, 0x12, 0x0b), MMIO_DONE); /* movlpd */
	EXPECT_MEM(vector[1], device, 8);
	EXPECT_EQ(bytes_load64(vector[1] + 8), high);
	EXPECT_EQ(STEP(0xc5, 0xe8, 0x16, 0x0b), MMIO_DONE); /* vmovhps xmm1, xmm2, m */
	EXPECT_MEM(vector[1], vector[2], 8);
	EXPECT_MEM(vector[1] + 8, device, 8);
	EXPECT_EQ(vector[1][16], 0);
	EXPECT_EQ(STEP(0x0f, 0x17, 0x1b), MMIO_DONE); /* movhps store */
	EXPECT_EQ(accesses[0].value, bytes_load64(vector[3] + 8));
}

TEST(vector_stores)
{
	setup(CODE_64);
	EXPECT_EQ(STEP(0x66, 0x0f, 0xe7, 0x0b), MMIO_DONE); /* movntdq */
	EXPECT_EQ(access_count, 2);
	EXPECT_MEM(device, vector[1], 16);
	EXPECT_EQ(STEP(0xc5, 0xfc, 0x29, 0x13), MMIO_DONE); /* vmovaps ymm2 */
	EXPECT_EQ(access_count, 4);
	EXPECT_MEM(device, vector[2], 32);
	EXPECT_EQ(STEP(0x66, 0x0f, 0x7e, 0x1b), MMIO_DONE); /* movd */
	EXPECT_EQ(access_count, 1);
	EXPECT_EQ(accesses[0].value, bytes_load32(vector[3]));
	mmio.gpr[RBX] = DEVICE + 0xff1;
	EXPECT_EQ(STEP(0xc5, 0xfe, 0x7f, 0x0b), MMIO_DONE); /* 15 and 17 bytes */
	EXPECT_EQ(access_count, 7);
	EXPECT_MEM(device + 0xff1, vector[1], 32);
}

TEST(without_vector_registers)
{
	static const struct mmio_ops few = {.find = find};

	setup(CODE_64);
	mmio.ops = &few;
	EXPECT_EQ(STEP(0x0f, 0x10, 0x0b), MMIO_UNKNOWN);
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_DONE);
}

/* Other modes */

TEST(code_of_16_bits)
{
	setup(CODE_16);
	mmio.segment_base[SEGMENT_DS] = DEVICE;
	mmio.segment_base[SEGMENT_SS] = RAM;
	for (unsigned i = 0; i < 6; i++)
		mmio.segment_limit[i] = 0xffff;
	put_device(0x44332211);
	mmio.gpr[RAX] = 0xffffffff;
	mmio.gpr[RBX] = 0xabcdfff0;
	mmio.gpr[RSI] = 0x20;
	expect_one(STEP(0x8b, 0x40, 0xf0), 3, false, 2, 0, 0); /* bx + si - 16, wrapping */
	EXPECT_EQ(mmio.gpr[RAX], 0xffff2211);
	mmio.gpr[RSP] = 0x12340000;
	mmio.rip = CODE;
	expect_one(STEP(0xff, 0x36, 0, 0), 4, false, 2, 0, 0);
	EXPECT_EQ(mmio.gpr[RSP], 0x1234fffe);
	EXPECT_EQ(bytes_load16(ram + 0xfffe), 0x2211);
	mmio.gpr[RBX] = 0xffff;
	EXPECT_EQ(STEP(0x8b, 0x07), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 13);
	mmio.gpr[RCX] = 0x10001;
	mmio.gpr[RSI] = 0xffff;
	mmio.segment_base[SEGMENT_ES] = RAM;
	mmio.gpr[RDI] = 0;
	EXPECT_EQ(STEP(0xf3, 0xa4), MMIO_DONE);
	EXPECT_EQ(mmio.gpr[RCX], 0x10000);
	EXPECT_EQ(mmio.gpr[RSI], 0);
	EXPECT_EQ(mmio.rip, CODE + 2);
}

TEST(code_of_32_bits)
{
	setup(CODE_32);
	put_device(0x8877665544332211);
	expect_one(STEP(0x8b, 0x03), 2, false, 4, 0, 0);
	EXPECT_EQ(mmio.gpr[RAX], 0x44332211);
	mmio.segment_base[SEGMENT_DS] = 0xffff0000; /* wraps at 4 GiB */
	mmio.gpr[RBX] = DEVICE + 0x10000;
	expect_one(STEP(0x8b, 0x03), 2, false, 4, 0, 0);
	mmio.segment_base[SEGMENT_DS] = 0;
	mmio.stack_size = CODE_16;
	mmio.gpr[RSP] = 0x1230002;
	mmio.segment_base[SEGMENT_SS] = RAM;
	mmio.gpr[RBX] = DEVICE;
	mmio.segment_limit[SEGMENT_SS] = 0xffff;
	EXPECT_EQ(STEP(0xff, 0x33), MMIO_FAULT); /* 0xfffe and four bytes */
	EXPECT_EQ(mmio.vector, 12);
	expect_one(STEP(0x66, 0xff, 0x33), 3, false, 2, 0, 0);
	EXPECT_EQ(mmio.gpr[RSP], 0x1230000);
	mmio.gpr[RDX] = 0x3f8;
	mmio.gpr[RDI] = RAM;
	EXPECT_EQ(STEP(0x66, 0x6d), MMIO_DONE);
	EXPECT_EQ(accesses[0].size, 2);
}

TEST(segments_that_do_not_let_it)
{
	setup(CODE_32);
	mmio.segment_limit[SEGMENT_DS] = DEVICE + 3;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_DONE);
	mmio.segment_limit[SEGMENT_DS] = DEVICE + 2;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_FAULT);
	EXPECT_EQ(mmio.vector, 13);
	mmio.expand_down = 1 << SEGMENT_DS;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_FAULT);
	mmio.segment_limit[SEGMENT_DS] = DEVICE - 1;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_DONE);
	mmio.unwritable = 1 << SEGMENT_DS;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_DONE);
	EXPECT_EQ(STEP(0x89, 0x03), MMIO_FAULT);
	mmio.unreadable = 1 << SEGMENT_DS;
	EXPECT_EQ(STEP(0x8b, 0x03), MMIO_FAULT);
	mmio.code_size = CODE_64;
	EXPECT_EQ(STEP(0x89, 0x03), MMIO_DONE);
}

/* Answers */

TEST(an_access_made_is_finished_whatever_becomes_of_the_mapping)
{
	const uint8_t bytes[] = {0x8b, 0x03};
	struct insn insn;

	setup(CODE_64);
	REQUIRE(insn_decode(&insn, bytes, 2, CODE_64) == DECODE_OK);
	mmio_begin(&mmio);
	EXPECT_EQ(mmio_emulate(&mmio, &insn), MMIO_ACCESS);
	mmio_answer(&mmio, 1);
	mmio.gpr[RBX] = RAM;
	EXPECT_EQ(mmio_emulate(&mmio, &insn), MMIO_DONE);
	EXPECT_EQ(mmio.gpr[RAX], bytes_load32(ram));
}

TEST(answers_are_cut_to_size)
{
	const uint8_t bytes[] = {0x8a, 0x03};
	struct insn insn;

	setup(CODE_64);
	REQUIRE(insn_decode(&insn, bytes, 2, CODE_64) == DECODE_OK);
	mmio_begin(&mmio);
	EXPECT_EQ(mmio_emulate(&mmio, &insn), MMIO_ACCESS);
	for (unsigned i = 0; i < 20; i++)
		mmio_answer(&mmio, UINT64_MAX);
	EXPECT_EQ(mmio_emulate(&mmio, &insn), MMIO_DONE);
	EXPECT_EQ(mmio.gpr[RAX], 0xff);
}
