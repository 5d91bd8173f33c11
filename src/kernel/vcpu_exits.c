/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done about each kind of exit, in the words that all vendors share (struct vcpu_exit).
 *
 * Not modelled: exceptions and interrupts whose tables or stack are in device memory (the machine
 * is shut down), breakpoints on the ports of ins and outs.
 */
#include "kernel/cpu.h"
#include "kernel/guest.h"
#include "kernel/vcpu.h"
#include "lib/bits.h"
#include "x86/registers.h"

#define DR6_BS	    0x4000u
#define DR7_ENABLED 0xffu
#define DR7_TYPE(n) (16 + 4 * (n))
#define DR7_PORT    2

/* Exceptions */

void vcpu_event_give_back(struct vcpu *vcpu)
{
	struct event event = vcpu->event;

	vcpu->event.kind = EVENT_NONE;
	if (event.kind == EVENT_INTERRUPT)
		vcpu_apic_give_back(vcpu, event.vector);
	if (event.kind == EVENT_NONMASKABLE) {
		vcpu->nmi_pending = true;
		vcpu->state.nmi_blocked = 0;
	}
}

/* An interrupt that is not delivered yet must not be lost; an exception comes again. */
static void raise(struct vcpu *vcpu, struct event event)
{
	vcpu_event_give_back(vcpu);
	vcpu->event = event;
}

void vcpu_raise(struct vcpu *vcpu, uint8_t vector)
{
	raise(vcpu, (struct event){.kind = EVENT_FAULT, .vector = vector});
}

void vcpu_raise_error(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
	raise(vcpu, (struct event){.kind = EVENT_FAULT,
				   .vector = vector,
				   .has_error = vcpu->state.cr0 & CR0_PE,
				   .error = error});
}

/* The next instruction */

void vcpu_skip_to(struct vcpu *vcpu, uint64_t rip)
{
	struct metal_state *state = &vcpu->state;

	if (vcpu_code_size(vcpu) != CODE_64)
		rip = (uint32_t)rip;
	state->rip = rip;
	state->interrupt_shadow = 0;
	if (state->rflags & FLAG_TF) {
		state->dr[6] |= DR6_BS;
		vcpu_raise(vcpu, EXCEPTION_DB);
	}
	state->rflags &= ~FLAG_RF;
}

/* The usual form of the instruction that ended in this exit, without prefixes: its length. */
static unsigned usual_length(struct vcpu *vcpu)
{
	uint32_t code;

	if (vcpu_code_size(vcpu) != CODE_64)
		return 0;
	code = vcpu_code(vcpu, vcpu->state.rip, vcpu->state.cr3);
	switch (vcpu->exit.kind) {
	case VCPU_EXIT_CPUID:
		return (uint16_t)code == 0xa20f ? 2 : 0;
	case VCPU_EXIT_MSR:
		return (uint16_t)code == 0x300f || (uint16_t)code == 0x320f ? 2 : 0;
	case VCPU_EXIT_HALT:
		return (uint8_t)code == 0xf4 ? 1 : 0;
	default:
		return 0;
	}
}

static void skip(struct vcpu *vcpu)
{
	struct insn insn;
	unsigned usual;

	if (vcpu->exit.next_rip) {
		vcpu_skip_to(vcpu, vcpu->exit.next_rip);
		return;
	}
	usual = usual_length(vcpu);
	if (usual)
		vcpu_skip_to(vcpu, vcpu->state.rip + usual);
	else if (vcpu_decode(vcpu, &insn))
		vcpu_skip_to(vcpu, vcpu->state.rip + insn.length);
}

/* Ports */

/* SDM 3, 17.2.4: with CR4.DE, breakpoints on ports. They are traps. */
static void port_breakpoints(struct vcpu *vcpu, uint16_t port, unsigned size)
{
	uint64_t control, hit = 0;

	if (!(vcpu->state.cr4 & CR4_DE))
		return;
	control = vcpu->state.dr[7];
	if (!(control & DR7_ENABLED))
		return;
	vcpu_debug_save(vcpu);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t length = (control >> (DR7_TYPE(i) + 2) & 3) + 1;
		uint64_t first = vcpu->state.dr[i] & ~(length - 1);

		if ((control >> 2 * i & 3) && (control >> DR7_TYPE(i) & 3) == DR7_PORT &&
		    first < port + size && port < first + length)
			hit |= BIT(i);
	}
	if (hit) {
		vcpu->state.dr[6] |= hit;
		vcpu_raise(vcpu, EXCEPTION_DB);
	}
}

static bool handle_port(struct vcpu *vcpu)
{
	const struct vcpu_exit *exit = &vcpu->exit;
	uint64_t value = vcpu->state.gpr[GPR_RAX] & bits_of_size(exit->size);

	if (exit->string)
		return vcpu_emulate(vcpu);
	vcpu->question = (struct metal_exit){.kind = METAL_EXIT_PORT,
					     .size = exit->size,
					     .write = exit->write,
					     .address = exit->port,
					     .value = exit->write ? value : 0};
	return vcpu->asked = true;
}

static void finish_port(struct vcpu *vcpu, uint64_t value)
{
	uint64_t *rax = &vcpu->state.gpr[GPR_RAX], mask = bits_of_size(vcpu->exit.size);

	if (!vcpu->exit.write)
		*rax = vcpu->exit.size == 4 ? (uint32_t)value : (*rax & ~mask) | (value & mask);
	skip(vcpu);
	port_breakpoints(vcpu, vcpu->exit.port, vcpu->exit.size);
}

/* Memory */

static bool handle_memory(struct vcpu *vcpu)
{
	uint64_t address = vcpu->exit.address & ~(LARGE_SIZE - 1);
	const void *large = guest_memory(vcpu->guest, address, LARGE_SIZE);

	if (large) {
		vcpu_count(vcpu, METAL_REASON_PAGE);
		nested_fill(vcpu->guest, address, direct_pa(large));
		return false;
	}
	vcpu_count(vcpu, vcpu->exit.address >> 12 == APIC_ADDRESS >> 12 ? METAL_REASON_APIC
									: METAL_REASON_MEMORY);
	if (vcpu->event.kind)
		return vcpu_ask(vcpu, METAL_EXIT_SHUTDOWN, 0);
	if (vcpu->exit.fetch) {
		vcpu_raise(vcpu, EXCEPTION_UD);
		return false;
	}
	return vcpu_emulate(vcpu);
}

/* Instructions */

static void handle_cpuid(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->state.gpr;
	const struct metal_cpuid *found;

	if ((uint32_t)gpr[GPR_RAX] == CPUID_XSAVE)
		vcpu_xcr0_refresh(vcpu);
	found = cpuid_table_find(&vcpu->cpuid, (uint32_t)gpr[GPR_RAX], (uint32_t)gpr[GPR_RCX]);
	gpr[GPR_RAX] = found ? found->value[0] : 0;
	gpr[GPR_RBX] = found ? found->value[1] : 0;
	gpr[GPR_RCX] = found ? found->value[2] : 0;
	gpr[GPR_RDX] = found ? found->value[3] : 0;
	skip(vcpu);
}

static uint64_t edx_eax(const struct vcpu *vcpu)
{
	return (uint32_t)vcpu->state.gpr[GPR_RAX] | vcpu->state.gpr[GPR_RDX] << 32;
}

static void handle_msr(struct vcpu *vcpu)
{
	uint32_t number = (uint32_t)vcpu->state.gpr[GPR_RCX];
	uint64_t value = 0;

	if (vcpu->exit.write ? !vcpu_msr_write(vcpu, number, edx_eax(vcpu))
			     : !vcpu_msr_read(vcpu, number, &value)) {
		vcpu_raise_error(vcpu, EXCEPTION_GP, 0);
		return;
	}
	if (!vcpu->exit.write) {
		vcpu->state.gpr[GPR_RAX] = (uint32_t)value;
		vcpu->state.gpr[GPR_RDX] = value >> 32;
	}
	skip(vcpu);
}

/* SDM 2, xsetbv. */
static void handle_xsetbv(struct vcpu *vcpu)
{
	/* The registers are loaded again with the new value. */
	vcpu_leave_processor(vcpu);
	if (!(vcpu->state.cr4 & CR4_OSXSAVE))
		vcpu_raise(vcpu, EXCEPTION_UD);
	else if (vcpu->cpl ||
		 !vcpu_set_xcr0(vcpu, (uint32_t)vcpu->state.gpr[GPR_RCX], edx_eax(vcpu)))
		vcpu_raise_error(vcpu, EXCEPTION_GP, 0);
	else
		skip(vcpu);
}

static bool set_control(struct vcpu *vcpu, unsigned number, uint64_t value)
{
	if (number == 4)
		return vcpu_set_cr4(vcpu, value);
	if (number != 8 || value > 15)
		return false;
	vcpu->apic.tpr = (uint32_t)value << 4;
	return true;
}

/* mov to a control register: the processor has checked the privilege. */
static void handle_control(struct vcpu *vcpu)
{
	struct insn insn;
	uint64_t value;

	if (!vcpu_decode(vcpu, &insn))
		return;
	if (insn.op->operand[0].kind != OPERAND_CR) {
		vcpu_log(vcpu, "opcode 0f %02x writes a control register (#UD)", insn.opcode);
		vcpu_raise(vcpu, EXCEPTION_UD);
		return;
	}
	value = vcpu->state.gpr[insn.rm];
	if (insn.code_size != CODE_64)
		value = (uint32_t)value;
	if (set_control(vcpu, insn.reg, value))
		vcpu_skip_to(vcpu, vcpu->state.rip + insn.length);
	else
		vcpu_raise_error(vcpu, EXCEPTION_GP, 0);
}

bool vcpu_handle(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;

	if (exit->kind != VCPU_EXIT_MEMORY)
		vcpu_count(vcpu, exit->reason);
	switch (exit->kind) {
	case VCPU_EXIT_HANDLED:
		if (exit->reason == METAL_REASON_INTERRUPT)
			cpu_take_interrupts();
		break;
	case VCPU_EXIT_WINDOW:
		break;
	case VCPU_EXIT_CPUID:
		handle_cpuid(vcpu);
		break;
	case VCPU_EXIT_MSR:
		handle_msr(vcpu);
		break;
	case VCPU_EXIT_PORT:
		return handle_port(vcpu);
	case VCPU_EXIT_MEMORY:
		return handle_memory(vcpu);
	case VCPU_EXIT_HALT:
		skip(vcpu);
		vcpu->state.halted = 1;
		break;
	case VCPU_EXIT_CONTROL:
		handle_control(vcpu);
		break;
	case VCPU_EXIT_XSETBV:
		handle_xsetbv(vcpu);
		break;
	case VCPU_EXIT_EXCEPTION:
		raise(vcpu, exit->fault);
		break;
	case VCPU_EXIT_SKIP:
		skip(vcpu);
		break;
	case VCPU_EXIT_UNDEFINED:
		vcpu_raise(vcpu, EXCEPTION_UD);
		break;
	case VCPU_EXIT_FORBIDDEN:
		vcpu_raise_error(vcpu, EXCEPTION_GP, 0);
		break;
	case VCPU_EXIT_SHUTDOWN:
		return vcpu_ask(vcpu, METAL_EXIT_SHUTDOWN, 0);
	default:
		vcpu_log(vcpu, "the processor left the guest with code %#llx",
			 (unsigned long long)exit->code);
		return vcpu_ask(vcpu, METAL_EXIT_FAILED, exit->code);
	}
	return false;
}

bool vcpu_answered(struct vcpu *vcpu, uint64_t value)
{
	switch (vcpu->question.kind) {
	case METAL_EXIT_PORT:
		if (vcpu->exit.string)
			return vcpu_emulate_answer(vcpu, value);
		finish_port(vcpu, value);
		return false;
	case METAL_EXIT_MEMORY:
		return vcpu_emulate_answer(vcpu, value);
	case METAL_EXIT_EXTINT:
		if (value != UINT64_MAX)
			vcpu->event =
				(struct event){.kind = EVENT_INTERRUPT, .vector = (uint8_t)value};
		return false;
	default:
		return false;
	}
}
