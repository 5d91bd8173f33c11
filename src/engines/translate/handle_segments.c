/* SPDX-License-Identifier: BSD-2-Clause */
/* Segment registers, selectors, their bases and the descriptor tables. Source: Intel SDM volume 2,
 * the instructions' pages. */
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"

_Noreturn static void general_protection(struct cpu *cpu)
{
	exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static void require_level_0(struct cpu *cpu)
{
	if (cpu->cpl)
		general_protection(cpu);
}

/* sldt, str, verr and the like exist in protected mode only. */
static void require_protected(struct cpu *cpu)
{
	if (!cpu_protected(cpu))
		exception_raise(cpu, EXCEPTION_UD);
}

static void check_umip(struct cpu *cpu)
{
	if ((cpu->cr4 & CR4_UMIP) && cpu->cpl)
		general_protection(cpu);
}

/* Moves */

static void load(struct cpu *cpu, unsigned number, uint16_t selector)
{
	segment_load(cpu, number, selector);
	if (number == SEGMENT_SS)
		cpu_mode_changed(cpu);
}

void handle_mov_to_segment(struct cpu *cpu, const struct insn *insn)
{
	load(cpu, insn->reg, (uint16_t)operand_read(cpu, insn, 1));
	if (insn->reg == SEGMENT_SS)
		cpu->interrupt_shadow = SHADOW_MOV_SS;
}

void handle_mov_from_segment(struct cpu *cpu, const struct insn *insn)
{
	operand_write(cpu, insn, 0, cpu->segment[insn->reg & 7].selector);
}

void handle_pop_segment(struct cpu *cpu, const struct insn *insn)
{
	unsigned number = insn->op->operand[0].number;
	unsigned size =
		cpu_code_size(cpu) == CODE_64 && insn->operand_size != 2 ? 8 : insn->operand_size;
	struct frame frame = frame_current(cpu), width = frame;
	uint16_t selector = (uint16_t)frame_pop(cpu, &frame, size);

	load(cpu, number, selector);
	width.sp = frame.sp;
	frame_set_rsp(cpu, &width); /* as wide as the old stack segment was */
	if (number == SEGMENT_SS)
		cpu->interrupt_shadow = SHADOW_MOV_SS;
}

void handle_load_far_pointer(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t linear =
		segment_linear(cpu, insn->segment, operand_address(cpu, insn), size + 2, MMU_READ);
	uint64_t offset = mmu_load(cpu, linear, size, MMU_READ);
	uint16_t selector = (uint16_t)mmu_load(cpu, mmu_wrap(cpu, linear + size), 2, MMU_READ);

	load(cpu, insn->op->operand[2].number, selector);
	operand_write(cpu, insn, 0, offset);
}

/* Bases */

static void check_fsgsbase(struct cpu *cpu)
{
	if (!(cpu->cr4 & CR4_FSGSBASE) || cpu_code_size(cpu) != CODE_64)
		exception_raise(cpu, EXCEPTION_UD);
}

static void read_base(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	check_fsgsbase(cpu);
	register_write(cpu, insn->rm, insn->w ? 8 : 4, false, cpu->segment[number].base);
}

static void write_base(struct cpu *cpu, const struct insn *insn, unsigned number)
{
	uint64_t base = register_read(cpu, insn->rm, insn->w ? 8 : 4, false);

	check_fsgsbase(cpu);
	if (!paging_canonical(base))
		general_protection(cpu);
	cpu->segment[number].base = base;
}

void handle_rdfsbase(struct cpu *cpu, const struct insn *insn)
{
	read_base(cpu, insn, SEGMENT_FS);
}

void handle_rdgsbase(struct cpu *cpu, const struct insn *insn)
{
	read_base(cpu, insn, SEGMENT_GS);
}

void handle_wrfsbase(struct cpu *cpu, const struct insn *insn)
{
	write_base(cpu, insn, SEGMENT_FS);
}

void handle_wrgsbase(struct cpu *cpu, const struct insn *insn)
{
	write_base(cpu, insn, SEGMENT_GS);
}

void handle_swapgs(struct cpu *cpu, const struct insn *insn)
{
	uint64_t base = cpu->segment[SEGMENT_GS].base;

	require_level_0(cpu);
	cpu->segment[SEGMENT_GS].base = cpu->kernel_gs_base;
	cpu->kernel_gs_base = base;
}

/* Asking about selectors: ZF tells whether they would do */

static void set_zf(struct cpu *cpu, bool set)
{
	cpu_set_status(cpu, (cpu_status(cpu) & ~FLAG_ZF) | (set ? FLAG_ZF : 0));
}

/* Types that lar and lsl know, one bit for each. */
#define LAR_TYPES      0x1a3e /* 1 2 3 4 5 9 b c */
#define LAR_TYPES_LONG 0x1a04 /* 2 9 b c */
#define LSL_TYPES      0x0a0e /* 1 2 3 9 b */
#define LSL_TYPES_LONG 0x0a04 /* 2 9 b */

static bool visible(struct cpu *cpu, uint16_t selector, unsigned system_types,
		    struct descriptor *descriptor)
{
	uint16_t attributes;
	unsigned dpl;

	if (!descriptor_try(cpu, selector, descriptor))
		return false;
	attributes = descriptor->segment.attributes;
	dpl = segment_dpl(attributes);
	if (!(attributes & SEGMENT_S) && !(system_types >> (attributes & SEGMENT_TYPE) & 1))
		return false;
	return segment_is_conforming(attributes) || (dpl >= cpu->cpl && dpl >= (selector & 3u));
}

void handle_lar(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector;
	struct descriptor descriptor;
	bool found;

	require_protected(cpu);
	selector = (uint16_t)operand_read(cpu, insn, 1);
	found = visible(cpu, selector, cpu_long(cpu) ? LAR_TYPES_LONG : LAR_TYPES, &descriptor);
	if (found)
		operand_write(cpu, insn, 0, descriptor.low >> 32 & 0xf0ff00);
	set_zf(cpu, found);
}

void handle_lsl(struct cpu *cpu, const struct insn *insn)
{
	uint16_t selector;
	struct descriptor descriptor;
	bool found;

	require_protected(cpu);
	selector = (uint16_t)operand_read(cpu, insn, 1);
	found = visible(cpu, selector, cpu_long(cpu) ? LSL_TYPES_LONG : LSL_TYPES, &descriptor);
	if (found)
		operand_write(cpu, insn, 0, descriptor.segment.limit);
	set_zf(cpu, found);
}

static void verify(struct cpu *cpu, const struct insn *insn, bool (*allowed)(uint16_t))
{
	struct descriptor descriptor;
	uint16_t selector;

	require_protected(cpu);
	selector = (uint16_t)operand_read(cpu, insn, 0);
	set_zf(cpu,
	       visible(cpu, selector, 0, &descriptor) && allowed(descriptor.segment.attributes));
}

void handle_verr(struct cpu *cpu, const struct insn *insn)
{
	verify(cpu, insn, segment_is_readable);
}

void handle_verw(struct cpu *cpu, const struct insn *insn)
{
	verify(cpu, insn, segment_is_writable);
}

void handle_arpl(struct cpu *cpu, const struct insn *insn)
{
	uint64_t destination, source;

	require_protected(cpu);
	destination = operand_read(cpu, insn, 0);
	source = operand_read(cpu, insn, 1);
	if ((destination & 3) < (source & 3)) {
		operand_write(cpu, insn, 0, (destination & ~3ull) | (source & 3));
		set_zf(cpu, true);
	} else {
		set_zf(cpu, false);
	}
}

/* Tables */

static void store_table(struct cpu *cpu, const struct insn *insn,
			const struct table_register *table)
{
	unsigned size = cpu_code_size(cpu) == CODE_64 ? 8 : 4;
	uint8_t bytes[10];
	uint64_t linear;

	check_umip(cpu);
	linear =
		segment_linear(cpu, insn->segment, operand_address(cpu, insn), size + 2, MMU_WRITE);
	for (unsigned i = 0; i < 2; i++)
		bytes[i] = (uint8_t)(table->limit >> 8 * i);
	for (unsigned i = 0; i < size; i++)
		bytes[2 + i] = (uint8_t)(table->base >> 8 * i);
	mmu_store_bytes(cpu, linear, bytes, size + 2, MMU_WRITE);
}

static void load_table(struct cpu *cpu, const struct insn *insn, struct table_register *table)
{
	unsigned size = cpu_code_size(cpu) == CODE_64 ? 8 : 4;
	uint64_t linear, base;
	uint16_t limit;

	require_level_0(cpu);
	linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn), size + 2, MMU_READ);
	limit = (uint16_t)mmu_load(cpu, linear, 2, MMU_READ);
	base = mmu_load(cpu, mmu_wrap(cpu, linear + 2), size, MMU_READ);
	if (size == 8 && !paging_canonical(base))
		general_protection(cpu);
	if (size == 4 && insn->operand_size == 2)
		base &= 0xffffff;
	table->limit = limit;
	table->base = base;
}

void handle_sgdt(struct cpu *cpu, const struct insn *insn)
{
	store_table(cpu, insn, &cpu->gdtr);
}

void handle_sidt(struct cpu *cpu, const struct insn *insn)
{
	store_table(cpu, insn, &cpu->idtr);
}

void handle_lgdt(struct cpu *cpu, const struct insn *insn)
{
	load_table(cpu, insn, &cpu->gdtr);
}

void handle_lidt(struct cpu *cpu, const struct insn *insn)
{
	load_table(cpu, insn, &cpu->idtr);
}

void handle_sldt(struct cpu *cpu, const struct insn *insn)
{
	require_protected(cpu);
	check_umip(cpu);
	operand_write(cpu, insn, 0, cpu->ldtr.selector);
}

void handle_str(struct cpu *cpu, const struct insn *insn)
{
	require_protected(cpu);
	check_umip(cpu);
	operand_write(cpu, insn, 0, cpu->tr.selector);
}

/* A system descriptor from the GDT for lldt and ltr. */
static void read_system_descriptor(struct cpu *cpu, uint16_t selector, unsigned types,
				   struct descriptor *descriptor)
{
	uint16_t attributes;

	if (selector & 4)
		selector_fault(cpu, EXCEPTION_GP, selector);
	descriptor_read(cpu, selector, descriptor, EXCEPTION_GP);
	attributes = descriptor->segment.attributes;
	if ((attributes & SEGMENT_S) || !(types >> (attributes & SEGMENT_TYPE) & 1))
		selector_fault(cpu, EXCEPTION_GP, selector);
	if (!(attributes & SEGMENT_P))
		selector_fault(cpu, EXCEPTION_NP, selector);
	if (!cpu_long(cpu))
		return;
	descriptor_read_high(cpu, selector, descriptor, EXCEPTION_GP);
	if (!paging_canonical(descriptor->segment.base))
		selector_fault(cpu, EXCEPTION_GP, selector);
}

void handle_lldt(struct cpu *cpu, const struct insn *insn)
{
	struct descriptor descriptor;
	uint16_t selector;

	require_protected(cpu);
	require_level_0(cpu);
	selector = (uint16_t)operand_read(cpu, insn, 0);
	if (selector_null(selector)) {
		cpu->ldtr = (struct segment){.selector = selector};
		return;
	}
	read_system_descriptor(cpu, selector, 1u << DESCRIPTOR_LDT, &descriptor);
	cpu->ldtr = descriptor.segment;
}

void handle_ltr(struct cpu *cpu, const struct insn *insn)
{
	struct descriptor descriptor;
	uint16_t selector;

	require_protected(cpu);
	require_level_0(cpu);
	selector = (uint16_t)operand_read(cpu, insn, 0);
	read_system_descriptor(cpu, selector,
			       1u << DESCRIPTOR_TSS | (cpu_long(cpu) ? 0 : 1u << DESCRIPTOR_TSS16),
			       &descriptor);
	descriptor_set_busy(cpu, &descriptor, true);
	cpu->tr = descriptor.segment;
}
