/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions, repeated or not. Where whole runs of elements lie in directly reachable
 * pages they are done in one go by the host's own string instructions; everything else goes element
 * by element. Registers are exact after every run, so a fault or an interrupt in the middle leaves
 * an instruction that can be gone on with.
 *
 * Source: Intel SDM volume 2, REP, MOVS, STOS, LODS, CMPS, SCAS.
 */
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "x86/registers.h"

#define PAGE_SIZE 4096u

/* Elements done before interrupts get a look. */
#define BURST 65536u

struct string {
	struct cpu *cpu;
	const struct insn *insn;
	unsigned size;	/* of an element */
	unsigned width; /* of rcx, rsi, rdi */
	int64_t step;	/* +size or -size */
};

static struct string string_begin(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn_operand_bytes(insn, &insn->op->operand[0]);

	return (struct string){
		.cpu = cpu,
		.insn = insn,
		.size = size,
		.width = insn->address_size,
		.step = cpu->rflags & FLAG_DF ? -(int64_t)size : (int64_t)size,
	};
}

static uint64_t string_count(const struct string *string)
{
	return string->insn->rep ? register_read(string->cpu, RCX, string->width, false) : 1;
}

static void string_advance(const struct string *string, unsigned number, uint64_t elements)
{
	struct cpu *cpu = string->cpu;

	register_write(cpu, number, string->width, false,
		       cpu->gpr[number] + (uint64_t)(string->step * (int64_t)elements));
}

static void string_consume(const struct string *string, uint64_t elements)
{
	if (string->insn->rep)
		register_write(string->cpu, RCX, string->width, false,
			       string->cpu->gpr[RCX] - elements);
}

static uint64_t source_linear(const struct string *string)
{
	uint64_t offset = register_read(string->cpu, RSI, string->width, false);

	return segment_linear(string->cpu, string->insn->segment, offset, string->size, MMU_READ);
}

static uint64_t destination_linear(const struct string *string, unsigned access)
{
	uint64_t offset = register_read(string->cpu, RDI, string->width, false);

	return segment_linear(string->cpu, SEGMENT_ES, offset, string->size, access);
}

/*
 * How many elements from linear on, in the string's direction, lie in its page; and also before the
 * register wraps or leaves a segment's limit, which only matters outside 64-bit code: there the
 * answer is 1 near such an edge.
 */
static uint64_t run_in_page(const struct string *string, uint64_t linear, unsigned number,
			    uint64_t limit)
{
	uint64_t offset = linear % PAGE_SIZE;
	uint64_t run =
		string->step > 0
			? (PAGE_SIZE - offset) / string->size
			: (offset + string->size <= PAGE_SIZE ? offset / string->size + 1 : 0);

	if (string->width != 8) {
		uint64_t value = register_read(string->cpu, number, string->width, false);
		uint64_t end = string->width == 2 ? 0xffff : 0xffffffff;

		if (value < PAGE_SIZE || value > end - PAGE_SIZE || value + PAGE_SIZE > limit)
			return 1;
	}
	return run;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Single steps and data breakpoints are due after each element (volume 3, 17.3.1). */
static bool is_watched(const struct string *string)
{
	return string->cpu->debug_active;
}

/* Whether others are to have a look after so many elements. */
static bool is_due(const struct string *string, uint64_t done)
{
	return done >= BURST || (done && (string->cpu->kick || is_watched(string)));
}

/* The instruction is not finished: it stays where it is. Its breakpoint isn't met again (17.3.1.1).
 */
static void string_again(const struct string *string)
{
	string->cpu->next_rip = string->cpu->rip;
	if (is_watched(string))
		string->cpu->rflags |= FLAG_RF;
}

/* The limit of the segment that an element of rsi is in; expand-down ones are left to the slow way.
 */
static uint64_t segment_limit(const struct string *string, unsigned segment)
{
	const struct segment *s = &string->cpu->segment[segment];

	if (cpu_code_size(string->cpu) == CODE_64)
		return UINT64_MAX;
	return (s->attributes & 0xc) == 0x4 ? 0 : s->limit;
}

static void copy_forward(void *to, const void *from, uint64_t count, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
		break;
	case 2:
		__asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
		break;
	case 4:
		__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
		break;
	default:
		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
		break;
	}
}

static void fill_forward(void *to, uint64_t value, uint64_t count, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw" : "+D"(to), "+c"(count) : "a"(value) : "memory");
		break;
	case 4:
		__asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
		break;
	default:
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
		break;
	}
}

/* Moves a run; returns how many elements. Overlapping forward copies keep their meaning, since the
 * host's movs has the same. */
static uint64_t movs_run(const struct string *string, uint64_t count)
{
	struct cpu *cpu = string->cpu;
	unsigned size = string->size;
	uint64_t from = source_linear(string), to = destination_linear(string, MMU_WRITE);
	uint64_t value;

	if (string->step > 0 && count > 1 && !is_watched(string)) {
		uint64_t run =
			smaller(run_in_page(string, from, RSI,
					    segment_limit(string, string->insn->segment)),
				run_in_page(string, to, RDI, segment_limit(string, SEGMENT_ES)));

		run = smaller(run, count);
		if (run > 1) {
			void *source = mmu_host(cpu, from, (unsigned)(run * size), MMU_READ);
			void *destination = mmu_host(cpu, to, (unsigned)(run * size), MMU_WRITE);

			if (source && destination) {
				copy_forward(destination, source, run, size);
				return run;
			}
		}
	}
	value = mmu_load(cpu, from, size, MMU_READ);
	mmu_store(cpu, to, size, value, MMU_WRITE);
	return 1;
}

void handle_movs(struct cpu *cpu, const struct insn *insn)
{
	struct string string = string_begin(cpu, insn);
	uint64_t count = string_count(&string), done = 0;

	while (done < count) {
		uint64_t run = movs_run(&string, count - done);

		string_advance(&string, RSI, run);
		string_advance(&string, RDI, run);
		string_consume(&string, run);
		done += run;
		if (done < count && is_due(&string, done)) {
			string_again(&string);
			return;
		}
	}
}

static uint64_t stos_run(const struct string *string, uint64_t count)
{
	struct cpu *cpu = string->cpu;
	unsigned size = string->size;
	uint64_t to = destination_linear(string, MMU_WRITE);

	if (string->step > 0 && count > 1 && !is_watched(string)) {
		uint64_t run = smaller(
			count, run_in_page(string, to, RDI, segment_limit(string, SEGMENT_ES)));
		void *destination =
			run > 1 ? mmu_host(cpu, to, (unsigned)(run * size), MMU_WRITE) : NULL;

		if (destination) {
			fill_forward(destination, cpu->gpr[RAX], run, size);
			return run;
		}
	}
	mmu_store(cpu, to, size, register_read(cpu, RAX, size, false), MMU_WRITE);
	return 1;
}

void handle_stos(struct cpu *cpu, const struct insn *insn)
{
	struct string string = string_begin(cpu, insn);
	uint64_t count = string_count(&string), done = 0;

	while (done < count) {
		uint64_t run = stos_run(&string, count - done);

		string_advance(&string, RDI, run);
		string_consume(&string, run);
		done += run;
		if (done < count && is_due(&string, done)) {
			string_again(&string);
			return;
		}
	}
}

void handle_lods(struct cpu *cpu, const struct insn *insn)
{
	struct string string = string_begin(cpu, insn);
	uint64_t count = string_count(&string);

	for (uint64_t done = 0; done < count; done++) {
		if (is_due(&string, done)) {
			string_again(&string);
			return;
		}
		register_write(cpu, RAX, string.size, false,
			       mmu_load(cpu, source_linear(&string), string.size, MMU_READ));
		string_advance(&string, RSI, 1);
		string_consume(&string, 1);
	}
}

/* The status flags of left - right at the given size. */
static uint32_t compare(uint64_t left, uint64_t right, unsigned size)
{
	uint64_t rflags;

	switch (size) {
	case 1:
		__asm__("cmpb %b2, %b1; pushfq; popq %0"
			: "=r"(rflags)
			: "q"(left), "q"(right)
			: "cc");
		break;
	case 2:
		__asm__("cmpw %w2, %w1; pushfq; popq %0"
			: "=r"(rflags)
			: "r"(left), "r"(right)
			: "cc");
		break;
	case 4:
		__asm__("cmpl %k2, %k1; pushfq; popq %0"
			: "=r"(rflags)
			: "r"(left), "r"(right)
			: "cc");
		break;
	default:
		__asm__("cmpq %2, %1; pushfq; popq %0"
			: "=r"(rflags)
			: "r"(left), "r"(right)
			: "cc");
		break;
	}
	return (uint32_t)rflags & FLAG_STATUS;
}

/* repe goes on while equal, repne while not. */
static bool compare_ends(const struct insn *insn, uint64_t left, uint64_t right)
{
	if (!insn->rep)
		return true;
	return insn->rep == 0xf3 ? left != right : left == right;
}

/* The flags are written once, when the instruction stops for whatever reason but a fault, which
 * leaves those of the element before. */
void handle_cmps(struct cpu *cpu, const struct insn *insn)
{
	struct string string = string_begin(cpu, insn);
	uint64_t count = string_count(&string);

	for (uint64_t done = 0; done < count; done++) {
		uint64_t left, right;

		if (is_due(&string, done)) {
			string_again(&string);
			return;
		}
		left = mmu_load(cpu, source_linear(&string), string.size, MMU_READ);
		right = mmu_load(cpu, destination_linear(&string, MMU_READ), string.size, MMU_READ);
		string_advance(&string, RSI, 1);
		string_advance(&string, RDI, 1);
		string_consume(&string, 1);
		cpu_set_status(cpu, compare(left, right, string.size));
		if (compare_ends(insn, left, right))
			return;
	}
}

void handle_scas(struct cpu *cpu, const struct insn *insn)
{
	struct string string = string_begin(cpu, insn);
	uint64_t left = register_read(cpu, RAX, string.size, false);
	uint64_t count = string_count(&string);

	for (uint64_t done = 0; done < count; done++) {
		uint64_t right;

		if (is_due(&string, done)) {
			string_again(&string);
			return;
		}
		right = mmu_load(cpu, destination_linear(&string, MMU_READ), string.size, MMU_READ);
		string_advance(&string, RDI, 1);
		string_consume(&string, 1);
		cpu_set_status(cpu, compare(left, right, string.size));
		if (compare_ends(insn, left, right))
			return;
	}
}
