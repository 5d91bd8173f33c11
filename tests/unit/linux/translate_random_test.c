/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random instructions, interpreted and translated, must end alike: registers, flags, vector state,
 * memory, and which fault if any. A sequence ends with a fault or a hlt.
 */
#include "translate_guest.h"

#include <stdlib.h>

#include "x86/handlers.h"
#include "x86/insn.h"

#define SEQUENCES 6000
#define LENGTH	  14
#define DATA_SIZE (2u << 20)

static uint64_t seed;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static bool is_wanted(const struct insn *insn)
{
	if (insn->memory && (insn->displacement > 3000 || insn->displacement < -3000))
		return false;
	if (insn->op->class == CLASS_COPY)
		return strncmp(insn->op->name, "rd", 2) != 0;
	switch (insn->op->handler) {
	case HANDLER_LEA:
	case HANDLER_PUSH:
	case HANDLER_POP:
	case HANDLER_CLD:
	case HANDLER_STD:
	case HANDLER_NOP:
	case HANDLER_LEAVE:
	case HANDLER_BIT_STRING:
		return true;
	case HANDLER_MOVS:
	case HANDLER_STOS:
	case HANDLER_LODS:
	case HANDLER_CMPS:
	case HANDLER_SCAS:
		return !insn->rep;
	case HANDLER_JCC: /* onto the next instruction */
		return insn->map == 0;
	default:
		return false;
	}
}

/* One instruction that is_wanted, with defined flags behind it; returns the length. */
static unsigned make_insn(uint8_t *out)
{
	for (;;) {
		uint64_t choice = random64();
		uint8_t bytes[16];
		struct insn insn;
		unsigned at = 0;

		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(random64() >> 32);
		if ((choice & 7) == 0)
			bytes[at++] = 0x66;
		if ((choice >> 3 & 15) == 0)
			bytes[at++] = choice & 1024 ? 0xf2 : 0xf3;
		if ((choice >> 7 & 31) == 0)
			bytes[at++] = 0xf0;
		if (choice >> 12 & 1)
			bytes[at++] = 0x40 | (choice >> 16 & 15);
		if ((choice >> 20 & 3) == 0)
			bytes[at++] = 0x0f;
		else if ((choice >> 20 & 15) == 1)
			bytes[at++] = choice >> 24 & 1 ? 0xc4 : 0xc5;
		if (insn_decode(&insn, bytes, 15, CODE_64) != DECODE_OK || !is_wanted(&insn))
			continue;
		if (insn.op->handler == HANDLER_JCC)
			bytes[insn.length - 1] = 0;
		memcpy(out, bytes, insn.length);
		if (!insn_flags_undefined(&insn))
			return insn.length;
		memcpy(out + insn.length, (const uint8_t[]){0x39, 0xc8}, 2); /* cmp %ecx, %eax */
		return insn.length + 2u;
	}
}

static unsigned make_code(uint8_t *code)
{
	unsigned at = 0;

	for (unsigned i = 0; i < LENGTH; i++)
		at += make_insn(code + at);
	code[at++] = 0xf4;
	return at;
}

static void make_state(struct vcpu_state *state)
{
	guest_state(state);
	for (unsigned i = 0; i < 16; i++)
		if (i != RSP)
			state->gpr[i] = random64() & 3
						? GUEST_DATA + 0x8000 + (random64() & 0x7fff0)
						: random64();
	state->rflags |= random64() & FLAG_STATUS;
	memset(state->xsave, 0, sizeof(state->xsave));
	state->xsave[0] = 0x7f;
	state->xsave[1] = 3;
	state->xsave[24] = 0x80;
	state->xsave[25] = 0x1f;
	for (unsigned i = 160; i < 416; i++)
		state->xsave[i] = (uint8_t)random64();
	for (unsigned i = 576; i < 832; i++)
		state->xsave[i] = (uint8_t)random64();
	state->xsave[512] = 7;
}

/* Writable: data and the stack. */
static void protect(struct guest *guest)
{
	uint64_t *table = guest_at(guest, GUEST_TABLES);

	for (uint64_t i = 2; i < GUEST_MEMORY >> 21; i++)
		table[1024 + i] &= ~2ull;
	for (uint64_t i = 0; i < 512; i++)
		if (i < 0x70 || i > 0x80)
			table[1536 + i] &= ~2ull;
}

/* A fault's frame has flags that may have been dead where it happened. */
static void mask_frame(struct guest *guest)
{
	struct vcpu_state *state = &guest->vm.vcpus[0]->state;
	uint64_t *frame;

	if (state->rip >= GUEST_CODE)
		return;
	frame = guest_at(guest, state->gpr[RSP]);
	frame[frame[1] == 8 ? 2 : 3] &= ~(uint64_t)FLAG_STATUS;
	state->rflags &= ~(uint64_t)FLAG_STATUS;
}

static bool alike(struct guest *a, struct guest *b)
{
	const struct vcpu_state *x = &a->vm.vcpus[0]->state, *y = &b->vm.vcpus[0]->state;
	bool same = true;

	for (unsigned i = 0; i < 16; i++)
		if (x->gpr[i] != y->gpr[i]) {
			FAIL("register %u: interpreted %lx, translated %lx", i, x->gpr[i],
			     y->gpr[i]);
			same = false;
		}
	same &= EXPECT_EQ(x->rip, y->rip) != 0;
	same &= EXPECT_EQ(x->rflags, y->rflags) != 0;
	same &= EXPECT_EQ(x->cr2, y->cr2) != 0;
	same &= EXPECT_MEM(x->xsave, y->xsave, 6) != 0;
	same &= EXPECT_MEM(x->xsave + 24, y->xsave + 24, 4) != 0; /* MXCSR, not its mask */
	same &= EXPECT_MEM(x->xsave + 32, y->xsave + 32, 416 - 32) != 0;
	same &= EXPECT_MEM(x->xsave + 576, y->xsave + 576, 256) != 0;
	if (memcmp(guest_at(a, GUEST_DATA), guest_at(b, GUEST_DATA), DATA_SIZE))
		same = EXPECT_MEM(guest_at(a, GUEST_DATA), guest_at(b, GUEST_DATA), DATA_SIZE);
	same &= EXPECT_MEM(guest_at(a, 0x70000), guest_at(b, 0x70000), 0x11000) != 0;
	return same;
}

static void run(struct guest *guest, const struct vcpu_state *state, const uint8_t *code,
		unsigned size)
{
	struct vcpu *vcpu = guest->vm.vcpus[0];

	vcpu->state = *state;
	memcpy(guest_at(guest, GUEST_CODE), code, size);
	vm_written(&guest->vm, gpa(GUEST_CODE), size);
	engine_translate.reset(vcpu);
	engine_translate.run(vcpu, &guest->exit);
	EXPECT_EQ(guest->exit.kind, EXIT_HALT);
	mask_frame(guest);
}

static void show(const uint8_t *code, unsigned size)
{
	printf("code:");
	for (unsigned i = 0; i < size; i++)
		printf(" %02x", code[i]);
	printf("\n");
}

/* Interpreted, translated, and translated with windows. */
TEST(random_sequences_end_alike)
{
	static struct guest interpreted, translated, windowed;
	const char *given = getenv("SEED"), *count = getenv("SEQUENCES");
	unsigned sequences = count ? (unsigned)strtoul(count, NULL, 0) : SEQUENCES, whole = 0;

	guest_create(&interpreted, 1);
	guest_create(&translated, 1);
	guest_create(&windowed, 1);
	protect(&interpreted);
	protect(&translated);
	protect(&windowed);
	engine_windows(&windowed.vm, ENGINE_WINDOWS_ALL);
	engine_interpret_only(&interpreted.vm, true);
	seed = given ? strtoull(given, NULL, 0) : 0x1d8e4e27c47d124full;
	for (unsigned i = 0; i < sequences; i++) {
		uint8_t code[LENGTH * 17 + 1];
		unsigned size = make_code(code);
		struct vcpu_state state = translated.vm.vcpus[0]->state;
		uint64_t start = seed;

		make_state(&state);
		run(&interpreted, &state, code, size);
		run(&translated, &state, code, size);
		run(&windowed, &state, code, size);
		if (!alike(&interpreted, &translated) || !alike(&interpreted, &windowed)) {
			printf("sequence %u, after seed %#lx\n", i, start);
			show(code, size);
			test_stop();
		}
		whole += translated.vm.vcpus[0]->state.rip >= GUEST_CODE;
	}
	EXPECT(whole > sequences / 20);
	EXPECT(guest_cpu(&translated, 0)->count_blocks >= sequences);
	EXPECT(guest_cpu(&windowed, 0)->count_window_faults > sequences / 20);
	if (given)
		printf("%u of %u without a fault\n", whole, sequences);
}

/*
 * Functions of random instructions and jcc's among them, called so often by random code that they
 * are inlined: the loop has all registers anew each time, or those that it writes; the data and the
 * flags not.
 */
#define CALLEE	   0x110000u
#define CALLEES_IN 9u
#define CALLS	   1300u
#define COUNTER	   0x71000u
#define POINTER	   0x71008u
#define CALLERS	   250u
#define GUEST_HIGH 0x80000000u

static bool is_read_only(const struct insn *insn)
{
	return insn->op->handler == HANDLER_JCC || insn->op->handler == HANDLER_LEA ||
	       insn->op->handler == HANDLER_NOP ||
	       (insn->op->class == CLASS_COPY &&
		!(insn->memory && (insn_memory_access(insn) & ACCESS_WRITE)));
}

/* Any that is wanted; or mov of one register to another, or from memory, but not of or to rsp. */
static unsigned make_simple_insn(uint8_t *out)
{
	unsigned kind = random64() & 3, to = random64() & 15, from = random64() & 15;

	if (kind >= 2)
		return make_insn(out);
	if (to == RSP || (from & 7) == RSP)
		return make_simple_insn(out);
	out[0] = (uint8_t)(0x48 | to >> 3 << 2 | from >> 3);
	out[1] = 0x8b;
	out[2] = (uint8_t)((kind ? 0x40 : 0xc0) | (to & 7) << 3 | (from & 7));
	out[3] = (uint8_t)(random64() & 0x78);
	return kind ? 4 : 3;
}

/* Instructions up to a ret; each jcc leads to any of those behind it. Returns their size. */
static unsigned make_callee(struct guest *guest, uint32_t address)
{
	uint8_t *code = guest_at(guest, address);
	unsigned starts[CALLEES_IN + 1], count = 1 + random64() % CALLEES_IN, at = 0;
	struct insn insn;

	for (unsigned i = 0; i < count;) {
		uint8_t bytes[20];
		unsigned length = make_simple_insn(bytes);

		if (insn_decode(&insn, bytes, 15, CODE_64) != DECODE_OK || !is_read_only(&insn) ||
		    ((insn_registers(&insn).written | insn_registers(&insn).used) & 1u << RSP))
			continue;
		if (insn.op->handler == HANDLER_JCC && random64() & 1)
			continue;
		starts[i++] = at;
		memcpy(code + at, bytes, length);
		at += length;
	}
	starts[count] = at;
	code[at] = 0xc3;
	for (unsigned i = 0; i < count; i++) {
		uint8_t *jcc = code + starts[i];

		if ((*jcc & 0xf0) == 0x70)
			jcc[1] = (uint8_t)(starts[i + 1 + random64() % (count - i)] -
					   (starts[i] + 2));
	}
	return at;
}

static uint8_t *put32(uint8_t *code, uint32_t value)
{
	memcpy(code, &value, 4);
	return code + 4;
}

/* The registers that the instructions write, in [code, code + size). */
static unsigned registers_written(const uint8_t *code, unsigned size)
{
	unsigned written = 0;
	struct insn insn;

	for (unsigned at = 0; at < size; at += insn.length) {
		uint8_t bytes[16] = {0};

		memcpy(bytes, code + at, size - at < 15 ? size - at : 15);
		if (insn_decode(&insn, bytes, 15, CODE_64) != DECODE_OK)
			return 0xffff;
		written |= insn.op->class == CLASS_COPY	     ? insn_registers(&insn).written
			   : insn.op->handler == HANDLER_LEA ? 1u << insn.reg
			   : insn.op->class == CLASS_BRANCH || insn.op->handler == HANDLER_NOP
				   ? 0
				   : 0xffff;
	}
	return written;
}

static unsigned make_simple_insns(uint8_t *code, unsigned count)
{
	unsigned size = 0;

	while (count--)
		size += make_simple_insn(code + size);
	return size;
}

/* Pointers, to the same memory in two windows, and indices mostly. */
static uint8_t *make_loads(uint8_t *at, unsigned registers)
{
	for (unsigned i = 0; i < 16; i++) {
		uint64_t value = GUEST_DATA + 0x8000 + (random64() & 0x7fff0);

		if (i == RSP || !(registers >> i & 1))
			continue;
		if (random64() & 1)
			value += GUEST_HIGH;
		if (i == RCX || i == RDX)
			value = random64() & 7;
		*at++ = 0x48 | i >> 3;
		*at++ = (uint8_t)(0xb8 | (i & 7));
		memcpy(at, &value, 8);
		at += 8;
	}
	return at;
}

/* Some registers walk; what leaves the data faults, or finds what it may only read. */
static unsigned make_moves(uint8_t *code)
{
	static const int32_t distances[] = {8, -8, 64, -72, 0x180, -0x1000, 0x10000};
	uint8_t *at = code;

	for (unsigned i = random64() % 3; i > 0; i--) {
		unsigned reg = random64() & 15, choice = random64() % 3;
		int32_t distance = distances[random64() % (random64() & 3 ? 4 : 7)];

		if (reg == RSP || reg == RAX || reg == RCX)
			continue;
		*at++ = 0x48 | (reg >> 3) | (choice == 2 ? (reg >> 3) << 2 : 0);
		*at++ = choice == 2 ? 0x8d : 0x81; /* add, sub, lea */
		*at++ = (uint8_t)(choice == 2 ? 0x80 | (reg & 7) << 3 | (reg & 7)
					      : 0xc0 | choice * 5 << 3 | (reg & 7));
		if (choice == 2 && (reg & 7) == RSP)
			*at++ = 0x24;
		at = put32(at, (uint32_t)distance);
	}
	return (unsigned)(at - code);
}

/* What is written is loaded anew each time; what isn't may be loaded before the loop. Half of the
 * loops go round in two ways, one of which leads to their middle. */
static unsigned make_caller(uint8_t *code, const uint8_t *callee, unsigned callee_size,
			    uint32_t address)
{
	uint8_t before[64], behind[64], first[64], moves[32], *at = code, *loop, *middle, *end;
	unsigned before_size = make_simple_insns(before, random64() % 4);
	unsigned behind_size = make_simple_insns(behind, random64() % 3);
	unsigned first_size = make_simple_insns(first, random64() % 3);
	unsigned moves_size = make_moves(moves);
	bool two = random64() & 1;
	unsigned anew = 1u << RAX | registers_written(before, before_size) |
			registers_written(behind, behind_size) |
			registers_written(first, first_size) |
			registers_written(callee, callee_size);

	if (random64() & 1)
		anew = 0xffff;
	at = loop = make_loads(at, ~anew);
	at = make_loads(at, anew);
	memcpy(at, first, first_size);
	at += first_size;
	middle = at;
	memcpy(at, before, before_size);
	at += before_size;
	switch (random64() % 3) {
	case 0:
		*at++ = 0xe8;
		at = put32(at, address - (GUEST_CODE + (uint32_t)(at - code) + 4));
		break;
	case 1:
		*at++ = 0xb8; /* mov $address, %eax; call *%rax */
		at = put32(at, address);
		*at++ = 0xff;
		*at++ = 0xd0;
		break;
	default: /* call *POINTER */
		memcpy(at, (const uint8_t[]){0xff, 0x14, 0x25}, 3);
		at = put32(at + 3, POINTER);
		break;
	}
	memcpy(at, behind, behind_size);
	at += behind_size;
	memcpy(at, moves, moves_size);
	at += moves_size;
	memcpy(at, (const uint8_t[]){0xff, 0x0c, 0x25}, 3); /* decl COUNTER */
	at = put32(at + 3, COUNTER);
	end = at;
	if (two) { /* jz end; testb $2, COUNTER */
		at += 2;
		memcpy(at, (const uint8_t[]){0xf6, 0x04, 0x25}, 3);
		at = put32(at + 3, COUNTER);
		*at++ = 2;
	}
	*at++ = 0x0f; /* jnz loop */
	*at++ = 0x85;
	at = put32(at, 0u - ((uint32_t)(at - loop) + 4));
	if (two) {
		at += make_moves(at);
		*at++ = 0xe9; /* jmp middle */
		at = put32(at, 0u - ((uint32_t)(at - middle) + 4));
		end[0] = 0x74;
		end[1] = (uint8_t)(at - (end + 2));
	}
	*at++ = 0xf4;
	return (unsigned)(at - code);
}

static void map_high(struct guest *guest)
{
	uint64_t *table = guest_at(guest, GUEST_TABLES);

	table[512 + (GUEST_HIGH >> 30)] = table[512];
}

static void run_caller(struct guest *guest, const struct vcpu_state *state, const uint8_t *code,
		       unsigned size, uint32_t address)
{
	memcpy(guest_at(guest, COUNTER), &(uint32_t){CALLS}, 4);
	memcpy(guest_at(guest, POINTER), &(uint64_t){address}, 8);
	vm_written(&guest->vm, gpa(CALLEE), 4096);
	run(guest, state, code, size);
}

TEST(random_callees_end_alike)
{
	static struct guest interpreted, windowed;
	const char *given = getenv("SEED"), *count = getenv("SEQUENCES");
	unsigned callers = count ? (unsigned)strtoul(count, NULL, 0) : CALLERS, whole = 0;

	guest_create(&interpreted, 1);
	guest_create(&windowed, 1);
	protect(&interpreted);
	protect(&windowed);
	map_high(&interpreted);
	map_high(&windowed);
	engine_windows(&windowed.vm, ENGINE_WINDOWS_ALL);
	engine_interpret_only(&interpreted.vm, true);
	seed = given ? strtoull(given, NULL, 0) : 0x7c0fe1d54a9b3683ull;
	for (unsigned i = 0; i < callers; i++) {
		uint32_t address = CALLEE + random64() % 0xf00;
		struct vcpu_state state = windowed.vm.vcpus[0]->state;
		uint8_t code[512];
		uint64_t start = seed;
		unsigned size, callee_size = make_callee(&interpreted, address);

		memcpy(guest_at(&windowed, CALLEE), guest_at(&interpreted, CALLEE), 4096);
		size = make_caller(code, guest_at(&interpreted, address), callee_size, address);
		make_state(&state);
		run_caller(&interpreted, &state, code, size, address);
		guest_cpu(&windowed, 0)->code->callees_emptied = 0; /* at any time */
		run_caller(&windowed, &state, code, size, address);
		if (!alike(&interpreted, &windowed)) {
			printf("caller %u, after seed %#lx, of %#x\n", i, start, address);
			show(code, size);
			show(guest_at(&interpreted, address), 150);
			test_stop();
		}
		whole += windowed.vm.vcpus[0]->state.rip >= GUEST_CODE;
	}
	EXPECT(guest_cpu(&windowed, 0)->code->count_inlined > 50);
	EXPECT(guest_cpu(&windowed, 0)->code->count_fixed > 50);
	EXPECT(guest_cpu(&windowed, 0)->code->count_rounds > 20);
	if (given)
		printf("%u of %u without a fault, %lu inlined, %lu with constants, %lu loops\n",
		       whole, callers, guest_cpu(&windowed, 0)->code->count_inlined,
		       guest_cpu(&windowed, 0)->code->count_fixed,
		       guest_cpu(&windowed, 0)->code->count_rounds);
}
