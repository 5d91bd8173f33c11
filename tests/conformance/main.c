/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conformance [--seed N] [--count N] [--kind all|integer|sse|avx] [--engine
 * interpret|translate|windows|all] [--failures N]
 *
 * Each sequence runs natively, in the interpreter, in the translator and in the translator with all
 * memory operands through windows. Differences are shown with the shortest sequence that still has
 * them.
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "x86/insn.h"

static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
				      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

static const char *const way_names[WAY_COUNT] = {"interpret", "translate", "windows"};

static struct sequence sequence;
static struct machine_state native, guest;

/* #MF and #XM come as one signal natively. */
static uint32_t same_vector(uint32_t vector)
{
	return vector == 16 ? 19 : vector;
}

/* Status flags that count: where it stopped, those that are defined. */
static uint32_t flags_that_count(const struct sequence *s, const struct machine_state *state)
{
	uint32_t undefined = s->count ? s->undefined[s->count - 1] : 0;

	if (state->exception != 0xff)
		return 0; /* flags that the sequence kills further on may be gone at a fault
			     (docs/translate.md) */
	return FLAG_STATUS & ~undefined;
}

/* Vector state without what the interpreter hides: x87 instruction and data pointers. */
static void normalise(uint8_t *xsave)
{
	uint64_t in_use;

	memset(xsave + 6, 0, 18);
	memset(xsave + 28, 0, 4);
	memset(xsave + 416, 0, 96);
	memcpy(&in_use, xsave + 512, 8);
	if (!(in_use & 2))
		memset(xsave + 160, 0, 256);
	if (!(in_use & 4))
		memset(xsave + 576, 0, 256);
	memset(xsave + 512, 0, 64);
	memset(xsave + 832, 0, 192);
	for (unsigned i = 0; i < 8; i++)
		memset(xsave + 32 + i * 16 + 10, 0, 6);
}

static bool equal(const struct sequence *s, struct machine_state *a, struct machine_state *b)
{
	uint32_t mask = flags_that_count(s, a) | FLAG_DF;

	normalise(a->xsave);
	normalise(b->xsave);
	return memcmp(a->gpr, b->gpr, sizeof(a->gpr)) == 0 && a->rip == b->rip &&
	       same_vector(a->exception) == same_vector(b->exception) &&
	       (a->rflags & mask) == (b->rflags & mask) &&
	       memcmp(a->xsave, b->xsave, sizeof(a->xsave)) == 0 &&
	       memcmp(a->data, b->data, DATA_SIZE) == 0;
}

static bool differs(const struct sequence *s, enum way way)
{
	native_run(s, &native);
	guest_run(s, &guest, way);
	return !equal(s, &native, &guest);
}

static void show_difference(const struct sequence *s)
{
	uint32_t mask = flags_that_count(s, &native) | FLAG_DF;

	for (unsigned i = 0; i < s->count; i++) {
		struct insn insn;

		printf("    %06x ", CODE_ADDRESS + s->code_offset + s->offset[i]);
		for (unsigned j = 0; j < s->length[i]; j++)
			printf(" %02x", s->bytes[s->offset[i] + j]);
		if (insn_decode(&insn, s->bytes + s->offset[i], s->length[i], CODE_64) == DECODE_OK)
			printf("   %s", insn.op->name);
		printf("\n");
	}
	for (unsigned i = 0; i < 16; i++) {
		if (native.gpr[i] != guest.gpr[i])
			printf("    %s: native %016lx guest %016lx (began %016lx)\n", names[i],
			       native.gpr[i], guest.gpr[i], s->start.gpr[i]);
	}
	if (native.rip != guest.rip ||
	    same_vector(native.exception) != same_vector(guest.exception))
		printf("    rip: native %lx guest %lx; exception: native %u guest %u\n", native.rip,
		       guest.rip, native.exception, guest.exception);
	if ((native.rflags & mask) != (guest.rflags & mask))
		printf("    flags: native %03lx guest %03lx (began %03lx)\n", native.rflags & mask,
		       guest.rflags & mask, s->start.rflags);
	for (unsigned i = 0; i < sizeof(native.xsave); i++) {
		if (native.xsave[i] != guest.xsave[i]) {
			printf("    vector state: byte %u: native %02x guest %02x\n", i,
			       native.xsave[i], guest.xsave[i]);
			break;
		}
	}
	for (unsigned i = 0; i < DATA_SIZE; i++) {
		if (native.data[i] != guest.data[i]) {
			printf("    data: byte %x: native %02x guest %02x (began %02x)\n",
			       DATA_ADDRESS + i, native.data[i], guest.data[i], s->start.data[i]);
			break;
		}
	}
}

/* Leaves out what is not needed for the difference. A jump keeps its distance, so those sequences
 * stay whole. */
static void shorten(struct sequence *s, enum way way)
{
	for (unsigned i = 0; i < s->count; i++) {
		if ((s->bytes[s->offset[i]] & 0xf0) == 0x70 && s->length[i] == 2)
			return;
	}
	for (unsigned i = s->count; i-- > 0;) {
		struct sequence shorter = *s;

		sequence_drop(&shorter, i);
		if (shorter.count && differs(&shorter, way))
			*s = shorter;
	}
}

static bool check(uint64_t seed, enum way way)
{
	struct sequence shorter;

	if (!differs(&sequence, way))
		return true;
	printf("  seed %lu: %s differs from the processor\n", seed, way_names[way]);
	shorter = sequence;
	shorten(&shorter, way);
	differs(&shorter, way);
	show_difference(&shorter);
	return false;
}

static int usage(void)
{
	fprintf(stderr, "usage: conformance [--seed N] [--count N] [--kind all|integer|sse|avx] "
			"[--engine interpret|translate|windows|all] [--failures N]\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, count = 100000, passed = 0, failed = 0, failures_max = 10,
		 instructions = 0;
	const char *engine = "all";

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage();
		if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--count") == 0)
			count = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--failures") == 0)
			failures_max = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--engine") == 0)
			engine = argv[i + 1];
		else if (strcmp(argv[i], "--kind") != 0 || !generate_select(argv[i + 1]))
			return usage();
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (guest_create() || native_create()) {
		fprintf(stderr, "conformance: cannot set up (is address 0x%x free?)\n",
			CODE_ADDRESS);
		return 1;
	}
	for (uint64_t i = 0; i < count && failed < failures_max; i++) {
		bool good = true;

		sequence_generate(&sequence, seed + i);
		instructions += sequence.count;
		for (enum way way = 0; way < WAY_COUNT; way++)
			if (strcmp(engine, "all") == 0 || strcmp(engine, way_names[way]) == 0)
				good = check(seed + i, way) && good;
		good ? passed++ : failed++;
	}
	guest_destroy();
	printf("%lu sequences, %lu instructions, seed %lu, engine %s\n", passed + failed,
	       instructions, seed, engine);
	printf("%lu passed, %lu failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
