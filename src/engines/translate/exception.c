/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How events reach the guest. A delivery may itself fault: exception_raise then finds
 * cpu->delivery.active and combines the two events (Intel SDM volume 3, table 6-5) before it
 * unwinds, so that the dispatcher only has to call exception_deliver again.
 *
 * Not modelled: task gates in the IDT (hardware task switches). They raise #GP, with a line in the
 * log.
 */
#include "engines/translate/exception.h"

#include "engines/translate/engine.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"

#define CONTRIBUTORY                                                                               \
	(1u << EXCEPTION_DE | 1u << EXCEPTION_TS | 1u << EXCEPTION_NP | 1u << EXCEPTION_SS |       \
	 1u << EXCEPTION_GP)
#define FAULTS                                                                                     \
	(1u << EXCEPTION_DE | 1u << EXCEPTION_BR | 1u << EXCEPTION_UD | 1u << EXCEPTION_NM |       \
	 1u << EXCEPTION_TS | 1u << EXCEPTION_NP | 1u << EXCEPTION_SS | 1u << EXCEPTION_GP |       \
	 1u << EXCEPTION_PF | 1u << EXCEPTION_MF | 1u << EXCEPTION_AC | 1u << EXCEPTION_XM)
/* Whose error code has an EXT bit. */
#define SELECTOR_ERRORS                                                                            \
	(1u << EXCEPTION_TS | 1u << EXCEPTION_NP | 1u << EXCEPTION_SS | 1u << EXCEPTION_GP)

#define ERROR_EXT 1u
#define ERROR_IDT 2u

static bool is_in(unsigned vector, uint32_t vectors)
{
	return vector < 32 && vectors >> vector & 1;
}

/* Raising */

/* What an exception becomes that arises while another event is being delivered. */
static void combine(struct cpu *cpu)
{
	unsigned first = cpu->delivery.vector, second = cpu->event.vector;
	bool grave = is_in(second, CONTRIBUTORY) || second == EXCEPTION_PF;
	bool exception = cpu->delivery.exception;

	if (exception && first == EXCEPTION_DF && grave) {
		cpu->event.triple = true;
	} else if (exception && ((is_in(first, CONTRIBUTORY) && is_in(second, CONTRIBUTORY)) ||
				 (first == EXCEPTION_PF && grave))) {
		cpu->event.vector = EXCEPTION_DF;
		cpu->event.has_error = true;
		cpu->event.error = 0;
	}
}

_Noreturn static void raise(struct cpu *cpu, unsigned vector, bool has_error, uint32_t error)
{
	bool delivering = cpu->delivery.active;

	cpu->event.vector = (uint8_t)vector;
	cpu->event.has_error = has_error;
	cpu->event.software = false;
	cpu->event.triple = false;
	cpu->event.error = error;
	if (vector != EXCEPTION_DB)
		cpu->debug_hits = 0; /* an instruction that faults has not met a breakpoint */
	if (delivering) {
		if (cpu->delivery.external && is_in(vector, SELECTOR_ERRORS))
			cpu->event.error |= ERROR_EXT;
		combine(cpu);
	}
	__builtin_longjmp(cpu->unwind, 1);
}

_Noreturn void exception_raise(struct cpu *cpu, unsigned vector)
{
	raise(cpu, vector, false, 0);
}

_Noreturn void exception_raise_error(struct cpu *cpu, unsigned vector, uint32_t error)
{
	raise(cpu, vector, true, error);
}

_Noreturn void exception_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
	cpu->event.cr2 = cpu->cr2 = linear; /* even if it becomes a double fault */
	raise(cpu, EXCEPTION_PF, true, error);
}

/* Delivery */

struct delivery {
	unsigned vector;
	bool software; /* DPL is checked */
	bool has_error;
	uint32_t error;
	uint64_t rip; /* to return to */
	uint64_t rflags;
};

_Noreturn static void gate_fault(struct cpu *cpu, unsigned vector, unsigned gate)
{
	exception_raise_error(cpu, vector, gate * 8 + ERROR_IDT);
}

static uint64_t deliver_real(struct cpu *cpu, const struct delivery *delivery)
{
	struct frame frame = frame_current(cpu);
	uint32_t entry;

	if (delivery->vector * 4 + 3 > cpu->idtr.limit)
		gate_fault(cpu, EXCEPTION_GP, delivery->vector);
	entry = (uint32_t)mmu_load(cpu, (uint32_t)(cpu->idtr.base + delivery->vector * 4), 4,
				   MMU_READ | MMU_SYSTEM);
	frame_push(cpu, &frame, 2, delivery->rflags);
	frame_push(cpu, &frame, 2, cpu->segment[SEGMENT_CS].selector);
	frame_push(cpu, &frame, 2, delivery->rip);
	frame_set_rsp(cpu, &frame);
	segment_load_real(cpu, SEGMENT_CS, (uint16_t)(entry >> 16));
	cpu->rflags &= ~(uint64_t)(FLAG_IF | FLAG_TF | FLAG_RF | FLAG_AC);
	return entry & 0xffff;
}

static struct gate read_gate(struct cpu *cpu, const struct delivery *delivery)
{
	unsigned size = cpu_long(cpu) ? 16 : 8, vector = delivery->vector;
	uint64_t linear = mmu_wrap(cpu, cpu->idtr.base + vector * size), low, high = 0;
	struct gate gate;

	if (vector * size + size - 1 > cpu->idtr.limit)
		gate_fault(cpu, EXCEPTION_GP, vector);
	low = mmu_load(cpu, linear, 8, MMU_READ | MMU_SYSTEM);
	if (size == 16)
		high = mmu_load(cpu, mmu_wrap(cpu, linear + 8), 8, MMU_READ | MMU_SYSTEM) &
		       0xffffffff;
	gate = gate_from_descriptor(low, high);
	switch (gate.type) {
	case DESCRIPTOR_INTERRUPT_GATE:
	case DESCRIPTOR_TRAP_GATE:
		break;
	case DESCRIPTOR_INTERRUPT_GATE16:
	case DESCRIPTOR_TRAP_GATE16:
		if (!cpu_long(cpu))
			break;
		gate_fault(cpu, EXCEPTION_GP, vector);
	case DESCRIPTOR_TASK_GATE:
		if (!cpu_long(cpu))
			engine_log_once(cpu, ENGINE_LOG_OTHER,
					"task gate in the IDT, vector %u: not modelled (#GP)",
					vector);
		gate_fault(cpu, EXCEPTION_GP, vector);
	default:
		gate_fault(cpu, EXCEPTION_GP, vector);
	}
	if (delivery->software && gate.dpl < cpu->cpl)
		gate_fault(cpu, EXCEPTION_GP, vector);
	if (!gate.present)
		gate_fault(cpu, EXCEPTION_NP, vector);
	return gate;
}

/* The handler's code segment; returns the privilege level that it runs with. */
static unsigned read_handler_segment(struct cpu *cpu, const struct gate *gate,
				     struct descriptor *code)
{
	uint16_t attributes;

	descriptor_read(cpu, gate->selector, code, EXCEPTION_GP);
	attributes = code->segment.attributes;
	if (!segment_is_code(attributes) || segment_dpl(attributes) > cpu->cpl)
		selector_fault(cpu, EXCEPTION_GP, gate->selector);
	if (cpu_long(cpu) && (attributes & (SEGMENT_L | SEGMENT_DB)) != SEGMENT_L)
		selector_fault(cpu, EXCEPTION_GP, gate->selector);
	if (cpu_vm86(cpu) && (segment_is_conforming(attributes) || segment_dpl(attributes)))
		selector_fault(cpu, EXCEPTION_GP, gate->selector);
	if (!(attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_NP, gate->selector);
	descriptor_mark_accessed(cpu, code);
	return segment_is_conforming(attributes) ? cpu->cpl : segment_dpl(attributes);
}

static void enter_handler(struct cpu *cpu, const struct gate *gate, struct descriptor *code,
			  unsigned cpl)
{
	code->segment.selector = (uint16_t)((gate->selector & ~3u) | cpl);
	cpu->segment[SEGMENT_CS] = code->segment;
	cpu->rflags &= ~(uint64_t)(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
	if (!(gate->type & 1))
		cpu->rflags &= ~(uint64_t)FLAG_IF;
}

static uint64_t deliver_long(struct cpu *cpu, const struct delivery *delivery,
			     const struct gate *gate)
{
	struct descriptor code;
	unsigned cpl = read_handler_segment(cpu, gate, &code), words = delivery->has_error ? 6 : 5;
	uint64_t stack[6], sp = cpu->gpr[RSP];
	uint16_t ss;

	if (gate->ist)
		sp = tss_ist(cpu, gate->ist);
	else if (cpl != cpu->cpl)
		tss_stack(cpu, cpl, &sp, &ss);
	sp = (sp & ~15ull) - words * 8;
	if (!paging_canonical(sp) || !paging_canonical(sp + words * 8 - 1))
		exception_raise_error(cpu, EXCEPTION_SS, 0);
	stack[0] = delivery->error;
	stack[words - 5] = delivery->rip;
	stack[words - 4] = cpu->segment[SEGMENT_CS].selector;
	stack[words - 3] = delivery->rflags;
	stack[words - 2] = cpu->gpr[RSP];
	stack[words - 1] = cpu->segment[SEGMENT_SS].selector;
	mmu_store_bytes(cpu, sp, stack, words * 8, MMU_WRITE | (cpl < 3 ? MMU_SYSTEM : 0));
	if (!paging_canonical(gate->offset))
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	if (cpl != cpu->cpl)
		segment_load_null(cpu, SEGMENT_SS, (uint16_t)cpl, cpl);
	cpu->gpr[RSP] = sp;
	enter_handler(cpu, gate, &code, cpl);
	return gate->offset;
}

/* An inner level's stack, outside long mode. */
static struct frame inner_stack(struct cpu *cpu, unsigned cpl)
{
	struct frame frame = {.access = cpl < 3 ? MMU_SYSTEM : 0};
	struct descriptor stack;
	uint16_t ss;

	tss_stack(cpu, cpl, &frame.sp, &ss);
	stack_segment_read(cpu, ss, cpl, EXCEPTION_TS, &stack);
	frame.ss = stack.segment;
	frame.error = ss & 0xfffcu;
	return frame;
}

static uint64_t deliver_protected(struct cpu *cpu, const struct delivery *delivery,
				  const struct gate *gate)
{
	static const uint8_t vm86_segments[] = {SEGMENT_GS, SEGMENT_FS, SEGMENT_DS, SEGMENT_ES};
	unsigned size = gate->type >= DESCRIPTOR_CALL_GATE ? 4 : 2, cpl;
	struct descriptor code;
	struct frame frame;
	bool inner, vm86 = cpu_vm86(cpu);

	cpl = read_handler_segment(cpu, gate, &code);
	inner = cpl != cpu->cpl;
	frame = inner ? inner_stack(cpu, cpl) : frame_current(cpu);
	if (vm86)
		for (unsigned i = 0; i < sizeof(vm86_segments); i++)
			frame_push(cpu, &frame, size, cpu->segment[vm86_segments[i]].selector);
	if (inner) {
		frame_push(cpu, &frame, size, cpu->segment[SEGMENT_SS].selector);
		frame_push(cpu, &frame, size, cpu->gpr[RSP]);
	}
	frame_push(cpu, &frame, size, delivery->rflags);
	frame_push(cpu, &frame, size, cpu->segment[SEGMENT_CS].selector);
	frame_push(cpu, &frame, size, delivery->rip);
	if (delivery->has_error)
		frame_push(cpu, &frame, size, delivery->error);
	if (gate->offset > code.segment.limit)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	if (vm86)
		for (unsigned i = 0; i < sizeof(vm86_segments); i++)
			segment_load_null(cpu, vm86_segments[i], 0, 0);
	cpu->segment[SEGMENT_SS] = frame.ss;
	frame_set_rsp(cpu, &frame);
	enter_handler(cpu, gate, &code, cpl);
	return gate->offset;
}

static uint64_t deliver(struct cpu *cpu, struct delivery *delivery)
{
	struct gate gate;
	uint64_t rip;

	if (cpu_real(cpu)) {
		rip = deliver_real(cpu, delivery);
	} else {
		gate = read_gate(cpu, delivery);
		rip = cpu_long(cpu) ? deliver_long(cpu, delivery, &gate)
				    : deliver_protected(cpu, delivery, &gate);
	}
	cpu->delivery.active = false;
	cpu_mode_changed(cpu);
	return rip;
}

static void delivery_begin(struct cpu *cpu, unsigned vector, bool exception, bool external)
{
	cpu->delivery.active = true;
	cpu->delivery.exception = exception;
	cpu->delivery.external = external;
	cpu->delivery.vector = (uint8_t)vector;
}

static void shut_down(struct cpu *cpu)
{
	cpu->delivery.active = false;
	cpu->exit->kind = EXIT_SHUTDOWN;
	cpu->leave = true;
}

void exception_deliver(struct cpu *cpu)
{
	unsigned vector = cpu->event.vector;
	struct delivery delivery = {
		.vector = vector,
		.software = cpu->event.software,
		.has_error = cpu->event.has_error,
		.error = cpu->event.error,
		.rip = cpu->rip,
		.rflags = cpu_rflags(cpu),
	};

	if (cpu->event.triple) {
		shut_down(cpu);
		return;
	}
	if (vector == EXCEPTION_PF)
		cpu->cr2 = cpu->event.cr2;
	if (is_in(vector, FAULTS))
		delivery.rflags |= FLAG_RF;
	delivery_begin(cpu, vector, !cpu->event.software, !cpu->event.software);
	cpu->rip = deliver(cpu, &delivery);
}

void interrupt_deliver(struct cpu *cpu, unsigned vector)
{
	struct delivery delivery = {.vector = vector, .rip = cpu->rip, .rflags = cpu_rflags(cpu)};

	delivery_begin(cpu, vector, false, true);
	cpu->rip = deliver(cpu, &delivery);
}

void interrupt_software(struct cpu *cpu, unsigned vector, bool privileged)
{
	struct delivery delivery = {.vector = vector,
				    .software = !privileged,
				    .rip = cpu->next_rip,
				    .rflags = cpu_rflags(cpu)};

	delivery_begin(cpu, vector, false, privileged);
	cpu->next_rip = deliver(cpu, &delivery);
}
