/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transfers that change the code segment: far jumps, calls and returns, interrupt instructions,
 * iret, fast system calls (Intel SDM volume 2; volume 3, section 5.8).
 *
 * Not modelled: hardware task switches, by jmp, call or iret. They raise #GP, with a line in the
 * log.
 */
#include "engines/translate/debug.h"
#include "engines/translate/engine.h"
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"

/* Attributes of flat segments. */
#define FLAT_CODE_64 0xa09b
#define FLAT_CODE_32 0xc09b
#define FLAT_DATA    0xc093
#define FLAT_USER    0x0060 /* DPL 3 */

_Noreturn static void general_protection(struct cpu *cpu)
{
	exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static uint64_t cut(uint64_t value, unsigned size)
{
	return size == 8 ? value : size == 4 ? (uint32_t)value : (uint16_t)value;
}

/* Would this segment run 64-bit code? */
static bool is_64(const struct cpu *cpu, const struct segment *code)
{
	return cpu_long(cpu) && (code->attributes & SEGMENT_L);
}

static void check_target(struct cpu *cpu, const struct segment *code, uint64_t offset)
{
	if (is_64(cpu, code) ? !paging_canonical(offset) : offset > code->limit)
		general_protection(cpu);
}

static void go(struct cpu *cpu, struct segment code, unsigned cpl, uint64_t rip)
{
	code.selector = (uint16_t)((code.selector & ~3u) | cpl);
	cpu->segment[SEGMENT_CS] = code;
	cpu->next_rip = rip;
	cpu_mode_changed(cpu);
}

/* Jumps and calls */

static void read_far_pointer(struct cpu *cpu, const struct insn *insn, uint16_t *selector,
			     uint64_t *offset)
{
	unsigned size = insn->operand_size;
	uint64_t linear;

	if (!insn->memory) {
		*selector = insn->immediate2;
		*offset = cut((uint64_t)insn->immediate, size);
		return;
	}
	linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn), size + 2, MMU_READ);
	*offset = mmu_load(cpu, linear, size, MMU_READ);
	*selector = (uint16_t)mmu_load(cpu, mmu_wrap(cpu, linear + size), 2, MMU_READ);
}

static void push_return(struct cpu *cpu, struct frame *frame, unsigned size)
{
	frame_push(cpu, frame, size, cpu->segment[SEGMENT_CS].selector);
	frame_push(cpu, frame, size, cpu->next_rip);
}

/* Real and virtual-8086 mode. */
static void far_real(struct cpu *cpu, unsigned size, uint16_t selector, uint64_t offset, bool call)
{
	struct frame frame = frame_current(cpu);

	if (offset > cpu->segment[SEGMENT_CS].limit)
		general_protection(cpu);
	if (call) {
		push_return(cpu, &frame, size);
		frame_set_rsp(cpu, &frame);
	}
	if (cpu_vm86(cpu))
		segment_load_vm86(cpu, SEGMENT_CS, selector);
	else
		segment_load_real(cpu, SEGMENT_CS, selector);
	cpu->next_rip = offset;
	cpu_mode_changed(cpu);
}

static void far_to_code(struct cpu *cpu, unsigned size, struct descriptor *code, uint64_t offset,
			bool call)
{
	uint16_t selector = code->segment.selector, attributes = code->segment.attributes;
	struct frame frame = frame_current(cpu);
	unsigned dpl = segment_dpl(attributes);

	if (segment_is_conforming(attributes) ? dpl > cpu->cpl
					      : (selector & 3u) > cpu->cpl || dpl != cpu->cpl)
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (!(attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_NP, selector);
	if (cpu_long(cpu) && (attributes & (SEGMENT_L | SEGMENT_DB)) == (SEGMENT_L | SEGMENT_DB))
		selector_fault(cpu, EXCEPTION_GP, selector);
	check_target(cpu, &code->segment, offset);
	descriptor_mark_accessed(cpu, code);
	if (call) {
		push_return(cpu, &frame, size);
		frame_set_rsp(cpu, &frame);
	}
	go(cpu, code->segment, cpu->cpl, offset);
}

/* A call gate to an inner level: onto that level's stack, with the parameters copied. */
static void call_inner(struct cpu *cpu, const struct gate *gate, struct descriptor *code,
		       unsigned size)
{
	struct frame old = frame_current(cpu), frame = {.access = MMU_SYSTEM};
	unsigned cpl = segment_dpl(code->segment.attributes);
	uint64_t parameter[31];
	struct descriptor stack;
	uint16_t ss;

	tss_stack(cpu, cpl, &frame.sp, &ss);
	if (cpu_long(cpu)) {
		frame.wide = true;
		frame.ss = (struct segment){.selector = ss,
					    .attributes = (uint16_t)(cpl << SEGMENT_DPL_SHIFT)};
	} else {
		stack_segment_read(cpu, ss, cpl, EXCEPTION_TS, &stack);
		frame.ss = stack.segment;
		frame.error = ss & 0xfffcu;
	}
	check_target(cpu, &code->segment, gate->offset);
	for (unsigned i = 0; !frame.wide && i < gate->count; i++)
		parameter[i] = frame_pop(cpu, &old, size);
	frame_push(cpu, &frame, size, cpu->segment[SEGMENT_SS].selector);
	frame_push(cpu, &frame, size, cpu->gpr[RSP]);
	for (unsigned i = frame.wide ? 0 : gate->count; i-- > 0;)
		frame_push(cpu, &frame, size, parameter[i]);
	push_return(cpu, &frame, size);
	descriptor_mark_accessed(cpu, code);
	cpu->segment[SEGMENT_SS] = frame.ss;
	frame_set_rsp(cpu, &frame);
	go(cpu, code->segment, cpl, gate->offset);
}

static void far_to_gate(struct cpu *cpu, struct descriptor *descriptor, bool call)
{
	uint16_t selector = descriptor->segment.selector;
	struct frame frame = frame_current(cpu);
	struct descriptor code;
	struct gate gate;
	unsigned dpl, size;

	gate = gate_from_descriptor(descriptor->low, 0);
	if (gate.dpl < cpu->cpl || gate.dpl < (selector & 3u))
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (!gate.present)
		selector_fault(cpu, EXCEPTION_NP, selector);
	if (cpu_long(cpu)) {
		descriptor_read_high(cpu, selector, descriptor, EXCEPTION_GP);
		gate = gate_from_descriptor(descriptor->low, descriptor->high & 0xffffffff);
	}
	size = cpu_long(cpu) ? 8 : gate.type == DESCRIPTOR_CALL_GATE ? 4 : 2;
	descriptor_read(cpu, gate.selector, &code, EXCEPTION_GP);
	dpl = segment_dpl(code.segment.attributes);
	if (!segment_is_code(code.segment.attributes) || dpl > cpu->cpl)
		selector_fault(cpu, EXCEPTION_GP, gate.selector);
	if (!call && !segment_is_conforming(code.segment.attributes) && dpl != cpu->cpl)
		selector_fault(cpu, EXCEPTION_GP, gate.selector);
	if (cpu_long(cpu) && (code.segment.attributes & (SEGMENT_L | SEGMENT_DB)) != SEGMENT_L)
		selector_fault(cpu, EXCEPTION_GP, gate.selector);
	if (!(code.segment.attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_NP, gate.selector);
	if (call && !segment_is_conforming(code.segment.attributes) && dpl < cpu->cpl) {
		call_inner(cpu, &gate, &code, size);
		return;
	}
	check_target(cpu, &code.segment, gate.offset);
	descriptor_mark_accessed(cpu, &code);
	if (call) {
		frame.wide = cpu_long(cpu);
		push_return(cpu, &frame, size);
		frame_set_rsp(cpu, &frame);
	}
	go(cpu, code.segment, cpu->cpl, gate.offset);
}

static void far_transfer(struct cpu *cpu, const struct insn *insn, bool call)
{
	struct descriptor descriptor;
	uint16_t selector;
	uint64_t offset;

	read_far_pointer(cpu, insn, &selector, &offset);
	if (!cpu_protected(cpu)) {
		far_real(cpu, insn->operand_size, selector, offset, call);
		return;
	}
	descriptor_read(cpu, selector, &descriptor, EXCEPTION_GP);
	if (segment_is_code(descriptor.segment.attributes)) {
		far_to_code(cpu, insn->operand_size, &descriptor, offset, call);
		return;
	}
	if (!(descriptor.segment.attributes & SEGMENT_S)) {
		switch (descriptor.segment.attributes & SEGMENT_TYPE) {
		case DESCRIPTOR_CALL_GATE16:
			if (cpu_long(cpu))
				break;
			/* fall through */
		case DESCRIPTOR_CALL_GATE:
			far_to_gate(cpu, &descriptor, call);
			return;
		case DESCRIPTOR_TSS16:
		case DESCRIPTOR_TASK_GATE:
		case DESCRIPTOR_TSS:
			if (!cpu_long(cpu))
				engine_log_once(cpu, ENGINE_LOG_OTHER,
						"task switch to %#x: not modelled (#GP)", selector);
		}
	}
	selector_fault(cpu, EXCEPTION_GP, selector);
}

void handle_jmp_far(struct cpu *cpu, const struct insn *insn)
{
	far_transfer(cpu, insn, false);
}

void handle_call_far(struct cpu *cpu, const struct insn *insn)
{
	far_transfer(cpu, insn, true);
}

/* Returns */

/* The code segment that a return or iret goes to; its RPL is the new privilege level. */
static void return_segment(struct cpu *cpu, uint16_t selector, struct descriptor *code)
{
	unsigned rpl = selector & 3u;
	uint16_t attributes;

	descriptor_read(cpu, selector, code, EXCEPTION_GP);
	attributes = code->segment.attributes;
	if (!segment_is_code(attributes) || rpl < cpu->cpl)
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (segment_is_conforming(attributes) ? segment_dpl(attributes) > rpl
					      : segment_dpl(attributes) != rpl)
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (cpu_long(cpu) && (attributes & (SEGMENT_L | SEGMENT_DB)) == (SEGMENT_L | SEGMENT_DB))
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (!(attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_NP, selector);
	descriptor_mark_accessed(cpu, code);
}

/* The stack segment that goes with it: null is allowed for 64-bit code of levels 0 to 2. */
static struct segment return_stack_segment(struct cpu *cpu, uint16_t selector,
					   const struct segment *code)
{
	unsigned cpl = code->selector & 3u;
	struct descriptor stack;

	if (selector_null(selector)) {
		if (!is_64(cpu, code) || cpl == 3 || (selector & 3u) != cpl)
			general_protection(cpu);
		return (struct segment){.selector = selector,
					.attributes = (uint16_t)(cpl << SEGMENT_DPL_SHIFT)};
	}
	stack_segment_read(cpu, selector, cpl, EXCEPTION_GP, &stack);
	return stack.segment;
}

/* Puts the outer (or popped) stack in place: how wide rsp is depends on what is returned to. */
static void return_stack(struct cpu *cpu, const struct segment *code, const struct segment *ss,
			 uint64_t sp)
{
	struct frame frame = {.ss = *ss, .sp = sp, .wide = is_64(cpu, code)};

	cpu->segment[SEGMENT_SS] = *ss;
	frame_set_rsp(cpu, &frame);
}

void handle_ret_far(struct cpu *cpu, const struct insn *insn)
{
	struct frame frame = frame_current(cpu);
	unsigned size = insn->operand_size;
	uint16_t skip = (uint16_t)insn->immediate, selector, ss_selector;
	struct descriptor code;
	struct segment ss;
	uint64_t rip, sp;

	rip = frame_pop(cpu, &frame, size);
	selector = (uint16_t)frame_pop(cpu, &frame, size);
	if (!cpu_protected(cpu)) {
		frame.sp += skip;
		far_real(cpu, size, selector, rip, false);
		frame_set_rsp(cpu, &frame);
		return;
	}
	return_segment(cpu, selector, &code);
	check_target(cpu, &code.segment, rip);
	frame.sp += skip;
	if ((selector & 3u) == cpu->cpl) {
		frame_set_rsp(cpu, &frame);
		go(cpu, code.segment, cpu->cpl, rip);
		return;
	}
	sp = frame_pop(cpu, &frame, size);
	ss_selector = (uint16_t)frame_pop(cpu, &frame, size);
	ss = return_stack_segment(cpu, ss_selector, &code.segment);
	return_stack(cpu, &code.segment, &ss, sp + skip);
	segments_drop_privileged(cpu, selector & 3u);
	go(cpu, code.segment, selector & 3u, rip);
}

/* Bits of RFLAGS that an iret (or popf) at this privilege level changes. */
uint64_t flags_writable(const struct cpu *cpu, unsigned size)
{
	uint64_t mask = FLAG_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;

	if (size > 2)
		mask |= FLAG_RF | FLAG_AC | FLAG_ID;
	if (cpu->cpl == 0)
		mask |= FLAG_IOPL;
	if (cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12)
		mask |= FLAG_IF;
	return mask;
}

static void set_flags(struct cpu *cpu, uint64_t value, uint64_t mask)
{
	if (!(cpu->debug_active & DEBUG_INSTRUCTION))
		value &= ~FLAG_RF; /* nobody will look at it, nor clear it */
	cpu_set_rflags(cpu, (cpu_rflags(cpu) & ~mask) | (value & mask));
}

static void iret_real(struct cpu *cpu, unsigned size)
{
	struct frame frame = frame_current(cpu);
	uint64_t rip = frame_pop(cpu, &frame, size), flags;
	uint16_t selector = (uint16_t)frame_pop(cpu, &frame, size);

	if (cpu_vm86(cpu) && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
		general_protection(cpu);
	flags = frame_pop(cpu, &frame, size);
	far_real(cpu, size, selector, rip, false);
	frame_set_rsp(cpu, &frame);
	set_flags(cpu, flags, flags_writable(cpu, size) & ~(cpu_vm86(cpu) ? FLAG_IOPL : 0));
	cpu_mode_changed(cpu);
}

static void iret_to_vm86(struct cpu *cpu, struct frame *frame, uint64_t rip, uint16_t cs,
			 uint64_t flags)
{
	static const uint8_t order[] = {SEGMENT_SS, SEGMENT_ES, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS};
	uint64_t sp = frame_pop(cpu, frame, 4);
	uint16_t selector[5];

	for (unsigned i = 0; i < 5; i++)
		selector[i] = (uint16_t)frame_pop(cpu, frame, 4);
	cpu->gpr[RSP] = (uint32_t)sp;
	set_flags(cpu, flags, flags_writable(cpu, 4) | FLAG_VM);
	for (unsigned i = 0; i < 5; i++)
		segment_load_vm86(cpu, order[i], selector[i]);
	segment_load_vm86(cpu, SEGMENT_CS, cs);
	cpu->next_rip = rip & 0xffff;
	cpu_mode_changed(cpu);
}

static void iret_protected(struct cpu *cpu, unsigned size)
{
	struct frame frame = frame_current(cpu);
	uint64_t rip = frame_pop(cpu, &frame, size), flags, mask, sp = 0;
	uint16_t selector = (uint16_t)frame_pop(cpu, &frame, size), ss_selector;
	unsigned rpl = selector & 3u;
	struct descriptor code;
	struct segment ss;
	bool outer;

	flags = frame_pop(cpu, &frame, size);
	if ((flags & FLAG_VM) && size == 4 && cpu->cpl == 0 && !cpu_long(cpu)) {
		iret_to_vm86(cpu, &frame, rip, selector, flags);
		return;
	}
	return_segment(cpu, selector, &code);
	check_target(cpu, &code.segment, rip);
	outer = rpl > cpu->cpl;
	if (outer || cpu_code_size(cpu) == CODE_64) {
		sp = frame_pop(cpu, &frame, size);
		ss_selector = (uint16_t)frame_pop(cpu, &frame, size);
		ss = return_stack_segment(cpu, ss_selector, &code.segment);
		return_stack(cpu, &code.segment, &ss, sp);
	} else {
		frame_set_rsp(cpu, &frame);
	}
	mask = flags_writable(cpu, size);
	if (outer)
		segments_drop_privileged(cpu, rpl);
	set_flags(cpu, flags, mask);
	go(cpu, code.segment, rpl, rip);
}

void handle_iret(struct cpu *cpu, const struct insn *insn)
{
	if (!cpu_protected(cpu)) {
		iret_real(cpu, insn->operand_size);
	} else {
		if (cpu->rflags & FLAG_NT) {
			if (!cpu_long(cpu))
				engine_log_once(cpu, ENGINE_LOG_OTHER,
						"iret to another task: not modelled (#GP)");
			general_protection(cpu);
		}
		iret_protected(cpu, insn->operand_size);
	}
	cpu->nmi_blocked = 0;
}

/* Software interrupts */

static void software(struct cpu *cpu, unsigned vector, bool privileged)
{
	bool stepping = cpu->debug_active & DEBUG_STEP;

	interrupt_software(cpu, vector, privileged);
	cpu->step_swallowed = stepping;
}

void handle_int(struct cpu *cpu, const struct insn *insn)
{
	if (cpu_vm86(cpu) && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
		general_protection(cpu);
	software(cpu, (uint8_t)insn->immediate, false);
}

void handle_int3(struct cpu *cpu, const struct insn *insn)
{
	software(cpu, EXCEPTION_BP, false);
}

void handle_int1(struct cpu *cpu, const struct insn *insn)
{
	software(cpu, EXCEPTION_DB, true);
}

void handle_into(struct cpu *cpu, const struct insn *insn)
{
	if (cpu_status(cpu) & FLAG_OF)
		software(cpu, EXCEPTION_OF, false);
}

void handle_ud(struct cpu *cpu, const struct insn *insn)
{
	exception_raise(cpu, EXCEPTION_UD);
}

/* Fast system calls */

void handle_syscall(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector = (uint16_t)(cpu->star >> 32) & 0xfffc;

	/* This is an Intel processor: not in compatibility mode. */
	if (!(cpu->efer & EFER_SCE) || cpu_code_size(cpu) != CODE_64)
		exception_raise(cpu, EXCEPTION_UD);
	cpu->gpr[RCX] = cpu->next_rip;
	cpu->gpr[R11] = cpu_rflags(cpu) & ~FLAG_RF;
	cpu_set_rflags(cpu, cpu->gpr[R11] & ~(cpu->sfmask & 0xffffffff));
	segment_load_flat(cpu, SEGMENT_CS, selector, FLAT_CODE_64);
	segment_load_flat(cpu, SEGMENT_SS, (uint16_t)(selector + 8), FLAT_DATA);
	cpu->next_rip = cpu->lstar;
	cpu->step_swallowed = (cpu->debug_active & DEBUG_STEP) && !(cpu->rflags & FLAG_TF);
	cpu_mode_changed(cpu);
}

void handle_sysret(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector = (uint16_t)(cpu->star >> 48);
	bool to_64 = insn->operand_size == 8;

	if (!(cpu->efer & EFER_SCE) || cpu_code_size(cpu) != CODE_64)
		exception_raise(cpu, EXCEPTION_UD);
	if (cpu->cpl || (to_64 && !paging_canonical(cpu->gpr[RCX])))
		general_protection(cpu);
	cpu_set_rflags(cpu, (cpu->gpr[R11] & 0x3c7fd7) | 2);
	segment_load_flat(cpu, SEGMENT_CS, (uint16_t)((selector + (to_64 ? 16 : 0)) | 3),
			  (to_64 ? FLAT_CODE_64 : FLAT_CODE_32) | FLAT_USER);
	segment_load_flat(cpu, SEGMENT_SS, (uint16_t)((selector + 8) | 3), FLAT_DATA | FLAT_USER);
	cpu->next_rip = to_64 ? cpu->gpr[RCX] : (uint32_t)cpu->gpr[RCX];
	cpu_mode_changed(cpu);
}

void handle_sysenter(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector = (uint16_t)cpu->sysenter_cs & 0xfffc;
	bool wide = cpu_long(cpu);

	if (cpu_real(cpu) || !selector)
		general_protection(cpu);
	cpu->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
	segment_load_flat(cpu, SEGMENT_CS, selector, wide ? FLAT_CODE_64 : FLAT_CODE_32);
	segment_load_flat(cpu, SEGMENT_SS, (uint16_t)(selector + 8), FLAT_DATA);
	cpu->gpr[RSP] = wide ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
	cpu->next_rip = wide ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip;
	cpu_mode_changed(cpu);
}

void handle_sysexit(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector = (uint16_t)cpu->sysenter_cs & 0xfffc;
	bool to_64 = insn->operand_size == 8;
	uint64_t rip = cpu->gpr[RDX], rsp = cpu->gpr[RCX];

	if (cpu_real(cpu) || !selector || cpu->cpl)
		general_protection(cpu);
	if (to_64 && (!paging_canonical(rip) || !paging_canonical(rsp)))
		general_protection(cpu);
	selector = (uint16_t)(selector + (to_64 ? 32 : 16));
	segment_load_flat(cpu, SEGMENT_CS, selector | 3,
			  (to_64 ? FLAT_CODE_64 : FLAT_CODE_32) | FLAT_USER);
	segment_load_flat(cpu, SEGMENT_SS, (uint16_t)(selector + 8) | 3, FLAT_DATA | FLAT_USER);
	cpu->gpr[RSP] = to_64 ? rsp : (uint32_t)rsp;
	cpu->next_rip = to_64 ? rip : (uint32_t)rip;
	cpu_mode_changed(cpu);
}
