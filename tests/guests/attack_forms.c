/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every form of a memory operand against every kind of page: instructions are made at random
 * (operation, base, index, scale, displacement, rip, segment base, address size), and some dozen of
 * them at a time are run again and again at addresses of the zoo (lib/model.h) and beyond, while
 * mappings, rights, address spaces and control bits change. Whatever the page tables don't allow is
 *the fault that they say, changes nothing, and tells nothing. `--append "SEED ROUNDS"` makes
 *others, and more. Source: Intel SDM volume 1, 3.3.7.1 and 3.7.5; volume 2, 2.1.5; volume
 *3, 4.6, 4.7, 4.10. lodge: --cpus 1 --cpu-model max
 */
#include "model.h"

#define ROUNDS 1200
#define RUNS   6   /* in each */
#define LIVE   24u /* snippets at a time */
#define NONE   16u
#define RIP    17u

enum { R = 1, W = 2, ALIGNED = 4, LOADS = 8 /* its low bytes, into rax */, VECTOR = 16, AVX = 32 };

struct op {
	const char *name;
	uint8_t prefix; /* 0, 0x66, 0xf2, 0xf3, 0xf0 */
	bool wide;	/* REX.W */
	uint8_t escape; /* 0, 0x0f; 0xc4: VEX, with 0x0f and wide as 256 bits */
	uint8_t opcode, reg;
	uint8_t size, flags;
	uint8_t immediate; /* bytes */
};

static const struct op ops[] = {
	{"mov load 1", 0, 0, 0, 0x8a, 0, 1, R | LOADS, 0},
	{"mov load 2", 0x66, 0, 0, 0x8b, 0, 2, R | LOADS, 0},
	{"mov load 4", 0, 0, 0, 0x8b, 0, 4, R | LOADS, 0},
	{"mov load 8", 0, 1, 0, 0x8b, 0, 8, R | LOADS, 0},
	{"movzx", 0, 1, 0x0f, 0xb6, 0, 1, R | LOADS, 0},
	{"movsxd", 0, 1, 0, 0x63, 0, 4, R | LOADS, 0},
	{"mov ah", 0, 0, 0, 0x8a, 4, 1, R, 0},
	{"mov store 1", 0, 0, 0, 0x88, 0, 1, W, 0},
	{"mov store 2", 0x66, 0, 0, 0x89, 0, 2, W, 0},
	{"mov store 4", 0, 0, 0, 0x89, 0, 4, W, 0},
	{"mov store 8", 0, 1, 0, 0x89, 0, 8, W, 0},
	{"mov immediate", 0, 1, 0, 0xc7, 0, 8, W, 4},
	{"add to memory", 0, 1, 0, 0x01, 0, 8, R | W, 0},
	{"add from memory", 0, 1, 0, 0x03, 0, 8, R, 0},
	{"cmp", 0, 0, 0, 0x39, 0, 4, R, 0},
	{"lock add", 0xf0, 1, 0, 0x01, 0, 8, R | W, 0},
	{"lock inc byte", 0xf0, 0, 0, 0xfe, 0, 1, R | W, 0},
	{"xchg", 0, 1, 0, 0x87, 0, 8, R | W, 0},
	{"lock xadd", 0xf0, 1, 0x0f, 0xc1, 0, 8, R | W, 0},
	{"lock cmpxchg", 0xf0, 1, 0x0f, 0xb1, 2, 8, R | W, 0},
	{"lock cmpxchg8b", 0xf0, 0, 0x0f, 0xc7, 1, 8, R | W, 0},
	{"lock cmpxchg16b", 0xf0, 1, 0x0f, 0xc7, 1, 16, R | W | ALIGNED, 0},
	{"shl", 0, 1, 0, 0xd1, 4, 8, R | W, 0},
	{"neg byte", 0, 0, 0, 0xf6, 3, 1, R | W, 0},
	{"bts immediate", 0, 1, 0x0f, 0xba, 5, 8, R | W, 1},
	{"setcc", 0, 0, 0x0f, 0x94, 0, 1, W, 0},
	{"popcnt", 0xf3, 1, 0x0f, 0xb8, 0, 8, R, 0},
	{"movnti", 0, 1, 0x0f, 0xc3, 0, 8, W, 0},
	{"mov from segment", 0, 0, 0, 0x8c, 3, 2, W, 0},
	{"fld m64", 0, 0, 0, 0xdd, 0, 8, R, 0},
	{"fld m80", 0, 0, 0, 0xdb, 5, 10, R, 0},
	{"fst m64", 0, 0, 0, 0xdd, 2, 8, W, 0},
	{"fnstcw", 0, 0, 0, 0xd9, 7, 2, W, 0},
	{"fnstenv", 0, 0, 0, 0xd9, 6, 28, W, 0},
	{"movups load", 0, 0, 0x0f, 0x10, 0, 16, R | VECTOR | LOADS, 0},
	{"movaps load", 0, 0, 0x0f, 0x28, 0, 16, R | VECTOR | LOADS | ALIGNED, 0},
	{"movdqu load", 0xf3, 0, 0x0f, 0x6f, 0, 16, R | VECTOR | LOADS, 0},
	{"movsd load", 0xf2, 0, 0x0f, 0x10, 0, 8, R | VECTOR | LOADS, 0},
	{"movups store", 0, 0, 0x0f, 0x11, 0, 16, W, 0},
	{"movaps store", 0, 0, 0x0f, 0x29, 0, 16, W | ALIGNED, 0},
	{"movntps", 0, 0, 0x0f, 0x2b, 0, 16, W | ALIGNED, 0},
	{"movq store", 0x66, 0, 0x0f, 0xd6, 0, 8, W, 0},
	{"movq mmx load", 0, 0, 0x0f, 0x6f, 0, 8, R, 0},
	{"movq mmx store", 0, 0, 0x0f, 0x7f, 0, 8, W, 0},
	{"pxor", 0x66, 0, 0x0f, 0xef, 0, 16, R | ALIGNED, 0},
	{"ldmxcsr's pair", 0, 0, 0x0f, 0xae, 3, 4, W, 0},
	{"vmovups load", 0, 1, 0xc4, 0x10, 0, 32, R | VECTOR | LOADS | AVX, 0},
	{"vmovups store", 0, 1, 0xc4, 0x11, 0, 32, W | AVX, 0},
	{"vmovaps store", 0, 1, 0xc4, 0x29, 0, 32, W | AVX | ALIGNED, 0},
};

struct form {
	unsigned int base, index; /* registers, NONE, RIP */
	unsigned int scale;	  /* as a shift */
	unsigned int displacement_size;
	int32_t displacement;
	unsigned int segment; /* 0, 0x64, 0x65 */
	bool short_address;
};

struct snippet {
	const struct op *op;
	struct form form;
	uint8_t *code, *end; /* of op; a ud2 is not far behind */
};

/* A page for each, for an engine may learn how a page's code is best run. */
static uint8_t code[2048][4096] __attribute__((aligned(4096)));
static struct snippet live[LIVE];
static struct trap s;

/* Making code */

static struct form random_form(void)
{
	static const unsigned int segments[] = {0, 0, 0, 0x64, 0x65};
	struct form form = {.base = NONE, .index = NONE};
	unsigned int kind = (unsigned int)random_below(16);

	form.segment = segments[random_below(5)];
	form.short_address = !random_below(5);
	form.displacement = (int32_t)model_random();
	if (kind == 0) {
		form.base = RIP;
		return form;
	}
	if (kind > 2) /* not rax, which has its part in operations */
		form.base = 1 + (unsigned int)random_below(15);
	if (random_below(2) && kind > 1) {
		do
			form.index = 1 + (unsigned int)random_below(15);
		while (form.index == 4 || form.index == form.base);
		form.scale = (unsigned int)random_below(4);
	}
	if (form.base != NONE) {
		form.displacement_size = random_below(3) ? (unsigned int)random_below(2) : 4;
		if ((form.base & 7) == 5 && !form.displacement_size)
			form.displacement_size = 1;
	}
	if (form.displacement_size == 1)
		form.displacement = (int8_t)form.displacement;
	else if (form.base != NONE && !form.displacement_size)
		form.displacement = 0;
	return form;
}

/* The ModRM byte and what belongs to it. */
static uint8_t *put_modrm(uint8_t *at, const struct form *form, unsigned int reg)
{
	unsigned int mod = form->displacement_size == 1 ? 1 : form->displacement_size ? 2 : 0;

	reg = (reg & 7) << 3;
	if (form->base == RIP) {
		*at++ = (uint8_t)(reg | 5);
	} else if (form->base == NONE || form->index != NONE || (form->base & 7) == 4) {
		*at++ = (uint8_t)(mod << 6 | reg | 4);
		*at++ = (uint8_t)(form->scale << 6 |
				  (form->index == NONE ? 4 : form->index & 7) << 3 |
				  (form->base == NONE ? 5 : form->base & 7));
	} else {
		*at++ = (uint8_t)(mod << 6 | reg | (form->base & 7));
	}
	if (form->displacement_size == 1)
		*at++ = (uint8_t)form->displacement;
	else if (form->displacement_size || form->base > 15)
		*(int32_t *)at = form->displacement, at += 4;
	return at;
}

static uint8_t *put_opcode(uint8_t *at, const struct op *op, const struct form *form)
{
	unsigned int b = form->base < 16 && form->base & 8 ? 1 : 0;
	unsigned int x = form->index < 16 && form->index & 8 ? 2 : 0;

	if (op->escape == 0xc4) {
		*at++ = 0xc4;
		*at++ = (uint8_t)(0x81 | (x ? 0 : 0x40) | (b ? 0 : 0x20));
		*at++ = (uint8_t)(0x78 | op->wide << 2);
	} else {
		if (op->wide || b || x)
			*at++ = (uint8_t)(0x40 | op->wide << 3 | x | b);
		if (op->escape)
			*at++ = op->escape;
	}
	*at++ = op->opcode;
	return at;
}

static uint8_t *put_op(uint8_t *at, const struct op *op, const struct form *form)
{
	if (form->segment)
		*at++ = (uint8_t)form->segment;
	if (form->short_address)
		*at++ = 0x67;
	if (op->prefix)
		*at++ = op->prefix;
	at = put_opcode(at, op, form);
	at = put_modrm(at, form, op->reg);
	for (unsigned int i = 0; i < op->immediate; i++)
		*at++ = 0x33;
	return at;
}

/* op; movq %xmm0, %rax for vectors that are loaded; ud2. */
static void make(struct snippet *snippet)
{
	static const uint8_t to_rax[] = {0x66, 0x48, 0x0f, 0x7e, 0xc0};
	uint8_t *at = put_op(snippet->code, snippet->op, &snippet->form);

	snippet->end = at;
	for (unsigned int i = 0; (snippet->op->flags & VECTOR) && i < sizeof(to_rax); i++)
		*at++ = to_rax[i];
	*at++ = 0x0f, *at++ = 0x0b;
}

/* Has its address in the code: rip-relative and plain. */
static bool is_fixed(const struct form *form)
{
	return form->base > 15 && form->index == NONE;
}

static uint64_t next_ip(const struct snippet *snippet, bool user)
{
	return (uintptr_t)snippet->end + (user ? USER_BASE : 0);
}

/* A new one. */
static void replace(struct snippet *snippet, uint8_t *at, bool avx)
{
	struct form *form = &snippet->form;

	do
		snippet->op = &ops[random_below(sizeof(ops) / sizeof(ops[0]))];
	while ((snippet->op->flags & AVX) && !avx);
	snippet->code = at;
	*form = random_form();
	make(snippet);
	if (is_fixed(form)) {
		form->displacement = (int32_t)spaces_target(snippet->op->size);
		if (form->base == RIP)
			form->displacement -= (int32_t)next_ip(snippet, true);
		make(snippet);
	}
}

/* Placing it */

static void set_segment_base(const struct form *form, uint64_t base)
{
	msr_write(form->segment == 0x64 ? 0xc0000100 : 0xc0000101, base);
}

/* The address is what it is; only a segment base can change it. */
static bool place_fixed(const struct snippet *snippet, uint64_t *linear, bool user)
{
	const struct form *form = &snippet->form;
	uint64_t offset = (uint64_t)(int64_t)form->displacement;

	if (form->base == RIP)
		offset += next_ip(snippet, user);
	if (form->short_address)
		offset = (uint32_t)offset;
	if (!form->segment)
		*linear = offset;
	else if (!model_canonical(*linear - offset))
		return false;
	else
		set_segment_base(form, *linear - offset);
	return true;
}

/* For the upper half of a register of which only the lower one counts: canonical or not. */
static uint64_t garbage(void)
{
	return (random_below(2) ? model_random() : random_below(0x8000)) << 32;
}

/* Index times scale is rest; what the scale shifts out may be anything. */
static bool place_index(const struct form *form, uint64_t rest)
{
	uint64_t *index = trap_register(&s, form->index);

	if (rest & ((1u << form->scale) - 1))
		return false;
	if (form->short_address)
		*index = ((uint32_t)rest >> form->scale) | garbage();
	else if (form->scale)
		*index = rest >> form->scale | model_random() << (64 - form->scale);
	else
		*index = rest;
	return true;
}

/* Registers and segment base, so that the operand is at linear. False: this form can't. */
static bool place(const struct snippet *snippet, uint64_t *linear, bool user)
{
	const struct form *form = &snippet->form;
	uint64_t base = 0, rest;

	if (is_fixed(form))
		return place_fixed(snippet, linear, user);
	if (form->segment) {
		base = form->short_address ? *linear - (uint32_t)model_random()
					   : (uint64_t)((int64_t)model_random() >> 16);
		if (!random_below(4))
			base = 0;
		if (!model_canonical(base))
			return false;
		set_segment_base(form, base);
	}
	rest = *linear - base;
	if (form->short_address && rest >> 32)
		return false;
	rest -= (uint64_t)(int64_t)form->displacement;
	if (form->base > 15)
		return place_index(form, rest);
	if (form->index != NONE)
		rest -= *trap_register(&s, form->index) << form->scale;
	if (form->short_address)
		rest = (uint32_t)rest | garbage();
	*trap_register(&s, form->base) = rest;
	return true;
}

/* Running it */

static struct outcomes expected(const struct op *op, const struct form *form, uint64_t linear,
				struct viewer viewer)
{
	bool stack = (form->base == 4 || form->base == 5) && !form->segment;
	struct outcomes outcomes =
		model_access(linear, op->size, viewer, op->flags & W ? WRITE : READ, stack);
	bool aligned = linear % op->size == 0;

	if (!(op->flags & ALIGNED) || aligned)
		return outcomes;
	if (model_done(&outcomes))
		outcomes.count = 0;
	if (outcomes.count < 2)
		outcomes.one[outcomes.count++] = (struct outcome){13, 0, 0};
	return outcomes;
}

static void expect_registers(const struct trap *before, const struct op *op, bool done)
{
	/* rax: loaded; rdx: cmpxchg16b's other half; spl, which is ah without a REX prefix. */
	for (unsigned int i = done ? 1 : 0; i < 16; i++)
		if (!(done && i == 2 && op->opcode == 0xc7) && !(done && i == 4 && op->reg == 4))
			EXPECT_EQ(*trap_register(&s, i), *trap_register((struct trap *)before, i));
}

static void expect_loaded(const struct op *op, uint64_t linear)
{
	unsigned int size = op->size < 8 ? op->size : 8;
	uint64_t mask = size < 8 ? (1ull << size * 8) - 1 : ~0ull;

	EXPECT_EQ(s.ax & mask, zoo_load(linear, size));
}

/* What was to be written was; the zoo is as it was again. */
static void accept_store(const struct op *op, uint64_t linear)
{
	for (unsigned int i = 0; i < op->size; i++) {
		uint8_t *wanted = zoo_at(linear + i);

		zoo[0][wanted - zoo_wanted[0]] = *wanted;
	}
}

static void expect_marked(uint64_t linear, bool write)
{
	uint64_t wanted = P_ACCESSED | (write ? P_DIRTY : 0);

	EXPECT_EQ(*page_entry(0, linear, 0) & wanted, wanted);
}

static uint64_t done_count, fault_count;

static void run(struct snippet *snippet, uint64_t linear, struct viewer viewer)
{
	const struct op *op = snippet->op;
	const struct form *form = &snippet->form;
	struct outcomes outcomes;
	struct trap before;

	state_init(&s, snippet->code, viewer.user);
	for (unsigned int i = 0; i < 16; i++)
		*trap_register(&s, i) = model_random();
	if (viewer.ac)
		s.flags |= 1 << 18;
	if (!place(snippet, &linear, viewer.user))
		return;
	outcomes = expected(op, form, linear, viewer);
	if (model_done(&outcomes) && !zoo_has(linear, op->size))
		return;
	if (linear + op->size < linear) /* around the end of all */
		return;
	before = s;
	state_run(&s);
	if (!outcome_check(&s, &outcomes, op->name)) {
		if (expect_told())
			print_format("  at 0x%lx, %s, base %u index %u segment 0x%x short %u\n",
				     linear, viewer.user ? "user" : "kernel", form->base,
				     form->index, form->segment, form->short_address);
		zoo_fill();
		return;
	}
	expect_registers(&before, op, model_done(&outcomes));
	if (model_done(&outcomes)) {
		done_count++;
		if (op->flags & LOADS)
			expect_loaded(op, linear);
		expect_marked(linear, op->flags & W);
		if (op->flags & W)
			accept_store(op, linear);
	} else {
		fault_count++;
		EXPECT_EQ(s.ip, before.ip);
	}
}

static bool avx_enable(void)
{
	uint32_t xcr0;

	if (!(cpuid(1, 0).c & 1 << 28) || !(cpuid(1, 0).c & 1 << 26))
		return false;
	cr4_write(cr4_read() | 1 << 18);
	asm volatile("xsetbv" ::"c"(0), "a"(7), "d"(0));
	out8(0x80, 0); /* a device: XCR0 is the guest's behind it as well */
	asm volatile("xgetbv" : "=a"(xcr0) : "c"(0) : "edx");
	EXPECT_EQ(xcr0, 7); /* not on kvm: the rig's processor, QEMU's, does not intercept xsetbv */
	return xcr0 == 7;
}

/* Several times at one place, with changes between. */
static void attack(struct snippet *snippet)
{
	uint64_t linear = spaces_target(snippet->op->size);

	for (unsigned int i = 0; i < RUNS; i++) {
		struct viewer viewer = {.user = random_below(4) > 0, .ac = !random_below(2)};

		run(snippet, linear, viewer);
		if (random_below(2))
			spaces_change();
		else if (!random_below(4))
			linear = spaces_target(snippet->op->size);
	}
}

void test_main(void)
{
	bool avx = avx_enable();
	uint64_t rounds = model_options(ROUNDS);

	system_init();
	asm volatile("fninit");
	asm volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
	spaces_make();
	for (uint64_t i = 0; i < rounds; i++) {
		struct snippet *snippet = &live[random_below(LIVE)];

		if (!snippet->op || !random_below(4))
			replace(snippet, &code[i % 2048][random_below(63) * 64], avx);
		attack(snippet);
		if (i % 64 == 0)
			zoo_check("forms");
	}
	zoo_check("forms");
	spaces_leave();
	/* Both must have happened often, or the test tests nothing. */
	EXPECT(done_count > rounds);
	EXPECT(fault_count > rounds);
	print_format("%lu done, %lu faults\n", done_count, fault_count);
}
