/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving and loading of x87, SSE and AVX state, and the vector instructions whose memory is not one
 * plain operand.
 *
 * Nothing that is saved for the guest tells an address of ours: the last x87 instruction and data
 * pointers and the last opcode, which the processor sets to where translated code lies, are saved
 * as zero. Nor does it tell the host's MXCSR_MASK: some processors have a bit 17, no model has.
 *
 * Source: Intel SDM volume 1, 8.1.10 (x87 state), 10.5.1 (FXSAVE), 13.4 to 13.13 (XSAVE); volume 2,
 * VGATHER, VMASKMOV, MASKMOVDQU.
 */
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "lib/bytes.h"
#include "x86/registers.h"

enum { STATE_X87 = 1, STATE_SSE = 2, STATE_AVX = 4, STATE_ALL = 7 };

/* Offsets in the standard form; the compacted form has AVX at the same place. */
enum {
	AREA_POINTERS = 6, /* FOP, FIP, FDP: 6..23 */
	AREA_MXCSR = 24,
	AREA_MXCSR_MASK = 28,
	AREA_ST = 32,
	AREA_XMM = 160,
	AREA_LEGACY_END = 416,
	AREA_XSTATE_BV = 512,
	AREA_XCOMP_BV = 520,
	AREA_AVX = 576,
	AREA_AVX_SIZE = 256,
};

#define FSW_ES	       0x80u
#define MXCSR_DEFAULT  0x1f80u
#define MXCSR_RESERVED 0xffff0000u

/* What is the host's in a saved state. */
static void hide(uint8_t *area)
{
	bytes_fill(area + AREA_POINTERS, 0, AREA_MXCSR - AREA_POINTERS);
	bytes_store32(area + AREA_MXCSR_MASK, ~MXCSR_RESERVED);
}

/* The guest's state, in cpu->xsave for as long as the handler works on it; whoever called us has it
 * back in the registers. */
static bool state_take(struct cpu *cpu)
{
	bool live = cpu->vector_live;

	if (live)
		cpu_vector_save(cpu);
	hide(cpu->xsave);
	return live;
}

/* A copy of the guest's state, which stays where it is. */
struct state_copy {
	_Alignas(64) uint8_t area[VCPU_XSAVE_SIZE];
};

static void state_copy(struct cpu *cpu, struct state_copy *copy)
{
	cpu_vector_copy(cpu, copy->area);
	hide(copy->area);
}

/* As state_take, where all of the state is about to be replaced. */
static bool state_forget(struct cpu *cpu)
{
	bool live = cpu->vector_live;

	cpu->vector_live = false;
	bytes_fill(cpu->xsave + AREA_XSTATE_BV, 0, 64);
	hide(cpu->xsave);
	return live;
}

static void state_give(struct cpu *cpu, bool live)
{
	if (live)
		cpu_vector_load(cpu);
}

static void need_live(struct cpu *cpu)
{
	if (!cpu->vector_live)
		cpu_vector_load(cpu);
}

static uint64_t state_linear(struct cpu *cpu, const struct insn *insn, unsigned size,
			     unsigned alignment, unsigned access)
{
	uint64_t linear =
		segment_linear(cpu, insn->segment, operand_address(cpu, insn), size, access);

	if (linear % alignment)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	return linear;
}

static void check_task_switched(struct cpu *cpu)
{
	if (cpu->cr0 & CR0_TS)
		exception_raise(cpu, EXCEPTION_NM);
}

/* Bytes of the XMM registers that this mode reaches. */
static unsigned xmm_bytes(const struct cpu *cpu)
{
	return cpu_code_size(cpu) == CODE_64 ? 256 : 128;
}

void handle_fxsave(struct cpu *cpu, const struct insn *insn)
{
	struct state_copy copy;
	uint64_t linear;

	if (cpu->cr0 & (CR0_EM | CR0_TS))
		exception_raise(cpu, EXCEPTION_NM);
	linear = state_linear(cpu, insn, 512, 16, MMU_WRITE);
	mmu_probe(cpu, linear, AREA_LEGACY_END, MMU_WRITE);
	state_copy(cpu, &copy);
	mmu_store_bytes(cpu, linear, copy.area, AREA_XMM + xmm_bytes(cpu), MMU_WRITE);
}

static void check_mxcsr(struct cpu *cpu, uint32_t mxcsr)
{
	if (mxcsr & MXCSR_RESERVED)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
}

void handle_ldmxcsr(struct cpu *cpu, const struct insn *insn)
{
	uint32_t mxcsr = (uint32_t)operand_read(cpu, insn, 0);

	check_mxcsr(cpu, mxcsr);
	need_live(cpu);
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

void handle_fxrstor(struct cpu *cpu, const struct insn *insn)
{
	uint8_t area[512];
	uint64_t linear;
	bool live;

	if (cpu->cr0 & (CR0_EM | CR0_TS))
		exception_raise(cpu, EXCEPTION_NM);
	linear = state_linear(cpu, insn, 512, 16, MMU_READ);
	mmu_load_bytes(cpu, linear, area, sizeof(area), MMU_READ);
	check_mxcsr(cpu, bytes_load32(area + AREA_MXCSR));
	live = state_take(cpu);
	bytes_copy(cpu->xsave, area, 28);
	bytes_copy(cpu->xsave + AREA_ST, area + AREA_ST, AREA_XMM - AREA_ST + xmm_bytes(cpu));
	bytes_fill(cpu->xsave + AREA_POINTERS, 0, AREA_MXCSR - AREA_POINTERS);
	cpu->xsave[AREA_XSTATE_BV] |= STATE_X87 | STATE_SSE;
	state_give(cpu, live);
}

/* What all of the XSAVE family check first; the components asked for. */
static uint64_t xsave_mask(struct cpu *cpu)
{
	if (!(cpu->cr4 & CR4_OSXSAVE))
		exception_raise(cpu, EXCEPTION_UD);
	check_task_switched(cpu);
	return (((uint64_t)(uint32_t)cpu->gpr[RDX] << 32) | (uint32_t)cpu->gpr[RAX]) & cpu->xcr0;
}

/* Which components are not in their initial state. MXCSR does not count. */
static uint64_t state_in_use(const uint8_t *area)
{
	return bytes_load64(area + AREA_XSTATE_BV);
}

enum xsave_form { FORM_STANDARD, FORM_OPTIMIZED, FORM_COMPACTED };

static void store_components(struct cpu *cpu, uint64_t linear, const uint8_t *area, uint64_t write,
			     bool mxcsr)
{
	if (write & STATE_X87) {
		mmu_store_bytes(cpu, linear, area, 24, MMU_WRITE);
		mmu_store_bytes(cpu, linear + AREA_ST, area + AREA_ST, AREA_XMM - AREA_ST,
				MMU_WRITE);
	}
	if (mxcsr)
		mmu_store_bytes(cpu, linear + AREA_MXCSR, area + AREA_MXCSR, 8, MMU_WRITE);
	if (write & STATE_SSE)
		mmu_store_bytes(cpu, linear + AREA_XMM, area + AREA_XMM, xmm_bytes(cpu), MMU_WRITE);
	if (write & STATE_AVX)
		mmu_store_bytes(cpu, linear + AREA_AVX, area + AREA_AVX, xmm_bytes(cpu), MMU_WRITE);
}

static void xsave(struct cpu *cpu, const struct insn *insn, enum xsave_form form)
{
	uint64_t mask = xsave_mask(cpu);
	unsigned size = mask & STATE_AVX ? AREA_AVX + AREA_AVX_SIZE : AREA_AVX;
	uint64_t linear = state_linear(cpu, insn, size, 64, MMU_WRITE);
	uint64_t header[2], in_use, write;
	struct state_copy copy;
	bool mxcsr;

	mmu_probe(cpu, linear, size, MMU_WRITE);
	header[0] = mmu_load(cpu, linear + AREA_XSTATE_BV, 8, MMU_READ);
	state_copy(cpu, &copy);
	in_use = state_in_use(copy.area) & mask;
	if (form == FORM_COMPACTED && (mask & STATE_SSE) &&
	    bytes_load32(copy.area + AREA_MXCSR) != MXCSR_DEFAULT)
		in_use |= STATE_SSE;
	write = form == FORM_STANDARD ? mask : in_use;
	mxcsr = form == FORM_COMPACTED ? (in_use & STATE_SSE) != 0
				       : (mask & (STATE_SSE | STATE_AVX)) != 0;
	store_components(cpu, linear, copy.area, write, mxcsr);
	if (form == FORM_COMPACTED) {
		header[0] = in_use;
		header[1] = mask | 1ull << 63;
		mmu_store_bytes(cpu, linear + AREA_XSTATE_BV, header, 16, MMU_WRITE);
	} else {
		mmu_store(cpu, linear + AREA_XSTATE_BV, 8, (header[0] & ~mask) | in_use, MMU_WRITE);
	}
}

void handle_xsave(struct cpu *cpu, const struct insn *insn)
{
	xsave(cpu, insn, FORM_STANDARD);
}

void handle_xsaveopt(struct cpu *cpu, const struct insn *insn)
{
	xsave(cpu, insn, FORM_OPTIMIZED);
}

void handle_xsavec(struct cpu *cpu, const struct insn *insn)
{
	xsave(cpu, insn, FORM_COMPACTED);
}

/* There are no supervisor components, so this is xsavec. */
void handle_xsaves(struct cpu *cpu, const struct insn *insn)
{
	xsave(cpu, insn, FORM_COMPACTED);
}

/* #GP(0) for a header that the processor would not take. */
static void check_header(struct cpu *cpu, const uint8_t *header, bool compacted_only)
{
	uint64_t xstate_bv = bytes_load64(header), xcomp_bv = bytes_load64(header + 8);
	bool compacted = xcomp_bv >> 63;
	bool bad;

	if (compacted)
		bad = (xcomp_bv & ~(1ull << 63) & ~cpu->xcr0) || (xstate_bv & ~xcomp_bv);
	else
		bad = compacted_only || (xstate_bv & ~cpu->xcr0) || xcomp_bv;
	for (unsigned i = 16; i < (compacted ? 64 : 24); i++)
		bad |= header[i] != 0;
	if (bad)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static void initialise_x87(uint8_t *area)
{
	bytes_fill(area, 0, 24);
	bytes_store16(area, 0x037f);
	bytes_fill(area + AREA_ST, 0, AREA_XMM - AREA_ST);
}

/* Loads or initialises one component that lies at the same place in both forms. */
static void restore_component(uint8_t *to, const uint8_t *from, bool present, unsigned size)
{
	if (present)
		bytes_copy(to, from, size);
	else
		bytes_fill(to, 0, size);
}

static void xrstor(struct cpu *cpu, const struct insn *insn, bool compacted_only)
{
	uint64_t mask = xsave_mask(cpu);
	unsigned size = mask & STATE_AVX ? AREA_AVX + AREA_AVX_SIZE : AREA_AVX;
	uint64_t linear = state_linear(cpu, insn, size, 64, MMU_READ);
	uint8_t area[AREA_AVX + AREA_AVX_SIZE];
	uint8_t *state = cpu->xsave;
	uint64_t present;
	bool live, compacted;

	mmu_load_bytes(cpu, linear, area, size, MMU_READ);
	check_header(cpu, area + AREA_XSTATE_BV, compacted_only);
	present = bytes_load64(area + AREA_XSTATE_BV);
	compacted = bytes_load64(area + AREA_XCOMP_BV) >> 63;
	if (compacted ? (mask & present & STATE_SSE) : (mask & (STATE_SSE | STATE_AVX)))
		check_mxcsr(cpu, bytes_load32(area + AREA_MXCSR));
	/* In other modes the upper eight registers stay. */
	live = mask == STATE_ALL && cpu_code_size(cpu) == CODE_64 ? state_forget(cpu)
								  : state_take(cpu);
	if (mask & STATE_X87) {
		if (present & STATE_X87) {
			bytes_copy(state, area, AREA_POINTERS);
			bytes_copy(state + AREA_ST, area + AREA_ST, AREA_XMM - AREA_ST);
		} else {
			initialise_x87(state);
		}
	}
	if (mask & STATE_SSE)
		restore_component(state + AREA_XMM, area + AREA_XMM, present & STATE_SSE,
				  xmm_bytes(cpu));
	if (compacted ? (mask & STATE_SSE) : (mask & (STATE_SSE | STATE_AVX)))
		bytes_store32(state + AREA_MXCSR, compacted && !(present & STATE_SSE)
							  ? MXCSR_DEFAULT
							  : bytes_load32(area + AREA_MXCSR));
	if (mask & STATE_AVX)
		restore_component(state + AREA_AVX, area + AREA_AVX, present & STATE_AVX,
				  xmm_bytes(cpu));
	bytes_store64(state + AREA_XSTATE_BV, (state_in_use(state) & ~mask) | (mask & present));
	if (cpu_code_size(cpu) != CODE_64) /* the upper eight registers were not touched */
		bytes_store64(state + AREA_XSTATE_BV,
			      state_in_use(state) | (mask & (STATE_SSE | STATE_AVX)));
	state_give(cpu, live);
}

void handle_xrstor(struct cpu *cpu, const struct insn *insn)
{
	xrstor(cpu, insn, false);
}

void handle_xrstors(struct cpu *cpu, const struct insn *insn)
{
	xrstor(cpu, insn, true);
}

/*
 * x87 environments in their 14-byte (16-bit operand size) and 28-byte forms, done by the host's
 * processor on a buffer. In both, the control, status and tag words come first and the pointers
 * last.
 */
struct environment {
	uint8_t bytes[128];
};

static unsigned environment_size(const struct insn *insn)
{
	return insn->operand_size == 2 ? 14 : 28;
}

static void hide_pointers(struct environment *environment, unsigned size)
{
	unsigned words = size == 14 ? 6 : 12;

	bytes_fill(environment->bytes + words, 0, size - words);
}

void handle_fnstenv(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = environment_size(insn);
	uint64_t linear =
		segment_linear(cpu, insn->segment, operand_address(cpu, insn), size, MMU_WRITE);
	struct environment environment;

	mmu_probe(cpu, linear, size, MMU_WRITE);
	need_live(cpu);
	if (size == 14)
		__asm__ volatile("data16 fnstenv %0" : "=m"(environment));
	else
		__asm__ volatile("fnstenv %0" : "=m"(environment));
	hide_pointers(&environment, size);
	mmu_store_bytes(cpu, linear, environment.bytes, size, MMU_WRITE);
}

/* An x87 error that waits is raised before anything else is done (SDM volume 1, 8.7); by the host
 * it would be raised here, in C. The environment's and the state's stores are the ones that don't
 * wait. */
static void check_x87_error(struct cpu *cpu)
{
	uint16_t status;

	need_live(cpu);
	__asm__ volatile("fnstsw %0" : "=a"(status));
	if (status & FSW_ES)
		exception_raise(cpu, EXCEPTION_MF);
}

void handle_fldenv(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = environment_size(insn);
	struct environment environment;
	uint64_t linear;

	check_x87_error(cpu);
	linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn), size, MMU_READ);
	mmu_load_bytes(cpu, linear, environment.bytes, size, MMU_READ);
	hide_pointers(&environment, size);
	need_live(cpu);
	if (size == 14)
		__asm__ volatile("data16 fldenv %0" : : "m"(environment));
	else
		__asm__ volatile("fldenv %0" : : "m"(environment));
}

void handle_fnsave(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = environment_size(insn) + 80;
	uint64_t linear =
		segment_linear(cpu, insn->segment, operand_address(cpu, insn), size, MMU_WRITE);
	struct environment environment;

	mmu_probe(cpu, linear, size, MMU_WRITE);
	need_live(cpu);
	if (insn->operand_size == 2)
		__asm__ volatile("data16 fnsave %0" : "=m"(environment));
	else
		__asm__ volatile("fnsave %0" : "=m"(environment));
	hide_pointers(&environment, environment_size(insn));
	mmu_store_bytes(cpu, linear, environment.bytes, size, MMU_WRITE);
}

void handle_frstor(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = environment_size(insn) + 80;
	struct environment environment;
	uint64_t linear;

	check_x87_error(cpu);
	linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn), size, MMU_READ);
	mmu_load_bytes(cpu, linear, environment.bytes, size, MMU_READ);
	hide_pointers(&environment, environment_size(insn));
	need_live(cpu);
	if (insn->operand_size == 2)
		__asm__ volatile("data16 frstor %0" : : "m"(environment));
	else
		__asm__ volatile("frstor %0" : : "m"(environment));
}

/* A vector register of the guest's as 32 bytes; cpu->xsave holds the state. */
static void vector_read(const struct cpu *cpu, unsigned number, uint8_t bytes[32])
{
	bytes_copy(bytes, cpu->xsave + AREA_XMM + number * 16, 16);
	bytes_copy(bytes + 16, cpu->xsave + AREA_AVX + number * 16, 16);
}

/* As a VEX instruction writes it: bytes beyond length become zero. */
static void vector_write(struct cpu *cpu, unsigned number, uint8_t bytes[32], unsigned length)
{
	bytes_fill(bytes + length, 0, 32 - length);
	bytes_copy(cpu->xsave + AREA_XMM + number * 16, bytes, 16);
	bytes_copy(cpu->xsave + AREA_AVX + number * 16, bytes + 16, 16);
	cpu->xsave[AREA_XSTATE_BV] |= STATE_SSE | STATE_AVX;
}

/* A component in its initial state may be stale in the area: make it true. */
static bool vector_take(struct cpu *cpu)
{
	bool live = state_take(cpu);
	uint64_t in_use = state_in_use(cpu->xsave);

	if (!(in_use & STATE_SSE))
		bytes_fill(cpu->xsave + AREA_XMM, 0, 256);
	if (!(in_use & STATE_AVX))
		bytes_fill(cpu->xsave + AREA_AVX, 0, AREA_AVX_SIZE);
	return live;
}

static bool mask_bit(const uint8_t *mask, unsigned element, unsigned size)
{
	return mask[element * size + size - 1] & 0x80;
}

/* The state is back in the registers before any access can fault. */
static void vector_snapshot(struct cpu *cpu, const unsigned numbers[], uint8_t values[][32],
			    unsigned count)
{
	bool live = vector_take(cpu);

	for (unsigned i = 0; i < count; i++)
		vector_read(cpu, numbers[i], values[i]);
	state_give(cpu, live);
}

static void store_masked(struct cpu *cpu, const struct insn *insn, uint64_t address,
			 const uint8_t *value, const uint8_t *mask, unsigned size, unsigned length)
{
	for (int pass = 0; pass < 2; pass++) { /* all elements, before any changes */
		for (unsigned i = 0; i < length / size; i++) {
			uint64_t linear;

			if (!mask_bit(mask, i, size))
				continue;
			linear = segment_linear(cpu, insn->segment, address + i * size, size,
						MMU_WRITE);
			if (pass == 0)
				mmu_probe(cpu, linear, size, MMU_WRITE);
			else
				mmu_store(cpu, linear, size, bytes_load(value + i * size, size),
					  MMU_WRITE);
		}
	}
}

void handle_vmaskmov(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn_element_size(insn), length = insn->vex_l ? 32 : 16;
	uint64_t address = operand_address(cpu, insn);
	uint8_t values[2][32], result[32] = {0};
	bool live;

	vector_snapshot(cpu, (unsigned[]){insn->vvvv, insn->reg}, values, 2);
	if (insn_memory_access(insn) & ACCESS_WRITE) {
		store_masked(cpu, insn, address, values[1], values[0], size, length);
		return;
	}
	for (unsigned i = 0; i < length / size; i++) {
		uint64_t linear;

		if (!mask_bit(values[0], i, size))
			continue;
		linear = segment_linear(cpu, insn->segment, address + i * size, size, MMU_READ);
		bytes_store(result + i * size, mmu_load(cpu, linear, size, MMU_READ), size);
	}
	live = vector_take(cpu);
	vector_write(cpu, insn->reg, result, length);
	state_give(cpu, live);
}

static uint64_t gather_address(struct cpu *cpu, const struct insn *insn, const uint8_t *indices,
			       unsigned element)
{
	unsigned index_size = insn_index_size(insn);
	uint64_t raw = bytes_load(indices + element * index_size, index_size);
	int64_t index = index_size == 4 ? (int32_t)raw : (int64_t)raw;
	uint64_t address = (uint64_t)insn->displacement + (uint64_t)index * insn->scale;

	if (insn->base != INSN_NO_REGISTER)
		address += cpu->gpr[insn->base];
	return insn->address_size == 8 ? address : (uint32_t)address;
}

/* All elements are loaded before anything changes, so a fault finds the instruction not begun. */
void handle_gather(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn_element_size(insn), index_size = insn_index_size(insn);
	unsigned length = insn->vex_l ? 32 : 16;
	unsigned count = length / (size > index_size ? size : index_size);
	uint8_t values[3][32], zero[32] = {0}; /* destination, mask, indices */
	bool live;

	if (insn->reg == insn->vvvv || insn->reg == insn->index || insn->vvvv == insn->index)
		exception_raise(cpu, EXCEPTION_UD);
	vector_snapshot(cpu, (unsigned[]){insn->reg, insn->vvvv, insn->index}, values, 3);
	for (unsigned i = 0; i < count; i++) {
		uint64_t linear;

		if (!mask_bit(values[1], i, size))
			continue;
		linear = segment_linear(cpu, insn->segment, gather_address(cpu, insn, values[2], i),
					size, MMU_READ);
		bytes_store(values[0] + i * size, mmu_load(cpu, linear, size, MMU_READ), size);
	}
	live = vector_take(cpu);
	vector_write(cpu, insn->reg, values[0],
		     count * size < 16	     ? count * size
		     : length > count * size ? 16
					     : length);
	vector_write(cpu, insn->vvvv, zero, 32);
	state_give(cpu, live);
}

static uint64_t mask_destination(struct cpu *cpu, const struct insn *insn)
{
	return register_read(cpu, RDI, insn->address_size, false);
}

void handle_maskmovdqu(struct cpu *cpu, const struct insn *insn)
{
	uint8_t values[2][32];

	vector_snapshot(cpu, (unsigned[]){insn->rm, insn->reg}, values, 2);
	store_masked(cpu, insn, mask_destination(cpu, insn), values[1], values[0], 1, 16);
}

/* An MMX register lies in the x87 register of its number, which the saved area counts from the top
 * of the stack. */
void handle_maskmovq(struct cpu *cpu, const struct insn *insn)
{
	uint8_t value[8], mask[8];
	uint32_t unused;
	unsigned top;
	bool live;

	check_x87_error(cpu);
	live = state_take(cpu);
	top = cpu->xsave[3] >> 3 & 7;
	bytes_copy(value, cpu->xsave + AREA_ST + (((unsigned)insn->reg - top) & 7) * 16, 8);
	bytes_copy(mask, cpu->xsave + AREA_ST + (((unsigned)insn->rm - top) & 7) * 16, 8);
	state_give(cpu, live);
	store_masked(cpu, insn, mask_destination(cpu, insn), value, mask, 1, 8);
	need_live(cpu); /* as every MMX instruction does: all tags valid, top of stack 0 */
	__asm__ volatile("movd %%mm0, %0" : "=r"(unused));
}
