/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses that no ModRM byte says: stacks, strings with huge counts either way, tables of bytes
 * and bits, masks and gathers, areas of vector state; then jumps of all kinds to where nothing may
 * be executed, and instructions that are the kernel's. Judged by the model of lib/model.h. Source:
 * Intel SDM volume 2, each instruction; volume 3, 4.6.
 *	lodge: --cpus 1 --cpu-model max
 */
#include "model.h"

#define ROUNDS 600

static struct trap s;
static uint64_t table[64] __attribute__((aligned(4096))); /* what the attacker has for data */
static uint64_t done_count, fault_count;
static bool avx2, as_user, preparing;

/* The attacker's own data, as it sees them. */
static uint64_t mine(uint64_t physical)
{
	return physical + (as_user ? USER_BASE : 0);
}

/* The parts of an instruction's access, in its order. */
struct part {
	uint64_t linear;
	uint16_t size;
	uint8_t access;
	bool stack;
};

/*
 * One kind of instruction. part yields the n-th part of its access; false: there are no more. When
 * preparing, it also sets registers so that the first one is at linear.
 */
struct kind {
	const char *name;
	const uint8_t *code;
	bool (*part)(uint64_t linear, uint64_t n, struct part *part);
	int8_t moves; /* rsp, by each part that is done */
	uint8_t string, alignment;
	bool ends; /* tried only where it faults: it would lead elsewhere */
	bool avx2;
};

static void use(uint64_t linear, unsigned int number, int64_t offset)
{
	*trap_register(&s, number) = linear + (uint64_t)offset;
}

#define PART(name, parts, registers, ...)                                                          \
	static bool name(uint64_t linear, uint64_t n, struct part *part)                           \
	{                                                                                          \
		if (preparing) {                                                                   \
			registers;                                                                 \
		}                                                                                  \
		if (n >= (parts))                                                                  \
			return false;                                                              \
		*part = (struct part){__VA_ARGS__};                                                \
		return true;                                                                       \
	}

PART(push_parts, 1, use(linear, 4, 8), linear, 8, WRITE, true)
PART(push_many, 6, use(linear, 4, 48), linear + 40 - n * 8, 8, WRITE, true)
PART(pop_parts, 1, use(linear, 4, 0), linear, 8, READ, true)
PART(pop_many, 6, use(linear, 4, 0), linear + n * 8, 8, READ, true)
PART(pop_two_bytes, 1, use(linear, 4, 0), linear, 2, READ, true)
PART(leave_parts, 1, use(linear, 5, 0), linear, 8, READ, true)
PART(xlat_parts, 1, (s.ax = model_random(), use(linear, 3, -(int64_t)(uint8_t)s.ax)), linear, 1,
     READ, false)
PART(bit_parts, 1, (s.ax = model_random(), use(linear, 3, -((int64_t)s.ax >> 6) * 8)), linear, 8,
     WRITE, false)
PART(area_512, 1, use(linear, 3, 0), linear, 416, WRITE, false)
PART(area_832, 1, (use(linear, 3, 0), s.ax = 7, s.dx = 0), linear, 576 + (avx2 ? 256 : 0), WRITE,
     false)
/* push and call of memory: read it, then the stack, which is good; the other way round. */
PART(from_memory, 1, use(linear, 3, 0), linear, 8, READ, false)
PART(pop_memory, 1, use(linear, 3, 0), linear, 8, WRITE, false)
PART(read_two, 2, use(linear, 4, 0), linear + n * 8, 8, READ, true)

/* Strings: how many elements, what an element is, and which way. */
static uint64_t count;
static int64_t step;
static unsigned int step_size(void)
{
	return (unsigned int)(step < 0 ? -step : step);
}

/* The middle of 16 MiB that nobody uses: the other end of movs and cmps. */
#define PLENTY mine(0x2800000)

PART(store_string, count, use(linear, 7, 0), linear + n * (uint64_t)step, (uint16_t)step_size(),
     WRITE, false)
PART(load_string, count, use(linear, 6, 0), linear + n * (uint64_t)step, (uint16_t)step_size(),
     READ, false)
PART(scan_string, count, use(linear, 7, 0), linear + n * (uint64_t)step, (uint16_t)step_size(),
     READ, false)
PART(to_string, count, (use(linear, 7, 0), s.si = PLENTY), linear + n * (uint64_t)step,
     (uint16_t)step_size(), WRITE, false)
PART(from_string, count, (use(linear, 6, 0), s.di = PLENTY), linear + n * (uint64_t)step,
     (uint16_t)step_size(), READ, false)

/* Vectors: table[0..3] are masks, table[4..7] indices, by which elements are 8 or 4 bytes. */
static void set_masks(void)
{
	for (unsigned int i = 0; i < 4; i++)
		table[i] = model_random() & (random_below(2) ? ~0ull : 0x7fffffff7fffffff);
	s.r8 = mine((uintptr_t)table);
}

/* The n-th element whose mask is set; their number if there are no more. */
static unsigned int masked(uint64_t n, unsigned int elements)
{
	const uint8_t *bytes = (const uint8_t *)table;
	unsigned int size = 32 / elements, i;

	for (i = 0; i < elements; i++)
		if ((bytes[i * size + size - 1] & 0x80) && !n--)
			break;
	return i;
}

PART(mask_load, masked(n, 8) < 8 ? n + 1 : 0, (set_masks(), use(linear, 3, 0)),
     linear + masked(n, 8) * 4, 4, READ, false)
PART(mask_store, masked(n, 4) < 4 ? n + 1 : 0, (set_masks(), use(linear, 3, 0)),
     linear + masked(n, 4) * 8, 8, WRITE, false)

static void set_indices(uint64_t linear)
{
	set_masks();
	s.bx = model_random();
	for (unsigned int i = 0; i < 4; i++)
		table[4 + i] = linear + (random_below(2) ? random_below(64) : 0) - s.bx;
}
PART(gather, masked(n, 4) < 4 ? n + 1 : 0, set_indices(linear), s.bx + table[4 + masked(n, 4)], 8,
     READ, false)

CODE(push_1, "push %rax; ud2");
CODE(push_6, "push %rax; push %rcx; push %r13; push %rdi; push %rbp; push %r15; ud2");
CODE(push_immediate, "push $0x1234567; ud2");
CODE(push_flags, "pushfq; ud2");
CODE(push_segment, "push %fs; ud2");
CODE(pop_1, "pop %rax; ud2");
CODE(pop_6, "pop %rax; pop %rcx; pop %r13; pop %rdi; pop %rbp; pop %r15; ud2");
CODE(pop_word, "pop %ax; ud2");
CODE(pop_flags, "popfq; ud2");
CODE(call_next, "call 1f; 1: ud2");
CODE(call_register, "call *%r9; ud2");
CODE(ret_near, "ret; ud2");
CODE(ret_far, "lretq; ud2");
CODE(enter_0, "enter $0, $0; ud2");
CODE(leave_, "leave; ud2");
CODE(xlat, "xlatb; ud2");
CODE(bts, "lock btsq %rax, (%rbx); ud2");
CODE(btc, "btcq %rax, (%rbx); ud2");
CODE(fxsave, "fxsave64 (%rbx); ud2");
CODE(xsave, "xsave64 (%rbx); ud2");
CODE(push_memory, "pushq (%rbx); ud2");
CODE(pop_to_memory, "popq (%rbx); ud2");
CODE(call_memory, "call *(%rbx); ud2");
CODE(jump_memory, "jmp *(%rbx); ud2");
CODE(stos_1, "rep stosb; ud2");
CODE(stos_8, "rep stosq; ud2");
CODE(lods_8, "rep lodsq; ud2");
CODE(scas_4, "repne scasl; ud2");
CODE(movs_to_1, "rep movsb; ud2");
CODE(movs_to_8, "rep movsq; ud2");
CODE(movs_from_2, "rep movsw; ud2");
CODE(cmps_4, "repe cmpsl; ud2");
CODE(vmaskmov_load, "vmovdqu (%r8), %ymm1; vmaskmovps (%rbx), %ymm1, %ymm0; ud2");
CODE(vmaskmov_store, "vmovdqu (%r8), %ymm1; vpmaskmovq %ymm0, %ymm1, (%rbx); ud2");
CODE(vgather, "vmovdqu (%r8), %ymm1; vmovdqu 32(%r8), %ymm2;"
	      "vpgatherqq %ymm1, (%rbx,%ymm2), %ymm0; ud2");

static const struct kind kinds[] = {
	{"push", push_1, push_parts, -8, 0, 0, false, false},
	{"push 6", push_6, push_many, -8, 0, 0, false, false},
	{"push immediate", push_immediate, push_parts, -8, 0, 0, false, false},
	{"pushf", push_flags, push_parts, -8, 0, 0, false, false},
	{"push segment", push_segment, push_parts, -8, 0, 0, false, false},
	{"pop", pop_1, pop_parts, 8, 0, 0, false, false},
	{"pop 6", pop_6, pop_many, 8, 0, 0, false, false},
	{"pop word", pop_word, pop_two_bytes, 2, 0, 0, false, false},
	{"popf", pop_flags, pop_parts, 0, 0, 0, true, false},
	{"call", call_next, push_parts, -8, 0, 0, false, false},
	{"call register", call_register, push_parts, 0, 0, 0, true, false},
	{"ret", ret_near, pop_parts, 0, 0, 0, true, false},
	{"far ret", ret_far, read_two, 0, 0, 0, true, false},
	{"enter", enter_0, push_parts, 0, 0, 0, true, false},
	{"leave", leave_, leave_parts, 0, 0, 0, false, false},
	{"xlat", xlat, xlat_parts, 0, 0, 0, false, false},
	{"bts", bts, bit_parts, 0, 0, 0, false, false},
	{"btc", btc, bit_parts, 0, 0, 0, false, false},
	{"fxsave", fxsave, area_512, 0, 0, 16, false, false},
	{"xsave", xsave, area_832, 0, 0, 64, false, true},
	{"push memory", push_memory, from_memory, 0, 0, 0, false, false},
	{"pop to memory", pop_to_memory, pop_memory, 0, 0, 0, false, false},
	{"call memory", call_memory, from_memory, 0, 0, 0, true, false},
	{"jump memory", jump_memory, from_memory, 0, 0, 0, true, false},
	{"stosb", stos_1, store_string, 0, 1, 0, false, false},
	{"stosq", stos_8, store_string, 0, 8, 0, false, false},
	{"lodsq", lods_8, load_string, 0, 8, 0, false, false},
	{"scasd", scas_4, scan_string, 0, 4, 0, true, false},
	{"movsb to", movs_to_1, to_string, 0, 1, 0, false, false},
	{"movsq to", movs_to_8, to_string, 0, 8, 0, false, false},
	{"movsw from", movs_from_2, from_string, 0, 2, 0, false, false},
	{"cmpsd", cmps_4, from_string, 0, 4, 0, true, false},
	{"vmaskmovps", vmaskmov_load, mask_load, 0, 0, 0, false, true},
	{"vpmaskmovq", vmaskmov_store, mask_store, 0, 0, 0, false, true},
	{"vpgatherqq", vgather, gather, 0, 0, 0, false, true},
};

/* Running it */

struct course {
	uint64_t done; /* parts */
	struct outcomes end;
	bool known; /* nothing but the zoo is touched */
};

static bool same_page(const struct part *a, const struct part *b)
{
	return a->linear >> 12 == b->linear >> 12 && a->access == b->access && !a->stack;
}

static bool crosses(const struct part *part)
{
	return (part->linear & 4095) + part->size > 4096;
}

/* What the model says, part by part. What is like the part before needs no walk. */
static struct course foresee(const struct kind *kind, uint64_t linear, struct viewer viewer)
{
	struct course course = {.known = true, .end = {.count = 1}};
	struct part part, good = {.linear = 1};

	for (; kind->part(linear, course.done, &part); course.done++) {
		if (good.linear != 1 && same_page(&part, &good) && !crosses(&part))
			continue;
		course.end = model_access(part.linear, part.size, viewer, part.access, part.stack);
		if (!model_done(&course.end))
			return course;
		course.known &=
			zoo_has(part.linear, part.size) && part.linear + part.size > part.linear;
		if (!course.known)
			return course;
		good = part;
		if (crosses(&part))
			good.linear = 1;
	}
	return course;
}

/* The bytes are right as they are. */
static void accept(uint64_t linear, unsigned int size)
{
	while (size) {
		unsigned int here = 4096 - (linear & 4095);
		uint8_t *wanted = zoo_at(linear);

		here = here < size ? here : size;
		memcpy(wanted, zoo[0] + (wanted - zoo_wanted[0]), here);
		linear += here, size -= here;
	}
}

/* What has been written: of strings, whole pages. */
static void accept_parts(const struct kind *kind, uint64_t linear, uint64_t done)
{
	uint64_t page = 1;
	struct part part;

	for (uint64_t n = 0; n < done && kind->part(linear, n, &part); n++) {
		if (!(part.access & WRITE))
			continue;
		if (!kind->string) {
			accept(part.linear, part.size);
			continue;
		}
		if (part.linear >> 12 != page)
			accept(part.linear & ~0xfffull, 4096);
		if (crosses(&part))
			accept((part.linear | 0xfff) + 1, 4096);
		page = part.linear >> 12;
	}
}

static void expect_moved(const struct kind *kind, const struct trap *before, uint64_t done)
{
	bool to = kind->part == store_string || kind->part == to_string;

	if (kind->moves || s.vector != 6)
		EXPECT_EQ(s.sp, before->sp + done * (uint64_t)kind->moves);
	if (!kind->string)
		return;
	EXPECT_EQ(s.cx, before->cx - done);
	if (to)
		EXPECT_EQ(s.di, before->di + done * (uint64_t)step);
	else if (!kind->ends)
		EXPECT_EQ(s.si, before->si + done * (uint64_t)step);
}

/* Registers as for the first part, and all else that the instruction wants. */
static void prepare(const struct kind *kind, uint64_t linear, struct viewer viewer)
{
	struct part part;
	uint64_t sp;

	as_user = viewer.user;
	state_init(&s, kind->code, viewer.user);
	sp = s.sp - 256;
	for (unsigned int i = 0; i < 16; i++)
		*trap_register(&s, i) = model_random();
	s.sp = sp;
	s.r9 = s.ip; /* where call *%r9 goes: never */
	if (viewer.ac)
		s.flags |= 1 << 18;
	step = kind->string;
	count = random_below(4) ? 1 + random_below(700) : model_random() | 1ull << 40;
	if (random_below(2) && kind->string)
		s.flags |= 1 << 10, step = -step;
	if (kind->string)
		s.cx = count;
	preparing = true;
	kind->part(linear, 0, &part);
	preparing = false;
}

static void attack(const struct kind *kind, uint64_t linear, struct viewer viewer)
{
	struct course course;
	struct trap before;

	if (kind->alignment)
		linear &= ~(uint64_t)(kind->alignment - 1);
	/* Whether bytes that fxsave leaves alone can fault is the processor's business. */
	if (kind->alignment == 16 && (linear & 4095) > 4096 - 512)
		return;
	prepare(kind, linear, viewer);
	course = foresee(kind, linear, viewer);
	if (!course.known || (kind->ends && (model_done(&course.end) || course.done)))
		return;
	before = s;
	state_run(&s);
	if (!outcome_check(&s, &course.end, kind->name)) {
		if (expect_told())
			print_format("  at 0x%lx by %s, part %lu\n", linear,
				     viewer.user ? "user" : "kernel", course.done);
		zoo_fill();
		return;
	}
	if (model_done(&course.end))
		done_count++;
	else
		fault_count++, EXPECT(kind->moves || s.ip - before.ip < 16);
	expect_moved(kind, &before, course.done);
	accept_parts(kind, linear, course.done);
}

static void test_parts(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		const struct kind *kind = &kinds[random_below(sizeof(kinds) / sizeof(kinds[0]))];
		uint64_t linear = spaces_target(16);

		if (kind->avx2 && !avx2)
			continue;
		for (unsigned int run = 0; run < 4; run++) {
			attack(kind, linear,
			       (struct viewer){random_below(4) > 0, !random_below(2)});
			if (random_below(2))
				spaces_change();
		}
		if (i % 64 == 0)
			zoo_check("parts");
	}
	zoo_check("parts");
	EXPECT(done_count > rounds / 2);
	EXPECT(fault_count > rounds / 2);
	print_format("parts: %lu done, %lu faults\n", done_count, fault_count);
}

/* Jumps */

CODE(by_jump, "jmp *%rbx");
CODE(by_call, "call *%rbx");
CODE(by_ret, "push %rbx; ret");
CODE(by_ret_imm, "sub $64, %rsp; push %rbx; ret $64");
CODE(by_memory, "jmp *(%r8)");
CODE(by_call_memory, "call *8(%r8)");
CODE(by_iret, "push %rdi; push %rsp; addq $8, (%rsp); pushfq; push %rsi; push %rbx; iretq");
CODE(by_far_ret, "push %rsi; push %rbx; lretq");
CODE(by_far_jump, "rex.w ljmp *16(%r8)");

static const uint8_t *const jumps[] = {by_jump,	       by_call, by_ret,	    by_ret_imm, by_memory,
				       by_call_memory, by_iret, by_far_ret, by_far_jump};

/* To ud2 at the beginning of a page, or movabs from its end into the next one. */
static void jump(const uint8_t *code, uint64_t target, struct viewer viewer)
{
	uint64_t behind = (target | 0xfff) + 1, start = target & ~0xfffull;
	bool crossing = (target & 4095) == ZOO_CROSSING;
	struct outcomes outcomes = model_access(target, 1, viewer, FETCH, false);

	if (model_done(&outcomes) && !zoo_at(start))
		return;
	if (model_done(&outcomes) && crossing && behind) {
		outcomes = model_canonical(behind) ? model_access(behind, 1, viewer, FETCH, false)
						   : (struct outcomes){1, {{13, 0, 0}}};
		if (model_done(&outcomes) && !zoo_at(behind))
			return;
	}
	state_init(&s, code, viewer.user);
	s.bx = table[0] = table[1] = table[2] = target;
	table[3] = s.si = s.cs;
	s.di = s.ss;
	as_user = viewer.user;
	s.r8 = mine((uintptr_t)table);
	state_run(&s);
	if (!outcome_check(&s, &outcomes, "jump")) {
		if (expect_told())
			print_format("  to 0x%lx by %s, jump %u\n", target,
				     viewer.user ? "user" : "kernel", (unsigned int)code[0]);
		return;
	}
	EXPECT_EQ(s.cs & 3, viewer.user ? 3 : 0);
	if (s.vector == 14)
		EXPECT_EQ(s.ip, target);
	if (s.vector == 6)
		EXPECT_EQ(s.ip, crossing ? behind + ZOO_BEHIND : target);
	if (s.vector == 6 && crossing)
		EXPECT_EQ(s.ax, zoo_load(target + 2, 8));
}

static void test_jumps(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		const uint8_t *code = jumps[random_below(sizeof(jumps) / sizeof(jumps[0]))];
		uint64_t target = spaces_target(1);

		/* Only where it is known what is there, or will be. */
		target = (target & ~0xfffull) + (random_below(2) ? ZOO_CROSSING : 0);
		if (target + 8192 < target)
			continue;
		for (unsigned int run = 0; run < 3; run++) {
			jump(code, target, (struct viewer){random_below(4) > 0, false});
			if (random_below(2))
				spaces_change();
		}
	}
}

/* What is the kernel's */

CODE(privileged_hlt, "hlt");
CODE(privileged_cli, "cli");
CODE(privileged_sti, "sti");
CODE(privileged_in, "in $0x21, %al");
CODE(privileged_out, "out %al, (%dx)");
CODE(privileged_ins, "insb");
CODE(privileged_read_cr, "mov %cr3, %rax");
CODE(privileged_write_cr, "mov %rax, %cr3");
CODE(privileged_write_cr4, "mov %rax, %cr4");
CODE(privileged_read_dr, "mov %db7, %rax");
CODE(privileged_write_dr, "mov %rax, %db0");
CODE(privileged_clts, "clts");
CODE(privileged_lmsw, "lmsw %ax");
CODE(privileged_lgdt, "lgdt (%rbx)");
CODE(privileged_lidt, "lidt (%rbx)");
CODE(privileged_lldt, "lldt %ax");
CODE(privileged_ltr, "ltr %ax");
CODE(privileged_invlpg, "invlpg (%rbx)");
CODE(privileged_invd, "invd");
CODE(privileged_wbinvd, "wbinvd");
CODE(privileged_rdmsr, "rdmsr");
CODE(privileged_wrmsr, "wrmsr");
CODE(privileged_swapgs, "swapgs");
CODE(privileged_sysret, "sysretq");
CODE(privileged_xsetbv, "xsetbv");
CODE(privileged_invpcid, "invpcid (%rbx), %rax");
CODE(privileged_int, "int $0x21");
CODE(privileged_int_gate, "int $14");
CODE(privileged_far, "push $0x18; push %rbx; lretq");
CODE(privileged_iret, "push $0x10; push %rsp; pushfq; push $0x18; push %rbx; iretq");
CODE(privileged_segment, "mov %rsi, %ss");
CODE(privileged_tss, "push $0x40; push %rbx; lretq");

static void test_privileged(void)
{
	static const uint8_t *const codes[] = {
		privileged_hlt,	      privileged_cli,	  privileged_sti,      privileged_in,
		privileged_out,	      privileged_ins,	  privileged_read_cr,  privileged_write_cr,
		privileged_write_cr4, privileged_read_dr, privileged_write_dr, privileged_clts,
		privileged_lmsw,      privileged_lgdt,	  privileged_lidt,     privileged_lldt,
		privileged_ltr,	      privileged_invlpg,  privileged_invd,     privileged_wbinvd,
		privileged_rdmsr,     privileged_wrmsr,	  privileged_swapgs,   privileged_sysret,
		privileged_xsetbv,    privileged_invpcid, privileged_int,      privileged_int_gate,
		privileged_far,	      privileged_iret,	  privileged_segment,  privileged_tss};

	for (unsigned int i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		uint64_t cr3 = cr3_read(), cr4 = cr4_read();

		for (unsigned int times = 0; times < 3; times++) {
			state_init(&s, codes[i], true);
			s.bx = user_alias(table);
			s.cx = 0xc0000080, s.dx = 0, s.ax = 0, s.si = 0x10;
			state_run(&s);
			if (!EXPECT(s.vector == 13 || (s.vector == 6 && i == 25)))
				print_format("privileged %u: vector %lu\n", i, s.vector);
			EXPECT_EQ(s.cs & 3, 3);
			EXPECT(cr3_read() == cr3 && cr4_read() == cr4);
		}
	}
}

static void avx_enable(void)
{
	if (!(cpuid(1, 0).c & 1 << 28) || !(cpuid(1, 0).c & 1 << 26))
		return;
	cr4_write(cr4_read() | 1 << 18);
	asm volatile("xsetbv" ::"c"(0), "a"(7), "d"(0));
	avx2 = cpuid(7, 0).b & 1 << 5;
}

/* Calls of what is behind them, with a stack that lies across two pages: done once, and no more. */
static void test_call_behind(void)
{
	static uint8_t pages[3][4096] __attribute__((aligned(4096)));

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t sp = (uintptr_t)pages[1] + 4096 + i;

		memset(pages, 0, sizeof(pages));
		state_init(&s, i & 1 ? call_next : call_register, true);
		s.r9 = s.ip + 3; /* behind call_register's call */
		s.sp = sp + USER_BASE;
		EXPECT_EQ(state_run(&s), 6);
		EXPECT_EQ(s.sp, sp - 8 + USER_BASE);
		EXPECT_EQ(s.ip, i & 1 ? user_alias(call_next) + 5 : user_alias(call_register) + 3);
		EXPECT_EQ(*(uint64_t *)(sp - 8), s.ip);
		EXPECT_EQ(*(uint64_t *)(sp - 16), 0);
	}
}

void test_main(void)
{
	uint64_t rounds = model_options(ROUNDS);

	avx_enable();
	system_init();
	asm volatile("fninit");
	test_call_behind();
	spaces_make();
	test_parts(rounds);
	zoo_fill();
	test_jumps(rounds);
	spaces_leave();
	test_privileged();
	zoo_check("at the end");
}
