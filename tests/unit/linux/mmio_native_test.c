/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator of device accesses against the host's processor: random instructions on random
 * registers. The same memory is RAM for the processor, and for the emulator a device on every other
 * page. What faults natively is not tried (see unit/mmio_test.c).
 */
#include "test.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "x86/handlers.h"
#include "x86/mmio.h"

#define CODE_ADDRESS 0x20000000u
#define DATA_ADDRESS 0x20100000u
#define PAGE	     4096u
#define DATA_SIZE    (4 * PAGE)
#define MIDDLE	     (DATA_ADDRESS + DATA_SIZE / 2)
#define ROUNDS	     300000u

enum { RCX = 1, RSP = 4, RSI = 6, RDI = 7 };

/* The way in and out knows the places of these. */
struct native_context {
	uint64_t host_rsp;
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t vectors; /* whether there are any to load and save */
	_Alignas(32) uint8_t vector[16][32];
};

struct native_context native_context;
void native_run(void);
void native_back(void);

_Static_assert(offsetof(struct native_context, gpr) == 8, "native_run knows it");
_Static_assert(offsetof(struct native_context, rflags) == 136, "native_run knows it");
_Static_assert(offsetof(struct native_context, vectors) == 144, "native_run knows it");
_Static_assert(offsetof(struct native_context, vector) == 160, "native_run knows it");

__asm__(".text\n"
	".globl native_run\n"
	"native_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_context(%rip)\n"
	"	cmpq $0, native_context+144(%rip)\n"
	"	je 1f\n"
	"	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	vmovdqu native_context+160+32*\\n(%rip), %ymm\\n\n"
	"	.endr\n"
	"1:	push native_context+136(%rip)\n"
	"	popfq\n"
	"	mov native_context+8(%rip), %rax\n"
	"	mov native_context+16(%rip), %rcx\n"
	"	mov native_context+24(%rip), %rdx\n"
	"	mov native_context+32(%rip), %rbx\n"
	"	mov native_context+40(%rip), %rsp\n"
	"	mov native_context+48(%rip), %rbp\n"
	"	mov native_context+56(%rip), %rsi\n"
	"	mov native_context+64(%rip), %rdi\n"
	"	mov native_context+72(%rip), %r8\n"
	"	mov native_context+80(%rip), %r9\n"
	"	mov native_context+88(%rip), %r10\n"
	"	mov native_context+96(%rip), %r11\n"
	"	mov native_context+104(%rip), %r12\n"
	"	mov native_context+112(%rip), %r13\n"
	"	mov native_context+120(%rip), %r14\n"
	"	mov native_context+128(%rip), %r15\n"
	"	jmp *native_code(%rip)\n"
	".globl native_back\n"
	"native_back:\n"
	"	mov %rax, native_context+8(%rip)\n"
	"	mov %rcx, native_context+16(%rip)\n"
	"	mov %rdx, native_context+24(%rip)\n"
	"	mov %rbx, native_context+32(%rip)\n"
	"	mov %rsp, native_context+40(%rip)\n"
	"	mov %rbp, native_context+48(%rip)\n"
	"	mov %rsi, native_context+56(%rip)\n"
	"	mov %rdi, native_context+64(%rip)\n"
	"	mov %r8, native_context+72(%rip)\n"
	"	mov %r9, native_context+80(%rip)\n"
	"	mov %r10, native_context+88(%rip)\n"
	"	mov %r11, native_context+96(%rip)\n"
	"	mov %r12, native_context+104(%rip)\n"
	"	mov %r13, native_context+112(%rip)\n"
	"	mov %r14, native_context+120(%rip)\n"
	"	mov %r15, native_context+128(%rip)\n"
	"	mov native_context(%rip), %rsp\n"
	"	pushfq\n"
	"	pop native_context+136(%rip)\n"
	"	cld\n"
	"	cmpq $0, native_context+144(%rip)\n"
	"	je 1f\n"
	"	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	vmovdqu %ymm\\n, native_context+160+32*\\n(%rip)\n"
	"	.endr\n"
	"	vzeroupper\n"
	"1:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".data\n"
	"native_code: .quad 0x20000000\n"
	".text\n");

/* What both start from, and the emulator's side. */
static uint8_t shadow[DATA_SIZE];
static uint8_t vector[16][32];
static uint64_t first_linear;
static bool outside;

static enum mmio_result find(struct mmio *mmio, uint64_t linear, unsigned size, unsigned access,
			     void **ram, uint64_t *physical)
{
	if (!first_linear)
		first_linear = linear;
	if (linear < DATA_ADDRESS || linear > DATA_ADDRESS + DATA_SIZE - size) {
		outside = true;
		return MMIO_FAULT;
	}
	if (linear / PAGE % 2)
		*ram = shadow + (linear - DATA_ADDRESS);
	else
		*physical = linear;
	return MMIO_DONE;
}

static void vector_get(struct mmio *mmio, unsigned number, unsigned size, uint8_t *bytes)
{
	memcpy(bytes, vector[number], size);
}

static void vector_set(struct mmio *mmio, unsigned number, unsigned size, const uint8_t *bytes,
		       bool zero_above)
{
	memcpy(vector[number], bytes, size);
	if (zero_above)
		memset(vector[number] + size, 0, 32 - size);
}

static const struct mmio_ops ops = {find, vector_get, vector_set};

static uint64_t random_state = 88172645463325252u;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1du;
}

static unsigned below(unsigned limit)
{
	return (unsigned)(random_number() >> 33) % limit;
}

/* Opcodes by map; -1 ends each. */
static const int16_t one_byte[] = {
	0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
	0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
	0x3a, 0x3b, 0x50, 0x54, 0x58, 0x5c, 0x63, 0x68, 0x6a, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86,
	0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8f, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae,
	0xaf, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff, -1};
static const int16_t two_byte[] = {0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29, 0x2b, 0x42,
				   0x43, 0x44, 0x46, 0x48, 0x4a, 0x4c, 0x4e, 0x4f, 0x6e, 0x6f,
				   0x7e, 0x7f, 0x90, 0x93, 0x95, 0x97, 0x99, 0x9b, 0x9d, 0x9e,
				   0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba, 0xbb, 0xbe,
				   0xbf, 0xc0, 0xc1, 0xc3, 0xd6, 0xe7, 0xf0, -1};
static const int16_t three_byte[] = {0x2a, 0xf0, 0xf1, -1};

static uint8_t pick(const int16_t *opcodes)
{
	unsigned count = 0;

	while (opcodes[count] >= 0)
		count++;
	return (uint8_t)opcodes[below(count)];
}

/* Prefixes, opcode, and random bytes behind: the decoder says where it ends. */
static void make_instruction(uint8_t bytes[32])
{
	static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0x67, 0xf0};
	unsigned place = 0, kind = below(8);

	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)random_number();
	while (below(3) == 0 && place < 3)
		bytes[place++] = prefixes[below(sizeof(prefixes))];
	if (kind < 2) {
		bytes[place] = 0xc5;
		bytes[place + 1] |= below(2) ? 0x78 : 0;
		bytes[place + 2] = pick(two_byte);
		return;
	}
	if (below(2))
		bytes[place++] = (uint8_t)(0x40 | below(16));
	if (kind < 5) {
		bytes[place] = pick(one_byte);
		return;
	}
	bytes[place++] = 0x0f;
	if (kind == 7)
		bytes[place++] = 0x38;
	bytes[place] = pick(kind == 7 ? three_byte : two_byte);
}

/* Those that the test can run here, one step of a repetition being all of it natively. */
static bool is_usable(const struct insn *insn)
{
	switch (insn->op->handler) {
	case HANDLER_NONE:
	case HANDLER_BIT_STRING:
		return insn->memory;
	case HANDLER_PUSH:
	case HANDLER_POP:
	case HANDLER_MOVS:
	case HANDLER_STOS:
	case HANDLER_LODS:
	case HANDLER_CMPS:
	case HANDLER_SCAS:
		return true;
	default:
		return false;
	}
}

static void make_registers(struct mmio *mmio, const struct insn *insn)
{
	static const uint64_t edges[] = {0,	     1,		 0x7f,	     0x80,	0xffff,
					 0x7fffffff, 0x80000000, UINT64_MAX, 1ull << 63};

	for (unsigned i = 0; i < 16; i++) {
		unsigned kind = below(8);

		mmio->gpr[i] = kind == 0   ? random_number()
			       : kind == 1 ? edges[below(sizeof(edges) / sizeof(edges[0]))]
			       : kind == 2 ? below(64)
			       : kind == 3 ? MIDDLE - PAGE + below(64) - 32
					   : MIDDLE + below(512) - 256;
	}
	mmio->gpr[RSP] = MIDDLE + (below(2) ? 8 * below(64) : below(512) - 256);
	if (insn->index != INSN_NO_REGISTER && below(2))
		mmio->gpr[insn->index & 15] = below(32);
	if (insn->rep)
		mmio->gpr[RCX] = below(6);
	mmio->rflags = 2 | (random_number() & (FLAG_STATUS | FLAG_DF));
	for (unsigned i = 0; i < 16; i++)
		for (unsigned j = 0; j < 32; j++)
			vector[i][j] = (uint8_t)random_number();
}

static void serve(struct mmio *mmio)
{
	const struct mmio_access *access = &mmio->access;
	uint8_t *at = shadow + (access->address - DATA_ADDRESS);
	uint64_t value = random_number(); /* what is above the size doesn't count */

	if (access->write)
		memcpy(at, &access->value, access->size);
	else
		memcpy(&value, at, access->size);
	mmio_answer(mmio, value);
}

/* All elements, until it is done or is not for us (which ends the test of it, but for a repetition
 * that goes on in RAM). */
static enum mmio_result emulate(struct mmio *mmio, const struct insn *insn)
{
	enum mmio_result result;

	do {
		mmio_begin(mmio);
		while ((result = mmio_emulate(mmio, insn)) == MMIO_ACCESS)
			serve(mmio);
	} while (result == MMIO_DONE && mmio->rip == CODE_ADDRESS);
	return result;
}

static void run_natively(const uint8_t *bytes, unsigned length)
{
	static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
	const uint64_t back = (uintptr_t)native_back;
	uint8_t *code = (uint8_t *)(uintptr_t)CODE_ADDRESS;

	memcpy(code, bytes, length);
	memcpy(code + length, jump, sizeof(jump));
	memcpy(code + length + sizeof(jump), &back, sizeof(back));
	native_run();
}

static bool is_aligned_enough(const struct insn *insn)
{
	unsigned size = insn_memory_size(insn);

	return !(insn->op->attributes & OP_ALIGNED) || size < 16 || first_linear % size == 0;
}

static void expect_same(const struct mmio *mmio, const struct insn *insn, const uint8_t *bytes)
{
	uint64_t mask = (FLAG_STATUS | FLAG_DF) & ~(uint64_t)insn_flags_undefined(insn);
	bool same =
		!memcmp(mmio->gpr, native_context.gpr, sizeof(mmio->gpr)) &&
		!((mmio->rflags ^ native_context.rflags) & mask) &&
		!memcmp(shadow, (void *)(uintptr_t)DATA_ADDRESS, DATA_SIZE) &&
		(!native_context.vectors || !memcmp(vector, native_context.vector, sizeof(vector)));

	if (same)
		return;
	FAIL("%s of %u bytes: %x %x %x %x %x %x %x", insn->op->name, insn->length, bytes[0],
	     bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6]);
	for (unsigned i = 0; i < 16; i++)
		EXPECT_EQ(mmio->gpr[i], native_context.gpr[i]);
	EXPECT_EQ(mmio->rflags & mask, native_context.rflags & mask);
	EXPECT_MEM(shadow, (void *)(uintptr_t)DATA_ADDRESS, DATA_SIZE);
	EXPECT_MEM(vector, native_context.vector, sizeof(vector));
	test_stop();
}

/* True if it could be compared. */
static bool try_one(void)
{
	struct mmio mmio = {.ops = &ops, .code_size = CODE_64, .cpl = 3, .rip = CODE_ADDRESS};
	uint8_t *data = (uint8_t *)(uintptr_t)DATA_ADDRESS;
	uint8_t bytes[32];
	struct insn insn;
	enum mmio_result result;

	make_instruction(bytes);
	if (insn_decode(&insn, bytes, 15, CODE_64) != DECODE_OK || !is_usable(&insn) ||
	    insn.segment >= SEGMENT_FS ||
	    ((insn.op->attributes & OP_AVX) && !native_context.vectors))
		return false;
	make_registers(&mmio, &insn);
	for (unsigned i = 0; i < DATA_SIZE; i += 8) {
		uint64_t value = random_number();

		memcpy(data + i, &value, 8);
	}
	memcpy(shadow, data, DATA_SIZE);
	memcpy(native_context.gpr, mmio.gpr, sizeof(mmio.gpr));
	native_context.rflags = mmio.rflags;
	memcpy(native_context.vector, vector, sizeof(vector));
	outside = false;
	first_linear = 0;
	result = emulate(&mmio, &insn);
	if (result != MMIO_DONE || outside || !is_aligned_enough(&insn))
		return false;
	EXPECT_EQ(mmio.rip, CODE_ADDRESS + insn.length);
	run_natively(bytes, insn.length);
	expect_same(&mmio, &insn, bytes);
	return true;
}

TEST(agrees_with_the_processor)
{
	unsigned compared = 0;

	if (mmap((void *)(uintptr_t)CODE_ADDRESS, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ||
	    mmap((void *)(uintptr_t)DATA_ADDRESS, DATA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		SKIP("addresses are taken");
	if (!__builtin_cpu_supports("sse4.2"))
		SKIP("the processor has no SSE 4.2");
	native_context.vectors = __builtin_cpu_supports("avx2");
	for (unsigned i = 0; i < ROUNDS; i++)
		compared += try_one();
	EXPECT(compared > ROUNDS / 50);
}
