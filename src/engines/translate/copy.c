/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/copy.h"

#include "engines/translate/engine.h"
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/interpret.h"
#include "engines/translate/mmu.h"
#include "lib/bytes.h"
#include "lib/check.h"

#define STUB_SIZE   256u
#define MEMORY_SIZE (COPY_BUCKETS * STUB_SIZE)

#define X87_KEEPS_FROM_STORING 0x1f /* IE, DE, ZE, OE, UE */

/* Host registers by their encodings; cpu's enum has the same numbers. */
enum { HOST_RBP = 5, HOST_RSI = 6, HOST_RDI = 7 };

int copy_create(struct copy *copy)
{
	return code_memory_create(&copy->memory, MEMORY_SIZE);
}

void copy_destroy(struct copy *copy)
{
	code_memory_destroy(&copy->memory);
}

void copy_trim(struct copy *copy)
{
	code_memory_clear(copy->stub, sizeof(copy->stub));
	code_memory_trim(&copy->memory, 0);
}

bool copy_owns(const struct cpu *cpu, uint64_t host)
{
	const struct copy *copy = engine_copy(cpu);
	uint64_t first = (uint64_t)(uintptr_t)copy->memory.run;

	return host - first < copy->memory.size;
}

/* Which host register holds which guest register in a stub, and which points to the memory operand.
 */
struct plan {
	uint16_t used; /* guest registers loaded and stored, by bit */
	uint8_t rename[16];
	uint8_t base;
};

/*
 * rax, rcx, rdx and rbx are always loaded: implicit operands, the second halves of byte registers.
 * Only rsp must be another register in a stub, which uses the host's stack.
 */
static struct plan plan_registers(const struct insn *insn)
{
	struct plan plan = {.used = 0xf};
	uint16_t taken;

	for (unsigned i = 0; i < 4; i++) {
		unsigned number = insn_operand_register(insn, &insn->op->operand[i]);

		if (number < 16)
			plan.used |= (uint16_t)(1u << number);
	}
	for (unsigned i = 0; i < 16; i++)
		plan.rename[i] = (uint8_t)i;
	taken = plan.used | 1u << RSP;
	if (plan.used & 1u << RSP) {
		plan.rename[RSP] = (uint8_t)__builtin_ctz(
			~(uint32_t)taken & 0xffe0u); /* no REX for it if it can be: ah */
		taken |= (uint16_t)(1u << plan.rename[RSP]);
	}
	plan.base = (uint8_t)__builtin_ctz(~(uint32_t)taken & ~0xfu);
	return plan;
}

struct writer {
	uint8_t *at;
};

static void put(struct writer *writer, const uint8_t *bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		*writer->at++ = bytes[i];
}

static void put_u32(struct writer *writer, uint32_t value)
{
	bytes_store32(writer->at, value);
	writer->at += 4;
}

/* mov host, gs:[offset] (0x8b) or mov gs:[offset], host (0x89), 64 bits. */
static void put_move(struct writer *writer, uint8_t opcode, unsigned host, uint32_t offset)
{
	const uint8_t bytes[] = {0x65, (uint8_t)(0x48 | (host >> 3) << 2), opcode,
				 (uint8_t)((host & 7) << 3 | 4), 0x25};

	put(writer, bytes, sizeof(bytes));
	put_u32(writer, offset);
}

static uint32_t gpr_offset(unsigned number)
{
	return (uint32_t)(offsetof(struct cpu, gpr) + number * 8);
}

/* movzx eax, word gs:[flags]; add al, 0x7f; sahf */
static void put_flags_load(struct writer *writer)
{
	put(writer, (const uint8_t[]){0x65, 0x0f, 0xb7, 0x04, 0x25}, 5);
	put_u32(writer, offsetof(struct cpu, flags));
	put(writer, (const uint8_t[]){0x04, 0x7f, 0x9e}, 3);
}

/* seto al; lahf; mov gs:[flags], ax. al holds nothing of worth, so lahf comes second: it leaves al
 * alone. */
static void put_flags_store(struct writer *writer)
{
	put(writer, (const uint8_t[]){0x0f, 0x90, 0xc0, 0x9f, 0x65, 0x66, 0x89, 0x04, 0x25}, 9);
	put_u32(writer, offsetof(struct cpu, flags));
}

static bool callee_saved(unsigned host)
{
	return host == RBX || host == HOST_RBP || host >= R12;
}

static void put_push(struct writer *writer, unsigned host)
{
	if (host >= 8)
		put(writer, (const uint8_t[]){0x41}, 1);
	put(writer, (const uint8_t[]){(uint8_t)(0x50 | (host & 7))}, 1);
}

static void put_pop(struct writer *writer, unsigned host)
{
	if (host >= 8)
		put(writer, (const uint8_t[]){0x41}, 1);
	put(writer, (const uint8_t[]){(uint8_t)(0x58 | (host & 7))}, 1);
}

/* void stub(void *memory): rdi is the memory operand's host address. */
static void write_stub(uint8_t *code, const struct plan *plan, const uint8_t *insn, unsigned length)
{
	struct writer writer = {code};
	uint16_t host_used = (uint16_t)(1u << plan->base);

	for (unsigned i = 0; i < 16; i++) {
		if (plan->used & 1u << i)
			host_used |= (uint16_t)(1u << plan->rename[i]);
	}
	for (unsigned i = 0; i < 16; i++) {
		if ((host_used & 1u << i) && callee_saved(i))
			put_push(&writer, i);
	}
	if (plan->base != HOST_RDI) /* mov base, rdi */
		put(&writer,
		    (const uint8_t[]){(uint8_t)(0x48 | plan->base >> 3), 0x89,
				      (uint8_t)(0xc0 | HOST_RDI << 3 | (plan->base & 7))},
		    3);
	put_flags_load(&writer);
	for (unsigned i = 0; i < 16; i++) {
		if (plan->used & 1u << i)
			put_move(&writer, 0x8b, plan->rename[i], gpr_offset(i));
	}
	put(&writer, insn, length);
	for (unsigned i = 0; i < 16; i++) {
		if (plan->used & 1u << i)
			put_move(&writer, 0x89, plan->rename[i], gpr_offset(i));
	}
	put_flags_store(&writer);
	for (unsigned i = 16; i-- > 0;) {
		if ((host_used & 1u << i) && callee_saved(i))
			put_pop(&writer, i);
	}
	put(&writer, (const uint8_t[]){0xc3}, 1);
	CHECK((size_t)(writer.at - code) <= STUB_SIZE);
}

static uint8_t *find_stub(struct cpu *cpu, const struct insn *insn)
{
	struct copy *copy = engine_copy(cpu);
	struct plan plan = plan_registers(insn);
	uint8_t bytes[16] = {0};
	unsigned length = insn_encode(insn, bytes, plan.rename, plan.base);
	uint32_t registers = plan.used | (uint32_t)plan.rename[RSP] << 16;
	uint64_t low, high, index;
	struct copy_stub *stub;

	if (!length || length > 15) {
		engine_log_once(cpu, ENGINE_LOG_INSTRUCTION,
				"instruction %s cannot be encoded again (#UD)", insn->op->name);
		exception_raise(cpu, EXCEPTION_UD);
	}
	bytes[15] = (uint8_t)length;
	low = bytes_load64(bytes);
	high = bytes_load64(bytes + 8);
	index = ((low ^ (high + registers) * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u) >>
		(64 - 12);
	stub = &copy->stub[index % COPY_BUCKETS];
	if (!stub->code || stub->plan != registers || bytes_load64(stub->bytes) != low ||
	    bytes_load64(stub->bytes + 8) != high) {
		size_t offset = (index % COPY_BUCKETS) * STUB_SIZE;

		write_stub(copy->memory.write + offset, &plan, bytes, length);
		bytes_store64(stub->bytes, low);
		bytes_store64(stub->bytes + 8, high);
		stub->plan = registers;
		stub->code = copy->memory.run + offset;
	}
	return stub->code;
}

static void call_stub(const uint8_t *code, void *memory)
{
	union {
		const uint8_t *code;
		void (*function)(void *memory);
	} stub = {.code = code};

	stub.function(memory);
}

/* Whether the instruction has stored what it was to store: an x87 error that isn't masked keeps it
 * from that, without a fault of its own, unless it is that of a result that was rounded (SDM volume
 * 1, 8.5). */
static bool has_stored(const struct insn *insn)
{
	uint16_t control, status;

	bool is_of_state = (insn->opcode | 4) == 0xdd && insn->reg == 7; /* fnstcw, fnstsw */

	if (!(insn->op->attributes & OP_X87) || is_of_state)
		return true;
	__asm__ volatile("fnstcw %0" : "=m"(control));
	__asm__ volatile("fnstsw %0" : "=a"(status));
	return !(status & ~control & X87_KEEPS_FROM_STORING);
}

/*
 * The memory operand is not one piece of RAM that may be touched directly: through a buffer that is
 * aligned as the operand is. Faults come before anything changes, since the store is probed first.
 */
static void run_buffered(struct cpu *cpu, const struct insn *insn, const uint8_t *code,
			 uint64_t linear, unsigned size, unsigned access)
{
	_Alignas(64) uint8_t buffer[64 + VCPU_XSAVE_SIZE];
	uint8_t *place = buffer + linear % 64;
	bool exclusive;

	if (access & ACCESS_WRITE)
		mmu_probe(cpu, linear, size, MMU_WRITE);
	exclusive = (insn->lock || (insn->map == 0 && (insn->opcode | 1) == 0x87)) &&
		    handler_exclusive_begin(cpu, linear, size);
	if (access & ACCESS_READ)
		mmu_load_bytes(cpu, linear, place, size, MMU_READ);
	else
		bytes_fill(place, 0, size);
	call_stub(code, place);
	if ((access & ACCESS_WRITE) && has_stored(insn))
		mmu_store_bytes(cpu, linear, place, size, MMU_WRITE);
	if (exclusive)
		handler_exclusive_end(cpu);
}

void copy_run(struct cpu *cpu, const struct insn *insn)
{
	const uint8_t *code = find_stub(cpu, insn);
	unsigned access, size;
	uint64_t linear;
	void *host;

	if ((insn->op->attributes & (OP_SSE | OP_AVX | OP_X87 | OP_MMX)) && !cpu->vector_live)
		cpu_vector_load(cpu);
	access = insn->memory ? insn_memory_access(insn) : 0;
	if (!access) {
		call_stub(code, NULL);
		return;
	}
	size = insn_memory_size(insn);
	linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn), size,
				access & ACCESS_WRITE ? MMU_WRITE : MMU_READ);
	host = mmu_host(cpu, linear, size, access & ACCESS_WRITE ? MMU_WRITE : MMU_READ);
	if (host)
		call_stub(code, host);
	else
		run_buffered(cpu, insn, code, linear, size, access);
}
