/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/segment.h"

#include "engines/translate/exception.h"
#include "engines/translate/mmu.h"

_Noreturn void selector_fault(struct cpu *cpu, unsigned vector, uint16_t selector)
{
	exception_raise_error(cpu, vector, selector & 0xfffcu);
}

/* Descriptors */

bool descriptor_try(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor)
{
	bool local = selector & 4;
	uint64_t base = local ? cpu->ldtr.base : cpu->gdtr.base;
	uint32_t limit = local ? cpu->ldtr.limit : cpu->gdtr.limit;
	uint32_t offset = selector & 0xfff8u;

	if (selector_null(selector) || offset + 7 > limit ||
	    (local && !(cpu->ldtr.attributes & SEGMENT_P)))
		return false;
	descriptor->linear = mmu_wrap(cpu, base + offset);
	descriptor->low = mmu_load(cpu, descriptor->linear, 8, MMU_READ | MMU_SYSTEM);
	descriptor->high = 0;
	descriptor->segment = segment_from_descriptor(selector, descriptor->low, 0);
	return true;
}

void descriptor_read(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor,
		     unsigned vector)
{
	if (!descriptor_try(cpu, selector, descriptor))
		selector_fault(cpu, vector, selector);
}

void descriptor_read_high(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor,
			  unsigned vector)
{
	uint32_t limit = selector & 4 ? cpu->ldtr.limit : cpu->gdtr.limit;

	if ((selector & 0xfff8u) + 15 > limit)
		selector_fault(cpu, vector, selector);
	descriptor->high =
		mmu_load(cpu, mmu_wrap(cpu, descriptor->linear + 8), 8, MMU_READ | MMU_SYSTEM);
	if (descriptor->high >> 40 & 0x1f)
		selector_fault(cpu, vector, selector);
	descriptor->segment = segment_from_descriptor(selector, descriptor->low, descriptor->high);
}

/* Bits of the byte that holds the type; other vcpus may do the same meanwhile. */
static void change_type(struct cpu *cpu, const struct descriptor *descriptor, uint8_t set,
			uint8_t clear)
{
	uint64_t linear = mmu_wrap(cpu, descriptor->linear + 5);
	uint8_t *host = mmu_host(cpu, linear, 1, MMU_WRITE | MMU_SYSTEM);

	if (host) {
		if (set)
			__atomic_or_fetch(host, set, __ATOMIC_SEQ_CST);
		if (clear)
			__atomic_and_fetch(host, (uint8_t)~clear, __ATOMIC_SEQ_CST);
		return;
	}
	mmu_store(cpu, linear, 1,
		  (mmu_load(cpu, linear, 1, MMU_READ | MMU_SYSTEM) | set) & (uint8_t)~clear,
		  MMU_WRITE | MMU_SYSTEM);
}

void descriptor_mark_accessed(struct cpu *cpu, struct descriptor *descriptor)
{
	if (!(descriptor->segment.attributes & TYPE_ACCESSED))
		change_type(cpu, descriptor, TYPE_ACCESSED, 0);
	descriptor->segment.attributes |= TYPE_ACCESSED;
}

void descriptor_set_busy(struct cpu *cpu, struct descriptor *descriptor, bool busy)
{
	change_type(cpu, descriptor, busy ? TYPE_BUSY : 0, busy ? 0 : TYPE_BUSY);
	if (busy)
		descriptor->segment.attributes |= TYPE_BUSY;
}

/* Loading */

/* The hidden part stays but for base and rights, so that "unreal mode" works; what was null becomes
 * usable. */
void segment_load_real(struct cpu *cpu, unsigned number, uint16_t selector)
{
	struct segment *segment = &cpu->segment[number];

	if (!(segment->attributes & SEGMENT_P))
		*segment = (struct segment){.limit = 0xffff};
	segment->selector = selector;
	segment->base = (uint64_t)selector << 4;
	segment->attributes = (segment->attributes & (SEGMENT_DB | SEGMENT_G)) | 0x93;
}

void segment_load_vm86(struct cpu *cpu, unsigned number, uint16_t selector)
{
	cpu->segment[number] = (struct segment){.selector = selector,
						.base = (uint64_t)selector << 4,
						.limit = 0xffff,
						.attributes = 0xf3};
}

void segment_load_null(struct cpu *cpu, unsigned number, uint16_t selector, unsigned dpl)
{
	cpu->segment[number] = (struct segment){.selector = selector,
						.attributes = (uint16_t)(dpl << SEGMENT_DPL_SHIFT)};
}

void segment_load_flat(struct cpu *cpu, unsigned number, uint16_t selector, uint16_t attributes)
{
	cpu->segment[number] = (struct segment){
		.selector = selector, .limit = 0xffffffff, .attributes = attributes};
}

void stack_segment_read(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
			struct descriptor *descriptor)
{
	uint16_t attributes;

	descriptor_read(cpu, selector, descriptor, vector);
	attributes = descriptor->segment.attributes;
	if ((selector & 3u) != cpl || segment_dpl(attributes) != cpl ||
	    !segment_is_writable(attributes))
		selector_fault(cpu, vector, selector);
	if (!(attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_SS, selector);
	descriptor_mark_accessed(cpu, descriptor);
}

static void load_stack_segment(struct cpu *cpu, uint16_t selector)
{
	struct descriptor descriptor;

	if (selector_null(selector)) {
		if (cpu_code_size(cpu) != CODE_64 || cpu->cpl == 3 || (selector & 3u) != cpu->cpl)
			exception_raise_error(cpu, EXCEPTION_GP, 0);
		segment_load_null(cpu, SEGMENT_SS, selector, cpu->cpl);
		return;
	}
	stack_segment_read(cpu, selector, cpu->cpl, EXCEPTION_GP, &descriptor);
	cpu->segment[SEGMENT_SS] = descriptor.segment;
}

void segment_load(struct cpu *cpu, unsigned number, uint16_t selector)
{
	struct descriptor descriptor;
	uint16_t attributes;
	unsigned rpl = selector & 3u, dpl;

	if (cpu_real(cpu)) {
		segment_load_real(cpu, number, selector);
		return;
	}
	if (cpu_vm86(cpu)) {
		segment_load_vm86(cpu, number, selector);
		return;
	}
	if (number == SEGMENT_SS) {
		load_stack_segment(cpu, selector);
		return;
	}
	if (selector_null(selector)) {
		segment_load_null(cpu, number, selector, 0);
		return;
	}
	descriptor_read(cpu, selector, &descriptor, EXCEPTION_GP);
	attributes = descriptor.segment.attributes;
	dpl = segment_dpl(attributes);
	if (!segment_is_readable(attributes))
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (!segment_is_conforming(attributes) && (rpl > dpl || cpu->cpl > dpl))
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (!(attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_NP, selector);
	descriptor_mark_accessed(cpu, &descriptor);
	cpu->segment[number] = descriptor.segment;
}

void segments_drop_privileged(struct cpu *cpu, unsigned cpl)
{
	static const uint8_t data[] = {SEGMENT_ES, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS};

	for (unsigned i = 0; i < sizeof(data); i++) {
		uint16_t attributes = cpu->segment[data[i]].attributes;

		if ((attributes & SEGMENT_P) && !segment_is_conforming(attributes) &&
		    segment_dpl(attributes) < cpl)
			segment_load_null(cpu, data[i], 0, 0);
	}
}

/* Addresses */

static bool type_allows(const struct segment *segment, unsigned access)
{
	if (access & MMU_WRITE)
		return segment_is_writable(segment->attributes);
	return segment_is_readable(segment->attributes);
}

uint64_t segment_linear(struct cpu *cpu, unsigned number, uint64_t offset, unsigned size,
			unsigned access)
{
	const struct segment *segment = &cpu->segment[number];
	unsigned vector = number == SEGMENT_SS ? EXCEPTION_SS : EXCEPTION_GP;
	uint64_t linear;

	if (cpu_code_size(cpu) == CODE_64) {
		linear = number >= SEGMENT_FS ? segment->base + offset : offset;
		if (!paging_canonical(linear) || !paging_canonical(linear + (size ? size - 1 : 0)))
			exception_raise_error(cpu, vector, 0);
		return linear;
	}
	if (!(segment->attributes & SEGMENT_P) ||
	    (cpu_protected(cpu) && !type_allows(segment, access)) ||
	    !segment_contains(segment, offset, size ? size : 1))
		exception_raise_error(cpu, vector, 0);
	return (uint32_t)(segment->base + offset);
}

/* Stacks */

struct frame frame_current(const struct cpu *cpu)
{
	return (struct frame){.ss = cpu->segment[SEGMENT_SS],
			      .sp = cpu->gpr[RSP],
			      .wide = cpu_code_size(cpu) == CODE_64};
}

static uint64_t frame_mask(const struct frame *frame)
{
	return frame->wide ? ~0ull : frame->ss.attributes & SEGMENT_DB ? 0xffffffff : 0xffff;
}

static uint64_t frame_linear(struct cpu *cpu, const struct frame *frame, uint64_t sp, unsigned size)
{
	if (frame->wide) {
		if (!paging_canonical(sp) || !paging_canonical(sp + size - 1))
			exception_raise_error(cpu, EXCEPTION_SS, frame->error);
		return sp;
	}
	if (!segment_contains(&frame->ss, sp, size))
		exception_raise_error(cpu, EXCEPTION_SS, frame->error);
	return (uint32_t)(frame->ss.base + sp);
}

void frame_push(struct cpu *cpu, struct frame *frame, unsigned size, uint64_t value)
{
	uint64_t sp = (frame->sp - size) & frame_mask(frame);

	mmu_store(cpu, frame_linear(cpu, frame, sp, size), size, value, MMU_WRITE | frame->access);
	frame->sp = sp;
}

uint64_t frame_pop(struct cpu *cpu, struct frame *frame, unsigned size)
{
	uint64_t sp = frame->sp & frame_mask(frame);
	uint64_t value =
		mmu_load(cpu, frame_linear(cpu, frame, sp, size), size, MMU_READ | frame->access);

	frame->sp = (sp + size) & frame_mask(frame);
	return value;
}

void frame_set_rsp(struct cpu *cpu, const struct frame *frame)
{
	uint64_t mask = frame_mask(frame);

	if (mask == 0xffff)
		cpu->gpr[RSP] = (cpu->gpr[RSP] & ~mask) | (frame->sp & mask);
	else
		cpu->gpr[RSP] = frame->sp & mask;
}

/* The task-state segment (sections 8.2.1, 8.6, 8.7) */

static uint64_t tss_load(struct cpu *cpu, unsigned offset, unsigned size)
{
	if (!(cpu->tr.attributes & SEGMENT_P) || offset + size - 1 > cpu->tr.limit)
		selector_fault(cpu, EXCEPTION_TS, cpu->tr.selector);
	return mmu_load(cpu, mmu_wrap(cpu, cpu->tr.base + offset), size, MMU_READ | MMU_SYSTEM);
}

void tss_stack(struct cpu *cpu, unsigned level, uint64_t *sp, uint16_t *ss)
{
	if (cpu_long(cpu)) {
		*sp = tss_load(cpu, 4 + 8 * level, 8);
		*ss = (uint16_t)level;
	} else if ((cpu->tr.attributes & SEGMENT_TYPE) >= DESCRIPTOR_TSS) {
		*sp = tss_load(cpu, 4 + 8 * level, 4);
		*ss = (uint16_t)tss_load(cpu, 8 + 8 * level, 2);
	} else {
		*sp = tss_load(cpu, 2 + 4 * level, 2);
		*ss = (uint16_t)tss_load(cpu, 4 + 4 * level, 2);
	}
}

uint64_t tss_ist(struct cpu *cpu, unsigned number)
{
	return tss_load(cpu, 28 + 8 * number, 8);
}
