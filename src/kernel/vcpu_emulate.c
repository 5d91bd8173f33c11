/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions whose memory is a device's, and ins and outs: carried out by x86/mmio.h. What they
 * ask of the APIC's page is answered here; the rest is asked of the process, one access at a time.
 */
#include "kernel/vcpu.h"
#include "kernel/vendor.h"
#include "lib/bytes.h"
#include "x86/registers.h"

#define XMM_OFFSET 160 /* of the XSAVE area (SDM 1, 13.4.1, 13.5.2) */
#define YMM_OFFSET 576

static enum mmio_result op_find(struct mmio *mmio, uint64_t linear, unsigned size, unsigned access,
				void **ram, uint64_t *physical)
{
	struct vcpu *vcpu = mmio->context;
	struct paging_page page;

	if (!vcpu_walk(vcpu, linear, access, &page)) {
		mmio->vector = EXCEPTION_PF;
		mmio->has_error = true;
		mmio->error = page.error;
		mmio->address = linear;
		return MMIO_FAULT;
	}
	*physical = page.physical + (linear & (PAGE_SIZE - 1));
	*ram = guest_memory(vcpu->guest, *physical, size);
	return MMIO_DONE;
}

static void op_vector_get(struct mmio *mmio, unsigned number, unsigned size, uint8_t *bytes)
{
	struct vcpu *vcpu = mmio->context;
	uint8_t *area = vcpu->state.xsave;
	uint64_t components;

	vcpu_leave_processor(vcpu);
	components = bytes_load64(area + XSAVE_HEADER);
	bytes_fill(bytes, 0, size);
	if (components & XCR0_SSE)
		bytes_copy(bytes, area + XMM_OFFSET + 16 * number, size < 16 ? size : 16);
	if (size > 16 && (components & XCR0_AVX))
		bytes_copy(bytes + 16, area + YMM_OFFSET + 16 * number, size - 16);
}

/* A component that was in its initial state gets its zeroes first. */
static void begin_component(uint8_t *area, uint64_t component, unsigned offset)
{
	uint64_t components = bytes_load64(area + XSAVE_HEADER);

	if (!(components & component))
		bytes_fill(area + offset, 0, 16 * 16);
	bytes_store64(area + XSAVE_HEADER, components | component);
}

static void op_vector_set(struct mmio *mmio, unsigned number, unsigned size, const uint8_t *bytes,
			  bool zero_above)
{
	struct vcpu *vcpu = mmio->context;
	uint8_t *area = vcpu->state.xsave, *low = area + XMM_OFFSET + 16 * number;
	uint8_t *high = area + YMM_OFFSET + 16 * number;

	vcpu_leave_processor(vcpu);
	begin_component(area, XCR0_SSE, XMM_OFFSET);
	bytes_copy(low, bytes, size < 16 ? size : 16);
	if (zero_above && size < 16)
		bytes_fill(low + size, 0, 16 - size);
	if (!(vcpu->xcr0_allowed & XCR0_AVX) || (size <= 16 && !zero_above))
		return;
	begin_component(area, XCR0_AVX, YMM_OFFSET);
	bytes_fill(high, 0, 16);
	if (size > 16)
		bytes_copy(high, bytes + 16, size - 16);
}

static const struct mmio_ops ops = {
	.find = op_find, .vector_get = op_vector_get, .vector_set = op_vector_set};

static void set_up(struct vcpu *vcpu)
{
	struct mmio *mmio = &vcpu->mmio;

	mmio->ops = &ops;
	mmio->context = vcpu;
	bytes_copy(mmio->gpr, vcpu->state.gpr, sizeof(mmio->gpr));
	mmio->rip = vcpu->state.rip;
	mmio->rflags = vcpu->state.rflags;
	mmio->cpl = vcpu->cpl;
	mmio->code_size = vcpu_code_size(vcpu);
	mmio->stack_size = mmio->code_size;
	for (unsigned i = 0; i < 6; i++) {
		struct metal_segment segment;

		vendor->segment(vcpu, i, &segment);
		mmio->segment_base[i] = segment.base;
		mmio->segment_limit[i] = segment.limit;
		if (mmio->code_size == CODE_64 && i != SEGMENT_FS && i != SEGMENT_GS)
			mmio->segment_base[i] = 0;
		if (mmio->code_size != CODE_64 && i == SEGMENT_SS)
			mmio->stack_size = segment.attributes & ATTRIBUTES_DB ? CODE_32 : CODE_16;
	}
	mmio_begin(mmio);
}

/* A repeated string instruction stays at its rip until the last element is done. */
static void finish(struct vcpu *vcpu)
{
	struct mmio *mmio = &vcpu->mmio;

	bytes_copy(vcpu->state.gpr, mmio->gpr, sizeof(mmio->gpr));
	vcpu->state.rflags = mmio->rflags;
	vcpu_skip_to(vcpu, mmio->rip);
}

static bool ask(struct vcpu *vcpu, const struct mmio_access *access)
{
	vcpu->question = (struct metal_exit){
		.kind = access->port ? METAL_EXIT_PORT : METAL_EXIT_MEMORY,
		.size = access->size,
		.write = access->write,
		.address = access->address,
		.value = access->write ? access->value : 0,
	};
	return vcpu->asked = true;
}

/* True if the APIC has answered it. */
static bool answer_here(struct vcpu *vcpu, struct mmio_access *access)
{
	uint64_t value = 0;

	if (access->port || (access->address & ~(PAGE_SIZE - 1)) != APIC_ADDRESS ||
	    !vcpu_apic_memory(vcpu, access, &value))
		return false;
	mmio_answer(&vcpu->mmio, value);
	return true;
}

/* The instruction may have been changed since it faulted for memory: whether this one may use ports
 * is the processor's to say. */
static bool is_for_processor(const struct vcpu *vcpu, const struct mmio_access *access)
{
	return access->port && vcpu->exit.kind == VCPU_EXIT_MEMORY &&
	       vcpu->cpl > (vcpu->state.rflags & FLAG_IOPL) >> 12;
}

static bool go_on(struct vcpu *vcpu)
{
	struct mmio *mmio = &vcpu->mmio;

	for (;;) {
		switch (mmio_emulate(mmio, &vcpu->insn)) {
		case MMIO_DONE:
			finish(vcpu);
			return false;
		case MMIO_ACCESS:
			if (is_for_processor(vcpu, &mmio->access))
				return false;
			if (answer_here(vcpu, &mmio->access))
				break;
			return ask(vcpu, &mmio->access);
		case MMIO_FAULT:
			if (mmio->vector == EXCEPTION_PF)
				vcpu->state.cr2 = mmio->address;
			if (mmio->has_error)
				vcpu_raise_error(vcpu, mmio->vector, mmio->error);
			else
				vcpu_raise(vcpu, mmio->vector);
			return false;
		case MMIO_UNKNOWN:
			vcpu_log(vcpu, "opcode map %u, %02x on memory of a device at %#llx (#UD)",
				 vcpu->insn.map, vcpu->insn.opcode,
				 (unsigned long long)vcpu->exit.address);
			vcpu_raise(vcpu, EXCEPTION_UD);
			return false;
		case MMIO_RETRY:
			return false;
		}
	}
}

bool vcpu_emulate(struct vcpu *vcpu)
{
	if (!vcpu_decode(vcpu, &vcpu->insn))
		return false;
	set_up(vcpu);
	return go_on(vcpu);
}

bool vcpu_emulate_answer(struct vcpu *vcpu, uint64_t value)
{
	mmio_answer(&vcpu->mmio, value);
	return go_on(vcpu);
}
