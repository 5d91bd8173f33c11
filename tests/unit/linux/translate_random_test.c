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
